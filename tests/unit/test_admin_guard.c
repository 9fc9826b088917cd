/* Requests that are refused by their head (CONTRACT section 1): foreign origins, and heads that two
 * parsers could read differently. */
#include "admin/guard.h"

#include <criterion/criterion.h>

struct field {
    const char *name;
    const char *value;
};

enum { MAX_FIELDS = 4 };

static struct guard_head head_of(const struct field fields[MAX_FIELDS])
{
    struct guard_head head = {.is_forwarded = false};
    for (int i = 0; i < MAX_FIELDS && fields[i].name != NULL; i++)
        guard_note(&head, span_of(fields[i].name), span_of(fields[i].value));
    return head;
}

static const struct guard_rules unprotected = {.is_unprotected = true};
static const struct guard_rules insecure = {.is_unprotected = false};
static const struct guard_rules unprotected_unix = {.is_unprotected = true, .is_unix = true};

static enum err judge_origin(const struct field fields[MAX_FIELDS], const struct guard_rules *rules)
{
    const char *detail;
    struct guard_head head = head_of(fields);
    enum err error = guard_origin(&head, rules, false, &detail);
    cr_expect_eq(detail == NULL, error == ERR_OK);
    return error;
}

Test(guard, refuses_heads_that_could_be_read_in_two_ways)
{
    static const struct field rows[][MAX_FIELDS] = {
        {{"Host", ""}},
        {{"Host", "a"}, {"host", "a"}},
        {{"Host", "a"}, {"Content-Length", "1"}, {"content-length", "1"}},
        {{"Host", "a"}, {"Content-Length", "1"}, {"Transfer-Encoding", "chunked"}},
        {{"Host", "a"}, {"Transfer-Encoding", "gzip, chunked"}},
        {{"Host", "a"}, {"Transfer-Encoding", "identity"}},
        {{"Host", "a"}, {"Transfer-Encoding", "chunked"}, {"Transfer-Encoding", "chunked"}},
        {{"Host", "a"}, {"Authorization", "x"}, {"Authorization", "x"}},
        {{"Host", "a"}, {"Origin", "x"}, {"Origin", "x"}},
        {{"Host", "a"}, {"Content-Length", "-1"}},
        {{"Host", "a"}, {"Content-Length", "+1"}},
        {{"Host", "a"}, {"Content-Length", "1, 1"}},
        {{"Host", "a"}, {"Content-Length", ""}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t length;
        const char *detail;
        struct guard_head head = head_of(rows[i]);
        cr_expect_eq(guard_framing(&head, &length, &detail), ERR_BAD_HEAD, "row %zu", i);
        cr_expect_not_null(detail);
    }
}

Test(guard, takes_one_length_or_chunks)
{
    uint64_t length = 7;
    const char *detail;
    struct guard_head head = head_of((const struct field[MAX_FIELDS]){{"Host", "a"}});
    cr_expect_eq(guard_framing(&head, &length, &detail), ERR_OK);
    cr_expect_eq(length, 0);
    head = head_of((const struct field[MAX_FIELDS]){{"Host", "a"}, {"Content-Length", " 302 "}});
    cr_expect_eq(guard_framing(&head, &length, &detail), ERR_OK);
    cr_expect_eq(length, 302);
    head =
        head_of((const struct field[MAX_FIELDS]){{"Host", "a"}, {"Transfer-Encoding", "Chunked"}});
    cr_expect_eq(guard_framing(&head, &length, &detail), ERR_OK);
    head = head_of(
        (const struct field[MAX_FIELDS]){{"Host", "a"}, {"Content-Length", "9223372036854775808"}});
    cr_expect_eq(guard_framing(&head, &length, &detail), ERR_TOO_LARGE);
}

Test(guard, lets_only_this_machines_names_in_without_keys)
{
    static const struct {
        const char *host;
        enum err error;
    } rows[] = {
        {"127.0.0.1", ERR_OK},
        {"127.0.0.1:8081", ERR_OK},
        {"localhost", ERR_OK},
        {"LocalHost:8081", ERR_OK},
        {"[::1]", ERR_OK},
        {"[::1]:8081", ERR_OK},
        {"127.9.9.9", ERR_OK},
        {"example.com", ERR_FORBIDDEN},
        {"127.0.0.1.evil", ERR_FORBIDDEN},
        {"localhost.evil:80", ERR_FORBIDDEN},
        {"10.0.0.1", ERR_FORBIDDEN},
        {"[::2]", ERR_FORBIDDEN},
        {"0.0.0.0", ERR_FORBIDDEN},
        {":8081", ERR_FORBIDDEN},
        {"[::1", ERR_FORBIDDEN},
        {"evil@127.0.0.1", ERR_FORBIDDEN},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct field fields[MAX_FIELDS] = {{"Host", rows[i].host}};
        cr_expect_eq(judge_origin(fields, &unprotected), rows[i].error, "%s", rows[i].host);
        cr_expect_eq(judge_origin(fields, &insecure), ERR_OK, "%s", rows[i].host);
        cr_expect_eq(judge_origin(fields, &unprotected_unix), ERR_OK, "%s", rows[i].host);
    }
}

Test(guard, refuses_a_proxy_without_keys)
{
    static const char *const names[] = {
        "Forwarded", "X-Forwarded-For", "x-forwarded-proto", "X-Forwarded-Anything",
        "Via",       "x-real-ip"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const struct field fields[MAX_FIELDS] = {{"Host", "localhost"}, {names[i], "x"}};
        cr_expect_eq(judge_origin(fields, &unprotected), ERR_FORBIDDEN, "%s", names[i]);
        cr_expect_eq(judge_origin(fields, &unprotected_unix), ERR_FORBIDDEN, "%s", names[i]);
        cr_expect_eq(judge_origin(fields, &insecure), ERR_OK, "%s", names[i]);
    }
}

/* HTTP/1.0 may leave Host out, and nginx does if it is configured to. */
Test(guard, takes_a_missing_host_for_a_proxy_without_keys)
{
    static const struct field fields[MAX_FIELDS] = {{"Accept", "*/*"}};
    uint64_t length;
    const char *detail;
    struct guard_head head = head_of(fields);
    cr_expect_eq(guard_framing(&head, &length, &detail), ERR_OK);
    cr_expect_eq(judge_origin(fields, &unprotected), ERR_FORBIDDEN);
    cr_expect_eq(judge_origin(fields, &unprotected_unix), ERR_FORBIDDEN);
    cr_expect_eq(judge_origin(fields, &insecure), ERR_OK);
}

Test(guard, answers_probes_of_its_health_whatever_host_they_name)
{
    static const struct field probes[][MAX_FIELDS] = {
        {{"Accept", "*/*"}}, {{"Host", "10.0.0.7:8081"}}, {{"Host", "a"}, {"Via", "1.1 lb"}}};
    static const struct field page[MAX_FIELDS] = {{"Host", "localhost"}, {"Origin", "http://evil"}};
    const char *detail;
    for (size_t i = 0; i < sizeof probes / sizeof probes[0]; i++) {
        struct guard_head head = head_of(probes[i]);
        cr_expect_eq(guard_origin(&head, &unprotected, true, &detail), ERR_OK, "row %zu", i);
    }
    struct guard_head head = head_of(page);
    cr_expect_eq(guard_origin(&head, &unprotected, true, &detail), ERR_FORBIDDEN);
    cr_expect(guard_is_health(SPAN_LITERAL("/livez")) && guard_is_health(SPAN_LITERAL("/readyz")));
    cr_expect(!guard_is_health(SPAN_LITERAL("/stats")) && !guard_is_health(SPAN_LITERAL("/")));
}

Test(guard, does_not_take_an_http_page_for_its_own_if_it_speaks_tls)
{
    static const struct guard_rules tls = {.is_tls = true};
    static const struct field clear[MAX_FIELDS] = {{"Host", "a"}, {"Origin", "http://a"}};
    static const struct field sealed[MAX_FIELDS] = {{"Host", "a"}, {"Origin", "https://a"}};
    cr_expect_eq(judge_origin(clear, &tls), ERR_FORBIDDEN);
    cr_expect_eq(judge_origin(sealed, &tls), ERR_OK);
    cr_expect_eq(judge_origin(clear, &insecure), ERR_OK);
}

Test(guard, refuses_a_foreign_origin_always)
{
    static const struct {
        const char *origin;
        enum err error;
    } rows[] = {
        {"http://localhost:8081", ERR_OK},
        {"HTTP://LOCALHOST:8081", ERR_OK},
        {"http://localhost:8080", ERR_FORBIDDEN},
        {"http://localhost", ERR_FORBIDDEN},
        {"http://evil", ERR_FORBIDDEN},
        {"null", ERR_FORBIDDEN},
        {"", ERR_FORBIDDEN},
        {"localhost:8081", ERR_FORBIDDEN},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct field fields[MAX_FIELDS] = {{"Host", "localhost:8081"},
                                                 {"Origin", rows[i].origin}};
        cr_expect_eq(judge_origin(fields, &unprotected), rows[i].error, "%s", rows[i].origin);
        cr_expect_eq(judge_origin(fields, &insecure), rows[i].error, "%s", rows[i].origin);
    }
}

Test(guard, knows_json_by_its_media_type)
{
    static const struct {
        const char *type;
        enum guard_media media;
    } rows[] = {
        {"application/json", GUARD_JSON},
        {"Application/JSON; charset=utf-8", GUARD_JSON},
        {"application/json ;x=y", GUARD_JSON},
        {"application/x-ndjson", GUARD_NDJSON},
        {"Application/X-NDJSON;charset=utf-8", GUARD_NDJSON},
        {"application/ndjson", GUARD_OTHER},
        {"", GUARD_OTHER},
        {"text/plain", GUARD_OTHER},
        {"application/jsonx", GUARD_OTHER},
        {"application/x-www-form-urlencoded", GUARD_OTHER},
        {"text/plain; application/json", GUARD_OTHER},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct guard_head head =
            head_of((const struct field[MAX_FIELDS]){{"Content-Type", rows[i].type}});
        cr_expect_eq(guard_media(&head), rows[i].media, "%s", rows[i].type);
    }
    struct guard_head none = {.is_forwarded = false};
    cr_expect_eq(guard_media(&none), GUARD_OTHER);
}
