/* Tokens as an attacker makes them: each is known from a library that took it. */
#include "jwt_tokens.h"

static const char bad_alg[] = "the algorithm of the token is not taken";
static const char bad_signature[] = "the signature of the token is not good";
static const char bad_coding[] = "the signature of the token is malformed";
static const char bad_parts[] = "the token is not of three parts";
static const char no_header[] = "the header of the token is empty";
static const char no_payload[] = "the payload of the token is empty";
static const char no_signature[] = "the signature of the token is empty";
static const char bad_header[] = "the header of the token is malformed";
static const char bad_payload[] = "the payload of the token is malformed";
static const char no_key[] = "no key is for the algorithm of the token";
static const char other_alg[] = "the algorithm of the token is not that of its key";
static const char bad_extension[] = "the token has an extension that is not taken";

static struct jwt_keys *keys_with_kid(enum jwt_alg alg)
{
    struct token_text jwk = token_jwk(alg, ",\"kid\":\"k\"");
    struct token_text jwks = token_jwks(jwk.text, NULL);
    return token_read(token_span(&jwks));
}

/* Signed with HS256, whatever the header says. */
static struct token_text forge(const char *header, struct span secret)
{
    struct token_text token = token_unsigned(span_of(header), SPAN_LITERAL(TOKEN_PAYLOAD));
    struct token_text mac = token_hmac(secret, token_span(&token));
    token_add_signature(&token, token_span(&mac));
    return token;
}

/* Algorithm confusion */

static size_t public_forms(enum jwt_alg alg, struct token_text forms[6])
{
    EVP_PKEY *key = token_key(alg);
    size_t n = 0;
    forms[n++] = token_pem_of(key);
    forms[n] = forms[0];
    forms[n++].len--; /* without its line break */
    forms[n++] = token_der_of(key);
    forms[n++] = token_jwk(alg, ",\"kid\":\"k\"");
    forms[n++] = token_certificate_of(key);
    if (alg == JWT_RS256) {
        forms[n++] = token_number_of(key, OSSL_PKEY_PARAM_RSA_N);
    } else if (alg == JWT_ES256) {
        forms[n++] = token_number_of(key, OSSL_PKEY_PARAM_EC_PUB_X);
    } else {
        unsigned char raw[32];
        size_t len = sizeof raw;
        cr_assert_eq(EVP_PKEY_get_raw_public_key(key, raw, &len), 1);
        forms[n] = (struct token_text){.len = 0};
        token_add(&forms[n++], token_bytes(raw, len));
    }
    return n;
}

/* CVE-2015-9235 and its many successors: the public key as the secret of an HMAC. */
Test(jwt_hostile, is_not_signed_with_a_public_key_as_the_secret)
{
    static struct token_text forms[6];
    static const enum jwt_alg algs[] = {JWT_RS256, JWT_ES256, JWT_EDDSA};
    for (int i = 0; i < 3; i++) {
        struct jwt_keys *keys = keys_with_kid(algs[i]);
        struct token_text pem = token_pem_of(token_key(algs[i]));
        struct jwt_keys *pem_keys = token_read(token_span(&pem));
        size_t n = public_forms(algs[i], forms);
        for (size_t form = 0; form < n; form++) {
            struct token_text token = forge("{\"alg\":\"HS256\"}", token_span(&forms[form]));
            token_is_refused(keys, &token, TOKEN_NO_RULES, no_key);
            token_is_refused(pem_keys, &token, TOKEN_NO_RULES, no_key);
            token = forge("{\"alg\":\"HS256\",\"kid\":\"k\"}", token_span(&forms[form]));
            token_is_refused(keys, &token, TOKEN_NO_RULES, other_alg);
            token = forge(token_header(algs[i]).bytes, token_span(&forms[form]));
            token_is_refused(keys, &token, TOKEN_NO_RULES, bad_signature);
        }
        jwt_keys_unref(pem_keys);
        jwt_keys_unref(keys);
    }
}

/* With a secret beside the public key the HS256 of the token may be meant: it is verified with the
 * secret then, and only with it. */
