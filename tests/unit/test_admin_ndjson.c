/* NDJSON without the network: lines at every split, and results (CONTRACT section 3). */
#include "admin/json_out.h"
#include "admin/routes/ndjson.h"
#include "proto/bytes/user_id.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

/* "number:text;" of each line, with the error in place of a text that is not there. */
static void note(char *seen, size_t cap, const struct ndjson_line *line)
{
    size_t len = strlen(seen);
    if (line->error != ERR_OK)
        snprintf(seen + len, cap - len, "%u!%s;", line->number, error_problem_type(line->error));
    else
        snprintf(seen + len, cap - len, "%u:%.*s;", line->number, (int)line->text.len,
                 line->text.bytes);
}

/* Each piece has memory of its own, so that a sanitizer sees a read outside of it. */
static void feed(struct ndjson_splitter *splitter, struct span piece, char *seen, size_t cap)
{
    char *copy = malloc(piece.len + 1);
    memcpy(copy, piece.bytes, piece.len);
    struct span left = {copy, piece.len};
    struct ndjson_line line;
    while (ndjson_next(splitter, &left, &line))
        note(seen, cap, &line);
    cr_expect_eq(left.len, 0);
    free(copy);
}

static void expect_split(struct span body, size_t a, size_t b, size_t max, const char *wanted)
{
    char seen[512] = "";
    struct ndjson_splitter splitter;
    struct ndjson_line line;
    ndjson_splitter_init(&splitter, max);
    feed(&splitter, (struct span){body.bytes, a}, seen, sizeof seen);
    feed(&splitter, (struct span){body.bytes + a, b - a}, seen, sizeof seen);
    feed(&splitter, (struct span){body.bytes + b, body.len - b}, seen, sizeof seen);
    if (ndjson_last(&splitter, &line))
        note(seen, sizeof seen, &line);
    cr_expect_str_eq(seen, wanted, "%zu, %zu: %s", a, b, seen);
    ndjson_splitter_fini(&splitter);
}

static void expect_lines(struct span body, size_t max, const char *wanted)
{
    for (size_t a = 0; a <= body.len; a++)
        for (size_t b = a; b <= body.len; b++)
            expect_split(body, a, b, max, wanted);
}

Test(ndjson, gives_the_same_lines_at_every_split)
{
    expect_lines(SPAN_LITERAL("{1}\n{2}\r\n\n \t\r\n{5}"), 100, "1:{1};2:{2}\r;5:{5};");
    expect_lines(SPAN_LITERAL("a\nb\n"), 100, "1:a;2:b;");
    expect_lines(SPAN_LITERAL("\n\nx"), 100, "3:x;");
    expect_lines(SPAN_LITERAL(""), 100, "");
    expect_lines(SPAN_LITERAL("\n"), 100, "");
}

Test(ndjson, counts_a_last_line_without_a_break_that_is_not_blank)
{
    expect_lines(SPAN_LITERAL("a\n  "), 100, "1:a;");
    expect_lines(SPAN_LITERAL("a\n b"), 100, "1:a;2: b;");
}

Test(ndjson, refuses_the_line_that_is_too_long_and_goes_on)
{
    expect_lines(SPAN_LITERAL("12345\n123456\n123456789012\n12"), 5,
                 "1:12345;2!too-large;3!too-large;4:12;");
    expect_lines(SPAN_LITERAL("123456"), 5, "1!too-large;");
}

Test(ndjson, gives_out_a_dropped_line_with_its_error)
{
    char seen[128] = "";
    struct ndjson_splitter splitter;
    ndjson_splitter_init(&splitter, 100);
    feed(&splitter, SPAN_LITERAL("abc"), seen, sizeof seen);
    ndjson_drop(&splitter, ERR_BUSY);
    cr_expect_eq(splitter.rest.cap, 0);
    feed(&splitter, SPAN_LITERAL("def\nok\n"), seen, sizeof seen);
    cr_expect_str_eq(seen, "1!store-unavailable;2:ok;");
    ndjson_splitter_fini(&splitter);
}

/* Results */

static void expect_written(struct ndjson_result *result, const char *wanted)
{
    struct json_out out;
    json_out_init(&out, 4096);
    ndjson_result_write(&out, result, "no room");
    cr_expect(span_equal(buf_span(&out.buf), span_of(wanted)), "%.*s", (int)out.buf.len,
              out.buf.bytes);
    json_out_fini(&out);
}

static struct gateway_target kept_target(void)
{
    return (struct gateway_target){.epoch = {"k3f9a2qd"}, .seq = 118, .expires_ms = 1790604800123};
}

Test(ndjson_results, writes_what_was_kept_as_a_push_is_answered)
{
    struct ndjson_results results = {0};
    struct gateway_target target = kept_target();
    struct gateway_push push = {.ttl_s = 60, .n_targets = 1, .targets = &target};
    struct ndjson_result *result = ndjson_results_add(&results, 1);
    ndjson_result_take(result, &push);
    expect_written(result,
                   "{\"id\":\"k3f9a2qd-118\",\"seq\":118,\"status\":\"stored\",\"online\":0,"
                   "\"nodes\":0,\"expires\":1790604800123}\n");
    target.online = 2;
    target.nodes = 1;
    target.is_duplicate = true;
    ndjson_result_take(result, &push);
    expect_written(result, "{\"id\":\"k3f9a2qd-118\",\"seq\":118,\"status\":\"sent\",\"online\":2,"
                           "\"nodes\":1,\"expires\":1790604800123,\"duplicate\":true}\n");
    target = (struct gateway_target){.error = ERR_OK};
    push.ttl_s = 0;
    ndjson_result_take(result, &push);
    expect_written(result, "{\"status\":\"dropped\",\"online\":0,\"nodes\":0}\n");
    ndjson_results_fini(&results, NULL);
}

