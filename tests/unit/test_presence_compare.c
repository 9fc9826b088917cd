/* The record of who is online is listed in pages, and compared with who is here. */
#include "gateway/events/presence_compare.h"
#include "tests/unit/presence_alone.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

enum { PARTITION = 3, USERS = 600 };

TestSuite(presence_compare, .init = set_up, .fini = tear_down);

/* So many users of one partition, in the order of their names, that they are listed in two pages.
 * `ret_first`: the first of them. */
static void enter_two_pages(char ret_first[16])
{
    char name[16];
    for (unsigned i = 0, n = 0; n < USERS; i++) {
        snprintf(name, sizeof name, "u%05u", i);
        if (store_partition_of(span_of(name)) != PARTITION)
            continue;
        presence_node_enter(&one, name);
        if (n++ == 0)
            memcpy(ret_first, name, sizeof name);
    }
    wait_ms(5000);
    cr_assert_eq(presence_record_count(&record), USERS);
}

/* The first page of a listing is answered, the second one is under way. */
static void list_first_page(struct presence_partition *partition)
{
    one.link.holds = true;
    presence_list(partition, OFFLINE_ERROR);
    presence_poke(partition);
    presence_node_turn(&one);
    one.link.holds = false;
    presence_link_turn(&one.link);
    one.link.holds = true;
    presence_node_turn(&one);
    cr_assert(partition->is_listing && partition->after_len > 0);
}

Test(presence_compare, lists_the_record_from_its_start_when_that_begins_again_within_a_page)
{
    char first[16];
    struct presence_partition *partition = &one.events.presence->partitions[PARTITION];
    enter_two_pages(first);
    list_first_page(partition);
    presence_node_leave(&one, first, OFFLINE_CLOSED);
    presence_table_clear(&partition->table); /* as if there had been no room for it */
    presence_list(partition, OFFLINE_ERROR);
    one.link.holds = false;
    presence_node_turn(&one);
    wait_ms(2 * GRACE_MS);
    cr_expect_eq(presence_record_count(&record), USERS - 1);
    cr_expect_not(presence_record_told(&record, first));
}
