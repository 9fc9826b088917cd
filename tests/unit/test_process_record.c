/* The state of one running gateway, given to another one in the same process. */
#include "gateway/upgrade/process_record.h"

#include "gateway/base/clock.h"
#include "gateway/base/metrics.h"
#include "gateway/delivery/kicked_streams.h"
#include "gateway/gateway.h"
#include "gateway/http/http_port.h"
#include "gateway/net/tls_context.h"
#include "gateway/node/worker_park.h"
#include "gateway/requests/drain.h"
#include "gateway/upgrade/carried_process.h"
#include "gateway/upgrade/upgrade_link.h"
#include "tests/unit/tls_peer.h"

#include <dirent.h>
#include <semaphore.h>
#include <stdio.h>

enum { USERS = 12, KICKS_OF_WORKER = 10000, TICKETS = STORE_MAX_TICKETS };

static struct options old_options, new_options;
static struct node *old, *new;
static struct buf record;

/* A store of its own, because tickets of the memory store stay where they are. */
static struct node *start(struct options *options, const char *name, char *workers, bool has_tls)
{
    enum options_action action;
    char store[128];
    snprintf(store, sizeof store, "file:%s/%s.db", directory, name);
    char *environment[] = {NULL};
    char *argv[] = {"herald",         "--store",   store,    "--listen",
                    "127.0.0.1:0",    "--workers", workers,  "--tls-cert",
                    certificate_path, "--tls-key", key_path, NULL};
    struct node *node = NULL;
    cr_assert_eq(
        options_read(has_tls ? 11 : 7, argv, environment, options, &action, why, sizeof why),
        ERR_OK, "%s", why);
    cr_assert_eq(gateway_start(options, &node, why, sizeof why), ERR_OK, "%s", why);
    return node;
}

static void start_two(bool has_tls)
{
    make_files();
    old = start(&old_options, "old", "3", has_tls);
    new = start(&new_options, "new", "2", has_tls);
    buf_init(&record, UPGRADE_MAX_BYTES);
}

static void remove_store(const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s.db", directory, name);
    DIR *entries = opendir(path);
    cr_assert_not_null(entries);
    for (struct dirent *entry; (entry = readdir(entries)) != NULL;)
        unlinkat(dirfd(entries), entry->d_name, 0);
    closedir(entries);
    cr_expect_eq(rmdir(path), 0);
}

static void stop_two(void)
{
    buf_fini(&record);
    gateway_stop(old);
    gateway_stop(new);
    options_fini(&old_options);
    options_fini(&new_options);
    remove_store("old");
    remove_store("new");
    remove_files();
}

static void write_old(int64_t frozen_ms)
{
    struct worker_park *park;
    cr_assert_eq(workers_park(old, &park), ERR_OK);
    cr_assert_eq(process_record_write(old, frozen_ms, 1, &record), ERR_OK);
    workers_unpark(park);
}

static void read_new(int64_t *ret_frozen_ms)
{
    char record_why[RECORD_WHY_MAX_BYTES] = "";
    cr_assert_eq(process_record_read(buf_span(&record), new, ret_frozen_ms, record_why), ERR_OK,
                 "%s", record_why);
}

static void hand_over(void)
{
    int64_t frozen_ms;
    write_old(clock_monotonic_ms());
    read_new(&frozen_ms);
}

Test(process_record, lets_the_ids_of_connections_go_on)
{
    start_two(false);
    atomic_store(&old->next_connection, UINT64_C(1) << 47);
    hand_over();
    cr_assert_eq(atomic_load(&new->next_connection), UINT64_C(1) << 47);
    atomic_store(&new->next_connection, UINT64_C(1) << 48);
    int64_t frozen_ms;
    read_new(&frozen_ms);
    cr_assert_eq(atomic_load(&new->next_connection), UINT64_C(1) << 48, "it never goes back");
    stop_two();
}

Test(process_record, says_when_the_other_process_froze)
{
    int64_t frozen_ms = 0;
    start_two(false);
    int64_t then_ms = clock_monotonic_ms() - 123;
    write_old(then_ms);
    read_new(&frozen_ms);
    cr_assert_eq(frozen_ms, then_ms);
    record.len = 0;
    write_old(clock_monotonic_ms() + 100000);
    read_new(&frozen_ms);
    cr_assert_leq(frozen_ms, clock_monotonic_ms(), "a moment to come is none");
    stop_two();
}

/* ---- kicks ---- */

struct kick_task {
    char name[16];
    unsigned n;
};

static void remember_all(struct worker *worker, void *argument)
{
    struct kick_task *task = argument;
    for (unsigned i = 0; i < USERS; i++) {
        snprintf(task->name, sizeof task->name, "u%u", i);
        if (node_home(worker->node, span_of(task->name)) == worker)
            kicked_streams_remember(worker, span_of(task->name));
    }
}

