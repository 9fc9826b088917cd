/* Which row of a table a request belongs to, on tables of the test's own. */
#include "admin/route.h"

#include <criterion/criterion.h>

static const struct route_action small = {.request_bytes = 8};
static const struct route_action large = {.request_bytes = 800};

static const struct route rows[] = {
    {"POST", "/a", GUARD_JSON, 0, &small},       {"POST", "/a", GUARD_NDJSON, 0, &large},
    {"DELETE", "/a", GUARD_OTHER, 0, &small},    {"GET", "/b/*/c/*", GUARD_OTHER, 0, &small},
    {"GET", "/b/*/*", GUARD_OTHER, 0, &small},   {"GET", "/b/x/y", GUARD_OTHER, 0, &large},
    {"GET", "/d/*/*/z", GUARD_OTHER, 0, &small}, {"GET", "/d/*/q", GUARD_OTHER, 0, &small},
};
static const struct route_table table = {rows, sizeof rows / sizeof rows[0]};

static struct route_match match;

static struct span segments[ROUTE_SEGMENTS_MAX]; /* of the last path that was looked for */

static enum err find(const char *method, const char *path, enum guard_media media)
{
    enum err error = route_find(&table, span_of(method), span_of(path), media, &match);
    for (size_t i = 0; i < ROUTE_SEGMENTS_MAX; i++)
        segments[i] = http_part_span(path, match.segments[i]);
    return error;
}

Test(route, finds_nothing_in_an_empty_table)
{
    static const struct route_table empty = {rows, 0};
    cr_expect_eq(
        route_find(&empty, SPAN_LITERAL("GET"), SPAN_LITERAL("/b/x/y"), GUARD_OTHER, &match),
        ERR_NOT_FOUND);
    cr_expect_null(match.route);
    cr_expect_eq(route_request_bytes(&empty), 0);
}

Test(route, takes_the_first_row_that_matches)
{
    cr_assert_eq(find("GET", "/b/x/y", GUARD_OTHER), ERR_OK);
    cr_expect_eq(match.route, &rows[4]);
    cr_expect(span_equal(segments[0], SPAN_LITERAL("x")));
    cr_expect(span_equal(segments[1], SPAN_LITERAL("y")));
}

Test(route, forgets_the_segments_of_a_row_that_matched_in_part)
{
    cr_assert_eq(find("GET", "/d/1/q", GUARD_OTHER), ERR_OK);
    cr_expect_eq(match.route, &rows[7]);
    cr_expect(span_equal(segments[0], SPAN_LITERAL("1")));
    cr_expect_eq(segments[1].len, 0, "it is the row's before");
    cr_expect_eq(find("GET", "/d/1/r", GUARD_OTHER), ERR_NOT_FOUND);
    cr_expect_eq(match.segments[0].len + match.segments[0].at, 0);
}

Test(route, chooses_between_rows_of_one_method_by_the_type_of_the_body)
{
    cr_assert_eq(find("POST", "/a", GUARD_NDJSON), ERR_OK);
    cr_expect_eq(match.route, &rows[1]);
    cr_assert_eq(find("POST", "/a", GUARD_JSON), ERR_OK);
    cr_expect_eq(match.route, &rows[0]);
    cr_expect_eq(find("POST", "/a", GUARD_OTHER), ERR_UNSUPPORTED_MEDIA_TYPE);
    cr_expect_null(match.route);
}

Test(route, names_each_method_of_a_path_once)
{
    cr_expect_eq(find("PUT", "/a", GUARD_JSON), ERR_METHOD_NOT_ALLOWED);
    cr_expect_str_eq(match.allow, "POST, DELETE");
    cr_expect_eq(find("PUT", "/b/x/y", GUARD_JSON), ERR_METHOD_NOT_ALLOWED);
    cr_expect_str_eq(match.allow, "GET, HEAD");
}

Test(route, says_how_large_the_largest_request_is)
{
    cr_expect_eq(route_request_bytes(&table), 800);
}
