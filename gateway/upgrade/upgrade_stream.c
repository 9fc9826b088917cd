/* Batches: as many records as a message takes descriptors, or 1 MiB of them. The new process says
 * how many descriptors it has received, and no more than a window of them is in flight: the kernel
 * counts those as open files of this user.
 *
 * A session whose record does not fit into a message stays here, and is closed as the process
 * ends. */
#include "gateway/upgrade/upgrade_stream.h"

#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/delivery/delivery_carry.h"
#include "gateway/http/acceptors.h"
#include "gateway/http/http_carry.h"
#include "gateway/http/listeners.h"
#include "gateway/session/session_carry.h"
#include "gateway/upgrade/http_record.h"
#include "gateway/upgrade/process_record.h"
#include "gateway/upgrade/record.h"
#include "gateway/upgrade/session_record.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

enum { WINDOW_MAX = 4096, BATCH_BYTES = 1024 * 1024, SMALL_BYTES = 65536, TAG_RECORD = 1 };

struct upgrade_stream {
    struct upgrade_give *give;
    struct http_port *ports[2]; /* subscribers, admin: by `is_admin` */
    unsigned window;
    unsigned n_fds; /* of the batch */
    int fds[UPGRADE_MAX_FDS];
    struct buf batch;
    struct buf scratch; /* what a session has queued */
    bool is_admin;      /* whose connections are given */
    bool has_failed;
    uint64_t *kept; /* ids of sessions that do not fit */
    size_t n_kept;
};

static void fail(struct upgrade_stream *stream, const char *why)
{
    stream->has_failed = true;
    snprintf(stream->give->why, sizeof stream->give->why, "%s", why);
}

/* Half of what one user's processes may have in flight: the other half is for whoever else passes
 * descriptors. */
static unsigned window_of_this_process(void)
{
    struct rlimit limit = {.rlim_cur = 1024};
    getrlimit(RLIMIT_NOFILE, &limit);
    rlim_t half = limit.rlim_cur / 2;
    return half > WINDOW_MAX ? WINDOW_MAX : half < 1 ? 1 : (unsigned)half;
}

static unsigned batch_fds(const struct upgrade_stream *stream)
{
    return stream->window < UPGRADE_MAX_FDS ? stream->window : UPGRADE_MAX_FDS;
}

/* ---- messages ---- */

static void send_message(struct upgrade_stream *stream, enum upgrade_kind kind, struct span bytes,
                         const int *fds, unsigned n_fds)
{
    if (!stream->has_failed && !upgrade_send(stream->give, kind, bytes, fds, n_fds))
        stream->has_failed = true;
}

/* Waits until the new process has received enough of what is in flight. */
static void wait_for_window(struct upgrade_stream *stream)
{
    struct upgrade_give *give = stream->give;
    while (!stream->has_failed && give->in_flight + stream->n_fds > stream->window) {
        struct upgrade_message message;
        stream->has_failed =
            !upgrade_await(give, give->end_ms, &message) || !upgrade_count_taken(give, &message);
    }
}

static void send_batch(struct upgrade_stream *stream, enum upgrade_kind kind)
{
    if (stream->n_fds == 0)
        return;
    wait_for_window(stream);
    send_message(stream, kind, buf_span(&stream->batch), stream->fds, stream->n_fds);
    stream->n_fds = 0;
    buf_clear(&stream->batch);
}

static void send_batch_if_full(struct upgrade_stream *stream, enum upgrade_kind kind)
{
    if (stream->n_fds == batch_fds(stream) || stream->batch.len >= BATCH_BYTES)
        send_batch(stream, kind);
}

static void send_counts(struct upgrade_stream *stream, enum upgrade_kind kind)
{
    struct buf bytes;
    const struct upgrade_counts counts = {stream->give->n_sessions, stream->give->n_http};
    buf_init(&bytes, SMALL_BYTES);
    if (upgrade_counts_write(&counts, &bytes) != ERR_OK)
        fail(stream, "out of memory");
    send_message(stream, kind, buf_span(&bytes), NULL, 0);
    buf_fini(&bytes);
}

static void send_begin(struct upgrade_stream *stream)
{
    struct buf bytes;
    struct record_writer writer = {.out = &bytes};
    buf_init(&bytes, SMALL_BYTES);
    record_put_unsigned(&writer, TAG_RECORD, stream->give->format);
    if (writer.error != ERR_OK)
        fail(stream, "out of memory");
    send_message(stream, UPGRADE_BEGIN, buf_span(&bytes), NULL, 0);
    buf_fini(&bytes);
}

static void add_listeners(struct upgrade_stream *stream, bool is_admin)
{
    const struct listeners *listeners = stream->ports[is_admin]->listeners;
    for (size_t i = 0; i < listeners_count(listeners) && !stream->has_failed; i++) {
        if (stream->n_fds == UPGRADE_MAX_FDS)
            fail(stream, "more listening sockets than a message takes");
        else if (upgrade_listening_write(is_admin, listeners_text(listeners, i), &stream->batch) !=
                 ERR_OK)
            fail(stream, "out of memory");
        else
            stream->fds[stream->n_fds++] = listeners_fd(listeners, i);
    }
}

static void send_process(struct upgrade_stream *stream, int64_t frozen_ms)
{
    struct buf bytes;
    buf_init(&bytes, UPGRADE_MAX_BYTES);
    if (process_record_write(stream->give->old.node, frozen_ms, stream->give->format, &bytes) !=
        ERR_OK)
        fail(stream, "out of memory");
    send_message(stream, UPGRADE_PROCESS, buf_span(&bytes), NULL, 0);
    buf_fini(&bytes);
}

