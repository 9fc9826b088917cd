/* What the files of the webhooks share; no other file includes it. Everything belongs to the
 * sender's thread, but for what says otherwise.
 *
 * A run is one endpoint's way through one partition. It has at most one page or one request under
 * way, and beside it at most one acknowledgement:
 *
 *     IDLE -> READING -> SENDING -> IDLE ...
 *
 * run_go looks at everything that a run waits for, and is called whenever one of these has changed.
 */
#ifndef HERALD_EVENTS_WEBHOOK_PARTS_H
#define HERALD_EVENTS_WEBHOOK_PARTS_H

#include "gateway/base/metrics.h"
#include "gateway/base/watched_file.h"
#include "gateway/events/event_log.h"
#include "gateway/events/event_page.h"
#include "gateway/events/serving.h"
#include "gateway/events/webhook_endpoint.h"
#include "gateway/events/webhook_file.h"
#include "gateway/events/webhook_sender.h"

enum {
    RUN_PAGE_MAX_BYTES = 1 << 20, /* data of a page, and of a batch */
    RUN_PAGE_EVENTS = 256,        /* read at once for an endpoint that passes types over */
    RUN_STORE_AGAIN_MS = 1000,
};

/* What a line of the file says: kept by the endpoint, and by each request under way. */
struct webhook_config {
    unsigned refs;
    struct webhook_line line;
};

struct webhook_run {
    struct webhook *webhook;
    unsigned partition;
    enum { RUN_IDLE, RUN_READING, RUN_SENDING } state;
    struct webhook_feed feed;
    bool is_added;      /* the partition has the consumer */
    bool was_added;     /* it had it before: from=now does not count again */
    int64_t kept_ms;    /* monotonic: when it was last added */
    bool has_events;    /* there may be some above the position */
    bool is_cut;        /* the request under way was cut by us: it says nothing of the endpoint */
    unsigned n_lost;    /* as webhooks->n_lost when the position was read */
    struct timer timer; /* the next attempt */
    int64_t store_again_ms; /* monotonic: the store was away; 0: it was not */
    struct epoch epoch;     /* none: the position is the store's to say */
    uint64_t position;      /* what is sent comes after it */
    uint64_t head;          /* as the last page has said */
    uint64_t first;         /* the number of the batch's first event */
    /* The epoch that the endpoint knows of, whichever node served the partition then; none: it is
     * not known yet. Where the partition has another one, a gap (cause reset) goes out first. */
    struct epoch told_epoch;
    int64_t reset_ms; /* the time of that gap, the same in each attempt; 0: there is none */
    struct event_page page;
    struct letter page_letter;
    struct webhook_request request;
    struct webhook_config *config; /* of the request under way */
    struct buf body;
    bool is_acking;
    struct epoch written_epoch;
    uint64_t written; /* the position that the store has */
    struct store_ack ack;
    struct letter ack_letter;
    struct timer ack_timer;
};

struct webhook {
    struct list link; /* webhooks->list; changed under webhooks->lock */
    struct webhooks *webhooks;
    struct webhook_config *config;
    char key[STORE_CONSUMER_KEY_MAX_BYTES + 1]; /* of the consumer, with a NUL */
    size_t key_len;
    bool is_leaving;    /* it is not in the file any more, or never was */
    bool is_refused;    /* there are too many consumers */
    bool is_settled;    /* the store has answered: its consumers are there, or are refused */
    atomic_bool is_off; /* any thread reads it */
    atomic_uint_fast64_t results[WEBHOOK_RESULTS]; /* any thread reads them */
    int last_status;
    char last_error[WEBHOOK_ERROR_MAX_BYTES];
    int64_t last_ms;       /* since 1970 */
    atomic_bool is_hidden; /* is_leaving, for any thread */
    unsigned n_tests;      /* requests of operators that are under way */
    bool is_gone;          /* is_leaving, and its consumers are removed */
    bool is_calling;       /* the store is asked for its consumers */
    bool is_unused;        /* is_leaving: no other node's file has it */
    int64_t watched_ms;  /* is_leaving: monotonic, since when that is looked at; 0: it is not... */
    int64_t seen_ms;     /* ...and when it was seen last then, by the store's clock */
    unsigned asked_next; /* the partition at which one that needs the consumer is looked for */
    unsigned n_removed;  /* is_leaving: from the last partition on */
    uint64_t n_unread;   /* is_leaving: what it had not acknowledged */
    struct store_consumers call;
    struct letter call_letter;
    struct timer call_timer;
    struct webhook_run runs[STORE_PARTITIONS];
};

