/* What the tests of the admin API's JSON share. */
#ifndef HERALD_TESTS_PUSH_JSON_CALLS_H
#define HERALD_TESTS_PUSH_JSON_CALLS_H

#include "proto/note/push_json.h"
#include "tests/support/guarded.h"

#include <criterion/criterion.h>
#include <stdio.h>

static const struct push_limits limits = {
    .max_data_bytes = 65536, .default_ttl_s = 604800, .keeps_alerts = true};

static inline struct push_request parse(struct span body)
{
    struct push_request request;
    struct json_problem problem;
    enum err error = push_request_parse(guarded_for_good(body), &limits, &request, &problem);
    cr_assert_eq(error, ERR_OK, "%.*s: %s", (int)body.len, body.bytes, problem.detail);
    return request;
}

static inline struct json_problem refusal(struct span body)
{
    struct push_request request;
    struct json_problem problem;
    enum err error = push_request_parse(guarded_for_good(body), &limits, &request, &problem);
    cr_assert_neq(error, ERR_OK, "%.*s", (int)body.len, body.bytes);
    cr_assert_eq(problem.error, error);
    cr_assert_null(request.memory);
    return problem;
}

static inline void expect_field(const char *body, enum err error, const char *field)
{
    struct json_problem problem = refusal(span_of(body));
    cr_expect_eq(problem.error, error, "%s: %s", body, problem.detail);
    cr_expect_str_eq(problem.field, field, "%s", body);
    cr_expect_neq(problem.detail[0], '\0', "%s", body);
}

static inline void expect_user(struct push_request *request, size_t i, const char *user)
{
    struct span got = push_request_user(request, i);
    cr_expect(span_equal(got, span_of(user)), "%zu: %.*s", i, (int)got.len, got.bytes);
}

#endif
