/* The table of the admin API's routes: each with its method, the type of its body and its role
 * (CONTRACT sections 2 and 3). */
#include "admin/routes/routes.h"

#include "admin/routes/actions.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct route_match match;

static enum err find(const char *method, const char *path, enum guard_media media)
{
    enum err error = route_find(&admin_routes, span_of(method), span_of(path), media, &match);
    cr_expect_eq(match.route == NULL, error != ERR_OK);
    return error;
}

static void expect(const char *method, const char *path, enum err error, const char *text)
{
    cr_expect_eq(find(method, path, GUARD_JSON), error, "%s %s", method, path);
    struct span segment = http_part_span(path, match.segments[0]);
    if (error == ERR_OK)
        cr_expect(span_equal(segment, span_of(text)), "%s: %.*s", path, (int)segment.len,
                  segment.bytes);
    if (error == ERR_METHOD_NOT_ALLOWED)
        cr_expect_str_eq(match.allow, text, "%s %s: %s", method, path, match.allow);
}

/* Each route once: its role, and the Allow of other methods of its path. */
static const struct {
    const char *method, *path;
    const struct route_action *action;
    unsigned role;
    const char *allow;
} rows[] = {
    {"POST", "/push", &push_action, ROLE_PUSH, "POST"},
    {"POST", "/broadcast", &broadcast_action, ROLE_PUSH, "POST"},
    {"POST", "/deleteClient", &kick_body_action, ROLE_ADMIN, "POST"},
    {"DELETE", "/users/42/connections", &kick_path_action, ROLE_ADMIN, "DELETE"},
    {"GET", "/users/42/inbox", &inbox_action, ROLE_READ, "GET, HEAD, DELETE"},
    {"DELETE", "/users/42/inbox", &purge_action, ROLE_ADMIN, "GET, HEAD, DELETE"},
    {"GET", "/users/42/messages/a-1", &message_action, ROLE_READ, "GET, HEAD, DELETE"},
    {"DELETE", "/users/42/messages/a-1", &cancel_action, ROLE_ADMIN, "GET, HEAD, DELETE"},
    {"GET", "/users/42", &user_action, ROLE_READ, "GET, HEAD"},
    {"GET", "/online", &online_list_action, ROLE_READ, "GET, HEAD, POST"},
    {"POST", "/online", &online_action, ROLE_READ, "GET, HEAD, POST"},
    {"GET", "/events", &events_action, ROLE_EVENTS, "GET, HEAD"},
    {"POST", "/events/ack", &event_ack_action, ROLE_EVENTS, "POST"},
    {"GET", "/events/consumers", &event_consumers_action, ROLE_EVENTS, "GET, HEAD"},
    {"DELETE", "/events/consumers/a", &event_forget_action, ROLE_EVENTS, "DELETE"},
    {"POST", "/tickets", &ticket_action, ROLE_PUSH, "POST"},
    {"POST", "/drain", &drain_action, ROLE_ADMIN, "POST"},
    {"POST", "/upgrade", &upgrade_action, ROLE_ADMIN, "POST"},
    {"GET", "/clients", &clients_action, ROLE_READ, "GET, HEAD"},
    {"GET", "/nodes", &nodes_action, ROLE_READ, "GET, HEAD"},
    {"GET", "/webhooks", &webhooks_action, ROLE_READ, "GET, HEAD"},
    {"POST", "/webhooks/shop/test", &webhook_test_action, ROLE_ADMIN, "POST"},
    {"GET", "/stats", &stats_action, ROLE_READ, "GET, HEAD"},
    {"GET", "/metrics", &metrics_action, ROLE_READ, "GET, HEAD"},
    {"GET", "/livez", &livez_action, 0, "GET, HEAD"},
    {"GET", "/readyz", &readyz_action, 0, "GET, HEAD"},
};

enum { N_ROWS = sizeof rows / sizeof rows[0] };

