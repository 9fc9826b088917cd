/* A token is verified in these steps: it is split into three parts (split_token); its header says
 * the key and the algorithm (read_header, choose_keys); the signature is verified over the first
 * two parts, undecoded; only then is the payload decoded and its claims checked, exp last. Each
 * failure has one sentence. */
#include "proto/token/jwt.h"

#include "proto/bytes/base64url.h"
#include "proto/bytes/decimal.h"
#include "proto/json/json_object.h"

#include <openssl/err.h>

enum {
    PART_MAX_BYTES = BASE64URL_BYTES(JWT_TOKEN_MAX_BYTES),
    SIGNATURE_MAX_BYTES = JWT_RSA_MAX_BITS / 8,
    EXPONENT_MAX = 100000, /* no token has room for that many digits */
};

static const uint64_t time_max_ms = 253402300800000; /* the year 10000 begins */

struct token {
    struct span header, payload, signature; /* undecoded */
    struct span text;                       /* what is signed */
};

static enum err refuse_token(const char *detail, const char **ret_detail)
{
    *ret_detail = detail;
    return ERR_UNAUTHORIZED;
}

/* Takes the part before the first dot, and the dot, off *rest. false: no dot. */
static bool cut_part(struct span *rest, struct span *ret_part)
{
    const char *dot = rest->len > 0 ? memchr(rest->bytes, '.', rest->len) : NULL;
    if (dot == NULL)
        return false;
    *ret_part = (struct span){rest->bytes, (size_t)(dot - rest->bytes)};
    rest->bytes = dot + 1;
    rest->len -= ret_part->len + 1;
    return true;
}

static enum err split_token(struct span text, struct token *token, const char **ret_detail)
{
    struct span rest = text;
    if (!cut_part(&rest, &token->header) || !cut_part(&rest, &token->payload) ||
        (rest.len > 0 && memchr(rest.bytes, '.', rest.len) != NULL))
        return refuse_token("the token is not of three parts", ret_detail);
    token->signature = rest;
    token->text = (struct span){text.bytes, token->header.len + 1 + token->payload.len};
    if (token->header.len == 0)
        return refuse_token("the header of the token is empty", ret_detail);
    if (token->payload.len == 0)
        return refuse_token("the payload of the token is empty", ret_detail);
    if (rest.len == 0)
        return refuse_token("the signature of the token is empty", ret_detail);
    return ERR_OK;
}

/* Decodes a part of the token and scans the object in it. `raw` points into `room`. */
static bool read_object(struct span part, char room[PART_MAX_BYTES], const char *const *names,
                        size_t n_names, struct span *raw)
{
    size_t len;
    const char *why;
    return base64url_decode(part, room, PART_MAX_BYTES, &len) == ERR_OK &&
           json_object_scan((struct span){room, len}, names, n_names, raw, &why);
}

/* ---- the header ---- */

enum header_member { ALG, KID, CRIT, B64, HEADER_MEMBERS };

static const char *const header_names[HEADER_MEMBERS] = {
    [ALG] = "alg",
    [KID] = "kid",
    [CRIT] = "crit",
    [B64] = "b64",
};

static enum err choose_keys(const struct jwt_keys *keys, const struct span *raw,
                            struct jwt_choice *ret_choice, const char **ret_detail)
{
    char text[JWT_KID_MAX_BYTES];
    size_t len;
    enum jwt_alg alg;
    struct span kid = {NULL, 0};
    if (!json_object_string(raw[ALG], text, sizeof text, &len) || len > sizeof text ||
        !jwt_alg_find((struct span){text, len}, &alg))
        return refuse_token("the algorithm of the token is not taken", ret_detail);
    if (raw[KID].bytes != NULL) {
        if (!json_object_string(raw[KID], text, sizeof text, &len))
            return refuse_token("the key id of the token is not a string", ret_detail);
        kid = (struct span){text, len}; /* a cut one is longer than that of any key */
    }
    return jwt_keys_choose(keys, alg, kid, ret_choice, ret_detail);
}

static enum err read_header(const struct jwt_keys *keys, struct span part,
                            struct jwt_choice *ret_choice, const char **ret_detail)
{
    char room[PART_MAX_BYTES];
    struct span raw[HEADER_MEMBERS];
    if (!read_object(part, room, header_names, HEADER_MEMBERS, raw))
        return refuse_token("the header of the token is malformed", ret_detail);
    if (raw[CRIT].bytes != NULL || raw[B64].bytes != NULL)
        return refuse_token("the token has an extension that is not taken", ret_detail);
    return choose_keys(keys, raw, ret_choice, ret_detail);
}