static void take_all(struct worker *worker, void *argument)
{
    struct kick_task *task = argument;
    for (unsigned i = 0; i < USERS; i++) {
        snprintf(task->name, sizeof task->name, "u%u", i);
        if (node_home(worker->node, span_of(task->name)) == worker)
            task->n += kicked_streams_take(worker, span_of(task->name));
    }
}

static void forget_one(void *owner, struct span user_id, int64_t left_ms)
{
    struct kick_task *task = owner;
    cr_expect_gt(left_ms, 29000);
    cr_expect_leq(left_ms, 30000);
    cr_expect_gt(user_id.len, 0);
    task->n++;
}

static void look_at_all(struct worker *worker, void *argument)
{
    kicked_streams_each(worker, forget_one, argument);
}

Test(process_record, remembers_kicked_streams_at_their_new_homes)
{
    struct kick_task task = {.n = 0};
    start_two(false);
    worker_run_on_all(old, remember_all, &task);
    hand_over();
    worker_run_on_all(new, look_at_all, &task);
    cr_expect_eq(task.n, USERS);
    task.n = 0;
    worker_run_on_all(new, take_all, &task);
    cr_expect_eq(task.n, USERS);
    task.n = 0;
    worker_run_on_all(old, take_all, &task);
    cr_expect_eq(task.n, USERS, "nothing has changed in the other one");
    stop_two();
}

static void remember_very_many(struct worker *worker, void *argument)
{
    char name[USER_ID_MAX_BYTES + 1];
    (void)argument;
    for (unsigned i = 0; i < KICKS_OF_WORKER; i++) {
        snprintf(name, sizeof name, "%0*u", USER_ID_MAX_BYTES, i);
        kicked_streams_remember(worker, span_of(name));
    }
}

/* Of more than a message takes, the oldest are left out, and counted. */
Test(process_record, gives_as_many_kicks_as_a_message_takes)
{
    struct carried_process process;
    struct carried_kick kick;
    unsigned n = 0;
    start_two(false);
    worker_run_on_all(old, remember_very_many, NULL);
    int64_t before = metrics_read(METRIC_KICKS_FORGOTTEN);
    write_old(1);
    cr_assert_eq(carried_process_read(buf_span(&record), &process, why), ERR_OK, "%s", why);
    cr_assert_leq(process.kicks.len, CARRIED_KICKS_MAX_BYTES);
    while (carried_kick_take(&process.kicks, &kick))
        n++;
    cr_assert_gt(n, KICKS_OF_WORKER);
    cr_assert_lt(n, 3 * KICKS_OF_WORKER);
    cr_assert_eq(metrics_read(METRIC_KICKS_FORGOTTEN) - before, 3 * KICKS_OF_WORKER - n);
    stop_two();
}

/* ---- tickets ---- */

static sem_t is_done;

static void on_ticket_done(struct store_request *request)
{
    (void)request;
    sem_post(&is_done);
}

static enum err take_ticket(struct node *node, struct span ticket, struct store_ticket_take *take)
{
    *take = (struct store_ticket_take){.request = {.on_done = on_ticket_done}, .ticket = ticket};
    sem_init(&is_done, 0, 0);
    store_ticket_take(node->store, take);
    sem_wait(&is_done);
    return take->error;
}

Test(process_record, knows_the_tickets_that_were_given_out)
{
    struct store_ticket_take take;
    struct store_ticket_give give = {.request = {.on_done = on_ticket_done},
                                     .ticket = SPAN_LITERAL("0123456789abcdef"),
                                     .user_id = SPAN_LITERAL("alice"),
                                     .ttl_s = 30};
    start_two(false);
    sem_init(&is_done, 0, 0);
    store_ticket_give(old->store, &give);
    sem_wait(&is_done);
    cr_assert_eq(give.error, ERR_OK);
    hand_over();
    cr_assert_eq(take_ticket(new, give.ticket, &take), ERR_OK);
    cr_assert(span_equal((struct span){take.user_id, take.user_id_len}, give.user_id));
    cr_assert_eq(take_ticket(new, give.ticket, &take), ERR_NOT_FOUND);
    stop_two();
}

