/* Work that few bytes ask for: it has the busy ones' share, and waits for it with what it has. */
#include "gateway/base/hash.h"
#include "gateway/base/metrics.h"
#include "gateway/net/conn.h"
#include "tests/support/fake_clock.h"

#include <criterion/criterion.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PEERS = 8, WORK_US = 100, MANY_BYTES = 16 * 1024 };

struct peer {
    struct conn conn;
    int fd; /* the client's end */
    char taken[64];
    size_t n_taken;
    size_t n_read;     /* of one that only sends */
    unsigned n_offers; /* calls of on_bytes */
    unsigned n_worked;
    bool is_worker; /* each 'w' asks for work */
    bool is_gone;
    struct ip ip; /* all have none until a test gives them one */
};

static struct reactor *reactor;
static struct conn_loop loop;
static struct peer peers[PEERS];
static int order[4 * PEERS]; /* which peers have worked, in order */
static size_t n_order;

static void turn_after_ms(int64_t ms)
{
    fake_us += 1000 * ms;
    reactor_turn(reactor, 0);
}

/* Takes the bytes one by one, as far as it may: 'p' pauses after itself, 'r' is resumed at once.
 */
static size_t on_bytes(struct conn *conn, uint8_t *bytes, size_t len)
{
    struct peer *peer = CONTAINER_OF(conn, struct peer, conn);
    peer->n_read += len;
    peer->n_offers++;
    if (!peer->is_worker)
        return len;
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] == 'w') {
            if (!conn_take_turn(conn))
                return i;
            conn_loop_count_work(&loop, WORK_US);
            peer->n_worked++;
            if (n_order < sizeof order / sizeof order[0])
                order[n_order++] = (int)(peer - peers);
        }
        peer->taken[peer->n_taken++] = (char)bytes[i];
        if (bytes[i] == 'p' || bytes[i] == 'r') {
            conn_pause(conn);
            if (bytes[i] == 'r')
                conn_resume(conn);
            return i + 1;
        }
    }
    return len;
}

static void on_gone(struct conn *conn, bool is_clean)
{
    (void)is_clean;
    CONTAINER_OF(conn, struct peer, conn)->is_gone = true;
    conn_abandon(conn);
}

static struct ip address(const struct conn *conn)
{
    return CONTAINER_OF(conn, const struct peer, conn)->ip;
}

static const struct conn_ops ops = {.on_bytes = on_bytes, .on_gone = on_gone, .address = address};

static void set_up(void)
{
    stop_the_clock();
    cr_assert_eq(hash_init(), ERR_OK);
    cr_assert_eq(reactor_new(NULL, &reactor), ERR_OK);
    cr_assert_eq(conn_loop_init(&loop, reactor), ERR_OK);
    for (int i = 0; i < PEERS; i++) {
        int ends[2];
        cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
        struct transport_socket socket = {ends[0], &transport_plain};
        peers[i] = (struct peer){.fd = ends[1], .is_worker = true};
        cr_assert_eq(conn_open(&peers[i].conn, &loop, &ops, socket), ERR_OK);
    }
}

static void tear_down(void)
{
    for (int i = 0; i < PEERS; i++) {
        if (!peers[i].is_gone)
            conn_abandon(&peers[i].conn);
        if (peers[i].fd >= 0)
            close(peers[i].fd);
    }
    cr_expect_eq(loop.throttle.addresses.table.n_links, 0);
    conn_loop_fini(&loop);
    reactor_free(reactor);
    let_the_clock_go();
}

TestSuite(conn_work, .init = set_up, .fini = tear_down);

