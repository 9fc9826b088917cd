/* What a token claims (RFC 7519, section 4), once its signature is good. */
#include "jwt_tokens.h"

static const char bad_sub[] =
    "the user claim must be a string of 1 to 128 bytes without control characters, or a whole "
    "number";
static const char no_sub[] = "the token has no claim that names the user (--jwt-user-claim)";
static const char no_aud[] = "the token names no audience (aud)";
static const char other_aud[] = "the token is for another audience (aud)";
static const char no_iss[] = "the token names no issuer (iss)";
static const char other_iss[] = "the token is from another issuer (iss)";
static const char bad_exp[] = "exp must be a number of seconds up to the year 9999";
static const char bad_nbf[] = "nbf must be a number of seconds up to the year 9999";
static const char bad_iat[] = "iat must be a number of seconds up to the year 9999";

static enum err judge(const char *payload, int64_t now_ms, struct jwt_claims *ret_claims,
                      const char **ret_detail)
{
    struct jwt_keys *keys = token_keys(JWT_HS256);
    struct token_text token = token_make(JWT_HS256, payload);
    enum err error =
        jwt_verify(keys, token_span(&token), TOKEN_NO_RULES, now_ms, ret_claims, ret_detail);
    jwt_keys_unref(keys);
    return error;
}

static void expect(const char *payload, enum err want, const char *sentence)
{
    struct jwt_claims claims;
    const char *detail = "";
    cr_assert_eq(judge(payload, TOKEN_NOW_MS, &claims, &detail), want, "%s: %s", payload, detail);
    cr_assert_str_eq(detail, sentence, "%s: %s", payload, detail);
}

static void expect_with_sub(const char *claim, enum err want, const char *sentence)
{
    char payload[512];
    snprintf(payload, sizeof payload, "{\"sub\":\"anna\",%s}", claim);
    expect(payload, want, sentence);
}

/* exp */

/* CONTRACT 2: 30 s leeway. */
Test(jwt_claims, lets_exp_be_over_for_less_than_the_leeway)
{
    expect_with_sub("\"exp\":1699999971", ERR_OK, ""); /* 29 s ago */
    expect_with_sub("\"exp\":1699999970.001", ERR_OK, "");
    expect_with_sub("\"exp\":1699999970", ERR_EXPIRED, "the token has expired");
    expect_with_sub("\"exp\":1699999969", ERR_EXPIRED, "the token has expired");
    expect_with_sub("\"exp\":0", ERR_EXPIRED, "the token has expired");
}

Test(jwt_claims, has_the_leeway_of_the_rules)
{
    struct jwt_keys *keys = token_keys(JWT_HS256);
    struct jwt_rules none = {.leeway_ms = 0};
    struct token_text token = token_make(JWT_HS256, "{\"sub\":\"a\",\"exp\":1700000000}");
    cr_assert_eq(token_judge(keys, &token, &none), ERR_EXPIRED);
    token = token_make(JWT_HS256, "{\"sub\":\"a\",\"exp\":1700000000.001}");
    cr_assert_eq(token_judge(keys, &token, &none), ERR_OK);
    token = token_make(JWT_HS256, "{\"sub\":\"a\",\"exp\":1800000000,\"nbf\":1700000000}");
    cr_assert_eq(token_judge(keys, &token, &none), ERR_OK);
    token = token_make(JWT_HS256, "{\"sub\":\"a\",\"exp\":1800000000,\"nbf\":1700000000.001}");
    cr_assert_eq(token_judge(keys, &token, &none), ERR_UNAUTHORIZED);
    jwt_keys_unref(keys);
}

Test(jwt_claims, says_expired_only_when_nothing_else_is_wrong)
{
    expect("{\"exp\":1}", ERR_UNAUTHORIZED, no_sub);
    expect("{\"sub\":\"\",\"exp\":1}", ERR_UNAUTHORIZED, bad_sub);
    expect("{\"sub\":\"a\",\"exp\":1,\"nbf\":1800000000}", ERR_UNAUTHORIZED,
           "the token is not valid yet");
}

Test(jwt_claims, requires_exp_as_a_number)
{
    static const char *const claims[] = {
        "\"exp\":\"1800000000\"", "\"exp\":null", "\"exp\":true",
        "\"exp\":[1800000000]",   "\"exp\":{}",   "\"exp\":\"\"",
    };
    static const char *const none[] = {"\"iat\":1", "\"Exp\":1800000000", "\"exp \":1800000000"};
    for (size_t i = 0; i < sizeof claims / sizeof claims[0]; i++)
        expect_with_sub(claims[i], ERR_UNAUTHORIZED, bad_exp);
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        expect_with_sub(none[i], ERR_UNAUTHORIZED, "the token has no exp");
}

