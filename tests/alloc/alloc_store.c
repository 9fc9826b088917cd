/* The memory store without memory: every request is answered, with an error that says so, and what
 * was accepted is there, in numbers without holes. */
#include "gateway/base/hash.h"
#include "gateway/store/store.h"
#include "gateway/stores/memory/store_memory.h"
#include "tests/alloc/fail.h"

static const int64_t now_ms = 1700000000000;
static struct store *store;
static struct payload *payload, *keyed; /* made outside of the runs */
static uint64_t head;                   /* of the user "anna" */
static uint64_t n_told;

static int64_t fixed_now_ms(void *unused)
{
    (void)unused;
    return now_ms;
}

static void on_inbox_event(void *owner, struct span user_id, struct inbox_event event)
{
    (void)owner;
    (void)user_id;
    n_told += event.kind == INBOX_NOTIFICATION;
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
    for (int i = 0; i < 3 && !is_answered; i++)
        store_local_turn(store);
    CHECK(is_answered);
}

static void append(const char *user, struct payload *of, const char *key)
{
    struct store_target targets[2] = {{.user_id = span_of(user)},
                                      {.user_id = SPAN_LITERAL("bert")}};
    struct store_append request = {.request = {.on_done = on_done},
                                   .payload = of,
                                   .ttl_s = 60,
                                   .idempotency_key = span_of(key),
                                   .n_targets = of == payload ? 2 : 1,
                                   .targets = targets};
    store_append(store, &request);
    turn();
    if (!WENT_WELL_OR(targets[0].error, ERR_STORE_UNAVAILABLE) || targets[0].is_duplicate)
        return;
    CHECK(targets[0].seq == ++head);
}

static struct store_peek peek(const char *user)
{
    struct store_peek request = {.request = {.on_done = on_done}, .user_id = span_of(user)};
    store_peek(store, &request);
    turn();
    CHECK(request.error == ERR_OK || fail_has_happened());
    return request;
}

static void page(const char *device, bool is_arrival)
{
    struct store_page request = {.request = {.on_done = on_done},
                                 .user_id = SPAN_LITERAL("anna"),
                                 .device = span_of(device),
                                 .is_arrival = is_arrival,
                                 .must_begin = is_arrival,
                                 .wants_gaps = true,
                                 .max_count = 100,
                                 .max_bytes = 100000};
    store_page(store, &request);
    turn();
    if (request.error == ERR_OK) {
        for (size_t i = 1; i < request.n_notes; i++)
            CHECK(request.notes[i - 1]->seq < request.notes[i]->seq);
        CHECK(request.head == head && request.n_notes <= head);
    } else {
        CHECK(request.error == ERR_NO_MEMORY || request.error == ERR_STORE_UNAVAILABLE);
        CHECK(fail_has_happened() && request.n_notes == 0 && request.n_gaps == 0);
    }
    store_page_clear(&request);
}

static void ack(const char *device, uint64_t seq)
{
    struct store_ack request = {.request = {.on_done = on_done},
                                .user_id = SPAN_LITERAL("anna"),
                                .device = span_of(device),
                                .epoch = peek("anna").epoch,
                                .seq = seq,
                                .written = seq};
    if (epoch_is_none(request.epoch))
        return;
    store_ack(store, &request);
    turn();
    CHECK(request.error == ERR_OK || fail_has_happened());
}

static void look(uint64_t seq)
{
    struct store_look request = {.request = {.on_done = on_done},
                                 .user_id = SPAN_LITERAL("anna"),
                                 .epoch = peek("anna").epoch,
                                 .seq = seq};
    store_look(store, &request);
    turn();
    CHECK(request.error == ERR_OK || fail_has_happened());
}

static void withdraw(uint64_t seq, bool is_all)
{
    struct store_withdraw request = {.request = {.on_done = on_done},
                                     .user_id = SPAN_LITERAL("anna"),
                                     .is_all = is_all,
                                     .epoch = peek("anna").epoch,
                                     .seq = seq};
    store_withdraw(store, &request);
    turn();
    CHECK(request.error == ERR_OK || fail_has_happened());
}

