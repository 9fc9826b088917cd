/* The file store over a restart: what an inbox is, and not only what waits in it, is on the disk.
 */
#include "gateway/stores/stores.h"
#include "tests/store/block_calls.h"

#include <unistd.h>

static char directory[64];
static struct store *store;
static uint32_t idempotency_max; /* 0: the usual one */

static void open_again(void)
{
    char why[400] = "";
    char url[100];
    store_close(store);
    snprintf(url, sizeof url, "file:%s", directory);
    struct store_config config = {
        .url = url,
        .redis_prefix = "herald",
        .inbox_max = 5,
        .inbox_max_bytes = 1 << 20,
        .idempotency_window_s = 3600,
        .idempotency_max = idempotency_max,
        .events = {.on_inbox_event = record_inbox_event, .on_state = record_state},
    };
    cr_assert_eq(store_open(&config, &store, why, sizeof why), ERR_OK, "%s", why);
}

static void setup(void)
{
    cr_assert_eq(hash_init(), ERR_OK);
    recorder_init();
    snprintf(directory, sizeof directory, "/tmp/herald-restart-XXXXXX");
    cr_assert_not_null(mkdtemp(directory));
    open_again();
}

static void teardown(void)
{
    static const char *const files[] = {"data.mdb", "lock.mdb", "herald.lock", "lock"};
    char path[100];
    store_close(store);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "%s/%s", directory, files[i]);
        unlink(path);
    }
    cr_assert_eq(rmdir(directory), 0, "%s holds a file that this does not know", directory);
    recorder_fini();
    contract_check_leaks();
}

TestSuite(store_file_restart, .init = setup, .fini = teardown, .timeout = STORE_TEST_TIMEOUT_S);

Test(store_file_restart, keeps_each_cause)
{
    struct epoch epoch = append_keyed(store, "anna", "1", "score").epoch;
    append_keyed(store, "anna", "2", "score");
    struct store_target brief = append_one(store, "anna", "3", 1);
    for (int i = 4; i <= 7; i++)
        append_number(store, "anna", i, 60);
    cancel_one(store, "anna", epoch, 5);
    sleep_until_wall_ms(brief.expires_ms);
    expect_inbox(store, "anna", "loe.c..");
    for (int i = 0; i < 2; i++) {
        open_again();
        expect_inbox(store, "anna", "loe.c..");
    }
    cr_assert_eq(ack_one(store, "anna", epoch, 6), ERR_OK);
    open_again();
    expect_inbox(store, "anna", "loeaca.");
    expect_fate(look_at(store, "anna", epoch, 5), FATE_GONE, GAP_CANCELLED);
    expect_fate(look_at(store, "anna", epoch, 6), FATE_DELIVERED, GAP_NONE);
    cr_assert_eq(purge(store, "anna").n_removed, 1);
    open_again();
    expect_inbox(store, "anna", "loeacac");
    append_number(store, "anna", 8, 60);
    expect_inbox(store, "anna", "loeacac.");
}

Test(store_file_restart, names_what_expired_while_it_was_closed)
{
    append_number(store, "anna", 1, 60);
    struct store_target brief = append_one(store, "anna", "2", 1);
    append_number(store, "bert", 1, 1);
    store_close(store);
    store = NULL;
    sleep_until_wall_ms(brief.expires_ms + 100);
    open_again();
    expect_inbox(store, "anna", ".e");
    expect_inbox(store, "bert", "e");
    cr_assert_eq(append_one(store, "bert", "2", 60).seq, 2);
    open_again();
    expect_inbox(store, "bert", "e.");
}

static uint64_t position_of(const char *device)
{
    struct store_page page = page_of_device(store, "anna", device, false);
    uint64_t position = page.position;
    cr_assert(page.has_devices);
    page_free(&page);
    return position;
}

static void ack_device(const char *device, struct epoch epoch, uint64_t seq, uint64_t written)
{
    cr_assert_eq(ack_run(store, (struct store_ack){.user_id = SPAN_LITERAL("anna"),
                                                   .device = span_of(device),
                                                   .epoch = epoch,
                                                   .seq = seq,
                                                   .written = written}),
                 ERR_OK);
}

Test(store_file_restart, keeps_each_position_and_what_was_written)
{
    for (int i = 1; i <= 5; i++)
        append_number(store, "anna", i, 60);
    struct epoch epoch = peek_one(store, "anna").epoch;
    static const char *const devices[] = {"phone", "tablet"};
    for (int i = 0; i < 2; i++) {
        struct store_page page = page_of_device(store, "anna", devices[i], true);
        page_free(&page);
    }
    ack_device("phone", epoch, 3, 4);
    ack_device("tablet", epoch, 1, 0);
    ack_device("", epoch, 2, 0);
    open_again();
    cr_assert_eq(peek_one(store, "anna").acked, 1);
    cr_assert_eq(position_of("phone"), 3);
    cr_assert_eq(position_of("tablet"), 1);
    cr_assert_eq(position_of(""), 2);
    cr_assert(look_at(store, "anna", epoch, 4).found.is_written);
    cr_assert_not(look_at(store, "anna", epoch, 5).found.is_written);
    ack_device("tablet", epoch, 5, 0);
    cr_assert_eq(peek_one(store, "anna").acked, 3);
    open_again();
    cr_assert_eq(peek_one(store, "anna").acked, 3);
    expect_inbox(store, "anna", "aaa..");
}

