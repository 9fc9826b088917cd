/* Where a user's positions are (CONTRACT 5.6), and when they are written to the store. */
#include "gateway/delivery/position_writer.h"
#include "gateway/delivery/positions.h"
#include "gateway/session/session_close.h"
#include "tests/support/node_fixture.h"
#include "tests/support/store_double.h"
#include "tests/support/subscriber.h"

#include <criterion/criterion.h>
#include <stdlib.h>

enum { SLOT_MS = 15, SHARED_SLOT_MS = 31, SLOTS = 64, BATCH = 256 };

static struct subscriber first, second;

static void set_up(void)
{
    node_fixture_start();
    store_double_start();
}

static void wait_ms(unsigned ms)
{
    for (unsigned i = 0; i < ms; i++)
        node_fixture_wait_ms(1);
}

/* A position is written after SLOTS slots, which a timer ends: up to TIMER_SLOT_MS late. */
static void wait_slots(unsigned n)
{
    wait_ms(n * SLOT_MS + TIMER_SLOT_MS);
}

static void push_all(const char *user_id, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        node_fixture_push(user_id, "1", 60);
}

static uint64_t position_of(const struct subscriber *subscriber)
{
    return position_acked(positions_of(subscriber->session));
}

static void acknowledge(const struct subscriber *subscriber, uint64_t seq)
{
    cr_assert(session_ack(subscriber->session, seq));
    node_fixture_turn();
}

static void close_session(const struct subscriber *subscriber)
{
    session_close(subscriber->session, ERR_KICKED);
    node_fixture_turn();
}

static unsigned n_written(void)
{
    return store_double_count(STORE_OP_ACK);
}

TestSuite(positions, .init = set_up, .fini = node_fixture_stop);

Test(positions, follow_the_lowest_of_the_open_sessions)
{
    subscriber_enter(&first, LEVEL_V1, "u", NULL);
    subscriber_enter(&second, LEVEL_V1, "u", NULL);
    push_all("u", 5);
    acknowledge(&first, 4);
    cr_expect_eq(position_of(&first), 0);
    acknowledge(&second, 2);
    cr_expect_eq(position_of(&first), 2);
    acknowledge(&second, 5);
    cr_expect_eq(position_of(&first), 4);
}

Test(positions, are_the_highest_of_any_when_the_last_session_has_closed)
{
    subscriber_enter(&first, LEVEL_V1, "u", NULL);
    subscriber_enter(&second, LEVEL_V1, "u", NULL);
    push_all("u", 5);
    acknowledge(&first, 4);
    close_session(&first);
    cr_expect_eq(position_of(&second), 0);
    close_session(&second);
    cr_expect_eq(store_double_last_ack().seq, 4);
    cr_expect_eq(store_double_last_ack().written, 5, "what was written may have been shown");
}

Test(positions, of_devices_move_by_themselves)
{
    subscriber_enter(&first, LEVEL_V1, "u", "phone");
    subscriber_enter(&second, LEVEL_V1, "u", "laptop");
    push_all("u", 3);
    acknowledge(&first, 3);
    cr_expect_eq(position_of(&first), 3);
    cr_expect_eq(position_of(&second), 0);
    close_session(&first);
    cr_expect_str_eq(store_double_last_ack().device, "phone");
    cr_expect_eq(store_double_last_ack().seq, 3);
}

Test(positions, are_shared_by_the_sessions_of_a_device)
{
    struct subscriber *third = calloc(1, sizeof *third);
    subscriber_enter(&first, LEVEL_V1, "u", "phone");
    subscriber_enter(&second, LEVEL_V1, "u", "laptop");
    subscriber_enter(third, LEVEL_V1, "u", "phone");
    cr_expect_eq(positions_of(first.session), positions_of(third->session));
    cr_expect_neq(positions_of(first.session), positions_of(second.session));
    free(third);
}

/* What it was promised must still be there when its first page comes. */
Test(positions, stand_still_while_the_first_page_of_a_session_is_under_way)
{
    subscriber_enter(&first, LEVEL_V1, "u", NULL);
    push_all("u", 3);
    acknowledge(&first, 1);
    store_double_hold(STORE_OP_PAGE);
    subscriber_enter(&second, LEVEL_V1, "u", NULL);
    acknowledge(&first, 3);
    cr_expect_eq(position_of(&first), 1);
    store_double_release(STORE_OP_PAGE);
    node_fixture_turn();
    acknowledge(&second, 2);
    cr_expect_eq(position_of(&first), 2);
}

