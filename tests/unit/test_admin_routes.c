/* The table of routes: paths are split before they are decoded (CONTRACT section 2). */
#include "admin/routes.h"

#include <criterion/criterion.h>

static void expect(const char *method, const char *path, enum err error, const char *text)
{
    const struct route *route = NULL;
    struct span segment = {0};
    const char *allow = "";
    cr_expect_eq(route_find(method, span_of(path), &route, &segment, &allow), error, "%s %s",
                 method, path);
    if (error == ERR_OK)
        cr_expect(span_equal(segment, span_of(text)), "%s: %.*s", path, (int)segment.len,
                  segment.bytes);
    if (error == ERR_METHOD_NOT_ALLOWED)
        cr_expect_str_eq(allow, text, "%s %s", method, path);
}

Test(routes, finds_each_of_them)
{
    expect("POST", "/push", ERR_OK, "");
    expect("POST", "/deleteClient", ERR_OK, "");
    expect("DELETE", "/users/42/connections", ERR_OK, "42");
    expect("GET", "/users/42", ERR_OK, "42");
    expect("GET", "/clients", ERR_OK, "");
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
    static const char *const paths[] = {"",        "/",       "push",   "/push/",
                                        "/Push",   "//push",  "/users", "/users/a/b",
                                        "/p%75sh", "/push/x", "*",      "/users/a/connections/",
                                        "/pus",    "/pushx"};
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
