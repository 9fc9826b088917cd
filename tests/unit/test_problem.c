/* Problem bodies (CONTRACT section 4) and the JSON writer below them. */
#include "admin/problem.h"

#include <cjson/cJSON.h>
#include <criterion/criterion.h>

static cJSON *written(const struct problem *problem)
{
    struct json_out out;
    json_out_init(&out, 4096);
    problem_write(&out, problem);
    cr_assert_not(out.has_failed);
    cJSON *json = cJSON_ParseWithLength(out.buf.bytes, out.buf.len);
    cr_assert_not_null(json, "%.*s", (int)out.buf.len, out.buf.bytes);
    json_out_fini(&out);
    return json;
}

static void expect_text(const cJSON *json, const char *name, const char *text)
{
    const char *found = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, name));
    cr_assert_not_null(found, "%s", name);
    cr_expect_str_eq(found, text);
}

static double number(const cJSON *json, const char *name)
{
    return cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(json, name));
}

Test(problem, writes_every_member_that_is_given)
{
    size_t offset = 17;
    struct problem problem = {ERR_BAD_JSON, "a \"quoted\"\nline", "ti\\tle", "00ff", &offset, 3};
    cJSON *json = written(&problem);
    expect_text(json, "type", "bad-json");
    expect_text(json, "title", "the body is not valid JSON");
    expect_text(json, "detail", "a \"quoted\"\nline");
    expect_text(json, "field", "ti\\tle");
    expect_text(json, "requestId", "00ff");
    cr_expect_eq(number(json, "status"), 400);
    cr_expect_eq(number(json, "offset"), 17);
    cr_expect_eq(number(json, "line"), 3);
    cJSON_Delete(json);
}

Test(problem, leaves_out_what_is_not_given)
{
    struct problem problem = {.error = ERR_NOT_FOUND, .field = ""};
    cJSON *json = written(&problem);
    cr_expect_eq(cJSON_GetArraySize(json), 3);
    cJSON_Delete(json);
}

/* What never leaves over HTTP must not become a 0 or a success. */
Test(problem, answers_every_error_with_a_status_from_400_on_and_a_type)
{
    for (int error = 0; error < ERR_COUNT; error++) {
        struct problem problem = {.error = (enum err)error};
        cJSON *json = written(&problem);
        const char *type = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "type"));
        cr_expect_geq(problem_status((enum err)error), 400);
        cr_expect_eq(number(json, "status"), problem_status((enum err)error));
        cr_expect_neq(type[0], '\0');
        cJSON_Delete(json);
    }
}

Test(problem, takes_the_offset_of_bad_json_alone)
{
    struct json_problem from = {.error = ERR_INVALID_FIELD, .field = "ttl", .detail = "no"};
    struct problem problem = problem_from_json(&from);
    cr_expect_null(problem.offset);
    cr_expect_str_eq(problem.field, "ttl");
    from = (struct json_problem){.error = ERR_BAD_JSON, .offset = 0};
    problem = problem_from_json(&from);
    cr_assert_not_null(problem.offset);
    cr_expect_eq(*problem.offset, 0);
}

Test(json_out, escapes_strings_and_keeps_utf8)
{
    struct json_out out;
    json_out_init(&out, 4096);
    json_out_string(&out, SPAN_LITERAL("a\"\\/\n\x7f\0\xc3\xa9"));
    cr_expect(
        span_equal(buf_span(&out.buf), SPAN_LITERAL("\"a\\\"\\\\/\\u000a\\u007f\\u0000\xc3\xa9\"")),
        "%.*s", (int)out.buf.len, out.buf.bytes);
    json_out_fini(&out);
}

Test(json_out, remembers_that_a_write_failed)
{
    struct json_out out;
    json_out_init(&out, 4);
    json_out_text(&out, "12345");
    cr_expect(out.has_failed);
    json_out_text(&out, "1");
    cr_expect_eq(out.buf.len, 0);
    json_out_fini(&out);
}
