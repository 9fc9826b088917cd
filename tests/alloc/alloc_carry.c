/* Sessions that another process has begun, without memory: they are made and go on, are read out in
 * their turn and let go; or they are refused, or broken, alone. */
#include "gateway/base/hash.h"
#include "gateway/base/log.h"
#include "gateway/delivery/delivery_carry.h"
#include "gateway/delivery/kicks.h"
#include "gateway/delivery/replay.h"
#include "gateway/identity/peers.h"
#include "gateway/session/session_carry.h"
#include "gateway/session/session_close.h"
#include "gateway/session/session_revive.h"
#include "tests/alloc/empty_store.h"
#include "tests/alloc/fail.h"
#include "tests/support/bare_node.h"

#include <sys/socket.h>
#include <unistd.h>

enum { TURNS = 3 };

static struct carried_session carried;
static bool is_kicked; /* while it is held */

static void turn(struct worker *worker)
{
    for (int i = 0; i < TURNS; i++)
        reactor_turn(worker->reactor, 0);
}

static void read_out(struct session *session, void *scratch)
{
    struct carried_session out;
    if (!WENT_WELL(session_carry(session, scratch, &out)))
        return;
    CHECK(out.id == carried.id && out.level == carried.level);
    CHECK(span_equal(out.user_id, carried.user_id) && span_equal(out.device, carried.device));
    CHECK(span_equal(out.token, carried.token) && span_equal(out.message, carried.message));
}

static void let_go(struct session *session, void *unused)
{
    (void)unused;
    delivery_let_go(session);
}

static void kick(struct client *client, void *unused)
{
    (void)unused;
    kicks_close(client, SPAN_LITERAL("go"));
}

static void be_held(struct worker *worker)
{
    if (is_kicked)
        client_map_each(worker->node->map, 0, kick, NULL);
    turn(worker);
}

static void go_on(struct worker *worker)
{
    struct buf scratch;
    buf_init(&scratch, SIZE_MAX);
    delivery_go(worker);
    delivery_each_carried(worker, read_out, &scratch);
    buf_fini(&scratch);
    turn(worker);
    replay_try_again(worker);
    turn(worker);
    delivery_each_carried(worker, let_go, NULL);
    turn(worker);
    session_abandon_closing(worker);
    turn(worker);
}

static void come_and_go(struct worker *worker, struct peers *peers)
{
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    if (WENT_WELL(delivery_adopt(worker, peers, &carried, ends[0]))) {
        be_held(worker);
        go_on(worker);
    } else {
        turn(worker); /* it frees what had become of it */
        session_turn_away(ends[0], &carried);
    }
    close(ends[1]);
}

static void run(void)
{
    struct worker *worker;
    struct options options;
    struct node node;
    struct peers *peers;
    struct store store = {.ops = &empty_store_ops};
    bare_node_init(&node, &options, &worker);
    options.max_connections_per_address = 1;
    node.store = &store;
    if (!WENT_WELL(bare_node_open(&node)))
        return;
    if (WENT_WELL(peers_new(&options, &peers))) {
        come_and_go(worker, peers);
        peers_free(peers);
    }
    CHECK(node.n_sockets == 0 && node.n_sessions == 0 && client_map_users(node.map) == 0);
    bare_node_close(&node);
}

static struct carried_session base_of(enum handshake_level level)
{
    return (struct carried_session){.level = level,
                                    .id = 7,
                                    .user_id = SPAN_LITERAL("u"),
                                    .agent = SPAN_LITERAL("Agent/1"),
                                    .is_proxied = true,
                                    .address = ip_from_v4((const uint8_t[]){192, 0, 2, 1}),
                                    .round_trip_ms = UINT16_MAX};
}

static void fail_begun(void)
{
    carried = base_of(LEVEL_V1);
    carried.has_begun = true;
    carried.sent = 3;
    carried.acked = 1;
    carried.epoch = empty_store_epoch;
    carried.device = SPAN_LITERAL("phone");
    carried.rest = SPAN_LITERAL("\x80");
    carried.unwritten = SPAN_LITERAL("twenty-four bytes or more, so on the heap");
    carried.is_unfinished = true;
    carried.decoder = (struct ws_decoder){.opcode = WS_TEXT, .max_message = 10, .message_len = 8};
    carried.message = SPAN_LITERAL("{\"type\":");
    carried.has_rates = true;
    carried.bytes_full_in_us = 1000000;
    carried.n_unmatched = 2;
    carried.window_bits = 15;
    fail_each("a session that was begun elsewhere", run);
    is_kicked = true;
    fail_each("a session that was begun elsewhere, and kicked on its way", run);
    is_kicked = false;
    carried.epoch = (struct epoch){"ijklmnop"};
    fail_each("a session of an epoch that is over", run);
}

static void fail_unanswered(void)
{
    carried = base_of(LEVEL_SSE);
    carried.is_unanswered = true;
    carried.answer = SPAN_LITERAL("https://a.example");
    carried.wants_resume = true;
    carried.resume = empty_store_epoch;
    fail_each("an event stream that is not answered yet", run);
    carried = base_of(LEVEL_PLAIN);
    carried.is_unanswered = true;
    carried.answer = SPAN_LITERAL("aaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    fail_each("a WebSocket that is not answered yet", run);
}

static void fail_stranger(void)
{
    carried = base_of(LEVEL_V1);
    carried.is_stranger = true;
    carried.auth_in_ms = 10000;
    carried.token = SPAN_LITERAL("a token");
    carried.waits_second = true;
    carried.has_verified = true;
    fail_each("a stranger whose token waits", run);
}

int main(void)
{
    log_set_level(LOG_ERROR);
    CHECK(hash_init() == ERR_OK);
    fail_begun();
    fail_unanswered();
    fail_stranger();
    return 0;
}
