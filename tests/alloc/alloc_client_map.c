/* The client map, its channels and a session's backlog without memory. */
#include "gateway/base/hash.h"
#include "gateway/node/client_map.h"
#include "gateway/session/backlog.h"
#include "tests/alloc/fail.h"

enum { USERS = 150, NOTES = 20 };

static struct mailbox mailbox;
static struct notification *notes[NOTES]; /* made outside of the runs */
static struct withdrawal *withdrawal;

static void on_letter(struct letter *letter)
{
    (void)letter;
}

static void take_all(struct client_map *map, struct client *client, unsigned n_offered)
{
    enum missed missed = MISSED_NOTHING;
    struct channel *taken = client_map_take(map, client, &missed);
    unsigned n = taken == NULL ? 0 : taken->n;
    CHECK(n <= n_offered);
    /* What did not fit is in the inbox, and the sessions are made to read it. */
    CHECK(n == n_offered || missed != MISSED_NOTHING || (taken != NULL && taken->has_overflowed));
    CHECK(n == n_offered || fail_has_happened());
    channel_free(taken);
}

static void users(void)
{
    struct client_map *map;
    static struct client *clients[USERS];
    char name[16];
    if (!WENT_WELL(client_map_new(2, 100000, on_letter, &map)))
        return;
    for (unsigned i = 0; i < USERS; i++) {
        snprintf(name, sizeof name, "%u", i);
        struct span user_id = span_of(name);
        clients[i] = client_map_enter(map, user_id, (struct worker *)(void *)&mailbox, &mailbox);
        CHECK(clients[i] != NULL || fail_has_happened());
        CHECK(client_map_count(map, user_id) == (clients[i] != NULL));
        unsigned n_offered = 0;
        for (unsigned j = 0; j < NOTES && clients[i] != NULL && i < 3; j++, n_offered++)
            CHECK(client_map_offer(map, user_id, inbox_event_of_note(notes[j])) == 1);
        if (n_offered > 0)
            CHECK(client_map_offer(map, user_id, inbox_event_of_withdrawal(withdrawal)) == 1 &&
                  ++n_offered > 0);
        mailbox_deliver(&mailbox);
        if (n_offered > 0)
            take_all(map, clients[i], n_offered);
    }
    for (unsigned i = 0; i < USERS; i++) {
        if (clients[i] == NULL)
            continue;
        CHECK(client_map_leave(map, clients[i]));
        client_free(clients[i]);
    }
    CHECK(client_map_users(map) == 0);
    client_map_free(map);
}

static void backlogs(void)
{
    struct backlog *backlog = NULL;
    unsigned n = 0;
    for (unsigned i = 0; i < NOTES; i++) {
        struct gap gap = {1000 + 2 * i, 1000 + 2 * i, GAP_OVERFLOW}; /* none adjoins */
        n += WENT_WELL(backlog_add(&backlog, notes[i]));
        if (i % 3 == 0)
            n += WENT_WELL(backlog_add_gap(&backlog, &gap));
        if (i % 4 == 3 && n > 0) {
            backlog_drop_first(&backlog);
            n--;
        }
    }
    backlog_withdraw(backlog, 5, 7, GAP_CANCELLED);
    CHECK((n == 0) == (backlog_first(backlog) == NULL));
    for (; backlog_first(backlog) != NULL; n--) { /* adjoining gaps have become one */
        CHECK(n > 0);
        backlog_drop_first(&backlog);
    }
}

int main(void)
{
    struct epoch epoch = {"abcdefgh"};
    CHECK(hash_init() == ERR_OK && mailbox_init(&mailbox) == ERR_OK);
    struct payload *payload = payload_new(SPAN_LITERAL("{\"a\":1}"));
    CHECK(payload != NULL);
    for (unsigned i = 0; i < NOTES; i++)
        CHECK((notes[i] = notification_new(payload, epoch, i + 1, 1, INT64_MAX)) != NULL);
    CHECK((withdrawal = withdrawal_new(epoch, 2, 3, GAP_CANCELLED)) != NULL);
    fail_each("users", users);
    fail_each("backlogs", backlogs);
    for (unsigned i = 0; i < NOTES; i++)
        notification_unref(notes[i]);
    withdrawal_unref(withdrawal);
    payload_unref(payload);
    mailbox_fini(&mailbox);
    return 0;
}
