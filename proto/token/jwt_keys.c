/* The format of the file is recognised by its bytes (read_keys_file): a JWKS, certificates by kid,
 * PEM, or a bare secret. Each key in it is added to the set or skipped with a reason. A file
 * without a usable key is refused, with the reason of the first skip. jwt_keys_choose later picks
 * the keys that may have signed a token: those of its algorithm and kid, or else those without a
 * kid. */
#include "proto/token/jwt_keys.h"

#include "proto/json/json_object.h"
#include "proto/json/json_string.h"
#include "proto/token/jwk.h"
#include "proto/token/jwt_pem.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

struct jwt_keys {
    atomic_uint refs;
    size_t n_keys;
    bool are_bare_secret;
    struct jwt_key keys[JWT_KEYS_MAX];
};

/* The state while a file is read. */
struct reading {
    struct jwt_keys *keys;
    jwt_keys_on_skip_fn on_skip;
    void *to;
    const char *part; /* "key", "PEM block"; NULL: the file as a whole */
    size_t number;    /* the part's position, from 1, for the error sentence */
    const char *why;
    struct jwt_skip first; /* the first fault, or the first skip if there is no fault */
    struct span kid;       /* of the certificate that is being read; NULL bytes: none */
    bool is_full;
    bool is_empty; /* the file has no usable key */
};

static enum err refuse_file(const char *why, const char **ret_why)
{
    *ret_why = why;
    return ERR_INVALID_FIELD;
}

static void skip_key(struct reading *reading, bool is_fault, struct span kid, const char *why)
{
    struct jwt_skip skip = {reading->part, reading->number, kid, is_fault, why};
    if (reading->first.why == NULL || (is_fault && !reading->first.is_fault))
        reading->first = skip;
    if (reading->on_skip != NULL)
        reading->on_skip(reading->to, &skip);
}

static struct span kid_of(const struct jwt_key *key)
{
    return key->has_kid ? (struct span){key->kid, key->kid_len} : (struct span){NULL, 0};
}

/* Have both no kid, or the same? */
static bool is_named_alike(const struct jwt_key *a, const struct jwt_key *b)
{
    return a->has_kid == b->has_kid && span_equal(kid_of(a), kid_of(b));
}

/* Moves *key into the set, or skips it. */
static void add_key(struct reading *reading, struct jwt_key *key)
{
    struct jwt_keys *keys = reading->keys;
    size_t n_alike = 0;
    for (size_t i = 0; i < keys->n_keys; i++)
        n_alike += keys->keys[i].alg == key->alg && is_named_alike(&keys->keys[i], key);
    if (n_alike == JWT_TRIES_MAX) {
        skip_key(reading, true, kid_of(key),
                 "a token could not tell it from eight others, and is tried with no more");
        jwt_key_fini(key);
        return;
    }
    keys->keys[keys->n_keys++] = *key;
}

/* Is the set full? Only the first key for which there is no room is reported as skipped. */
static bool has_no_room(struct reading *reading)
{
    if (reading->keys->n_keys == JWT_KEYS_MAX && !reading->is_full) {
        reading->is_full = true;
        skip_key(reading, true, reading->kid,
                 "there are 100 others: neither it nor what stands behind it is looked at");
    }
    return reading->is_full;
}

/* Runs after the whole file was read. The first fault explains most, because a file often has one
 * key only. */
static enum err check_left(struct reading *reading, const char **ret_why)
{
    if (reading->keys->n_keys > 0)
        return ERR_OK;
    reading->is_empty = true;
    return refuse_file("it has no key", ret_why);
}

static enum err read_array(struct reading *reading, struct json_array *array)
{
    struct span object;
    reading->part = "key";
    while (json_array_next(array, &object)) {
        struct jwt_key key;
        const char *why = "";
        reading->number++;
        if (has_no_room(reading))
            break;
        enum err error = jwk_read(object, &key, &why);
        if (error == ERR_NO_MEMORY)
            return error;
        if (error == ERR_OK)
            add_key(reading, &key);
        else
            skip_key(reading, error == ERR_INVALID_FIELD, kid_of(&key), why);
        OPENSSL_cleanse(&key, sizeof key);
    }
    return check_left(reading, &reading->why);
}

/* A jwt_pem_on_block_fn. */
static enum err on_pem_block(void *to, size_t number, struct jwt_key *key, const char *why)
{
    struct reading *reading = to;
    if (reading->kid.bytes == NULL)
        reading->number = number;
    if (key == NULL) {
        skip_key(reading, true, reading->kid, why);
        return ERR_OK;
    }
    if (reading->kid.bytes != NULL) {
        key->has_kid = true;
        key->kid_len = reading->kid.len;
        memcpy(key->kid, reading->kid.bytes, reading->kid.len);
    }
    if (has_no_room(reading))
        jwt_key_fini(key);
    else
        add_key(reading, key);
    return ERR_OK;
}

