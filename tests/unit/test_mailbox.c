/* Letters between threads: each is delivered, in its sender's order, and no wake-up is lost. */
#include "gateway/base/list.h"
#include "gateway/net/reactor.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct numbered {
    struct letter letter;
    int sender;
    int number;
};

static int last_of[4];
static int n_delivered;
static struct reactor *reactor;

static void on_numbered(struct letter *letter)
{
    struct numbered *numbered = CONTAINER_OF(letter, struct numbered, letter);
    cr_assert_eq(numbered->number, last_of[numbered->sender] + 1);
    last_of[numbered->sender] = numbered->number;
    free(numbered);
    if (++n_delivered == 4 * 5000)
        reactor_stop(reactor);
}

static void *send_many(void *argument)
{
    for (int i = 1; i <= 5000; i++) {
        struct numbered *numbered = calloc(1, sizeof *numbered);
        numbered->letter.deliver = on_numbered;
        numbered->sender = (int)(size_t)argument;
        numbered->number = i;
        mailbox_post(reactor_mailbox(reactor), &numbered->letter);
    }
    return NULL;
}

Test(mailbox, delivers_every_letter_in_its_senders_order, .timeout = 30)
{
    pthread_t threads[4];
    cr_assert_eq(reactor_new(NULL, &reactor), ERR_OK);
    for (size_t i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, send_many, (void *)i);
    reactor_run(reactor);
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    cr_assert_eq(n_delivered, 20000);
    reactor_free(reactor);
}

enum { WAKE_UPS = 100 };
static atomic_int n_woken;

static void on_wake_up(struct letter *letter)
{
    (void)letter;
    if (atomic_fetch_add(&n_woken, 1) + 1 == WAKE_UPS)
        reactor_stop(reactor);
}

/* Each letter goes to a receiver that has delivered the last one and sleeps again. */
static void *send_to_a_sleeper(void *argument)
{
    struct letter letter = {.deliver = on_wake_up};
    (void)argument;
    for (int i = 0; i < WAKE_UPS; i++) {
        usleep(500);
        mailbox_post(reactor_mailbox(reactor), &letter);
        while (atomic_load(&n_woken) <= i)
            usleep(50);
    }
    return NULL;
}

Test(mailbox, wakes_its_receiver_each_time_that_it_sleeps, .timeout = 30)
{
    pthread_t thread;
    cr_assert_eq(reactor_new(NULL, &reactor), ERR_OK);
    pthread_create(&thread, NULL, send_to_a_sleeper, NULL);
    reactor_run(reactor);
    pthread_join(thread, NULL);
    cr_expect_eq(atomic_load(&n_woken), WAKE_UPS);
    reactor_free(reactor);
}

Test(mailbox, does_not_let_the_receiver_sleep_over_a_letter)
{
    struct mailbox mailbox;
    cr_assert_eq(mailbox_init(&mailbox), ERR_OK);
    cr_assert(mailbox_sleep(&mailbox));
    mailbox_wake(&mailbox);
    struct numbered numbered = {.letter.deliver = NULL};
    mailbox_post(&mailbox, &numbered.letter);
    cr_assert_not(mailbox_sleep(&mailbox));
    mailbox_fini(&mailbox);
}

static size_t rings(const struct mailbox *mailbox)
{
    uint64_t count = 0;
    ssize_t got = read(mailbox->event_fd, &count, sizeof count);
    return got == (ssize_t)sizeof count ? count : 0;
}

static void on_nothing(struct letter *letter)
{
    (void)letter;
}

Test(mailbox, has_a_sender_ring_after_its_lock_and_only_one)
{
    struct mailbox mailbox;
    struct letter first = {.deliver = on_nothing}, second = first, third = first;
    cr_assert_eq(mailbox_init(&mailbox), ERR_OK);
    cr_expect_not(mailbox_put(&mailbox, &first), "nobody sleeps");
    mailbox_deliver(&mailbox);
    cr_assert(mailbox_sleep(&mailbox));
    cr_expect(mailbox_put(&mailbox, &second));
    cr_expect_not(mailbox_put(&mailbox, &third), "the other one rings");
    cr_expect_eq(rings(&mailbox), 0);
    mailbox_ring(&mailbox);
    cr_expect_eq(rings(&mailbox), 1);
    mailbox_fini(&mailbox);
}

/* ---- many letters ---- */

static int n_delivered_before; /* the descriptor was served */

static void count_in_order(struct letter *letter)
{
    struct numbered *numbered = CONTAINER_OF(letter, struct numbered, letter);
    cr_assert_eq(numbered->number, n_delivered++);
}