Test(jwt_claims, refuses_times_out_of_range)
{
    static const char *const numbers[] = {
        "1e400",
        "1e99999999999999999999",
        "9007199254740993",
        "18446744073709551616",
        "99999999999999999999999999999999999999999999999999",
        "253402300800",
        "2534023008e2",
        "1800000000000", /* milliseconds, the usual mistake */
        "-1",
        "-0",
        "-1e9",
        "-1e-400",
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        char claim[256];
        snprintf(claim, sizeof claim, "\"exp\":%s", numbers[i]);
        expect_with_sub(claim, ERR_UNAUTHORIZED, bad_exp);
        snprintf(claim, sizeof claim, "\"exp\":1800000000,\"nbf\":%s", numbers[i]);
        expect_with_sub(claim, ERR_UNAUTHORIZED, bad_nbf);
        snprintf(claim, sizeof claim, "\"exp\":1800000000,\"iat\":%s", numbers[i]);
        expect_with_sub(claim, ERR_UNAUTHORIZED, bad_iat);
    }
}

/* The header of proto/token/jwt.h: milliseconds count, further digits are dropped. */
Test(jwt_claims, reads_times_exactly)
{
    static const struct {
        const char *number;
        int64_t ms;
    } rows[] = {
        {"1800000000", 1800000000000},
        {"1800000000.0", 1800000000000},
        {"1800000000.5", 1800000000500},
        {"1800000000.0019999", 1800000000001},
        {"1800000000.9999999999999999999999999", 1800000000999},
        {"1.8e9", 1800000000000},
        {"1.8E+9", 1800000000000},
        {"1.8e+00009", 1800000000000},
        {"18000000000e-1", 1800000000000},
        {"18000000005e-1", 1800000000500},
        {"18000000000000000000000000000000e-22", 1800000000000},
        {"0.0000000000000000000000000000018e39", 1800000000000},
        {"253402300799.999", 253402300799999},
        {"253402300799.99999999", 253402300799999},
        {"1700000001.001e0", 1700000001001},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char payload[256];
        struct jwt_claims claims;
        const char *detail = "";
        snprintf(payload, sizeof payload, "{\"sub\":\"a\",\"exp\":%s}", rows[i].number);
        cr_assert_eq(judge(payload, TOKEN_NOW_MS, &claims, &detail), ERR_OK, "%s: %s", payload,
                     detail);
        cr_assert_eq(claims.expires_ms, rows[i].ms, "%s: %ld", payload, (long)claims.expires_ms);
    }
    expect_with_sub("\"exp\":0e400", ERR_EXPIRED, "the token has expired");
    expect_with_sub("\"exp\":1e-400", ERR_EXPIRED, "the token has expired");
    expect_with_sub("\"exp\":0.0e99999999999999999999", ERR_EXPIRED, "the token has expired");
}

/* nbf and iat */

Test(jwt_claims, lets_nbf_be_ahead_by_the_leeway)
{
    expect_with_sub("\"exp\":1800000000,\"nbf\":1700000029", ERR_OK, "");
    expect_with_sub("\"exp\":1800000000,\"nbf\":1700000030", ERR_OK, "");
    expect_with_sub("\"exp\":1800000000,\"nbf\":1700000030.001", ERR_UNAUTHORIZED,
                    "the token is not valid yet");
    expect_with_sub("\"exp\":1800000000,\"nbf\":1700000031", ERR_UNAUTHORIZED,
                    "the token is not valid yet");
    expect_with_sub("\"exp\":1800000000,\"nbf\":0", ERR_OK, "");
}

Test(jwt_claims, wants_nbf_and_iat_to_be_numbers_and_does_not_compare_iat)
{
    expect_with_sub("\"exp\":1800000000,\"nbf\":\"1700000000\"", ERR_UNAUTHORIZED, bad_nbf);
    expect_with_sub("\"exp\":1800000000,\"nbf\":null", ERR_UNAUTHORIZED, bad_nbf);
    expect_with_sub("\"exp\":1800000000,\"iat\":\"now\"", ERR_UNAUTHORIZED, bad_iat);
    expect_with_sub("\"exp\":1800000000,\"iat\":1799999999.5", ERR_OK, "");
}

/* sub */

