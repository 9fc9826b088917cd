/* A feed with numbers in place of events, and a clock that the tests move. */
#include "gateway/events/webhook_endpoint.h"

#include <criterion/criterion.h>

enum { MIDDLE = 500 }; /* a number for the jitter */

static struct webhook_feed feed;
static uint64_t position; /* what is acknowledged */
static int64_t now_ms;

static void begin(uint32_t batch)
{
    webhook_feed_init(&feed, batch);
    position = 0;
    now_ms = 1000000;
}

/* Reads 1..head from the position on, and forms a batch. Returns its number of events. */
static size_t cut(uint64_t head)
{
    uint64_t seqs[200];
    size_t n = 0;
    for (uint64_t seq = position + 1; seq <= head; seq++)
        seqs[n++] = seq;
    return webhook_feed_cut(&feed, seqs, n, head);
}

static enum webhook_verdict answer_after(enum webhook_result result, int64_t retry_after_ms)
{
    uint64_t through = 0;
    enum webhook_verdict verdict =
        webhook_feed_answer(&feed, result, retry_after_ms, now_ms, MIDDLE, &through);
    if (verdict == FEED_ACKNOWLEDGE || verdict == FEED_PASS_OVER)
        position = through;
    return verdict;
}

static enum webhook_verdict answer(enum webhook_result result)
{
    return answer_after(result, -1);
}

Test(webhook_endpoint, tells_answers_apart)
{
    static const struct {
        int status;
        enum webhook_result result;
    } rows[] = {{200, WEBHOOK_OK},       {299, WEBHOOK_OK},      {301, WEBHOOK_REDIRECT},
                {399, WEBHOOK_REDIRECT}, {400, WEBHOOK_REFUSED}, {404, WEBHOOK_REFUSED},
                {408, WEBHOOK_FAILED},   {410, WEBHOOK_GONE},    {425, WEBHOOK_FAILED},
                {429, WEBHOOK_FAILED},   {499, WEBHOOK_REFUSED}, {500, WEBHOOK_FAILED},
                {599, WEBHOOK_FAILED},   {999, WEBHOOK_FAILED},  {0, WEBHOOK_ERROR}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        cr_assert_eq(webhook_result_of(rows[i].status), rows[i].result, "%d", rows[i].status);
    cr_assert_str_eq(webhook_result_text(WEBHOOK_REDIRECT), "redirect");
}

Test(webhook_endpoint, forms_batches_of_at_most_its_size)
{
    begin(5);
    cr_assert_eq(cut(12), 5);
    cr_assert_eq(feed.through, 5);
    cr_assert_eq(answer(WEBHOOK_OK), FEED_ACKNOWLEDGE);
    cr_assert_eq(position, 5);
    cr_assert_eq(cut(12), 5);
    cr_assert_eq(answer(WEBHOOK_OK), FEED_ACKNOWLEDGE);
    cr_assert_eq(cut(12), 2);
    cr_assert_eq(feed.through, 12);
    cr_assert_eq(answer(WEBHOOK_OK), FEED_ACKNOWLEDGE);
    cr_assert_eq(position, 12);
    cr_assert_eq(cut(12), 0);
}

/* What the types of the endpoint pass over is acknowledged with the batch that it stands in. */
Test(webhook_endpoint, acknowledges_what_is_not_for_it)
{
    static const uint64_t seqs[] = {3, 7};
    begin(5);
    cr_assert_eq(webhook_feed_cut(&feed, seqs, 2, 11), 2);
    cr_assert_eq(feed.through, 11);
    cr_assert_eq(answer(WEBHOOK_OK), FEED_ACKNOWLEDGE);
    cr_assert_eq(position, 11);
    cr_assert_eq(webhook_feed_cut(&feed, seqs, 0, 20), 0);
    begin(1);
    cr_assert_eq(webhook_feed_cut(&feed, seqs, 2, 11), 1);
    cr_assert_eq(feed.through, 3);
}

Test(webhook_endpoint, repeats_a_batch_with_the_same_events)
{
    begin(5);
    cr_assert_eq(cut(3), 3);
    cr_assert_eq(answer(WEBHOOK_FAILED), FEED_AGAIN);
    cr_assert_eq(cut(4), 3, "what has come meanwhile is not in it");
    cr_assert_eq(feed.through, 3);
    cr_assert_eq(answer(WEBHOOK_ERROR), FEED_AGAIN);
    cr_assert_eq(cut(40), 3);
    cr_assert_eq(answer(WEBHOOK_OK), FEED_ACKNOWLEDGE);
    cr_assert_eq(position, 3);
    cr_assert_eq(cut(40), 5);
}

/* All of it has expired: one gap ends behind it. */
Test(webhook_endpoint, forms_a_new_batch_when_nothing_of_the_old_one_is_kept)
{
    static const uint64_t gap_and_more[] = {9, 10, 11};
    begin(2);
    cr_assert_eq(cut(2), 2);
    cr_assert_eq(answer(WEBHOOK_FAILED), FEED_AGAIN);
    cr_assert_eq(webhook_feed_cut(&feed, gap_and_more, 3, 11), 2);
    cr_assert_eq(feed.through, 10);
}

static void expect_delay(int64_t least_ms, int64_t most_ms)
{
    int64_t delay_ms = feed.next_ms - now_ms;
    cr_assert(delay_ms >= least_ms && delay_ms <= most_ms, "%ld", (long)delay_ms);
    now_ms = feed.next_ms;
}

Test(webhook_endpoint, repeats_after_a_second_and_doubles_to_five_minutes)
{
    begin(5);
    int64_t base_ms = 1000;
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(cut(3), 3);
        cr_assert_eq(answer(i % 2 == 0 ? WEBHOOK_REDIRECT : WEBHOOK_FAILED), FEED_AGAIN);
        expect_delay(base_ms * 4 / 5, base_ms * 6 / 5 < 300000 ? base_ms * 6 / 5 : 300000);
        base_ms = base_ms * 2 < 300000 ? base_ms * 2 : 300000;
    }
    cr_assert_eq(feed.failures, 100);
    cr_assert_eq(cut(3), 3);
    cr_assert_eq(answer(WEBHOOK_OK), FEED_ACKNOWLEDGE);
    cr_assert_eq(feed.failures, 0);
    cr_assert_eq(feed.next_ms, 0);
    cr_assert_eq(cut(6), 3);
    cr_assert_eq(answer(WEBHOOK_FAILED), FEED_AGAIN);
    expect_delay(800, 1200);
}

