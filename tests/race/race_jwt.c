/* One set of keys used by many threads, which is released while they verify with it. */
#include "proto/token/jwt.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>

enum { THREADS = 4, ROUNDS = 200 };

/* RFC 7515, A.1-A.3: good tokens of the user whom iss names. */
#define PAYLOAD                                                                                    \
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVl" \
    "fQ"
static const char file[] =
    "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-"
    "1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow\"},{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":"
    "\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\",\"y\":\"x_FEzRu9m36HLN_"
    "tue659LNpXW6pCyStikYjKIWI5a0\"}]}";
static const char *const tokens[] = {
    "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." PAYLOAD
    ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
    "eyJhbGciOiJFUzI1NiJ9." PAYLOAD
    ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
};

static void *verify(void *arg)
{
    struct jwt_keys *keys = arg;
    for (int i = 0; i < ROUNDS; i++) {
        struct jwt_rules rules = {.user_claim = "iss", .leeway_ms = JWT_LEEWAY_MS};
        struct jwt_claims claims;
        const char *detail = "";
        enum err error =
            jwt_verify(keys, span_of(tokens[i % 2]), &rules, 1300819380000, &claims, &detail);
        assert(error == ERR_OK && claims.user_id_len == 3);
        jwt_keys_unref(jwt_keys_ref(keys));
    }
    jwt_keys_unref(keys);
    return NULL;
}

int main(void)
{
    struct jwt_keys *keys = NULL;
    pthread_t threads[THREADS];
    char why[128] = "";
    if (jwt_keys_read(span_of(file), NULL, NULL, &keys, why, sizeof why) != ERR_OK) {
        fprintf(stderr, "race_jwt: %s\n", why);
        return 1;
    }
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, verify, jwt_keys_ref(keys)) != 0)
            return 1;
    jwt_keys_unref(keys);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    return 0;
}