/* Reads one member of an object of certificates. */
static enum err read_certificate(struct reading *reading, struct span kid, struct span value)
{
    size_t len, block;
    char *pem = malloc(value.len + 1);
    if (pem == NULL)
        return ERR_NO_MEMORY;
    enum err error = ERR_OK;
    reading->kid = kid;
    if (!json_object_string(value, pem, value.len, &len))
        skip_key(reading, true, kid, "it is not a string");
    else if (!jwt_pem_is((struct span){pem, len}))
        skip_key(reading, true, kid, "it is not PEM");
    else
        error = jwt_pem_read((struct span){pem, len}, on_pem_block, reading, &block);
    if (error == ERR_INVALID_FIELD) {
        skip_key(reading, true, kid, "it is no whole PEM block");
        error = ERR_OK;
    }
    free(pem);
    return error;
}

/* Reads {"KID":"-----BEGIN CERTIFICATE-----..."}; the file is known to be one JSON object. */
static enum err read_certificates(struct reading *reading, struct span file)
{
    struct json_scan scan;
    struct span name, value;
    bool has_escapes, is_closed;
    char kid[JWT_KID_MAX_BYTES];
    size_t len, at;
    enum err error = ERR_OK;
    reading->part = "certificate";
    json_scan_init(&scan, file);
    scan.skips_deep = true;
    json_scan_space(&scan);
    bool is_good = json_scan_open(&scan, &is_closed);
    while (is_good && !is_closed && error == ERR_OK && !reading->is_full) {
        is_good = json_scan_string(&scan, &name, &has_escapes);
        json_scan_space(&scan);
        is_good = is_good && json_scan_byte(&scan, ':', "':' must stand here");
        json_scan_space(&scan);
        is_good = is_good && json_scan_value(&scan, &value) && json_scan_next(&scan, &is_closed);
        reading->number++;
        if (is_good && json_string_decode(name, kid, sizeof kid, &len, &at) == ERR_OK &&
            len <= sizeof kid)
            error = read_certificate(reading, (struct span){kid, len}, value);
        else if (is_good)
            skip_key(reading, true, (struct span){NULL, 0}, "its name is longer than 256 bytes");
    }
    if (error == ERR_OK)
        error = check_left(reading, &reading->why);
    return error;
}

static enum err read_json(struct reading *reading, struct span file)
{
    static const char *const names[] = {"keys"};
    struct span raw;
    struct json_array array;
    if (!json_object_scan_set(file, names, 1, &raw, &reading->why))
        return ERR_INVALID_FIELD;
    if (json_array_open(&array, raw))
        return read_array(reading, &array);
    if (raw.bytes == NULL && jwt_pem_is(file))
        return read_certificates(reading, file);
    return refuse_file("a JWKS is an object with an array \"keys\"", &reading->why);
}

static enum err read_pem(struct reading *reading, struct span file)
{
    reading->part = "PEM block";
    enum err error = jwt_pem_read(file, on_pem_block, reading, &reading->number);
    if (error == ERR_INVALID_FIELD)
        return refuse_file("it is no whole PEM block", &reading->why);
    return error == ERR_OK ? check_left(reading, &reading->why) : error;
}

static struct span without_line_break(struct span text)
{
    if (text.len > 0 && text.bytes[text.len - 1] == '\n')
        text.len--;
    if (text.len > 0 && text.bytes[text.len - 1] == '\r')
        text.len--;
    return text;
}

/* A failed download may leave an error page or a sentence in the file. Its text is not secret, and
 * used as one it would let everybody sign tokens. So a secret must look like one. */
static bool looks_like_secret(struct span text)
{
    if (text.len > 0 && memchr("<[\"", text.bytes[0], 3) != NULL)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (text.bytes[i] <= ' ' || text.bytes[i] > '~')
            return false;
    return true;
}

static enum err read_secret(struct reading *reading, struct span file)
{
    struct jwt_key key;
    struct span text = without_line_break(file);
    if (jwt_pem_is_bare_key(file))
        return refuse_file("it looks like a public key, which is taken in PEM or as a JWKS alone",
                           &reading->why);
    if (!looks_like_secret(text))
        return refuse_file(
            "it is neither a JWKS nor PEM, and a secret must be one line of visible ASCII "
            "characters without spaces that does not begin with <, [ or a quotation "
            "mark; other bytes may be the k of a key of kty oct in a JWKS",
            &reading->why);
    enum err error = jwt_key_of_secret(text, &key, &reading->why);
    if (error == ERR_OK)
        add_key(reading, &key);
    reading->keys->are_bare_secret = error == ERR_OK;
    return error;
}

