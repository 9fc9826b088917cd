/* The life of a link: WAITING (a pause before the next attempt) -> ASKING (a resolver) ->
 * LOOKING_UP (a host by name) -> CONNECTING -> SHAKING (hands, over TLS) -> GREETING (AUTH, SELECT,
 * CLIENT SETNAME, ROLE, PING) -> UP -> WAITING. Whatever goes wrong marks the link as failing; the
 * task at the end of the turn takes it down, so that nothing is torn from under a loop that is
 * still running. The same task writes what the turn has gathered. */
#include "gateway/stores/redis/redis_link_parts.h"

#include "gateway/base/metrics.h"
#include "gateway/net/transport.h"
#include "gateway/stores/redis/redis_troubles.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>

/* A full read of 64 KiB is one system call where 16 KiB would be four. The reader gets it in
 * slices, because hiredis moves the rest of what it was given to the front for each KiB that it has
 * read: of messages with 256 bytes each costs 12 300 instructions if it gets 64 KiB at once, 3 700
 * with 16 KiB and 1 300 with 4 KiB (callgrind). */
enum {
    SLICE_BYTES = 4 << 10,
    READS_PER_TURN = 8, /* then the sessions of this worker have their turn */
    TICK_MS = 250,
};

static const unsigned allowed_next[REDIS_LINK_STATES] = {
    [REDIS_LINK_WAITING] =
        1u << REDIS_LINK_ASKING | 1u << REDIS_LINK_LOOKING_UP | 1u << REDIS_LINK_CONNECTING,
    [REDIS_LINK_ASKING] =
        1u << REDIS_LINK_LOOKING_UP | 1u << REDIS_LINK_CONNECTING | 1u << REDIS_LINK_WAITING,
    [REDIS_LINK_LOOKING_UP] = 1u << REDIS_LINK_CONNECTING | 1u << REDIS_LINK_WAITING,
    [REDIS_LINK_CONNECTING] =
        1u << REDIS_LINK_SHAKING | 1u << REDIS_LINK_GREETING | 1u << REDIS_LINK_WAITING,
    [REDIS_LINK_SHAKING] = 1u << REDIS_LINK_GREETING | 1u << REDIS_LINK_WAITING,
    [REDIS_LINK_GREETING] = 1u << REDIS_LINK_UP | 1u << REDIS_LINK_WAITING,
    [REDIS_LINK_UP] = 1u << REDIS_LINK_WAITING,
};

void redis_link_move(struct redis_link *link, enum redis_link_state next)
{
    static const enum metric gauges[] = {
        [REDIS_LINK_OF_COMMANDS] = METRIC_STORE_LINKS_COMMANDS,
        [REDIS_LINK_OF_SUBSCRIPTIONS] = METRIC_STORE_LINKS_SUBSCRIPTIONS,
        [REDIS_LINK_OF_REPLICAS] = METRIC_STORE_LINKS_REPLICAS,
        [REDIS_LINK_OF_MAP] = METRIC_STORE_LINKS_MAP,
        [REDIS_LINK_OF_SENTINEL] = METRIC_STORE_LINKS_SENTINEL,
    };
    assert((allowed_next[link->state] & 1u << next) != 0);
    if (next == REDIS_LINK_UP)
        metrics_gauge_add(gauges[link->config.kind], 1);
    else if (link->state == REDIS_LINK_UP)
        metrics_gauge_add(gauges[link->config.kind], -1);
    link->state = next;
}

static bool awaits_something(const struct redis_link *link)
{
    return redis_pipeline_waiting(&link->pipeline) > 0;
}

static void go_down(struct redis_link *link)
{
    link->is_failing = true;
    reactor_at_turn_end(link->config.reactor, &link->turn_end);
}

void redis_link_break(struct redis_link *link, const char *why)
{
    if (link->is_failing || link->state == REDIS_LINK_WAITING)
        return;
    if (!link->is_leaving) /* else it says why already */
        snprintf(link->failure, sizeof link->failure, "%s", why);
    go_down(link);
}

static void leave_if_answered(struct redis_link *link)
{
    if (link->is_leaving && !awaits_something(link))
        go_down(link);
}

void redis_link_leave(struct redis_link *link, const char *why)
{
    if (!redis_link_is_up(link))
        return;
    link->is_leaving = true;
    snprintf(link->failure, sizeof link->failure, "%s", why);
    leave_if_answered(link);
}

int64_t redis_link_asked_ms(const struct redis_link *link)
{
    return link->asked_ms;
}

void redis_link_accept(struct redis_link *link)
{
    link->attempts = 0;
}

bool redis_link_is_up(const struct redis_link *link)
{
    return link->state == REDIS_LINK_UP && !link->is_failing && !link->is_leaving;
}

