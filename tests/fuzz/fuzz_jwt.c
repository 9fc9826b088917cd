/* Tokens against a fixed set of four keys, one an algorithm. A byte: bit 0, the input is not a
 * token but a header and a payload, a line each, and is signed here with the secret of the set, so
 * that the code after the verification is reached; bit 1, audience and issuer are looked at; bit 2,
 * the user is another claim, and so is the audience where there is no aud. */
#include "proto/token/jwt.h"
#include "tests/fuzz/fuzz.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#define NOW_MS 1700000000000
#define SECRET "an-HS256-secret-of-forty-bytes,-at-least"

/* The private halves of these were thrown away; the corpus has a token of each. */
static const char key_set[] =
    "{\"keys\":[{\"kty\":\"oct\",\"kid\":\"h\",\"k\":\"YW4gSFMyNTYgc2VjcmV0IG9mIGZvcn"
    "R5IGJ5dGVzLCBhdCBsZWFzdA\"},{\"kty\":\"RSA\",\"kid\":\"r\",\"n\":\"1R5gKabfx947a"
    "XG4l-md5auVuEOOdytKloGziR18TuKPNo7723rTo_tdaxW9wvnUJj1b09_KvwkUJml9iQKCjUbaoFZzx"
    "ueyvWlj3pVDm-e13TIrX8MzI9ixEGejbmiIzhrzYS5-g7HGU3776-jSuUxKn5rlniMlQhYyHr7f0khqS"
    "ujBhAr7tuuoz8zEaE5b2ca09z5jAXWfU2Zk7bkHFYqogyIQbxhgrhK95W4fku_YMMbuUdKAXvLFjZQ61"
    "YIbln3flAlMLCzpIV37P0LAhVtJazwKsosrq_GoHvyYRafPzl42cpxW8pnvkIOJa32WOZoyCw9_9Lze0"
    "Rk-rSc5Pw\",\"e\":\"AQAB\"},{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"e\",\"x"
    "\":\"s7Cvz2vYwMuW6eJmG2AuZCbXulMoEW0XQdSkZZSkn8s\",\"y\":\"EXbrCxCw49e_z3osGRRGj"
    "yvlXtfY1q7IjqT78GGmAg4\"},{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"d\",\"x"
    "\":\"9GWiMPfjEry9iase7qmehpFCY62wq5sKhMvE3aiyAns\"}]}";

enum { CODED_MAX_BYTES = 3000 };

static struct jwt_keys *read_keys(void)
{
    struct jwt_keys *keys = NULL;
    char why[200];
    FUZZ_CHECK(jwt_keys_read(span_of(key_set), NULL, NULL, &keys, why, sizeof why) == ERR_OK);
    FUZZ_CHECK(jwt_keys_count(keys) == 4);
    return keys;
}

/* base64url, by way of OpenSSL's base64. */
static void add_coded(struct buf *out, const void *bytes, size_t len)
{
    char coded[CODED_MAX_BYTES / 3 * 4 + 8];
    int n = EVP_EncodeBlock((unsigned char *)coded, bytes, (int)len);
    while (n > 0 && coded[n - 1] == '=')
        n--;
    for (int i = 0; i < n; i++)
        coded[i] = (char)(coded[i] == '+' ? '-' : coded[i] == '/' ? '_' : coded[i]);
    fuzz_note(out, coded, (size_t)n);
}

static void sign(struct buf *out, struct span header, struct span payload)
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    add_coded(out, header.bytes, header.len);
    fuzz_note(out, ".", 1);
    add_coded(out, payload.bytes, payload.len);
    FUZZ_CHECK(HMAC(EVP_sha256(), SECRET, (int)strlen(SECRET), (const unsigned char *)out->bytes,
                    out->len, mac, &len) != NULL);
    fuzz_note(out, ".", 1);
    add_coded(out, mac, len);
}

static void verify(const struct jwt_keys *keys, struct span token, unsigned how)
{
    struct jwt_rules rules = {.leeway_ms = JWT_LEEWAY_MS};
    struct jwt_claims claims;
    const char *detail = NULL;
    static const struct span audience = {"herald", 6}, issuer = {"https://issuer", 14};
    bool is_ours = how & 1;
    if (how & 4) {
        rules.user_claim = "user";
        rules.audience_claim = "azp";
    }
    if (how & 2) {
        rules.audiences = &audience;
        rules.n_audiences = 1;
        rules.issuers = &issuer;
        rules.n_issuers = 1;
    }
    enum err error = jwt_verify(keys, token, &rules, NOW_MS, &claims, &detail);
    if (error != ERR_OK) {
        FUZZ_CHECK((error == ERR_EXPIRED || error == ERR_UNAUTHORIZED) && detail != NULL);
        return;
    }
    struct span user_id = {claims.user_id, claims.user_id_len};
    FUZZ_CHECK(user_id_check(user_id, &detail) == ERR_OK);
    FUZZ_CHECK(claims.expires_ms > NOW_MS - JWT_LEEWAY_MS);
    /* Nobody signed anything else with the keys of the set. */
    FUZZ_CHECK(is_ours || span_equal(user_id, SPAN_LITERAL("anna")));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static struct jwt_keys *keys;
    struct fuzz_input input = {bytes, len};
    struct buf token;
    if (keys == NULL)
        keys = read_keys();
    unsigned how = fuzz_byte(&input);
    fuzz_log_init(&token);
    if (how & 1 && input.len < CODED_MAX_BYTES) {
        struct span header = fuzz_until(&input, '\n');
        sign(&token, header, fuzz_rest(&input));
    } else {
        fuzz_note(&token, input.at, input.len);
    }
    char *copy = fuzz_copy(buf_span(&token));
    verify(keys, (struct span){copy, token.len}, how);
    free(copy);
    buf_fini(&token);
    return 0;
}
