/* Writing: kicks and tickets are lists, which are written into buffers of their own first. The
 * kicks of all workers are put in order, because the next process may have more or fewer workers,
 * and of too many the oldest are left out, as each worker does. Reading: each worker looks for the
 * kicks whose home it is. The keys of TLS tickets are wiped wherever they are copied to here. */
#include "gateway/upgrade/process_record.h"

#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/base/metrics.h"
#include "gateway/delivery/kicked_streams.h"
#include "gateway/events/events.h"
#include "gateway/http/http_port.h"
#include "gateway/net/tls_context.h"
#include "gateway/requests/drain.h"
#include "gateway/upgrade/carried_process.h"

#include <stdlib.h>

static void log_left_out(const char *what, size_t n)
{
    if (n > 0)
        log_event(LOG_WARN, "the next process does not get all of these", LOG_TEXT("what", what),
                  LOG_INT("left_out", n));
}

/* ---- kicks ---- */

struct kicks {
    struct carried_kick *all;
    size_t n;
    size_t room;
    enum err error;
};

static void add_kick(void *owner, struct span user_id, int64_t left_ms)
{
    struct kicks *kicks = owner;
    if (left_ms <= 0 || kicks->error != ERR_OK)
        return;
    if (kicks->n == kicks->room) {
        size_t room = kicks->room == 0 ? 64 : 2 * kicks->room;
        struct carried_kick *all = realloc(kicks->all, room * sizeof *all);
        if (all == NULL) {
            kicks->error = ERR_NO_MEMORY;
            return;
        }
        kicks->all = all;
        kicks->room = room;
    }
    kicks->all[kicks->n++] = (struct carried_kick){user_id, (uint32_t)left_ms};
}

static int compare_kicks(const void *a, const void *b)
{
    uint32_t one = ((const struct carried_kick *)a)->left_ms;
    uint32_t other = ((const struct carried_kick *)b)->left_ms;
    return one < other ? -1 : one > other;
}

/* How many of the oldest have no room. */
static size_t too_many_kicks(const struct kicks *kicks)
{
    enum { ENTRY_BYTES = 3 * RECORD_HEAD_BYTES + sizeof(uint32_t) };
    size_t left = CARRIED_KICKS_MAX_BYTES;
    size_t n = kicks->n;
    while (n > 0 && left >= ENTRY_BYTES + kicks->all[n - 1].user_id.len)
        left -= ENTRY_BYTES + kicks->all[--n].user_id.len;
    return n;
}

static enum err write_kicks(struct node *node, unsigned format, struct buf *out)
{
    struct kicks kicks = {.error = ERR_OK};
    struct record_writer writer = {.out = out};
    for (unsigned i = 0; i < node->n_workers; i++)
        kicked_streams_each(node->workers[i], add_kick, &kicks);
    if (kicks.n > 0)
        qsort(kicks.all, kicks.n, sizeof kicks.all[0], compare_kicks);
    size_t first = too_many_kicks(&kicks);
    for (size_t i = first; i < kicks.n; i++)
        carried_kick_write(&writer, &kicks.all[i], format);
    metrics_add(METRIC_KICKS_FORGOTTEN, first);
    log_left_out("kicks", first);
    free(kicks.all);
    return kicks.error != ERR_OK ? kicks.error : writer.error;
}

struct kicks_task {
    struct span list;
};

static void adopt_kicks_here(struct worker *worker, void *argument)
{
    const struct kicks_task *task = argument;
    struct span list = task->list;
    struct carried_kick kick;
    while (carried_kick_take(&list, &kick)) {
        if (node_home(worker->node, kick.user_id) == worker)
            kicked_streams_adopt(worker, kick.user_id, kick.left_ms);
    }
}

/* ---- tickets ---- */

struct tickets_task {
    struct record_writer writer;
    unsigned format;
    size_t n_left_out;
};

static void write_ticket(void *owner, const struct store_ticket *ticket)
{
    struct tickets_task *task = owner;
    struct record_writer *writer = &task->writer;
    size_t before = writer->out->len;
    if (ticket->left_ms <= 0 || writer->error != ERR_OK)
        return;
    carried_ticket_write(writer, ticket, task->format);
    if (writer->error != ERR_FULL)
        return;
    writer->error = ERR_OK;
    writer->out->len = before;
    task->n_left_out++;
}

