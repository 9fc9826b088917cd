/* What handshakes may take: steps a turn, places, and time. */
#include "tests/unit/tls_conn.h"

enum { PEERS_MAX = HANDSHAKES_BEGUN + 40 };

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
