/* One node on a played record (tests/support/presence_record.h), as several tests of presence begin
 * and end: give set_up and tear_down to a TestSuite. */
#ifndef HERALD_TESTS_PRESENCE_ALONE_H
#define HERALD_TESTS_PRESENCE_ALONE_H

#include "gateway/base/clock.h"
#include "tests/support/presence_node.h"

enum { GRACE_MS = 10000 };

static struct presence_record record;
static struct presence_node one;

static void open_node(struct presence_node *node)
{
    presence_node_open(node, &record, GRACE_MS, PRESENCE_TYPES);
    presence_node_start(node, NULL);
    presence_node_turn(node);
}

static void set_up(void)
{
    presence_node_replace_clock();
    presence_record_init(&record, presence_node_clock);
    open_node(&one);
}

static void tear_down(void)
{
    presence_node_kill(&one);
    presence_record_fini(&record);
    clock_replace(NULL, NULL);
}

/* Time passes for that node alone. */
static void wait_ms(int64_t ms)
{
    struct presence_node *alone[] = {&one};
    presence_nodes_wait_ms(alone, 1, ms);
}

#endif
