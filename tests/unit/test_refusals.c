/* Refusals on the subscriber port: each is counted by its status, and strangers cannot fill the log
 * with them. */
#include "gateway/node/refusals.h"

#include "gateway/base/log_limit.h"
#include "gateway/base/metrics.h"
#include "tests/support/captured_log.h"
#include "tests/support/fake_clock.h"

#include <stdio.h>
#include <string.h>

static void begin(void)
{
    captured_log_begin();
    stop_the_clock();
}

TestSuite(refusals, .init = begin, .fini = let_the_clock_go);

static void pass_ms(int64_t ms)
{
    fake_us += ms * 1000;
}

/* A request of anna's to /ws, with these two fields. */
static struct refusal_subject subject_of(const char *origin, const char *host)
{
    struct refusal_subject subject = {
        .address = "192.0.2.1",
        .user = "anna",
        .user_len = 4,
        .path = SPAN_LITERAL("/ws"),
        .origin = span_of(origin),
        .host = span_of(host),
    };
    return subject;
}

/* Are all lines that were written since then these many, with that text in the last one? */
static void expect_lines(int n, const char *text)
{
    const char *lines = captured_log_take();
    cr_expect_eq(captured_log_count_lines(lines), n, "%d lines expected:\n%s", n, lines);
    cr_expect_not_null(strstr(lines, text), "no %s in:\n%s", text, lines);
}

Test(refusals, are_counted_by_their_status)
{
    static const struct {
        unsigned status;
        enum metric metric;
    } rows[] = {
        {400, METRIC_REFUSED_400},   {401, METRIC_REFUSED_401},   {403, METRIC_REFUSED_403},
        {404, METRIC_REFUSED_404},   {405, METRIC_REFUSED_405},   {408, METRIC_REFUSED_408},
        {426, METRIC_REFUSED_426},   {429, METRIC_REFUSED_429},   {431, METRIC_REFUSED_431},
        {503, METRIC_REFUSED_503},   {413, METRIC_REFUSED_OTHER}, {500, METRIC_REFUSED_OTHER},
        {505, METRIC_REFUSED_OTHER},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t before = metrics_read(rows[i].metric);
        refusals_count(rows[i].status);
        cr_expect_eq(metrics_read(rows[i].metric), before + 1, "%u", rows[i].status);
    }
    expect_lines(0, "");
}

Test(refusals, name_what_they_are_about)
{
    struct refusal_subject subject = subject_of("https://evil.example", "herald.example");
    refusals_log_request(REFUSAL_ORIGIN, &subject, "--allowed-origin https://evil.example");
    expect_lines(1, "event=\"request refused\" why=\"the Origin is not allowed\" "
                    "origin=https://evil.example host=herald.example path=/ws address=192.0.2.1 "
                    "user=anna advice=\"--allowed-origin https://evil.example\"");
    subject.user_len = 0;
    refusals_log_credentials(&subject, "a token is needed");
    expect_lines(1, "event=\"credentials refused\" why=\"a token is needed\" place=/ws "
                    "address=192.0.2.1 user=\"\"");
}

Test(refusals, of_credentials_are_logged_once_a_second_and_cause)
{
    struct refusal_subject subject = subject_of("", "");
    for (int i = 0; i < 10; i++) {
        refusals_log_credentials(&subject, "the signature is wrong");
        refusals_log_credentials(&subject, "the token has expired");
    }
    expect_lines(2, "the token has expired");
    pass_ms(999);
    refusals_log_credentials(&subject, "the signature is wrong");
    expect_lines(0, "");
    pass_ms(1);
    refusals_log_credentials(&subject, "the signature is wrong");
    expect_lines(1, "suppressed=10");
}

Test(refusals, of_an_origin_are_logged_once_a_minute)
{
    struct refusal_subject evil = subject_of("https://evil.example", "herald.example");
    struct refusal_subject other = subject_of("https://other.example", "herald.example");
    for (int i = 0; i < 10; i++) {
        refusals_log_request(REFUSAL_ORIGIN, &evil, "");
        refusals_log_request(REFUSAL_ORIGIN, &other, "");
    }
    expect_lines(2, "origin=https://other.example");
    pass_ms(59999);
    refusals_log_request(REFUSAL_ORIGIN, &evil, "");
    expect_lines(0, "");
    pass_ms(1);
    refusals_log_request(REFUSAL_ORIGIN, &evil, "");
    expect_lines(1, "suppressed=10");
}

Test(refusals, without_an_origin_are_logged_once_a_minute_and_host)
{
    struct refusal_subject first = subject_of("", "a.example");
    struct refusal_subject second = subject_of("", "b.example");
    for (int i = 0; i < 3; i++) {
        refusals_log_request(REFUSAL_HOST, &first, "--insecure");
        refusals_log_request(REFUSAL_HOST, &second, "--insecure");
    }
    expect_lines(2, "host=b.example");
}

/* Not by the origin: the operator who blocked a user looks for the user. */
Test(refusals, of_a_blocked_user_are_logged_once_a_minute_and_user)
{
    struct refusal_subject subject = subject_of("https://a.example", "");
    refusals_log_request(REFUSAL_BLOCKED, &subject, "");
    subject.origin = SPAN_LITERAL("https://b.example");
    refusals_log_request(REFUSAL_BLOCKED, &subject, "");
    expect_lines(1, "user=anna");
    memcpy(subject.user, "bert", 4);
    refusals_log_request(REFUSAL_BLOCKED, &subject, "");
    expect_lines(1, "user=bert");
}

/* A client that invents origins must not hide the refusal of a developer's own. */
Test(refusals, of_made_up_origins_use_up_the_lines_of_their_own_cause_alone)
{
    char origin[64];
    for (int i = 0; i < 1000; i++) {
        snprintf(origin, sizeof origin, "https://%d.example", i);
        struct refusal_subject subject = subject_of(origin, "");
        refusals_log_request(REFUSAL_ORIGIN, &subject, "");
    }
    const char *lines = captured_log_take();
    cr_expect_leq(captured_log_count_lines(lines), LOG_LIMIT_KEYS, "%s", lines);
    struct refusal_subject own = subject_of("http://localhost:3000", "");
    refusals_log_request(REFUSAL_LOCAL_ORIGIN, &own, "--allowed-origin http://localhost:3000");
    expect_lines(1, "origin=http://localhost:3000");
}

Test(refusals, that_a_page_cannot_see_are_logged_once_a_minute_and_cause)
{
    struct refusal_subject subject = subject_of("http://herald.example", "");
    for (int i = 0; i < 5; i++) {
        refusals_log_unseen(&subject, "Sec-WebSocket-Key is missing");
        refusals_log_unseen(&subject, "userId is missing");
    }
    expect_lines(2, "why=\"userId is missing\"");
    pass_ms(60000);
    refusals_log_unseen(&subject, "userId is missing");
    expect_lines(1, "suppressed=4");
}

Test(refusals, have_a_sentence_for_each_cause)
{
    for (int cause = 0; cause < REFUSAL_CAUSES; cause++) {
        const char *text = refusal_cause_text((enum refusal_cause)cause);
        cr_assert_not_null(text, "%d", cause);
        cr_expect_gt(strlen(text), 10, "%s", text);
    }
}