struct webhooks {
    struct events *events;
    struct webhook_sender *sender;
    /* What the lower files tell the upper ones: the consumer of an endpoint is not in a partition
     * any more; and something has ended that may have been the last of an endpoint that leaves,
     * which is freed then. */
    void (*on_gone)(struct webhook *webhook);
    void (*on_idle)(struct webhook *webhook);
    bool is_started;            /* the main thread */
    bool allows_plain;          /* --insecure */
    struct watched_file file;   /* the thread that reloads */
    size_t n_lines;             /* the same: of the file in use */
    struct webhook_file *first; /* read at the start; NULL, under the lock, once it is in use */
    pthread_mutex_t lock;       /* `list` where another thread reads it, and what `changed` tells */
    pthread_cond_t changed;
    bool is_quiet;       /* under the lock: it is stopping, and nothing is under way */
    bool are_settled;    /* under the lock: each endpoint is settled */
    char conflict[1024]; /* under the lock: why an endpoint was refused; empty: none was */
    struct list list;    /* of struct webhook, in the order in which files brought them */
    struct metrics_source source;
    struct event_listener event_listener;
    struct serving_listener serving_listener;
    atomic_uint heard;                    /* partitions with news, a bit each; any thread */
    atomic_uint served;                   /* any thread */
    atomic_uint n_lost[STORE_PARTITIONS]; /* times that the partition was lost; any thread */
    atomic_bool is_bell_posted;
    struct letter bell;
    struct letter begin_letter;
    struct letter stop_letter;
    struct letter cut_letter;
    bool is_stopping;
    unsigned n_busy; /* pages, requests, acknowledgements and calls under way */
    uint64_t random;
    struct store_consumers leftovers; /* what the store has of earlier files */
    struct letter leftovers_letter;
    struct timer leftovers_timer;
    struct list tests;            /* struct webhook_test_call */
    atomic_bool is_ending_posted; /* that tests have to end soon */
    struct letter tests_letter;
    struct timer tests_timer;
};

static inline const struct node *webhooks_node(const struct webhooks *webhooks)
{
    return webhooks->events->node;
}

static inline void webhooks_post(struct webhooks *webhooks, struct letter *letter,
                                 void (*deliver)(struct letter *letter))
{
    letter->deliver = deliver;
    mailbox_post(webhook_sender_mailbox(webhooks->sender), letter);
}

static inline struct span webhook_key(const struct webhook *webhook)
{
    return (struct span){webhook->key, webhook->key_len};
}

/* ---- webhook_parts.c ---- */

void webhooks_begin_work(struct webhooks *webhooks);
void webhooks_end_work(struct webhooks *webhooks); /* and tells webhooks_stop when none is left */
uint64_t webhooks_random(struct webhooks *webhooks);
/* NULL: there is none, or it leaves. */
struct webhook *webhooks_find(struct webhooks *webhooks, struct span name);
struct webhook_config *webhook_config_ref(struct webhook_config *config);
void webhook_config_unref(struct webhook_config *config); /* NULL is fine */
/* How an endpoint is reached. */
void webhook_fill_request(const struct webhooks *webhooks, const struct webhook_config *config,
                          struct webhook_request *request);

/* ---- webhook_run.c ---- */

void webhook_run_init(struct webhook_run *run, struct webhook *webhook, unsigned partition);
void webhook_run_fini(struct webhook_run *run);
void webhook_run_go(struct webhook_run *run);
/* The consumer was added again after it had been removed; in the same epoch the run goes on where
 * it was. */
void webhook_run_rejoin(struct webhook_run *run, struct epoch epoch);
/* Ends the request under way as if it had never begun. */
void webhook_run_cut(struct webhook_run *run);
bool webhook_run_is_busy(const struct webhook_run *run);

/* ---- webhook_requests.c ---- */

/* Ends the tests under way without an answer. */
void webhooks_cut_tests(struct webhooks *webhooks);

/* ---- webhook_consumers.c ---- */

/* Adds the consumer where it is not there, partition after partition, and from then on often enough
 * that it is not forgotten. */
void webhook_add_consumers(struct webhook *webhook);
/* Removes it everywhere, unless another node's file has it; then the log says how much it had not
 * read, and it is freed. */
void webhook_remove_consumers(struct webhook *webhook);
void webhook_on_call_timer(struct timer *timer);
/* Looks whether the node may be ready. */
void webhooks_note_settled(struct webhooks *webhooks);

/* ---- webhook_set.c ---- */

MUST_CHECK enum err webhooks_read_file(struct watched_file *watched, struct webhook_file **ret_file,
                                       char *why, size_t why_cap);
void webhooks_warn_if_public(const struct webhooks *webhooks);
/* Of types that a line names, and of which nothing will ever come. */
void webhooks_warn_of_types(const struct events *events, const struct webhook_file *file);
void webhooks_drop_first(struct webhooks *webhooks);
/* Serves what the file says from now on. */
void webhooks_take_file(struct webhooks *webhooks, const struct webhook_file *file);
/* Serves what the file of the start says, and asks for consumers of earlier files. */
void webhooks_begin(struct webhooks *webhooks);
void webhooks_on_leftovers_timer(struct timer *timer);
/* Frees one that leaves, when nothing of it is under way any more. */
void webhook_free_if_gone(struct webhook *webhook);
void webhook_free(struct webhook *webhook); /* at the end */

#endif
