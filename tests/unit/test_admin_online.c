/* POST /online over a socket (CONTRACT section 3), on a gateway that is played: a user is online
 * whose name begins with "on". */
#include "tests/unit/admin_twin.h"

TestSuite(admin_online, .init = twin_start, .fini = twin_stop, .timeout = 60);

static void expect(const char *body, unsigned status, const char *part)
{
    expect_post("/online", "application/json", "", body, status, part);
}

Test(admin_online, answers_which_users_are_online_in_the_order_of_the_request)
{
    expect("{\"userIds\":[\"on2\",\"off\",\"on1\"]}", 200,
           "\r\n\r\n{\"online\":[\"on2\",\"on1\"]}");
    expect("{\"userIds\":[\"off\"]}", 200, "\r\n\r\n{\"online\":[]}");
    expect("{\"userIds\":[\"on\",\"on\"]}", 200, "\r\n\r\n{\"online\":[\"on\",\"on\"]}");
    expect("{\"userIds\":[\"\\u006fn\\\"\\u00e9\"]}", 200, "{\"online\":[\"on\\\"\u00e9\"]}");
}

Test(admin_online, refuses_what_is_no_list_of_userids)
{
    expect("{}", 400, "\"field\":\"userIds\"");
    expect("{\"userIds\":[]}", 400, "\"field\":\"userIds\"");
    expect("{\"userIds\":\"on\"}", 400, "\"field\":\"userIds\"");
    expect("{\"userIds\":[1]}", 400, "\"field\":\"userIds\"");
    expect("{\"userIds\":[\"\"]}", 400, "\"field\":\"userIds\"");
    expect("{\"userIds\":[\"a\"],\"userId\":\"a\"}", 400, "\"type\":\"unknown-field\"");
    expect("{\"userIds\":[\"a\"],\"userIds\":[\"a\"]}", 400, "\"type\":\"bad-json\"");
    expect("[\"a\"]", 400, "\"type\":\"bad-json\"");
    expect("", 400, "\"type\":\"bad-json\"");
    expect_get("DELETE", "/online", 405, "\r\nAllow: GET, HEAD, POST\r\n");
    expect_post("/online", "text/plain", "", "{\"userIds\":[\"a\"]}", 415,
                "unsupported-media-type");
}

Test(admin_online, lists_who_is_online_in_pages)
{
    expect_get("GET", "/online", 200,
               "\r\n\r\n{\"users\":[\"a\",\"b\",\"c\",\"d\",\"e\"],\"next\":null}");
    expect_get("GET", "/online?limit=2", 200, "{\"users\":[\"a\",\"b\"],\"next\":\"b\"}");
    expect_get("GET", "/online?limit=2&after=b", 200, "{\"users\":[\"c\",\"d\"],\"next\":\"d\"}");
    expect_get("GET", "/online?limit=2&after=d", 200, "{\"users\":[\"e\"],\"next\":null}");
    expect_get("GET", "/online?limit=3&after=b", 200,
               "{\"users\":[\"c\",\"d\",\"e\"],\"next\":null}");
    expect_get("GET", "/online?after=zz", 200, "{\"users\":[],\"next\":null}");
}

Test(admin_online, refuses_a_page_that_there_cannot_be)
{
    expect_get("GET", "/online?limit=0", 400, "\"field\":\"limit\"");
    expect_get("GET", "/online?limit=1001", 400, "\"field\":\"limit\"");
    expect_get("GET", "/online?after=", 400, "\"field\":\"after\"");
    twin.online_error = ERR_CONFLICT;
    expect_get("GET", "/online", 409, "add user.online or user.offline to --events");
    twin.online_error = ERR_STORE_UNAVAILABLE;
    expect_get("GET", "/online", 503, "\"type\":\"store-unavailable\"");
}

/* A list of n times "on". */
static char *list_of(size_t n)
{
    static const char begin[] = "{\"userIds\":[";
    char *body = malloc(sizeof begin + n * 5 + 2);
    char *at = memcpy(body, begin, sizeof begin - 1);
    at += sizeof begin - 1;
    for (size_t i = 0; i < n; i++) {
        memcpy(at, "\"on\",", 5);
        at += 5;
    }
    memcpy(at - 1, "]}", 3);
    return body;
}

Test(admin_online, takes_10_000_userids_and_not_one_more)
{
    char *most = list_of(10000);
    char *more = list_of(10001);
    expect(most, 200, "\"on\",\"on\"]}");
    expect(more, 400, "\"field\":\"userIds\"");
    free(most);
    free(more);
}
