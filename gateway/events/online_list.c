/* One partition after the other, from that of `after` on, until there is one user more than the
 * page shows. */
#include "gateway/events/online_list.h"

#include "gateway/events/events_struct.h"
#include "gateway/store/store_event_request.h"

#include <stdlib.h>
#include <string.h>

enum { TEXTS_MAX_BYTES = (ONLINE_LIST_MAX + 1) * USER_ID_MAX_BYTES };

struct online_work {
    struct node *node;
    struct gateway_online_page *page;
    struct store_present asked;
    struct buf texts; /* of all users so far, one behind the other */
    size_t n;
    uint8_t lengths[ONLINE_LIST_MAX + 1];
};

/* Makes the answer's block; the user beyond the page is left out. */
static enum err make_block(struct online_work *work)
{
    struct gateway_online_page *page = work->page;
    page->has_more = work->n > page->limit;
    page->n = page->has_more ? page->limit : work->n;
    page->users = malloc(page->n * sizeof(struct span) + work->texts.len + 1);
    if (page->users == NULL)
        return ERR_NO_MEMORY;
    char *texts = (char *)(page->users + page->n);
    if (work->texts.len > 0)
        memcpy(texts, work->texts.bytes, work->texts.len);
    for (size_t i = 0; i < page->n; i++) {
        page->users[i] = (struct span){texts, work->lengths[i]};
        texts += work->lengths[i];
    }
    return ERR_OK;
}

static void end_work(struct online_work *work, enum err error)
{
    struct gateway_online_page *page = work->page;
    page->error = error == ERR_OK ? make_block(work) : error;
    buf_fini(&work->texts);
    free(work->asked.users);
    free(work);
    page->on_done(page);
}

static enum err add_users(struct online_work *work)
{
    enum err error = ERR_OK;
    for (size_t i = 0; error == ERR_OK && i < work->asked.n; i++) {
        work->lengths[work->n++] = (uint8_t)work->asked.users[i].len;
        error = buf_append_span(&work->texts, work->asked.users[i]);
    }
    free(work->asked.users);
    work->asked.users = NULL;
    return error;
}

static void on_listed(struct store_request *request);

static void ask_partition(struct online_work *work, unsigned partition, struct span after)
{
    size_t wanted = (size_t)work->page->limit + 1 - work->n;
    work->asked = (struct store_present){
        .request = {.on_done = on_listed,
                    .lane = store_partition_lane(partition, work->node->n_workers)},
        .partition = partition,
        .after = after,
        .limit = (uint32_t)(wanted < ONLINE_LIST_MAX ? wanted : ONLINE_LIST_MAX),
    };
    store_present(work->node->store, &work->asked);
}

static void on_listed(struct store_request *request)
{
    struct online_work *work = CONTAINER_OF(request, struct online_work, asked.request);
    unsigned partition = work->asked.partition;
    bool is_whole = work->asked.n < work->asked.limit;
    enum err error = work->asked.error == ERR_OK ? add_users(work) : work->asked.error;
    if (is_whole)
        partition++;
    if (error != ERR_OK || work->n > work->page->limit || partition == STORE_PARTITIONS) {
        end_work(work, error);
        return;
    }
    struct span last = {0};
    if (!is_whole) {
        last.len = work->lengths[work->n - 1];
        last.bytes = (const char *)work->texts.bytes + work->texts.len - last.len;
    }
    ask_partition(work, partition, last);
}

void gateway_online_page(struct node *node, struct gateway_online_page *page)
{
    const struct events *events = node->events;
    bool is_kept =
        events != NULL && (events_keep(events, EVENT_ONLINE) || events_keep(events, EVENT_OFFLINE));
    struct online_work *work = is_kept ? calloc(1, sizeof *work) : NULL;
    page->n = 0;
    page->users = NULL;
    page->has_more = false;
    if (work == NULL) {
        page->error = is_kept ? ERR_NO_MEMORY : ERR_CONFLICT;
        page->on_done(page);
        return;
    }
    work->node = node;
    work->page = page;
    buf_init(&work->texts, TEXTS_MAX_BYTES);
    if (page->after.len > 0)
        ask_partition(work, store_partition_of(page->after), page->after);
    else
        ask_partition(work, 0, SPAN_NONE);
}
