#include "gateway/base/metrics.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

Test(metrics, adds_what_is_counted)
{
    metrics_count(METRIC_PINGS);
    metrics_add(METRIC_PINGS, 41);
    cr_assert_eq(metrics_read(METRIC_PINGS), 42);
    cr_assert_eq(metrics_read(METRIC_PONGS), 0);
}

Test(metrics, sets_gauges_and_moves_them_both_ways)
{
    metrics_set(METRIC_STORE_UP, 1);
    cr_assert_eq(metrics_read(METRIC_STORE_UP), 1);
    metrics_gauge_add(METRIC_CONNECTIONS, 5);
    metrics_gauge_add(METRIC_CONNECTIONS, -7);
    cr_assert_eq(metrics_read(METRIC_CONNECTIONS), -2);
}

enum { THREADS = 8, ROUNDS = 10000 };

static void *count_rounds(void *unused)
{
    for (int i = 0; i < ROUNDS; i++)
        metrics_count(METRIC_ACCEPTED);
    return unused;
}

Test(metrics, keeps_what_threads_counted_that_have_ended)
{
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, count_rounds, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    cr_assert_eq(metrics_read(METRIC_ACCEPTED), (int64_t)THREADS * ROUNDS);
}

static atomic_int step;

static void *count_once_and_wait(void *unused)
{
    metrics_count(METRIC_OPENED);
    atomic_store(&step, 1);
    while (atomic_load(&step) != 2)
        sched_yield();
    return unused;
}

Test(metrics, sees_what_a_running_thread_has_counted)
{
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, count_once_and_wait, NULL), 0);
    while (atomic_load(&step) != 1)
        sched_yield();
    cr_assert_eq(metrics_read(METRIC_OPENED), 1);
    atomic_store(&step, 2);
    pthread_join(thread, NULL);
    cr_assert_eq(metrics_read(METRIC_OPENED), 1);
}

static size_t occurrences(const char *text, const char *part)
{
    size_t n = 0;
    for (const char *at = strstr(text, part); at != NULL; at = strstr(at + 1, part))
        n++;
    return n;
}

Test(metrics, prints_prometheus_text_with_help_and_type_once_a_name)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    metrics_add(METRIC_CLOSED_KICKED, 3);
    metrics_set(METRIC_USERS, 7);
    cr_assert_eq(metrics_print(&out), ERR_OK);
    cr_assert_eq(buf_append(&out, "", 1), ERR_OK);
    cr_assert_not_null(
        strstr(out.bytes, "# TYPE herald_users_online gauge\nherald_users_online 7\n"));
    cr_assert_not_null(strstr(out.bytes, "\nherald_sessions_closed_total{cause=\"kicked\"} 3\n"));
    cr_assert_eq(occurrences(out.bytes, "# TYPE herald_sessions_closed_total counter\n"), 1);
    cr_assert_eq(occurrences(out.bytes, "# HELP herald_sessions_closed_total "), 1);
    buf_fini(&out);
}