Test(jwt_hostile, is_not_signed_with_a_public_key_beside_a_secret)
{
    static struct token_text forms[6];
    struct token_text rsa = token_jwk(JWT_RS256, ",\"kid\":\"k\"");
    struct token_text oct = token_jwk(JWT_HS256, ",\"kid\":\"s\"");
    struct token_text jwks = token_jwks(rsa.text, oct.text, NULL);
    struct jwt_keys *keys = token_read(token_span(&jwks));
    size_t n = public_forms(JWT_RS256, forms);
    for (size_t form = 0; form < n; form++) {
        struct token_text token = forge("{\"alg\":\"HS256\"}", token_span(&forms[form]));
        token_is_refused(keys, &token, TOKEN_NO_RULES, bad_signature);
        token = forge("{\"alg\":\"HS256\",\"kid\":\"s\"}", token_span(&forms[form]));
        token_is_refused(keys, &token, TOKEN_NO_RULES, bad_signature);
        token = forge("{\"alg\":\"HS256\",\"kid\":\"k\"}", token_span(&forms[form]));
        token_is_refused(keys, &token, TOKEN_NO_RULES, other_alg);
    }
    struct token_text token =
        forge("{\"alg\":\"RS256\",\"kid\":\"s\"}", SPAN_LITERAL(TOKEN_SECRET));
    token_is_refused(keys, &token, TOKEN_NO_RULES, other_alg);
    token = forge("{\"alg\":\"HS256\",\"kid\":\"k\"}", SPAN_LITERAL(TOKEN_SECRET));
    token_is_refused(keys, &token, TOKEN_NO_RULES, other_alg);
    jwt_keys_unref(keys);
}

/* Signed by a good key of one algorithm, and labelled with each other one. */
Test(jwt_hostile, does_not_get_another_algorithm_by_its_label)
{
    for (int key = 0; key < JWT_ALGS; key++) {
        struct jwt_keys *keys = token_keys((enum jwt_alg)key);
        for (int label = 0; label < JWT_ALGS; label++) {
            struct token_text token = token_of((enum jwt_alg)key, token_header((enum jwt_alg)label),
                                               SPAN_LITERAL(TOKEN_PAYLOAD));
            if (label != key)
                token_is_refused(keys, &token, TOKEN_NO_RULES, no_key);
        }
        jwt_keys_unref(keys);
    }
}

Test(jwt_hostile, is_not_of_an_algorithm_that_is_not_taken)
{
    static const char *const algs[] = {
        "\"none\"",   "\"None\"",       "\"NONE\"",  "\"nOnE\"",    "\"\"",
        "\" none\"",  "\"no\\u006ee\"", "\"hs256\"", "\"HS256 \"",  "\"HS256\\u0000\"",
        "\"HS384\"",  "\"HS512\"",      "\"rs384\"", "\"RS1\"",     "\"RS257\"",
        "\"ES38\"",   "\"ES256K\"",     "\"Ed448\"", "\"ES\"",      "\"dir\"",
        "\"A128KW\"", "null",           "1",         "[\"HS256\"]", "{}",
        "true",       "\"\\ud800\""};
    for (int alg = 0; alg < JWT_ALGS; alg++) {
        struct jwt_keys *keys = keys_with_kid((enum jwt_alg)alg);
        for (size_t i = 0; i < sizeof algs / sizeof algs[0]; i++) {
            char header[128];
            snprintf(header, sizeof header, "{\"kid\":\"k\",\"alg\":%s}", algs[i]);
            struct token_text token =
                token_of((enum jwt_alg)alg, span_of(header), SPAN_LITERAL(TOKEN_PAYLOAD));
            token_is_refused(keys, &token, TOKEN_NO_RULES, bad_alg);
            token = token_unsigned(span_of(header), SPAN_LITERAL(TOKEN_PAYLOAD));
            token_add(&token, SPAN_LITERAL("."));
            token_is_refused(keys, &token, TOKEN_NO_RULES, no_signature);
            token_add(&token, SPAN_LITERAL("AAAA"));
            token_is_refused(keys, &token, TOKEN_NO_RULES, bad_alg);
        }
        struct token_text token =
            token_of((enum jwt_alg)alg, SPAN_LITERAL("{}"), SPAN_LITERAL(TOKEN_PAYLOAD));
        token_is_refused(keys, &token, TOKEN_NO_RULES, bad_alg);
        jwt_keys_unref(keys);
    }
}