static enum err check_signature(const struct jwt_choice *choice, const struct token *token,
                                const char **ret_detail)
{
    char signature[SIGNATURE_MAX_BYTES];
    size_t len;
    if (base64url_decode(token->signature, signature, sizeof signature, &len) != ERR_OK)
        return refuse_token("the signature of the token is malformed", ret_detail);
    enum err error = ERR_UNAUTHORIZED;
    for (size_t i = 0; i < choice->n && error == ERR_UNAUTHORIZED; i++)
        error = jwt_key_verify(choice->keys[i], token->text, (struct span){signature, len});
    if (error == ERR_UNAUTHORIZED)
        return refuse_token("the signature of the token is not good", ret_detail);
    return error;
}

/* ---- the claims ---- */

enum claim { EXP, NBF, IAT, ISS, AUD, AUD_ELSE, USER, CLAIMS };

/* digits * 10^scale. Digits beyond the precision of a time in range are dropped. */
struct decimal {
    uint64_t digits;
    int scale;
};

static const char *take_digits(const char *at, const char *end, bool is_fraction,
                               struct decimal *number)
{
    for (; at < end && *at >= '0' && *at <= '9'; at++) {
        if (number->digits >= time_max_ms) {
            number->scale += !is_fraction;
        } else {
            number->digits = number->digits * 10 + (uint64_t)(*at - '0');
            number->scale -= is_fraction;
        }
    }
    return at;
}

static int take_exponent(const char *at, const char *end)
{
    int exponent = 0;
    bool is_negative = *at == '-';
    if (*at == '-' || *at == '+')
        at++;
    for (; at < end; at++)
        if (exponent < EXPONENT_MAX)
            exponent = exponent * 10 + (*at - '0');
    return is_negative ? -exponent : exponent;
}

/* Reads a NumericDate (RFC 7519, section 2) in milliseconds, without floating point, which would
 * round it. `raw` is a JSON value. false: not a number, below 0, or in the year 10000 or later. */
static bool read_time(struct span raw, int64_t *ret_ms)
{
    const char *at = raw.bytes;
    struct decimal number = {0, 3}; /* milliseconds */
    if (raw.len == 0 || *at < '0' || *at > '9')
        return false;
    const char *end = raw.bytes + raw.len;
    at = take_digits(at, end, false, &number);
    if (at < end && *at == '.')
        at = take_digits(at + 1, end, true, &number);
    if (at < end)
        number.scale += take_exponent(at + 1, end);
    for (; number.scale > 0 && number.digits > 0; number.scale--) {
        if (number.digits >= time_max_ms)
            return false;
        number.digits *= 10;
    }
    for (; number.scale < 0 && number.digits > 0; number.scale++)
        number.digits /= 10;
    if (number.digits >= time_max_ms)
        return false;
    *ret_ms = (int64_t)number.digits;
    return true;
}

static bool is_one_of(struct span raw, const struct span *texts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (json_object_string_is(raw, texts[i]))
            return true;
    return false;
}

static bool has_audience(struct span raw, const struct jwt_rules *rules)
{
    struct json_array array;
    struct span element;
    bool is_found = false;
    if (!json_array_open(&array, raw))
        return is_one_of(raw, rules->audiences, rules->n_audiences);
    while (json_array_next(&array, &element)) {
        if (element.bytes[0] != '"')
            return false;
        is_found = is_found || is_one_of(element, rules->audiences, rules->n_audiences);
    }
    return is_found;
}

static enum err check_origin(const struct span *raw, const struct jwt_rules *rules,
                             const char **ret_detail)
{
    if (rules->n_issuers > 0 && raw[ISS].bytes == NULL)
        return refuse_token("the token names no issuer (iss)", ret_detail);
    if (rules->n_issuers > 0 && !is_one_of(raw[ISS], rules->issuers, rules->n_issuers))
        return refuse_token("the token is from another issuer (iss)", ret_detail);
    if (rules->n_audiences == 0)
        return ERR_OK;
    struct span audience = raw[AUD].bytes != NULL ? raw[AUD] : raw[AUD_ELSE];
    if (audience.bytes == NULL)
        return refuse_token("the token names no audience (aud)", ret_detail);
    if (!has_audience(audience, rules))
        return refuse_token("the token is for another audience (aud)", ret_detail);
    return ERR_OK;
}

