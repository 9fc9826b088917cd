#include "proto/jwk.h"

#include "proto/base64url.h"
#include "proto/json_object.h"

#include <openssl/crypto.h>

enum member { KTY, KID, ALG, USE, KEY_OPS, CRV, N, E, X, Y, K, D, P, Q, DP, DQ, QI, OTH, MEMBERS };

static const char *const names[MEMBERS] = {
    [KTY] = "kty", [KID] = "kid", [ALG] = "alg", [USE] = "use", [KEY_OPS] = "key_ops",
    [CRV] = "crv", [N] = "n",     [E] = "e",     [X] = "x",     [Y] = "y",
    [K] = "k",     [D] = "d",     [P] = "p",     [Q] = "q",     [DP] = "dp",
    [DQ] = "dq",   [QI] = "qi",   [OTH] = "oth",
};

/* The numbers of one key: the longest is a secret, or n with a zero octet in front. */
enum { NUMBER_MAX_BYTES = JWT_SECRET_MAX_BYTES + 1 };

static enum err refuse(const char *why, const char **ret_why)
{
    *ret_why = why;
    return ERR_INVALID_FIELD;
}

/* false: of another kind than ours. */
static bool find_kind(const struct span *raw, enum jwt_alg *ret_alg)
{
    if (json_object_string_is(raw[KTY], SPAN_LITERAL("oct")))
        *ret_alg = JWT_HS256;
    else if (json_object_string_is(raw[KTY], SPAN_LITERAL("RSA")))
        *ret_alg = JWT_RS256;
    else if (json_object_string_is(raw[KTY], SPAN_LITERAL("EC")))
        *ret_alg = JWT_ES256;
    else if (json_object_string_is(raw[KTY], SPAN_LITERAL("OKP")))
        *ret_alg = JWT_EDDSA;
    else
        return false;
    return true;
}

static bool is_curve_ours(const struct span *raw, enum jwt_alg alg)
{
    if (alg == JWT_ES256)
        return json_object_string_is(raw[CRV], SPAN_LITERAL("P-256"));
    return alg != JWT_EDDSA || json_object_string_is(raw[CRV], SPAN_LITERAL("Ed25519"));
}

static bool has_verify(struct span key_ops)
{
    struct json_array array;
    struct span element;
    if (!json_array_open(&array, key_ops))
        return false;
    while (json_array_next(&array, &element))
        if (json_object_string_is(element, SPAN_LITERAL("verify")))
            return true;
    return false;
}

/* What alg, use and key_ops say (RFC 7517, 4.2-4.4), where they say anything. */
static bool is_for_us(const struct span *raw, enum jwt_alg alg)
{
    char name[16];
    size_t len;
    enum jwt_alg said;
    if (raw[ALG].bytes != NULL &&
        (!json_object_string(raw[ALG], name, sizeof name, &len) || len > sizeof name ||
         !jwt_alg_find((struct span){name, len}, &said) || said != alg))
        return false;
    if (raw[USE].bytes != NULL && !json_object_string_is(raw[USE], SPAN_LITERAL("sig")))
        return false;
    return raw[KEY_OPS].bytes == NULL || has_verify(raw[KEY_OPS]);
}

/* Decodes a number into `room`, behind what is there. */
struct room {
    char bytes[NUMBER_MAX_BYTES];
    size_t len;
};

static bool take_number(struct span raw, struct room *room, struct span *ret_number)
{
    size_t len;
    if (raw.len < 2 || raw.bytes[0] != '"')
        return false;
    struct span text = {raw.bytes + 1, raw.len - 2};
    char *out = room->bytes + room->len;
    if (text.len == 0 ||
        base64url_decode(text, out, sizeof room->bytes - room->len, &len) != ERR_OK)
        return false;
    *ret_number = (struct span){out, len};
    room->len += len;
    return true;
}

static enum err read_numbers(const struct span *raw, enum jwt_alg alg, struct room *room,
                             struct jwt_key *ret_key, const char **ret_why)
{
    struct span first, second;
    switch (alg) {
    case JWT_HS256:
        if (!take_number(raw[K], room, &first))
            return refuse("k is missing, too long or not base64url", ret_why);
        return jwt_key_of_secret(first, ret_key, ret_why);
    case JWT_RS256:
        if (!take_number(raw[N], room, &first) || !take_number(raw[E], room, &second))
            return refuse("n or e is missing, too long or not base64url", ret_why);
        return jwt_key_of_rsa(first, second, ret_key, ret_why);
    case JWT_ES256:
        if (!take_number(raw[X], room, &first) || !take_number(raw[Y], room, &second))
            return refuse("x or y is missing, too long or not base64url", ret_why);
        return jwt_key_of_p256(first, second, ret_key, ret_why);
    default:
        if (!take_number(raw[X], room, &first))
            return refuse("x is missing, too long or not base64url", ret_why);
        return jwt_key_of_ed25519(first, ret_key, ret_why);
    }
}

static enum err read_kid(struct span raw, struct jwt_key *key, const char **ret_why)
{
    if (raw.bytes == NULL)
        return ERR_OK;
    if (!json_object_string(raw, key->kid, sizeof key->kid, &key->kid_len) ||
        key->kid_len > sizeof key->kid)
        return refuse("kid must be a string of at most 256 bytes", ret_why);
    key->has_kid = true;
    return ERR_OK;
}

enum err jwk_read(struct span object, struct jwt_key *ret_key, bool *ret_is_used,
                  const char **ret_why)
{
    struct span raw[MEMBERS];
    enum jwt_alg alg;
    if (!json_object_scan(object, names, MEMBERS, raw, ret_why))
        return ERR_INVALID_FIELD;
    *ret_is_used = false;
    if (!find_kind(raw, &alg))
        return ERR_OK;
    /* Also when it is for something else: whoever wrote the file has to know. */
    for (int i = D; i < MEMBERS && alg != JWT_HS256; i++)
        if (raw[i].bytes != NULL)
            return refuse("it is a private key; only the public part belongs here", ret_why);
    if (!is_curve_ours(raw, alg) || !is_for_us(raw, alg))
        return ERR_OK;
    struct jwt_key key = {.secret = NULL};
    struct room room = {.len = 0};
    enum err error = read_numbers(raw, alg, &room, &key, ret_why);
    OPENSSL_cleanse(room.bytes, room.len);
    if (error != ERR_OK)
        return error;
    error = read_kid(raw[KID], &key, ret_why);
    if (error != ERR_OK) {
        jwt_key_fini(&key);
        return error;
    }
    *ret_key = key;
    *ret_is_used = true;
    return ERR_OK;
}