/* CVE-2018-0114: the key comes along in the token. */
Test(jwt_hostile, does_not_bring_its_own_key)
{
    struct jwt_keys *keys = token_keys(JWT_ES256);
    EVP_PKEY *mine = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    struct token_text jwk = token_members_of(JWT_ES256, mine);
    struct token_text header = {.len = 0};
    token_add(&header, SPAN_LITERAL("{\"alg\":\"ES256\",\"jku\":\"https://evil/keys\",\"jwk\":{"));
    token_add(&header, token_span(&jwk));
    token_add(&header, SPAN_LITERAL("}}"));
    struct token_text token = token_unsigned(token_span(&header), SPAN_LITERAL(TOKEN_PAYLOAD));
    struct token_text der = token_sign_der(JWT_ES256, mine, token_span(&token));
    struct token_text raw = token_raw_of(JWT_ES256, &der);
    token_add_signature(&token, token_span(&raw));
    token_is_refused(keys, &token, TOKEN_NO_RULES, bad_signature);
    EVP_PKEY_free(mine);
    jwt_keys_unref(keys);
}

/* The header */

Test(jwt_hostile, has_no_extensions)
{
    static const char *const headers[] = {
        "{\"alg\":\"EdDSA\",\"crit\":[\"exp\"],\"exp\":1}",
        "{\"alg\":\"EdDSA\",\"crit\":[]}",
        "{\"alg\":\"EdDSA\",\"crit\":null}",
        "{\"alg\":\"EdDSA\",\"cr\\u0069t\":[\"x\"]}",
        "{\"alg\":\"EdDSA\",\"b64\":false,\"crit\":[\"b64\"]}",
        "{\"alg\":\"EdDSA\",\"b64\":false}",
        "{\"alg\":\"EdDSA\",\"b64\":true}",
    };
    struct jwt_keys *keys = token_keys(JWT_EDDSA);
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        struct token_text token =
            token_of(JWT_EDDSA, span_of(headers[i]), SPAN_LITERAL(TOKEN_PAYLOAD));
        token_is_refused(keys, &token, TOKEN_NO_RULES, bad_extension);
    }
    jwt_keys_unref(keys);
}

Test(jwt_hostile, has_a_header_with_one_meaning)
{
    static const char *const headers[] = {
        "{\"alg\":\"EdDSA\",\"alg\":\"EdDSA\"}",
        "{\"alg\":\"none\",\"alg\":\"EdDSA\"}",
        "{\"alg\":\"EdDSA\",\"\\u0061lg\":\"none\"}",
        "{\"alg\":\"EdDSA\",\"kid\":\"a\",\"kid\":\"b\"}",
        "{\"alg\":\"EdDSA\",\"typ\":\"JWT\",\"typ\":\"JWT\"}",
        "[\"EdDSA\"]",
        "\"EdDSA\"",
        "{\"alg\":\"EdDSA\"",
        "{\"alg\":\"EdDSA\"}}",
        "{\"alg\":\"EdDSA\"} {}",
        "{\"alg\":\"EdDSA\",}",
        "{'alg':'EdDSA'}",
        "{\"alg\":\"Ed\xffSA\"}",
        "{\"alg\":\"EdDSA\",\"x\":\"\x01\"}",
        "{\"alg\":\"EdDSA\"}\n//",
        "\xef\xbb\xbf{\"alg\":\"EdDSA\"}",
        " ",
    };
    struct jwt_keys *keys = token_keys(JWT_EDDSA);
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        struct token_text token =
            token_of(JWT_EDDSA, span_of(headers[i]), SPAN_LITERAL(TOKEN_PAYLOAD));
        token_is_refused(keys, &token, TOKEN_NO_RULES, bad_header);
    }
    struct token_text token =
        token_of(JWT_EDDSA, SPAN_LITERAL("{\"alg\":\"EdDSA\"}\0"), SPAN_LITERAL(TOKEN_PAYLOAD));
    token_is_refused(keys, &token, TOKEN_NO_RULES, bad_header);
    jwt_keys_unref(keys);
}

/* The form */

static void refuse_text(const struct jwt_keys *keys, const char *text, const char *sentence)
{
    struct token_text token = {.len = 0};
    token_add(&token, span_of(text));
    token_is_refused(keys, &token, TOKEN_NO_RULES, sentence);
}