/* ---- sessions ---- */

static void keep_session(struct upgrade_stream *stream, const struct session *session)
{
    uint64_t *kept = realloc(stream->kept, (stream->n_kept + 1) * sizeof *kept);
    if (kept == NULL) {
        fail(stream, "out of memory");
        return;
    }
    kept[stream->n_kept++] = session->id;
    stream->kept = kept;
    log_event(LOG_WARN, "a session has too much queued to be handed over",
              LOG_INT("connection", session->id));
}

static bool is_kept(const struct upgrade_stream *stream, const struct session *session)
{
    for (size_t i = 0; i < stream->n_kept; i++) {
        if (stream->kept[i] == session->id)
            return true;
    }
    return false;
}

static enum err write_session(struct upgrade_stream *stream, const struct session *session)
{
    struct carried_session carried;
    struct record_writer writer = {.out = &stream->batch};
    buf_clear(&stream->scratch);
    enum err error = session_carry(session, &stream->scratch, &carried);
    if (error != ERR_OK)
        return error;
    size_t place = record_begin(&writer, TAG_RECORD);
    session_record_write(&writer, &carried, stream->give->format);
    record_end(&writer, place);
    return writer.error;
}

static void give_session(struct session *session, void *argument)
{
    struct upgrade_stream *stream = argument;
    size_t before = stream->batch.len;
    if (stream->has_failed)
        return;
    enum err error = write_session(stream, session);
    if (error == ERR_FULL && stream->n_fds > 0) { /* alone it may fit */
        stream->batch.len = before;
        send_batch(stream, UPGRADE_SESSIONS);
        before = 0;
        error = stream->has_failed ? ERR_OK : write_session(stream, session);
    }
    if (error == ERR_OK && !stream->has_failed) {
        stream->fds[stream->n_fds++] = session->conn.watch.fd;
        stream->give->n_sessions++;
        send_batch_if_full(stream, UPGRADE_SESSIONS);
    } else if (error == ERR_FULL) {
        stream->batch.len = before;
        keep_session(stream, session);
    } else if (error != ERR_OK) {
        fail(stream, "out of memory");
    }
}

static void give_sessions_of(struct worker *worker, void *argument)
{
    delivery_each_carried(worker, give_session, argument);
}

static void let_go_session(struct session *session, void *argument)
{
    if (!is_kept(argument, session))
        delivery_let_go(session);
}

static void let_go_sessions_of(struct worker *worker, void *argument)
{
    delivery_each_carried(worker, let_go_session, argument);
}

/* ---- HTTP connections ---- */

static bool give_http(void *closure, int fd, const struct carried_http *carried)
{
    struct upgrade_stream *stream = closure;
    struct record_writer writer = {.out = &stream->batch};
    size_t before = stream->batch.len;
    if (stream->has_failed)
        return false;
    size_t place = record_begin(&writer, TAG_RECORD);
    http_record_write(&writer, carried, stream->is_admin, stream->give->format);
    record_end(&writer, place);
    if (writer.error != ERR_OK) {
        stream->batch.len = before;
        fail(stream, "out of memory");
        return false;
    }
    stream->fds[stream->n_fds++] = fd;
    stream->give->n_http++;
    send_batch_if_full(stream, UPGRADE_HTTP);
    return true;
}

static void give_http_of(struct upgrade_stream *stream, bool is_admin)
{
    stream->is_admin = is_admin;
    http_carry_each(stream->ports[is_admin], give_http, stream);
    send_batch(stream, UPGRADE_HTTP);
}

/* ---- all of it ---- */

bool upgrade_stream_send(struct upgrade_give *give, struct worker_park *park, int64_t frozen_ms,
                         struct upgrade_stream **ret_stream)
{
    struct upgrade_stream *stream = calloc(1, sizeof *stream);
    *ret_stream = stream;
    if (stream == NULL) {
        snprintf(give->why, sizeof give->why, "out of memory");
        return false;
    }
    stream->give = give;
    stream->ports[false] = give->old.node->port;
    stream->ports[true] = give->old.admin_port;
    stream->window = window_of_this_process();
    buf_init(&stream->batch, UPGRADE_MAX_BYTES);
    buf_init(&stream->scratch, UPGRADE_MAX_BYTES);
    send_begin(stream);
    add_listeners(stream, false);
    add_listeners(stream, true);
    send_batch(stream, UPGRADE_LISTEN);
    send_process(stream, frozen_ms);
    workers_parked_each(park, give_sessions_of, stream);
    send_batch(stream, UPGRADE_SESSIONS);
    give_http_of(stream, false);
    give_http_of(stream, true);
    send_counts(stream, UPGRADE_END);
    return !stream->has_failed;
}

void upgrade_stream_let_go(struct upgrade_stream *stream, struct worker_park *park)
{
    workers_parked_each(park, let_go_sessions_of, stream);
    for (unsigned i = 0; i < 2; i++) {
        http_carry_let_go(stream->ports[i]);
        acceptors_let_go(stream->ports[i]);
    }
}

void upgrade_stream_free(struct upgrade_stream *stream)
{
    if (stream == NULL)
        return;
    buf_fini(&stream->batch);
    buf_fini(&stream->scratch);
    free(stream->kept);
    free(stream);
}
