/* A worker: one thread with its reactor, and the sessions whose home it is. Everything in it
 * belongs to whoever holds the reactor's turn (net/reactor.h), except what node.h and the mailbox
 * say. That is the worker's thread, or for a visit another worker's; "the worker's thread" in the
 * headers means both. */
#ifndef HERALD_WORKER_H
#define HERALD_WORKER_H

#include "gateway/net/conn.h"
#include "gateway/node/deferred_free.h"
#include "gateway/node/node.h"
#include "gateway/node/user_agents.h"
#include "proto/http/http_answer.h"

#include <pthread.h>

struct deflater;
struct inflater;
struct page_queue;
struct position_writer;
struct kicked_streams;

/* The work, in microseconds, that a request counts for which asks the store at once. */
enum { WORKER_ASK_US = 20 };

/* The worker whose turn this thread holds. NULL: none. */
struct worker *worker_here(void);
/* From now on this thread holds the worker's turn; for tests, which have no thread for it. NULL: it
 * holds none. */
void worker_be_here(struct worker *worker);

/* What all workers are ordered to do (worker_command_all); node->command_fns carries it out. */
enum worker_command_kind {
    COMMAND_STORE_IS_BACK,
    COMMAND_DRAIN,
    COMMAND_END_WAITS,
    COMMAND_CLOSE,
    COMMANDS,
};

/* A command on its way to one worker. It is part of the worker, so sending it takes no memory. */
struct worker_command {
    struct letter letter;
    struct worker *worker;
    enum worker_command_kind kind;
    atomic_bool is_posted;
};

struct worker {
    struct node *node;
    unsigned index;
    pthread_t thread;
    struct reactor *reactor;
    struct conn_loop loop;
    struct worker_command commands[COMMANDS]; /* is_posted and letter: any thread */
    struct timer heartbeat;                   /* every second: on_second, and liveness is shown */
    void (*on_second)(struct worker *worker);
    atomic_int_fast64_t seen_ms; /* the last heartbeat, for liveness; read by any thread */
    struct deferred_free *deferred;
    struct reactor_task free_task; /* frees them */
    uint64_t random;
    int64_t date_s; /* since 1970: the second of `date` */
    char date[HTTP_DATE_MAX_BYTES];

    /* session/ */
    struct session *answering; /* the session whose bytes are being read; its writes answer them */
    struct list closing;       /* sessions that wait for the end of their connection */
    struct list unauthenticated; /* sessions whose first message brings their token */
    struct user_agents agents;
    struct deflater *deflater; /* for all its sessions; both NULL until one may need them */
    struct inflater *inflater;
    size_t inflated_bytes; /* of the read under way */
    uint32_t n_unanswered; /* messages of its sessions that were taken for the backends, also of
                            * sessions that have gone */
    bool holds_messages;   /* no WebSocket is read (session_unanswered.h) */

    /* delivery/ (delivery_new) */
    bool is_delivering; /* a client's sessions are being gone through */
    struct page_queue *page_queue;
    struct position_writer *position_writer;
    struct kicked_streams *kicked_streams;
    struct list held_kicks; /* of users whose sessions are held (kicks.h) */
};

MUST_CHECK enum err worker_new(struct node *node, unsigned index,
                               void (*on_second)(struct worker *worker),
                               struct worker **ret_worker);
MUST_CHECK enum err worker_start(struct worker *worker);
void worker_stop(struct worker *worker); /* from outside: ends the thread and joins it */
void worker_free(struct worker *worker);

/* Any thread, while the workers exist. A command that a worker has not carried out yet is not sent
 * to it again. */
void worker_command_all(struct node *node, enum worker_command_kind kind);

/* Calls `run` on the thread of each worker, on one after the other and in no visit, and returns
 * when all have returned. While the workers run, on a thread that is none of theirs. */
void worker_run_on_all(struct node *node, void (*run)(struct worker *worker, void *argument),
                       void *argument);

/* Frees it at the end of the turn; in a visit, at the end of the next turn. */
void worker_free_later(struct worker *worker, struct deferred_free *deferred,
                       void (*free_it)(struct deferred_free *deferred));

/* Its deflater and inflater, with --compress from the beginning, and else for the first session
 * that has agreed on compression with the process before this one. ERR_NO_MEMORY. */
MUST_CHECK enum err worker_make_deflate(struct worker *worker);

/* The Date line of this second (http_answer.h), written once in it. */
const char *worker_date(struct worker *worker);

/* For spreading, not for secrets. */
uint64_t worker_random(struct worker *worker);

static inline struct mailbox *worker_mailbox(struct worker *worker)
{
    return reactor_mailbox(worker->reactor);
}

/* Any thread: does it hold the worker's turn? */
static inline bool worker_is_here(const struct worker *worker)
{
    return worker_here() == worker;
}

/* Any thread. The letter is part of what it is about, and is free again when it is delivered. */
static inline void worker_post(struct worker *worker, struct letter *letter,
                               void (*deliver)(struct letter *letter))
{
    letter->deliver = deliver;
    mailbox_post(worker_mailbox(worker), letter);
}

/* Any thread: to the worker on which all sessions of the user live. */
static inline void node_ask_home(const struct node *node, struct span user_id,
                                 struct letter *letter, void (*deliver)(struct letter *letter))
{
    worker_post(node_home(node, user_id), letter, deliver);
}

static inline int64_t worker_now_ms(const struct worker *worker)
{
    return reactor_now_ms(worker->reactor);
}

/* One of this worker's timers; due_ms is monotonic, as worker_now_ms. */
static inline void worker_set_timer(struct worker *worker, struct timer *timer, int64_t due_ms)
{
    timer_set(reactor_timers(worker->reactor), timer, due_ms);
}

static inline void worker_cancel_timer(struct worker *worker, struct timer *timer)
{
    timer_cancel(reactor_timers(worker->reactor), timer);
}

#endif
