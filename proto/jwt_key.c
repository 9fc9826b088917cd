#include "proto/jwt_key.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>
#include <stdint.h>
#include <stdlib.h>

enum {
    HS256_BYTES = 32,
    P256_BYTES = 32,
    ED25519_BYTES = 32,
    DER_SIGNATURE_MAX_BYTES = 80, /* two integers of P256_BYTES + 1, three headers */
};

/* RFC 7518, 3.1; RFC 8037, 3.1; RFC 9864, 2.2. The first name of an algorithm is the one shown. */
static const struct {
    enum jwt_alg alg;
    const char *name;
} algs[] = {
    {JWT_HS256, "HS256"}, {JWT_RS256, "RS256"},   {JWT_ES256, "ES256"},
    {JWT_EDDSA, "EdDSA"}, {JWT_EDDSA, "Ed25519"},
};

static const size_t n_algs = sizeof algs / sizeof algs[0];

const char *jwt_alg_name(enum jwt_alg alg)
{
    for (size_t i = 0; i < n_algs; i++)
        if (algs[i].alg == alg)
            return algs[i].name;
    return "";
}

bool jwt_alg_find(struct span name, enum jwt_alg *ret_alg)
{
    for (size_t i = 0; i < n_algs; i++) {
        if (span_equal(name, span_of(algs[i].name))) {
            *ret_alg = algs[i].alg;
            return true;
        }
    }
    return false;
}

/* Making keys */

static enum err refuse(const char *why, const char **ret_why)
{
    *ret_why = why;
    return ERR_INVALID_FIELD;
}

enum err jwt_key_of_secret(struct span secret, struct jwt_key *ret_key, const char **ret_why)
{
    if (secret.len < JWT_SECRET_MIN_BYTES)
        return refuse("a secret for HS256 must be at least 32 bytes", ret_why);
    if (secret.len > JWT_SECRET_MAX_BYTES)
        return refuse("a secret for HS256 must be at most 4096 bytes", ret_why);
    char *copy = malloc(secret.len);
    if (copy == NULL)
        return ERR_NO_MEMORY;
    memcpy(copy, secret.bytes, secret.len);
    *ret_key = (struct jwt_key){.alg = JWT_HS256, .secret = copy, .secret_len = secret.len};
    return ERR_OK;
}

static bool is_p256(const EVP_PKEY *key)
{
    char group[32];
    return EVP_PKEY_is_a(key, "EC") &&
           EVP_PKEY_get_group_name(key, group, sizeof group, NULL) == 1 &&
           (strcmp(group, "prime256v1") == 0 || strcmp(group, "P-256") == 0);
}

/* For RSA: n is odd, no prime and without small factors, e is odd and above 1; for EC: the point
 * lies on the curve. An e of 1 would make every signature good. */
static enum err check_public(EVP_PKEY *key, const char **ret_why)
{
    EVP_PKEY_CTX *check = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    if (check == NULL)
        return ERR_NO_MEMORY;
    bool is_valid = EVP_PKEY_public_check(check) == 1;
    EVP_PKEY_CTX_free(check);
    return is_valid ? ERR_OK : refuse("its numbers are no valid public key", ret_why);
}

static enum err judge_public(EVP_PKEY *key, enum jwt_alg *ret_alg, const char **ret_why)
{
    if (EVP_PKEY_is_a(key, "RSA")) {
        int bits = EVP_PKEY_get_bits(key);
        if (bits < JWT_RSA_MIN_BITS || bits > JWT_RSA_MAX_BITS)
            return refuse("an RSA key must have 2048 to 8192 bits", ret_why);
        *ret_alg = JWT_RS256;
    } else if (is_p256(key)) {
        *ret_alg = JWT_ES256;
    } else if (EVP_PKEY_is_a(key, "ED25519")) {
        *ret_alg = JWT_EDDSA;
    } else {
        return refuse("it is none of RSA, EC P-256 and Ed25519", ret_why);
    }
    return check_public(key, ret_why);
}

enum err jwt_key_of_public(struct evp_pkey_st *public_key, struct jwt_key *ret_key,
                           const char **ret_why)
{
    enum jwt_alg alg = JWT_ALGS;
    enum err error = judge_public(public_key, &alg, ret_why);
    if (error != ERR_OK) {
        EVP_PKEY_free(public_key);
        return error;
    }
    *ret_key = (struct jwt_key){.alg = alg, .public_key = public_key};
    return ERR_OK;
}

/* Takes the numbers that the builder holds. */
static enum err make_public(const char *kind, OSSL_PARAM_BLD *numbers, struct jwt_key *ret_key,
                            const char **ret_why)
{
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *maker = EVP_PKEY_CTX_new_from_name(NULL, kind, NULL);
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(numbers);
    enum err error = ERR_NO_MEMORY;
    if (maker != NULL && params != NULL && EVP_PKEY_fromdata_init(maker) == 1) {
        if (EVP_PKEY_fromdata(maker, &key, EVP_PKEY_PUBLIC_KEY, params) == 1)
            error = jwt_key_of_public(key, ret_key, ret_why);
        else
            error = refuse("its numbers are no valid public key", ret_why);
    }
    OSSL_PARAM_free(params);
    EVP_PKEY_CTX_free(maker);
    return error;
}

static BIGNUM *number_of(struct span bytes)
{
    return BN_bin2bn((const unsigned char *)bytes.bytes, (int)bytes.len, NULL);
}

