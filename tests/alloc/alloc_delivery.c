/* A session of a device without memory: the parts of delivery/ on a worker, the session's entry,
 * its first page, a push, an acknowledgement, and its leave. */
#include "gateway/base/hash.h"
#include "gateway/base/log.h"
#include "gateway/delivery/delivery.h"
#include "gateway/delivery/kicked_streams.h"
#include "gateway/delivery/replay.h"
#include "gateway/session/session_close.h"
#include "gateway/session/session_life.h"
#include "tests/alloc/empty_store.h"
#include "tests/alloc/fail.h"
#include "tests/support/bare_node.h"

#include <sys/socket.h>
#include <unistd.h>

enum { TURNS = 3 };

/* ---- a session's life ---- */

static void turn(struct worker *worker)
{
    for (int i = 0; i < TURNS; i++)
        reactor_turn(worker->reactor, 0);
}

static void push_first(struct node *node)
{
    struct payload *payload = payload_new(SPAN_LITERAL("1"));
    struct notification *note =
        payload == NULL ? NULL : notification_new(payload, empty_store_epoch, 1, 1, INT64_MAX);
    if (note != NULL)
        client_map_offer(node->map, SPAN_LITERAL("u"), inbox_event_of_note(note));
    notification_unref(note);
    payload_unref(payload);
}

/* A session that has failed for lack of memory is freed at the end of the turn. */
static bool is_there(const struct worker *worker)
{
    return atomic_load(&worker->node->n_sessions) == 1;
}

/* What failed for lack of memory is tried again, as after a second. */
static void be_served(struct worker *worker, struct session *session)
{
    turn(worker);
    replay_try_again(worker);
    push_first(worker->node);
    turn(worker);
    if (is_there(worker) && session_sent(session) == 1)
        CHECK(session_ack(session, 1));
    turn(worker);
}

static void come_and_go(struct worker *worker)
{
    struct session *session;
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    struct admission admission = {
        .socket = {ends[0], &transport_plain}, .level = LEVEL_PLAIN, .is_page = true};
    if (!WENT_WELL(session_new(worker, &admission, &session))) {
        close(ends[0]);
        close(ends[1]);
        return;
    }
    atomic_fetch_add(&worker->node->n_sockets, 1);
    atomic_fetch_add(&worker->node->n_sessions, 1);
    if (WENT_WELL(delivery_enter(session, SPAN_LITERAL("u"), SPAN_LITERAL("phone"))))
        be_served(worker, session);
    if (is_there(worker))
        session_close(session, ERR_KICKED);
    close(ends[1]);
    turn(worker);
    session_abandon_closing(worker);
    turn(worker);
}

static void run(void)
{
    struct worker *worker;
    struct options options;
    struct node node;
    struct store store = {.ops = &empty_store_ops};
    bare_node_init(&node, &options, &worker);
    node.store = &store;
    if (!WENT_WELL(bare_node_open(&node)))
        return;
    kicked_streams_remember(worker, SPAN_LITERAL("u"));
    come_and_go(worker);
    CHECK(node.n_sockets == 0 && node.n_sessions == 0 && client_map_users(node.map) == 0);
    bare_node_close(&node);
}

int main(void)
{
    log_set_level(LOG_ERROR);
    CHECK(hash_init() == ERR_OK);
    fail_each("a session of a device", run);
    return 0;
}
