/* What is known about one user, and the users who are online, in pages (CONTRACT 3). */
#include "gateway/requests/requests.h"
#include "tests/support/node_fixture.h"
#include "tests/support/subscriber.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MANY_USERS = 300, PAGE = 7, NAME_BYTES = 16 };

static unsigned n_answers;

TestSuite(users, .init = node_fixture_start, .fini = node_fixture_stop);

static void on_user(struct gateway_user *user)
{
    (void)user;
    n_answers++;
}

static void look_at(struct gateway_user *user, const char *user_id)
{
    *user = (struct gateway_user){.on_done = on_user, .user_id = span_of(user_id)};
    n_answers = 0;
    gateway_user(&fixture.node, user);
    node_fixture_turn();
    cr_assert_eq(n_answers, 1);
    cr_assert_eq(user->error, ERR_OK);
}

/* Each part stands behind the one before it. */
static void expect_in_order(const struct buf *text, const char *const *parts)
{
    const char *at = text->bytes;
    const char *end = text->bytes + text->len;
    for (; *parts != NULL && at != NULL; parts++) {
        const char *found = memmem(at, (size_t)(end - at), *parts, strlen(*parts));
        cr_expect_not_null(found, "%s in %.*s", *parts, (int)text->len, text->bytes);
        at = found == NULL ? NULL : found + strlen(*parts);
    }
}

Test(users, shows_the_connections_and_the_inbox_of_one)
{
    static struct subscriber plain;
    static struct subscriber phone;
    struct gateway_user user;
    subscriber_enter(&plain, LEVEL_PLAIN, "u", NULL);
    subscriber_enter(&phone, LEVEL_V1, "u", "phone");
    node_fixture_push("u", "1", 60);
    node_fixture_push("u", "2", 60);
    node_fixture_wait_ms(700);
    look_at(&user, "u");
    cr_expect_not(epoch_is_none(user.epoch));
    cr_expect_eq(user.head, 2);
    cr_expect_eq(user.pending, 2);
    cr_expect_eq(user.oldest_pending_ms, 700);
    cr_expect_eq(user.blocked_until_ms, 0);
    cr_expect_eq(user.n_connections, 2);
    cr_expect_not(user.is_truncated);
    cr_expect_eq(user.n_asked, 1);
    cr_expect_eq(user.n_answered, 1);
    expect_in_order(&user.connections,
                    (const char *const[]){"{\"connection\":\"c-", "\"node\":\"\"",
                                          "\"address\":\"unix\"", "\"userAgent\":null",
                                          "\"level\":\"plain\"", "\"device\":null",
                                          "},{\"connection\":\"c-", "\"level\":\"herald.v1\"",
                                          "\"device\":\"phone\"", "}", NULL});
    gateway_user_clear(&user);
}

/* What is acknowledged is written to the store in batches; the answer includes it at once. */
Test(users, counts_what_is_acknowledged_and_not_written_yet)
{
    static struct subscriber plain;
    struct gateway_user user;
    subscriber_enter(&plain, LEVEL_PLAIN, "u", NULL);
    node_fixture_push("u", "1", 60);
    node_fixture_push("u", "2", 60);
    subscriber_send(&plain, WS_PONG, SPAN_LITERAL("1"));
    node_fixture_turn();
    look_at(&user, "u");
    cr_expect_eq(user.acked, 1);
    cr_expect_eq(user.pending, 1);
    gateway_user_clear(&user);
}

Test(users, knows_nothing_of_an_unknown_user)
{
    struct gateway_user user;
    look_at(&user, "nobody");
    cr_expect(epoch_is_none(user.epoch));
    cr_expect_eq(user.head, 0);
    cr_expect_eq(user.acked, 0);
    cr_expect_eq(user.pending, 0);
    cr_expect_eq(user.oldest_pending_ms, 0);
    cr_expect_eq(user.n_connections, 0);
    cr_expect_eq(user.connections.len, 0);
}

static void on_online(struct gateway_online *online)
{
    (void)online;
    n_answers++;
}

/* Of "u" and "v" only "u" is. */
static void expect_online(bool is_expected)
{
    const struct span users[] = {SPAN_LITERAL("v"), SPAN_LITERAL("u")};
    bool is_online[] = {true, true};
    struct gateway_online online = {
        .on_done = on_online, .n_users = 2, .users = users, .is_online = is_online};
    n_answers = 0;
    gateway_online(&fixture.node, &online);
    cr_expect_eq(n_answers, 1);
    cr_expect_not(is_online[0]);
    cr_expect_eq(is_online[1], is_expected);
}

Test(users, lists_the_users_who_are_online)
{
    static struct subscriber plain;
    subscriber_enter(&plain, LEVEL_PLAIN, "u", NULL);
    expect_online(true);
    subscriber_hang_up(&plain);
    node_fixture_turn();
    expect_online(false);
}

/* ---- pages of users ---- */

Test(users, are_all_seen_once_in_pages)
{
    static unsigned n_seen[MANY_USERS];
    struct gateway_client page[PAGE];
    char cursor[32] = "";
    size_t n = 0;
    unsigned n_pages = 0;
    node_fixture_enter_clients(MANY_USERS);
    do {
        char next[32];
        cr_assert_eq(gateway_clients(&fixture.node, span_of(cursor), page, PAGE, &n, next), ERR_OK);
        for (size_t i = 0; i < n; i++) {
            char name[NAME_BYTES] = "";
            memcpy(name, page[i].user_id, page[i].user_id_len);
            n_seen[strtoll(name + 1, NULL, 10)]++;
            cr_expect_eq(page[i].connections, 1);
        }
        memcpy(cursor, next, sizeof cursor);
        cr_assert_lt(++n_pages, MANY_USERS);
    } while (cursor[0] != '\0');
    for (unsigned i = 0; i < MANY_USERS; i++)
        cr_assert_eq(n_seen[i], 1, "u%u was seen %u times", i, n_seen[i]);
    node_fixture_leave_clients();
}

Test(users, are_not_shown_from_what_is_no_cursor)
{
    static const char *const wrong[] = {"x", "-1", "0x10", "12 ", "00000000000000000", "AB"};
    struct gateway_client page[PAGE];
    char next[32];
    size_t n;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        cr_expect_eq(gateway_clients(&fixture.node, span_of(wrong[i]), page, PAGE, &n, next),
                     ERR_INVALID_FIELD, "%s", wrong[i]);
}