enum err redis_link_give(struct redis_link *link, const struct span *args, size_t n_args,
                         redis_reply_fn on_reply, void *arg, size_t index)
{
    bool was_idle = !awaits_something(link);
    int64_t now_ms = reactor_now_ms(link->config.reactor);
    struct redis_waiting waiting = {on_reply, arg, index, now_ms};
    enum err error = redis_pipeline_add(&link->pipeline, args, n_args, &waiting);
    if (error != ERR_OK)
        return error;
    if (was_idle)
        link->progress_ms = now_ms;
    reactor_at_turn_end(link->config.reactor, &link->turn_end);
    return ERR_OK;
}

enum err redis_link_command(struct redis_link *link, const struct span *args, size_t n_args,
                            redis_reply_fn on_reply, void *arg, size_t index)
{
    if (!redis_link_is_up(link))
        return ERR_STORE_UNAVAILABLE;
    return redis_link_give(link, args, n_args, on_reply, arg, index);
}

/* --- reading --- */

bool redis_link_is_misconf(const struct redis_value *reply)
{
    return redis_value_is(reply, REDIS_ERROR) && redis_value_starts(reply, "MISCONF");
}

static bool is_push(const struct redis_link *link, const struct redis_value *value)
{
    return link->config.is_pubsub && link->state == REDIS_LINK_UP &&
           link->config.is_push(link->config.owner, value, redis_pipeline_oldest(&link->pipeline));
}

static void take_reply(struct redis_link *link, const struct redis_value *reply)
{
    link->progress_ms = reactor_now_ms(link->config.reactor);
    if (is_push(link, reply)) {
        link->config.on_push(link->config.owner, reply);
        return;
    }
    struct redis_waiting waiting;
    if (!redis_pipeline_take(&link->pipeline, &waiting)) {
        redis_link_break(link, "Redis answered what nobody asked");
        return;
    }
    link->asked_ms = waiting.asked_ms;
    waiting.on_reply(link->config.owner, waiting.arg, waiting.index, reply);
    leave_if_answered(link);
}

static enum err take_replies(struct redis_link *link)
{
    while (!link->is_failing) {
        const struct redis_value *reply;
        enum err error = redis_reader_next(link->reader, &reply);
        if (error != ERR_OK || reply == NULL)
            return error;
        take_reply(link, reply);
    }
    return ERR_OK;
}

static void take_bytes(struct redis_link *link, const char *bytes, size_t len)
{
    for (size_t at = 0; at < len && !link->is_failing; at += SLICE_BYTES) {
        size_t n = len - at < SLICE_BYTES ? len - at : SLICE_BYTES;
        enum err error = redis_reader_feed(link->reader, bytes + at, n);
        if (error == ERR_OK)
            error = take_replies(link);
        if (error != ERR_OK)
            redis_link_break(link, link->state == REDIS_LINK_UP
                                       ? "what Redis answered is malformed or too large"
                                       : REDIS_WHY_NO_REDIS);
    }
}

void redis_link_end(struct redis_link *link, const char *why)
{
    redis_link_break(link, link->parting[0] != '\0' ? link->parting : why);
}

static void end_by_errno(struct redis_link *link, int failure)
{
    bool is_reset = failure == ECONNRESET || failure == EPIPE;
    if (!is_reset || !redis_link_was_reset_by_tls(link))
        redis_link_end(link, strerrordesc_np(failure));
}

/* false: there are no bytes. */
static bool receive_bytes(struct redis_link *link, char *bytes, size_t *ret_len)
{
    if (link->transport != NULL)
        return redis_link_read_tls(link, bytes, ret_len);
    ssize_t got = recv(link->watch.fd, bytes, REDIS_LINK_READ_BYTES, 0);
    *ret_len = got > 0 ? (size_t)got : 0;
    if (got < 0 && errno != EAGAIN && errno != EINTR)
        end_by_errno(link, errno);
    else if (got == 0)
        redis_link_end(link, "Redis closed the connection");
    return got > 0;
}

static bool has_unread(const struct redis_link *link)
{
    return link->transport != NULL && transport_has_unread(link->transport);
}

/* false: what comes next, epoll tells. A read of TLS may bring nothing and leave something, because
 * what the server says below our bytes (its tickets) ends the read. */
static bool read_once(struct redis_link *link, char *bytes)
{
    size_t got = 0;
    if (!receive_bytes(link, bytes, &got))
        return has_unread(link);
    if (!redis_link_heard_tls(link, bytes, got))
        take_bytes(link, bytes, got);
    if (link->transport == NULL)
        return got == REDIS_LINK_READ_BYTES;
    return got > TRANSPORT_SMALL_BYTES || has_unread(link);
}