Test(jwt_claims, takes_every_user_id_that_the_contract_allows)
{
    static const char *const subs[][2] = {
        {"\"42\"", "42"},
        {"42", "42"},
        {"0", "0"},
        {"123456789012345678901", "123456789012345678901"}, /* no number of 64 bits */
        {"\" \"", " "},
        {"\"a/b?c\"", "a/b?c"},
        {"\"a\\/b\\\"\\\\\"", "a/b\"\\"},
        {"\"\\u00e9\\ud83d\\ude00\"", "\xc3\xa9\xf0\x9f\x98\x80"},
        {"\"\xc3\xa9\"", "\xc3\xa9"},
        {"\"google-oauth2|103547991597142817347\"", "google-oauth2|103547991597142817347"},
    };
    for (size_t i = 0; i < sizeof subs / sizeof subs[0]; i++) {
        char payload[256];
        struct jwt_claims claims;
        const char *detail = "";
        snprintf(payload, sizeof payload, "{\"sub\":%s,\"exp\":1800000000}", subs[i][0]);
        cr_assert_eq(judge(payload, TOKEN_NOW_MS, &claims, &detail), ERR_OK, "%s: %s", payload,
                     detail);
        cr_assert(
            span_equal((struct span){claims.user_id, claims.user_id_len}, span_of(subs[i][1])),
            "%s", payload);
    }
}

Test(jwt_claims, refuses_every_other_sub)
{
    static const char *const claims[] = {
        "\"sub\":\"\"",        "\"sub\":-42",
        "\"sub\":4.2",         "\"sub\":42e0",
        "\"sub\":true",        "\"sub\":null",
        "\"sub\":[\"anna\"]",  "\"sub\":{\"sub\":\"anna\"}",
        "\"sub\":\"\\u0000\"", "\"sub\":\"anna\\u0000bob\"",
        "\"sub\":\"anna\\n\"", "\"sub\":\"\\u007f\"",
        "\"sub\":\"\\u0085\"", "\"sub\":\"\xc2\x85\"",
        "\"sub\":\"\\ud800\"",
    };
    static const char *const none[] = {"\"x\":1", "\"Sub\":\"anna\"", "\"sub\\u0000\":\"anna\""};
    char payload[256];
    for (size_t i = 0; i < sizeof claims / sizeof claims[0]; i++) {
        snprintf(payload, sizeof payload, "{\"exp\":1800000000,%s}", claims[i]);
        expect(payload, ERR_UNAUTHORIZED, bad_sub);
    }
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        snprintf(payload, sizeof payload, "{\"exp\":1800000000,%s}", none[i]);
        expect(payload, ERR_UNAUTHORIZED, no_sub);
    }
}

Test(jwt_claims, takes_a_sub_of_128_bytes_and_none_of_129)
{
    char payload[256];
    struct jwt_claims claims;
    const char *detail = "";
    snprintf(payload, sizeof payload, "{\"exp\":1800000000,\"sub\":\"%0128d\"}", 7);
    cr_assert_eq(judge(payload, TOKEN_NOW_MS, &claims, &detail), ERR_OK);
    cr_assert_eq(claims.user_id_len, 128);
    snprintf(payload, sizeof payload, "{\"exp\":1800000000,\"sub\":\"%0129d\"}", 7);
    expect(payload, ERR_UNAUTHORIZED, bad_sub);
    snprintf(payload, sizeof payload, "{\"exp\":1800000000,\"sub\":1%0127d}", 7);
    cr_assert_eq(judge(payload, TOKEN_NOW_MS, &claims, &detail), ERR_OK);
    snprintf(payload, sizeof payload, "{\"exp\":1800000000,\"sub\":1%0128d}", 7);
    expect(payload, ERR_UNAUTHORIZED, bad_sub);
}

/* aud and iss */

static void expect_by(const struct jwt_rules *rules, const char *claim, const char *sentence)
{
    struct jwt_keys *keys = token_keys(JWT_HS256);
    char payload[512];
    snprintf(payload, sizeof payload, "{\"sub\":\"anna\",\"exp\":1800000000,\"x\":0%s}", claim);
    struct token_text token = token_make(JWT_HS256, payload);
    if (sentence == NULL)
        cr_assert_eq(token_judge(keys, &token, rules), ERR_OK, "%s", payload);
    else
        token_is_refused(keys, &token, rules, sentence);
    jwt_keys_unref(keys);
}

