#include "gateway/base/list.h"
#include "gateway/net/reactor.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>

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
    cr_assert_eq(reactor_new(&reactor), ERR_OK);
    for (size_t i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, send_many, (void *)i);
    reactor_run(reactor);
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    cr_assert_eq(n_delivered, 20000);
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
