/* The client map: which users are present with how many sessions, which worker an offer wakes, and
 * lists of everybody while it grows. */
#include "gateway/base/hash.h"
#include "gateway/node/client_map.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct mailbox mailbox;
enum { N_WORKERS = 2 };

static struct client_map *map;
static struct worker *home = (struct worker *)&mailbox; /* never looked into by the map */

static void on_letter(struct letter *letter)
{
    (void)letter;
}

static void set_up(void)
{
    cr_assert_eq(hash_init(), ERR_OK);
    cr_assert_eq(mailbox_init(&mailbox), ERR_OK);
    cr_assert_eq(client_map_new(N_WORKERS, 1000, on_letter, &map), ERR_OK);
}

static struct client *enter(const char *user)
{
    return client_map_enter(map, span_of(user), home, &mailbox);
}

static void leave(struct client *client)
{
    if (!client_map_leave(map, client))
        return;
    channel_free(client->channel);
    free(client);
}

static struct notification *ephemeral(void)
{
    struct payload *payload = payload_new(SPAN_LITERAL("1"));
    struct notification *note = notification_new(payload, (struct epoch){{0}}, 0, 1, 0);
    payload_unref(payload);
    return note;
}

TestSuite(client_map, .init = set_up);

Test(client_map, counts_the_sessions_of_a_user)
{
    struct client *client = enter("a");
    cr_assert_eq(enter("a"), client);
    cr_assert_eq(client_map_count(map, SPAN_LITERAL("a")), 2);
    cr_assert_eq(client_map_count(map, SPAN_LITERAL("b")), 0);
    leave(client);
    cr_assert_eq(client_map_count(map, SPAN_LITERAL("a")), 1);
    leave(client);
    cr_assert_eq(client_map_count(map, SPAN_LITERAL("a")), 0);
    client_map_free(map);
}

Test(client_map, posts_one_letter_for_many_offers)
{
    struct client *client = enter("a");
    struct notification *note = ephemeral();
    for (int i = 0; i < 5; i++)
        cr_assert_eq(client_map_offer(map, SPAN_LITERAL("a"), inbox_event_of_note(note)), 1);
    cr_assert_eq(client_map_offer(map, SPAN_LITERAL("nobody"), inbox_event_of_note(note)), 0);
    cr_assert_eq(mailbox_deliver(&mailbox), 1);

    enum missed missed;
    struct channel *taken = client_map_take(map, client, &missed);
    cr_assert_eq(taken->n, 5);
    cr_assert_eq(missed, MISSED_NOTHING);
    channel_free(taken);
    client_map_missed(map, SPAN_LITERAL("a"), MISSED_WITHDRAWALS);
    client_map_missed(map, SPAN_LITERAL("a"), MISSED_NOTIFICATIONS);
    cr_assert_eq(mailbox_deliver(&mailbox), 1);
    cr_assert_null(client_map_take(map, client, &missed));
    cr_assert_eq(missed, MISSED_WITHDRAWALS);
    notification_unref(note);
    leave(client);
    client_map_free(map);
}

static uint64_t rings(void)
{
    uint64_t count = 0;
    ssize_t got = read(mailbox.event_fd, &count, sizeof count);
    return got == (ssize_t)sizeof count ? count : 0;
}

Test(client_map, wakes_a_home_that_sleeps_and_once)
{
    struct client *client = enter("a");
    struct notification *note = ephemeral();
    for (int i = 0; i < 2; i++) {
        enum missed missed;
        cr_assert(mailbox_sleep(&mailbox));
        if (i == 0)
            client_map_offer(map, SPAN_LITERAL("a"), inbox_event_of_note(note));
        client_map_missed(map, SPAN_LITERAL("a"), MISSED_NOTIFICATIONS);
        cr_expect_eq(rings(), 1);
        mailbox_deliver(&mailbox);
        channel_free(client_map_take(map, client, &missed));
    }
    notification_unref(note);
    leave(client);
    client_map_free(map);
}

Test(client_map, lists_everybody_once_although_it_grows_meanwhile)
{
    enum { FIRST = 500, LATER = 3000, PAGE = 7 };
    static struct client *clients[LATER];
    static int seen[LATER];
    char name[16];
    for (int i = 0; i < FIRST; i++) {
        snprintf(name, sizeof name, "%d", i);
        clients[i] = enter(name);
    }
    struct client_map_row rows[PAGE];
    uint64_t cursor = 0;
    int n = FIRST;
    while (cursor != UINT64_MAX) {
        size_t got = client_map_list(map, &cursor, rows, PAGE);
        cr_assert_leq(got, PAGE);
        for (size_t i = 0; i < got; i++) {
            snprintf(name, sizeof name, "%.*s", (int)rows[i].user_id_len, rows[i].user_id);
            seen[strtol(name, NULL, 10)]++;
        }
        for (int end = n + 10; n < end && n < LATER; n++) {
            snprintf(name, sizeof name, "%d", n);
            clients[n] = enter(name);
        }
    }
    for (int i = 0; i < FIRST; i++)
        cr_assert_eq(seen[i], 1, "user %d was seen %d times", i, seen[i]);
    for (int i = FIRST; i < n; i++)
        cr_assert_leq(seen[i], 1);
    for (int i = 0; i < n; i++)
        leave(clients[i]);
    client_map_free(map);
}