Test(jwt_hostile, has_three_parts_and_none_is_empty)
{
    static const struct {
        const char *text, *sentence;
    } rows[] = {
        {"", bad_parts},          {".", bad_parts},
        {"a", bad_parts},         {"a.b", bad_parts},
        {"...", bad_parts},       {"a.b.c.d", bad_parts},
        {"a.b.c.", bad_parts},    {".a.b.c", bad_parts},
        {"a.b.c.d.e", bad_parts}, {"..", no_header},
        {".a.b", no_header},      {"..a", no_header},
        {"a..b", no_payload},     {"a..", no_payload},
        {"a.b.", no_signature},   {"eyJhbGciOiJub25lIn0.e30.", no_signature},
    };
    struct jwt_keys *keys = token_keys(JWT_HS256);
    struct token_text good = token_make(JWT_HS256, TOKEN_PAYLOAD);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        refuse_text(keys, rows[i].text, rows[i].sentence);
    struct token_text none = {.len = 0};
    token_is_refused(keys, &none, TOKEN_NO_RULES, bad_parts);
    struct token_text more = good;
    token_add(&more, SPAN_LITERAL("."));
    token_is_refused(keys, &more, TOKEN_NO_RULES, bad_parts);
    refuse_text(keys, "a.b.c", bad_header);
    refuse_text(keys, "e30.e30.e30", bad_alg);
    jwt_keys_unref(keys);
}

Test(jwt_hostile, has_no_padding_and_no_white_space)
{
    static const char *const tails[] = {"=", "==", " ", "\n", "\r\n", "A", "%3D", "\xc2\xa0", "+"};
    for (int alg = 0; alg < JWT_ALGS; alg++) {
        struct jwt_keys *keys = token_keys((enum jwt_alg)alg);
        struct token_text good = token_make((enum jwt_alg)alg, TOKEN_PAYLOAD);
        for (size_t i = 0; i < sizeof tails / sizeof tails[0]; i++) {
            struct token_text token = good;
            token_add(&token, span_of(tails[i]));
            cr_assert_eq(token_judge(keys, &token, TOKEN_NO_RULES), ERR_UNAUTHORIZED, "%s",
                         tails[i]);
        }
        struct token_text nul = good;
        nul.len++;
        token_is_refused(keys, &nul, TOKEN_NO_RULES, bad_coding);
        struct token_text space = {.len = 0};
        token_add(&space, SPAN_LITERAL(" "));
        token_add(&space, token_span(&good));
        token_is_refused(keys, &space, TOKEN_NO_RULES, bad_header);
        jwt_keys_unref(keys);
    }
}