Test(ndjson_results, writes_problems_with_their_line)
{
    struct ndjson_results results = {0};
    struct json_problem problem = {ERR_INVALID_FIELD, 0, "ttl", "no"};
    struct ndjson_result *result = ndjson_results_add(&results, 7);
    ndjson_result_refuse(result, &problem, true);
    expect_written(result,
                   "{\"type\":\"invalid-field\",\"title\":\"a field is missing or out of "
                   "range\",\"status\":400,\"detail\":\"no\",\"field\":\"ttl\",\"line\":7}\n");
    problem = (struct json_problem){ERR_BAD_JSON, 0, "", ""};
    result = ndjson_results_add(&results, 8);
    ndjson_result_refuse(result, &problem, false);
    expect_written(result, "{\"type\":\"bad-json\",\"title\":\"the body is not valid JSON\","
                           "\"status\":400,\"offset\":0,\"line\":8}\n");
    ndjson_results_fini(&results, NULL);
}

Test(ndjson_results, writes_why_the_store_kept_nothing)
{
    struct ndjson_results results = {0};
    struct gateway_target target = {.error = ERR_STORE_UNAVAILABLE};
    struct gateway_push push = {.ttl_s = 60, .n_targets = 1, .targets = &target};
    struct ndjson_result *result = ndjson_results_add(&results, 3);
    ndjson_result_take(result, &push);
    expect_written(result,
                   "{\"type\":\"store-unavailable\",\"title\":\"the store cannot be reached "
                   "or written\",\"status\":503,\"detail\":\"no room\",\"line\":3}\n");
    ndjson_results_fini(&results, NULL);
}

/* A line whose on_done never ran must not look as if it were kept. */
Test(ndjson_results, says_that_an_unfinished_one_came_too_late)
{
    struct ndjson_results results = {0};
    expect_written(ndjson_results_add(&results, 2),
                   "{\"type\":\"store-unavailable\",\"title\":\"the store cannot be reached or "
                   "written\",\"status\":503,\"detail\":\"no answer in time; what was asked may "
                   "have been done all the same\",\"line\":2}\n");
    ndjson_results_fini(&results, NULL);
}

Test(ndjson_results, reads_thousands_in_order_while_they_stay_in_place)
{
    struct ndjson_results results = {0};
    struct ndjson_result *first = ndjson_results_add(&results, 1);
    size_t allocated = 0;
    for (uint32_t line = 2; line <= 3 * NDJSON_BLOCK_RESULTS + 1; line++) {
        allocated += ndjson_results_need(&results) > 0;
        cr_assert_not_null(ndjson_results_add(&results, line));
    }
    cr_expect_eq(allocated, 3);
    cr_expect_eq(ndjson_results_read(&results), first);
    for (uint32_t line = 2; line <= 3 * NDJSON_BLOCK_RESULTS + 1; line++)
        cr_assert_eq(ndjson_results_read(&results)->line, line);
    cr_expect_null(ndjson_results_read(&results));
    ndjson_results_fini(&results, NULL);
}

/* The longest userId fits, and one that needs escapes is written as any other. */
Test(ndjson_results, writes_the_userIds_of_a_list_of_every_form)
{
    static char longest[USER_ID_MAX_BYTES + 1];
    char wanted[1024];
    memset(longest, 'u', USER_ID_MAX_BYTES);
    struct ndjson_results results = {0};
    struct gateway_target targets[] = {
        {.user_id = SPAN_LITERAL("anna"), .online = 1, .nodes = 1},
        {.user_id = span_of(longest)},
        {.user_id = SPAN_LITERAL("a\"\\b"), .online = 1, .nodes = 1},
        {.user_id = SPAN_LITERAL("\xc3\xa4"), .error = ERR_STORE_UNAVAILABLE}};
    struct gateway_push push = {.n_targets = 4, .targets = targets};
    struct ndjson_result *result = ndjson_results_add(&results, 1);
    ndjson_result_take_list(result, &push);
    snprintf(wanted, sizeof wanted,
             "{\"results\":[{\"userId\":\"anna\",\"status\":\"sent\",\"online\":1,\"nodes\":1},"
             "{\"userId\":\"%s\",\"status\":\"dropped\",\"online\":0,\"nodes\":0},"
             "{\"userId\":\"a\\\"\\\\b\",\"status\":\"sent\",\"online\":1,\"nodes\":1},"
             "{\"userId\":\"\xc3\xa4\",\"status\":\"failed\",\"error\":{\"type\":"
             "\"store-unavailable\",\"title\":\"the store cannot be reached or written\","
             "\"status\":503,\"detail\":\"no room\"}}]}\n",
             longest);
    expect_written(result, wanted);
    result->is_list = false; /* the list is the test's own */
    ndjson_results_fini(&results, NULL);
}
