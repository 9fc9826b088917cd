/* The file of --admin-keys, and after a byte 0x1e an Authorization header. */
#include "admin/keys.h"
#include "tests/fuzz/fuzz.h"

static void check_name(const char *name)
{
    size_t len = strnlen(name, KEY_NAME_MAX_BYTES + 1);
    FUZZ_CHECK(len >= 1 && len <= KEY_NAME_MAX_BYTES);
    for (size_t i = 0; i < len; i++)
        FUZZ_CHECK(name[i] > ' ' && name[i] < 0x7f);
}

static void check_keys(const struct keys *keys, struct span authorization)
{
    FUZZ_CHECK(keys->n >= 1 && keys->n <= KEYS_MAX);
    for (size_t i = 0; i < keys->n; i++) {
        check_name(keys->keys[i].name);
        for (size_t j = 0; j < i; j++)
            FUZZ_CHECK(memcmp(keys->keys[i].digest, keys->keys[j].digest, DIGEST_LEN) != 0);
    }
    const struct key *found = keys_find(keys, authorization);
    FUZZ_CHECK(found == NULL || (found >= keys->keys && found < keys->keys + keys->n));
    FUZZ_CHECK(found == NULL || authorization.len >= 7 + KEY_MIN_BYTES);
    FUZZ_CHECK(keys_find(keys, SPAN_LITERAL("Bearer ")) == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct fuzz_input input = {bytes, len};
    struct span file = fuzz_until(&input, 0x1e);
    struct keys *keys = NULL;
    char why[120];
    char *copy = fuzz_copy(file);
    enum err error = keys_read((struct span){copy, file.len}, &keys, why, sizeof why);
    free(copy); /* nothing of it is kept */
    if (error == ERR_OK)
        check_keys(keys, fuzz_rest(&input));
    else
        FUZZ_CHECK(error == ERR_INVALID_FIELD && strnlen(why, sizeof why) < sizeof why);
    free(keys);
    return 0;
}
