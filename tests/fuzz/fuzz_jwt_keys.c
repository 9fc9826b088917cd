/* The file of --jwt-keys: JWKS, PEM or a secret. What is read is asked to verify a token. */
#include "proto/token/jwt.h"
#include "tests/fuzz/fuzz.h"

#define TOKEN "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm5hIiwiZXhwIjoxNzAwMDAwMzAwfQ.AAAA"

static void on_skip(void *to, const struct jwt_skip *skip)
{
    FUZZ_CHECK(skip->number > *(size_t *)to && skip->why != NULL && skip->why[0] != '\0');
    FUZZ_CHECK(skip->kid.bytes == NULL || skip->kid.len <= JWT_KID_MAX_BYTES);
    *(size_t *)to = skip->number - 1; /* a certificate may have several blocks */
}

static void read_keys(struct span file)
{
    size_t skipped = 0;
    struct jwt_keys *keys = NULL;
    char why[120];
    memset(why, '#', sizeof why);
    enum err error = jwt_keys_read(file, on_skip, &skipped, &keys, why, sizeof why);
    if (error != ERR_OK) {
        FUZZ_CHECK(error == ERR_INVALID_FIELD && keys == NULL);
        FUZZ_CHECK(memchr(why, '\0', sizeof why) != NULL && why[0] != '\0');
        return;
    }
    FUZZ_CHECK(jwt_keys_count(keys) >= 1 && jwt_keys_count(keys) <= JWT_KEYS_MAX);
    struct jwt_rules rules = {.leeway_ms = JWT_LEEWAY_MS};
    struct jwt_claims claims;
    const char *detail = NULL;
    FUZZ_CHECK(jwt_verify(keys, SPAN_LITERAL(TOKEN), &rules, 1700000000000, &claims, &detail) ==
               ERR_UNAUTHORIZED);
    FUZZ_CHECK(detail != NULL);
    jwt_keys_unref(jwt_keys_ref(keys));
    jwt_keys_unref(keys);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    char *copy = fuzz_copy((struct span){(const char *)bytes, len});
    read_keys((struct span){copy, len});
    free(copy);
    return 0;
}
