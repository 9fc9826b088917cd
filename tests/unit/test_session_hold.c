/* When a session may have a token verified. */
#include "gateway/session/session_hold.h"

#include "gateway/session/session_close.h"
#include "gateway/session/session_deadlines.h"
#include "gateway/session/session_life.h"

#include <criterion/criterion.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DAY_MS = 24 * 3600 * 1000 };

static const struct options options = {
    .ping_interval = 10000,
    .silence_timeout = 20000,
    .slow_timeout = 60000,
    .max_message = 65536,
    .session_max_bytes = 262144,
};
static struct node node;
static struct worker *worker;
static struct session *session;
static int theirs;

static void on_second(struct worker *unused)
{
    (void)unused;
}

static void set_up(void)
{
    int ends[2];
    node = (struct node){.options = &options, .workers = &worker, .n_workers = 1, .n_sessions = 1};
    cr_assert_eq(worker_new(&node, 0, on_second, &worker), ERR_OK);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    theirs = ends[1];
    struct admission admission = {
        .socket = {ends[0], &transport_plain}, .level = LEVEL_V1, .is_page = true};
    cr_assert_eq(session_new(worker, &admission, &session), ERR_OK);
}

static void tear_down(void)
{
    session_finish(session);
    worker_free(worker);
    close(theirs);
}

TestSuite(session_hold, .init = set_up, .fini = tear_down);

Test(session_hold, holds_a_token_that_comes_within_the_second_after_another)
{
    cr_assert(session_may_verify(session, SPAN_LITERAL("one")));
    cr_assert_not(session_is_holding(session));
    cr_assert_not(session_may_verify(session, SPAN_LITERAL("two")));
    cr_assert(session_is_holding(session));
    cr_assert_gt(session_verify_wait_ms(session), 0);
    cr_assert_leq(session_verify_wait_ms(session), 1000);
}

/* Milliseconds in 32 bits are negative after 25 days, and begin anew after 50. */
Test(session_hold, holds_no_token_because_the_last_one_came_long_ago)
{
    static const uint32_t ago_ms[] = {1000, 24u * DAY_MS, 26u * DAY_MS, 49u * DAY_MS};
    for (size_t i = 0; i < sizeof ago_ms / sizeof ago_ms[0]; i++) {
        session_note_verified(session);
        session->extra->hold.verified_ms = session_clock(session) - ago_ms[i];
        cr_expect(session_may_verify(session, SPAN_LITERAL("next")), "%u ms", ago_ms[i]);
    }
}

/* Renewals wait for the turns of the address that has sent them (net/throttle.h). */
Test(session_hold, has_the_turns_of_the_address_that_a_proxy_has_named)
{
    struct peers *peers;
    char *trusted = "unix:";
    const struct options of_proxies = {.trusted_proxy = {&trusted, 1}};
    const struct ip client = ip_from_v4((const uint8_t[]){192, 0, 2, 1});
    cr_assert_eq(peers_new(&of_proxies, &peers), ERR_OK);
    cr_assert_eq(peer_arrive(peers, NULL, &session->peer), ERR_OK);
    cr_assert_eq(peer_resolve(session->peer, true, &client), ERR_OK);
    struct ip ip = conn_ops_of(&session->conn)->address(&session->conn);
    cr_expect(ip_equal(&ip, &client));
    peer_leave(session->peer);
    session->peer = NULL;
    peers_free(peers);
}
