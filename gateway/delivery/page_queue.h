/* The sessions of a worker that want a page of the inbox, in the order of their turns. After an
 * outage all sessions want a page at once, so at most node->pages_at_once of a worker are under
 * way: first pages of new sessions before the others, whose clients have something already. A page
 * that failed counts as under way until page_queue_retry: a store that is away is asked at a
 * bounded rate, whatever the number of sessions. First pages do not wait for failed ones, because a
 * new session is accepted when its first page has come or failed.
 *
 * A reader is in one list of the queue while its state is WAITING_TURN or WAITING_STORE, and in
 * none otherwise; the functions that put it there set the state. Home worker's thread. */
#ifndef HERALD_PAGE_QUEUE_H
#define HERALD_PAGE_QUEUE_H

#include "gateway/node/worker.h"
#include "gateway/session/reader.h"

struct page_queue;

/* Makes worker->page_queue. ERR_NO_MEMORY. */
MUST_CHECK enum err page_queue_new(struct worker *worker);
void page_queue_free(struct worker *worker); /* every reader has left it */

/* WAITING_TURN, for its first page. */
void page_queue_add_new(struct page_queue *queue, struct reader_wait *wait);

/* WAITING_TURN, for another page. */
void page_queue_add(struct page_queue *queue, struct reader_wait *wait);

/* WAITING_STORE, until page_queue_retry. */
void page_queue_put_off(struct page_queue *queue, struct reader_wait *wait);

/* The reader's session is ending: takes it out of the list that it is in. */
void page_queue_remove(struct reader_wait *wait);

/* The store is back, or a second is over: those that were put off have their turn again, after
 * those that wait already. */
void page_queue_retry(struct page_queue *queue);

/* Takes out the reader whose turn it is. NULL: none waits, or no more pages may be under way. The
 * caller begins its page, or puts it off. */
struct reader_wait *page_queue_next(struct page_queue *queue);

void page_queue_page_begins(struct page_queue *queue);
void page_queue_page_ends(struct page_queue *queue, bool has_failed);

#endif
