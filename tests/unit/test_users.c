/* What is known about one user, and which users are online (CONTRACT 3). */
#include "gateway/requests/connections_json.h"
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

static void ask_about(struct gateway_user *user, const char *user_id)
{
    *user = (struct gateway_user){.on_done = on_user, .user_id = span_of(user_id)};
    n_answers = 0;
    gateway_user(&fixture.node, user);
    node_fixture_turn();
    cr_assert_eq(n_answers, 1);
}

static void look_at(struct gateway_user *user, const char *user_id)
{
    ask_about(user, user_id);
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

/* The store may be closed already; the connections are shown all the same. */
Test(users, are_not_looked_up_in_the_store_while_the_node_stops)
{
    static struct subscriber plain;
    struct gateway_user user;
    subscriber_enter(&plain, LEVEL_PLAIN, "u", NULL);
    atomic_store(&fixture.node.is_stopping, true);
    ask_about(&user, "u");
    cr_expect_eq(user.error, ERR_STORE_UNAVAILABLE);
    cr_expect_eq(user.n_connections, 1);
    gateway_user_clear(&user);
}

/* Whatever there is room for, the text is an array of whole objects. */
Test(users, have_as_many_connections_in_an_answer_as_there_is_room_for)
{
    static struct subscriber sessions[3];
    struct buf whole;
    struct buf joined;
    for (size_t i = 0; i < 3; i++)
        subscriber_enter(&sessions[i], LEVEL_PLAIN, "u", NULL);
    const struct client *client = client_map_find(fixture.node.map, SPAN_LITERAL("u"));
    buf_init(&whole, 1 << 16);
    connections_json_write(client, &whole);
    size_t n_before = 0;
    for (size_t max = 2; max <= whole.len; max++) {
        struct buf text;
        buf_init(&text, max);
        connections_json_write(client, &text);
        cr_assert_geq(text.len, 2, "with %zu bytes", max);
        cr_assert_eq(text.bytes[text.len - 1], ']', "with %zu bytes", max);
        buf_init(&joined, 1 << 16);
        size_t n = connections_json_append(buf_span(&text), &joined);
        cr_assert(n >= n_before && n <= 3, "%zu with %zu bytes", n, max);
        cr_assert(n > 0 || text.len == 2, "%.*s", (int)text.len, text.bytes);
        n_before = n;
        buf_fini(&joined);
        buf_fini(&text);
    }
    cr_expect_eq(n_before, 3);
    buf_fini(&whole);
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
