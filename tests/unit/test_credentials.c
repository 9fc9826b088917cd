#include "proto/http/credentials.h"

#include <criterion/criterion.h>
#include <stdio.h>

static char bytes[4096];
static char room[CREDENTIALS_ROOM_BYTES];
static const char *detail;

/* The token of a request with that query and those header lines; NULL: none. */
static enum err look(const char *query, const char *fields, bool is_token_in_query,
                     const char *cookie, struct span *ret_token)
{
    struct http_head head;
    struct http_field room_of_fields[HTTP_HEAD_USUAL_FIELDS];
    http_head_init(&head, HTTP_HEAD_USUAL_BYTES, room_of_fields, HTTP_HEAD_USUAL_FIELDS);
    int len =
        snprintf(bytes, sizeof bytes, "GET /ws?%s HTTP/1.1\r\nHost: a\r\n%s\r\n", query, fields);
    cr_assert_eq(http_head_parse(&head, bytes, (size_t)len), HTTP_HEAD_DONE, "%s", fields);
    struct credentials_rules rules = {span_of(cookie), is_token_in_query};
    return credentials_token(&head, bytes, &rules, room, ret_token, &detail);
}

static void expect(const char *query, const char *fields, const char *token)
{
    struct span found;
    cr_assert_eq(look(query, fields, true, "session", &found), ERR_OK, "%s %s", query, fields);
    cr_assert(span_equal(found, span_of(token)), "%s %s: %.*s", query, fields, (int)found.len,
              found.bytes);
}

Test(credentials, finds_a_token_in_each_place)
{
    expect("", "Authorization: Bearer aa.bb.cc\r\n", "aa.bb.cc");
    expect("", "authorization: bearer   aa.bb.cc \r\n", "aa.bb.cc");
    expect("", "Sec-WebSocket-Protocol: herald.v1, bearer.aa.bb.cc\r\n", "aa.bb.cc");
    expect("", "Sec-WebSocket-Protocol: bearer.aa.bb.cc\r\nSec-WebSocket-Protocol: herald.v1\r\n",
           "aa.bb.cc");
    expect("", "Cookie: a=b; session=aa.bb.cc; c=d\r\n", "aa.bb.cc");
    expect("", "Cookie: session=first; session=second\r\n", "first");
    expect("userId=1&token=aa.bb.cc", "", "aa.bb.cc");
    expect("token=aa%2Ebb.cc", "", "aa.bb.cc");
}

Test(credentials, takes_the_first_place_where_there_is_one)
{
    expect("token=query",
           "Cookie: session=cookie\r\nSec-WebSocket-Protocol: bearer.offer\r\n"
           "Authorization: Bearer header\r\n",
           "header");
    expect("token=query", "Cookie: session=cookie\r\nSec-WebSocket-Protocol: bearer.offer\r\n",
           "offer");
    expect("token=query", "Cookie: session=cookie\r\n", "cookie");
}

Test(credentials, looks_nowhere_else)
{
    static const char *const fields[] = {
        "",
        "Cookie: xsession=aa\r\n",
        "Cookie: session\r\n",
        "Cookie: sessions=aa\r\n",
        "Sec-WebSocket-Protocol: herald.v1, Bearer.aa\r\n",
        "Sec-WebSocket-Protocol: xbearer.aa\r\n",
        "X-Authorization: Bearer aa\r\n",
        "Authorization: Basic dXNlcjpwYXNz\r\n", /* a proxy's */
        "Authorization: Bearers aa\r\n",
        "Authorization: \r\n",
    };
    struct span token;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        cr_assert_eq(look("userId=1", fields[i], true, "session", &token), ERR_NOT_FOUND, "%s",
                     fields[i]);
    cr_assert_eq(look("token=aa", "", false, "", &token), ERR_NOT_FOUND);
    cr_assert_eq(look("", "Cookie: session=aa\r\n", true, "", &token), ERR_NOT_FOUND);
}

Test(credentials, another_scheme_leaves_the_other_places)
{
    struct span token;
    cr_assert_eq(
        look("", "Authorization: Basic dTpw\r\nCookie: session=aa\r\n", false, "session", &token),
        ERR_OK);
    cr_assert(span_equal(token, SPAN_LITERAL("aa")));
}

Test(credentials, a_bearer_without_a_token_is_no_credential)
{
    struct span token;
    detail = NULL;
    cr_assert_eq(
        look("", "Authorization: bearer \r\nCookie: session=aa\r\n", false, "session", &token),
        ERR_UNAUTHORIZED);
    cr_assert_not_null(detail);
}

Test(credentials, refuses_what_is_said_twice_or_otherwise)
{
    static const struct {
        const char *query;
        const char *fields;
    } cases[] = {
        {"", "Authorization: Bearer a\r\nAuthorization: Bearer b\r\n"},
        {"", "Sec-WebSocket-Protocol: bearer.a, bearer.b\r\n"},
        {"token=a&token=b", ""},
        {"token=%zz", ""},
    };
    struct span token;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        detail = NULL;
        cr_assert_eq(look(cases[i].query, cases[i].fields, true, "session", &token), ERR_BAD_HEAD,
                     "%s %s", cases[i].query, cases[i].fields);
        cr_assert_not_null(detail);
    }
}
