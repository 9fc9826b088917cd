/* The Redis store beside the memory store: whatever is asked of both, at random, both answer the
 * same. Its scripts and the memory store's code have nothing in common but the contract.
 *
 * Both live by a clock that the test moves. */
#include "gateway/stores/stores.h"
#include "tests/store/redis_backend.h"

/* Few at a time, so that little inboxes meet what only big ones meet. */
#define SCRIPT_CHANGES                                                                             \
    {"BIG = 1000", "BIG = 20"}, {"SWEEP = 128", "SWEEP = 2"}, {"CHUNK = 1000", "CHUNK = 3"},       \
    {                                                                                              \
        "CHUNK_READ = 64", "CHUNK_READ = 5"                                                        \
    }
#include "tests/store/redis_clock.h"

enum { ROUNDS = 1200 };

static const char *const devices[] = {"", "phone", "tablet", "watch"};
enum { DEVICES = sizeof devices / sizeof devices[0] };

static uint64_t random_state;

static uint64_t draw(uint64_t below)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (random_state >> 33) % below;
}

/* What a request needs to know of one of the stores. */
struct twin {
    struct store *store;
    struct epoch epoch;
    uint64_t head;
    uint32_t time; /* of the head */
};

static void push_to(struct twin *twin, const char *key, uint32_t ttl_s, uint64_t known_acked)
{
    struct store_target target = {.user_id = SPAN_LITERAL("anna"),
                                  .known_head = twin->head,
                                  .known_epoch = twin->epoch,
                                  .known_time = twin->time,
                                  .known_acked = known_acked};
    append_run(twin->store,
               (struct store_append){.payload = payload_new_keyed(SPAN_LITERAL("{}"), span_of(key)),
                                     .ttl_s = ttl_s,
                                     .n_targets = 1,
                                     .targets = &target});
    cr_assert_eq(target.error, ERR_OK);
    cr_assert_eq(target.seq, twin->head + 1);
    twin->epoch = target.epoch;
    twin->head = target.seq;
    twin->time = store_time(target.time_ms);
}

/* One for all, as most do; or any, so that what was pushed later may expire earlier. */
static uint32_t draw_ttl_s(bool is_mixed)
{
    static const uint32_t ttls_s[] = {20, 3, 20, 60, 600};
    return ttls_s[is_mixed ? draw(sizeof ttls_s / sizeof ttls_s[0]) : 0];
}

static void push(struct twin twins[2], bool is_mixed)
{
    static const char *const keys[] = {"", "", "", "score", "price"};
    const char *key = keys[draw(5)];
    uint32_t ttl_s = draw_ttl_s(is_mixed);
    uint64_t known_acked = draw(2) == 0 ? 0 : draw(twins[0].head + 1);
    bool has_device = false;
    for (int i = 0; i < 2; i++) {
        struct store_page page = page_of_device(twins[i].store, "anna", "", false);
        has_device = page.has_devices;
        page_free(&page);
    }
    for (int i = 0; i < 2; i++)
        push_to(&twins[i], key, ttl_s, has_device ? 0 : known_acked);
    /* Whether the push has written it is the store's choice; the node writes it in any case. */
    for (int i = 0; i < 2 && known_acked > 0 && !has_device; i++)
        cr_assert_eq(ack_one(twins[i].store, "anna", twins[i].epoch, known_acked), ERR_OK);
}

enum { TOGETHER_MAX = 20 };

/* Many in one call, of which some have collapse keys and are sent by themselves. */
static void push_together_to(struct twin *twin, const char *const *keys, size_t n, uint32_t ttl_s)
{
    static struct append_call calls[TOGETHER_MAX];
    for (size_t i = 0; i < n; i++) {
        append_prepare(&calls[i], "anna", SPAN_LITERAL("{}"), ttl_s);
        calls[i].target.known_head = twin->head;
        calls[i].target.known_epoch = twin->epoch;
        calls[i].target.known_time = twin->time;
        payload_unref(calls[i].append.payload);
        calls[i].append.payload = payload_new_keyed(SPAN_LITERAL("{}"), span_of(keys[i]));
        calls[i].append.request.next = i + 1 < n ? &calls[i + 1].append.request : NULL;
    }
    store_append_many(twin->store, &calls[0].append);
    for (size_t i = 0; i < n; i++) {
        append_end(&calls[i]);
        cr_assert_eq(calls[i].target.error, ERR_OK);
        cr_assert_eq(calls[i].target.seq, twin->head + 1 + i);
    }
    twin->epoch = calls[0].target.epoch;
    twin->head += n;
    twin->time = store_time(calls[n - 1].target.time_ms);
}

