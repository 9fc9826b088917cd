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

/* ---- version 1 ---- */

static const struct {
    const char *bytes;
    size_t len;
} old_records[] = {
#define OLD(text)                                                                                  \
    {                                                                                              \
        text, sizeof text - 1                                                                      \
    }
    OLD("\1\3\0{\"to\":\"all\"}"),
    OLD("\1\4\4k3f9a2qd\3\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x08\0\0\1\0\0\0\14\0\0\0anna"),
    OLD("\1\4\4aaaaaaaa\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x08\0\0\2\0\0\0\14\0\0\0bert"),
    OLD("\1\2\4k3f9a2qd\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x08\0\0anna{\"n\":4}"),
    OLD("\1\5\4k3f9a2qd\4\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\xff\xff"
        "anna"),
    OLD("\1\1\0"),
};

static enum err write_old(void *owner, struct file_lmdb *lmdb)
{
    (void)owner;
    for (uint64_t i = 0; i < sizeof old_records / sizeof *old_records; i++) {
        char *room;
        enum err error = file_lmdb_append(lmdb, i + 1, old_records[i].len, &room);
        if (error != ERR_OK)
            return error;
        memcpy(room, old_records[i].bytes, old_records[i].len);
    }
    return ERR_OK;
}

static void replace_by_old_file(void)
{
    char why[200];
    struct file_lmdb *lmdb;
    store_close(store);
    make_directory();
    cr_assert_eq(file_lmdb_open(directory, &lmdb, why, sizeof why), ERR_OK, "%s", why);
    cr_assert_eq(file_lmdb_write(lmdb, write_old, NULL), ERR_OK);
    file_lmdb_close(lmdb);
    struct store_config config = contract_config(1000, 1 << 20);
    store = open_at(&config, directory);
}

Test(store_file_records, opens_what_version_1_wrote)
{
    replace_by_old_file();
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
    int64_t until_ms = block_for(store, "carl", 1);
    cr_assert_eq(count_blocks_in_file(), 2);
    sleep_until_wall_ms(until_ms + 2500); /* a sweep and a wake-up later */
    cr_assert_eq(count_blocks_in_file(), 1);
    cr_assert_neq(peek_one(store, "anna").blocked_until_ms, 0);
}
