/* Tokens as a backend makes them, and keys in each form in which an operator may hand them over.
 * Made with OpenSSL alone, nothing of proto/, and only for what the test asks: each criterion test
 * is a process of its own. Nothing is freed that the whole test needs. */
#ifndef HERALD_TESTS_JWT_TOKENS_H
#define HERALD_TESTS_JWT_TOKENS_H

#include "proto/token/jwt.h"
#include "proto/token/jwt_key.h"

#include <criterion/criterion.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define TOKEN_NOW_MS  1700000000000
#define TOKEN_SECRET  "an-HS256-secret-of-forty-bytes,-at-least"
#define TOKEN_PAYLOAD "{\"sub\":\"anna\",\"exp\":1700000300}"
#define TOKEN_NO_RULES                                                                             \
    &(struct jwt_rules)                                                                            \
    {                                                                                              \
        .leeway_ms = JWT_LEEWAY_MS                                                                 \
    }

enum { TOKEN_CAP = 49152 };

struct token_text {
    char text[TOKEN_CAP];
    size_t len;
};

static inline struct span token_span(const struct token_text *token)
{
    return (struct span){token->text, token->len};
}

static inline void token_add(struct token_text *token, struct span bytes)
{
    cr_assert_lt(token->len + bytes.len, sizeof token->text);
    memcpy(token->text + token->len, bytes.bytes, bytes.len);
    token->len += bytes.len;
    token->text[token->len] = '\0';
}

static inline struct span token_bytes(const void *bytes, size_t len)
{
    return (struct span){bytes, len};
}

/* base64url, by way of OpenSSL's base64. */
static inline void token_add_coded(struct token_text *token, struct span bytes)
{
    char coded[TOKEN_CAP];
    cr_assert_lt(bytes.len, sizeof coded / 4 * 3 - 4);
    int len =
        EVP_EncodeBlock((unsigned char *)coded, (const unsigned char *)bytes.bytes, (int)bytes.len);
    while (len > 0 && coded[len - 1] == '=')
        len--;
    for (int i = 0; i < len; i++)
        coded[i] = (char)(coded[i] == '+' ? '-' : coded[i] == '/' ? '_' : coded[i]);
    token_add(token, token_bytes(coded, (size_t)len));
}

/* RFC 7518, 3.1 and RFC 8037, 3.1, written down a second time */
struct token_alg {
    const char *name, *kty, *curve, *hash;
    size_t coordinate_bytes;
    bool is_pss;
};

static inline const struct token_alg *token_alg_of(enum jwt_alg alg)
{
    static const struct token_alg algs[JWT_ALGS] = {
        [JWT_HS256] = {"HS256", "oct", NULL, "SHA256", 0, false},
        [JWT_RS256] = {"RS256", "RSA", NULL, "SHA256", 0, false},
        [JWT_RS384] = {"RS384", "RSA", NULL, "SHA384", 0, false},
        [JWT_RS512] = {"RS512", "RSA", NULL, "SHA512", 0, false},
        [JWT_PS256] = {"PS256", "RSA", NULL, "SHA256", 0, true},
        [JWT_PS384] = {"PS384", "RSA", NULL, "SHA384", 0, true},
        [JWT_PS512] = {"PS512", "RSA", NULL, "SHA512", 0, true},
        [JWT_ES256] = {"ES256", "EC", "P-256", "SHA256", 32, false},
        [JWT_ES384] = {"ES384", "EC", "P-384", "SHA384", 48, false},
        [JWT_ES512] = {"ES512", "EC", "P-521", "SHA512", 66, false},
        [JWT_EDDSA] = {"EdDSA", "OKP", "Ed25519", NULL, 0, false},
    };
    return &algs[alg];
}

/* Keys: one for each curve and one for RSA, made when first asked for */

