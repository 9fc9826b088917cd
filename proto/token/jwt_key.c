/* A table lists the family, hash and curve of each algorithm. A key is made from a secret, from an
 * EVP_PKEY of OpenSSL, or from the numbers of a JWK, which make_public_key turns into an EVP_PKEY;
 * all three are then checked for strength and validity. A signature is verified as the key's family
 * requires: HMAC with a comparison in constant time, or OpenSSL's digest verification, for ECDSA
 * after its two numbers were encoded in DER. Everything else is refused with a constant
 * sentence. */
#include "proto/token/jwt_key.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <stdint.h>
#include <stdlib.h>

enum {
    HS256_BYTES = 32,
    ED25519_BYTES = 32,
    COORDINATE_MAX_BYTES = 66,     /* of P-521 */
    DER_SIGNATURE_MAX_BYTES = 144, /* two integers of COORDINATE_MAX_BYTES + 1, three headers */
};

enum family { FAMILY_HMAC, FAMILY_RSA, FAMILY_RSA_PSS, FAMILY_EC, FAMILY_OKP };

/* RFC 7518, 3.1; RFC 8037, 3.1. */
static const struct {
    const char *name;
    enum family family;
    const EVP_MD *(*hash)(void); /* NULL: the algorithm implies it */
    size_t coordinate_bytes;
    const char *group, *alias; /* the curve's names in NIST's standards and in OpenSSL */
} algs[JWT_ALGS] = {
    [JWT_HS256] = {"HS256", FAMILY_HMAC, EVP_sha256, 0, NULL, NULL},
    [JWT_RS256] = {"RS256", FAMILY_RSA, EVP_sha256, 0, NULL, NULL},
    [JWT_RS384] = {"RS384", FAMILY_RSA, EVP_sha384, 0, NULL, NULL},
    [JWT_RS512] = {"RS512", FAMILY_RSA, EVP_sha512, 0, NULL, NULL},
    [JWT_PS256] = {"PS256", FAMILY_RSA_PSS, EVP_sha256, 0, NULL, NULL},
    [JWT_PS384] = {"PS384", FAMILY_RSA_PSS, EVP_sha384, 0, NULL, NULL},
    [JWT_PS512] = {"PS512", FAMILY_RSA_PSS, EVP_sha512, 0, NULL, NULL},
    [JWT_ES256] = {"ES256", FAMILY_EC, EVP_sha256, 32, "P-256", "prime256v1"},
    [JWT_ES384] = {"ES384", FAMILY_EC, EVP_sha384, 48, "P-384", "secp384r1"},
    [JWT_ES512] = {"ES512", FAMILY_EC, EVP_sha512, 66, "P-521", "secp521r1"},
    [JWT_EDDSA] = {"EdDSA", FAMILY_OKP, NULL, 0, NULL, NULL},
};

bool jwt_alg_find(struct span name, enum jwt_alg *ret_alg)
{
    if (span_equal(name, SPAN_LITERAL("Ed25519"))) { /* RFC 9864, 2.2 */
        *ret_alg = JWT_EDDSA;
        return true;
    }
    for (int alg = 0; alg < JWT_ALGS; alg++) {
        if (span_equal(name, span_of(algs[alg].name))) {
            *ret_alg = (enum jwt_alg)alg;
            return true;
        }
    }
    return false;
}

bool jwt_alg_is_rsa(enum jwt_alg alg)
{
    return algs[alg].family == FAMILY_RSA || algs[alg].family == FAMILY_RSA_PSS;
}

/* ---- making keys ---- */

static enum err refuse_key(const char *why, const char **ret_why)
{
    *ret_why = why;
    return ERR_INVALID_FIELD;
}