Test(metrics, prints_a_histogram_with_rising_buckets)
{
    struct buf out;
    metrics_observe_ms(HISTOGRAM_PUSH_TO_ACK, 1);
    metrics_observe_ms(HISTOGRAM_PUSH_TO_ACK, 3);
    metrics_observe_ms(HISTOGRAM_PUSH_TO_ACK, 700000);
    metrics_observe_ms(HISTOGRAM_STORE_PAGE, 3);
    metrics_observe_ms(HISTOGRAM_PUSH_TO_ACK, -5); /* the clock was set back: 0 */
    buf_init(&out, 1 << 20);
    cr_assert_eq(metrics_print(&out), ERR_OK);
    cr_assert_eq(buf_append(&out, "", 1), ERR_OK);
    const char *const lines[] = {
        "\nherald_store_operation_seconds_bucket{op=\"page\",le=\"0.001\"} 0\n",
        "\nherald_store_operation_seconds_bucket{op=\"page\",le=\"0.005\"} 1\n",
        "\nherald_store_operation_seconds_sum{op=\"page\"} 0.003\n",
        "\nherald_store_operation_seconds_count{op=\"page\"} 1\n",
        "\nherald_store_operation_seconds_count{op=\"append\"} 0\n",
        "# TYPE herald_push_to_ack_seconds histogram\n",
        "\nherald_push_to_ack_seconds_bucket{le=\"0.001\"} 2\n",
        "\nherald_push_to_ack_seconds_bucket{le=\"0.002\"} 2\n",
        "\nherald_push_to_ack_seconds_bucket{le=\"0.005\"} 3\n",
        "\nherald_push_to_ack_seconds_bucket{le=\"60\"} 3\n",
        "\nherald_push_to_ack_seconds_bucket{le=\"+Inf\"} 4\n",
        "\nherald_push_to_ack_seconds_sum 700.004\n",
        "\nherald_push_to_ack_seconds_count 4\n",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        cr_assert_not_null(strstr(out.bytes, lines[i]), "%s", lines[i]);
    buf_fini(&out);
}

static enum err print_two(struct metrics_source *source, enum metric_family family, struct buf *out)
{
    (void)source;
    if (family != FAMILY_WEBHOOK_REQUESTS)
        return ERR_OK;
    enum err error = metrics_print_line(out, family, "endpoint=\"a\",result=\"ok\"", 3);
    return error != ERR_OK ? error
                           : metrics_print_line(out, family, "endpoint=\"b\",result=\"ok\"", -4);
}

Test(metrics, prints_the_lines_of_a_source_below_the_head_of_their_family)
{
    struct metrics_source source = {.print = print_two};
    struct buf out;
    buf_init(&out, 1 << 20);
    metrics_add_source(&source);
    cr_assert_eq(metrics_print(&out), ERR_OK);
    cr_assert_eq(buf_append(&out, "", 1), ERR_OK);
    const char *head = strstr(out.bytes, "# TYPE herald_webhook_requests_total counter\n");
    cr_assert_not_null(head);
    const char *lines = strchr(head, '\n') + 1;
    static const char expected[] =
        "herald_webhook_requests_total{endpoint=\"a\",result=\"ok\"} 3\n"
        "herald_webhook_requests_total{endpoint=\"b\",result=\"ok\"} -4\n";
    cr_assert_eq(strncmp(lines, expected, sizeof expected - 1), 0, "%s", lines);
    metrics_remove_source(&source);
    buf_fini(&out);
    buf_init(&out, 1 << 20);
    cr_assert_eq(metrics_print(&out), ERR_OK);
    cr_assert_eq(buf_append(&out, "", 1), ERR_OK);
    cr_assert_null(strstr(out.bytes, "endpoint=\"a\""));
    buf_fini(&out);
}

/* Rows of one name must stand together, or the text format is broken. */
Test(metrics, has_no_name_in_two_places)
{
    static const char *const names[] = {
#define COUNTER(name, prometheus, labels, help) prometheus,
#define GAUGE(name, prometheus, labels, help)   prometheus,
#define HISTOGRAM(name, prometheus, labels, help)
#include "gateway/base/metrics.def"
#undef HISTOGRAM
#undef COUNTER
#undef GAUGE
    };
    for (size_t i = 1; i < METRIC_COUNT; i++) {
        cr_assert_eq(strncmp(names[i], "herald_", 7), 0, "%s", names[i]);
        if (strcmp(names[i], names[i - 1]) == 0)
            continue;
        for (size_t j = 0; j < i; j++)
            cr_assert_neq(strcmp(names[i], names[j]), 0, "%s", names[i]);
    }
}

Test(metrics, says_so_when_the_buffer_is_full)
{
    struct buf out;
    buf_init(&out, 100);
    cr_assert_eq(metrics_print(&out), ERR_FULL);
    buf_fini(&out);
}