Test(positions, are_written_once_about_a_second_after_they_have_moved)
{
    subscriber_enter(&first, LEVEL_V1, "u", NULL);
    push_all("u", 3);
    acknowledge(&first, 1);
    acknowledge(&first, 2);
    acknowledge(&first, 3);
    unsigned ms = 0;
    for (; ms < SLOTS * SLOT_MS + TIMER_SLOT_MS && n_written() == 0; ms++)
        node_fixture_wait_ms(1);
    cr_expect_geq(ms, SLOTS * SLOT_MS);
    cr_expect_eq(n_written(), 1);
    cr_expect_eq(store_double_last_ack().seq, 3);
    wait_slots(2 * SLOTS);
    cr_expect_eq(n_written(), 1);
}

/* Another node's sessions may move it while none of it is open here. */
Test(positions, are_asked_of_the_store_again_when_their_last_session_has_left)
{
    subscriber_enter(&first, LEVEL_V1, "u", NULL);
    subscriber_enter(&second, LEVEL_V1, "u", "phone");
    cr_expect(second.session->client->shared.is_known);
    close_session(&first);
    cr_expect_not(second.session->client->shared.is_known);
}

Test(positions, of_many_users_are_written_in_the_order_in_which_they_have_moved)
{
    subscriber_enter(&first, LEVEL_V1, "u", NULL);
    subscriber_enter(&second, LEVEL_V1, "v", NULL);
    push_all("u", 1);
    push_all("v", 2);
    acknowledge(&first, 1);
    node_fixture_wait_ms(SLOTS / 2 * SLOT_MS);
    acknowledge(&second, 2);
    for (unsigned ms = 0; ms < SLOTS * SLOT_MS + TIMER_SLOT_MS && n_written() == 0; ms++)
        node_fixture_wait_ms(1);
    cr_expect_eq(n_written(), 1);
    cr_expect_eq(store_double_last_ack().seq, 1);
    node_fixture_wait_ms(SLOT_MS);
    cr_expect_eq(n_written(), 1);
    wait_slots(SLOTS);
    cr_expect_eq(n_written(), 2);
    cr_expect_eq(store_double_last_ack().seq, 2);
}

Test(positions, are_written_at_once_when_256_notifications_wait_for_it)
{
    fixture.options.inbox_max = 10000;
    subscriber_enter(&first, LEVEL_V1, "u", NULL);
    push_all("u", BATCH);
    acknowledge(&first, BATCH - 1);
    cr_expect_eq(n_written(), 0);
    acknowledge(&first, BATCH);
    cr_expect_eq(n_written(), 1);
}

Test(positions, are_written_at_once_at_half_of_a_small_inbox)
{
    fixture.options.inbox_max = 8;
    subscriber_enter(&first, LEVEL_V1, "u", NULL);
    push_all("u", 4);
    acknowledge(&first, 3);
    cr_expect_eq(n_written(), 0);
    acknowledge(&first, 4);
    cr_expect_eq(n_written(), 1);
}

Test(positions, are_written_at_once_when_the_last_session_leaves)
{
    subscriber_enter(&first, LEVEL_V1, "u", NULL);
    push_all("u", 2);
    acknowledge(&first, 2);
    close_session(&first);
    cr_expect_eq(n_written(), 1);
    cr_expect_eq(store_double_last_ack().seq, 2);
    wait_slots(SLOTS);
    cr_expect_eq(n_written(), 1, "and the slot that the client was in finds nothing to write");
}

Test(positions, are_written_again_when_the_store_was_away)
{
    subscriber_enter(&first, LEVEL_V1, "u", NULL);
    push_all("u", 1);
    acknowledge(&first, 1);
    store_double_set_away(true);
    wait_slots(SLOTS);
    cr_expect_eq(n_written(), 1);
    store_double_set_away(false);
    wait_slots(SLOTS);
    cr_expect_eq(n_written(), 2);
    wait_slots(2 * SLOTS);
    cr_expect_eq(n_written(), 2);
}