static void block(const char *user, uint32_t for_s)
{
    struct store_block request = {
        .request = {.on_done = on_done}, .user_id = span_of(user), .for_s = for_s};
    store_block(store, &request);
    turn();
    if (WENT_WELL(request.error))
        CHECK((peek(user).blocked_until_ms > 0) == (for_s > 0) || fail_has_happened());
    else
        CHECK(request.until_ms == 0);
}

static enum err give_ticket(const char *text)
{
    struct store_ticket_give request = {.request = {.on_done = on_done},
                                        .ticket = span_of(text),
                                        .user_id = SPAN_LITERAL("anna"),
                                        .ttl_s = 30};
    store_ticket_give(store, &request);
    turn();
    return request.error;
}

static enum err take_ticket(const char *text)
{
    struct store_ticket_take request = {.request = {.on_done = on_done}, .ticket = span_of(text)};
    store_ticket_take(store, &request);
    turn();
    CHECK(request.error != ERR_OK || request.user_id_len == 4);
    return request.error;
}

static void tickets(void)
{
    enum err given = give_ticket("t-1");
    CHECK(given == ERR_OK || (given == ERR_NO_MEMORY && fail_has_happened()));
    CHECK(take_ticket("t-1") == (given == ERR_OK ? ERR_OK : ERR_NOT_FOUND));
    CHECK(take_ticket("t-1") == ERR_NOT_FOUND);
}

/* With memory again, what it says is whole, and it takes more. */
static void check_whole(void)
{
    fail_no_more();
    struct store_peek before = peek("anna");
    CHECK(before.error == ERR_OK && before.head == head && before.pending <= head);
    page("", false);
    append("anna", payload, "");
    CHECK(peek("anna").head == before.head + 1);
    CHECK(n_told >= head);
}

static bool open_store(void)
{
    struct store_config config = {.redis_prefix = "herald",
                                  .inbox_max = 12,
                                  .inbox_max_bytes = 1 << 20,
                                  .idempotency_window_s = 3600,
                                  .events = {.on_inbox_event = on_inbox_event}};
    struct store_clock clock = {fixed_now_ms, NULL};
    head = n_told = 0;
    return WENT_WELL(store_memory_open_unthreaded(&config, clock, &store));
}

static void pushes(void)
{
    if (!open_store())
        return;
    for (int i = 0; i < 10; i++) {
        append("anna", payload, "");
        append("anna", keyed, "");
    }
    append("anna", payload, "order-1");
    append("anna", payload, "order-1");
    page("", false);
    ack("", 5);
    withdraw(8, false);
    check_whole();
    withdraw(0, true);
    store_close(store);
}

static void positions(void)
{
    static const char *const devices[] = {"phone", "tv", "", "phone"};
    if (!open_store())
        return;
    for (size_t i = 0; i < sizeof devices / sizeof devices[0]; i++) {
        page(devices[i], true);
        append("anna", payload, "");
        append("anna", keyed, "");
        ack(devices[i], i + 1);
        if (i % 2)
            withdraw(i + 1, false);
        else
            look(i + 1);
    }
    page("tv", false);
    check_whole();
    store_close(store);
}

static void many_users(void)
{
    char user[16];
    if (!open_store())
        return;
    for (unsigned i = 0; i < 40; i++) {
        snprintf(user, sizeof user, "u%u", i);
        block(user, 60 + i);
        block(user, i % 2);
    }
    tickets();
    check_whole();
    store_close(store);
}

int main(void)
{
    CHECK(hash_init() == ERR_OK);
    payload = payload_new(SPAN_LITERAL("{\"a\":1}"));
    keyed = payload_new_keyed(SPAN_LITERAL("{\"b\":2}"), SPAN_LITERAL("score"));
    CHECK(payload != NULL && keyed != NULL);
    fail_each("pushes", pushes);
    fail_each("positions", positions);
    fail_each("many_users", many_users);
    payload_unref(payload);
    payload_unref(keyed);
    return 0;
}
