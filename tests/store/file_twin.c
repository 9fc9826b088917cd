#include "tests/store/file_twin.h"

#include <fcntl.h>
#include <unistd.h>

int64_t file_twin_ms;

static int64_t now_ms(void *unused)
{
    (void)unused;
    return file_twin_ms;
}

struct store *file_twin_open(const char *path, struct store_config config)
{
    char why[400] = "";
    struct store *opened = NULL;
    config.redis_prefix = "herald";
    config.idempotency_window_s = 3600;
    enum err error = store_file_open_unthreaded(&config, path, (struct store_clock){now_ms, NULL},
                                                &opened, why, sizeof why);
    cr_assert_eq(error, ERR_OK, "%s", why);
    return opened;
}

void file_twin_append(struct store *to, struct store_target *target, const char *collapse_key,
                      uint32_t ttl_s)
{
    struct append_call call;
    append_start(to, &call,
                 (struct store_append){
                     .payload = payload_new_keyed(SPAN_LITERAL("{}"), collapse_key == NULL
                                                                          ? (struct span){0}
                                                                          : span_of(collapse_key)),
                     .ttl_s = ttl_s,
                     .n_targets = 1,
                     .targets = target});
    store_local_turn(to);
    append_end(&call);
}

enum err file_twin_ack(struct store *to, struct store_ack asked)
{
    struct ack_call call = {.ack = asked};
    ack_start(to, &call);
    store_local_turn(to);
    call_wait(&call.call);
    return call.ack.error;
}

struct store_page file_twin_page(struct store *to, struct store_page asked)
{
    struct page_call call = {.page = asked};
    page_start(to, &call);
    store_local_turn(to);
    call_wait(&call.call);
    return call.page;
}

struct store_peek file_twin_peek(struct store *to, const char *user)
{
    struct peek_call call;
    peek_begin(to, &call, user);
    store_local_turn(to);
    call_wait(&call.call);
    return call.peek;
}

struct store_look file_twin_look(struct store *to, const char *user, struct epoch epoch,
                                 uint64_t seq)
{
    struct look_call call;
    look_begin(to, &call,
               (struct store_look){.user_id = span_of(user), .epoch = epoch, .seq = seq});
    store_local_turn(to);
    call_wait(&call.call);
    return call.look;
}

struct store_withdraw file_twin_withdraw(struct store *to, struct store_withdraw asked)
{
    struct withdraw_call call;
    withdraw_begin(to, &call, asked);
    store_local_turn(to);
    call_wait(&call.call);
    return call.withdraw;
}

/* ---- copies ---- */

void file_twin_copy(const char *from, char ret_path[64])
{
    char path[100];
    static char bytes[1 << 16];
    snprintf(ret_path, 64, "/tmp/herald-copy-XXXXXX");
    cr_assert_not_null(mkdtemp(ret_path));
    snprintf(path, sizeof path, "%s/data.mdb", from);
    int in = open(path, O_RDONLY);
    snprintf(path, sizeof path, "%s/data.mdb", ret_path);
    int out = open(path, O_WRONLY | O_CREAT, 0600);
    cr_assert(in >= 0 && out >= 0);
    ssize_t len;
    while ((len = read(in, bytes, sizeof bytes)) > 0)
        cr_assert_eq(write(out, bytes, (size_t)len), len);
    close(in);
    close(out);
}

void file_twin_remove(const char *path)
{
    static const char *const files[] = {"data.mdb", "lock.mdb", "lock", "probe"};
    char full[100];
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(full, sizeof full, "%s/%s", path, files[i]);
        unlink(full);
    }
    cr_assert_eq(rmdir(path), 0, "%s holds a file that this does not know", path);
}