static void say(struct peer *peer, const char *text)
{
    cr_assert_eq(send(peer->fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static void expect_taken(const struct peer *peer, const char *text)
{
    cr_expect(peer->n_taken == strlen(text) && memcmp(peer->taken, text, peer->n_taken) == 0,
              "\"%.*s\", not \"%s\"", (int)peer->n_taken, peer->taken, text);
}

static unsigned worked_in_all(void)
{
    unsigned n = 0;
    for (int i = 0; i < PEERS; i++)
        n += peers[i].n_worked;
    return n;
}

Test(conn_work, work_is_done_at_once_while_there_is_a_share)
{
    say(&peers[0], "w");
    reactor_turn(reactor, 0);
    expect_taken(&peers[0], "w");
}

Test(conn_work, work_has_half_of_the_time_however_many_ask_for_it)
{
    for (int ms = 0; ms < 200; ms++) {
        for (int i = 0; i < PEERS; i++) {
            if (peers[i].n_taken == sizeof peers[i].taken - 1)
                peers[i].n_taken = 0;
            say(&peers[i], "w");
        }
        turn_after_ms(1);
        for (int turn = 0; turn < 10; turn++)
            reactor_turn(reactor, 0);
    }
    cr_expect_leq(worked_in_all() * WORK_US, 200 * CONN_WORK_US_PER_MS + 1000);
    cr_expect_geq(worked_in_all() * WORK_US, 200 * CONN_WORK_US_PER_MS * 9 / 10);
    for (int i = 0; i < PEERS; i++)
        cr_expect_gt(peers[i].n_worked, worked_in_all() / PEERS / 2, "connection %d", i);
}

Test(conn_work, a_deferred_connection_continues_where_it_was_and_is_not_read_meanwhile)
{
    conn_loop_count_work(&loop, 2 * CONN_WORK_US_PER_MS);
    say(&peers[0], "abwcd");
    reactor_turn(reactor, 0);
    expect_taken(&peers[0], "ab");
    say(&peers[0], "ef");
    for (int turn = 0; turn < 5; turn++)
        reactor_turn(reactor, 0);
    expect_taken(&peers[0], "ab");
    for (int turn = 0; turn < 5; turn++)
        turn_after_ms(1);
    expect_taken(&peers[0], "abwcdef");
}

/* As for a request that arrived after another one, whose answer is written now. */
Test(conn_work, what_begins_outside_of_a_read_has_its_turn_as_well)
{
    cr_expect(conn_take_turn(&peers[0].conn));
    conn_loop_count_work(&loop, 2 * CONN_WORK_US_PER_MS);
    cr_expect_not(conn_take_turn(&peers[0].conn));
    say(&peers[0], "a");
    reactor_turn(reactor, 0);
    cr_expect_eq(peers[0].n_offers, 0);
    for (int turn = 0; turn < 5; turn++)
        turn_after_ms(1);
    cr_expect_eq(peers[0].n_offers, 2);
    expect_taken(&peers[0], "a");
}

Test(conn_work, one_that_needs_no_work_does_not_wait_for_those_that_do)
{
    conn_loop_count_work(&loop, 2 * CONN_WORK_US_PER_MS);
    say(&peers[0], "w");
    say(&peers[1], "abc");
    reactor_turn(reactor, 0);
    expect_taken(&peers[0], "");
    expect_taken(&peers[1], "abc");
}

/* Who only sends has 16 KiB in a turn: two turns a millisecond. */
static void flood_for_ms(int n)
{
    static const char bytes[MANY_BYTES];
    for (int ms = 0; ms < n; ms++) {
        for (int i = 1; i < PEERS; i++)
            send(peers[i].fd, bytes, sizeof bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
        turn_after_ms(1);
    }
}

Test(conn_work, those_with_work_and_those_that_only_send_have_alternate_turns)
{
    for (int i = 1; i < PEERS; i++)
        peers[i].is_worker = false;
    flood_for_ms(50);
    for (unsigned n = 1; n <= 30; n++) {
        size_t before = peers[1].n_read;
        conn_loop_count_work(&loop, 2 * CONN_WORK_US_PER_MS); /* so that it must wait */
        say(&peers[0], "w");
        flood_for_ms(4);
        cr_expect_eq(peers[0].n_worked, n);
        flood_for_ms(PEERS);
        cr_expect_gt(peers[1].n_read, before);
    }
}

Test(conn_work, one_that_is_resumed_is_offered_what_was_not_taken_and_then_what_came)
{
    say(&peers[0], "apb");
    reactor_turn(reactor, 0);
    cr_expect_not(conn_has_unread(&peers[0].conn));
    say(&peers[0], "c");
    for (int turn = 0; turn < 5; turn++)
        turn_after_ms(1);
    expect_taken(&peers[0], "ap");
    cr_expect(conn_has_unread(&peers[0].conn));
    conn_resume(&peers[0].conn);
    expect_taken(&peers[0], "ap");
    for (int turn = 0; turn < 5; turn++)
        turn_after_ms(1);
    expect_taken(&peers[0], "apbc");
}

Test(conn_work, one_that_was_paused_without_a_rest_has_a_turn_when_it_is_resumed)
{
    say(&peers[0], "ap");
    reactor_turn(reactor, 0);
    size_t before = peers[0].n_read;
    conn_resume(&peers[0].conn);
    turn_after_ms(1);
    say(&peers[0], "b");
    turn_after_ms(1);
    turn_after_ms(1);
    cr_expect_eq(peers[0].n_read, before + 1);
    expect_taken(&peers[0], "apb");
}

/* A session whose auth message waits, and which is closed because that message was too much. */
Test(conn_work, one_that_is_resumed_while_it_is_read_is_offered_the_rest_in_its_turn)
{
    for (int i = 0; i < PEERS; i++)
        say(&peers[i], "arbrc");
    reactor_turn(reactor, 0);
    for (int i = 0; i < PEERS; i++)
        say(&peers[i], "d");
    for (int turn = 0; turn < 5; turn++)
        turn_after_ms(1);
    for (int i = 0; i < PEERS; i++)
        expect_taken(&peers[i], "arbrcd");
}

Test(conn_work, one_that_leaves_while_it_waits_costs_no_work)
{
    conn_loop_count_work(&loop, 20 * CONN_WORK_US_PER_MS);
    for (int i = 0; i < PEERS; i++)
        say(&peers[i], "wx");
    reactor_turn(reactor, 0);
    for (int i = 0; i < PEERS; i++) {
        close(peers[i].fd);
        peers[i].fd = -1;
    }
    for (int turn = 0; turn < 5; turn++)
        reactor_turn(reactor, 0);
    for (int i = 0; i < PEERS; i++)
        cr_expect(peers[i].is_gone);
    turn_after_ms(100);
    cr_expect_eq(worked_in_all(), 0);
}

Test(conn_work, one_that_is_abandoned_while_it_waits_is_forgotten)
{
    conn_loop_count_work(&loop, 2 * CONN_WORK_US_PER_MS);
    for (int i = 0; i < PEERS; i++)
        say(&peers[i], "wx");
    reactor_turn(reactor, 0);
    for (int i = 0; i < PEERS; i++) {
        conn_abandon(&peers[i].conn);
        peers[i].is_gone = true;
    }
    for (int turn = 0; turn < 5; turn++)
        turn_after_ms(1);
    cr_expect_eq(worked_in_all(), 0);
}

/* ---- address by address ---- */

static void use_up_the_share(void)
{
    conn_loop_count_work(&loop, 2 * CONN_WORK_US_PER_MS);
}

static void give_address(int peer, const char *text)
{
    cr_assert_eq(ip_parse((struct span){text, strlen(text)}, &peers[peer].ip), ERR_OK);
}

/* All of them wait, the first one first, and then have their turns. */
static void let_all_work(void)
{
    n_order = 0;
    use_up_the_share();
    for (int i = 0; i < PEERS; i++)
        say(&peers[i], "w");
    reactor_turn(reactor, 0);
    cr_assert_eq(worked_in_all(), 0);
    while (worked_in_all() < PEERS)
        turn_after_ms(1);
}

static void expect_order(const int expected[PEERS])
{
    for (int i = 0; i < PEERS; i++)
        cr_expect_eq(order[i], expected[i], "turn %d is of %d, not of %d", i, order[i],
                     expected[i]);
}

Test(conn_work, one_of_a_quiet_address_waits_for_one_turn_of_a_crowded_one)
{
    for (int i = 0; i < PEERS; i++)
        give_address(i, i == PEERS - 1 ? "192.0.2.2" : "192.0.2.1");
    let_all_work();
    expect_order((const int[]){0, PEERS - 1, 1, 2, 3, 4, 5, 6});
}

Test(conn_work, turns_go_round_among_the_64_bit_networks_of_ipv6_and_those_without_an_address)
{
    static const char *const ips[] = {"2001:db8:1:2::1", "2001:db8:1:2::2", "2001:db8:1:2::3",
                                      "192.0.2.1",       "192.0.2.1",       "2001:db8:1:3::1"};
    for (int i = 0; i < 6; i++)
        give_address(i, ips[i]);
    let_all_work();
    expect_order((const int[]){0, 3, 5, 6, 1, 4, 7, 2});
}

/* The others of its address go on where they stood. */
Test(conn_work, the_turn_of_one_that_leaves_goes_to_the_next_of_its_address)
{
    for (int i = 0; i < PEERS; i++)
        give_address(i, i < 2 ? "192.0.2.1" : "192.0.2.2");
    use_up_the_share();
    for (int i = 0; i < PEERS; i++)
        say(&peers[i], "w");
    reactor_turn(reactor, 0);
    cr_expect_eq(loop.throttle.addresses.table.n_links, 2);
    conn_abandon(&peers[0].conn);
    peers[0].is_gone = true;
    while (worked_in_all() < PEERS - 1)
        turn_after_ms(1);
    cr_expect_eq(order[0], 1);
    cr_expect_eq(order[1], 2);
    cr_expect_eq(loop.throttle.addresses.table.n_links, 0);
}

/* Connections that send much at once have half of the turns, and share them in the same way. */
Test(conn_work, those_that_only_send_have_shares_by_address_too)
{
    for (int i = 0; i < PEERS; i++) {
        peers[i].is_worker = false;
        give_address(i, i == 1 ? "192.0.2.2" : "192.0.2.1");
    }
    flood_for_ms(50);
    size_t quiet = peers[1].n_read, all = 0;
    flood_for_ms(100);
    for (int i = 2; i < PEERS; i++)
        all += peers[i].n_read;
    cr_expect_gt(peers[1].n_read - quiet, 100 * MANY_BYTES / 2);
    cr_expect_gt(all, 100 * MANY_BYTES / 2);
}