/* What the last session of a position leaves while the store is away is not lost as long as the
 * user is here: the next session of that position has it written. */
Test(positions, that_could_not_be_written_are_written_for_the_next_session)
{
    subscriber_enter(&first, LEVEL_V1, "u", NULL);
    subscriber_enter(&second, LEVEL_V1, "u", "phone");
    push_all("u", 2);
    acknowledge(&first, 2);
    store_double_set_away(true);
    close_session(&first);
    store_double_set_away(false);
    subscriber_enter(&first, LEVEL_V1, "u", NULL);
    cr_expect_eq(position_of(&first), 2);
    unsigned before = n_written();
    wait_slots(SLOTS);
    cr_expect_eq(n_written(), before + 1);
    cr_expect_str_eq(store_double_last_ack().device, "");
    cr_expect_eq(store_double_last_ack().seq, 2);
}

/* To a full inbox a push takes the shared position along, and its notification says so. */
/* As after a failover to a replica that had not had the write. */
Test(positions, that_the_store_has_lost_are_written_again)
{
    subscriber_enter(&first, LEVEL_V1, "u", NULL);
    push_all("u", 1);
    acknowledge(&first, 1);
    positions_of(first.session)->stored = 1;
    client_map_missed(fixture.node.map, SPAN_LITERAL("u"), MISSED_WITHDRAWALS);
    wait_slots(SLOTS);
    cr_expect_eq(n_written(), 1);
    cr_expect_eq(store_double_last_ack().seq, 1);
}

Test(positions, need_no_write_when_a_push_has_carried_them)
{
    subscriber_enter(&first, LEVEL_V1, "u", NULL);
    push_all("u", 2);
    acknowledge(&first, 1);
    positions_stored(first.session->client, 1);
    wait_slots(SLOTS);
    cr_expect_eq(n_written(), 0);
    acknowledge(&first, 2);
    positions_stored(first.session->client, 1);
    wait_slots(SLOTS);
    cr_expect_eq(n_written(), 1);
}

Test(positions, that_a_request_is_to_see_are_written_now)
{
    subscriber_enter(&first, LEVEL_V1, "u", "phone");
    push_all("u", 1);
    acknowledge(&first, 1);
    position_writer_flush(first.session->client);
    cr_expect_eq(n_written(), 1);
    position_writer_flush(first.session->client);
    cr_expect_eq(n_written(), 1);
}

/* ---- a store that other nodes share ---- */

static void enter_with_shared_store(struct subscriber *subscriber, const char *device)
{
    store_double_set_shared();
    subscriber_enter(subscriber, LEVEL_V1, "u", device);
}

Test(positions, are_written_after_two_seconds_to_a_store_that_is_shared)
{
    enter_with_shared_store(&first, NULL);
    push_all("u", 1);
    acknowledge(&first, 1);
    wait_ms(SLOTS * SHARED_SLOT_MS - 1);
    cr_expect_eq(n_written(), 0);
    wait_ms(1 + TIMER_SLOT_MS);
    cr_expect_eq(n_written(), 1);
}

/* What a push makes a user acknowledge waits for the next one, however long he has been marked. */
Test(positions, of_a_user_who_is_pushed_again_in_time_are_never_written)
{
    enum { BETWEEN_MS = 1500 };
    enter_with_shared_store(&first, NULL);
    for (uint64_t seq = 1; seq <= 8; seq++) {
        push_all("u", 1);
        positions_stored(first.session->client, seq - 1); /* its notification says that */
        acknowledge(&first, seq);
        wait_ms(BETWEEN_MS);
        cr_expect_eq(n_written(), 0, "%u written", n_written());
    }
    wait_ms(SLOTS * SHARED_SLOT_MS - BETWEEN_MS + TIMER_SLOT_MS);
    cr_expect_eq(n_written(), 1);
    cr_expect_eq(store_double_last_ack().seq, 8);
}

