#include "proto/error.h"

#include <criterion/criterion.h>
#include <string.h>

Test(error, has_every_text_for_every_row)
{
    for (int i = 0; i < ERR_COUNT; i++) {
        enum err error = (enum err)i;
        cr_assert_not_null(error_title(error), "%d", i);
        cr_assert_gt(strlen(error_title(error)), 0, "%d", i);
        cr_assert_not_null(error_problem_type(error), "%d", i);
    }
}

Test(error, has_statuses_and_close_codes_that_exist)
{
    for (int i = 0; i < ERR_COUNT; i++) {
        unsigned status = error_http_status((enum err)i);
        unsigned code = error_close_code((enum err)i);
        cr_assert(status == 0 || (status >= 200 && status <= 599), "%d", i);
        cr_assert(code == 0 || (code >= 1000 && code <= 1014) || (code >= 4000 && code <= 4999),
                  "%d", i);
        cr_assert(status != 0 || code != 0, "%d has no way out", i);
    }
}

Test(error, names_a_problem_type_for_all_that_http_refuses)
{
    for (int i = 1; i < ERR_COUNT; i++) {
        if (error_http_status((enum err)i) != 0)
            cr_assert_gt(strlen(error_problem_type((enum err)i)), 0, "%d", i);
    }
}

/* A title goes into a JSON string and into the reason of a close frame as it stands (123 bytes). */
Test(error, has_titles_that_need_no_escaping)
{
    for (int i = 0; i < ERR_COUNT; i++) {
        const char *title = error_title((enum err)i);
        cr_assert_leq(strlen(title), 80, "%s", title);
        for (const char *c = title; *c != '\0'; c++)
            cr_assert(*c >= ' ' && *c < 0x7f && *c != '"' && *c != '\\', "%s", title);
    }
}

/* CONTRACT 2: the refusals before the upgrade, and the close codes. */
Test(error, holds_the_statuses_of_the_contract)
{
    static const struct {
        enum err error;
        unsigned status;
    } rows[] = {
        {ERR_BAD_HEAD, 400},         {ERR_BAD_HANDSHAKE, 400},      {ERR_FORBIDDEN, 403},
        {ERR_NOT_FOUND, 404},        {ERR_METHOD_NOT_ALLOWED, 405}, {ERR_HEAD_TIMEOUT, 408},
        {ERR_UPGRADE_REQUIRED, 426}, {ERR_HEAD_TOO_LARGE, 431},     {ERR_FULL, 503},
        {ERR_DRAINING, 503},         {ERR_HTTP_VERSION, 505},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        cr_assert_eq(error_http_status(rows[i].error), rows[i].status, "%zu", i);
}

Test(error, holds_the_close_codes_of_the_contract)
{
    static const struct {
        enum err error;
        unsigned code;
    } rows[] = {
        {ERR_PROTOCOL, 1002}, {ERR_BINARY, 1003},
        {ERR_BAD_UTF8, 1007}, {ERR_MESSAGE_TOO_LARGE, 1009},
        {ERR_RESTART, 1012},  {ERR_FULL, 1013},
        {ERR_SLOW, 4000},     {ERR_SILENT, 4003},
        {ERR_RESYNC, 4004},   {ERR_KICKED, 4503},
        {ERR_REPLACED, 4508},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        cr_assert_eq(error_close_code(rows[i].error), rows[i].code, "%zu", i);
}

Test(error, answers_for_a_value_that_is_not_in_the_list)
{
    cr_assert_str_eq(error_title(ERR_COUNT), error_title(ERR_SYSTEM));
    cr_assert_eq(error_http_status((enum err) - 1), 500);
}

/* CONTRACT 2: what ends or refuses a session for want of credentials, or because of an operator. */
Test(error, holds_the_ways_out_of_credentials_and_limits)
{
    static const struct {
        enum err error;
        unsigned status, code;
        const char *type;
    } rows[] = {
        {ERR_EXPIRED, 401, 4100, "unauthorized"},
        {ERR_UNAUTHORIZED, 401, 4101, "unauthorized"},
        {ERR_AUTH_TIMEOUT, 401, 4102, "unauthorized"},
        {ERR_RATE, 429, 4005, "rate-limited"},
        {ERR_BLOCKED, 403, 4503, "forbidden"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cr_assert_eq(error_http_status(rows[i].error), rows[i].status, "%zu", i);
        cr_assert_eq(error_close_code(rows[i].error), rows[i].code, "%zu", i);
        cr_assert_str_eq(error_problem_type(rows[i].error), rows[i].type, "%zu", i);
    }
}
