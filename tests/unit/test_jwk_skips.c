/* Keys of a file that are not used, beside those that are (RFC 7517, section 5): each is named, and
 * a file is refused only when no key is left. */
#include "jwt_tokens.h"

enum { SAID_MAX = 16 };

struct said {
    size_t n;
    struct {
        char part[16];
        size_t number;
        char kid[64]; /* "-": none */
        bool is_fault;
        const char *why;
    } skips[SAID_MAX];
};

static void on_skip(void *to, const struct jwt_skip *skip)
{
    struct said *said = to;
    cr_assert_lt(said->n, SAID_MAX);
    snprintf(said->skips[said->n].part, sizeof said->skips[0].part, "%s", skip->part);
    said->skips[said->n].number = skip->number;
    snprintf(said->skips[said->n].kid, sizeof said->skips[0].kid, "%.*s",
             skip->kid.bytes != NULL ? (int)skip->kid.len : 1,
             skip->kid.bytes != NULL ? skip->kid.bytes : "-");
    said->skips[said->n].is_fault = skip->is_fault;
    said->skips[said->n++].why = skip->why;
}

static struct jwt_keys *read_saying(const struct token_text *file, struct said *said)
{
    struct jwt_keys *keys = NULL;
    char why[256] = "";
    *said = (struct said){.n = 0};
    cr_assert_eq(jwt_keys_read(token_span(file), on_skip, said, &keys, why, sizeof why), ERR_OK,
                 "%s", why);
    return keys;
}

static void is_said(const struct said *said, size_t i, size_t number, const char *kid,
                    const char *why)
{
    cr_assert_lt(i, said->n);
    cr_assert_eq(said->skips[i].number, number, "%zu", said->skips[i].number);
    cr_assert_str_eq(said->skips[i].kid, kid);
    cr_assert_str_eq(said->skips[i].why, why);
}

static bool is_good(const struct jwt_keys *keys, enum jwt_alg alg, const char *header)
{
    struct token_text token = token_of(alg, span_of(header), SPAN_LITERAL(TOKEN_PAYLOAD));
    return token_judge(keys, &token, TOKEN_NO_RULES) == ERR_OK;
}

/* Each of these made Herald refuse the whole set, with the new good key of a rotation in it. */
Test(jwk_skips, one_bad_key_and_uses_the_others)
{
    static char long_kid[JWT_KID_MAX_BYTES + 100] = "{\"kty\":\"oct\",\"kid\":\"";
    memset(long_kid + strlen(long_kid), 'k', JWT_KID_MAX_BYTES + 1);
    strncat(long_kid, "\",\"k\":\"AA\"}", 12);
    EVP_PKEY *weak = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)1024);
    struct token_text short_rsa = token_jwk_of(JWT_RS256, weak, ",\"kid\":\"bad\"");
    const char *const rows[][2] = {
        {short_rsa.text, "an RSA key must have 2048 to 8192 bits"},
        {"{\"kty\":\"RSA\",\"kid\":\"bad\",\"e\":\"AQAB\"}",
         "n or e is missing, too long or not base64url"},
        {"{\"kty\":\"RSA\",\"kid\":\"bad\",\"x5c\":[\"MIIC\"]}",
         "n or e is missing, too long or not base64url"},
        {"{\"kty\":\"oct\",\"kid\":\"bad\",\"k\":\"QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVowMTIzNDU=\"}",
         "k is missing, too long or not base64url"},
        {"{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"bad\",\"x\":"
         "\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6"
         "KPAqv7D4\",\"y\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyA\"}",
         "its numbers are no valid public key"},
        {"{\"kty\":\"oct\",\"kid\":7,\"k\":\"AA\"}", "kid must be a string of at most 256 bytes"},
        {long_kid, "kid must be a string of at most 256 bytes"},
        {"{\"kty\":\"oct\",\"kid\":\"bad\",\"k\":\"AA\"}",
         "a secret for HS256 must be at least 32 bytes"},
        {"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"bad\",\"d\":\"AA\",\"x\":\"AA\"}",
         "it is a private key; only the public part belongs here"},
        {"{\"kty\":\"EC\",\"kty\":\"EC\"}", "a member stands twice"},
        {"null", "an object must stand here"},
        {"[]", "an object must stand here"},
    };
    struct token_text good = token_jwk(JWT_ES256, ",\"kid\":\"new\"");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct said said;
        struct token_text file = token_jwks(rows[i][0], good.text, NULL);
        struct jwt_keys *keys = read_saying(&file, &said);
        cr_assert_eq(said.n, 1, "%s", rows[i][0]);
        is_said(&said, 0, 1, strstr(rows[i][0], "\"bad\"") != NULL ? "bad" : "-", rows[i][1]);
        cr_assert(said.skips[0].is_fault);
        cr_assert_str_eq(said.skips[0].part, "key");
        cr_assert(is_good(keys, JWT_ES256, "{\"alg\":\"ES256\",\"kid\":\"new\"}"), "%zu", i);
        jwt_keys_unref(keys);
    }
    EVP_PKEY_free(weak);
}

