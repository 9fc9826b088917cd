#include "gateway/base/list.h"

#include <criterion/criterion.h>

struct item {
    int number;
    struct list link;
};

static struct list head;
static struct item items[5];

static void setup(void)
{
    list_init(&head);
    for (int i = 0; i < 5; i++) {
        items[i].number = i + 1;
        list_append(&head, &items[i].link);
    }
}

/* The numbers in the list as one decimal number, read forwards; -1: backwards says otherwise. */
static long digits_of(struct list *list)
{
    long forwards = 0;
    long backwards = 0;
    long place = 1;
    LIST_FOR_EACH(link, list)
    {
        forwards = forwards * 10 + CONTAINER_OF(link, struct item, link)->number;
    }
    for (struct list *link = list->prev; link != list; link = link->prev) {
        backwards += place * CONTAINER_OF(link, struct item, link)->number;
        place *= 10;
    }
    return forwards == backwards ? forwards : -1;
}

TestSuite(list, .init = setup);

Test(list, keeps_the_order_of_appending)
{
    cr_assert_eq(digits_of(&head), 12345);
    cr_assert_not(list_is_empty(&head));
}

Test(list, is_empty_at_first_and_when_all_are_removed)
{
    for (int i = 0; i < 5; i++)
        list_remove(&items[i].link);
    cr_assert(list_is_empty(&head));
    cr_assert_eq(digits_of(&head), 0);
}

Test(list, removes_at_both_ends_and_in_the_middle)
{
    list_remove(&items[0].link);
    list_remove(&items[2].link);
    list_remove(&items[4].link);
    cr_assert_eq(digits_of(&head), 24);
}

Test(list, lets_a_link_be_removed_twice_and_appended_again)
{
    list_remove(&items[1].link);
    list_remove(&items[1].link);
    list_append(&head, &items[1].link);
    cr_assert_eq(digits_of(&head), 13452);
}

Test(list, lets_the_body_of_a_safe_walk_remove_every_link)
{
    long seen = 0;
    LIST_FOR_EACH_SAFE(link, &head)
    {
        seen = seen * 10 + CONTAINER_OF(link, struct item, link)->number;
        list_remove(link);
    }
    cr_assert_eq(seen, 12345);
    cr_assert(list_is_empty(&head));
}

Test(list, moves_all_links_to_the_end_of_another)
{
    struct list other;
    list_init(&other);
    for (int i = 0; i < 2; i++) {
        list_remove(&items[i].link);
        list_append(&other, &items[i].link);
    }
    list_move_all(&head, &other);
    cr_assert_eq(digits_of(&head), 34512);
    cr_assert(list_is_empty(&other));

    list_move_all(&head, &other); /* of nothing */
    cr_assert_eq(digits_of(&head), 34512);
    list_move_all(&other, &head); /* to nothing */
    cr_assert_eq(digits_of(&other), 34512);
    cr_assert(list_is_empty(&head));
}