static inline EVP_PKEY *token_key(enum jwt_alg alg)
{
    static EVP_PKEY *keys[JWT_ALGS];
    const struct token_alg *is = token_alg_of(alg);
    bool is_rsa = strcmp(is->kty, "RSA") == 0;
    EVP_PKEY **key = &keys[is_rsa ? JWT_RS256 : alg];
    if (*key == NULL) {
        *key = is_rsa             ? EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048)
               : alg == JWT_EDDSA ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")
                                  : EVP_PKEY_Q_keygen(NULL, NULL, "EC", is->curve);
        cr_assert_not_null(*key);
    }
    return *key;
}

static inline struct token_text token_of_bio(BIO *bio)
{
    struct token_text text = {.len = 0};
    char *bytes;
    long len = BIO_get_mem_data(bio, &bytes);
    token_add(&text, token_bytes(bytes, (size_t)len));
    BIO_free(bio);
    return text;
}

static inline struct token_text token_pem_of(EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_mem());
    cr_assert_eq(PEM_write_bio_PUBKEY(bio, key), 1);
    return token_of_bio(bio);
}

static inline struct token_text token_private_pem_of(EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_mem());
    cr_assert_eq(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
    return token_of_bio(bio);
}

static inline struct token_text token_certificate_of(EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_mem());
    X509 *certificate = X509_new();
    X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 60);
    cr_assert_eq(X509_set_pubkey(certificate, key), 1);
    cr_assert_gt(X509_sign(certificate, key, EVP_PKEY_is_a(key, "ED25519") ? NULL : EVP_sha256()),
                 0);
    cr_assert_eq(PEM_write_bio_X509(bio, certificate), 1);
    X509_free(certificate);
    return token_of_bio(bio);
}

static inline struct token_text token_der_of(EVP_PKEY *key)
{
    struct token_text text = {.len = 0};
    unsigned char *der = NULL;
    int len = i2d_PUBKEY(key, &der);
    cr_assert_gt(len, 0);
    token_add(&text, token_bytes(der, (size_t)len));
    OPENSSL_free(der);
    return text;
}

static inline struct token_text token_number_of(EVP_PKEY *key, const char *name)
{
    struct token_text text = {.len = 0};
    unsigned char bytes[2048];
    BIGNUM *number = NULL;
    cr_assert_eq(EVP_PKEY_get_bn_param(key, name, &number), 1);
    bool is_coordinate = EVP_PKEY_is_a(key, "EC");
    int len = is_coordinate ? BN_bn2binpad(number, bytes, (EVP_PKEY_get_bits(key) + 7) / 8)
                            : BN_bn2bin(number, bytes);
    token_add(&text, token_bytes(bytes, (size_t)len));
    BN_free(number);
    return text;
}

static inline void token_add_member(struct token_text *text, const char *name, struct span bytes)
{
    token_add(text, SPAN_LITERAL(",\""));
    token_add(text, span_of(name));
    token_add(text, SPAN_LITERAL("\":\""));
    token_add_coded(text, bytes);
    token_add(text, SPAN_LITERAL("\""));
}

/* The members of a JWK, without braces. An RSA key has an alg unless that is RS256. */
static inline struct token_text token_members_of(enum jwt_alg alg, EVP_PKEY *key)
{
    const struct token_alg *is = token_alg_of(alg);
    struct token_text text = {.len = 0};
    token_add(&text, SPAN_LITERAL("\"kty\":\""));
    token_add(&text, span_of(is->kty));
    if (is->curve != NULL) {
        token_add(&text, SPAN_LITERAL("\",\"crv\":\""));
        token_add(&text, span_of(is->curve));
    }
    if (alg != JWT_RS256 && strcmp(is->kty, "RSA") == 0) {
        token_add(&text, SPAN_LITERAL("\",\"alg\":\""));
        token_add(&text, span_of(is->name));
    }
    token_add(&text, SPAN_LITERAL("\""));
    if (alg == JWT_HS256) {
        token_add_member(&text, "k", span_of(TOKEN_SECRET));
    } else if (alg == JWT_EDDSA) {
        unsigned char raw[32];
        size_t len = sizeof raw;
        cr_assert_eq(EVP_PKEY_get_raw_public_key(key, raw, &len), 1);
        token_add_member(&text, "x", token_bytes(raw, len));
    } else {
        bool is_rsa = is->curve == NULL;
        struct token_text first =
            token_number_of(key, is_rsa ? OSSL_PKEY_PARAM_RSA_N : OSSL_PKEY_PARAM_EC_PUB_X);
        struct token_text second =
            token_number_of(key, is_rsa ? OSSL_PKEY_PARAM_RSA_E : OSSL_PKEY_PARAM_EC_PUB_Y);
        token_add_member(&text, is_rsa ? "n" : "x", token_span(&first));
        token_add_member(&text, is_rsa ? "e" : "y", token_span(&second));
    }
    return text;
}