Test(jwt_claims, holds_aud_against_the_rules)
{
    static const char *const good[] = {
        ",\"aud\":\"https://push\"",
        ",\"aud\":\"https:\\/\\/push\"",
        ",\"aud\":[\"https://push\"]",
        ",\"aud\":[\"other\",\"https://push\",\"more\"]",
    };
    static const char *const bad[] = {
        ",\"aud\":null",
        ",\"aud\":7",
        ",\"aud\":\"\"",
        ",\"aud\":[]",
        ",\"aud\":\"https://push/\"",
        ",\"aud\":\"https://pus\"",
        ",\"aud\":\"HTTPS://push\"",
        ",\"aud\":\"https://push\\u0000\"",
        ",\"aud\":[\"https://push2\",\"\"]",
        ",\"aud\":[[\"https://push\"]]",
        ",\"aud\":{\"https://push\":1}",
        ",\"aud\":[\"https://push\",7]",
        ",\"aud\":[7,\"https://push\"]",
    };
    static const char *const none[] = {"", ",\"Aud\":\"https://push\"", ",\"iss\":\"https://push\"",
                                       ",\"azp\":\"https://push\""};
    struct jwt_rules rules = {
        .audiences = &SPAN_LITERAL("https://push"), .n_audiences = 1, .leeway_ms = 0};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        expect_by(&rules, good[i], NULL);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        expect_by(&rules, bad[i], other_aud);
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        expect_by(&rules, none[i], no_aud);
}

Test(jwt_claims, takes_one_of_several_audiences_and_issuers)
{
    static const struct span audiences[] = {{"push", 4}, {"mail", 4}};
    static const struct span issuers[] = {{"https://a", 9}, {"https://b", 9}};
    struct jwt_rules rules = {
        .audiences = audiences, .n_audiences = 2, .issuers = issuers, .n_issuers = 2};
    expect_by(&rules, ",\"aud\":\"push\",\"iss\":\"https://b\"", NULL);
    expect_by(&rules, ",\"aud\":[\"x\",\"mail\"],\"iss\":\"https://a\"", NULL);
    expect_by(&rules, ",\"aud\":\"push,mail\",\"iss\":\"https://a\"", other_aud);
    expect_by(&rules, ",\"aud\":[],\"iss\":\"https://a\"", other_aud);
    expect_by(&rules, ",\"aud\":\"push\",\"iss\":\"https://c\"", other_iss);
}

/* RFC 7519, 4.1.3: an aud that is there decides. */
Test(jwt_claims, looks_at_another_claim_only_where_aud_is_absent)
{
    struct jwt_rules rules = {
        .audiences = &SPAN_LITERAL("web"), .n_audiences = 1, .audience_claim = "client_id"};
    expect_by(&rules, ",\"client_id\":\"web\"", NULL);
    expect_by(&rules, ",\"client_id\":[\"app\",\"web\"]", NULL);
    expect_by(&rules, ",\"aud\":\"web\",\"client_id\":\"app\"", NULL);
    expect_by(&rules, ",\"client_id\":\"app\"", other_aud);
    expect_by(&rules, ",\"aud\":\"app\",\"client_id\":\"web\"", other_aud);
    expect_by(&rules, ",\"aud\":null,\"client_id\":\"web\"", other_aud);
    expect_by(&rules, ",\"azp\":\"web\"", no_aud);
}

Test(jwt_claims, takes_the_user_from_the_claim_that_the_rules_name)
{
    struct jwt_rules rules = {.user_claim = "https://shop.example/id"};
    struct jwt_keys *keys = token_keys(JWT_HS256);
    struct token_text token = token_make(
        JWT_HS256, "{\"sub\":\"anna\",\"https:\\/\\/shop.example/id\":4711,\"exp\":1800000000}");
    struct jwt_claims claims;
    const char *detail = "";
    cr_assert_eq(jwt_verify(keys, token_span(&token), &rules, TOKEN_NOW_MS, &claims, &detail),
                 ERR_OK, "%s", detail);
    cr_assert(span_equal((struct span){claims.user_id, claims.user_id_len}, SPAN_LITERAL("4711")));
    token = token_make(JWT_HS256, TOKEN_PAYLOAD);
    token_is_refused(keys, &token, &rules, no_sub);
    jwt_keys_unref(keys);
}

Test(jwt_claims, holds_iss_against_the_rules)
{
    static const char *const bad[] = {
        ",\"iss\":null",
        ",\"iss\":\"\"",
        ",\"iss\":[\"https://id\"]",
        ",\"iss\":\"https://id/\"",
        ",\"iss\":\"https://i\"",
    };
    struct jwt_rules rules = {
        .issuers = &SPAN_LITERAL("https://id"), .n_issuers = 1, .leeway_ms = 0};
    expect_by(&rules, ",\"iss\":\"https://id\"", NULL);
    expect_by(&rules, ",\"iss\":\"https:\\/\\/id\"", NULL);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        expect_by(&rules, bad[i], other_iss);
    expect_by(&rules, "", no_iss);
    expect_by(&rules, ",\"aud\":\"https://id\"", no_iss);
}

