/* The root of what backends hear: which types are kept (gateway/events/events.h). */
#include "gateway/events/events.h"
#include "tests/support/node_fixture.h"

#include <criterion/criterion.h>

static char *list[4];
static char why[200];

static enum err check(size_t n)
{
    const struct options options = {.events = {list, n}};
    why[0] = '\0';
    return events_check(&options, why, sizeof why);
}

Test(events, keeps_nothing_and_makes_nothing_without_types)
{
    node_fixture_start();
    cr_assert_eq(check(0), ERR_OK);
    cr_assert_eq(events_new(&fixture.node, why, sizeof why), ERR_OK);
    cr_expect_null(fixture.node.events);
    events_start(&fixture.node);
    events_on_second(fixture.worker);
    events_stop(&fixture.node);
    events_free(fixture.node.events);
    node_fixture_stop();
}

Test(events, names_the_nearest_type_for_one_that_is_not_known)
{
    list[0] = "user.online";
    list[1] = "client.mesage";
    cr_assert_eq(check(2), ERR_INVALID_FIELD);
    cr_expect_str_eq(why,
                     "--events: client.mesage is no type of events; did you mean client.message?");
}

Test(events, names_all_types_for_one_that_is_like_none)
{
    list[0] = "all";
    cr_assert_eq(check(1), ERR_INVALID_FIELD);
    cr_expect_str_eq(why, "--events: all is no type of events; the types are user.online, "
                          "user.offline, notification.unacknowledged and client.message");
}

Test(events, keeps_the_types_that_are_named_and_takes_gap_as_named)
{
    node_fixture_start();
    list[0] = "user.offline";
    list[1] = "gap";
    fixture.options.events = (struct option_list){list, 2};
    fixture.options.events_max = 6250;
    fixture.options.events_max_bytes = 1 << 20;
    cr_assert_eq(events_new(&fixture.node, why, sizeof why), ERR_OK);
    cr_assert_not_null(fixture.node.events);
    cr_expect(events_keep(fixture.node.events, EVENT_OFFLINE));
    cr_expect_not(events_keep(fixture.node.events, EVENT_ONLINE));
    events_free(fixture.node.events);
    fixture.node.events = NULL;
    node_fixture_stop();
}
