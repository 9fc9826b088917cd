#include "gateway/events/webhook_endpoint.h"

#include <string.h>

static const char *const result_texts[WEBHOOK_RESULTS] = {
#define X(name, text) text,
    WEBHOOK_RESULTS_LIST(X)
#undef X
};

const char *webhook_result_text(enum webhook_result result)
{
    return result_texts[result];
}

enum webhook_result webhook_result_of(int status)
{
    if (status == 0)
        return WEBHOOK_ERROR;
    if (status >= 200 && status < 300)
        return WEBHOOK_OK;
    if (status >= 300 && status < 400)
        return WEBHOOK_REDIRECT;
    if (status == 410)
        return WEBHOOK_GONE;
    if (status == 408 || status == 425 || status == 429)
        return WEBHOOK_FAILED;
    return status >= 400 && status < 500 ? WEBHOOK_REFUSED : WEBHOOK_FAILED;
}

void webhook_feed_init(struct webhook_feed *feed, uint32_t batch)
{
    *feed = (struct webhook_feed){.batch = batch, .most = batch};
}

void webhook_feed_set_batch(struct webhook_feed *feed, uint32_t batch)
{
    feed->batch = batch;
    if (feed->suspect == 0 || feed->most > batch)
        feed->most = batch;
}

/* ---- batches ---- */

static size_t count_up_to(const uint64_t *seqs, size_t n, uint64_t through)
{
    size_t n_below = 0;
    while (n_below < n && seqs[n_below] <= through)
        n_below++;
    return n_below;
}

size_t webhook_feed_cut(struct webhook_feed *feed, const uint64_t *seqs, size_t n, uint64_t last)
{
    size_t taken = count_up_to(seqs, n, feed->through);
    if (taken == 0) { /* a new one, or none of the old one is kept any more */
        taken = n < feed->most ? n : feed->most;
        feed->through = taken == 0 ? 0 : taken == n ? last : seqs[taken - 1];
        feed->refusals = 0;
    } else if (feed->through >
               last) { /* a smaller batch, of a file read again: the page ends here */
        feed->through = last;
    }
    feed->n = taken;
    return taken;
}

void webhook_feed_forget(struct webhook_feed *feed)
{
    feed->through = 0;
    feed->n = 0;
    feed->suspect = 0;
    feed->most = feed->batch;
    feed->refusals = 0;
}

void webhook_feed_hurry(struct webhook_feed *feed)
{
    feed->next_ms = 0;
    feed->repeats = 0;
}

/* ---- answers ---- */

/* What follows a halved batch that was taken stays small until the refused numbers are behind. */
static void advance_feed(struct webhook_feed *feed, bool was_passed_over)
{
    bool is_behind = was_passed_over || feed->through >= feed->suspect;
    if (is_behind) {
        feed->suspect = 0;
        feed->most = feed->batch;
    } else {
        feed->most = (feed->most + 1) / 2;
    }
    feed->through = 0;
    feed->n = 0;
    feed->refusals = 0;
    feed->next_ms = 0;
}

/* The refusals of one event come at twice the distance each time, the tenth an hour after the
 * first. */
static void wait_for_refused(struct webhook_feed *feed)
{
    int64_t parts = (INT64_C(1) << feed->refusals) - 1;
    int64_t all = (INT64_C(1) << (WEBHOOK_REFUSALS - 1)) - 1;
    feed->next_ms = feed->refused_ms + WEBHOOK_REFUSED_MS * parts / all;
}

static enum webhook_verdict take_refusal(struct webhook_feed *feed, int64_t now_ms)
{
    feed->repeats = 0;
    if (feed->n > 1) {
        feed->suspect = feed->through;
        feed->most = (uint32_t)((feed->n + 1) / 2);
        feed->through = 0;
        feed->next_ms = 0;
        return FEED_AGAIN;
    }
    if (feed->refusals == 0)
        feed->refused_ms = now_ms;
    feed->refusals++;
    if (feed->refusals >= WEBHOOK_REFUSALS && now_ms - feed->refused_ms >= WEBHOOK_REFUSED_MS)
        return FEED_PASS_OVER;
    if (feed->refusals < WEBHOOK_REFUSALS)
        wait_for_refused(feed);
    else /* a reload has made it come early */
        feed->next_ms = feed->refused_ms + WEBHOOK_REFUSED_MS;
    return FEED_AGAIN;
}

/* 1 s, doubling to 5 min, and a fifth more or less. */
static int64_t repeat_delay_ms(unsigned repeats, uint64_t random)
{
    int64_t delay_ms = WEBHOOK_REPEAT_MAX_MS;
    if (repeats < 10 && (WEBHOOK_REPEAT_MIN_MS << (repeats - 1)) < WEBHOOK_REPEAT_MAX_MS)
        delay_ms = WEBHOOK_REPEAT_MIN_MS << (repeats - 1);
    delay_ms = delay_ms * 4 / 5 + (int64_t)(random % (uint64_t)(delay_ms * 2 / 5 + 1));
    return delay_ms < WEBHOOK_REPEAT_MAX_MS ? delay_ms : WEBHOOK_REPEAT_MAX_MS;
}

static void wait_for_repeat(struct webhook_feed *feed, int64_t retry_after_ms, int64_t now_ms,
                            uint64_t random)
{
    feed->repeats++;
    int64_t delay_ms = repeat_delay_ms(feed->repeats, random);
    if (retry_after_ms >= 0)
        delay_ms = retry_after_ms < WEBHOOK_REPEAT_MIN_MS        ? WEBHOOK_REPEAT_MIN_MS
                   : retry_after_ms > WEBHOOK_RETRY_AFTER_MAX_MS ? WEBHOOK_RETRY_AFTER_MAX_MS
                                                                 : retry_after_ms;
    feed->next_ms = now_ms + delay_ms;
}

enum webhook_verdict webhook_feed_answer(struct webhook_feed *feed, enum webhook_result result,
                                         int64_t retry_after_ms, int64_t now_ms, uint64_t random,
                                         uint64_t *ret_through)
{
    enum webhook_verdict verdict = FEED_AGAIN;
    if (result == WEBHOOK_GONE) {
        feed->failures++;
        return FEED_OFF;
    }
    if (result == WEBHOOK_OK)
        verdict = FEED_ACKNOWLEDGE;
    else if (result == WEBHOOK_REFUSED)
        verdict = take_refusal(feed, now_ms);
    else
        wait_for_repeat(feed, retry_after_ms, now_ms, random);
    feed->failures = verdict == FEED_ACKNOWLEDGE ? 0 : feed->failures + 1;
    if (verdict == FEED_ACKNOWLEDGE || verdict == FEED_PASS_OVER) {
        *ret_through = feed->through;
        feed->repeats = 0;
        advance_feed(feed, verdict == FEED_PASS_OVER);
    }
    return verdict;
}
