#include "tests/store/file_same.h"

#include "tests/store/file_twin.h"

static void expect_same_notes(const struct store_page *page, const struct store_page *copied)
{
    cr_assert_eq(copied->n_notes, page->n_notes);
    for (size_t i = 0; i < page->n_notes; i++) {
        cr_assert_eq(copied->notes[i]->seq, page->notes[i]->seq);
        cr_assert_eq(copied->notes[i]->expires_ms, page->notes[i]->expires_ms);
        cr_assert(span_equal(payload_data(copied->notes[i]->payload),
                             payload_data(page->notes[i]->payload)));
    }
    cr_assert_eq(copied->n_gaps, page->n_gaps);
    for (size_t i = 0; i < page->n_gaps; i++) {
        cr_assert_eq(copied->gaps[i].from, page->gaps[i].from);
        cr_assert_eq(copied->gaps[i].to, page->gaps[i].to);
        cr_assert_eq(copied->gaps[i].cause, page->gaps[i].cause);
    }
}

void file_same_page(struct store *running, struct store *copy, const char *user, const char *device)
{
    struct store_page asked = page_asked(user);
    asked.wants_gaps = true;
    asked.device = span_of(device);
    struct store_page page = file_twin_page(running, asked);
    struct store_page copied = file_twin_page(copy, asked);
    cr_assert_eq(page.error, ERR_OK);
    cr_assert_eq(copied.error, ERR_OK);
    cr_assert(epoch_equal(copied.epoch, page.epoch), "%s has another epoch", user);
    cr_assert_eq(copied.head, page.head, "%s: head %d instead of %d", user, (int)copied.head,
                 (int)page.head);
    cr_assert_eq(copied.acked, page.acked, "%s: acked %d instead of %d", user, (int)copied.acked,
                 (int)page.acked);
    cr_assert_eq(copied.position, page.position);
    cr_assert_eq(copied.has_devices, page.has_devices);
    expect_same_notes(&page, &copied);
    if (page.head > 0)
        cr_assert_eq(file_twin_look(copy, user, page.epoch, page.head).found.is_written,
                     file_twin_look(running, user, page.epoch, page.head).found.is_written);
    page_free(&page);
    page_free(&copied);
}

void file_same_peek(struct store *running, struct store *copy, const char *user)
{
    struct store_peek peek = file_twin_peek(running, user);
    struct store_peek copied = file_twin_peek(copy, user);
    cr_assert_eq(copied.pending, peek.pending);
    cr_assert_eq(copied.oldest_time_ms, peek.oldest_time_ms);
    cr_assert_eq(copied.blocked_until_ms, peek.blocked_until_ms);
}
