/* Pages of all who are online, over the 16 partitions of a played record. */
#include "gateway/events/online_list.h"

#include "gateway/base/clock.h"
#include "tests/support/presence_node.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

enum { USERS = 500 };

static struct presence_record record;
static struct presence_node node;
static struct presence_node *all[] = {&node};
static bool is_answered;

static void set_up(void)
{
    presence_node_replace_clock();
    presence_record_init(&record, presence_node_clock);
    presence_node_open(&node, &record, 10000, EVENT_BIT(EVENT_OFFLINE));
    presence_node_start(&node, NULL);
    for (unsigned i = 0; i < USERS; i++) {
        char name[16];
        snprintf(name, sizeof name, "u%u", i);
        presence_node_enter(&node, name);
    }
    presence_nodes_wait_ms(all, 1, 3000);
}

static void tear_down(void)
{
    presence_node_kill(&node);
    presence_record_fini(&record);
    clock_replace(NULL, NULL);
}

TestSuite(online_list, .init = set_up, .fini = tear_down);

static void on_done(struct gateway_online_page *page)
{
    (void)page;
    is_answered = true;
}

static struct gateway_online_page ask_page(struct span after, uint32_t limit)
{
    struct gateway_online_page page = {.on_done = on_done, .after = after, .limit = limit};
    is_answered = false;
    gateway_online_page(&node.node, &page);
    for (unsigned i = 0; i < 20 && !is_answered; i++)
        presence_node_turn(&node);
    cr_assert(is_answered);
    return page;
}

/* Reads all pages of that size: each user once, and the order of the partitions. */
static void read_all(uint32_t limit)
{
    static char after[USER_ID_MAX_BYTES];
    static bool has_come[USERS];
    struct span last = {0};
    size_t n = 0;
    bool has_more = true;
    unsigned partition = 0;
    memset(has_come, 0, sizeof has_come);
    while (has_more) {
        struct gateway_online_page page = ask_page(last, limit);
        cr_assert_eq(page.error, ERR_OK);
        for (size_t i = 0; i < page.n; i++) {
            unsigned user = (unsigned)strtoul(page.users[i].bytes + 1, NULL, 10);
            unsigned of = store_partition_of(page.users[i]);
            cr_assert_lt(user, USERS);
            cr_assert_not(has_come[user], "u%u twice", user);
            cr_expect_geq(of, partition);
            has_come[user] = true;
            partition = of;
        }
        n += page.n;
        has_more = page.has_more;
        cr_expect(page.n == limit || !has_more);
        if (page.n > 0) {
            last = (struct span){after, page.users[page.n - 1].len};
            memcpy(after, page.users[page.n - 1].bytes, last.len);
        }
        free(page.users);
    }
    cr_expect_eq(n, USERS);
}

Test(online_list, shows_each_user_once_whatever_the_size_of_a_page)
{
    read_all(1);
    read_all(7);
    read_all(USERS - 1);
    read_all(USERS);
    read_all(ONLINE_LIST_MAX);
}

Test(online_list, says_so_when_the_store_is_away_or_presence_is_not_kept)
{
    presence_link_cut(&node.link, true);
    struct gateway_online_page page = ask_page(SPAN_NONE, 10);
    cr_expect_eq(page.error, ERR_STORE_UNAVAILABLE);
    cr_expect_null(page.users);
    node.events.types = EVENT_BIT(EVENT_MESSAGE);
    cr_expect_eq(ask_page(SPAN_NONE, 10).error, ERR_CONFLICT);
    struct events *events = node.node.events;
    node.node.events = NULL;
    cr_expect_eq(ask_page(SPAN_NONE, 10).error, ERR_CONFLICT);
    node.node.events = events;
    node.events.types = EVENT_BIT(EVENT_OFFLINE);
}