enum err jwt_key_of_secret(struct span secret, struct jwt_key *ret_key, const char **ret_why)
{
    if (secret.len < JWT_SECRET_MIN_BYTES)
        return refuse_key("a secret for HS256 must be at least 32 bytes", ret_why);
    if (secret.len > JWT_SECRET_MAX_BYTES)
        return refuse_key("a secret for HS256 must be at most 4096 bytes", ret_why);
    char *copy = malloc(secret.len);
    if (copy == NULL)
        return ERR_NO_MEMORY;
    memcpy(copy, secret.bytes, secret.len);
    *ret_key = (struct jwt_key){.alg = JWT_HS256, .secret = copy, .secret_len = secret.len};
    return ERR_OK;
}

/* false: the key's curve is not supported. */
static bool find_curve(const EVP_PKEY *key, enum jwt_alg *ret_alg)
{
    char group[32];
    if (!EVP_PKEY_is_a(key, "EC") || EVP_PKEY_get_group_name(key, group, sizeof group, NULL) != 1)
        return false;
    for (int alg = JWT_ES256; alg <= JWT_ES512; alg++) {
        if (strcmp(group, algs[alg].alias) == 0 || strcmp(group, algs[alg].group) == 0) {
            *ret_alg = (enum jwt_alg)alg;
            return true;
        }
    }
    return false;
}

/* For RSA: n is odd, not a prime and has no small factors, e is odd and above 1 (with an e of 1
 * every signature would be valid). For EC: the point lies on the curve. */
static enum err check_public_key(EVP_PKEY *key, const char **ret_why)
{
    EVP_PKEY_CTX *check = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    if (check == NULL)
        return ERR_NO_MEMORY;
    bool is_valid = EVP_PKEY_public_check(check) == 1;
    EVP_PKEY_CTX_free(check);
    return is_valid ? ERR_OK : refuse_key("its numbers are no valid public key", ret_why);
}

static enum err judge_public_key(EVP_PKEY *key, enum jwt_alg *ret_alg, const char **ret_why)
{
    if (EVP_PKEY_is_a(key, "RSA")) {
        int bits = EVP_PKEY_get_bits(key);
        if (bits < JWT_RSA_MIN_BITS || bits > JWT_RSA_MAX_BITS)
            return refuse_key("an RSA key must have 2048 to 8192 bits", ret_why);
        *ret_alg = JWT_RS256;
    } else if (EVP_PKEY_is_a(key, "ED25519")) {
        *ret_alg = JWT_EDDSA;
    } else if (!find_curve(key, ret_alg)) {
        return refuse_key("it is none of RSA, EC on P-256, P-384 or P-521, and Ed25519", ret_why);
    }
    return check_public_key(key, ret_why);
}

enum err jwt_key_of_public(struct evp_pkey_st *public_key, struct jwt_key *ret_key,
                           const char **ret_why)
{
    enum jwt_alg alg = JWT_ALGS;
    enum err error = judge_public_key(public_key, &alg, ret_why);
    if (error != ERR_OK) {
        EVP_PKEY_free(public_key);
        return error;
    }
    *ret_key = (struct jwt_key){.alg = alg, .public_key = public_key};
    return ERR_OK;
}

/* Makes a key from the numbers in the builder. */
static enum err make_public_key(const char *kind, OSSL_PARAM_BLD *numbers, struct jwt_key *ret_key,
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
            error = refuse_key("its numbers are no valid public key", ret_why);
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
    /* either may have a leading zero octet */
    if (n.len > JWT_RSA_MAX_BITS / 8 + 1 || e.len > sizeof(uint64_t) + 1)
        return refuse_key("n or e is longer than any key that is taken", ret_why);
    enum err error = ERR_NO_MEMORY;
    OSSL_PARAM_BLD *numbers = OSSL_PARAM_BLD_new();
    BIGNUM *modulus = number_of(n);
    BIGNUM *exponent = number_of(e);
    if (numbers != NULL && modulus != NULL && exponent != NULL &&
        OSSL_PARAM_BLD_push_BN(numbers, OSSL_PKEY_PARAM_RSA_N, modulus) == 1 &&
        OSSL_PARAM_BLD_push_BN(numbers, OSSL_PKEY_PARAM_RSA_E, exponent) == 1)
        error = make_public_key("RSA", numbers, ret_key, ret_why);
    BN_free(exponent);
    BN_free(modulus);
    OSSL_PARAM_BLD_free(numbers);
    return error;
}