static struct store_target append_once(uint8_t print)
{
    struct store_target target = {.user_id = SPAN_LITERAL("anna")};
    append_run(store, (struct store_append){.payload = payload_new(SPAN_LITERAL("{}")),
                                            .ttl_s = 60,
                                            .idempotency_key = SPAN_LITERAL("order-17"),
                                            .print = {{print}},
                                            .n_targets = 1,
                                            .targets = &target});
    return target;
}

Test(store_file_restart, keeps_idempotency_keys)
{
    struct store_target first = append_once(7);
    open_again();
    struct store_target repeat = append_once(7);
    cr_assert_eq(repeat.error, ERR_OK);
    cr_assert(repeat.is_duplicate);
    cr_assert(epoch_equal(repeat.epoch, first.epoch));
    cr_assert_eq(repeat.seq, first.seq);
    cr_assert_eq(repeat.time_ms, first.time_ms);
    cr_assert_eq(repeat.expires_ms, first.expires_ms);
    cr_assert_eq(append_once(8).error, ERR_IDEMPOTENCY_MISMATCH);
    expect_inbox(store, "anna", ".");
}

/* What a lower --idempotency-max finds in the file leaves it. */
Test(store_file_restart, forgets_the_oldest_idempotency_keys_beyond_its_ceiling)
{
    static const char *const keys[] = {"a", "b", "c", "d", "e"};
    for (int i = 0; i < 5; i++)
        append_idempotent(store, "anna", keys[i]);
    idempotency_max = 2;
    open_again();
    append_number(store, "bert", 1, 60); /* a turn */
    open_again();
    idempotency_max = 0;
    open_again();
    cr_assert(append_idempotent(store, "anna", "e").is_duplicate);
    cr_assert(append_idempotent(store, "anna", "d").is_duplicate);
    cr_assert_not(append_idempotent(store, "anna", "c").is_duplicate);
}

Test(store_file_restart, keeps_collapse_keys)
{
    append_keyed(store, "anna", "1", "score");
    open_again();
    struct store_page page = page_all(store, "anna");
    cr_assert(span_equal(payload_key(page.notes[0]->payload), SPAN_LITERAL("score")));
    page_free(&page);
    append_keyed(store, "anna", "2", "score");
    expect_inbox(store, "anna", "l.");
    open_again();
    expect_inbox(store, "anna", "l.");
}

Test(store_file_restart, keeps_a_user_that_was_begun_without_a_push)
{
    struct store_page asked = page_asked("anna");
    asked.must_begin = true;
    struct store_page page = page_run(store, asked);
    struct epoch epoch = page.epoch;
    page_free(&page);
    open_again();
    cr_assert(epoch_equal(peek_one(store, "anna").epoch, epoch));
    struct store_target got = append_one(store, "anna", "{}", 60);
    cr_assert_eq(got.seq, 1);
    cr_assert(epoch_equal(got.epoch, epoch));
}

static void expect_blocked(const char *user, int64_t until_ms)
{
    struct store_page page = arrive_and_read(store, user);
    cr_assert_eq(page.error, ERR_OK);
    cr_assert_eq(page.blocked_until_ms, until_ms);
    page_free(&page);
}

Test(store_file_restart, a_block_stays_a_block)
{
    append_number(store, "anna", 1, 60);
    int64_t anna_ms = block_for(store, "anna", 60);
    block_for(store, "bert", 60);
    int64_t bert_ms = block_for(store, "bert", 600);
    block_for(store, "carl", 60);
    for (int i = 0; i < 2; i++) {
        open_again();
        expect_blocked("anna", anna_ms);
        expect_blocked("bert", bert_ms);
        expect_inbox(store, "anna", ".");
        cr_assert(epoch_is_none(peek_one(store, "bert").epoch), "it needs no inbox");
    }
    cr_assert_eq(block_for(store, "carl", 0), 0);
    cr_assert_eq(block_for(store, "bert", 0), 0);
    open_again();
    expect_blocked("anna", anna_ms);
    expect_blocked("bert", 0);
    expect_blocked("carl", 0);
}

Test(store_file_restart, a_block_that_ended_while_it_was_closed_is_none)
{
    int64_t until_ms = block_for(store, "anna", 1);
    store_close(store);
    store = NULL;
    sleep_until_wall_ms(until_ms);
    open_again();
    expect_blocked("anna", 0);
    int64_t again_ms = block_for(store, "anna", 60);
    open_again();
    expect_blocked("anna", again_ms);
}

Test(store_file_restart, a_restart_ends_the_tickets_that_are_out)
{
    cr_assert_eq(ticket_give(store, "t-1", "anna", 30), ERR_OK);
    open_again();
    cr_assert_eq(ticket_take(store, "t-1").error, ERR_NOT_FOUND);
}