Test(process_record, gives_as_many_tickets_as_a_message_takes)
{
    static char texts[TICKETS][STORE_TICKET_MAX_BYTES + 1];
    static char user[USER_ID_MAX_BYTES];
    struct store_ticket *tickets = calloc(TICKETS, sizeof *tickets);
    struct carried_process process;
    struct store_ticket ticket;
    unsigned n = 0;
    start_two(false);
    memset(user, 'u', sizeof user);
    cr_assert_not_null(tickets);
    for (unsigned i = 0; i < TICKETS; i++) {
        snprintf(texts[i], sizeof texts[i], "%0*u", STORE_TICKET_MAX_BYTES, i);
        tickets[i] = (struct store_ticket){span_of(texts[i]), {user, sizeof user}, 3600000};
    }
    cr_assert_eq(store_adopt_tickets(old->store, tickets, TICKETS), ERR_OK);
    write_old(1);
    cr_assert_eq(carried_process_read(buf_span(&record), &process, why), ERR_OK, "%s", why);
    cr_assert_leq(process.tickets.len, CARRIED_TICKETS_MAX_BYTES);
    while (carried_ticket_take(&process.tickets, &ticket))
        n++;
    cr_assert(n > TICKETS / 2 && n < TICKETS, "%u", n);
    free(tickets);
    stop_two();
}

/* ---- TLS, the drain ---- */

Test(process_record, takes_the_tickets_of_tls_on)
{
    struct carried_ticket_keys before, after;
    start_two(true);
    tls_context_carry_keys(old->port->tls, &before);
    hand_over();
    tls_context_carry_keys(new->port->tls, &after);
    cr_assert_arr_eq(&after.present, &before.present, sizeof before.present);
    cr_assert_arr_eq(&after.previous, &before.previous, sizeof before.previous);
    stop_two();
}

Test(process_record, goes_on_draining)
{
    start_two(false);
    hand_over();
    cr_assert_not(atomic_load(&new->is_draining));
    drain_begin(old, 60000);
    record.len = 0;
    hand_over();
    cr_assert(atomic_load(&new->is_draining));
    cr_assert(atomic_load(&new->is_refusing));
    cr_assert_eq(atomic_load(&new->drain_kind), DRAIN_ALL);
    int64_t apart_ms = atomic_load(&new->drain_ends_ms) - atomic_load(&old->drain_ends_ms);
    cr_assert(apart_ms >= 0 && apart_ms < 5000, "%lld", (long long)apart_ms);
    stop_two();
}

/* ---- bytes ---- */

Test(process_record, changes_nothing_when_it_cannot_be_read)
{
    char record_why[RECORD_WHY_MAX_BYTES] = "";
    int64_t frozen_ms = 77;
    start_two(false);
    uint64_t before = atomic_load(&new->next_connection);
    write_old(1);
    cr_assert_eq(buf_append(&record, "\xff\0\0\0\0", 5), ERR_OK);
    cr_assert_eq(process_record_read(buf_span(&record), new, &frozen_ms, record_why),
                 ERR_UNKNOWN_FIELD);
    cr_assert_str_eq(record_why, "tag 255 is not known and may not be skipped");
    cr_assert_eq(frozen_ms, 77);
    cr_assert_eq(atomic_load(&new->next_connection), before);
    stop_two();
}

Test(carried_process, passes_over_entries_that_are_malformed)
{
    struct buf list;
    struct record_writer writer = {.out = &list};
    struct carried_kick kick;
    struct store_ticket ticket;
    buf_init(&list, 4096);
    carried_kick_write(&writer, &(struct carried_kick){SPAN_LITERAL("a"), 5}, 1);
    carried_kick_write(&writer, &(struct carried_kick){SPAN_NONE, 5}, 1);
    record_put(&writer, 1, SPAN_LITERAL("nonsense"));
    record_put(&writer, 9, SPAN_NONE);
    carried_kick_write(&writer, &(struct carried_kick){SPAN_LITERAL("b"), 0}, 1);
    cr_assert_eq(writer.error, ERR_OK);
    struct span rest = buf_span(&list);
    cr_assert(carried_kick_take(&rest, &kick));
    cr_assert(span_equal(kick.user_id, SPAN_LITERAL("a")));
    cr_assert_eq(kick.left_ms, 5);
    cr_assert(carried_kick_take(&rest, &kick));
    cr_assert(span_equal(kick.user_id, SPAN_LITERAL("b")));
    cr_assert_not(carried_kick_take(&rest, &kick));
    list.len = 0;
    carried_ticket_write(&writer,
                         &(struct store_ticket){SPAN_LITERAL("t"), SPAN_LITERAL("a"), 3600001}, 1);
    carried_ticket_write(&writer, &(struct store_ticket){SPAN_LITERAL("t"), SPAN_LITERAL("a"), -1},
                         1);
    carried_ticket_write(&writer, &(struct store_ticket){SPAN_LITERAL("t"), SPAN_LITERAL("a"), 9},
                         1);
    rest = buf_span(&list);
    cr_assert(carried_ticket_take(&rest, &ticket));
    cr_assert_eq(ticket.left_ms, 9);
    cr_assert_not(carried_ticket_take(&rest, &ticket));
    buf_fini(&list);
}