static void push_together(struct twin twins[2], bool is_mixed)
{
    const char *keys[TOGETHER_MAX];
    size_t n = 1 + draw(TOGETHER_MAX);
    uint32_t ttl_s = draw_ttl_s(is_mixed);
    for (size_t i = 0; i < n; i++)
        keys[i] = draw(6) == 0 ? "score" : "";
    for (int i = 0; i < 2; i++)
        push_together_to(&twins[i], keys, n, ttl_s);
}

static void acknowledge(struct twin twins[2], bool is_held)
{
    const char *device = devices[draw(DEVICES)];
    uint64_t seq = draw(twins[0].head + 2);
    uint64_t written = draw(twins[0].head + 2);
    enum err errors[2];
    for (int i = 0; i < 2; i++)
        errors[i] = ack_run(twins[i].store, (struct store_ack){.user_id = SPAN_LITERAL("anna"),
                                                               .device = span_of(device),
                                                               .is_held = is_held,
                                                               .epoch = twins[i].epoch,
                                                               .seq = seq,
                                                               .written = written});
    cr_assert_eq(errors[0], errors[1]);
}

/* Which ranges merge first depends on when each store sees that something has expired, and on the
 * order in which a purge takes its numbers. What lies between them is then unknown as well. */
static void expect_same_cause(enum gap_cause a, enum gap_cause b, uint64_t seq)
{
    cr_assert(a == b || a == GAP_UNKNOWN || b == GAP_UNKNOWN, "number %d: %s and %s", (int)seq,
              gap_cause_text(a), gap_cause_text(b));
}

static void expect_same_found(struct store_found a, struct store_found b, uint64_t seq)
{
    if ((a.fate == FATE_GONE && a.cause == GAP_UNKNOWN) ||
        (b.fate == FATE_GONE && b.cause == GAP_UNKNOWN))
        return;
    if (a.fate == FATE_GONE && b.fate == FATE_GONE)
        expect_same_cause(a.cause, b.cause, seq);
    cr_assert_eq(a.fate, b.fate, "number %d: %d and %d", (int)seq, a.fate, b.fate);
    cr_assert_eq(a.is_written, b.is_written, "number %d: %d and %d", (int)seq, a.is_written,
                 b.is_written);
}

static void look(struct twin twins[2])
{
    uint64_t seq = draw(twins[0].head + 2);
    struct store_look looks[2];
    for (int i = 0; i < 2; i++)
        looks[i] = look_at(twins[i].store, "anna", twins[i].epoch, seq);
    cr_assert_eq(looks[0].error, looks[1].error);
    if (looks[0].error == ERR_OK)
        expect_same_found(looks[0].found, looks[1].found, seq);
}

static void withdraw(struct twin twins[2], bool is_all)
{
    uint64_t seq = draw(twins[0].head + 2);
    struct store_withdraw asked[2];
    for (int i = 0; i < 2; i++)
        asked[i] = is_all ? purge(twins[i].store, "anna")
                          : cancel_one(twins[i].store, "anna", twins[i].epoch, seq);
    cr_assert_eq(asked[0].error, asked[1].error);
    cr_assert_eq(asked[0].n_removed, asked[1].n_removed);
    if (!is_all && asked[0].error == ERR_OK)
        expect_same_found(asked[0].found, asked[1].found, seq);
}

static void arrive_by(struct twin twins[2])
{
    const char *device = devices[draw(DEVICES)];
    for (int i = 0; i < 2; i++) {
        struct store_page page = page_of_device(twins[i].store, "anna", device, true);
        cr_assert_eq(page.error, ERR_OK);
        page_free(&page);
    }
}

static enum gap_cause cause_in(const struct store_page *page, uint64_t seq)
{
    for (size_t i = 0; i < page->n_gaps; i++)
        if (page->gaps[i].from <= seq && seq <= page->gaps[i].to)
            return page->gaps[i].cause;
    return GAP_NONE;
}

static void expect_same_page(const struct store_page *a, const struct store_page *b)
{
    cr_assert_eq(a->head, b->head);
    cr_assert_eq(a->acked, b->acked, "%d and %d", (int)a->acked, (int)b->acked);
    cr_assert_eq(a->position, b->position, "%d and %d", (int)a->position, (int)b->position);
    cr_assert_eq(a->has_devices, b->has_devices);
    cr_assert_eq(a->start, b->start);
    cr_assert_eq(a->is_resumed, b->is_resumed);
    cr_assert_eq(a->n_notes, b->n_notes);
    for (size_t i = 0; i < a->n_notes; i++) {
        cr_assert_eq(a->notes[i]->seq, b->notes[i]->seq);
        cr_assert(span_equal(payload_key(a->notes[i]->payload), payload_key(b->notes[i]->payload)));
    }
    if (a->last != b->last)
        return; /* a page may end anywhere after its last entry */
    for (uint64_t seq = a->start + 1; seq <= a->last; seq++)
        expect_same_cause(cause_in(a, seq), cause_in(b, seq), seq);
}

