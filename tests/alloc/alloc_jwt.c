/* Tokens and their keys without memory, OpenSSL's own included: a bad signature is never taken for
 * a good one, and a good one is refused for want of memory alone. */
#include "proto/token/jwt.h"
#include "tests/alloc/fail.h"

#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#define NOW_MS  1700000000000
#define HEADER  "eyJhbGciOiJFUzI1NiJ9"                       /* {"alg":"ES256"} */
#define PAYLOAD "eyJzdWIiOiJhbm5hIiwiZXhwIjoxNzAwMDAwMzAwfQ" /* {"sub":"anna","exp":1700000300} */

static char pem[1024];
static size_t pem_len;
static char token[1024];

/* OpenSSL asks here. What it keeps for the process (fetched algorithms, error queues) is its own
 * business, so these blocks are not counted. */
static void *library_malloc(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return fail_library() ? NULL : fail_uncounted_realloc(NULL, size);
}

static void *library_realloc(void *block, size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return fail_library() ? NULL : fail_uncounted_realloc(block, size);
}

static void library_free(void *block, const char *file, int line)
{
    (void)file;
    (void)line;
    fail_uncounted_free(block);
}

/* base64url, by way of OpenSSL's base64. */
static void add_coded(const unsigned char *bytes, int len)
{
    char *out = token + strlen(token);
    int n = EVP_EncodeBlock((unsigned char *)out, bytes, len);
    while (n > 0 && out[n - 1] == '=')
        out[--n] = '\0';
    for (int i = 0; i < n; i++)
        out[i] = (char)(out[i] == '+' ? '-' : out[i] == '/' ? '_' : out[i]);
}

/* r and s side by side (RFC 7518, 3.4). */
static void sign(EVP_PKEY *key)
{
    unsigned char der[128], raw[64];
    size_t len = sizeof der;
    const unsigned char *at = der;
    EVP_MD_CTX *signer = EVP_MD_CTX_new();
    CHECK(EVP_DigestSignInit(signer, NULL, EVP_sha256(), NULL, key) == 1);
    CHECK(EVP_DigestSign(signer, der, &len, (const unsigned char *)token, strlen(token)) == 1);
    EVP_MD_CTX_free(signer);
    ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &at, (long)len);
    CHECK(BN_bn2binpad(ECDSA_SIG_get0_r(pair), raw, 32) == 32);
    CHECK(BN_bn2binpad(ECDSA_SIG_get0_s(pair), raw + 32, 32) == 32);
    ECDSA_SIG_free(pair);
    size_t end = strlen(token);
    CHECK(snprintf(token + end, sizeof token - end, ".") == 1);
    add_coded(raw, sizeof raw);
}

static void make_key_and_token(void)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    BIO *bio = BIO_new(BIO_s_mem());
    CHECK(key != NULL && PEM_write_bio_PUBKEY(bio, key) == 1);
    pem_len = (size_t)BIO_read(bio, pem, sizeof pem);
    BIO_free(bio);
    snprintf(token, sizeof token, "%s.%s", HEADER, PAYLOAD);
    sign(key);
    EVP_PKEY_free(key);
}

static enum err verify(const struct jwt_keys *keys, const char *text)
{
    struct jwt_rules rules = {.leeway_ms = JWT_LEEWAY_MS};
    struct jwt_claims claims = {.user_id_len = 0};
    const char *detail = NULL;
    enum err error = jwt_verify(keys, span_of(text), &rules, NOW_MS, &claims, &detail);
    CHECK(error != ERR_OK || claims.user_id_len == 4);
    CHECK(error == ERR_OK || detail != NULL);
    return error;
}

static void read_and_verify(void)
{
    struct jwt_keys *keys = NULL;
    char why[200] = "";
    char forged[sizeof token];
    enum err error = jwt_keys_read((struct span){pem, pem_len}, NULL, NULL, &keys, why, sizeof why);
    if (error != ERR_OK) {
        CHECK(fail_has_happened() && keys == NULL && why[0] != '\0');
        CHECK(error == ERR_NO_MEMORY || error == ERR_INVALID_FIELD);
        return;
    }
    error = verify(keys, token);
    CHECK(error == ERR_OK || fail_has_happened());
    CHECK(error == ERR_OK || error == ERR_NO_MEMORY || error == ERR_UNAUTHORIZED);
    memcpy(forged, token, sizeof token);
    char *last = forged + strlen(forged) - 10;
    *last = *last == 'A' ? 'B' : 'A';
    error = verify(keys, forged);
    CHECK(error == ERR_UNAUTHORIZED || (error == ERR_NO_MEMORY && fail_has_happened()));
    jwt_keys_unref(keys);
}

int main(void)
{
    CHECK(CRYPTO_set_mem_functions(library_malloc, library_realloc, library_free) == 1);
    make_key_and_token();
    fail_each("read_and_verify", read_and_verify);
    return 0;
}