Test(client_map, lists_everybody_in_pages_of_one)
{
    static struct client *clients[200];
    bool is_seen[200] = {false};
    char name[16];
    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "%d", i);
        clients[i] = enter(name);
    }
    struct client_map_row row;
    uint64_t cursor = 0;
    int n = 0;
    while (cursor != UINT64_MAX && n <= 200) {
        if (client_map_list(map, &cursor, &row, 1) == 0)
            continue;
        snprintf(name, sizeof name, "%.*s", (int)row.user_id_len, row.user_id);
        is_seen[strtol(name, NULL, 10)] = true;
        n++;
    }
    cr_assert_eq(n, 200);
    for (int i = 0; i < 200; i++) {
        cr_assert(is_seen[i]);
        leave(clients[i]);
    }
    client_map_free(map);
}

Test(client_map, returns_what_is_known_of_a_user_who_is_present)
{
    struct client *client = enter("a");
    struct client_known known = client_map_known(map, SPAN_LITERAL("a"));
    cr_assert(epoch_is_none(known.epoch));
    client_map_learn(map, client, (struct epoch){"abcdefgh"}, 7, 70);
    client_map_learn(map, client, (struct epoch){"abcdefgh"}, 3, 30);
    atomic_store(&client->shared.acked, 5);
    known = client_map_known(map, SPAN_LITERAL("a"));
    cr_assert(epoch_equal(known.epoch, (struct epoch){"abcdefgh"}));
    cr_assert_eq(known.head, 7);
    cr_assert_eq(known.head_time, 70);
    cr_assert_eq(known.acked, 5);
    atomic_store(&client->has_devices, true);
    known = client_map_known(map, SPAN_LITERAL("a"));
    cr_assert_eq(known.acked, 0, "the store alone knows the position of a user with devices");
    cr_assert_eq(client_map_known(map, SPAN_LITERAL("b")).head, 0);
    leave(client);
    client_map_free(map);
}

static unsigned n_visited;

static void count_visit(struct client *client, void *argument)
{
    (void)argument;
    client->unstored_slot++; /* a mark of ours: seen once more */
    n_visited++;
}

Test(client_map, visits_everyone_who_stays_once_while_it_grows)
{
    enum { BEFORE = 300, AFTER = 3000 };
    static struct client *clients[BEFORE + AFTER];
    char name[16];
    uint64_t cursors[N_WORKERS] = {0};
    for (int i = 0; i < BEFORE; i++) {
        snprintf(name, sizeof name, "u%d", i);
        clients[i] = enter(name);
    }
    int n = BEFORE;
    for (unsigned worker = 0; worker < N_WORKERS;) {
        client_map_visit(map, worker, &cursors[worker], 20, count_visit, NULL);
        if (cursors[worker] == UINT64_MAX)
            worker++;
        for (int i = 0; i < 50 && n < BEFORE + AFTER; i++) {
            snprintf(name, sizeof name, "u%d", n);
            clients[n++] = enter(name);
        }
    }
    cr_assert_geq(n_visited, BEFORE);
    for (int i = 0; i < n; i++) {
        cr_assert_leq(clients[i]->unstored_slot, 1, "u%d was visited twice", i);
        cr_assert(i >= BEFORE || clients[i]->unstored_slot == 1, "u%d was not visited", i);
        clients[i]->unstored_slot = 0;
        leave(clients[i]);
    }
    client_map_free(map);
}

/* Only the home delivers by itself, and only what nothing waits before. */
Test(client_map, lets_the_home_deliver_what_nothing_waits_before)
{
    struct client *client = enter("a");
    struct client *found;
    struct notification *note = ephemeral();
    struct inbox_event event = inbox_event_of_note(note);
    struct span user = SPAN_LITERAL("a");
    unsigned here = client_map_home(map, user);
    note->seq = 7;
    cr_expect_eq(client_map_offer_here(map, user, event, here, &found), 1);
    cr_expect_eq(found, client);
    cr_expect_eq(client->head, 7);
    cr_expect_eq(mailbox_deliver(&mailbox), 0);

    cr_expect_eq(client_map_offer_here(map, user, event, 1 - here, &found), 1);
    cr_expect_null(found);
    cr_expect_eq(client_map_offer_here(map, user, event, here, &found), 1);
    cr_expect_null(found, "one waits before it");
    enum missed missed;
    mailbox_deliver(&mailbox);
    struct channel *taken = client_map_take(map, client, &missed);
    cr_expect_eq(taken->n, 2);
    channel_free(taken);

    client_map_missed(map, user, MISSED_NOTIFICATIONS);
    cr_expect_eq(client_map_offer_here(map, user, event, here, &found), 1);
    cr_expect_null(found, "something was missed before it");
    mailbox_deliver(&mailbox);
    channel_free(client_map_take(map, client, &missed));
    cr_expect_eq(client_map_offer_here(map, SPAN_LITERAL("nobody"), event, here, &found), 0);
    cr_expect_null(found);
    notification_unref(note);
    leave(client);
    client_map_free(map);
}

