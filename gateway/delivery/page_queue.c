#include "gateway/delivery/page_queue.h"

#include <stdlib.h>

struct page_queue {
    struct list first_pages; /* readers that wait for their first page */
    struct list more_pages;  /* and those that wait for another one */
    struct list put_off;
    unsigned max_pages; /* under way at once */
    unsigned n_pages;
    unsigned n_failed; /* since page_queue_retry */
};

enum err page_queue_new(struct worker *worker)
{
    struct page_queue *queue = calloc(1, sizeof *queue);
    if (queue == NULL)
        return ERR_NO_MEMORY;
    list_init(&queue->first_pages);
    list_init(&queue->more_pages);
    list_init(&queue->put_off);
    queue->max_pages = worker->node->pages_at_once;
    worker->page_queue = queue;
    return ERR_OK;
}

void page_queue_free(struct worker *worker)
{
    free(worker->page_queue);
    worker->page_queue = NULL;
}

void page_queue_add_new(struct page_queue *queue, struct reader_wait *wait)
{
    reader_become(wait->reader, READER_WAITING_TURN);
    list_append(&queue->first_pages, &wait->turn);
}

void page_queue_add(struct page_queue *queue, struct reader_wait *wait)
{
    reader_become(wait->reader, READER_WAITING_TURN);
    list_append(&queue->more_pages, &wait->turn);
}

void page_queue_put_off(struct page_queue *queue, struct reader_wait *wait)
{
    reader_become(wait->reader, READER_WAITING_STORE);
    list_append(&queue->put_off, &wait->turn);
}

void page_queue_remove(struct reader_wait *wait)
{
    list_remove(&wait->turn);
}

void page_queue_retry(struct page_queue *queue)
{
    queue->n_failed = 0;
    LIST_FOR_EACH(link, &queue->put_off)
    {
        reader_become(CONTAINER_OF(link, struct reader_wait, turn)->reader, READER_WAITING_TURN);
    }
    list_move_all(&queue->more_pages, &queue->put_off);
}

static struct reader_wait *take_first_reader(struct list *list)
{
    struct reader_wait *wait = CONTAINER_OF(list->next, struct reader_wait, turn);
    list_remove(&wait->turn);
    return wait;
}

struct reader_wait *page_queue_next(struct page_queue *queue)
{
    if (!list_is_empty(&queue->first_pages) && queue->n_pages < queue->max_pages)
        return take_first_reader(&queue->first_pages);
    if (!list_is_empty(&queue->more_pages) && queue->n_pages + queue->n_failed < queue->max_pages)
        return take_first_reader(&queue->more_pages);
    return NULL;
}

void page_queue_page_begins(struct page_queue *queue)
{
    queue->n_pages++;
}

void page_queue_page_ends(struct page_queue *queue, bool has_failed)
{
    queue->n_pages--;
    queue->n_failed += has_failed;
}