/* It is the one that has waited longest that counts. */
Test(positions, do_not_wait_longer_because_more_is_acknowledged)
{
    enter_with_shared_store(&first, NULL);
    push_all("u", 3);
    for (uint64_t seq = 1; seq <= 3; seq++) {
        acknowledge(&first, seq);
        wait_ms(600);
        cr_expect_eq(n_written(), 0);
    }
    wait_ms(SLOTS * SHARED_SLOT_MS - 1800 + TIMER_SLOT_MS);
    cr_expect_eq(n_written(), 1);
    cr_expect_eq(store_double_last_ack().seq, 3);
}

/* A push does not take these along. */
Test(positions, of_devices_are_written_after_a_second_to_a_store_that_is_shared)
{
    enter_with_shared_store(&first, "phone");
    push_all("u", 1);
    acknowledge(&first, 1);
    wait_ms(SLOTS / 2 * SHARED_SLOT_MS + TIMER_SLOT_MS);
    cr_expect_eq(n_written(), 1);
}

Test(positions, that_wait_are_written_when_devices_come)
{
    enter_with_shared_store(&first, NULL);
    push_all("u", 2);
    acknowledge(&first, 1);
    subscriber_enter(&second, LEVEL_V1, "u", "phone");
    acknowledge(&first, 2);
    cr_expect_eq(n_written(), 1);
    cr_expect_eq(store_double_last_ack().seq, 2);
}

/* He may open one at another node next. */
Test(positions, are_written_at_once_when_any_session_of_the_user_closes)
{
    enter_with_shared_store(&first, NULL);
    subscriber_enter(&second, LEVEL_V1, "u", NULL);
    push_all("u", 2);
    acknowledge(&first, 2);
    acknowledge(&second, 2);
    cr_expect_eq(n_written(), 0);
    close_session(&second);
    cr_expect_eq(n_written(), 1);
    cr_expect_eq(store_double_last_ack().seq, 2);
}

Test(positions, are_written_after_two_seconds_by_a_worker_that_stood_still)
{
    enter_with_shared_store(&first, NULL);
    push_all("u", 1);
    acknowledge(&first, 1);
    node_fixture_stall_ms(5000);
    cr_expect_eq(n_written(), 1);
    push_all("u", 1);
    acknowledge(&first, 2);
    wait_ms(SLOTS * SHARED_SLOT_MS - 1);
    cr_expect_eq(n_written(), 1);
    wait_ms(1 + TIMER_SLOT_MS);
    cr_expect_eq(n_written(), 2);
}

/* The store's thread is woken once for them, and commits them together. */
Test(positions, of_one_slot_are_handed_over_in_one_call)
{
    subscriber_enter(&first, LEVEL_V1, "u", NULL);
    subscriber_enter(&second, LEVEL_V1, "v", NULL);
    push_all("u", 1);
    push_all("v", 1);
    acknowledge(&first, 1);
    acknowledge(&second, 1);
    wait_slots(SLOTS);
    cr_expect_eq(n_written(), 2);
    cr_expect_eq(store_double_calls(STORE_OP_ACK), 1);
    wait_slots(SLOTS);
    cr_expect_eq(n_written(), 2, "and once");
}

/* As before a process hands its sessions over: nothing waits any more, and it is known when the
 * store has it. */
Test(positions, are_all_written_when_that_is_asked_for)
{
    subscriber_enter(&first, LEVEL_V1, "u", NULL);
    subscriber_enter(&second, LEVEL_V1, "other", NULL);
    push_all("u", 3);
    push_all("other", 2);
    acknowledge(&first, 3);
    acknowledge(&second, 1);
    cr_assert_eq(n_written(), 0);
    uint64_t n = position_writer_write_all(fixture.worker);
    cr_expect_not(position_writer_has_written(fixture.worker, n));
    acknowledge(&second, 2); /* what moves from here on does not count */
    cr_expect(position_writer_has_written(fixture.worker, n));
    cr_expect_eq(n_written(), 2);
    uint64_t again = position_writer_write_all(fixture.worker);
    cr_expect_not(position_writer_has_written(fixture.worker, again));
    node_fixture_turn();
    cr_expect(position_writer_has_written(fixture.worker, again));
    cr_expect_eq(position_writer_write_all(fixture.worker), again, "nothing has moved since");
    wait_slots(SLOTS);
    cr_expect_eq(n_written(), 3, "their slots find nothing to write");
}
