#include "proto/jwt_keys.h"

#include "proto/json_object.h"
#include "proto/jwk.h"
#include "proto/jwt_pem.h"

#include <openssl/err.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

struct jwt_keys {
    atomic_uint refs;
    size_t n_keys;
    struct jwt_key keys[JWT_KEYS_MAX];
};

/* A reading under way: where it is, for the sentence if it fails. */
struct reading {
    struct jwt_keys *keys;
    const char *part; /* "key", "PEM block"; NULL: the file as a whole */
    size_t number;
    const char *why;
};

static enum err refuse(const char *why, const char **ret_why)
{
    *ret_why = why;
    return ERR_INVALID_FIELD;
}

/* The set takes *key, or refuses and frees it. */
static enum err add(void *to, struct jwt_key *key, const char **ret_why)
{
    struct jwt_keys *keys = to;
    const char *why = keys->n_keys == JWT_KEYS_MAX ? "there are more than 100 keys" : NULL;
    for (size_t i = 0; i < keys->n_keys && why == NULL; i++) {
        const struct jwt_key *other = &keys->keys[i];
        if (key->has_kid && other->has_kid) {
            if (span_equal((struct span){key->kid, key->kid_len},
                           (struct span){other->kid, other->kid_len}))
                why = "another key has the same kid";
        } else if (key->alg == other->alg) {
            why = "of two keys of one algorithm each must have a kid (in a JWKS): no token could "
                  "choose one without";
        }
    }
    if (why != NULL) {
        jwt_key_fini(key);
        return refuse(why, ret_why);
    }
    keys->keys[keys->n_keys++] = *key;
    return ERR_OK;
}

static enum err read_jwks(struct reading *reading, struct span file)
{
    static const char *const names[] = {"keys"};
    struct span raw, object;
    struct json_array array;
    if (!json_object_scan(file, names, 1, &raw, &reading->why))
        return ERR_INVALID_FIELD;
    if (!json_array_open(&array, raw))
        return refuse("a JWKS is an object with an array \"keys\"", &reading->why);
    reading->part = "key";
    while (json_array_next(&array, &object)) {
        struct jwt_key key;
        bool is_used;
        if (reading->number++ == JWT_KEYS_MAX)
            return refuse("there are more than 100 keys", &reading->why);
        enum err error = jwk_read(object, &key, &is_used, &reading->why);
        if (error == ERR_OK && is_used)
            error = add(reading->keys, &key, &reading->why);
        if (error != ERR_OK)
            return error;
    }
    reading->part = NULL;
    if (reading->keys->n_keys == 0)
        return refuse("none of its keys is for HS256, RS256, ES256 or EdDSA", &reading->why);
    return ERR_OK;
}

static struct span without_line_break(struct span text)
{
    if (text.len > 0 && text.bytes[text.len - 1] == '\n')
        text.len--;
    if (text.len > 0 && text.bytes[text.len - 1] == '\r')
        text.len--;
    return text;
}

static enum err read_secret(struct reading *reading, struct span file)
{
    struct jwt_key key;
    if (jwt_pem_is_bare_key(file))
        return refuse("it looks like a public key, which is taken in PEM or as a JWKS alone",
                      &reading->why);
    enum err error = jwt_key_of_secret(without_line_break(file), &key, &reading->why);
    return error == ERR_OK ? add(reading->keys, &key, &reading->why) : error;
}

static bool begins_with(struct span text, struct span with)
{
    return text.len >= with.len && memcmp(text.bytes, with.bytes, with.len) == 0;
}

static enum err read_file(struct reading *reading, struct span file)
{
    struct json_scan scan;
    if (file.len == 0)
        return refuse("it is empty", &reading->why);
    if (file.len > JWT_KEYS_FILE_MAX_BYTES)
        return refuse("it is larger than 1 MiB", &reading->why);
    if (begins_with(file, SPAN_LITERAL("\xef\xbb\xbf")))
        return refuse("it begins with a byte order mark", &reading->why);
    json_scan_init(&scan, file);
    json_scan_space(&scan);
    if (json_scan_peek(&scan) == '{')
        return read_jwks(reading, file);
    if (!jwt_pem_is(file))
        return read_secret(reading, file);
    reading->part = "PEM block";
    return jwt_pem_read(file, add, reading->keys, &reading->number, &reading->why);
}

static void say(const struct reading *reading, char *why, size_t why_cap)
{
    if (reading->part != NULL)
        snprintf(why, why_cap, "%s %zu: %s", reading->part, reading->number, reading->why);
    else
        snprintf(why, why_cap, "%s", reading->why);
}

enum err jwt_keys_read(struct span file, struct jwt_keys **ret_keys, char *why, size_t why_cap)
{
    struct reading reading = {.keys = calloc(1, sizeof *reading.keys)};
    enum err error = ERR_NO_MEMORY;
    if (reading.keys != NULL) {
        atomic_init(&reading.keys->refs, 1);
        ERR_set_mark();
        error = read_file(&reading, file);
        ERR_pop_to_mark();
    }
    if (error == ERR_OK) {
        *ret_keys = reading.keys;
        return ERR_OK;
    }
    if (error == ERR_NO_MEMORY)
        reading.why = error_title(error);
    say(&reading, why, why_cap);
    jwt_keys_unref(reading.keys);
    return error;
}

struct jwt_keys *jwt_keys_ref(struct jwt_keys *keys)
{
    atomic_fetch_add_explicit(&keys->refs, 1, memory_order_relaxed);
    return keys;
}

void jwt_keys_unref(struct jwt_keys *keys)
{
    if (keys == NULL || atomic_fetch_sub_explicit(&keys->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < keys->n_keys; i++)
        jwt_key_fini(&keys->keys[i]);
    free(keys);
}

size_t jwt_keys_count(const struct jwt_keys *keys)
{
    return keys->n_keys;
}

const struct jwt_key *jwt_keys_find(const struct jwt_keys *keys, struct span kid)
{
    for (size_t i = 0; i < keys->n_keys; i++) {
        const struct jwt_key *key = &keys->keys[i];
        if (key->has_kid && span_equal(kid, (struct span){key->kid, key->kid_len}))
            return key;
    }
    return NULL;
}

const struct jwt_key *jwt_keys_find_only(const struct jwt_keys *keys, enum jwt_alg alg)
{
    const struct jwt_key *only = NULL;
    for (size_t i = 0; i < keys->n_keys; i++) {
        if (keys->keys[i].alg != alg)
            continue;
        if (only != NULL)
            return NULL;
        only = &keys->keys[i];
    }
    return only;
}
