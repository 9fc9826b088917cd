/* What one endpoint is sent of one partition, and when: its feed. It says how much of a page is the
 * next batch, and what an answer means for it. Pure: the caller reads, sends and keeps time. A feed
 * belongs to one thread.
 *
 * - A batch that is repeated ends with the same number, so it has the same events and the same id
 *   for as long as these are kept. Another process forms its batches anew: then an event may come
 *   again under another id of a batch, with its own id as before.
 * - A batch that is refused is halved until it is taken or is one event; the halves that follow
 *   stay small until what was refused is behind. An event that is refused WEBHOOK_REFUSALS times,
 *   the last an hour after the first, is passed over.
 * Times are milliseconds of the monotonic clock. */
#ifndef HERALD_EVENTS_WEBHOOK_ENDPOINT_H
#define HERALD_EVENTS_WEBHOOK_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WEBHOOK_REFUSALS = 10,
    WEBHOOK_REFUSED_MS = 60 * 60 * 1000,
    WEBHOOK_REPEAT_MIN_MS = 1000,
    WEBHOOK_REPEAT_MAX_MS = 5 * 60 * 1000,
    WEBHOOK_RETRY_AFTER_MAX_MS = 24 * 60 * 60 * 1000,
};

/* How an answer counts. */
#define WEBHOOK_RESULTS_LIST(X)                                                                    \
    X(OK, "ok")             /* 2xx */                                                              \
    X(REFUSED, "refused")   /* 4xx, but those below */                                             \
    X(FAILED, "failed")     /* 408, 425, 429, 5xx, and what is no status of HTTP */                \
    X(REDIRECT, "redirect") /* 3xx: repeated like a failure */                                     \
    X(GONE, "gone")         /* 410 */                                                              \
    X(ERROR, "error")       /* no answer: timeouts, connections, certificates */

enum webhook_result {
#define X(name, text) WEBHOOK_##name,
    WEBHOOK_RESULTS_LIST(X)
#undef X
        WEBHOOK_RESULTS
};

/* `status` 0: there was no answer. */
enum webhook_result webhook_result_of(int status);
const char *webhook_result_text(enum webhook_result result);

struct webhook_feed {
    uint32_t batch;     /* the endpoint's: most events of a request */
    uint32_t most;      /* the same for the next batch: less while a refused one is halved */
    uint64_t through;   /* the batch ends with this number, and does so when it is repeated; 0: none
                         * is formed */
    size_t n;           /* its events */
    uint64_t suspect;   /* a batch up to this number was refused; 0: none */
    unsigned failures;  /* requests in a row that were not answered with 2xx */
    unsigned repeats;   /* of these the last ones that were no refusals */
    unsigned refusals;  /* of the batch's only event */
    int64_t refused_ms; /* the first of them */
    int64_t next_ms;    /* no request before it; 0: at once */
};

void webhook_feed_init(struct webhook_feed *feed, uint32_t batch);
void webhook_feed_set_batch(struct webhook_feed *feed, uint32_t batch); /* of a file read again */

/* Forms the batch of a page: `seqs` are the numbers of the events that the endpoint is to have,
 * rising, `last` the number that the page covers. Returns how many of them the batch has; 0: none
 * is left, and everything up to `last` may be acknowledged. feed->through is set otherwise. */
size_t webhook_feed_cut(struct webhook_feed *feed, const uint64_t *seqs, size_t n, uint64_t last);

/* What is to be done after an answer. */
enum webhook_verdict {
    FEED_ACKNOWLEDGE, /* up to `through`, which was feed->through */
    FEED_PASS_OVER,   /* the same, and the event of the batch was never taken */
    FEED_AGAIN,       /* read from the same place again, not before feed->next_ms */
    FEED_OFF,         /* send nothing more to this endpoint until the file is read again */
};
/* retry_after_ms: -1: the answer did not say. `random`: any number, for the jitter. *ret_through:
 * with the first two. */
enum webhook_verdict webhook_feed_answer(struct webhook_feed *feed, enum webhook_result result,
                                         int64_t retry_after_ms, int64_t now_ms, uint64_t random,
                                         uint64_t *ret_through);

/* The file was read again: whatever waits is tried at once. */
void webhook_feed_hurry(struct webhook_feed *feed);
/* Another node has served the partition meanwhile, or the epoch is another: no batch is formed. */
void webhook_feed_forget(struct webhook_feed *feed);

#endif
