/* The event log of the memory store without memory: every request is answered, and what was not
 * done at once is done by a repeat; numbers have no holes, and a user's events alternate. */
#include "gateway/base/hash.h"
#include "gateway/store/store.h"
#include "gateway/store/store_event_request.h"
#include "gateway/stores/memory/store_memory.h"
#include "tests/alloc/fail.h"

#include <stdlib.h>

enum { USERS = 5 };
static const char *const users[USERS] = {"anna", "bert", "carl", "dora", "emil"};

static int64_t now_ms = 1700000000000;
static struct store *store;
static struct payload *payload; /* made outside of the runs */

static int64_t clock_now_ms(void *unused)
{
    (void)unused;
    return now_ms;
}

static bool is_answered;

static void on_done(struct store_request *request)
{
    (void)request;
    CHECK(!is_answered);
    is_answered = true;
}

static void turn(void)
{
    is_answered = false;
    store_local_turn(store);
    CHECK(is_answered);
}

static bool open_store(void)
{
    struct store_config config = {.inbox_max = 10,
                                  .inbox_max_bytes = 1000,
                                  .events_max = 20,
                                  .events_max_bytes = 100000,
                                  .event_ttl_s = 600,
                                  .alerts_max = 10};
    return WENT_WELL(
        store_memory_open_unthreaded(&config, (struct store_clock){clock_now_ms, NULL}, &store));
}

static struct store_consumers ask_consumers(struct store_consumers asked)
{
    asked.request.on_done = on_done;
    store_consumers(store, &asked);
    turn();
    CHECK(asked.error == ERR_OK || fail_has_happened());
    return asked;
}

static void append(void)
{
    struct span events[3] = {SPAN_LITERAL("{\"n\":1}"), SPAN_LITERAL("{\"n\":2}"),
                             SPAN_LITERAL("{\"n\":3}")};
    uint64_t head = ask_consumers((struct store_consumers){0}).head;
    struct store_event_append request = {.request = {.on_done = on_done}, .n = 3, .events = events};
    store_event_append(store, &request);
    turn();
    bool is_kept = WENT_WELL_OR(request.error, ERR_STORE_UNAVAILABLE);
    CHECK(!is_kept || request.first_seq == head + 1);
    CHECK(ask_consumers((struct store_consumers){0}).head == head + (is_kept ? 3 : 0));
}

static void read_all(const char *consumer)
{
    struct store_page request = {.request = {.on_done = on_done},
                                 .user_id = store_partition_user(0),
                                 .device = span_of(consumer),
                                 .from_acked = true,
                                 .wants_gaps = true,
                                 .max_count = 100,
                                 .max_bytes = 100000};
    store_page(store, &request);
    turn();
    CHECK(request.error == ERR_OK || fail_has_happened());
    CHECK(request.error == ERR_OK || request.n_notes == 0);
    for (size_t i = 1; i < request.n_notes; i++)
        CHECK(request.notes[i]->seq == request.notes[i - 1]->seq + 1);
    store_page_clear(&request);
}

static void acknowledge(const char *consumer)
{
    struct store_consumers list = ask_consumers((struct store_consumers){0});
    struct store_ack request = {.request = {.on_done = on_done},
                                .user_id = store_partition_user(0),
                                .device = span_of(consumer),
                                .epoch = list.epoch,
                                .seq = list.head / 2};
    store_ack(store, &request);
    turn();
    CHECK(request.error == ERR_OK || fail_has_happened());
}

static void readers(void)
{
    static const char *const names[] = {"pa", "wb", "pc"};
    if (!open_store())
        return;
    for (int i = 0; i < 3; i++) {
        ask_consumers((struct store_consumers){.action = CONSUMERS_ADD, .key = span_of(names[i])});
        for (int n = 0; n < 5; n++)
            append();
        read_all(names[i]);
        acknowledge(names[i]);
    }
    ask_consumers((struct store_consumers){.action = CONSUMERS_REMOVE, .key = span_of(names[0])});
    read_all("");
    store_close(store);
}

/* ---- who is online ---- */

