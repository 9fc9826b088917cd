/* Keys and certificates for tests, as PEM files. */
#ifndef HERALD_TESTS_CERTIFICATES_H
#define HERALD_TESTS_CERTIFICATES_H

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

struct identity {
    EVP_PKEY *key;
    X509 *certificate;
};

/* `issuer` NULL: it signs itself, and others. */
static inline struct identity identity_make(const char *name, const struct identity *issuer)
{
    static long serial = 1;
    struct identity made = {EVP_EC_gen("P-256"), X509_new()};
    X509_NAME *subject = X509_get_subject_name(made.certificate);
    X509_set_version(made.certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(made.certificate), serial++);
    X509_gmtime_adj(X509_getm_notBefore(made.certificate), -60);
    X509_gmtime_adj(X509_getm_notAfter(made.certificate), 86400);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(made.certificate,
                         issuer != NULL ? X509_get_subject_name(issuer->certificate) : subject);
    X509_set_pubkey(made.certificate, made.key);
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, made.certificate, made.certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(
        NULL, &context, NID_basic_constraints, issuer != NULL ? "CA:FALSE" : "critical,CA:TRUE");
    X509_add_ext(made.certificate, extension, -1);
    X509_EXTENSION_free(extension);
    if (X509_sign(made.certificate, issuer != NULL ? issuer->key : made.key, EVP_sha256()) == 0)
        abort();
    return made;
}

static inline void identity_free(struct identity *identity)
{
    EVP_PKEY_free(identity->key);
    X509_free(identity->certificate);
}

static inline FILE *identity_open(const char *path)
{
    FILE *file = fopen(path, "we");
    if (file == NULL)
        abort();
    return file;
}

/* `passphrase` NULL: not encrypted. */
static inline void identity_write_key(const struct identity *identity, const char *path,
                                      const char *passphrase)
{
    FILE *file = identity_open(path);
    if (PEM_write_PKCS8PrivateKey(file, identity->key,
                                  passphrase != NULL ? EVP_aes_256_cbc() : NULL, NULL, 0, NULL,
                                  (void *)(uintptr_t)passphrase) != 1)
        abort();
    fclose(file);
}

static inline void identity_write_certificate(const struct identity *identity, const char *path)
{
    FILE *file = identity_open(path);
    if (PEM_write_X509(file, identity->certificate) != 1)
        abort();
    fclose(file);
}

#endif
