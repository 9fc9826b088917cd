/* The content of the file: shared payloads, and records of an earlier version. */
#include "gateway/stores/file/file_lmdb.h"
#include "gateway/stores/file/file_record.h"
#include "tests/store/file_directory.h"

#include "tests/store/block_calls.h"

TestSuite(store_file_records, .init = contract_open, .fini = contract_close,
          .timeout = STORE_TEST_TIMEOUT_S);

/* ---- one payload, cut into several requests ---- */

static sem_t held;

static void hold_the_store(struct store_request *request)
{
    sem_wait(&held);
    on_peek(request);
}

static size_t count_in_file(const char *word)
{
    char path[100];
    static char bytes[1 << 20];
    snprintf(path, sizeof path, "%s/data.mdb", directory);
    FILE *file = fopen(path, "r");
    size_t len = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    size_t count = 0;
    char *at = bytes;
    while ((at = memmem(at, (size_t)(bytes + len - at), word, strlen(word))) != NULL) {
        at++;
        count++;
    }
    return count;
}

/* The requests wait while the store is held in an answer, so they are one group. */
Test(store_file_records, several_requests_of_one_payload_share_its_record)
{
    static const char *const names[] = {"a", "b", "c", "d", "e", "f"};
    struct store_target targets[6];
    struct append_call calls[3];
    struct peek_call peek = {
        .peek = {.request = {.on_done = hold_the_store}, .user_id = SPAN_LITERAL("nobody")}};
    struct payload *payload = payload_new(SPAN_LITERAL("needle-in-the-file"));
    sem_init(&held, 0, 0);
    call_init(&peek.call);
    store_peek(store, &peek.peek);
    for (int i = 0; i < 6; i++)
        targets[i] = (struct store_target){.user_id = span_of(names[i])};
    for (int i = 0; i < 3; i++)
        append_start(store, &calls[i],
                     (struct store_append){.payload = payload_ref(payload),
                                           .ttl_s = 60,
                                           .n_targets = 2,
                                           .targets = &targets[2 * i]});
    sem_post(&held);
    call_wait(&peek.call);
    for (int i = 0; i < 3; i++)
        append_end(&calls[i]);
    payload_unref(payload);
    reopen();
    cr_assert_eq(count_in_file("needle-in-the-file"), 1);
    for (int i = 0; i < 6; i++) {
        struct store_page page = page_all(store, names[i]);
        cr_assert_eq(page.n_notes, 1);
        expect_text(page.notes[0], "needle-in-the-file");
        page_free(&page);
    }
}

/* ---- earlier versions ---- */

#define OLD(text)                                                                                  \
    {                                                                                              \
        text, sizeof text - 1                                                                      \
    }

static const struct span records_1[] = {
    OLD("\1\3\0{\"to\":\"all\"}"),
    OLD("\1\4\4k3f9a2qd\3\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x08\0\0\1\0\0\0\14\0\0\0anna"),
    OLD("\1\4\4aaaaaaaa\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x08\0\0\2\0\0\0\14\0\0\0bert"),
    OLD("\1\2\4k3f9a2qd\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x08\0\0anna{\"n\":4}"),
    OLD("\1\5\4k3f9a2qd\4\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\xff\xff"
        "anna"),
    OLD("\1\1\0"),
};

/* Notes 2 and 3 of anna, the second after a USER record that has 2 and its position; a USER record
 * with a cause. */
static const struct span records_2[] = {
    OLD("\2\2\4k3f9a2qd\2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x08\0\0\0anna{\"n\":2}"),
    OLD("\2\5\4k3f9a2qd\2\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\xff\xff\2\0\0\0\0\0\0\0\0\0"
        "anna"),
    OLD("\2\2\4k3f9a2qd\3\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x08\0\0\0anna{\"n\":3}"),
    OLD("\2\5\4aaaaaaaa\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xff\xff\0\0\0\0\0\0\0\0\0\0"
        "bert1-1:c"),
};

struct old_file {
    const struct span *records;
    uint64_t n;
};

static enum err write_old(void *owner, struct file_lmdb *lmdb)
{
    const struct old_file *old = owner;
    for (uint64_t i = 0; i < old->n; i++) {
        char *room;
        enum err error = file_lmdb_append(lmdb, i + 1, old->records[i].len, &room);
        if (error != ERR_OK)
            return error;
        memcpy(room, old->records[i].bytes, old->records[i].len);
    }
    return ERR_OK;
}

