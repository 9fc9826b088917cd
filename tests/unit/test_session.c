/* A session over a socketpair, on a node whose clock stands still (tests/support/node_fixture.h).
 */
#include "tests/support/node_fixture.h"
#include "tests/support/subscriber.h"

#include <criterion/criterion.h>

static struct subscriber subscriber;

TestSuite(session, .init = node_fixture_start, .fini = node_fixture_stop);

Test(session, is_live_once_its_first_page_has_come_and_gets_what_is_pushed)
{
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    cr_assert(reader_is_live(&subscriber.session->reader));
    node_fixture_push("u", "{\"a\":1}", 60);
    subscriber_expect(&subscriber, WS_TEXT, "{\"a\":1}");
    subscriber_expect(&subscriber, WS_PING, "1");
    subscriber_expect_nothing(&subscriber);
}