/* More than fit, each of which has replaced another one. */
static void offer_replacing(unsigned n)
{
    struct payload *payload = payload_new(SPAN_LITERAL("1"));
    for (uint64_t seq = 2; seq <= 2 * n; seq += 2) {
        struct notification *note =
            notification_new(payload, (struct epoch){"abcdefgh"}, seq, 1, 2);
        note->replaces = seq - 1;
        client_map_offer(map, SPAN_LITERAL("a"), inbox_event_of_note(note));
        notification_unref(note);
    }
    payload_unref(payload);
}

/* A channel that could not keep what was withdrawn says so: pages alone would not show it. */
Test(client_map, reports_withdrawals_that_did_not_fit_as_missed)
{
    struct client *client = enter("a");
    enum missed missed;
    offer_replacing(CHANNEL_WITHDRAWALS_MAX / 2);
    mailbox_deliver(&mailbox);
    channel_free(client_map_take(map, client, &missed));
    cr_expect_eq(missed, MISSED_NOTIFICATIONS);
    offer_replacing(CHANNEL_WITHDRAWALS_MAX + 100);
    mailbox_deliver(&mailbox);
    channel_free(client_map_take(map, client, &missed));
    cr_expect_eq(missed, MISSED_WITHDRAWALS);
    leave(client);
    client_map_free(map);
}

static void offer_numbered(uint64_t seq, int64_t time_ms)
{
    struct payload *payload = payload_new(SPAN_LITERAL("1"));
    struct notification *note =
        notification_new(payload, (struct epoch){"abcdefgh"}, seq, time_ms, time_ms + 1000);
    payload_unref(payload);
    client_map_offer(map, SPAN_LITERAL("a"), inbox_event_of_note(note));
    notification_unref(note);
}

static enum missed take_all(struct client *client)
{
    enum missed missed;
    channel_free(client_map_take(map, client, &missed));
    return missed;
}

Test(client_map, a_number_that_comes_at_another_time_means_that_something_was_missed)
{
    struct client *client = enter("a");
    offer_numbered(7, 70);
    cr_expect_eq(take_all(client), MISSED_NOTHING);
    offer_numbered(7, 70);
    cr_expect_eq(take_all(client), MISSED_NOTHING);
    offer_numbered(7, 71);
    cr_expect_eq(take_all(client), MISSED_NOTIFICATIONS);
    offer_numbered(6, 60); /* the page that told of 7 was faster */
    offer_numbered(8, 80);
    cr_expect_eq(take_all(client), MISSED_NOTHING);
    leave(client);
    client_map_free(map);
}

/* Otherwise a number behind those that were missed would hide that they were given again. */
Test(client_map, what_is_known_stays_until_a_page_confirms_it)
{
    struct client *client = enter("a");
    client_map_learn(map, client, (struct epoch){"abcdefgh"}, 7, 70);
    client_map_missed(map, SPAN_LITERAL("a"), MISSED_WITHDRAWALS);
    offer_numbered(8, 80);
    cr_expect_eq(take_all(client), MISSED_WITHDRAWALS);
    client_map_learn(map, client, (struct epoch){"abcdefgh"}, 9, 90);
    struct client_known known = client_map_known(map, SPAN_LITERAL("a"));
    cr_expect_eq(known.head, 7);
    cr_expect_eq(known.head_time, 70);
    client->is_unsure = false;
    client_map_learn(map, client, (struct epoch){"abcdefgh"}, 9, 90);
    known = client_map_known(map, SPAN_LITERAL("a"));
    cr_expect_eq(known.head, 9);
    cr_expect_eq(known.head_time, 90);
    leave(client);
    client_map_free(map);
}

/* What is delivered on the spot takes the same way. */
Test(client_map, a_number_that_is_given_again_here_posts_a_letter)
{
    struct client *client = enter("a");
    client_map_learn(map, client, (struct epoch){"abcdefgh"}, 7, 70);
    struct payload *payload = payload_new(SPAN_LITERAL("1"));
    struct notification *note = notification_new(payload, (struct epoch){"abcdefgh"}, 7, 71, 1000);
    struct client *found;
    unsigned here = client_map_home(map, SPAN_LITERAL("a"));
    client_map_offer_here(map, SPAN_LITERAL("a"), inbox_event_of_note(note), here, &found);
    cr_expect_eq(found, client);
    cr_expect(client->is_posted);
    cr_expect_eq(take_all(client), MISSED_NOTIFICATIONS);
    notification_unref(note);
    payload_unref(payload);
    leave(client);
    client_map_free(map);
}
