#include "proto/token/jwt_pem.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>

static enum err refuse_block(const char *why, const char **ret_why)
{
    *ret_why = why;
    return ERR_INVALID_FIELD;
}

static size_t count_words(struct span file, const char *word)
{
    size_t n = 0;
    size_t len = strlen(word);
    const char *end = file.bytes + file.len;
    const char *at = file.bytes;
    while (at < end && (at = memmem(at, (size_t)(end - at), word, len)) != NULL) {
        at += len;
        n++;
    }
    return n;
}

static size_t count_blocks(struct span file)
{
    return count_words(file, "-----BEGIN ");
}

bool jwt_pem_is(struct span file)
{
    return count_blocks(file) > 0;
}

/* Reads DER. NULL: it is not a public key, or other bytes follow it. */

static EVP_PKEY *whole_key(EVP_PKEY *key, const unsigned char *at, const unsigned char *end)
{
    if (key == NULL || at == end)
        return key;
    EVP_PKEY_free(key);
    return NULL;
}

static EVP_PKEY *read_spki(const unsigned char *der, long len)
{
    const unsigned char *at = der;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &at, len);
    return whole_key(key, at, der + len);
}

static EVP_PKEY *read_pkcs1(const unsigned char *der, long len)
{
    const unsigned char *at = der;
    EVP_PKEY *key = d2i_PublicKey(EVP_PKEY_RSA, NULL, &at, len);
    return whole_key(key, at, der + len);
}

static EVP_PKEY *read_certificate(const unsigned char *der, long len)
{
    const unsigned char *at = der;
    X509 *certificate = d2i_X509(NULL, &at, len);
    EVP_PKEY *key = certificate == NULL ? NULL : X509_get_pubkey(certificate);
    X509_free(certificate);
    return whole_key(key, at, der + len);
}

static const struct {
    const char *label;
    EVP_PKEY *(*read)(const unsigned char *der, long len);
} kinds[] = {
    {"PUBLIC KEY", read_spki},
    {"RSA PUBLIC KEY", read_pkcs1},
    {"CERTIFICATE", read_certificate},
};

static const size_t n_kinds = sizeof kinds / sizeof kinds[0];

/* ---- keys in forms that are not supported ---- */

static bool is_der_key(const unsigned char *der, long len)
{
    for (size_t i = 0; i < n_kinds; i++) {
        EVP_PKEY *key = kinds[i].read(der, len);
        EVP_PKEY_free(key);
        if (key != NULL)
            return true;
    }
    return false;
}

static bool is_base64_key(struct span file)
{
    EVP_ENCODE_CTX *decoder = EVP_ENCODE_CTX_new();
    unsigned char *der = malloc(file.len + 4);
    int len = 0, rest = 0;
    bool is_key = false;
    if (decoder != NULL && der != NULL) {
        EVP_DecodeInit(decoder);
        is_key = EVP_DecodeUpdate(decoder, der, &len, (const unsigned char *)file.bytes,
                                  (int)file.len) >= 0 &&
                 EVP_DecodeFinal(decoder, der + len, &rest) == 1 && is_der_key(der, len + rest);
    }
    free(der);
    EVP_ENCODE_CTX_free(decoder);
    return is_key;
}

bool jwt_pem_is_bare_key(struct span file)
{
    /* damaged PEM, a JWK outside of a JWKS, the forms of ssh */
    static const char *const words[] = {"PUBLIC KEY", "CERTIFICATE",  "\"kty\"",
                                        "ssh-rsa ",   "ssh-ed25519 ", "ecdsa-sha2-"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (count_words(file, words[i]) > 0)
            return true;
    return is_der_key((const unsigned char *)file.bytes, (long)file.len) || is_base64_key(file);
}

/* ---- PEM ---- */

static enum err read_block(const char *label, const unsigned char *der, long len,
                           struct jwt_key *ret_key, const char **ret_why)
{
    if (strstr(label, "PRIVATE KEY") != NULL)
        return refuse_block("it is a private key; only the public part belongs here", ret_why);
    for (size_t i = 0; i < n_kinds; i++) {
        if (strcmp(label, kinds[i].label) != 0)
            continue;
        EVP_PKEY *key = kinds[i].read(der, len);
        if (key == NULL)
            return refuse_block("it cannot be read", ret_why);
        return jwt_key_of_public(key, ret_key, ret_why);
    }
    return refuse_block("it is neither a public key nor a certificate", ret_why);
}

static enum err read_blocks(BIO *in, size_t n_blocks, jwt_pem_on_block_fn on_block, void *to,
                            size_t *ret_block)
{
    enum err error = ERR_OK;
    for (size_t i = 1; i <= n_blocks && error == ERR_OK; i++) {
        struct jwt_key key;
        const char *why = NULL;
        char *label, *header;
        unsigned char *der;
        long len;
        *ret_block = i;
        if (PEM_read_bio(in, &label, &header, &der, &len) != 1)
            return ERR_INVALID_FIELD;
        error = read_block(label, der, len, &key, &why);
        OPENSSL_clear_free(der, (size_t)len);
        OPENSSL_free(header);
        OPENSSL_free(label);
        if (error == ERR_OK || error == ERR_INVALID_FIELD)
            error = on_block(to, i, error == ERR_OK ? &key : NULL, why);
    }
    return error;
}

enum err jwt_pem_read(struct span file, jwt_pem_on_block_fn on_block, void *to, size_t *ret_block)
{
    BIO *in = BIO_new_mem_buf(file.bytes, (int)file.len);
    if (in == NULL)
        return ERR_NO_MEMORY;
    enum err error = read_blocks(in, count_blocks(file), on_block, to, ret_block);
    BIO_free(in);
    return error;
}
