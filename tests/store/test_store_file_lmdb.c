/* Records that are appended and deleted in any order, compared with a model after each transaction.
 */
#include "tests/store/file_directory.h"
#include "tests/store/file_twin.h"

#include "gateway/stores/file/file_lmdb.h"

enum { KEYS = 40000, GROUPS = 250, DROPS_MAX = 1200, APPENDS_MAX = 160 };

static struct {
    bool is_there[KEYS + 1];
    size_t n;
    uint64_t next_key;
} model;

static struct file_lmdb *lmdb;
static uint64_t random_state;

static uint64_t pick(uint64_t n)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (random_state >> 33) % n;
}

static void setup(void)
{
    char why[200];
    make_directory();
    cr_assert_eq(file_lmdb_open(directory, &lmdb, why, sizeof why), ERR_OK, "%s", why);
    model.next_key = 1;
}

static void teardown(void)
{
    file_lmdb_close(lmdb);
    remove_directory();
    contract_check_leaks();
}

TestSuite(store_file_lmdb, .init = setup, .fini = teardown, .timeout = STORE_TEST_TIMEOUT_S);

/* ---- one transaction ---- */

struct group_of_keys {
    size_t n_appends;
    size_t n_drops;
    uint64_t drops[DROPS_MAX];
};

static size_t len_of(uint64_t key)
{
    return 8 + key * 2654435761u % 700 + (key % 97 == 0 ? 9000 : 0);
}

static enum err write_keys(void *owner, struct file_lmdb *to)
{
    const struct group_of_keys *group = owner;
    enum err error = ERR_OK;
    for (size_t i = 0; error == ERR_OK && i < group->n_appends; i++) {
        char *room;
        uint64_t key = model.next_key + i;
        error = file_lmdb_append(to, key, len_of(key), &room);
        if (error == ERR_OK)
            memset(room, (int)(key % 251), len_of(key));
    }
    for (size_t i = 0; error == ERR_OK && i < group->n_drops; i++)
        error = file_lmdb_delete(to, group->drops[i]);
    return error;
}

static int compare_keys(const void *a, const void *b)
{
    uint64_t first = *(const uint64_t *)a;
    uint64_t second = *(const uint64_t *)b;
    return (first > second) - (first < second);
}

/* A run of keys, single ones, or both, in rising order; some of them are absent. */
static void choose_drops(struct group_of_keys *group)
{
    uint64_t end = model.next_key + group->n_appends;
    uint64_t from = 1 + pick(end);
    size_t n_run = pick(3) == 0 ? 0 : pick(DROPS_MAX / 2);
    size_t n_single = pick(3) == 0 ? 0 : pick(DROPS_MAX / 2);
    for (uint64_t key = from; key < end && group->n_drops < n_run; key++)
        group->drops[group->n_drops++] = key;
    while (n_single-- > 0)
        group->drops[group->n_drops++] = 1 + pick(end + 5);
    qsort(group->drops, group->n_drops, sizeof *group->drops, compare_keys);
}

static void apply_to_model(const struct group_of_keys *group)
{
    for (size_t i = 0; i < group->n_appends; i++)
        model.is_there[model.next_key++] = true;
    model.n += group->n_appends;
    for (size_t i = 0; i < group->n_drops; i++) {
        bool *is_there = &model.is_there[group->drops[i]];
        model.n -= *is_there;
        *is_there = false;
    }
}

static enum err expect_record(void *owner, uint64_t key, struct span bytes)
{
    size_t *n_seen = owner;
    cr_assert(key < model.next_key && model.is_there[key], "%d has left", (int)key);
    cr_assert_eq(bytes.len, len_of(key));
    cr_assert_eq((unsigned char)bytes.bytes[bytes.len - 1], key % 251);
    (*n_seen)++;
    return ERR_OK;
}

static void expect_model(void)
{
    size_t n_seen = 0;
    cr_assert_eq(file_lmdb_scan(lmdb, expect_record, &n_seen), ERR_OK);
    cr_assert_eq(n_seen, model.n);
    cr_assert_eq(file_lmdb_records(lmdb), model.n);
}

static void live(uint64_t seed)
{
    static struct group_of_keys group;
    random_state = seed;
    for (int i = 0; i < GROUPS; i++) {
        group = (struct group_of_keys){.n_appends = pick(APPENDS_MAX)};
        choose_drops(&group);
        cr_assert_eq(file_lmdb_write(lmdb, write_keys, &group), ERR_OK);
        apply_to_model(&group);
        expect_model();
    }
    group = (struct group_of_keys){0};
    for (uint64_t key = 1; key < model.next_key; key++) {
        group.drops[group.n_drops++] = key;
        if (group.n_drops < DROPS_MAX && key + 1 < model.next_key)
            continue;
        cr_assert_eq(file_lmdb_write(lmdb, write_keys, &group), ERR_OK);
        apply_to_model(&group);
        group.n_drops = 0;
    }
    expect_model();
    cr_assert_eq(model.n, 0);
}

Test(store_file_lmdb, what_is_deleted_leaves_and_nothing_else_seed_1)
{
    live(1);
}

Test(store_file_lmdb, what_is_deleted_leaves_and_nothing_else_seed_2)
{
    live(2);
}

Test(store_file_lmdb, what_is_deleted_leaves_and_nothing_else_seed_3)
{
    live(3);
}