/* A key of that many containers in each other, itself the outermost. */
static struct token_text nested(size_t depth, const char *innermost)
{
    struct token_text members = token_members_of(JWT_ES256, token_key(JWT_ES256));
    struct token_text text = {.len = 0};
    token_add(&text, SPAN_LITERAL("{\"kid\":\"deep\","));
    token_add(&text, token_span(&members));
    token_add(&text, SPAN_LITERAL(",\"z\":"));
    for (size_t i = 1; i < depth; i++)
        token_add(&text, SPAN_LITERAL("["));
    token_add(&text, span_of(innermost));
    for (size_t i = 1; i < depth; i++)
        token_add(&text, SPAN_LITERAL("]"));
    token_add(&text, SPAN_LITERAL("}"));
    return text;
}

/* The scanner goes 64 deep: a key beyond that is one key's fault, not the set's. */
Test(jwk_skips, a_key_that_is_nested_too_deep)
{
    static const char too_deep[] = "nesting is at most 64 deep";
    static const struct {
        size_t depth;
        const char *innermost, *why;
    } rows[] = {
        {64, "1", NULL},
        {64, "[]", too_deep},
        {65, "1", too_deep},
        {66, "{\"a\":1}", too_deep},
        {67, "\"]}\\\"]\"", too_deep},
        {500, "", too_deep},
        {64, "@", "a value must stand here"}, /* passed over, and seen when the key is read */
    };
    struct token_text good = token_jwk(JWT_EDDSA, ",\"kid\":\"new\"");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct said said;
        struct token_text deep = nested(rows[i].depth, rows[i].innermost);
        struct token_text file = token_jwks(deep.text, good.text, NULL);
        struct jwt_keys *keys = read_saying(&file, &said);
        cr_assert_eq(said.n, rows[i].why == NULL ? 0 : 1, "%zu", i);
        if (rows[i].why != NULL)
            is_said(&said, 0, 1, "-", rows[i].why);
        cr_assert(is_good(keys, JWT_EDDSA, "{\"alg\":\"EdDSA\",\"kid\":\"new\"}"), "%zu", i);
        cr_assert_eq(is_good(keys, JWT_ES256, "{\"alg\":\"ES256\",\"kid\":\"deep\"}"),
                     rows[i].why == NULL);
        jwt_keys_unref(keys);
    }
}

/* What is skipped must be closed, and what follows it must be valid. */
Test(jwk_skips, no_file_that_is_cut_within_a_deep_key)
{
    struct token_text good = token_jwk(JWT_EDDSA, ",\"kid\":\"new\"");
    struct token_text deep = nested(80, "\"text\"");
    struct token_text file = token_jwks(good.text, deep.text, NULL);
    size_t begin = strlen("{\"keys\":[") + good.len;
    char why[256];
    for (size_t len = begin; len < file.len; len++) {
        struct jwt_keys *keys = NULL;
        cr_assert_eq(
            jwt_keys_read((struct span){file.text, len}, NULL, NULL, &keys, why, sizeof why),
            ERR_INVALID_FIELD, "%zu", len);
    }
}