static void read_some(struct redis_link *link)
{
    char bytes[REDIS_LINK_READ_BYTES];
    for (int i = 0; i < READS_PER_TURN && !link->is_failing; i++)
        if (!read_once(link, bytes))
            return;
    if (!link->is_failing && has_unread(link))
        reactor_in_next_turn(link->config.reactor, &link->read_on);
}

static void run_read_on(struct reactor_task *task)
{
    struct redis_link *link = CONTAINER_OF(task, struct redis_link, read_on);
    if (!link->is_failing && link->transport != NULL)
        read_some(link);
}

static void on_ready(struct reactor_watch *watch, uint32_t events)
{
    struct redis_link *link = CONTAINER_OF(watch, struct redis_link, watch);
    if (link->is_failing)
        return;
    if (link->state == REDIS_LINK_LOOKING_UP) {
        redis_link_on_looked_up(link);
        return;
    }
    if (link->state == REDIS_LINK_CONNECTING) {
        redis_link_on_connect_ready(link);
        return;
    }
    if (link->state == REDIS_LINK_SHAKING) {
        redis_link_shake(link);
        link->progress_ms = reactor_now_ms(link->config.reactor);
        return;
    }
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        read_some(link);
    if (events & EPOLLOUT)
        reactor_at_turn_end(link->config.reactor, &link->turn_end);
}

/* --- writing and going down, at the end of a turn --- */

void redis_link_watch_for(struct redis_link *link, uint32_t events)
{
    if (events == link->watched_events)
        return;
    if (reactor_watch_change(link->config.reactor, &link->watch, events) == ERR_OK)
        link->watched_events = events;
    else
        redis_link_break(link, "out of memory");
}

/* false: no more can be sent now. */
static bool send_bytes(struct redis_link *link, struct span bytes, size_t *ret_sent)
{
    if (link->transport != NULL)
        return redis_link_write_tls(link, bytes, ret_sent);
    ssize_t sent = send(link->watch.fd, bytes.bytes, bytes.len, MSG_NOSIGNAL);
    *ret_sent = sent > 0 ? (size_t)sent : 0;
    if (sent >= 0 || errno == EINTR)
        return true;
    int failure = errno;
    if (failure == EAGAIN)
        return false;
    read_some(link); /* the reason may have come before */
    end_by_errno(link, failure);
    return false;
}