static void on_served(struct reactor_watch *watch, uint32_t events)
{
    (void)watch;
    (void)events;
    n_delivered_before = n_delivered;
}

/* A push to thousands, say. Whoever comes meanwhile is served between them. */
Test(mailbox, delivers_many_letters_in_slices_and_in_order)
{
    enum { MANY = 2 * MAILBOX_TURN_LETTERS + 10, LATER = 5 };
    static struct numbered letters[MANY + LATER];
    struct reactor_watch watch = {.on_ready = on_served, .fd = eventfd(1, EFD_NONBLOCK)};
    cr_assert_eq(reactor_new(NULL, &reactor), ERR_OK);
    struct mailbox *mailbox = reactor_mailbox(reactor);
    for (int i = 0; i < MANY + LATER; i++)
        letters[i] = (struct numbered){.letter.deliver = count_in_order, .number = i};
    for (int i = 0; i < MANY; i++)
        mailbox_post(mailbox, &letters[i].letter);
    reactor_turn(reactor, -1);
    cr_assert_eq(n_delivered, MAILBOX_TURN_LETTERS);
    cr_expect_not(mailbox_sleep(mailbox), "letters wait");

    for (int i = MANY; i < MANY + LATER; i++)
        mailbox_post(mailbox, &letters[i].letter);
    cr_assert_eq(reactor_watch_add(reactor, &watch, EPOLLIN | EPOLLET), ERR_OK);
    reactor_turn(reactor, -1);
    cr_assert_eq(n_delivered, 2 * MAILBOX_TURN_LETTERS);
    cr_expect_eq(n_delivered_before, MAILBOX_TURN_LETTERS);
    reactor_turn(reactor, -1);
    reactor_turn(reactor, -1);
    cr_expect_eq(n_delivered, MANY + LATER);
    cr_expect(mailbox_sleep(mailbox));
    reactor_watch_remove(reactor, &watch);
    close(watch.fd);
    reactor_free(reactor);
}

/* ---- wake-ups that wait ---- */

Test(mailbox, makes_the_wake_ups_that_were_held_once_for_each_receiver)
{
    enum { RECEIVERS = 70, LETTERS = 3 }; /* more than can be held */
    static struct mailbox mailboxes[RECEIVERS];
    static struct letter letters[LETTERS][RECEIVERS];
    for (int i = 0; i < RECEIVERS; i++)
        cr_assert_eq(mailbox_init(&mailboxes[i]), ERR_OK);
    mailbox_hold();
    uint64_t n_early = 0;
    for (int n = 0; n < LETTERS; n++) {
        for (int i = 0; i < RECEIVERS; i++) {
            cr_assert_eq(mailbox_sleep(&mailboxes[i]), n == 0);
            atomic_store(&mailboxes[i].is_asleep, true); /* it has woken and delivered meanwhile */
            letters[n][i].deliver = on_nothing;
            mailbox_post(&mailboxes[i], &letters[n][i]);
        }
    }
    for (int i = 0; i < RECEIVERS; i++)
        n_early += rings(&mailboxes[i]) > 0;
    cr_assert_eq(n_early, 6, "64 wait");
    mailbox_release();
    for (int i = 0; i < RECEIVERS; i++)
        cr_assert_leq(rings(&mailboxes[i]), 1);
    for (int i = 0; i < RECEIVERS; i++) {
        cr_assert_eq(mailbox_deliver(&mailboxes[i]), LETTERS, "no letter has waited");
        cr_assert(mailbox_sleep(&mailboxes[i]));
        mailbox_post(&mailboxes[i], &letters[0][i]);
        cr_assert_eq(rings(&mailboxes[i]), 1, "nothing waits any more");
        mailbox_fini(&mailboxes[i]);
    }
}

Test(mailbox, counts_what_waits)
{
    struct mailbox mailbox;
    struct letter letters[2] = {{.deliver = on_nothing}, {.deliver = on_nothing}};
    cr_assert_eq(mailbox_init(&mailbox), ERR_OK);
    cr_expect_not(mailbox_has_more_than(&mailbox, 0));
    mailbox_post(&mailbox, &letters[0]);
    mailbox_post(&mailbox, &letters[1]);
    cr_expect(mailbox_has_more_than(&mailbox, 1));
    cr_expect_not(mailbox_has_more_than(&mailbox, 2));
    mailbox_deliver(&mailbox);
    mailbox_fini(&mailbox);
}