Test(jwt_claims, holds_both_against_the_rules)
{
    struct jwt_rules rules = {.audiences = &SPAN_LITERAL("a"),
                              .n_audiences = 1,
                              .issuers = &SPAN_LITERAL("i"),
                              .n_issuers = 1};
    expect_by(&rules, ",\"iss\":\"i\",\"aud\":\"a\"", NULL);
    expect_by(&rules, ",\"iss\":\"a\",\"aud\":\"i\"", other_iss);
    expect_by(&rules, ",\"iss\":\"i\",\"aud\":\"i\"", other_aud);
}

Test(jwt_claims, does_not_look_at_aud_and_iss_without_a_rule)
{
    expect_by(TOKEN_NO_RULES, "", NULL);
    expect_by(TOKEN_NO_RULES, ",\"aud\":[7,{}],\"iss\":null", NULL);
}

/* The payload as a whole */

Test(jwt_claims, refuses_payloads_that_are_no_object_or_have_a_member_twice)
{
    static const char *const payloads[] = {
        "[]",
        "7",
        "\"anna\"",
        "null",
        "{",
        "{\"sub\":\"anna\",\"exp\":1800000000",
        "{\"sub\":\"anna\",\"exp\":1800000000}}",
        "{\"sub\":\"anna\",\"exp\":1800000000}{}",
        "{\"sub\":\"anna\",\"exp\":1800000000,}",
        "{\"sub\":\"anna\",\"exp\":1800000000,\"exp\":1800000000}",
        "{\"sub\":\"anna\",\"exp\":1,\"e\\u0078p\":1800000000}",
        "{\"sub\":\"anna\",\"sub\":\"bob\",\"exp\":1800000000}",
        "{\"sub\":\"anna\",\"exp\":1800000000,\"x\":1,\"x\":1}",
        "{\"sub\":\"anna\",\"exp\":01800000000}",
        "{\"sub\":\"anna\",\"exp\":+1800000000}",
        "{\"sub\":\"anna\",\"exp\":1800000000.}",
        "{\"sub\":\"anna\",\"exp\":.5}",
        "{\"sub\":\"anna\",\"exp\":0x7fffffff}",
        "{\"sub\":\"anna\",\"exp\":Infinity}",
        "{\"sub\":\"anna\",\"exp\":1e}",
        "{\"sub\":\"a\xff\",\"exp\":1800000000}",
        "{\"sub\":\"\xc0\xaf\",\"exp\":1800000000}",
        "{\"sub\":\"\xed\xa0\x80\",\"exp\":1800000000}",
        "{\"sub\":\"a\nb\",\"exp\":1800000000}",
        "\xef\xbb\xbf{\"sub\":\"anna\",\"exp\":1800000000}",
    };
    for (size_t i = 0; i < sizeof payloads / sizeof payloads[0]; i++)
        expect(payloads[i], ERR_UNAUTHORIZED, "the payload of the token is malformed");
}

Test(jwt_claims, refuses_a_nul_in_the_payload)
{
    static const char inside[] = "{\"sub\":\"an\0na\",\"exp\":1800000000}";
    static const char behind[] = "{\"sub\":\"anna\",\"exp\":1800000000}\0";
    struct jwt_keys *keys = token_keys(JWT_HS256);
    struct token_text token =
        token_of(JWT_HS256, token_header(JWT_HS256), token_bytes(inside, sizeof inside - 1));
    token_is_refused(keys, &token, TOKEN_NO_RULES, "the payload of the token is malformed");
    token = token_of(JWT_HS256, token_header(JWT_HS256), token_bytes(behind, sizeof behind - 1));
    token_is_refused(keys, &token, TOKEN_NO_RULES, "the payload of the token is malformed");
    jwt_keys_unref(keys);
}

Test(jwt_claims, refuses_a_payload_that_is_nested_too_deep)
{
    char payload[512] = "{\"sub\":\"anna\",\"exp\":1800000000,\"x\":";
    size_t len = strlen(payload);
    memset(payload + len, '[', 63);
    memset(payload + len + 63, ']', 63);
    strncat(payload, "}", 2);
    expect(payload, ERR_OK, "");
    memset(payload + len, '[', 64);
    memset(payload + len + 64, ']', 64);
    payload[len + 128] = '\0';
    strncat(payload, "}", 2);
    expect(payload, ERR_UNAUTHORIZED, "the payload of the token is malformed");
}