Test(webhook_endpoint, spreads_the_repeats)
{
    uint64_t through;
    int64_t least_ms = INT64_MAX;
    int64_t most_ms = 0;
    for (uint64_t random = 0; random < 401; random++) {
        begin(5);
        cr_assert_eq(cut(3), 3);
        cr_assert_eq(webhook_feed_answer(&feed, WEBHOOK_ERROR, -1, now_ms, random, &through),
                     FEED_AGAIN);
        int64_t delay_ms = feed.next_ms - now_ms;
        least_ms = delay_ms < least_ms ? delay_ms : least_ms;
        most_ms = delay_ms > most_ms ? delay_ms : most_ms;
    }
    cr_assert_eq(least_ms, 800);
    cr_assert_eq(most_ms, 1200);
}

Test(webhook_endpoint, waits_as_long_as_the_answer_says)
{
    begin(5);
    cr_assert_eq(cut(3), 3);
    cr_assert_eq(answer_after(WEBHOOK_FAILED, 7000), FEED_AGAIN);
    expect_delay(7000, 7000);
    cr_assert_eq(answer_after(WEBHOOK_FAILED, 0), FEED_AGAIN);
    expect_delay(1000, 1000);
    cr_assert_eq(answer_after(WEBHOOK_FAILED, INT64_C(1) << 40), FEED_AGAIN);
    expect_delay(WEBHOOK_RETRY_AFTER_MAX_MS, WEBHOOK_RETRY_AFTER_MAX_MS);
}

/* The event 13 of 50 is refused in every batch. */
Test(webhook_endpoint, halves_a_refused_batch_down_to_the_one_event)
{
    enum { BAD = 13, HEAD = 60 };
    begin(50);
    int n_requests = 0;
    for (;;) {
        uint64_t before = position;
        size_t n = cut(HEAD);
        cr_assert_gt(n, 0);
        cr_assert_lt(n_requests++, 20, "a search, not a walk");
        if (before + n < BAD) {
            cr_assert_eq(answer(WEBHOOK_OK), FEED_ACKNOWLEDGE);
            cr_assert_eq(feed.next_ms, 0);
            continue;
        }
        cr_assert_eq(answer(WEBHOOK_REFUSED), FEED_AGAIN);
        if (n == 1)
            break;
        cr_assert_eq(feed.next_ms, 0, "the half is tried at once");
    }
    cr_assert_eq(position, BAD - 1);
    cr_assert_eq(feed.through, BAD);
    cr_assert_gt(feed.next_ms, now_ms);
}