Test(jwk_skips, keys_for_something_else_without_calling_them_faults)
{
    struct said said;
    struct token_text good = token_jwk(JWT_ES256, "");
    struct token_text enc = token_jwk(JWT_EDDSA, ",\"use\":\"enc\",\"kid\":\"e\"");
    struct token_text file = token_jwks(good.text, enc.text, "{\"kty\":\"AKP\"}", NULL);
    struct jwt_keys *keys = read_saying(&file, &said);
    cr_assert_eq(said.n, 2);
    is_said(&said, 0, 2, "e", "its use is not sig");
    is_said(&said, 1, 3, "-", "its kty is none of RSA, EC, OKP and oct");
    cr_assert(!said.skips[0].is_fault && !said.skips[1].is_fault);
    jwt_keys_unref(keys);
}

/* The first fault says more than a key that was never meant for tokens. */
Test(jwk_skips, and_refuses_the_file_when_no_key_is_left)
{
    struct said said = {.n = 0};
    struct jwt_keys *keys = NULL;
    char why[256];
    struct token_text file =
        token_jwks("{\"kty\":\"AKP\"}", "{\"kty\":\"oct\",\"k\":\"AA\"}", NULL);
    cr_assert_eq(jwt_keys_read(token_span(&file), on_skip, &said, &keys, why, sizeof why),
                 ERR_INVALID_FIELD);
    cr_assert_str_eq(why, "no key in it can be used; key 2: a secret for HS256 must be at least 32 "
                          "bytes");
    cr_assert_eq(said.n, 2);
    cr_assert_null(keys);
}

/* RFC 7517, 4.5: kids SHOULD be distinct. A rotation that keeps the kid must not shut anybody out.
 */
Test(jwk_skips, nothing_where_keys_share_a_kid_and_tries_each_of_the_algorithm)
{
    struct said said;
    EVP_PKEY *old = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    struct token_text first = token_jwk_of(JWT_ES256, old, ",\"kid\":\"k\"");
    struct token_text second = token_jwk(JWT_ES256, ",\"kid\":\"\\u006b\"");
    struct token_text other = token_jwk(JWT_EDDSA, ",\"kid\":\"k\"");
    struct token_text file = token_jwks(first.text, second.text, other.text, NULL);
    struct jwt_keys *keys = read_saying(&file, &said);
    cr_assert_eq(said.n, 0);
    cr_assert_eq(jwt_keys_count(keys), 3);
    cr_assert(is_good(keys, JWT_ES256, "{\"alg\":\"ES256\",\"kid\":\"k\"}"));
    cr_assert(is_good(keys, JWT_EDDSA, "{\"alg\":\"EdDSA\",\"kid\":\"k\"}"));
    cr_assert(!is_good(keys, JWT_EDDSA, "{\"alg\":\"ES256\",\"kid\":\"k\"}"));
    EVP_PKEY_free(old);
    jwt_keys_unref(keys);
}

/* A token costs at most eight verifications, whatever the file contains. */
Test(jwk_skips, a_ninth_key_that_a_token_could_not_distinguish_from_the_others)
{
    static const char *const kids[] = {"", ",\"kid\":\"same\""};
    struct token_text named = token_jwk(JWT_EDDSA, ",\"kid\":\"named\"");
    for (int i = 0; i < 2; i++) {
        struct said said;
        struct token_text k = token_jwk(JWT_EDDSA, kids[i]);
        struct token_text file = token_jwks(k.text, k.text, k.text, k.text, k.text, k.text, k.text,
                                            k.text, k.text, named.text, NULL);
        struct jwt_keys *keys = read_saying(&file, &said);
        cr_assert_eq(said.n, 1);
        is_said(&said, 0, 9, i == 0 ? "-" : "same",
                "a token could not tell it from eight others, and is tried with no more");
        cr_assert_eq(jwt_keys_count(keys), JWT_TRIES_MAX + 1);
        struct token_text token = token_make(JWT_EDDSA, TOKEN_PAYLOAD);
        token_is_refused(keys, &token, TOKEN_NO_RULES,
                         "the token names no key, and more than eight fit its algorithm");
        cr_assert(is_good(keys, JWT_EDDSA, "{\"alg\":\"EdDSA\",\"kid\":\"named\"}"));
        jwt_keys_unref(keys);
    }
}