static void replace_by_old_file(const struct span *records, uint64_t n)
{
    char why[200];
    struct file_lmdb *lmdb;
    struct old_file old = {records, n};
    store_close(store);
    make_directory();
    cr_assert_eq(file_lmdb_open(directory, &lmdb, why, sizeof why), ERR_OK, "%s", why);
    cr_assert_eq(file_lmdb_write(lmdb, write_old, &old), ERR_OK);
    file_lmdb_close(lmdb);
    struct store_config config = contract_config(1000, 1 << 20);
    store = open_at(&config, directory);
}

/* Records of version 2 that have become stale are found again, as those of version 3 are. */
Test(store_file_records, opens_what_version_2_wrote)
{
    replace_by_old_file(records_2, sizeof records_2 / sizeof *records_2);
    struct epoch epoch = {"k3f9a2qd"};
    for (int round = 0; round < 2; round++) {
        struct store_peek peek = peek_one(store, "anna");
        cr_assert(epoch_equal(peek.epoch, epoch));
        cr_assert_eq(peek.acked, 1);
        cr_assert_eq(peek.head, 3);
        cr_assert_eq(peek.pending, 2);
        cr_assert(look_at(store, "anna", epoch, 2).found.is_written);
        cr_assert_not(look_at(store, "anna", epoch, 3).found.is_written);
        expect_inbox(store, "bert", "c");
        reopen();
    }
    struct store_target target = {
        .user_id = SPAN_LITERAL("anna"), .known_epoch = epoch, .known_head = 3, .known_acked = 2};
    append_to(store, &target, 1, SPAN_LITERAL("{\"n\":4}"), 600);
    cr_assert_eq(target.seq, 4);
    reopen();
    expect_inbox(store, "anna", "aa..");
    cr_assert_eq(ack_one(store, "anna", epoch, 4), ERR_OK);
    reopen();
    expect_inbox(store, "anna", "aaaa");
    cr_assert_eq(append_one(store, "anna", "{}", 60).seq, 5);
}

Test(store_file_records, opens_what_version_1_wrote)
{
    replace_by_old_file(records_1, sizeof records_1 / sizeof *records_1);
    for (int round = 0; round < 2; round++) {
        struct store_page page = page_from_acked(store, "anna");
        cr_assert_eq(memcmp(page.epoch.text, "k3f9a2qd", EPOCH_LEN), 0);
        cr_assert_eq(page.acked, 2);
        cr_assert_eq(page.head, 4);
        cr_assert_eq(page.n_notes, 2);
        expect_text(page.notes[0], "{\"to\":\"all\"}");
        expect_number(page.notes[1], 4);
        struct epoch epoch = page.epoch;
        page_free(&page);
        expect_fate(look_at(store, "anna", epoch, 2), FATE_DELIVERED, GAP_NONE);
        page = page_all(store, "bert");
        cr_assert_eq(page.n_notes, 1);
        expect_text(page.notes[0], "{\"to\":\"all\"}");
        page_free(&page);
        reopen();
    }
    append_keyed(store, "anna", "5", "score");
    struct epoch epoch = peek_one(store, "anna").epoch;
    cr_assert_eq(cancel_one(store, "anna", epoch, 3).n_removed, 1);
    reopen();
    expect_inbox(store, "anna", "aac..");
}

/* ---- blocks ---- */

static enum err count_block(void *n_blocks, uint64_t key, struct span bytes)
{
    (void)key;
    *(int *)n_blocks += bytes.bytes[1] == FILE_RECORD_BLOCK;
    return ERR_OK;
}

static int count_blocks_in_file(void)
{
    int n_blocks = 0;
    char why[200];
    struct file_lmdb *lmdb;
    store_close(store);
    cr_assert_eq(file_lmdb_open(directory, &lmdb, why, sizeof why), ERR_OK, "%s", why);
    cr_assert_eq(file_lmdb_scan(lmdb, count_block, &n_blocks), ERR_OK);
    file_lmdb_close(lmdb);
    struct store_config config = contract_config(1000, 1 << 20);
    store = open_at(&config, directory);
    return n_blocks;
}

Test(store_file_records, a_user_has_one_block_and_none_when_it_was_lifted_or_is_over)
{
    block_for(store, "anna", 60);
    block_for(store, "anna", 600);
    block_for(store, "bert", 60);
    block_for(store, "bert", 0);
    int64_t until_ms = block_for(store, "carl", 3);
    cr_assert_eq(count_blocks_in_file(), 2);
    sleep_until_wall_ms(until_ms + 2500); /* a sweep and a wake-up later */
    cr_assert_eq(count_blocks_in_file(), 1);
    cr_assert_neq(peek_one(store, "anna").blocked_until_ms, 0);
}