/* The text of a number is taken unchanged, so that it is not rounded. */
static bool take_user(struct span raw, struct jwt_claims *claims, size_t *ret_len)
{
    if (!decimal_is_number(raw))
        return json_object_string(raw, claims->user_id, sizeof claims->user_id, ret_len);
    *ret_len = raw.len;
    memcpy(claims->user_id, raw.bytes, raw.len < USER_ID_MAX_BYTES ? raw.len : USER_ID_MAX_BYTES);
    return true;
}

static enum err read_user(struct span raw, struct jwt_claims *claims, const char **ret_detail)
{
    const char *why;
    size_t len;
    if (raw.bytes == NULL)
        return refuse_token("the token has no claim that names the user (--jwt-user-claim)",
                            ret_detail);
    if (!take_user(raw, claims, &len) || len > sizeof claims->user_id ||
        user_id_check((struct span){claims->user_id, len}, &why) != ERR_OK)
        return refuse_token("the user claim must be a string of 1 to 128 bytes without control "
                            "characters, or a whole number",
                            ret_detail);
    claims->user_id_len = len;
    return ERR_OK;
}

static enum err check_times(const struct span *raw, const struct jwt_rules *rules, int64_t now_ms,
                            int64_t *ret_expires_ms, const char **ret_detail)
{
    int64_t exp_ms, nbf_ms, iat_ms;
    if (raw[EXP].bytes == NULL)
        return refuse_token("the token has no exp", ret_detail);
    if (!read_time(raw[EXP], &exp_ms))
        return refuse_token("exp must be a number of seconds up to the year 9999", ret_detail);
    if (raw[IAT].bytes != NULL && !read_time(raw[IAT], &iat_ms))
        return refuse_token("iat must be a number of seconds up to the year 9999", ret_detail);
    if (raw[NBF].bytes != NULL) {
        if (!read_time(raw[NBF], &nbf_ms))
            return refuse_token("nbf must be a number of seconds up to the year 9999", ret_detail);
        if (now_ms < nbf_ms - rules->leeway_ms)
            return refuse_token("the token is not valid yet", ret_detail);
    }
    if (now_ms >= exp_ms + rules->leeway_ms) {
        *ret_detail = "the token has expired";
        return ERR_EXPIRED;
    }
    *ret_expires_ms = exp_ms;
    return ERR_OK;
}

static enum err check_claims(struct span part, const struct jwt_rules *rules, int64_t now_ms,
                             struct jwt_claims *claims, const char **ret_detail)
{
    char room[PART_MAX_BYTES];
    struct span raw[CLAIMS];
    const char *const names[CLAIMS] = {
        [EXP] = "exp",
        [NBF] = "nbf",
        [IAT] = "iat",
        [ISS] = "iss",
        [AUD] = "aud",
        [AUD_ELSE] = rules->audience_claim != NULL ? rules->audience_claim : "aud",
        [USER] = rules->user_claim != NULL ? rules->user_claim : "sub",
    };
    if (!read_object(part, room, names, CLAIMS, raw))
        return refuse_token("the payload of the token is malformed", ret_detail);
    enum err error = check_origin(raw, rules, ret_detail);
    if (error == ERR_OK)
        error = read_user(raw[USER], claims, ret_detail);
    if (error != ERR_OK)
        return error;
    return check_times(raw, rules, now_ms, &claims->expires_ms, ret_detail);
}

static enum err verify_token(const struct jwt_keys *keys, const struct token *token,
                             const char **ret_detail)
{
    struct jwt_choice choice;
    enum err error = read_header(keys, token->header, &choice, ret_detail);
    if (error != ERR_OK)
        return error;
    ERR_set_mark();
    error = check_signature(&choice, token, ret_detail);
    ERR_pop_to_mark();
    return error;
}

enum err jwt_verify(const struct jwt_keys *keys, struct span token, const struct jwt_rules *rules,
                    int64_t now_ms, struct jwt_claims *ret_claims, const char **ret_detail)
{
    struct token parts;
    struct jwt_claims claims;
    if (token.len > JWT_TOKEN_MAX_BYTES)
        return refuse_token("the token is larger than 32 KiB", ret_detail);
    enum err error = split_token(token, &parts, ret_detail);
    if (error == ERR_OK)
        error = verify_token(keys, &parts, ret_detail);
    if (error == ERR_OK)
        error = check_claims(parts.payload, rules, now_ms, &claims, ret_detail);
    if (error == ERR_OK)
        *ret_claims = claims;
    else if (error == ERR_NO_MEMORY)
        *ret_detail = error_title(error);
    return error;
}