Test(routes, leads_each_method_and_path_to_its_action_and_role)
{
    for (size_t i = 0; i < N_ROWS; i++) {
        cr_assert_eq(find(rows[i].method, rows[i].path, GUARD_JSON), ERR_OK, "%s", rows[i].path);
        cr_expect_eq(match.route->action, rows[i].action, "%s %s", rows[i].method, rows[i].path);
        cr_expect_eq(match.route->role, rows[i].role, "%s %s", rows[i].method, rows[i].path);
    }
    /* the rows above, and the push with NDJSON */
    cr_expect_eq(admin_routes.n, N_ROWS + 1, "a route of the table is not held here");
}

/* RFC 9110, 15.5.6: 405 carries Allow with every method that the path has. */
Test(routes, names_all_methods_of_the_path_to_one_that_it_does_not_have)
{
    static const char *const methods[] = {"PUT", "PATCH", "OPTIONS", "TRACE", "post", "get", ""};
    for (size_t i = 0; i < N_ROWS; i++)
        for (size_t k = 0; k < sizeof methods / sizeof methods[0]; k++)
            expect(methods[k], rows[i].path, ERR_METHOD_NOT_ALLOWED, rows[i].allow);
}

Test(routes, answers_head_where_get_is_answered)
{
    for (size_t i = 0; i < N_ROWS; i++) {
        bool has_get = strncmp(rows[i].allow, "GET", 3) == 0;
        cr_expect_eq(find("HEAD", rows[i].path, GUARD_OTHER),
                     has_get ? ERR_OK : ERR_METHOD_NOT_ALLOWED, "%s", rows[i].path);
    }
}

Test(routes, knows_no_path_with_a_part_before_or_after_a_route)
{
    static const struct {
        const char *before, *after;
    } parts[] = {{"", "/"}, {"", "/x/y/z"}, {"/x", ""}, {"/", ""}, {"", "%2F/"}};
    char path[80];
    for (size_t i = 0; i < N_ROWS; i++)
        for (size_t k = 0; k < sizeof parts / sizeof parts[0]; k++) {
            snprintf(path, sizeof path, "%s%s%s", parts[k].before, rows[i].path, parts[k].after);
            if (strcmp(path, "/events/consumers/") == 0)
                continue; /* the name of a consumer, which is empty */
            expect(rows[i].method, path, ERR_NOT_FOUND, "");
        }
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

Test(routes, keeps_both_segments_of_a_message_apart)
{
    expect("DELETE", "/users/a%2Fb/messages/c%2Fd", ERR_OK, "a%2Fb");
    cr_expect_eq(match.segments[1].at, strlen("/users/a%2Fb/messages/"));
    cr_expect_eq(match.segments[1].len, strlen("c%2Fd"));
    expect("GET", "/users//messages/", ERR_OK, "");
    cr_expect_eq(match.segments[1].len, 0);
}

Test(routes, chooses_by_the_type_of_the_body)
{
    cr_assert_eq(find("POST", "/push", GUARD_NDJSON), ERR_OK);
    cr_expect_eq(match.route->action, &ndjson_push_action);
    cr_expect_not_null(match.route->action->take);
    cr_assert_eq(find("POST", "/push", GUARD_JSON), ERR_OK);
    cr_expect_null(match.route->action->take);
    cr_expect_eq(find("POST", "/push", GUARD_OTHER), ERR_UNSUPPORTED_MEDIA_TYPE);
    cr_expect_eq(find("POST", "/users/42", GUARD_NDJSON), ERR_METHOD_NOT_ALLOWED);
    cr_expect_eq(find("DELETE", "/users/42/inbox", GUARD_OTHER), ERR_OK);
}

/* A page of another origin can send a form without asking first, but not application/json. */
Test(routes, takes_no_post_of_another_type_than_json_but_the_push_of_lines)
{
    for (size_t i = 0; i < N_ROWS; i++) {
        bool is_post = strcmp(rows[i].method, "POST") == 0;
        bool has_lines = strcmp(rows[i].path, "/push") == 0;
        cr_expect_eq(find(rows[i].method, rows[i].path, GUARD_OTHER),
                     is_post ? ERR_UNSUPPORTED_MEDIA_TYPE : ERR_OK, "%s", rows[i].path);
        cr_expect_eq(find(rows[i].method, rows[i].path, GUARD_NDJSON),
                     is_post && !has_lines ? ERR_UNSUPPORTED_MEDIA_TYPE : ERR_OK, "%s",
                     rows[i].path);
    }
}
