/* Who a request is from (CONTRACT 2, Identity): by the query with --auth none, by a token in each
 * of its places with --auth jwt. */
#include "gateway/identity/identity.h"

#include "gateway/base/clock.h"
#include "tests/unit/jwt_tokens.h"

#include <unistd.h>

static struct options options;
static struct auth *auth;
static char keys_path[] = "/tmp/herald-identity-XXXXXX";
static int64_t now_ms = TOKEN_NOW_MS;

static int64_t show_wall_ms(void)
{
    return now_ms;
}

/* Each look at it takes 7 us. */
static int64_t show_us(void)
{
    static int64_t us;
    return us += 7;
}

static void open_auth(char *kind)
{
    char why[300] = "";
    options.auth = kind;
    auth_close(auth);
    cr_assert_eq(auth_open(&options, &auth, why, sizeof why), ERR_OK, "%s", why);
}

static void begin(void)
{
    static const char secret[] = TOKEN_SECRET;
    int fd = mkstemp(keys_path);
    cr_assert(fd >= 0 && write(fd, secret, strlen(secret)) == (ssize_t)strlen(secret));
    close(fd);
    clock_replace(show_wall_ms, show_us);
    options = (struct options){.jwt_keys = keys_path,
                               .jwt_user_claim = "sub",
                               .jwt_audience_claim = "aud",
                               .token_cookie = "session",
                               .token_in_query = true};
    open_auth("jwt");
}

static void end(void)
{
    auth_close(auth);
    unlink(keys_path);
}

TestSuite(identity, .init = begin, .fini = end);

static const char *detail;

/* Of GET /ws?QUERY with those fields, which names this user in its query. */
static enum err identify_by(const char *query, const char *fields, const char *named,
                            struct identity *identity)
{
    static char bytes[8192];
    struct http_field room[HTTP_HEAD_USUAL_FIELDS];
    struct http_head head;
    int len =
        snprintf(bytes, sizeof bytes, "GET /ws?%s HTTP/1.1\r\nHost: a\r\n%s\r\n", query, fields);
    http_head_init(&head, HTTP_HEAD_USUAL_BYTES, room, HTTP_HEAD_USUAL_FIELDS);
    cr_assert_eq(http_head_parse(&head, bytes, (size_t)len), HTTP_HEAD_DONE, "%s", fields);
    memset(identity, 'x', sizeof *identity);
    memcpy(identity->user_id, named, strlen(named));
    identity->user_id_len = strlen(named);
    detail = NULL;
    return identify(auth, &head, bytes, identity, &detail);
}

static void expect_user(const struct identity *identity, const char *user)
{
    cr_expect(span_equal((struct span){identity->user_id, identity->user_id_len}, span_of(user)),
              "%.*s is not %s", (int)identity->user_id_len, identity->user_id, user);
}

/* "FIRST TOKEN SECOND", with anna's token. */
static const char *around_token(const char *first, const char *second)
{
    static char text[TOKEN_CAP + 200];
    struct token_text token = token_make(JWT_HS256, TOKEN_PAYLOAD);
    snprintf(text, sizeof text, "%s%s%s", first, token.text, second);
    return text;
}

static void expect_anna(const char *query, const char *fields)
{
    struct identity identity;
    cr_assert_eq(identify_by(query, fields, "", &identity), ERR_OK, "%s %s: %s", query, fields,
                 detail);
    expect_user(&identity, "anna");
    cr_expect_eq(identity.expires_ms, INT64_C(1700000300000));
    cr_expect_eq(identity.work_us, 7);
}

/* ---- --auth jwt ---- */

Test(identity, is_the_tokens_user_wherever_the_token_is)
{
    expect_anna("", around_token("Authorization: Bearer ", "\r\n"));
    expect_anna("", around_token("Sec-WebSocket-Protocol: herald.v1, bearer.", "\r\n"));
    expect_anna("", around_token("Cookie: a=b; session=", "\r\n"));
    expect_anna(around_token("token=", ""), "");
}

