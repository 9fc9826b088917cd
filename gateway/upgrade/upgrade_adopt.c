/* A message is read on the main thread, and each worker is then asked once to build those whose
 * home it is. What cannot be built is kept with its record until the socket is ours, and is turned
 * away then: until COMMIT a client is told nothing. */
#include "gateway/upgrade/upgrade_adopt.h"

#include "gateway/base/log_limit.h"
#include "gateway/delivery/delivery_carry.h"
#include "gateway/http/http_carry.h"
#include "gateway/http/http_port.h"
#include "gateway/node/worker_park.h"
#include "gateway/session/session_revive.h"
#include "gateway/upgrade/http_record.h"
#include "gateway/upgrade/record.h"
#include "gateway/upgrade/session_record.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct away {
    struct away *next;
    int fd;
    size_t len;
    char record[];
};

/* One of a message. */
struct incoming {
    struct worker *home; /* NULL: its record is bad */
    struct span record;
    int fd; /* -1: it is built, and somebody else's */
    enum err error;
    bool is_admin;
    union {
        struct carried_session session;
        struct carried_http http;
    };
};

struct batch {
    struct upgrade_adopted *adopted;
    struct incoming *all;
    unsigned n;
};

/* Bounded: a process of another version may spell all of them so that they cannot be read. */
static void log_bad_record(const char *why)
{
    static struct log_limit bad = LOG_LIMIT(1000);
    log_limited(&bad, span_of("any"), LOG_WARN,
                "a connection could not be taken over, and is turned away", LOG_TEXT("why", why));
}

static struct worker *any_worker(struct upgrade_adopted *adopted)
{
    return adopted->node->workers[adopted->next_worker++ % adopted->node->n_workers];
}

static void read_session(struct upgrade_adopted *adopted, struct incoming *one)
{
    char why[RECORD_WHY_MAX_BYTES];
    one->session = (struct carried_session){0};
    if (session_record_read(one->record, &one->session, why) == ERR_OK)
        one->home = delivery_carried_home(adopted->node, &one->session, adopted->next_worker++);
    else
        log_bad_record(why);
}

static void read_http(struct upgrade_adopted *adopted, struct incoming *one)
{
    char why[RECORD_WHY_MAX_BYTES];
    one->http = (struct carried_http){0};
    if (http_record_read(one->record, &one->http, &one->is_admin, why) == ERR_OK)
        one->home = any_worker(adopted);
    else
        log_bad_record(why);
}

/* As many records as descriptors, and nothing else. */
static enum err read_batch(struct batch *batch, struct upgrade_message *message,
                           void (*read)(struct upgrade_adopted *adopted, struct incoming *one))
{
    struct span rest = message->bytes;
    batch->all = calloc(message->n_fds > 0 ? message->n_fds : 1, sizeof *batch->all);
    if (batch->all == NULL)
        return ERR_NO_MEMORY;
    for (unsigned i = 0; i < message->n_fds; i++) {
        uint8_t tag;
        struct incoming *one = &batch->all[i];
        if (record_take(&rest, &tag, &one->record) != RECORD_ITEM || tag != UPGRADE_TAG_RECORD)
            return ERR_INVALID_FIELD;
        read(batch->adopted, one);
    }
    return rest.len == 0 ? ERR_OK : ERR_INVALID_FIELD;
}

/* From here on the descriptors are the batch's. */
static void take_fds(struct batch *batch, struct upgrade_message *message)
{
    batch->n = message->n_fds;
    for (unsigned i = 0; i < batch->n; i++) {
        batch->all[i].fd = message->fds[i];
        message->fds[i] = -1;
    }
}

static void adopt_sessions_here(struct worker *worker, void *argument)
{
    const struct batch *batch = argument;
    for (unsigned i = 0; i < batch->n; i++) {
        struct incoming *one = &batch->all[i];
        if (one->home != worker)
            continue;
        one->error =
            delivery_adopt(worker, batch->adopted->node->port->peers, &one->session, one->fd);
        if (one->error == ERR_OK)
            one->fd = -1;
    }
}

static void adopt_http_here(struct worker *worker, void *argument)
{
    const struct batch *batch = argument;
    for (unsigned i = 0; i < batch->n; i++) {
        struct incoming *one = &batch->all[i];
        if (one->home != worker)
            continue;
        struct http_port *port = batch->adopted->ports[one->is_admin];
        one->error = http_adopt(port, worker, one->fd, &one->http);
        if (one->error == ERR_OK)
            one->fd = -1;
    }
}

/* Without memory for that it is closed now, which its client does not notice before COMMIT; then
 * the connection ends without a word. */
static void keep_away(struct upgrade_adopted *adopted, const struct incoming *one)
{
    struct away *away = malloc(sizeof *away + one->record.len);
    if (one->home != NULL)
        log_bad_record(error_title(one->error));
    if (away == NULL) {
        close(one->fd);
        return;
    }
    away->fd = one->fd;
    away->len = one->record.len;
    memcpy(away->record, one->record.bytes, one->record.len);
    away->next = adopted->away;
    adopted->away = away;
}

enum err upgrade_adopt_sessions(struct upgrade_adopted *adopted, struct upgrade_message *message)
{
    struct batch batch = {.adopted = adopted};
    enum err error = read_batch(&batch, message, read_session);
    if (error == ERR_OK) {
        take_fds(&batch, message);
        workers_run_at_once(adopted->node, adopt_sessions_here, &batch);
        adopted->n_sessions += batch.n;
    }
    for (unsigned i = 0; i < batch.n; i++) {
        if (batch.all[i].fd >= 0)
            keep_away(adopted, &batch.all[i]);
    }
    free(batch.all);
    return error;
}

enum err upgrade_adopt_http(struct upgrade_adopted *adopted, struct upgrade_message *message)
{
    struct batch batch = {.adopted = adopted};
    enum err error = read_batch(&batch, message, read_http);
    if (error == ERR_OK) {
        take_fds(&batch, message);
        worker_run_on_all(adopted->node, adopt_http_here, &batch);
        adopted->n_http += batch.n;
    }
    for (unsigned i = 0; i < batch.n; i++) {
        if (batch.all[i].fd >= 0) /* between two requests: a client sends it again elsewhere */
            close(batch.all[i].fd);
    }
    free(batch.all);
    return error;
}

/* ---- GO ---- */

static void go_here(struct worker *worker, void *argument)
{
    const struct upgrade_adopted *adopted = argument;
    delivery_go(worker);
    http_adopt_go(adopted->ports[false], worker);
    http_adopt_go(adopted->ports[true], worker);
}

void upgrade_adopt_go(struct upgrade_adopted *adopted)
{
    workers_run_at_once(adopted->node, go_here, adopted);
    while (adopted->away != NULL) {
        struct away *away = adopted->away;
        char why[RECORD_WHY_MAX_BYTES];
        struct carried_session carried = {0};
        adopted->away = away->next;
        /* As much of it as can be read. */
        if (session_record_read((struct span){away->record, away->len}, &carried, why) != ERR_OK)
            carried.unwritten = carried.unwritten.bytes == NULL ? SPAN_NONE : carried.unwritten;
        session_turn_away(away->fd, &carried);
        free(away);
    }
}