static enum err change_all(bool is_here)
{
    enum err worst = ERR_OK;
    for (int i = 0; i < USERS; i++) {
        struct store_presence_change changes[2] = {
            {.user_id = span_of(users[i]),
             .is_here = is_here,
             .event = SPAN_LITERAL("{\"on\":1}"),
             .last_seen_ms = now_ms,
             .cause = OFFLINE_CLOSED},
            {.user_id = span_of(users[i]), .is_here = true, .event = SPAN_LITERAL("{\"on\":2}")},
        };
        struct store_presence request = {.request = {.on_done = on_done},
                                         .partition = 0,
                                         .node = SPAN_LITERAL("node"),
                                         .offline_after_ms = 1000,
                                         .n_changes = is_here ? 2 : 1,
                                         .changes = changes};
        store_presence(store, &request);
        turn();
        CHECK(request.error == ERR_OK || fail_has_happened());
        worst = request.error != ERR_OK ? request.error : worst;
    }
    return worst;
}

static void serve(void)
{
    struct store_serve request = {.request = {.on_done = on_done},
                                  .node = SPAN_LITERAL("node"),
                                  .wants_lease = true,
                                  .may_judge = true,
                                  .keeps_offline = true,
                                  .offline_after_ms = 1000};
    store_serve(store, &request);
    turn();
    CHECK(request.error == ERR_OK || fail_has_happened());
    free(request.alerts);
}

static size_t count_present(void)
{
    struct store_present request = {.request = {.on_done = on_done}, .limit = 100};
    store_present(store, &request);
    turn();
    CHECK(request.error == ERR_OK || fail_has_happened());
    free(request.users);
    return request.error == ERR_OK ? request.n : USERS;
}

/* A repeat does what was not done, and nothing twice. */
static void presence(void)
{
    if (!open_store())
        return;
    if (change_all(true) != ERR_OK) {
        fail_no_more();
        CHECK(change_all(true) == ERR_OK);
    }
    CHECK(count_present() == USERS);
    CHECK(ask_consumers((struct store_consumers){0}).head == USERS);
    if (change_all(false) != ERR_OK) {
        fail_no_more();
        CHECK(change_all(false) == ERR_OK);
    }
    now_ms += 2000;
    serve();
    fail_no_more();
    serve();
    CHECK(ask_consumers((struct store_consumers){0}).head == 2 * USERS);
    CHECK(count_present() == 0);
    store_close(store);
}

/* ---- alerts ---- */

static bool push(const char *user)
{
    struct store_target target = {.user_id = span_of(user)};
    struct store_append request = {.request = {.on_done = on_done},
                                   .payload = payload,
                                   .ttl_s = 60,
                                   .alert_after_s = 1,
                                   .n_targets = 1,
                                   .targets = &target};
    store_append(store, &request);
    turn();
    return WENT_WELL_OR(target.error, ERR_STORE_UNAVAILABLE);
}

static struct store_serve look(unsigned partition)
{
    struct store_serve request = {.request = {.on_done = on_done},
                                  .partition = partition,
                                  .node = SPAN_LITERAL("node"),
                                  .wants_lease = true};
    store_serve(store, &request);
    turn();
    CHECK(request.error == ERR_OK || fail_has_happened());
    return request;
}

static void end_one(unsigned partition, struct store_alert alert)
{
    struct store_alert_end request = {.request = {.on_done = on_done},
                                      .partition = partition,
                                      .alert = alert,
                                      .event = SPAN_LITERAL("{}")};
    store_alert_end(store, &request);
    turn();
    if (WENT_WELL_OR(request.error, ERR_STORE_UNAVAILABLE))
        return;
    fail_no_more();
    store_alert_end(store, &request);
    turn();
    CHECK(request.error == ERR_OK);
}

static void alerts(void)
{
    unsigned partition = store_partition_of(SPAN_LITERAL("anna"));
    uint64_t n = 0;
    if (!open_store())
        return;
    for (int i = 0; i < 4; i++)
        n += push("anna");
    struct store_serve served = look(partition);
    CHECK(served.n_pending_alerts == n);
    free(served.alerts);
    now_ms += 2000;
    served = look(partition);
    for (size_t i = 0; i < served.n_alerts; i++)
        end_one(partition, served.alerts[i]);
    struct store_consumers list = ask_consumers((struct store_consumers){.partition = partition});
    CHECK(list.head == served.n_alerts);
    free(served.alerts);
    store_close(store);
}

int main(void)
{
    CHECK(hash_init() == ERR_OK);
    payload = payload_new(SPAN_LITERAL("{\"a\":1}"));
    CHECK(payload != NULL);
    fail_each("readers", readers);
    fail_each("presence", presence);
    fail_each("alerts", alerts);
    payload_unref(payload);
    return 0;
}