enum err jwt_key_of_rsa(struct span n, struct span e, struct jwt_key *ret_key, const char **ret_why)
{
    /* a zero octet may stand in front of either */
    if (n.len > JWT_RSA_MAX_BITS / 8 + 1 || e.len > sizeof(uint64_t) + 1)
        return refuse("n or e is longer than any key that is taken", ret_why);
    enum err error = ERR_NO_MEMORY;
    OSSL_PARAM_BLD *numbers = OSSL_PARAM_BLD_new();
    BIGNUM *modulus = number_of(n);
    BIGNUM *exponent = number_of(e);
    if (numbers != NULL && modulus != NULL && exponent != NULL &&
        OSSL_PARAM_BLD_push_BN(numbers, OSSL_PKEY_PARAM_RSA_N, modulus) == 1 &&
        OSSL_PARAM_BLD_push_BN(numbers, OSSL_PKEY_PARAM_RSA_E, exponent) == 1)
        error = make_public("RSA", numbers, ret_key, ret_why);
    BN_free(exponent);
    BN_free(modulus);
    OSSL_PARAM_BLD_free(numbers);
    return error;
}

enum err jwt_key_of_p256(struct span x, struct span y, struct jwt_key *ret_key,
                         const char **ret_why)
{
    if (x.len != P256_BYTES || y.len != P256_BYTES)
        return refuse("x and y must be 32 bytes", ret_why);
    unsigned char point[1 + 2 * P256_BYTES] = {POINT_CONVERSION_UNCOMPRESSED};
    memcpy(point + 1, x.bytes, P256_BYTES);
    memcpy(point + 1 + P256_BYTES, y.bytes, P256_BYTES);
    enum err error = ERR_NO_MEMORY;
    OSSL_PARAM_BLD *numbers = OSSL_PARAM_BLD_new();
    if (numbers != NULL &&
        OSSL_PARAM_BLD_push_utf8_string(numbers, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0) == 1 &&
        OSSL_PARAM_BLD_push_octet_string(numbers, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point) ==
            1)
        error = make_public("EC", numbers, ret_key, ret_why);
    OSSL_PARAM_BLD_free(numbers);
    return error;
}

enum err jwt_key_of_ed25519(struct span x, struct jwt_key *ret_key, const char **ret_why)
{
    if (x.len != ED25519_BYTES)
        return refuse("x must be 32 bytes", ret_why);
    EVP_PKEY *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL,
                                                (const unsigned char *)x.bytes, ED25519_BYTES);
    return key == NULL ? ERR_NO_MEMORY : jwt_key_of_public(key, ret_key, ret_why);
}

void jwt_key_fini(struct jwt_key *key)
{
    if (key->secret != NULL)
        OPENSSL_cleanse(key->secret, key->secret_len);
    free(key->secret);
    EVP_PKEY_free(key->public_key);
    *key = (struct jwt_key){.secret = NULL};
}

/* Verifying */

static enum err verify_hs256(const struct jwt_key *key, struct span text, struct span signature)
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    if (signature.len != HS256_BYTES)
        return ERR_UNAUTHORIZED;
    if (HMAC(EVP_sha256(), key->secret, (int)key->secret_len, (const unsigned char *)text.bytes,
             text.len, mac, NULL) == NULL)
        return ERR_NO_MEMORY;
    enum err error =
        CRYPTO_memcmp(mac, signature.bytes, HS256_BYTES) == 0 ? ERR_OK : ERR_UNAUTHORIZED;
    OPENSSL_cleanse(mac, sizeof mac);
    return error;
}

static enum err verify_public(const struct jwt_key *key, const EVP_MD *hash, struct span text,
                              struct span signature)
{
    EVP_MD_CTX *check = EVP_MD_CTX_new();
    enum err error = ERR_NO_MEMORY;
    if (check != NULL && EVP_DigestVerifyInit(check, NULL, hash, NULL, key->public_key) == 1)
        error = EVP_DigestVerify(check, (const unsigned char *)signature.bytes, signature.len,
                                 (const unsigned char *)text.bytes, text.len) == 1
                    ? ERR_OK
                    : ERR_UNAUTHORIZED;
    EVP_MD_CTX_free(check);
    return error;
}

/* JOSE has r and s side by side, each 32 bytes (RFC 7518, 3.4); OpenSSL takes them in DER. */
static enum err verify_es256(const struct jwt_key *key, struct span text, struct span signature)
{
    unsigned char der[DER_SIGNATURE_MAX_BYTES];
    if (signature.len != 2 * P256_BYTES)
        return ERR_UNAUTHORIZED;
    ECDSA_SIG *pair = ECDSA_SIG_new();
    BIGNUM *r = number_of((struct span){signature.bytes, P256_BYTES});
    BIGNUM *s = number_of((struct span){signature.bytes + P256_BYTES, P256_BYTES});
    if (pair == NULL || r == NULL || s == NULL || ECDSA_SIG_set0(pair, r, s) != 1) {
        BN_free(s);
        BN_free(r);
        ECDSA_SIG_free(pair);
        return ERR_NO_MEMORY;
    }
    unsigned char *end = der;
    int len = i2d_ECDSA_SIG(pair, NULL);
    if (len > 0 && (size_t)len <= sizeof der)
        len = i2d_ECDSA_SIG(pair, &end);
    ECDSA_SIG_free(pair);
    if (end == der)
        return ERR_NO_MEMORY;
    return verify_public(key, EVP_sha256(), text, (struct span){(const char *)der, (size_t)len});
}

enum err jwt_key_verify(const struct jwt_key *key, struct span text, struct span signature)
{
    switch (key->alg) {
    case JWT_HS256:
        return verify_hs256(key, text, signature);
    case JWT_RS256:
        return verify_public(key, EVP_sha256(), text, signature);
    case JWT_ES256:
        return verify_es256(key, text, signature);
    case JWT_EDDSA:
        return verify_public(key, NULL, text, signature);
    default:
        return ERR_UNAUTHORIZED;
    }
}
