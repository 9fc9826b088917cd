/* FREEZE: no port accepts, messages of clients are answered, what is acknowledged is in the store,
 * no socket is on its way between two workers, and the workers are parked. Then upgrade_stream.c
 * reads everything out, which changes nothing. The new process says ADOPTED when it has built all
 * of it, and with COMMIT it owns it: that is the one step that cannot be taken back. Before it, the
 * world goes on as soon as the new process is ended, because as long as that lives it might use the
 * sockets. */
#include "gateway/upgrade/upgrade_freeze.h"

#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/base/metrics.h"
#include "gateway/delivery/position_writer.h"
#include "gateway/events/events.h"
#include "gateway/http/acceptors.h"
#include "gateway/http/http_carry.h"
#include "gateway/node/worker_park.h"
#include "gateway/session/session_unanswered.h"
#include "gateway/upgrade/upgrade_spawn.h"
#include "gateway/upgrade/upgrade_stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    REST_MS = 1000, /* for the store, and for requests of subscribers that are under way */
    LOOK_US = 1000,
    COMMIT_MS = 1000, /* a few bytes: the socket has room for them, or its peer is gone */
    ROUNDS = 2,       /* a socket between two workers is in one letter after the other */
};

static void do_nothing(struct worker *worker, void *argument)
{
    (void)worker;
    (void)argument;
}

/* `argument`: by the worker's index, how many writes there have been. */
static void write_positions_here(struct worker *worker, void *argument)
{
    uint64_t *n_asked = argument;
    n_asked[worker->index] = position_writer_write_all(worker);
}

static bool have_written(const struct node *node, const uint64_t *n_asked)
{
    for (unsigned i = 0; i < node->n_workers; i++) {
        if (!position_writer_has_written(node->workers[i], n_asked[i]))
            return false;
    }
    return true;
}

/* ---- messages of clients for the backends ---- */

static void hold_messages_here(struct worker *worker, void *argument)
{
    (void)argument;
    session_hold_all(worker);
}

static void read_on_here(struct worker *worker, void *argument)
{
    (void)argument;
    session_read_on_all(worker);
}

static void count_unanswered_here(struct worker *worker, void *argument)
{
    uint64_t *n_unanswered = argument;
    *n_unanswered += worker->n_unanswered;
}

/* An answer that comes after COMMIT would find no session, and its client waits for it as long as
 * its connection lasts. So nothing more is read, and what was taken is answered first. */
static bool answer_messages(struct upgrade_give *give)
{
    struct node *node = give->old.node;
    int64_t end_ms = clock_monotonic_ms() + REST_MS;
    uint64_t n_unanswered = 0;
    if (node->take_message == NULL)
        return true;
    worker_run_on_all(node, hold_messages_here, NULL);
    for (;;) {
        n_unanswered = 0;
        worker_run_on_all(node, count_unanswered_here, &n_unanswered);
        if (n_unanswered == 0 || clock_monotonic_ms() >= end_ms)
            break;
        usleep(LOOK_US);
    }
    snprintf(give->why, sizeof give->why,
             "the store has not taken the messages of clients within %d ms", REST_MS);
    return n_unanswered == 0;
}

/* After a thaw all of them, and after COMMIT those that cannot travel. */
static void read_on(const struct upgrade_give *give)
{
    if (give->old.node->take_message != NULL)
        worker_run_on_all(give->old.node, read_on_here, NULL);
}

/* ---- the world ---- */

/* What is acknowledged from here on travels with the session. */
static bool write_positions(struct upgrade_give *give)
{
    struct node *node = give->old.node;
    int64_t end_ms = clock_monotonic_ms() + REST_MS;
    uint64_t *n_asked = calloc(node->n_workers, sizeof *n_asked);
    bool is_done = false;
    snprintf(give->why, sizeof give->why, "out of memory");
    if (n_asked == NULL)
        return false;
    worker_run_on_all(node, write_positions_here, n_asked);
    snprintf(give->why, sizeof give->why,
             "the store has not taken the acknowledged positions within %d ms", REST_MS);
    while (!is_done && clock_monotonic_ms() < end_ms) {
        is_done = have_written(node, n_asked);
        if (!is_done)
            usleep(LOOK_US);
    }
    free(n_asked);
    return is_done;
}

/* Those that take longer are answered by this process when the other one has taken over. */
static void wait_for_subscribers(const struct upgrade_give *give)
{
    int64_t end_ms = clock_monotonic_ms() + REST_MS;
    while (http_carry_busy(give->old.node->port) > 0 && clock_monotonic_ms() < end_ms)
        usleep(LOOK_US);
}

