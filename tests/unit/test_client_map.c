#include "gateway/base/hash.h"
#include "gateway/client_map.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static struct mailbox mailbox;
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
    cr_assert_eq(client_map_new(2, 1000, on_letter, &map), ERR_OK);
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
        cr_assert_eq(client_map_offer(map, SPAN_LITERAL("a"), note), 1);
    cr_assert_eq(client_map_offer(map, SPAN_LITERAL("nobody"), note), 0);
    cr_assert_eq(mailbox_deliver(&mailbox), 1);

    bool is_missed;
    struct channel *taken = client_map_take(map, client, &is_missed);
    cr_assert_eq(taken->n, 5);
    cr_assert_not(is_missed);
    channel_free(taken);
    client_map_missed(map, SPAN_LITERAL("a"));
    cr_assert_eq(mailbox_deliver(&mailbox), 1);
    cr_assert_null(client_map_take(map, client, &is_missed));
    cr_assert(is_missed);
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

Test(client_map, tells_what_is_known_of_a_user_who_is_present)
{
    struct epoch epoch;
    uint64_t head;
    struct client *client = enter("a");
    client_map_known(map, SPAN_LITERAL("a"), &epoch, &head);
    cr_assert(epoch_is_none(epoch));
    client_map_learn(map, client, (struct epoch){"abcdefgh"}, 7);
    client_map_learn(map, client, (struct epoch){"abcdefgh"}, 3);
    client_map_known(map, SPAN_LITERAL("a"), &epoch, &head);
    cr_assert(epoch_equal(epoch, (struct epoch){"abcdefgh"}));
    cr_assert_eq(head, 7);
    client_map_known(map, SPAN_LITERAL("b"), &epoch, &head);
    cr_assert_eq(head, 0);
    leave(client);
    client_map_free(map);
}
