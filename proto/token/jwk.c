#include "proto/token/jwk.h"

#include "proto/bytes/base64url.h"
#include "proto/json/json_object.h"

#include <openssl/crypto.h>

enum member { KTY, KID, ALG, USE, KEY_OPS, CRV, N, E, X, Y, K, D, P, Q, DP, DQ, QI, OTH, MEMBERS };

static const char *const names[MEMBERS] = {
    [KTY] = "kty", [KID] = "kid", [ALG] = "alg", [USE] = "use", [KEY_OPS] = "key_ops",
    [CRV] = "crv", [N] = "n",     [E] = "e",     [X] = "x",     [Y] = "y",
    [K] = "k",     [D] = "d",     [P] = "p",     [Q] = "q",     [DP] = "dp",
    [DQ] = "dq",   [QI] = "qi",   [OTH] = "oth",
};

/* The room for the numbers of one key. The longest is a secret, or n with a leading zero octet. */
enum { NUMBER_MAX_BYTES = JWT_SECRET_MAX_BYTES + 1 };

static enum err refuse_key(const char *why, const char **ret_why)
{
    *ret_why = why;
    return ERR_INVALID_FIELD;
}

static enum err pass_over_key(const char *why, const char **ret_why)
{
    *ret_why = why;
    return ERR_NOT_FOUND;
}

/* Some software writes absent members as null. */
static void drop_nulls(struct span *raw)
{
    for (int i = 0; i < MEMBERS; i++)
        if (raw[i].bytes != NULL && span_equal(raw[i], SPAN_LITERAL("null")))
            raw[i] = (struct span){NULL, 0};
}

static enum err find_curve(const struct span *raw, enum jwt_alg *ret_alg, const char **ret_why)
{
    if (json_object_string_is(raw[CRV], SPAN_LITERAL("P-256")))
        *ret_alg = JWT_ES256;
    else if (json_object_string_is(raw[CRV], SPAN_LITERAL("P-384")))
        *ret_alg = JWT_ES384;
    else if (json_object_string_is(raw[CRV], SPAN_LITERAL("P-521")))
        *ret_alg = JWT_ES512;
    else
        return pass_over_key("its crv is none of P-256, P-384 and P-521", ret_why);
    return ERR_OK;
}

/* The algorithm of a key without alg. */
static enum err find_kind(const struct span *raw, enum jwt_alg *ret_alg, const char **ret_why)
{
    if (json_object_string_is(raw[KTY], SPAN_LITERAL("EC")))
        return find_curve(raw, ret_alg, ret_why);
    if (json_object_string_is(raw[KTY], SPAN_LITERAL("oct")))
        *ret_alg = JWT_HS256;
    else if (json_object_string_is(raw[KTY], SPAN_LITERAL("RSA")))
        *ret_alg = JWT_RS256;
    else if (!json_object_string_is(raw[KTY], SPAN_LITERAL("OKP")))
        return pass_over_key("its kty is none of RSA, EC, OKP and oct", ret_why);
    else if (json_object_string_is(raw[CRV], SPAN_LITERAL("Ed25519")))
        *ret_alg = JWT_EDDSA;
    else
        return pass_over_key("its crv is not Ed25519", ret_why);
    return ERR_OK;
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

/* Reads alg, use and key_ops (RFC 7517, 4.2-4.4), which are optional. */
static enum err read_purpose(const struct span *raw, enum jwt_alg *alg, const char **ret_why)
{
    char name[16];
    size_t len;
    enum jwt_alg said = *alg;
    if (raw[ALG].bytes != NULL &&
        (!json_object_string(raw[ALG], name, sizeof name, &len) || len > sizeof name ||
         !jwt_alg_find((struct span){name, len}, &said)))
        return pass_over_key("its alg is none that is taken", ret_why);
    if (said != *alg && !(jwt_alg_is_rsa(said) && jwt_alg_is_rsa(*alg)))
        return pass_over_key("its alg is not one of its kty and crv", ret_why);
    if (raw[USE].bytes != NULL && !json_object_string_is(raw[USE], SPAN_LITERAL("sig")))
        return pass_over_key("its use is not sig", ret_why);
    if (raw[KEY_OPS].bytes != NULL && !has_verify(raw[KEY_OPS]))
        return pass_over_key("its key_ops do not say verify", ret_why);
    *alg = said;
    return ERR_OK;
}

/* Numbers are decoded into it, one after the other. */
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
            return refuse_key("k is missing, too long or not base64url", ret_why);
        return jwt_key_of_secret(first, ret_key, ret_why);
    case JWT_ES256:
    case JWT_ES384:
    case JWT_ES512:
        if (!take_number(raw[X], room, &first) || !take_number(raw[Y], room, &second))
            return refuse_key("x or y is missing, too long or not base64url", ret_why);
        return jwt_key_of_ec(alg, first, second, ret_key, ret_why);
    case JWT_EDDSA:
        if (!take_number(raw[X], room, &first))
            return refuse_key("x is missing, too long or not base64url", ret_why);
        return jwt_key_of_ed25519(first, ret_key, ret_why);
    default:
        if (!take_number(raw[N], room, &first) || !take_number(raw[E], room, &second))
            return refuse_key("n or e is missing, too long or not base64url", ret_why);
        return jwt_key_of_rsa(first, second, ret_key, ret_why);
    }
}

static enum err read_kid(struct span raw, struct jwt_key *key, const char **ret_why)
{
    size_t len;
    if (raw.bytes == NULL)
        return ERR_OK;
    if (!json_object_string(raw, key->kid, sizeof key->kid, &len) || len > sizeof key->kid)
        return refuse_key("kid must be a string of at most 256 bytes", ret_why);
    key->kid_len = len;
    key->has_kid = true;
    return ERR_OK;
}

/* Fills in *named, which has only its kid so far. */
static enum err read_key(const struct span *raw, struct jwt_key *named, const char **ret_why)
{
    enum jwt_alg alg;
    struct jwt_key key;
    struct room room = {.len = 0};
    enum err error = find_kind(raw, &alg, ret_why);
    if (error == ERR_OK)
        error = read_purpose(raw, &alg, ret_why);
    if (error != ERR_OK)
        return error;
    error = read_numbers(raw, alg, &room, &key, ret_why);
    OPENSSL_cleanse(room.bytes, room.len);
    if (error != ERR_OK)
        return error;
    named->alg = alg;
    named->secret = key.secret;
    named->secret_len = key.secret_len;
    named->public_key = key.public_key;
    return ERR_OK;
}

enum err jwk_read(struct span object, struct jwt_key *ret_key, const char **ret_why)
{
    struct span raw[MEMBERS];
    *ret_key = (struct jwt_key){.secret = NULL};
    if (!json_object_scan(object, names, MEMBERS, raw, ret_why))
        return ERR_INVALID_FIELD;
    drop_nulls(raw);
    enum err error = read_kid(raw[KID], ret_key, ret_why);
    if (error != ERR_OK)
        return error;
    /* Reported even if the key is for another use: a private key must not be in this file. */
    bool is_secret = json_object_string_is(raw[KTY], SPAN_LITERAL("oct"));
    for (int i = D; i < MEMBERS && !is_secret; i++)
        if (raw[i].bytes != NULL)
            return refuse_key("it is a private key; only the public part belongs here", ret_why);
    return read_key(raw, ret_key, ret_why);
}
