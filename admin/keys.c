#include "admin/keys.h"

#include "proto/bytes/plain_name.h"
#include "proto/bytes/words.h"

#include <stdio.h>
#include <stdlib.h>

/* The line that is being read, and where its error is described. */
struct key_line {
    unsigned number;
    char *why;
    size_t why_cap;
};

static enum err refuse_key_line(const struct key_line *at, const char *what)
{
    snprintf(at->why, at->why_cap, "line %u: %s", at->number, what);
    return ERR_INVALID_FIELD;
}

/* Only characters that a proxy passes on unchanged in an Authorization header. */
static bool is_key_text(struct span key)
{
    if (key.len < KEY_MIN_BYTES || key.len > KEY_MAX_BYTES)
        return false;
    for (size_t i = 0; i < key.len; i++) {
        if (key.bytes[i] <= ' ' || key.bytes[i] >= 0x7f)
            return false;
    }
    return true;
}

static bool read_role(struct span word, enum admin_role *ret_role)
{
    static const struct {
        const char *word;
        enum admin_role role;
    } roles[] = {
        {"push", ROLE_PUSH}, {"read", ROLE_READ}, {"admin", ROLE_ADMIN}, {"events", ROLE_EVENTS}};
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        if (span_equal(word, span_of(roles[i].word))) {
            *ret_role = roles[i].role;
            return true;
        }
    }
    return false;
}

static enum err read_key(struct span line, const struct keys *keys, const struct key_line *at,
                         struct key *ret_key)
{
    struct key key = {.role = ROLE_PUSH};
    struct span name = words_take(&line);
    struct span role = words_take(&line);
    struct span secret = words_take(&line);
    if (!plain_name_is_valid(name, KEY_NAME_MAX_BYTES))
        return refuse_key_line(at,
                               "a name of 1 to 64 of A-Za-z0-9._- must come first: NAME ROLE KEY");
    if (!read_role(role, &key.role))
        return refuse_key_line(at, "the role must be push, read, events or admin: NAME ROLE KEY");
    if (!is_key_text(secret))
        return refuse_key_line(at, "the key must be 16 to 512 printable characters without blanks");
    if (words_take(&line).len > 0)
        return refuse_key_line(at, "nothing may follow the key");
    memcpy(key.name, name.bytes, name.len);
    enum err error = digest_of(&secret, 1, key.digest);
    if (error != ERR_OK)
        return refuse_key_line(at, "no SHA-256 is available");
    for (size_t i = 0; i < keys->n; i++) {
        if (strcmp(keys->keys[i].name, key.name) == 0)
            return refuse_key_line(at, "the name stands there twice");
        if (memcmp(keys->keys[i].digest, key.digest, DIGEST_LEN) == 0)
            return refuse_key_line(at, "the key stands there twice");
    }
    *ret_key = key;
    return ERR_OK;
}

enum err keys_read(struct span file, struct keys **ret_keys, char *why, size_t why_cap)
{
    struct key_line at = {0, why, why_cap};
    struct keys *keys = calloc(1, sizeof *keys + KEYS_MAX * sizeof keys->keys[0]);
    if (keys == NULL) {
        snprintf(why, why_cap, "out of memory");
        return ERR_NO_MEMORY;
    }
    enum err error = ERR_OK;
    while (file.len > 0 && error == ERR_OK) {
        struct span line = words_take_line(&file);
        at.number++;
        if (line.len == 0 || line.bytes[0] == '#')
            continue;
        if (keys->n == KEYS_MAX)
            error = refuse_key_line(&at, "there are more than 1000 keys");
        else
            error = read_key(line, keys, &at, &keys->keys[keys->n]);
        if (error == ERR_OK)
            keys->n++;
    }
    if (error == ERR_OK && keys->n == 0) {
        snprintf(why, why_cap, "there is no key in it: a line is NAME ROLE KEY");
        error = ERR_INVALID_FIELD;
    }
    if (error != ERR_OK) {
        free(keys);
        return error;
    }
    struct keys *fitting = realloc(keys, sizeof *keys + keys->n * sizeof keys->keys[0]);
    *ret_keys = fitting == NULL ? keys : fitting;
    return ERR_OK;
}

const struct key *keys_find(const struct keys *keys, struct span authorization)
{
    static const char scheme[] = "Bearer ";
    const size_t skip = sizeof scheme - 1;
    uint8_t digest[DIGEST_LEN];
    if (authorization.len <= skip ||
        !span_equal_nocase((struct span){authorization.bytes, skip}, SPAN_LITERAL("Bearer ")))
        return NULL;
    struct span secret =
        span_trim((struct span){authorization.bytes + skip, authorization.len - skip});
    if (digest_of(&secret, 1, digest) != ERR_OK)
        return NULL;
    const struct key *found = NULL;
    for (size_t i = 0; i < keys->n; i++) {
        /* Every key is compared, so that the time taken does not depend on the key. */
        if (digest_equal(keys->keys[i].digest, digest))
            found = &keys->keys[i];
    }
    return found;
}