static void set_ports(const struct upgrade_give *give, void (*set)(struct http_port *port))
{
    set(give->old.node->port);
    set(give->old.admin_port);
}

/* false: nothing stands still. */
static bool stop_the_world(struct upgrade_give *give, struct worker_park **ret_park)
{
    set_ports(give, acceptors_pause);
    if (!answer_messages(give) || !write_positions(give))
        return false;
    wait_for_subscribers(give);
    events_flush(give->old.node, clock_monotonic_ms() + REST_MS);
    for (int i = 0; i < ROUNDS; i++)
        worker_run_on_all(give->old.node, do_nothing, NULL);
    if (workers_park(give->old.node, ret_park) != ERR_OK) {
        snprintf(give->why, sizeof give->why, "out of memory");
        return false;
    }
    workers_deliver(*ret_park);
    atomic_store(&give->old.node->is_frozen, true);
    return true;
}

/* ADOPTED counts the sessions, also those that the new process could not build and will turn
 * away. */
static bool await_adoption(struct upgrade_give *give)
{
    for (;;) {
        struct upgrade_message message;
        struct upgrade_counts counts;
        if (!upgrade_await(give, give->end_ms, &message))
            return false;
        if (message.kind == UPGRADE_TAKEN)
            continue;
        if (message.kind == UPGRADE_ADOPTED &&
            upgrade_counts_read(message.bytes, &counts) == ERR_OK &&
            counts.n_sessions == give->n_sessions && counts.n_http == give->n_http)
            return true;
        snprintf(give->why, sizeof give->why, "the new process has not built what it was given");
        return false;
    }
}

static bool commit(struct upgrade_give *give)
{
    if (!await_adoption(give))
        return false;
    if (upgrade_link_send(give->link, UPGRADE_COMMIT, SPAN_NONE, NULL, 0,
                          clock_monotonic_ms() + COMMIT_MS) == ERR_OK)
        return true;
    snprintf(give->why, sizeof give->why, "the new process has closed the link");
    return false;
}

/* The file store first: the sessions of the new process wait for it. */
static void let_go(struct upgrade_give *give, struct upgrade_stream *stream,
                   struct worker_park *park)
{
    events_let_go(give->old.node);
    store_let_go(give->old.node->store);
    if (upgrade_link_send(give->link, UPGRADE_DONE, SPAN_NONE, NULL, 0,
                          clock_monotonic_ms() + COMMIT_MS) != ERR_OK)
        log_event(LOG_DEBUG, "the new process takes no message", LOG_INT("pid", give->pid));
    upgrade_stream_let_go(stream, park);
    workers_deliver(park); /* questions about those sessions */
    atomic_store(&give->old.node->is_frozen, false);
}

static void thaw(struct upgrade_give *give, struct worker_park *park)
{
    upgrade_spawn_kill(give->pid);
    give->pid = 0;
    atomic_store(&give->old.node->is_frozen, false);
    if (park != NULL)
        workers_unpark(park);
    read_on(give);
    set_ports(give, acceptors_resume);
}

bool upgrade_freeze(struct upgrade_give *give)
{
    struct worker_park *park = NULL;
    struct upgrade_stream *stream = NULL;
    int64_t frozen_ms = clock_monotonic_ms();
    upgrade_set_state(give->old.node->upgrade, UPGRADE_HANDING_OVER);
    bool is_still = stop_the_world(give, &park);
    int64_t still_ms = clock_monotonic_ms();
    bool is_given = is_still && upgrade_stream_send(give, park, frozen_ms, &stream);
    int64_t given_ms = clock_monotonic_ms();
    bool is_committed = is_given && commit(give);
    if (is_committed) {
        log_event(LOG_INFO, "sessions handed over", LOG_INT("pid", give->pid),
                  LOG_TEXT("version", give->version), LOG_INT("sessions", give->n_sessions),
                  LOG_INT("http_connections", give->n_http),
                  LOG_INT("stop_ms", still_ms - frozen_ms), LOG_INT("give_ms", given_ms - still_ms),
                  LOG_INT("adopt_ms", clock_monotonic_ms() - given_ms));
        let_go(give, stream, park);
        workers_unpark(park);
        read_on(give);
    } else {
        thaw(give, park);
    }
    upgrade_stream_free(stream);
    return is_committed;
}
