/* What a client needs only now and then (client_more): it is the client's own for as long as it is
 * needed, whatever it is needed for. */
#include "gateway/delivery/positions.h"
#include "gateway/node/latencies.h"
#include "gateway/session/session_close.h"
#include "tests/support/node_fixture.h"
#include "tests/support/store_double.h"
#include "tests/support/subscriber.h"

#include <criterion/criterion.h>

static struct subscriber first, second;

static bool has_more(const struct subscriber *subscriber)
{
    const struct client *client = subscriber->session->client;
    return client->more != client->more->empty;
}

static unsigned n_followed(const struct subscriber *subscriber)
{
    const struct latencies *latencies = &subscriber->session->client->more->latencies;
    return latencies->end - latencies->first;
}

static void acknowledge(const struct subscriber *subscriber, uint64_t seq)
{
    cr_assert(session_ack(subscriber->session, seq));
    node_fixture_turn();
}

static void set_up(void)
{
    node_fixture_start();
    store_double_start();
}

TestSuite(client, .init = set_up, .fini = node_fixture_stop);

Test(client, shares_what_it_does_not_need)
{
    subscriber_enter(&first, LEVEL_V1, "anna", NULL);
    subscriber_enter(&second, LEVEL_V1, "ben", NULL);
    cr_expect(!has_more(&first));
    cr_expect_eq(first.session->client->more, second.session->client->more);
    cr_expect_eq(client_worker(first.session->client), fixture.worker);
}

Test(client, has_more_while_a_notification_is_not_acknowledged)
{
    subscriber_enter(&first, LEVEL_V1, "anna", NULL);
    subscriber_enter(&second, LEVEL_V1, "ben", NULL);
    node_fixture_push("anna", "1", 60);
    cr_expect(has_more(&first));
    cr_expect(!has_more(&second));
    cr_expect_eq(client_worker(first.session->client), fixture.worker);
    acknowledge(&first, 1);
    cr_expect(!has_more(&first));
}

Test(client, follows_as_many_notifications_as_it_may)
{
    subscriber_enter(&first, LEVEL_V1, "anna", NULL);
    for (unsigned i = 1; i <= LATENCIES_MAX + 3; i++) {
        node_fixture_push("anna", "1", 60);
        cr_expect_eq(n_followed(&first), i < LATENCIES_MAX ? i : LATENCIES_MAX);
    }
    acknowledge(&first, 2);
    cr_expect_eq(n_followed(&first), LATENCIES_MAX - 2);
    acknowledge(&first, LATENCIES_MAX + 3);
    cr_expect(!has_more(&first));
}

Test(client, has_more_while_it_has_a_device)
{
    subscriber_enter(&first, LEVEL_V1, "anna", NULL);
    subscriber_enter(&second, LEVEL_V1, "anna", "phone");
    cr_expect(has_more(&first));
    node_fixture_push("anna", "1", 60);
    acknowledge(&first, 1);
    acknowledge(&second, 1);
    cr_expect(has_more(&first), "the device is still there");
    session_close(second.session, ERR_KICKED);
    node_fixture_turn();
    cr_expect(!has_more(&first));
}

Test(client, that_leaves_takes_its_own_along)
{
    subscriber_enter(&first, LEVEL_V1, "anna", NULL);
    for (unsigned i = 0; i < 2; i++)
        node_fixture_push("anna", "1", 60);
    cr_expect(has_more(&first));
    session_close(first.session, ERR_KICKED);
    node_fixture_turn();
    subscriber_enter(&second, LEVEL_V1, "anna", NULL);
    cr_expect_eq(n_followed(&second), 0);
}