Test(jwk_skips, what_follows_a_hundred_keys)
{
    struct said said;
    struct token_text members = token_members_of(JWT_EDDSA, token_key(JWT_EDDSA));
    static struct token_text file;
    token_add(&file, SPAN_LITERAL("{\"keys\":[{}"));
    for (int i = 0; i < JWT_KEYS_MAX + 3; i++) {
        char kid[64];
        snprintf(kid, sizeof kid, ",{\"kid\":\"%d\",", i);
        token_add(&file, span_of(kid));
        token_add(&file, token_span(&members));
        token_add(&file, SPAN_LITERAL("}"));
    }
    token_add(&file, SPAN_LITERAL("]}"));
    struct jwt_keys *keys = read_saying(&file, &said);
    cr_assert_eq(jwt_keys_count(keys), JWT_KEYS_MAX);
    cr_assert_eq(said.n, 2);
    is_said(&said, 1, JWT_KEYS_MAX + 2, "-",
            "there are 100 others: neither it nor what stands behind it is looked at");
    cr_assert(is_good(keys, JWT_EDDSA, "{\"alg\":\"EdDSA\",\"kid\":\"99\"}"));
    cr_assert(!is_good(keys, JWT_EDDSA, "{\"alg\":\"EdDSA\",\"kid\":\"100\"}"));
    jwt_keys_unref(keys);
}

Test(jwk_skips, bad_blocks_of_pem_as_well)
{
    struct said said;
    EVP_PKEY *weak = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "secp256k1");
    struct token_text file = token_private_pem_of(token_key(JWT_ES256));
    struct token_text other = token_pem_of(weak);
    struct token_text good = token_pem_of(token_key(JWT_ES256));
    struct token_text more = token_certificate_of(token_key(JWT_ES512));
    token_add(&file, token_span(&other));
    token_add(&file, token_span(&good));
    token_add(&file,
              SPAN_LITERAL("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"));
    token_add(&file, token_span(&more));
    struct jwt_keys *keys = read_saying(&file, &said);
    cr_assert_eq(said.n, 3);
    is_said(&said, 0, 1, "-", "it is a private key; only the public part belongs here");
    is_said(&said, 1, 2, "-", "it is none of RSA, EC on P-256, P-384 or P-521, and Ed25519");
    is_said(&said, 2, 4, "-", "it cannot be read");
    cr_assert_str_eq(said.skips[0].part, "PEM block");
    cr_assert(is_good(keys, JWT_ES256, "{\"alg\":\"ES256\",\"kid\":\"any\"}"));
    cr_assert(is_good(keys, JWT_ES512, "{\"alg\":\"ES512\"}"));
    EVP_PKEY_free(weak);
    jwt_keys_unref(keys);
}

/* Choosing among what is left */