enum err jwt_key_of_ec(enum jwt_alg alg, struct span x, struct span y, struct jwt_key *ret_key,
                       const char **ret_why)
{
    size_t n = algs[alg].coordinate_bytes;
    if (x.len != n || y.len != n)
        return refuse_key("x and y must be as long as the numbers of the curve", ret_why);
    unsigned char point[1 + 2 * COORDINATE_MAX_BYTES] = {POINT_CONVERSION_UNCOMPRESSED};
    memcpy(point + 1, x.bytes, n);
    memcpy(point + 1 + n, y.bytes, n);
    enum err error = ERR_NO_MEMORY;
    OSSL_PARAM_BLD *numbers = OSSL_PARAM_BLD_new();
    if (numbers != NULL &&
        OSSL_PARAM_BLD_push_utf8_string(numbers, OSSL_PKEY_PARAM_GROUP_NAME, algs[alg].group, 0) ==
            1 &&
        OSSL_PARAM_BLD_push_octet_string(numbers, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * n) == 1)
        error = make_public_key("EC", numbers, ret_key, ret_why);
    OSSL_PARAM_BLD_free(numbers);
    return error;
}

enum err jwt_key_of_ed25519(struct span x, struct jwt_key *ret_key, const char **ret_why)
{
    if (x.len != ED25519_BYTES)
        return refuse_key("x must be 32 bytes", ret_why);
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

/* ---- verifying ---- */

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

/* RFC 7518, 3.5: MGF1 with the same hash, and a salt as long as it. */
static bool set_pss_options(EVP_PKEY_CTX *options)
{
    return EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING) == 1 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(options, RSA_PSS_SALTLEN_DIGEST) == 1;
}

static enum err verify_public(const struct jwt_key *key, struct span text, struct span signature)
{
    const EVP_MD *hash = algs[key->alg].hash != NULL ? algs[key->alg].hash() : NULL;
    bool is_pss = algs[key->alg].family == FAMILY_RSA_PSS;
    EVP_MD_CTX *check = EVP_MD_CTX_new();
    EVP_PKEY_CTX *options = NULL;
    enum err error = ERR_NO_MEMORY;
    if (check != NULL && EVP_DigestVerifyInit(check, &options, hash, NULL, key->public_key) == 1 &&
        (!is_pss || set_pss_options(options)))
        error = EVP_DigestVerify(check, (const unsigned char *)signature.bytes, signature.len,
                                 (const unsigned char *)text.bytes, text.len) == 1
                    ? ERR_OK
                    : ERR_UNAUTHORIZED;
    EVP_MD_CTX_free(check);
    return error;
}

/* A JOSE signature is r and s, each as long as a coordinate (RFC 7518, 3.4); OpenSSL expects them
 * in DER. */
static enum err verify_ec(const struct jwt_key *key, struct span text, struct span signature)
{
    unsigned char der[DER_SIGNATURE_MAX_BYTES];
    size_t n = algs[key->alg].coordinate_bytes;
    if (signature.len != 2 * n)
        return ERR_UNAUTHORIZED;
    ECDSA_SIG *pair = ECDSA_SIG_new();
    BIGNUM *r = number_of((struct span){signature.bytes, n});
    BIGNUM *s = number_of((struct span){signature.bytes + n, n});
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
    return verify_public(key, text, (struct span){(const char *)der, (size_t)len});
}

enum err jwt_key_verify(const struct jwt_key *key, struct span text, struct span signature)
{
    switch (algs[key->alg].family) {
    case FAMILY_HMAC:
        return verify_hs256(key, text, signature);
    case FAMILY_EC:
        return verify_ec(key, text, signature);
    case FAMILY_RSA:
    case FAMILY_RSA_PSS:
    case FAMILY_OKP:
        break;
    }
    return verify_public(key, text, signature);
}