Test(identity, is_not_looked_for_where_the_options_do_not_allow_it)
{
    struct identity identity;
    options.token_cookie = "";
    options.token_in_query = false;
    open_auth("jwt");
    cr_expect_eq(identify_by("", around_token("Cookie: session=", "\r\n"), "", &identity),
                 ERR_NOT_FOUND);
    cr_expect_eq(identify_by(around_token("token=", ""), "", "", &identity), ERR_NOT_FOUND);
    expect_anna("", around_token("Authorization: Bearer ", "\r\n"));
}

Test(identity, needs_a_token_whatever_user_the_query_names)
{
    struct identity identity;
    cr_expect_eq(identify_by("userId=anna", "", "anna", &identity), ERR_NOT_FOUND);
    cr_expect_str_eq(detail, "a token is needed");
    cr_expect_eq(identity.work_us, 0, "nothing was verified");
}

Test(identity, may_be_named_by_the_query_as_well_but_not_otherwise)
{
    struct identity identity;
    const char *fields = around_token("Authorization: Bearer ", "\r\n");
    cr_expect_eq(identify_by("", fields, "anna", &identity), ERR_OK);
    expect_user(&identity, "anna");
    cr_expect_eq(identify_by("", fields, "bert", &identity), ERR_UNAUTHORIZED);
    cr_expect_str_eq(detail, "the token is for another user than userId says");
    cr_expect_eq(identify_by("", fields, "ann", &identity), ERR_UNAUTHORIZED);
}

Test(identity, is_refused_with_a_sentence_for_each_reason)
{
    struct identity identity;
    cr_expect_eq(identify_by("", around_token("Authorization: Bearer ", "x\r\n"), "", &identity),
                 ERR_UNAUTHORIZED);
    cr_expect_not_null(detail);
    cr_expect_eq(
        identify_by("", "Authorization: Bearer a\r\nAuthorization: Bearer a\r\n", "", &identity),
        ERR_BAD_HEAD);
    cr_expect_not_null(detail);
    now_ms = INT64_C(1700000300000) + JWT_LEEWAY_MS + 1000;
    cr_expect_eq(identify_by("", around_token("Authorization: Bearer ", "\r\n"), "", &identity),
                 ERR_EXPIRED);
}

/* What the caller counts against its worker's share, whether the token is good or not. */
Test(identity, tells_the_time_that_a_verification_took)
{
    struct jwt_claims claims;
    struct token_text token = token_make(JWT_HS256, TOKEN_PAYLOAD);
    int64_t work_us = 0;
    cr_assert_eq(identity_verify(auth, token_span(&token), &claims, &work_us, &detail), ERR_OK);
    cr_expect_eq(work_us, 7);
    work_us = 0;
    token_add(&token, SPAN_LITERAL("x"));
    cr_assert_neq(identity_verify(auth, token_span(&token), &claims, &work_us, &detail), ERR_OK);
    cr_expect_eq(work_us, 7);
}

/* ---- the others ---- */

Test(identity, is_believed_without_identification)
{
    struct identity identity;
    options.jwt_keys = options.token_cookie = "";
    options.token_in_query = false;
    open_auth("none");
    cr_expect_eq(identify_by("userId=bert", "", "bert", &identity), ERR_OK);
    expect_user(&identity, "bert");
    cr_expect_eq(identity.expires_ms, 0, "it never ends");
    cr_expect_eq(identity.work_us, 0);
    cr_expect_eq(identify_by("", around_token("Authorization: Bearer ", "\r\n"), "", &identity),
                 ERR_INVALID_FIELD);
    cr_expect_str_eq(detail, "userId is missing");
}

Test(identity, cannot_come_of_a_request_with_tickets)
{
    struct identity identity;
    options.jwt_keys = options.token_cookie = "";
    options.token_in_query = false;
    open_auth("ticket");
    cr_expect_eq(identify_by("userId=anna", "", "anna", &identity), ERR_UNAUTHORIZED);
    cr_expect_str_eq(detail, "with --auth ticket only WebSockets can say who they are");
}

Test(identity, has_ended_from_the_millisecond_on_at_which_it_ends)
{
    cr_expect_not(identity_has_ended(0));
    cr_expect_not(identity_has_ended(now_ms + 1));
    cr_expect(identity_has_ended(now_ms));
    cr_expect(identity_has_ended(now_ms - 1));
}