static void compare(struct twin twins[2], struct store_page asked)
{
    struct store_page pages[2];
    asked.user_id = SPAN_LITERAL("anna");
    asked.max_bytes = UINT32_MAX;
    asked.wants_gaps = true;
    for (int i = 0; i < 2; i++)
        pages[i] = page_run(twins[i].store, asked);
    expect_same_page(&pages[0], &pages[1]);
    for (int i = 0; i < 2; i++)
        page_free(&pages[i]);
}

static void compare_all(struct twin twins[2])
{
    compare(twins, (struct store_page){.max_count = 1000});
    compare(twins, (struct store_page){.after = draw(twins[0].head + 2),
                                       .device = span_of(devices[draw(DEVICES)]),
                                       .max_count = 1 + (uint32_t)draw(6)});
    struct store_peek peeks[2];
    for (int i = 0; i < 2; i++)
        peeks[i] = peek_one(twins[i].store, "anna");
    cr_assert_eq(peeks[0].pending, peeks[1].pending);
    cr_assert_eq(peeks[0].acked, peeks[1].acked);
    cr_assert_eq(peeks[0].oldest_time_ms == 0, peeks[1].oldest_time_ms == 0);
}

/* As when an older Herald, which knows nothing of the sorted sets, has written the record. */
static void forget_the_sets(void)
{
    redis_server_do(&server,
                    "EVAL \"redis.call('HSET', KEYS[1], 'r', string.sub(redis.call('HGET', "
                    "KEYS[1], 'r'), 1, 59))\" 1 herald:{anna}:meta");
}

static void run_one(struct twin twins[2], uint64_t what, bool is_held, bool is_mixed)
{
    if (what < 3)
        push_together(twins, is_mixed);
    else if (what < 60)
        push(twins, is_mixed);
    else if (what < 72)
        acknowledge(twins, is_held);
    else if (what < 80)
        withdraw(twins, false);
    else if (what < 90)
        look(twins);
    else if (what < 91)
        withdraw(twins, true);
    else if (what < 96)
        move_clock((int64_t)draw(12000));
    else if (what < 97)
        forget_the_sets();
    else
        arrive_by(twins);
}

/* Devices come late in some runs, and not at all in others. */
static void run_twins(uint64_t seed)
{
    uint32_t inbox_max = seed % 2 == 0 ? 12 : 40;
    uint64_t max_bytes = seed % 4 == 1 ? 50 : 1 << 20;
    contract_open_with(inbox_max, max_bytes);
    move_clock(1000);
    random_state = seed;
    struct store_config config = contract_config(inbox_max, max_bytes);
    config.url = "memory:";
    config.events = (struct store_events){0};
    char why[200];
    struct twin twins[2] = {{.store = store}};
    cr_assert_eq(store_open(&config, &twins[1].store, why, sizeof why), ERR_OK, "%s", why);
    bool is_held = seed % 2 == 0;
    bool is_mixed = seed % 3 != 0;
    int devices_from = (int)(seed % 3) * ROUNDS / 2;
    push(twins, is_mixed);
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t what = draw(i >= devices_from ? 100 : 97);
        run_one(twins, what, is_held, is_mixed);
        compare_all(twins);
    }
    store_close(twins[1].store);
}

#define TWINS(seed)                                                                                \
    Test(store_redis, answers_as_the_memory_store_does_from_seed_##seed)                           \
    {                                                                                              \
        run_twins(seed);                                                                           \
    }

TWINS(1)
TWINS(2)
TWINS(3)
TWINS(4)
TWINS(5)
TWINS(6)
TWINS(7)
TWINS(8)
TWINS(9)
TWINS(10)
TWINS(11)
TWINS(12)
TWINS(13)
TWINS(14)
TWINS(15)
TWINS(16)
TWINS(17)
TWINS(18)
TWINS(19)
TWINS(20)
TWINS(21)
TWINS(22)
TWINS(23)
TWINS(24)
TWINS(25)
TWINS(26)
TWINS(27)
TWINS(28)
TWINS(29)
TWINS(30)
