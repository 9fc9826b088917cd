/* The table of routes: paths are split before they are decoded (CONTRACT section 2). */
#include "admin/routes/routes.h"

#include <criterion/criterion.h>

static struct route_match match;

static enum err find(const char *method, const char *path, enum guard_media media)
{
    enum err error = route_find(method, span_of(path), media, &match);
    cr_expect_eq(match.route == NULL, error != ERR_OK);
    return error;
}

static void expect(const char *method, const char *path, enum err error, const char *text)
{
    cr_expect_eq(find(method, path, GUARD_JSON), error, "%s %s", method, path);
    if (error == ERR_OK)
        cr_expect(span_equal(match.segments[0], span_of(text)), "%s: %.*s", path,
                  (int)match.segments[0].len, match.segments[0].bytes);
    if (error == ERR_METHOD_NOT_ALLOWED)
        cr_expect_str_eq(match.allow, text, "%s %s: %s", method, path, match.allow);
}

Test(routes, finds_each_of_them)
{
    expect("POST", "/push", ERR_OK, "");
    expect("POST", "/broadcast", ERR_OK, "");
    expect("POST", "/deleteClient", ERR_OK, "");
    expect("GET", "/users/42/inbox", ERR_OK, "42");
    expect("DELETE", "/users/42/inbox", ERR_OK, "42");
    expect("GET", "/users/42/messages/x", ERR_OK, "42");
    expect("DELETE", "/users/42/messages/x", ERR_OK, "42");
    expect("DELETE", "/users/42/connections", ERR_OK, "42");
    expect("GET", "/users/42", ERR_OK, "42");
    expect("GET", "/clients", ERR_OK, "");
    expect("POST", "/online", ERR_OK, "");
    expect("GET", "/stats", ERR_OK, "");
    expect("HEAD", "/metrics", ERR_OK, "");
    expect("GET", "/livez", ERR_OK, "");
    expect("GET", "/readyz", ERR_OK, "");
}

Test(routes, leaves_the_segment_as_it_was_sent)
{
    expect("GET", "/users/a%2Fb", ERR_OK, "a%2Fb");
    expect("GET", "/users/", ERR_OK, "");
    expect("DELETE", "/users/a%2fb%00+/connections", ERR_OK, "a%2fb%00+");
}

Test(routes, refuses_what_is_no_path_of_ours)
{
    static const char *const paths[] = {"",
                                        "/",
                                        "push",
                                        "/push/",
                                        "/Push",
                                        "//push",
                                        "/users",
                                        "/users/a/b",
                                        "/p%75sh",
                                        "/push/x",
                                        "*",
                                        "/users/a/connections/",
                                        "/pus",
                                        "/pushx",
                                        "/users/a/messages",
                                        "/users/a/messages/b/c",
                                        "/users/a/inbox/"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        expect("GET", paths[i], ERR_NOT_FOUND, "");
}

Test(routes, names_the_method_of_a_path_that_has_another)
{
    expect("GET", "/push", ERR_METHOD_NOT_ALLOWED, "POST");
    expect("HEAD", "/push", ERR_METHOD_NOT_ALLOWED, "POST");
    expect("OPTIONS", "/push", ERR_METHOD_NOT_ALLOWED, "POST");
    expect("post", "/push", ERR_METHOD_NOT_ALLOWED, "POST");
    expect("POST", "/users/42", ERR_METHOD_NOT_ALLOWED, "GET, HEAD");
    expect("GET", "/users/42/connections", ERR_METHOD_NOT_ALLOWED, "DELETE");
}

Test(routes, names_every_method_of_a_path_that_has_several)
{
    expect("POST", "/users/42/inbox", ERR_METHOD_NOT_ALLOWED, "GET, HEAD, DELETE");
    expect("PUT", "/users/42/messages/a-1", ERR_METHOD_NOT_ALLOWED, "GET, HEAD, DELETE");
    expect("PUT", "/push", ERR_METHOD_NOT_ALLOWED, "POST");
}

Test(routes, keeps_both_segments_of_a_message_apart)
{
    expect("DELETE", "/users/a%2Fb/messages/c%2Fd", ERR_OK, "a%2Fb");
    cr_expect(span_equal(match.segments[1], SPAN_LITERAL("c%2Fd")));
    expect("GET", "/users//messages/", ERR_OK, "");
    cr_expect_eq(match.segments[1].len, 0);
}

Test(routes, chooses_by_the_type_of_the_body)
{
    cr_assert_eq(find("POST", "/push", GUARD_NDJSON), ERR_OK);
    cr_expect_not_null(match.route->body->take);
    cr_assert_eq(find("POST", "/push", GUARD_JSON), ERR_OK);
    cr_expect_null(match.route->body->take);
    cr_expect_eq(find("POST", "/push", GUARD_OTHER), ERR_UNSUPPORTED_MEDIA_TYPE);
    cr_expect_eq(find("POST", "/broadcast", GUARD_NDJSON), ERR_UNSUPPORTED_MEDIA_TYPE);
    cr_expect_eq(find("POST", "/deleteClient", GUARD_NDJSON), ERR_UNSUPPORTED_MEDIA_TYPE);
    cr_expect_eq(find("POST", "/users/42", GUARD_NDJSON), ERR_METHOD_NOT_ALLOWED);
    cr_expect_eq(find("DELETE", "/users/42/inbox", GUARD_OTHER), ERR_OK);
}