/* CONTRACT 2: a kid chooses among the keys that have one; the others are tried by algorithm. */
Test(jwk_skips, no_key_without_a_kid_for_a_token_that_names_one)
{
    struct said said;
    EVP_PKEY *old = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    struct token_text pem = token_pem_of(old);
    struct token_text new_pem = token_pem_of(token_key(JWT_ES256));
    token_add(&pem, token_span(&new_pem));
    struct jwt_keys *keys = read_saying(&pem, &said);
    cr_assert(is_good(keys, JWT_ES256, "{\"alg\":\"ES256\",\"kid\":\"2025\"}"));
    cr_assert(is_good(keys, JWT_ES256, "{\"alg\":\"ES256\"}"));
    struct token_text token =
        token_of(JWT_ES256, SPAN_LITERAL("{\"alg\":\"RS256\",\"kid\":\"2025\"}"),
                 SPAN_LITERAL(TOKEN_PAYLOAD));
    token_is_refused(keys, &token, TOKEN_NO_RULES, "no key is for the algorithm of the token");
    jwt_keys_unref(keys);

    struct token_text named = token_jwk_of(JWT_ES256, old, ",\"kid\":\"named\"");
    struct token_text unnamed = token_jwk(JWT_ES256, "");
    struct token_text file = token_jwks(named.text, unnamed.text, NULL);
    keys = read_saying(&file, &said);
    cr_assert(is_good(keys, JWT_ES256, "{\"alg\":\"ES256\",\"kid\":\"another\"}"));
    cr_assert(!is_good(keys, JWT_ES256, "{\"alg\":\"ES256\",\"kid\":\"named\"}"));
    jwt_keys_unref(keys);

    file = token_jwks(named.text, NULL);
    keys = read_saying(&file, &said);
    token = token_of(JWT_ES256, SPAN_LITERAL("{\"alg\":\"ES256\",\"kid\":\"\"}"),
                     SPAN_LITERAL(TOKEN_PAYLOAD));
    token_is_refused(keys, &token, TOKEN_NO_RULES, "the key of the token is not known");
    jwt_keys_unref(keys);
    EVP_PKEY_free(old);
}

/* Certificates by kid, as Google publishes those of Firebase */

static void add_certificate(struct token_text *file, const char *kid, const struct token_text *pem)
{
    token_add(file, span_of(file->len == 0 ? "{\n  \"" : ",\n  \""));
    token_add(file, span_of(kid));
    token_add(file, SPAN_LITERAL("\": \""));
    for (size_t i = 0; i < pem->len; i++) {
        struct span byte = {pem->text + i, 1};
        token_add(file, pem->text[i] == '\n' ? SPAN_LITERAL("\\n") : byte);
    }
    token_add(file, SPAN_LITERAL("\""));
}

Test(jwk_certificates, are_keys_with_the_names_of_their_members)
{
    struct said said;
    struct token_text file = {.len = 0};
    EVP_PKEY *old = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
    EVP_PKEY *weak = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)1024);
    struct token_text first = token_certificate_of(old);
    struct token_text second = token_certificate_of(token_key(JWT_RS256));
    struct token_text third = token_certificate_of(weak);
    struct token_text none = {.text = "no PEM", .len = 6};
    struct token_text cut = {.text = "-----BEGIN CERTIFICATE-----", .len = 27};
    add_certificate(&file, "c2x", &first);
    add_certificate(&file, "\\u0064303", &second);
    add_certificate(&file, "weak", &third);
    add_certificate(&file, "none", &none);
    add_certificate(&file, "cut", &cut);
    token_add(&file, SPAN_LITERAL(",\"number\":7}\n"));
    struct jwt_keys *keys = read_saying(&file, &said);
    cr_assert_eq(jwt_keys_count(keys), 2);
    cr_assert(is_good(keys, JWT_RS256, "{\"alg\":\"RS256\",\"kid\":\"d303\"}"));
    cr_assert(!is_good(keys, JWT_RS256, "{\"alg\":\"RS256\",\"kid\":\"c2x\"}"));
    cr_assert(is_good(keys, JWT_RS256, "{\"alg\":\"RS256\"}"));
    cr_assert_eq(said.n, 4);
    is_said(&said, 0, 3, "weak", "an RSA key must have 2048 to 8192 bits");
    is_said(&said, 1, 4, "none", "it is not PEM");
    is_said(&said, 2, 5, "cut", "it is no whole PEM block");
    is_said(&said, 3, 6, "number", "it is not a string");
    EVP_PKEY_free(old);
    EVP_PKEY_free(weak);
    jwt_keys_unref(keys);
}