/* A key as JSON, with these members besides. */
static inline struct token_text token_jwk_of(enum jwt_alg alg, EVP_PKEY *key, const char *more)
{
    struct token_text members = token_members_of(alg, key);
    struct token_text text = {.len = 0};
    token_add(&text, SPAN_LITERAL("{"));
    token_add(&text, token_span(&members));
    token_add(&text, span_of(more));
    token_add(&text, SPAN_LITERAL("}"));
    return text;
}

static inline struct token_text token_jwk(enum jwt_alg alg, const char *more)
{
    return token_jwk_of(alg, alg == JWT_HS256 ? NULL : token_key(alg), more);
}

/* Reading keys */

static inline struct jwt_keys *token_read(struct span file)
{
    struct jwt_keys *keys = NULL;
    char why[256] = "";
    cr_assert_eq(jwt_keys_read(file, NULL, NULL, &keys, why, sizeof why), ERR_OK, "%s", why);
    return keys;
}

/* A JWKS of the objects given as texts, ended by NULL. */
static inline struct token_text token_jwks(const char *first, ...)
{
    struct token_text text = {.len = 0};
    va_list more;
    va_start(more, first);
    token_add(&text, SPAN_LITERAL("{\"keys\":["));
    for (const char *object = first; object != NULL; object = va_arg(more, const char *)) {
        if (text.text[text.len - 1] != '[')
            token_add(&text, SPAN_LITERAL(","));
        token_add(&text, span_of(object));
    }
    token_add(&text, SPAN_LITERAL("]}"));
    va_end(more);
    return text;
}

/* One key, of that algorithm, without a kid. */
static inline struct jwt_keys *token_keys(enum jwt_alg alg)
{
    struct token_text jwk = token_jwk(alg, "");
    struct token_text jwks = token_jwks(jwk.text, NULL);
    return token_read(token_span(&jwks));
}

/* Signing */

static inline struct token_text token_hmac(struct span secret, struct span text)
{
    struct token_text mac = {.len = 0};
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    cr_assert_not_null(HMAC(EVP_sha256(), secret.bytes, (int)secret.len,
                            (const unsigned char *)text.bytes, text.len, bytes, &len));
    token_add(&mac, token_bytes(bytes, len));
    return mac;
}

static inline struct token_text token_sign_der(enum jwt_alg alg, EVP_PKEY *key, struct span text)
{
    struct token_text signature = {.len = 0};
    const struct token_alg *is = token_alg_of(alg);
    unsigned char bytes[1024];
    size_t len = sizeof bytes;
    EVP_PKEY_CTX *options;
    EVP_MD_CTX *signer = EVP_MD_CTX_new();
    const EVP_MD *hash = is->hash == NULL ? NULL : EVP_get_digestbyname(is->hash);
    cr_assert_eq(EVP_DigestSignInit(signer, &options, hash, NULL, key), 1);
    if (is->is_pss) {
        cr_assert_eq(EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING), 1);
        cr_assert_eq(EVP_PKEY_CTX_set_rsa_pss_saltlen(options, EVP_MD_get_size(hash)), 1);
    }
    cr_assert_eq(EVP_DigestSign(signer, bytes, &len, (const unsigned char *)text.bytes, text.len),
                 1);
    EVP_MD_CTX_free(signer);
    token_add(&signature, token_bytes(bytes, len));
    return signature;
}