static void flush_link(struct redis_link *link)
{
    struct span rest = redis_pipeline_unsent(&link->pipeline);
    bool goes_on = true;
    while (goes_on && rest.len > 0) {
        size_t sent = 0;
        goes_on = send_bytes(link, rest, &sent);
        redis_pipeline_sent(&link->pipeline, sent);
        rest = redis_pipeline_unsent(&link->pipeline);
    }
    if (!link->is_failing)
        redis_link_watch_for(link, rest.len > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static void close_connection(struct redis_link *link)
{
    if (link->state == REDIS_LINK_ASKING)
        link->config.resolver->forget(link->config.resolver, &link->asker);
    redis_link_end_tls(link);
    reactor_task_cancel(&link->read_on);
    redis_link_stop_watching(link);
    redis_reader_free(link->reader);
    link->reader = NULL;
    link->is_failing = false;
    link->is_leaving = false;
    link->has_heard = false;
    link->parting[0] = '\0';
}

static void answer_all_with_null(struct redis_link *link)
{
    struct redis_waiting waiting;
    redis_pipeline_drop_unsent(&link->pipeline);
    while (redis_pipeline_take(&link->pipeline, &waiting))
        waiting.on_reply(link->config.owner, waiting.arg, waiting.index, NULL);
}

/* Doubles with each attempt; the random half keeps the nodes of a cluster from knocking at once. */
static int64_t pause_ms(struct redis_link *link)
{
    int64_t pause = REDIS_BACKOFF_MAX_MS;
    if (link->attempts < 8 && (REDIS_BACKOFF_MIN_MS << link->attempts) < pause)
        pause = REDIS_BACKOFF_MIN_MS << link->attempts;
    link->attempts++;
    uint32_t random = 0;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != (ssize_t)sizeof random)
        random = 0;
    return pause / 2 + (int64_t)(random % (uint32_t)(pause / 2 + 1));
}

static void wait_for_next_attempt(struct redis_link *link)
{
    bool is_short = link->config.resolver != NULL && link->was_replica;
    int64_t pause = is_short ? REDIS_REPLICA_PAUSE_MS : pause_ms(link);
    link->was_replica = false;
    timer_set(reactor_timers(link->config.reactor), &link->timer,
              reactor_now_ms(link->config.reactor) + pause);
}

void redis_link_hurry(struct redis_link *link)
{
    if (link->attempts > 0)
        link->attempts--;
    timer_set(reactor_timers(link->config.reactor), &link->timer,
              reactor_now_ms(link->config.reactor) + REDIS_BACKOFF_MIN_MS / 2);
}

static void take_down(struct redis_link *link)
{
    char why[sizeof link->failure];
    memcpy(why, link->failure, sizeof why);
    bool was_up = link->state == REDIS_LINK_UP;
    close_connection(link);
    redis_link_move(link, REDIS_LINK_WAITING);
    answer_all_with_null(link);
    wait_for_next_attempt(link);
    link->config.on_down(link->config.owner, was_up, why);
}

static void run_turn_end(struct reactor_task *task)
{
    struct redis_link *link = CONTAINER_OF(task, struct redis_link, turn_end);
    if (!link->is_failing && link->state >= REDIS_LINK_GREETING)
        flush_link(link);
    if (link->is_failing)
        take_down(link);
}

/* --- time --- */

void redis_link_set_tick(struct redis_link *link)
{
    timer_set(reactor_timers(link->config.reactor), &link->timer,
              reactor_now_ms(link->config.reactor) + TICK_MS);
}

void redis_link_ignore_reply(void *owner, void *arg, size_t index, const struct redis_value *reply)
{
    (void)owner;
    (void)arg;
    (void)index;
    (void)reply;
}

static void ping_redis(struct redis_link *link, int64_t now_ms)
{
    struct span args[] = {SPAN_LITERAL("PING")};
    link->ping_ms = now_ms;
    if (redis_link_command(link, args, 1, redis_link_ignore_reply, NULL, 0) != ERR_OK)
        redis_link_break(link, "out of memory");
}

bool redis_link_has_moved(const struct redis_link *link)
{
    struct redis_resolver *resolver = link->config.resolver;
    return resolver != NULL && link->state > REDIS_LINK_ASKING &&
           resolver->has_moved(resolver, &link->target);
}

/* A question and a look-up have no deadline here: who answers them has one, and a link waits for
 * one only. */
static void on_due(struct timer *timer)
{
    struct redis_link *link = CONTAINER_OF(timer, struct redis_link, timer);
    if (link->state == REDIS_LINK_WAITING) {
        redis_link_try(link);
        return;
    }
    int64_t now_ms = reactor_now_ms(link->config.reactor);
    redis_link_set_tick(link);
    bool is_waiting = link->state == REDIS_LINK_CONNECTING || link->state == REDIS_LINK_SHAKING ||
                      awaits_something(link);
    bool is_late = is_waiting && now_ms - link->progress_ms >= REDIS_DEADLINE_MS;
    if (redis_link_has_moved(link))
        redis_link_break(link, "the primary has moved");
    else if (is_late && link->state == REDIS_LINK_SHAKING)
        redis_link_end_shaking(link);
    else if (is_late)
        redis_link_break(link, "Redis did not answer in time");
    else if (!is_waiting && link->state == REDIS_LINK_UP && now_ms - link->ping_ms >= REDIS_PING_MS)
        ping_redis(link, now_ms);
}

/* --- made and freed --- */

enum err redis_link_new(const struct redis_link_config *config, struct redis_link **ret_link)
{
    struct redis_link *link = calloc(1, sizeof *link);
    if (link == NULL)
        return ERR_NO_MEMORY;
    link->config = *config;
    list_init(&link->asker.link);
    link->asker.on_address = redis_link_on_address;
    link->watch = (struct reactor_watch){.on_ready = on_ready, .fd = -1};
    list_init(&link->turn_end.link);
    link->turn_end.run = run_turn_end;
    list_init(&link->read_on.link);
    link->read_on.run = run_read_on;
    redis_pipeline_init(&link->pipeline, REDIS_UNSENT_MAX_BYTES,
                        config->is_pubsub ? REDIS_SUBS_WAITING_MAX : REDIS_WAITING_MAX);
    timer_init(&link->timer, on_due);
    timer_set(reactor_timers(config->reactor), &link->timer, reactor_now_ms(config->reactor));
    *ret_link = link;
    return ERR_OK;
}

void redis_link_free(struct redis_link *link)
{
    if (link == NULL)
        return;
    timer_cancel(reactor_timers(link->config.reactor), &link->timer);
    reactor_task_cancel(&link->turn_end);
    close_connection(link);
    if (link->state != REDIS_LINK_WAITING)
        redis_link_move(link, REDIS_LINK_WAITING);
    answer_all_with_null(link);
    redis_pipeline_fini(&link->pipeline);
    free(link);
}