static enum err write_tickets(struct node *node, unsigned format, struct buf *out)
{
    struct tickets_task task = {.writer = {.out = out}, .format = format};
    store_each_ticket(node->store, write_ticket, &task);
    log_left_out("tickets", task.n_left_out);
    return task.writer.error;
}

/* Without memory, or a store that takes them, their clients ask for new ones. */
static void adopt_tickets(struct node *node, struct span list)
{
    struct store_ticket *tickets;
    struct store_ticket ticket;
    struct span rest = list;
    size_t n = 0;
    while (carried_ticket_take(&rest, &ticket))
        n++;
    if (n == 0)
        return;
    tickets = calloc(n, sizeof *tickets);
    size_t n_taken = 0;
    for (rest = list; tickets != NULL && carried_ticket_take(&rest, &ticket);)
        tickets[n_taken++] = ticket;
    if (tickets == NULL || store_adopt_tickets(node->store, tickets, n_taken) != ERR_OK)
        log_event(LOG_WARN, "tickets of the process before are lost", LOG_INT("tickets", n));
    free(tickets);
}

/* ---- the process ---- */

static void carry_drain(struct node *node, struct carried_process *process)
{
    process->is_draining = atomic_load(&node->is_draining);
    int64_t left_ms = atomic_load(&node->drain_ends_ms) - clock_monotonic_ms();
    if (process->is_draining)
        process->drain_in_ms = left_ms < INT32_MIN   ? INT32_MIN
                               : left_ms > INT32_MAX ? INT32_MAX
                                                     : (int32_t)left_ms;
}

static void adopt_drain(struct node *node, const struct carried_process *process)
{
    if (process->is_draining)
        drain_adopt(node, process->drain_in_ms);
}

static enum err write_process(struct node *node, struct carried_process *process, unsigned format,
                              struct buf *out)
{
    struct record_writer writer = {.out = out};
    process->version = SPAN_LITERAL(HERALD_VERSION);
    process->next_connection = atomic_load(&node->next_connection);
    process->presence_name = events_presence_name(node);
    process->wall_ms = clock_wall_ms();
    process->monotonic_ms = clock_monotonic_ms();
    process->has_ticket_keys = node->port->tls != NULL;
    if (process->has_ticket_keys)
        tls_context_carry_keys(node->port->tls, &process->ticket_keys);
    carry_drain(node, process);
    carried_process_write(&writer, process, format);
    explicit_bzero(&process->ticket_keys, sizeof process->ticket_keys);
    return writer.error;
}

enum err process_record_write(struct node *node, int64_t frozen_ms, unsigned format,
                              struct buf *out)
{
    struct buf kicks, tickets;
    struct carried_process process = {.frozen_ms = frozen_ms};
    buf_init(&kicks, CARRIED_KICKS_MAX_BYTES);
    buf_init(&tickets, CARRIED_TICKETS_MAX_BYTES);
    enum err error = write_kicks(node, format, &kicks);
    if (error == ERR_OK)
        error = write_tickets(node, format, &tickets);
    process.kicks = buf_span(&kicks);
    process.tickets = buf_span(&tickets);
    if (error == ERR_OK)
        error = write_process(node, &process, format, out);
    buf_fini(&kicks);
    buf_fini(&tickets);
    return error;
}

static void adopt_process(struct node *node, struct carried_process *process)
{
    struct kicks_task task = {process->kicks};
    if (process->next_connection > atomic_load(&node->next_connection))
        atomic_store(&node->next_connection, process->next_connection);
    if (process->has_ticket_keys && node->port->tls != NULL)
        tls_context_adopt_keys(node->port->tls, &process->ticket_keys);
    events_adopt_name(node, process->presence_name);
    adopt_drain(node, process);
    adopt_tickets(node, process->tickets);
    worker_run_on_all(node, adopt_kicks_here, &task);
}

enum err process_record_read(struct span bytes, struct node *node, int64_t *ret_frozen_ms,
                             char why[RECORD_WHY_MAX_BYTES])
{
    struct carried_process process;
    int64_t now_ms = clock_monotonic_ms();
    enum err error = carried_process_read(bytes, &process, why);
    if (error == ERR_OK) {
        adopt_process(node, &process);
        *ret_frozen_ms =
            process.frozen_ms > 0 && process.frozen_ms < now_ms ? process.frozen_ms : now_ms;
    }
    explicit_bzero(&process.ticket_keys, sizeof process.ticket_keys);
    return error;
}
