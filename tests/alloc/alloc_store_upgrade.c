/* A file store that passes to a process without memory: whatever fails, the store is away until
 * there is memory again, and then everything that it had is there. */
#include "gateway/base/hash.h"
#include "gateway/base/log.h"
#include "gateway/store/store.h"
#include "gateway/stores/file/store_file.h"
#include "tests/alloc/fail.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

enum { USERS = 20, NOTES = 3 };

static int64_t now_ms = 1700000000000;
static char directory[] = "/tmp/herald-alloc-XXXXXX";
static int lock_fd;
static struct payload *payload; /* made outside of the runs */
static char names[USERS][8];
static bool is_answered;

static int64_t get_now_ms(void *unused)
{
    (void)unused;
    return now_ms;
}

static void on_done(struct store_request *request)
{
    (void)request;
    CHECK(!is_answered);
    is_answered = true;
}

static enum err open_store(bool is_awaited, struct store **ret_store)
{
    char why[400];
    struct store_config config = {
        .is_awaited = is_awaited, .lock_fd = lock_fd, .inbox_max = 100, .inbox_max_bytes = 1 << 20};
    return store_file_open_unthreaded(&config, directory, (struct store_clock){get_now_ms, NULL},
                                      ret_store, why, sizeof why);
}

static void make_append(struct store_append *append, struct store_target *target, const char *user)
{
    *target = (struct store_target){.user_id = span_of(user)};
    *append = (struct store_append){.request = {.on_done = on_done},
                                    .payload = payload,
                                    .ttl_s = 30 * 24 * 3600,
                                    .n_targets = 1,
                                    .targets = target};
    is_answered = false;
}

static void fill_directory(void)
{
    struct store *store;
    CHECK(open_store(false, &store) == ERR_OK);
    for (int i = 0; i < USERS * NOTES; i++) {
        struct store_append append;
        struct store_target target;
        make_append(&append, &target, names[i % USERS]);
        store_append(store, &append);
        store_local_turn(store);
        CHECK(is_answered && target.error == ERR_OK);
    }
    store_close(store);
}

static void check_user(struct store *store, const char *user, uint64_t head)
{
    struct store_peek peek = {.request = {.on_done = on_done}, .user_id = span_of(user)};
    is_answered = false;
    store_peek(store, &peek);
    store_local_turn(store);
    CHECK(is_answered && peek.error == ERR_OK && peek.head == head && peek.pending == head);
}

static void check_ticket(struct store *store, bool is_out)
{
    struct store_ticket_take take = {.request = {.on_done = on_done},
                                     .ticket = SPAN_LITERAL("ticket")};
    is_answered = false;
    store_ticket_take(store, &take);
    store_local_turn(store);
    CHECK(is_answered && (take.error == ERR_OK) == is_out);
}

/* ---- so that each run finds the same ---- */

static struct {
    char bytes[4 << 20];
    size_t len;
} records;

static int open_records(int flags)
{
    char path[64];
    snprintf(path, sizeof path, "%s/data.mdb", directory);
    int fd = open(path, flags | O_CLOEXEC);
    CHECK(fd >= 0);
    return fd;
}

static void remember_records(void)
{
    int fd = open_records(O_RDONLY);
    ssize_t len = read(fd, records.bytes, sizeof records.bytes);
    CHECK(len > 0 && (size_t)len < sizeof records.bytes);
    records.len = (size_t)len;
    close(fd);
}

static void restore_records(void)
{
    int fd = open_records(O_WRONLY | O_TRUNC);
    CHECK(write(fd, records.bytes, records.len) == (ssize_t)records.len);
    close(fd);
}

/* ---- the run ---- */

static void take_over(void)
{
    struct store *store;
    struct store_append append;
    struct store_target target;
    const struct store_ticket ticket = {SPAN_LITERAL("ticket"), SPAN_LITERAL("anna"), 60000};
    restore_records();
    if (!WENT_WELL_OR(open_store(true, &store), ERR_STORE_UNAVAILABLE))
        return;
    bool is_out = WENT_WELL(store_adopt_tickets(store, &ticket, 1));
    make_append(&append, &target, "waits");
    store_append(store, &append);
    store_local_turn(store);
    CHECK(!is_answered);
    store_take_over(store);
    CHECK(is_answered);
    bool is_kept = WENT_WELL_OR(target.error, ERR_STORE_UNAVAILABLE);

    fail_no_more();
    now_ms += STORE_RETRY_MS;
    store_local_turn(store);
    check_ticket(store, is_out);
    for (int i = 0; i < USERS; i++)
        check_user(store, names[i], NOTES);
    check_user(store, "waits", is_kept);
    store_let_go(store);
    store_close(store);
}

static void remove_directory(void)
{
    static const char *const files[] = {"data.mdb", "lock.mdb", "lock", "probe"};
    char path[64];
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", directory, files[i]);
        unlink(path);
    }
    CHECK(rmdir(directory) == 0);
}

int main(void)
{
    char path[64];
    CHECK(hash_init() == ERR_OK);
    CHECK(mkdtemp(directory) != NULL);
    log_set_level(LOG_ERROR);
    payload = payload_new(SPAN_LITERAL("{\"a\":1}"));
    CHECK(payload != NULL);
    for (int i = 0; i < USERS; i++)
        snprintf(names[i], sizeof names[i], "u%d", i);
    fill_directory();
    remember_records();
    snprintf(path, sizeof path, "%s/lock", directory);
    lock_fd = open(path, O_RDWR | O_CLOEXEC);
    CHECK(lock_fd >= 0 && flock(lock_fd, LOCK_EX | LOCK_NB) == 0);
    fail_each("take_over", take_over);
    close(lock_fd);
    payload_unref(payload);
    remove_directory();
    return 0;
}
