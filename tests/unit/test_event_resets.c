/* What is known of the epochs of each consumer, and what it has to be told. */
#include "gateway/events/event_resets.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define OLD  ((struct epoch){"oldoldol"})
#define NEW  ((struct epoch){"newnewne"})
#define SHOP SPAN_LITERAL("shop")

static struct event_resets *resets;

static void set_up(void)
{
    resets = event_resets_new();
    cr_assert_not_null(resets);
}

static void tear_down(void)
{
    event_resets_free(resets);
}

TestSuite(event_resets, .init = set_up, .fini = tear_down);

static struct event_known known_of(struct span consumer)
{
    struct event_known known;
    event_resets_get(resets, consumer, &known);
    return known;
}

Test(event_resets, are_told_where_the_epoch_is_another_one_than_was_found)
{
    struct event_known known = {.positions[3] = {OLD, 7}};
    cr_expect_not(event_known_shows_reset(&known, 3, OLD, 0));
    cr_expect(event_known_shows_reset(&known, 3, NEW, 0));
    cr_expect(event_known_shows_reset(&known, 3, NEW, 9));
    cr_expect_not(event_known_shows_reset(&known, 4, NEW, 0), "nothing is known of it");
}

Test(event_resets, are_told_until_something_behind_the_gap_is_acknowledged)
{
    struct event_known known = {.resets = 1u << 3, .positions[3] = {NEW, 2}};
    cr_expect(event_known_shows_reset(&known, 3, NEW, 0));
    cr_expect(event_known_shows_reset(&known, 3, NEW, 2));
    cr_expect_not(event_known_shows_reset(&known, 3, NEW, 3));
    cr_expect(event_known_shows_reset(&known, 3, OLD, 3), "it was lost once more");
    known.positions[3].epoch = (struct epoch){0};
    cr_expect(event_known_shows_reset(&known, 3, NEW, 3), "it was not told yet");
}

Test(event_resets, follow_the_cursors_that_are_acknowledged)
{
    struct event_known found = {.positions[3] = {OLD, 7}};
    event_resets_set(resets, SHOP, &found);
    event_resets_acked(resets, SHOP, 1u << 3 | 1u << 5, 1u << 1);
    cr_expect_eq(known_of(SHOP).resets, 1u << 3 | 1u << 5);
    found = known_of(SHOP);
    cr_expect(event_known_shows_reset(&found, 3, NEW, 9));
    event_resets_acked(resets, SHOP, 0, 1u << 3);
    cr_expect_eq(known_of(SHOP).resets, 1u << 5);
    cr_expect_eq(known_of(SPAN_LITERAL("other")).resets, 0);
    event_resets_acked(resets, SPAN_LITERAL("other"), 0, 1);
    event_resets_forget(resets, SHOP);
    cr_expect_eq(known_of(SHOP).resets, 0);
    event_resets_forget(resets, SHOP);
}

/* Names come and go; who has to be told something is not forgotten for those who have not. */
Test(event_resets, are_kept_while_many_other_names_come)
{
    event_resets_acked(resets, SHOP, 1, 0);
    for (unsigned i = 0; i < 3 * EVENT_RESETS_MAX; i++) {
        char name[16];
        snprintf(name, sizeof name, "n%u", i);
        struct event_known found = {.positions[0] = {OLD, i}};
        event_resets_set(resets, span_of(name), &found);
        cr_expect_eq(known_of(span_of(name)).positions[0].seq, i);
    }
    cr_expect_eq(known_of(SHOP).resets, 1);
    for (unsigned i = 0; i < 3 * EVENT_RESETS_MAX; i++) {
        char name[16];
        snprintf(name, sizeof name, "r%u", i);
        event_resets_acked(resets, span_of(name), 2, 0);
        cr_expect_eq(known_of(span_of(name)).resets, 2);
    }
    cr_expect_eq(known_of(SHOP).resets, 0, "all rows are of those who have to be told");
}