/* ECDSA: r and s side by side. */
static inline struct token_text token_raw_of(enum jwt_alg alg, const struct token_text *der)
{
    struct token_text raw = {.len = 0};
    unsigned char bytes[132];
    int n = (int)token_alg_of(alg)->coordinate_bytes;
    const unsigned char *at = (const unsigned char *)der->text;
    ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &at, (long)der->len);
    cr_assert_not_null(pair);
    BN_bn2binpad(ECDSA_SIG_get0_r(pair), bytes, n);
    BN_bn2binpad(ECDSA_SIG_get0_s(pair), bytes + n, n);
    ECDSA_SIG_free(pair);
    token_add(&raw, token_bytes(bytes, 2 * (size_t)n));
    return raw;
}

static inline struct token_text token_sign_with(enum jwt_alg alg, EVP_PKEY *key, struct span text)
{
    struct token_text signature = token_sign_der(alg, key, text);
    return token_alg_of(alg)->coordinate_bytes > 0 ? token_raw_of(alg, &signature) : signature;
}

static inline struct token_text token_sign(enum jwt_alg alg, struct span text)
{
    if (alg == JWT_HS256)
        return token_hmac(SPAN_LITERAL(TOKEN_SECRET), text);
    return token_sign_with(alg, token_key(alg), text);
}

/* "HEADER.PAYLOAD", both coded. */
static inline struct token_text token_unsigned(struct span header, struct span payload)
{
    struct token_text token = {.len = 0};
    token_add_coded(&token, header);
    token_add(&token, SPAN_LITERAL("."));
    token_add_coded(&token, payload);
    return token;
}

static inline void token_add_signature(struct token_text *token, struct span signature)
{
    token_add(token, SPAN_LITERAL("."));
    token_add_coded(token, signature);
}

static inline struct token_text token_of(enum jwt_alg alg, struct span header, struct span payload)
{
    struct token_text token = token_unsigned(header, payload);
    struct token_text signature = token_sign(alg, token_span(&token));
    token_add_signature(&token, token_span(&signature));
    return token;
}

static inline struct span token_header(enum jwt_alg alg)
{
    static char header[32];
    snprintf(header, sizeof header, "{\"alg\":\"%s\"}", token_alg_of(alg)->name);
    return span_of(header);
}

/* What a backend would make, with this payload. */
static inline struct token_text token_make(enum jwt_alg alg, const char *payload)
{
    return token_of(alg, token_header(alg), span_of(payload));
}

/* Judging */

static inline enum err token_judge(const struct jwt_keys *keys, const struct token_text *token,
                                   const struct jwt_rules *rules)
{
    struct jwt_claims claims;
    const char *detail = NULL;
    enum err error = jwt_verify(keys, token_span(token), rules, TOKEN_NOW_MS, &claims, &detail);
    cr_assert(error == ERR_OK || (detail != NULL && detail[0] != '\0'));
    return error;
}

/* Refused with exactly this sentence, so that each test fails for its own reason. */
static inline void token_is_refused(const struct jwt_keys *keys, const struct token_text *token,
                                    const struct jwt_rules *rules, const char *sentence)
{
    struct jwt_claims claims;
    const char *detail = "";
    enum err error = jwt_verify(keys, token_span(token), rules, TOKEN_NOW_MS, &claims, &detail);
    cr_assert_eq(error, ERR_UNAUTHORIZED, "%d: %.400s", error, token->text);
    cr_assert_str_eq(detail, sentence, "%.400s: %s", token->text, detail);
    cr_assert_leq(strlen(detail), 123, "it does not fit into a close frame: %s", detail);
}

#endif