/* The text is signed as it stands, so padding in the header could be signed as well. */
Test(jwt_hostile, has_no_padding_even_when_it_is_signed)
{
    struct jwt_keys *keys = token_keys(JWT_HS256);
    static const struct {
        const char *text, *sentence;
    } rows[] = {
        {"eyJhbGciOiJIUzI1NiJ9=.eyJzdWIiOiJhbm5hIiwiZXhwIjoxNzAwMDAwMzAwfQ", bad_header},
        {"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm5hIiwiZXhwIjoxNzAwMDAwMzAwfQ==", bad_payload},
        {"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm5hIiwiZXhwIjoxNzAwMDAwMzAwfR", bad_payload},
        {"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm5hIiwiZXhwIjoxNzAwMDAwMzAwfQ", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct token_text token = {.len = 0};
        token_add(&token, span_of(rows[i].text));
        struct token_text mac = token_sign(JWT_HS256, token_span(&token));
        token_add_signature(&token, token_span(&mac));
        if (rows[i].sentence != NULL)
            token_is_refused(keys, &token, TOKEN_NO_RULES, rows[i].sentence);
        else
            cr_assert_eq(token_judge(keys, &token, TOKEN_NO_RULES), ERR_OK);
    }
    jwt_keys_unref(keys);
}

Test(jwt_hostile, is_at_most_32_kib)
{
    static char payload[TOKEN_CAP];
    struct jwt_keys *keys = token_keys(JWT_HS256);
    struct token_text token;
    size_t fill = 24300;
    do {
        char head[] = "{\"sub\":\"anna\",\"exp\":1700000300,\"x\":\"";
        memcpy(payload, head, sizeof head);
        memset(payload + sizeof head - 1, 'x', ++fill);
        memcpy(payload + sizeof head - 1 + fill, "\"}", 3);
        token = token_make(JWT_HS256, payload);
        cr_assert_eq(token_judge(keys, &token, TOKEN_NO_RULES),
                     token.len <= JWT_TOKEN_MAX_BYTES ? ERR_OK : ERR_UNAUTHORIZED, "%zu",
                     token.len);
    } while (token.len <= JWT_TOKEN_MAX_BYTES + 8);
    token_is_refused(keys, &token, TOKEN_NO_RULES, "the token is larger than 32 KiB");
    jwt_keys_unref(keys);
}

/* Every byte is signed: the first bit of each is turned over, and each is made another letter of
 * the alphabet, which keeps the form. */
Test(jwt_hostile, is_refused_when_any_byte_is_another)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (int alg = 0; alg < JWT_ALGS; alg++) {
        struct jwt_keys *keys = token_keys((enum jwt_alg)alg);
        struct token_text token = token_make((enum jwt_alg)alg, TOKEN_PAYLOAD);
        for (size_t i = 0; i < token.len; i++) {
            char was = token.text[i];
            const char *at = strchr(alphabet, was);
            char others[] = {(char)(was ^ 1),
                             (char)(was ^ 0x80),
                             '.',
                             '\0',
                             at == NULL ? 'A' : alphabet[(at - alphabet) ^ 32],
                             at == NULL ? 'B' : alphabet[(at - alphabet) ^ 1]};
            for (size_t k = 0; k < sizeof others; k++) {
                if (others[k] == was)
                    continue;
                token.text[i] = others[k];
                cr_assert_eq(token_judge(keys, &token, TOKEN_NO_RULES), ERR_UNAUTHORIZED,
                             "%d: byte %zu, %zu", alg, i, k);
            }
            token.text[i] = was;
        }
        cr_assert_eq(token_judge(keys, &token, TOKEN_NO_RULES), ERR_OK);
        jwt_keys_unref(keys);
    }
}

/* Read from a copy of exactly its length, so that a sanitizer sees a read beyond its end. */
Test(jwt_hostile, is_refused_when_it_is_cut_anywhere)
{
    for (int alg = 0; alg < JWT_ALGS; alg++) {
        struct jwt_keys *keys = token_keys((enum jwt_alg)alg);
        struct token_text token = token_make((enum jwt_alg)alg, TOKEN_PAYLOAD);
        for (size_t len = 0; len <= token.len; len++) {
            struct jwt_claims claims;
            const char *detail;
            char *cut = malloc(len + (len == 0));
            memcpy(cut, token.text, len);
            cr_assert_eq(jwt_verify(keys, token_bytes(cut, len), TOKEN_NO_RULES, TOKEN_NOW_MS,
                                    &claims, &detail),
                         len == token.len ? ERR_OK : ERR_UNAUTHORIZED, "%d: %zu", alg, len);
            memmove(cut, token.text + token.len - len, len);
            cr_assert_eq(jwt_verify(keys, token_bytes(cut, len), TOKEN_NO_RULES, TOKEN_NOW_MS,
                                    &claims, &detail),
                         len == token.len ? ERR_OK : ERR_UNAUTHORIZED, "%d: %zu", alg, len);
            free(cut);
        }
        jwt_keys_unref(keys);
    }
}

/* A refusal for lack of a signature says nothing about the payload. */
Test(jwt_hostile, learns_nothing_about_claims_without_a_good_signature)
{
    static const char *const payloads[] = {TOKEN_PAYLOAD, "{}", "{\"sub\":\"anna\",\"exp\":1}",
                                           "junk", "{\"sub\":\"a\",\"sub\":\"b\"}"};
    struct jwt_keys *keys = token_keys(JWT_HS256);
    for (size_t i = 0; i < sizeof payloads / sizeof payloads[0]; i++) {
        struct token_text token = token_unsigned(token_header(JWT_HS256), span_of(payloads[i]));
        struct token_text mac = token_hmac(SPAN_LITERAL("another secret, of forty bytes as well.."),
                                           token_span(&token));
        token_add_signature(&token, token_span(&mac));
        token_is_refused(keys, &token, TOKEN_NO_RULES, bad_signature);
    }
    jwt_keys_unref(keys);
}
