/* The last session of a user may end while the user's notification is being delivered, inside
 * on_inbox_event. */
#include "tests/store/redis_backend.h"

#include "gateway/stores/redis/redis_link.h"
#include "tests/store/ask_calls.h"

/* ---- a link that has no room for what ends a subscription ---- */

static atomic_int n_refused;

enum err __real_redis_link_command(struct redis_link *link, const struct span *args, size_t n_args,
                                   redis_reply_fn on_reply, void *arg, size_t index);
enum err __wrap_redis_link_command(struct redis_link *link, const struct span *args, size_t n_args,
                                   redis_reply_fn on_reply, void *arg, size_t index);

enum err __wrap_redis_link_command(struct redis_link *link, const struct span *args, size_t n_args,
                                   redis_reply_fn on_reply, void *arg, size_t index)
{
    if (memmem(args[n_args - 1].bytes, args[n_args - 1].len, "anna", 4) != NULL &&
        span_equal(args[0], SPAN_LITERAL("SUNSUBSCRIBE"))) {
        atomic_fetch_add(&n_refused, 1);
        return ERR_BUSY;
    }
    return __real_redis_link_command(link, args, n_args, on_reply, arg, index);
}

/* ---- the user leaves inside the call ---- */

static void leave_and_record(void *owner, struct span user_id, struct inbox_event event)
{
    store_leave(store, 0, user_id);
    record_inbox_event(owner, user_id, event);
}

Test(store_redis, a_user_who_leaves_while_an_event_is_delivered_has_a_name_until_its_end)
{
    backend_close(store);
    struct store_config config = contract_config(1000, 1 << 20);
    config.events.on_inbox_event = leave_and_record;
    store = backend_open(&config);
    arrive(store, "anna");
    cr_assert_eq(append_one(store, "anna", "{}", 60).error, ERR_OK);
    wait_for_notification("anna", 1);
    cr_assert_eq(atomic_load(&n_refused), 1);
}

/* The gateway gives it to the sessions that are here, then. */
Test(store_redis, what_is_sent_where_this_node_is_not_subscribed_is_unheard)
{
    arrive(store, "anna");
    struct store_target target = send_one(store, "anna", SPAN_LITERAL("1"));
    cr_expect_eq(target.nodes, 1);
    cr_expect_not(target.is_unheard);
    target = send_one(store, "bert", SPAN_LITERAL("1"));
    cr_expect_eq(target.nodes, 0);
    cr_expect_not(target.is_unheard, "nobody is here who could miss it");
    redis_server_do(&server, "CLIENT KILL TYPE pubsub");
    wait_for_state(false);
    target = send_one(store, "anna", SPAN_LITERAL("2"));
    cr_expect_eq(target.error, ERR_OK);
    cr_expect(target.is_unheard || target.nodes == 1, "or the link is back already");
    wait_for_state(true);
}

Test(store_redis, links_are_counted_while_they_are_up)
{
    cr_expect_eq(metrics_read(METRIC_STORE_LINKS_COMMANDS), n_lanes);
    cr_expect_eq(metrics_read(METRIC_STORE_LINKS_SUBSCRIPTIONS), n_lanes);
    backend_close(store);
    cr_expect_eq(metrics_read(METRIC_STORE_LINKS_COMMANDS), 0);
    cr_expect_eq(metrics_read(METRIC_STORE_LINKS_SUBSCRIPTIONS), 0);
    struct store_config config = contract_config(1000, 1 << 20);
    store = backend_open(&config);
}
