/* What is known about one user, and which users are online (CONTRACT 3). */
#include "gateway/requests/requests.h"
#include "tests/support/node_fixture.h"
#include "tests/support/subscriber.h"

#include <criterion/criterion.h>
#include <string.h>

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
