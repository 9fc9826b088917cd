#include "tests/support/event_store.h"

#include "gateway/store/store.h"
#include "gateway/stores/file/store_file.h"
#include "gateway/stores/memory/store_memory.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- the store behind it ---- */

static int64_t show_ms(void *owner)
{
    return ((struct event_store *)owner)->now_ms();
}

static void on_inbox_event(void *owner, struct span user_id, struct inbox_event event)
{
    struct event_store *store = owner;
    unsigned partition;
    if (!store->is_cut && store_is_partition_user(user_id, &partition))
        store->hooks.on_reported(store->hooks.owner, partition, event);
}

static void on_state(void *owner, bool is_up)
{
    (void)owner;
    (void)is_up;
}

static void open_inner(struct event_store *store)
{
    char why[400] = "";
    const struct store_clock clock = {show_ms, store};
    enum err error = store->path[0] == '\0'
                         ? store_memory_open_unthreaded(&store->config, clock, &store->inner)
                         : store_file_open_unthreaded(&store->config, store->path, clock,
                                                      &store->inner, why, sizeof why);
    cr_assert_eq(error, ERR_OK, "%s", why);
}

static void make_directory(struct event_store *store)
{
    snprintf(store->path, sizeof store->path, "/tmp/herald-events-XXXXXX");
    cr_assert_not_null(mkdtemp(store->path));
}

static void remove_directory(const struct event_store *store)
{
    static const char *const files[] = {"data.mdb", "lock.mdb", "lock", "probe"};
    char full[100];
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(full, sizeof full, "%s/%s", store->path, files[i]);
        unlink(full);
    }
    cr_assert_eq(rmdir(store->path), 0);
}

static void close_inner(struct event_store *store, bool is_lost)
{
    store_close(store->inner);
    if (is_lost && store->path[0] != '\0')
        remove_directory(store);
}

void event_store_lose(struct event_store *store)
{
    close_inner(store, true);
    if (store->path[0] != '\0')
        make_directory(store);
    open_inner(store);
}

void event_store_restart(struct event_store *store)
{
    if (store->path[0] == '\0')
        return;
    close_inner(store, false);
    open_inner(store);
}

void event_store_fill(struct event_store *store, bool is_full)
{
    store_local_set_full(store->inner, is_full);
}

/* ---- what is asked ---- */

static void submit(struct store *base, struct store_request *request, enum store_op op)
{
    struct event_store *store = CONTAINER_OF(base, struct event_store, store);
    request->op = (int)op;
    request->next = NULL;
    *store->last = request;
    store->last = &request->next;
}

static void fail(struct store_request *request, enum store_op op)
{
    void *of = request;
    if (op == STORE_OP_PAGE) {
        store_page_clear(of);
        ((struct store_page *)of)->error = ERR_STORE_UNAVAILABLE;
    } else if (op == STORE_OP_ACK) {
        ((struct store_ack *)of)->error = ERR_STORE_UNAVAILABLE;
    } else {
        cr_assert(op == STORE_OP_EVENT_APPEND || op == STORE_OP_CONSUMERS, "request %d", (int)op);
        store_event_answer(request, op, ERR_STORE_UNAVAILABLE);
    }
}

int event_store_place_of(const struct event_store *store, unsigned partition, struct epoch epoch)
{
    for (unsigned i = 0; i < store->n_epochs[partition]; i++) {
        if (epoch_equal(store->epochs[partition][i], epoch))
            return (int)i;
    }
    return -1;
}

static void note_epoch(struct event_store *store, unsigned partition, struct epoch epoch)
{
    unsigned *n = &store->n_epochs[partition];
    if (epoch_is_none(epoch) || event_store_place_of(store, partition, epoch) >= 0)
        return;
    cr_assert_lt(*n, EVENT_STORE_EPOCHS_MAX);
    store->epochs[partition][(*n)++] = epoch;
}

static void tell(struct event_store *store, const struct store_request *request, enum store_op op)
{
    const void *of = request;
    const struct store_event_append *append = of;
    const struct store_page *page = of;
    unsigned partition;
    if (op == STORE_OP_EVENT_APPEND && append->error == ERR_OK) {
        note_epoch(store, append->partition, append->epoch);
        store->hooks.on_written(store->hooks.owner, append);
    } else if (op == STORE_OP_PAGE && page->error == ERR_OK &&
               store_is_partition_user(page->user_id, &partition)) {
        note_epoch(store, partition, page->epoch);
    }
}

static bool is_done;

static void on_done(struct store_request *request)
{
    (void)request;
    is_done = true;
}

static void carry_out(struct event_store *store, struct store_request *request)
{
    enum store_op op = (enum store_op)request->op;
    void (*answer)(struct store_request * answered) = request->on_done;
    if (!store->is_cut) {
        request->on_done = on_done;
        request->next = NULL;
        is_done = false;
        store->inner->ops->submit(store->inner, request, op);
        store_local_turn(store->inner);
        cr_assert(is_done);
        request->on_done = answer;
        tell(store, request, op);
    }
    if (store->is_cut || store->loses_answers)
        fail(request, op);
    answer(request);
}

void event_store_turn(struct event_store *store)
{
    store_local_turn(store->inner);
    if (store->holds)
        return;
    struct store_request *request = store->first;
    store->first = NULL;
    store->last = &store->first;
    while (request != NULL) {
        struct store_request *next = request->next;
        carry_out(store, request);
        request = next;
    }
}

/* ---- made and closed ---- */

static int64_t now_of(const struct store *base)
{
    return CONTAINER_OF(base, const struct event_store, store)->now_ms();
}

static void leave_user(struct store *base, unsigned lane, struct span user_id)
{
    (void)base;
    (void)lane;
    (void)user_id;
}

static const struct store_ops ops = {
    .kind = "played", .submit = submit, .leave = leave_user, .now_ms = now_of};

void event_store_open(struct event_store *store, bool is_file, struct store_config limits,
                      int64_t (*now_ms)(void), struct event_store_hooks hooks)
{
    *store =
        (struct event_store){.store.ops = &ops, .hooks = hooks, .config = limits, .now_ms = now_ms};
    store->last = &store->first;
    store->config.inbox_max = 10;
    store->config.inbox_max_bytes = 1000;
    store->config.lock_fd = -1;
    store->config.redis_prefix = "herald";
    store->config.events =
        (struct store_events){.on_inbox_event = on_inbox_event, .on_state = on_state};
    store->config.owner = store;
    if (is_file)
        make_directory(store);
    open_inner(store);
}

void event_store_close(struct event_store *store)
{
    store->is_cut = true;
    store->holds = false;
    event_store_turn(store);
    close_inner(store, true);
}
