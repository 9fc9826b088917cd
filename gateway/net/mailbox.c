#include "gateway/net/mailbox.h"

#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum err mailbox_init(struct mailbox *mailbox)
{
    mailbox->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (mailbox->event_fd < 0)
        return ERR_SYSTEM;
    atomic_init(&mailbox->head, NULL);
    atomic_init(&mailbox->is_asleep, false);
    mailbox->taken = NULL;
    mailbox->visit = NULL;
    return ERR_OK;
}

void mailbox_fini(struct mailbox *mailbox)
{
    close(mailbox->event_fd);
}

bool mailbox_put(struct mailbox *mailbox, struct letter *letter)
{
    struct letter *head = atomic_load_explicit(&mailbox->head, memory_order_relaxed);
    do {
        letter->next = head;
    } while (!atomic_compare_exchange_weak(&mailbox->head, &head, letter));

    /* Both sides are sequentially consistent: either the sender sees the receiver asleep, or the
     * receiver sees the letter before it sleeps. The sender that clears the flag writes the
     * wake-up. */
    return atomic_load(&mailbox->is_asleep) && atomic_exchange(&mailbox->is_asleep, false);
}

static void write_wake_up(struct mailbox *mailbox)
{
    uint64_t one = 1;
    ssize_t written = write(mailbox->event_fd, &one, sizeof one);
    (void)written; /* only a counter at its maximum fails, and that wakes as well */
}

/* ---- wake-ups that wait ---- */

enum { MAX_HELD = 64 }; /* receivers; the wake-ups of others do not wait */

static _Thread_local struct {
    bool is_held;
    unsigned n;
    struct mailbox *mailboxes[MAX_HELD];
} held;

void mailbox_hold(void)
{
    held.is_held = true;
}

/* A receiver that woke by itself and sleeps again is found here a second time. */
static bool is_held(const struct mailbox *mailbox)
{
    unsigned i = 0;
    while (i < held.n && held.mailboxes[i] != mailbox)
        i++;
    return i < held.n;
}

void mailbox_ring(struct mailbox *mailbox)
{
    if (!held.is_held || (held.n == MAX_HELD && !is_held(mailbox)))
        write_wake_up(mailbox);
    else if (!is_held(mailbox))
        held.mailboxes[held.n++] = mailbox;
}

void mailbox_release(void)
{
    held.is_held = false;
    for (unsigned i = 0; i < held.n; i++)
        write_wake_up(held.mailboxes[i]);
    held.n = 0;
}

/* The oldest first. Its receiver may be among the held again while it is visited. */
static struct mailbox *take_held(void)
{
    struct mailbox *mailbox = held.mailboxes[0];
    held.n--;
    for (unsigned i = 0; i < held.n; i++)
        held.mailboxes[i] = held.mailboxes[i + 1];
    return mailbox;
}

size_t mailbox_visit_held(size_t max)
{
    size_t n = 0;
    while (held.n > 0 && n < max) {
        struct mailbox *mailbox = take_held();
        if (mailbox->visit != NULL && mailbox->visit(mailbox))
            n++;
        else
            write_wake_up(mailbox);
    }
    return n;
}

void mailbox_post(struct mailbox *mailbox, struct letter *letter)
{
    if (mailbox_put(mailbox, letter))
        mailbox_ring(mailbox);
}

/* All that were posted, the oldest first. */
static struct letter *take_posted(struct mailbox *mailbox)
{
    struct letter *newest_first = atomic_exchange(&mailbox->head, NULL);
    struct letter *oldest_first = NULL;
    while (newest_first != NULL) {
        struct letter *next = newest_first->next;
        newest_first->next = oldest_first;
        oldest_first = newest_first;
        newest_first = next;
    }
    return oldest_first;
}

size_t mailbox_deliver(struct mailbox *mailbox)
{
    size_t n = 0;
    if (mailbox->taken == NULL)
        mailbox->taken = take_posted(mailbox);
    for (; mailbox->taken != NULL && n < MAILBOX_TURN_LETTERS; n++) {
        struct letter *letter = mailbox->taken;
        mailbox->taken = letter->next; /* deliver may post or free the letter */
        letter->deliver(letter);
    }
    return n;
}

bool mailbox_has_more_than(const struct mailbox *mailbox, size_t n)
{
    const struct letter *letter = atomic_load(&mailbox->head);
    for (; letter != NULL && n > 0; n--)
        letter = letter->next;
    return letter != NULL;
}

bool mailbox_sleep(struct mailbox *mailbox)
{
    if (mailbox->taken != NULL)
        return false;
    atomic_store(&mailbox->is_asleep, true);
    if (atomic_load(&mailbox->head) == NULL)
        return true;
    atomic_store(&mailbox->is_asleep, false);
    return false;
}

void mailbox_wake(struct mailbox *mailbox)
{
    atomic_store(&mailbox->is_asleep, false);
}