Test(webhook_endpoint, sends_whole_batches_again_behind_what_was_refused)
{
    begin(8);
    cr_assert_eq(cut(40), 8);
    cr_assert_eq(answer(WEBHOOK_REFUSED), FEED_AGAIN);
    cr_assert_eq(cut(40), 4);
    cr_assert_eq(answer(WEBHOOK_OK), FEED_ACKNOWLEDGE);
    cr_assert_eq(cut(40), 2);
    cr_assert_eq(answer(WEBHOOK_OK), FEED_ACKNOWLEDGE);
    cr_assert_eq(cut(40), 1);
    cr_assert_eq(answer(WEBHOOK_OK), FEED_ACKNOWLEDGE);
    cr_assert_eq(cut(40), 1);
    cr_assert_eq(answer(WEBHOOK_OK), FEED_ACKNOWLEDGE);
    cr_assert_eq(position, 8);
    cr_assert_eq(cut(40), 8);
}

Test(webhook_endpoint, passes_over_what_was_refused_ten_times_in_an_hour)
{
    begin(8);
    int64_t first_ms = now_ms;
    for (int i = 1; i < WEBHOOK_REFUSALS; i++) {
        cr_assert_eq(cut(1), 1);
        cr_assert_eq(answer(WEBHOOK_REFUSED), FEED_AGAIN, "%d", i);
        cr_assert_gt(feed.next_ms, now_ms);
        now_ms = feed.next_ms;
    }
    cr_assert_eq(now_ms - first_ms, WEBHOOK_REFUSED_MS);
    cr_assert_eq(cut(30), 1);
    cr_assert_eq(answer(WEBHOOK_REFUSED), FEED_PASS_OVER);
    cr_assert_eq(position, 1);
    cr_assert_eq(cut(30), 8, "and goes on with whole batches");
    cr_assert_eq(feed.refusals, 0);
}

/* A reload tries at once; so the ten refusals can be over long before the hour is. */
Test(webhook_endpoint, passes_nothing_over_before_the_hour_is_over)
{
    begin(8);
    for (int i = 0; i < 3 * WEBHOOK_REFUSALS; i++) {
        cr_assert_eq(cut(1), 1);
        cr_assert_eq(answer(WEBHOOK_REFUSED), FEED_AGAIN);
        webhook_feed_hurry(&feed);
        cr_assert_eq(feed.next_ms, 0);
        now_ms += 1000;
    }
    cr_assert_eq(answer(WEBHOOK_REFUSED), FEED_AGAIN);
    cr_assert_eq(feed.next_ms, feed.refused_ms + WEBHOOK_REFUSED_MS);
    now_ms = feed.next_ms;
    cr_assert_eq(answer(WEBHOOK_REFUSED), FEED_PASS_OVER);
}

Test(webhook_endpoint, counts_no_failure_as_a_refusal)
{
    begin(8);
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(cut(1), 1);
        cr_assert_eq(answer(WEBHOOK_FAILED), FEED_AGAIN);
        now_ms = feed.next_ms;
    }
    cr_assert_eq(feed.refusals, 0);
    cr_assert_eq(position, 0);
}

Test(webhook_endpoint, is_switched_off_by_410)
{
    begin(8);
    cr_assert_eq(cut(1), 1);
    cr_assert_eq(answer(WEBHOOK_GONE), FEED_OFF);
    webhook_feed_hurry(&feed);
    cr_assert_eq(cut(4), 1, "and its batch is the same when it is switched on");
    cr_assert_eq(answer(WEBHOOK_OK), FEED_ACKNOWLEDGE);
    cr_assert_eq(position, 1);
}

Test(webhook_endpoint, forgets_its_batch_when_another_node_has_served)
{
    begin(8);
    cr_assert_eq(cut(3), 3);
    cr_assert_eq(answer(WEBHOOK_REFUSED), FEED_AGAIN);
    webhook_feed_forget(&feed);
    position = 2;
    cr_assert_eq(cut(40), 8);
}

Test(webhook_endpoint, takes_another_batch_size_of_a_file_read_again)
{
    begin(8);
    webhook_feed_set_batch(&feed, 3);
    cr_assert_eq(cut(40), 3);
    cr_assert_eq(answer(WEBHOOK_OK), FEED_ACKNOWLEDGE);
    webhook_feed_set_batch(&feed, 10);
    cr_assert_eq(cut(40), 10);
}

/* A page of the smaller size ends before the batch that was formed: what stands behind its end is
 * not acknowledged with it. */
Test(webhook_endpoint, acknowledges_no_more_than_was_sent_when_the_batch_has_become_smaller)
{
    begin(8);
    cr_assert_eq(cut(40), 8);
    cr_assert_eq(answer(WEBHOOK_FAILED), FEED_AGAIN);
    webhook_feed_set_batch(&feed, 3);
    const uint64_t seqs[] = {1, 2, 3};
    cr_assert_eq(webhook_feed_cut(&feed, seqs, 3, 3), 3);
    cr_assert_eq(answer(WEBHOOK_OK), FEED_ACKNOWLEDGE);
    cr_assert_eq(position, 3);
}
