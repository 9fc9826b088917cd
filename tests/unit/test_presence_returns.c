/* What presence finds to be otherwise than it has written: a user who is back after the grace time
 * was over, and a store that has lost its last answers. The record is played
 * (tests/support/presence_record.h). */
#include "gateway/events/presence_partition.h"
#include "tests/unit/presence_alone.h"

#include <criterion/criterion.h>

TestSuite(presence_returns, .init = set_up, .fini = tear_down);

/* Who serves looks each two seconds, and may find the user back. */
Test(presence_returns, tells_of_each_absence_that_was_longer_than_the_grace_time)
{
    presence_node_enter(&one, "ada");
    wait_ms(20000);
    for (unsigned i = 0; i < 10; i++) {
        presence_node_leave(&one, "ada", OFFLINE_CLOSED);
        wait_ms(GRACE_MS + 100 + 150 * i);
        presence_node_enter(&one, "ada");
        wait_ms(3000);
        cr_expect_eq(presence_record_events(&record, "ada"), 3 + 2 * i);
    }
    presence_node_leave(&one, "ada", OFFLINE_CLOSED);
    wait_ms(GRACE_MS - 100);
    presence_node_enter(&one, "ada");
    wait_ms(3000);
    cr_expect_eq(presence_record_events(&record, "ada"), 21);
    cr_expect(presence_record_told(&record, "ada"));
}

static void on_ghost(struct store_request *request)
{
    (void)request;
}

/* The store has lost the last that it answered: who left is on record again. */
static void put_ghost(const char *user_id)
{
    static struct store_presence presence;
    static struct store_presence_change change;
    change = (struct store_presence_change){.user_id = span_of(user_id), .is_here = true};
    presence = (struct store_presence){.request.on_done = on_ghost,
                                       .partition = store_partition_of(span_of(user_id)),
                                       .node = presence_name(one.events.presence),
                                       .offline_after_ms = GRACE_MS,
                                       .n_changes = 1,
                                       .changes = &change};
    store_presence(&one.link.store, &presence);
    presence_node_turn(&one);
    cr_assert(presence_record_has(&record, user_id, presence_name(one.events.presence)));
}

Test(presence_returns, takes_out_who_is_not_here_after_a_failure)
{
    presence_node_enter(&one, "ada");
    wait_ms(20000);
    put_ghost("bob");
    presence_link_cut(&one.link, true);
    wait_ms(6000); /* a renewal fails */
    presence_link_cut(&one.link, false);
    wait_ms(3000);
    cr_expect_not(presence_record_has(&record, "bob", presence_name(one.events.presence)));
    cr_expect(presence_record_has(&record, "ada", presence_name(one.events.presence)));
}
