/* What handshakes may take: steps a turn, places, and time. */
#include "tests/unit/tls_conn.h"

enum { PEERS_MAX = HANDSHAKES_BEGUN + 300, ATTACKERS = 10 };

TestSuite(tls_handshakes, .init = set_up, .fini = take_down, .timeout = 60);

static struct peer peers[PEERS_MAX];

static unsigned count_answered(unsigned n)
{
    unsigned answered = 0;
    for (unsigned i = 0; i < n; i++) {
        char byte;
        answered += recv(peers[i].fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
    }
    return answered;
}

Test(tls_handshakes, so_many_steps_a_turn_and_the_rest_in_order)
{
    enum { N = 3 * HANDSHAKE_STEPS + 1 };
    int64_t before = metrics_read(METRIC_TLS_PUT_OFF);
    for (unsigned i = 0; i < N; i++) {
        open_peer(&peers[i]);
        step_client(&peers[i]);
    }
    for (unsigned i = 1; i <= 3; i++) {
        turn();
        cr_assert_eq(count_answered(N), i * HANDSHAKE_STEPS);
        cr_assert_eq(count_answered(i * HANDSHAKE_STEPS), i * HANDSHAKE_STEPS, "in order");
    }
    cr_assert_eq(metrics_read(METRIC_TLS_PUT_OFF), before + N - HANDSHAKE_STEPS);
    turn();
    cr_assert_eq(count_answered(N), N);
    for (unsigned i = 0; i < N; i++)
        shake(&peers[i]);
    for (unsigned i = 0; i < N; i++)
        close_peer(&peers[i]);
}

Test(tls_handshakes, one_that_goes_while_it_waits_is_gone_at_once)
{
    enum { N = 3 * HANDSHAKE_STEPS };
    for (unsigned i = 0; i < N; i++) {
        open_peer(&peers[i]);
        step_client(&peers[i]);
    }
    turn();
    struct peer *last = &peers[N - 1];
    shutdown(last->fd, SHUT_RDWR);
    turn();
    cr_assert(last->is_gone);
    for (unsigned i = 0; i < N; i++)
        close_peer(&peers[i]);
}

static void begin_all_places(void)
{
    for (unsigned i = 0; i < HANDSHAKES_BEGUN; i++) {
        open_peer(&peers[i]);
        step_client(&peers[i]);
        turn();
    }
    cr_assert_eq(count_answered(HANDSHAKES_BEGUN), HANDSHAKES_BEGUN);
}

static void close_all(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        close_peer(&peers[i]);
}

Test(tls_handshakes, one_more_waits_until_another_is_through)
{
    struct peer *more = &peers[HANDSHAKES_BEGUN];
    begin_all_places();
    open_peer(more);
    step_client(more);
    for (int i = 0; i < 5; i++)
        turn();
    cr_assert_eq(count_answered(HANDSHAKES_BEGUN + 1), HANDSHAKES_BEGUN);
    shake(&peers[7]);
    for (int i = 0; i < 3; i++)
        turn();
    shake(more);
    close_all(HANDSHAKES_BEGUN + 1);
}

Test(tls_handshakes, one_that_is_given_up_leaves_its_place_to_another)
{
    struct peer *more = &peers[HANDSHAKES_BEGUN];
    begin_all_places();
    open_peer(more);
    step_client(more);
    turn();
    conn_abandon(&peers[11].conn);
    peers[11].is_gone = true;
    for (int i = 0; i < 2; i++)
        turn();
    shake(more);
    close_all(HANDSHAKES_BEGUN + 1);
}

Test(tls_handshakes, the_oldest_gives_way_when_it_has_not_gone_on_for_long)
{
    struct peer *more = &peers[HANDSHAKES_BEGUN];
    int64_t before = metrics_read(METRIC_TLS_GAVE_WAY);
    begin_all_places();
    open_peer(more);
    step_client(more);
    turn();
    cr_assert_not(peers[0].is_gone);
    fake_us += INT64_C(1000) * (HANDSHAKE_GIVES_WAY_MS + TIMER_SLOT_MS);
    turn();
    cr_assert(peers[0].is_gone);
    cr_assert_not(peers[1].is_gone);
    cr_assert_eq(metrics_read(METRIC_TLS_GAVE_WAY), before + 1);
    shake(more);
    close_all(HANDSHAKES_BEGUN + 1);
}

static struct ip ip_number(unsigned n)
{
    return ip_from_v4((const uint8_t[]){192, 0, 2, (uint8_t)n});
}

/* Sends a hello, and nothing more. */
static void say_hello(struct peer *peer, unsigned from)
{
    struct ip ip = ip_number(from);
    open_peer_from(peer, &ip);
    step_client(peer);
}

static bool is_answered(struct peer *peer)
{
    char byte;
    return recv(peer->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
}

/* All places, and `n_more` that wait; from address 1 on. */
static void attack(unsigned n_more)
{
    for (unsigned i = 0; i < HANDSHAKES_BEGUN + n_more; i++) {
        say_hello(&peers[i], 1 + i % ATTACKERS);
        turn();
    }
    cr_assert_eq(count_answered(HANDSHAKES_BEGUN + n_more), HANDSHAKES_BEGUN);
}

Test(tls_handshakes, the_oldest_of_the_address_with_most_gives_way_to_another_address_at_once)
{
    struct peer *more = &peers[HANDSHAKES_BEGUN];
    int64_t before = metrics_read(METRIC_TLS_GAVE_WAY);
    attack(0); /* 52 each of the addresses 1 and 2, 51 of the others */
    say_hello(more, 100);
    turn();
    cr_expect(is_answered(more));
    cr_expect(peers[0].is_gone);
    cr_expect_eq(metrics_read(METRIC_TLS_GAVE_WAY), before + 1);
    say_hello(more + 1, 101);
    turn();
    cr_expect(is_answered(more + 1));
    cr_expect(peers[1].is_gone);
    cr_expect_eq(metrics_read(METRIC_TLS_GAVE_WAY), before + 2);
    shake(more);
    close_all(HANDSHAKES_BEGUN + 2);
}

Test(tls_handshakes, an_address_that_waits_with_many_comes_after_a_new_one)
{
    enum { WAITING = 200 };
    struct peer *more = &peers[HANDSHAKES_BEGUN + WAITING];
    attack(WAITING);
    say_hello(more, 100);
    turn();
    cr_expect(is_answered(more));
    shake(more);
    close_all(HANDSHAKES_BEGUN + WAITING + 1);
}

/* A round trip of a second, in which others come without end. */
Test(tls_handshakes, an_address_with_one_keeps_it_for_as_long_as_it_takes)
{
    struct peer *slow = &peers[PEERS_MAX - 1];
    say_hello(slow, 100);
    turn();
    cr_assert(is_answered(slow));
    for (unsigned i = 0; i < PEERS_MAX - 1; i++) {
        say_hello(&peers[i], 1 + i % ATTACKERS);
        fake_us += 10000;
        turn();
    }
    cr_assert_gt(metrics_read(METRIC_TLS_GAVE_WAY), 0);
    cr_assert_not(slow->is_gone);
    shake(slow);
    close_all(PEERS_MAX);
}

/* After an outage: no handshake is evicted for an address that has no fewer. */
Test(tls_handshakes, a_storm_from_many_addresses_waits_and_pushes_nobody_out)
{
    int64_t before = metrics_read(METRIC_TLS_GAVE_WAY);
    for (unsigned i = 0; i < PEERS_MAX; i++) {
        struct ip ip = ip_from_v4((const uint8_t[]){10, 0, (uint8_t)(i / 256), (uint8_t)i});
        open_peer_from(&peers[i], &ip);
        step_client(&peers[i]);
        turn();
    }
    cr_assert_eq(count_answered(PEERS_MAX), HANDSHAKES_BEGUN);
    for (unsigned i = 0; i < PEERS_MAX; i++)
        shake(&peers[i]);
    cr_expect_eq(metrics_read(METRIC_TLS_GAVE_WAY), before);
    close_all(PEERS_MAX);
}

Test(tls_handshakes, one_that_continues_byte_by_byte_leaves_others_their_steps)
{
    enum { DRIPPING = 40 };
    static const char pieces[] = {23, 3, 3, 0, 40};
    struct peer *more = &peers[DRIPPING];
    for (unsigned i = 0; i < DRIPPING; i++) {
        say_hello(&peers[i], 1);
        turn();
    }
    for (unsigned n = 0; n < sizeof pieces; n++) {
        for (unsigned i = 0; i < DRIPPING; i++)
            cr_assert_eq(send(peers[i].fd, &pieces[n], 1, MSG_NOSIGNAL), 1);
        say_hello(more + n, 1);
        turn();
        cr_expect(is_answered(more + n));
    }
    close_all(DRIPPING + sizeof pieces);
}

/* Of a balancer that looks whether the port is open. */
Test(tls_handshakes, a_client_that_leaves_without_a_byte_has_not_failed)
{
    int64_t before = metrics_read(METRIC_TLS_FAILED);
    for (unsigned i = 0; i < 2; i++) {
        open_peer(&peers[i]);
        if (i == 0)
            shutdown(peers[i].fd, SHUT_WR);
        else
            shutdown(peers[i].fd, SHUT_RDWR);
        turn();
        cr_expect(peers[i].is_gone);
    }
    cr_expect_eq(metrics_read(METRIC_TLS_FAILED), before);
    close_all(2);
}
