/* Whose turn it is to read a page of the inbox. */
#include "gateway/delivery/page_queue.h"

#include <criterion/criterion.h>

enum { PAGES_AT_ONCE = 3 };

static struct node node = {.pages_at_once = PAGES_AT_ONCE};
static struct worker worker = {.node = &node};
static struct page_queue *queue;
static struct reader readers[8];
static struct reader_wait waits[8];

static void set_up(void)
{
    cr_assert_eq(page_queue_new(&worker), ERR_OK);
    queue = worker.page_queue;
    for (unsigned i = 0; i < 8; i++) {
        reader_init(&readers[i]);
        waits[i].reader = &readers[i];
    }
}

static void tear_down(void)
{
    page_queue_free(&worker);
    cr_assert_null(worker.page_queue);
}

/* The reader has its turn, and its page is under way. */
static void expect_begins(unsigned i)
{
    struct reader_wait *wait = page_queue_next(queue);
    cr_assert_eq(wait, &waits[i], "it is the turn of %d, not of %u",
                 wait == NULL ? -1 : (int)(wait - waits), i);
    cr_assert_eq(wait->reader->state, READER_WAITING_TURN);
    reader_become(wait->reader, READER_READING);
    page_queue_page_begins(queue);
}

static void fail_page(unsigned i)
{
    page_queue_page_ends(queue, true);
    page_queue_put_off(queue, &waits[i]);
}

TestSuite(page_queue, .init = set_up, .fini = tear_down);

Test(page_queue, gives_first_pages_their_turn_before_others_and_each_kind_in_order)
{
    page_queue_add(queue, &waits[0]);
    page_queue_add_new(queue, &waits[1]);
    page_queue_add_new(queue, &waits[2]);
    expect_begins(1);
    expect_begins(2);
    expect_begins(0);
    cr_assert_null(page_queue_next(queue));
}

Test(page_queue, lets_no_more_pages_be_under_way_than_the_node_allows)
{
    for (unsigned i = 0; i < 6; i++)
        (i % 2 == 0 ? page_queue_add : page_queue_add_new)(queue, &waits[i]);
    expect_begins(1);
    expect_begins(3);
    expect_begins(5);
    cr_assert_null(page_queue_next(queue));
    page_queue_page_ends(queue, false);
    expect_begins(0);
    cr_assert_null(page_queue_next(queue));
}

/* CONTRACT 5.9: a store that is away is asked at a bounded rate. */
Test(page_queue, counts_failed_pages_as_under_way_until_the_retry)
{
    for (unsigned i = 0; i < 4; i++)
        page_queue_add(queue, &waits[i]);
    for (unsigned i = 0; i < PAGES_AT_ONCE; i++)
        expect_begins(i);
    for (unsigned i = 0; i < PAGES_AT_ONCE; i++)
        fail_page(i);
    cr_assert_null(page_queue_next(queue));
    page_queue_retry(queue);
    expect_begins(3);
}

/* A new session is accepted when its first page has come or failed. */
Test(page_queue, lets_first_pages_past_those_that_failed)
{
    for (unsigned i = 0; i < PAGES_AT_ONCE; i++) {
        page_queue_add(queue, &waits[i]);
        expect_begins(i);
        page_queue_page_ends(queue, true);
    }
    page_queue_add(queue, &waits[4]);
    page_queue_add_new(queue, &waits[5]);
    expect_begins(5);
    cr_assert_null(page_queue_next(queue));
}

Test(page_queue, gives_those_that_were_put_off_their_turn_after_those_that_wait_already)
{
    page_queue_add(queue, &waits[0]);
    page_queue_add(queue, &waits[1]);
    expect_begins(0);
    expect_begins(1);
    fail_page(0);
    fail_page(1);
    cr_assert_eq(readers[0].state, READER_WAITING_STORE);
    page_queue_add(queue, &waits[2]);
    page_queue_retry(queue);
    cr_assert_eq(readers[0].state, READER_WAITING_TURN);
    expect_begins(2);
    expect_begins(0);
    expect_begins(1);
}

Test(page_queue, forgets_a_reader_whose_session_ends)
{
    page_queue_add(queue, &waits[0]);
    page_queue_add_new(queue, &waits[1]);
    page_queue_add(queue, &waits[2]);
    expect_begins(1);
    fail_page(1);
    page_queue_remove(&waits[0]);
    page_queue_remove(&waits[1]);
    page_queue_retry(queue);
    expect_begins(2);
    cr_assert_null(page_queue_next(queue));
}