static bool begins_with(struct span text, struct span with)
{
    return text.len >= with.len && memcmp(text.bytes, with.bytes, with.len) == 0;
}

static enum err read_keys_file(struct reading *reading, struct span file)
{
    struct json_scan scan;
    if (file.len == 0)
        return refuse_file("it is empty", &reading->why);
    if (file.len > JWT_KEYS_FILE_MAX_BYTES)
        return refuse_file("it is larger than 1 MiB", &reading->why);
    if (begins_with(file, SPAN_LITERAL("\xef\xbb\xbf")))
        return refuse_file("it begins with a byte order mark", &reading->why);
    json_scan_init(&scan, file);
    json_scan_space(&scan);
    if (json_scan_peek(&scan) == '{')
        return read_json(reading, file);
    return jwt_pem_is(file) ? read_pem(reading, file) : read_secret(reading, file);
}

static void describe_failure(const struct reading *reading, char *why, size_t why_cap)
{
    const struct jwt_skip *first = &reading->first;
    if (reading->is_empty && first->why != NULL)
        snprintf(why, why_cap, "no key in it can be used; %s %zu: %s", first->part, first->number,
                 first->why);
    else if (reading->part != NULL && !reading->is_empty)
        snprintf(why, why_cap, "%s %zu: %s", reading->part, reading->number, reading->why);
    else
        snprintf(why, why_cap, "%s", reading->why);
}

enum err jwt_keys_read(struct span file, jwt_keys_on_skip_fn on_skip, void *to,
                       struct jwt_keys **ret_keys, char *why, size_t why_cap)
{
    struct reading reading = {.on_skip = on_skip, .to = to};
    enum err error = ERR_NO_MEMORY;
    reading.keys = calloc(1, sizeof *reading.keys);
    if (reading.keys != NULL) {
        atomic_init(&reading.keys->refs, 1);
        ERR_set_mark();
        error = read_keys_file(&reading, file);
        ERR_pop_to_mark();
    }
    if (error == ERR_OK) {
        *ret_keys = reading.keys;
        return ERR_OK;
    }
    if (error == ERR_NO_MEMORY) {
        reading.why = error_title(error);
        reading.part = NULL;
    }
    describe_failure(&reading, why, why_cap);
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

bool jwt_keys_are_bare_secret(const struct jwt_keys *keys)
{
    return keys->are_bare_secret;
}

bool jwt_keys_have_secret(const struct jwt_keys *keys)
{
    for (size_t i = 0; i < keys->n_keys; i++)
        if (keys->keys[i].secret != NULL)
            return true;
    return false;
}

static enum err refuse_token(const char *detail, const char **ret_detail)
{
    *ret_detail = detail;
    return ERR_UNAUTHORIZED;
}

/* Is this key meant by a token with this kid? With `is_named` the key must have the same kid,
 * otherwise it must have none. */
static bool is_meant(const struct jwt_key *key, struct span kid, bool is_named)
{
    return key->has_kid == is_named && (!is_named || span_equal(kid, kid_of(key)));
}

static bool has_meant(const struct jwt_keys *keys, struct span kid, bool is_named)
{
    for (size_t i = 0; i < keys->n_keys; i++)
        if (is_meant(&keys->keys[i], kid, is_named))
            return true;
    return false;
}

enum err jwt_keys_choose(const struct jwt_keys *keys, enum jwt_alg alg, struct span kid,
                         struct jwt_choice *ret_choice, const char **ret_detail)
{
    bool has_kid = kid.bytes != NULL;
    bool is_named = has_kid && has_meant(keys, kid, true);
    if (has_kid && !is_named && !has_meant(keys, kid, false))
        return refuse_token("the key of the token is not known", ret_detail);
    ret_choice->n = 0;
    for (size_t i = 0; i < keys->n_keys; i++) {
        const struct jwt_key *key = &keys->keys[i];
        if (key->alg != alg || (has_kid && !is_meant(key, kid, is_named)))
            continue;
        if (ret_choice->n == JWT_TRIES_MAX)
            return refuse_token("the token names no key, and more than eight fit its algorithm",
                                ret_detail);
        ret_choice->keys[ret_choice->n++] = key;
    }
    if (ret_choice->n > 0)
        return ERR_OK;
    return refuse_token(is_named ? "the algorithm of the token is not that of its key"
                                 : "no key is for the algorithm of the token",
                        ret_detail);
}
