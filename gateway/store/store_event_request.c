#include "gateway/store/store_event_request.h"

#include "gateway/store/store_backend.h"

#include <stdlib.h>

static void clear_consumers(struct store_consumers *consumers)
{
    consumers->is_changed = false;
    consumers->unread = 0;
    consumers->epoch = (struct epoch){0};
    consumers->head = 0;
    consumers->count = 0;
    consumers->bytes = 0;
    consumers->oldest_ms = 0;
    consumers->n = 0;
}

static void clear_present(struct store_present *present)
{
    free(present->users);
    present->users = NULL;
    present->n = 0;
}

static void clear_serve(struct store_serve *serve)
{
    free(serve->alerts);
    serve->alerts = NULL;
    serve->n_alerts = 0;
    serve->next_alert_ms = 0;
    serve->n_pending_alerts = 0;
    serve->is_mine = false;
    serve->n_nodes = 0;
    serve->has_more = false;
}

void store_event_answer(struct store_request *request, enum store_op op, enum err error)
{
    void *of = request;
    if (op == STORE_OP_EVENT_APPEND) {
        ((struct store_event_append *)of)->error = error;
    } else if (op == STORE_OP_CONSUMERS) {
        clear_consumers(of);
        ((struct store_consumers *)of)->error = error;
    } else if (op == STORE_OP_PRESENCE) {
        ((struct store_presence *)of)->is_new = false;
        ((struct store_presence *)of)->error = error;
    } else if (op == STORE_OP_PRESENT) {
        clear_present(of);
        ((struct store_present *)of)->error = error;
    } else if (op == STORE_OP_SERVE) {
        clear_serve(of);
        ((struct store_serve *)of)->error = error;
    } else if (op == STORE_OP_ALERT_END) {
        ((struct store_alert_end *)of)->error = error;
    }
}
