/* Inboxes and messages over a socket (CONTRACT section 3), on a gateway that is played. */
#include "tests/unit/admin_twin.h"

TestSuite(admin_inbox, .init = twin_start, .fini = twin_stop, .timeout = 60);

static struct notification *make_note(uint64_t seq, struct span data, struct span key)
{
    struct payload *payload = payload_new_keyed(data, key);
    struct notification *note =
        notification_new(payload, (struct epoch){"k3f9a2qd"}, seq, 1790000000123, 1790604800123);
    payload_unref(payload);
    return note;
}

static void play_two(struct gateway_inbox *inbox)
{
    memcpy(inbox->epoch.text, "k3f9a2qd", EPOCH_LEN);
    inbox->head = 118;
    inbox->acked = 112;
    inbox->n_notes = 2;
    inbox->notes = calloc(2, sizeof(struct notification *));
    inbox->notes[0] = make_note(113, SPAN_LITERAL("{\"n\":9007199254740993, \"x\":1.0}"),
                                SPAN_LITERAL("sc\"ore"));
    inbox->notes[1] = make_note(118, SPAN_LITERAL("null"), (struct span){0});
    inbox->next = inbox->limit == 2 ? 118 : 0;
}

Test(admin_inbox, shows_what_waits_with_data_byte_for_byte)
{
    twin.play_inbox = play_two;
    expect_get("GET", "/users/a%2Fb/inbox", 200,
               "\r\n\r\n{\"userId\":\"a/b\",\"epoch\":\"k3f9a2qd\",\"head\":118,\"acked\":112,"
               "\"notifications\":[{\"id\":\"k3f9a2qd-113\",\"seq\":113,\"time\":1790000000123,"
               "\"expires\":1790604800123,\"collapseKey\":\"sc\\\"ore\","
               "\"data\":{\"n\":9007199254740993, \"x\":1.0}},"
               "{\"id\":\"k3f9a2qd-118\",\"seq\":118,\"time\":1790000000123,"
               "\"expires\":1790604800123,\"collapseKey\":null,\"data\":null}],\"next\":null}");
    cr_expect_eq(twin.asked_inbox.after, 0);
    cr_expect_eq(twin.asked_inbox.limit, 100);
}

Test(admin_inbox, continues_after_the_next_of_a_page)
{
    twin.play_inbox = play_two;
    expect_get("GET", "/users/a/inbox?after=112&limit=2", 200, "],\"next\":118}");
    cr_expect_eq(twin.asked_inbox.after, 112);
    cr_expect_eq(twin.asked_inbox.limit, 2);
    expect_get("GET", "/users/a/inbox?limit=1000&after=18446744073709551615", 200, "\"next\":null");
    cr_expect_eq(twin.asked_inbox.after, UINT64_MAX);
}

Test(admin_inbox, refuses_what_is_no_page)
{
    static const char *const limits[] = {"0", "1001", "-1", "", "1x", "+1", "1e2"};
    static const char *const afters[] = {"-1", "k3f9a2qd-7", "", "18446744073709551616", "1.0"};
    char target[128];
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        snprintf(target, sizeof target, "/users/a/inbox?limit=%s", limits[i]);
        expect_get("GET", target, 400, "\"field\":\"limit\"");
    }
    for (size_t i = 0; i < sizeof afters / sizeof afters[0]; i++) {
        snprintf(target, sizeof target, "/users/a/inbox?after=%s", afters[i]);
        expect_get("GET", target, 400, "\"field\":\"after\"");
    }
    expect_get("GET", "/users/a/inbox?after=1&after=1", 400, "\"field\":\"after\"");
    expect_get("GET", "/users/%00/inbox", 400, "\"field\":\"userId\"");
}

static void play_unknown_user(struct gateway_inbox *inbox)
{
    (void)inbox;
}

Test(admin_inbox, shows_the_empty_inbox_of_a_user_never_heard_of)
{
    twin.play_inbox = play_unknown_user;
    expect_get("GET", "/users/a/inbox", 200,
               "{\"userId\":\"a\",\"epoch\":null,\"head\":0,\"acked\":0,\"notifications\":[],"
               "\"next\":null}");
}

/* 200 of 64 KiB: three pages of 4 MiB and a bit. */
static void play_large(struct gateway_inbox *inbox)
{
    static char data[65536];
    memset(data, ' ', sizeof data);
    data[0] = '1';
    inbox->n_notes = 200;
    inbox->notes = calloc(200, sizeof(struct notification *));
    for (size_t i = 0; i < 200; i++)
        inbox->notes[i] = make_note(i + 1, (struct span){data, sizeof data}, (struct span){0});
    inbox->next = 200;
}

Test(admin_inbox, ends_a_page_by_its_bytes_and_says_where_to_continue)
{
    twin.play_inbox = play_large;
    int fd = client_open();
    client_say(fd, "GET /users/a/inbox?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    struct answer answer = client_answer(fd);
    cr_expect_eq(answer.status, 200);
    cr_expect_lt(answer.body_len, (4 << 20) + 70000);
    cr_expect_not_null(strstr(answer.body + answer.body_len - 32, "],\"next\":64}"), "%s",
                       answer.body + answer.body_len - 32);
    answer_free(&answer);
    close(fd);
}

static void play_purge(struct gateway_purge *purge)
{
    purge->purged = 3;
}

static void play_purge_away(struct gateway_purge *purge)
{
    purge->error = ERR_STORE_UNAVAILABLE;
}

static void play_store_away(struct gateway_inbox *inbox)
{
    inbox->error = ERR_STORE_UNAVAILABLE;
}

Test(admin_inbox, purges_and_says_how_many)
{
    twin.play_purge = play_purge;
    expect_get("DELETE", "/users/42/inbox", 200, "\r\n\r\n{\"purged\":3}");
    cr_expect_str_eq(twin.last_user, "42");
    twin.play_purge = play_purge_away;
    twin.play_inbox = play_store_away;
    expect_get("DELETE", "/users/42/inbox", 503, "store-unavailable");
    expect_get("GET", "/users/42/inbox", 503, "Retry-After: 1");
    expect_get("PUT", "/users/42/inbox", 405, "Allow: GET, HEAD, DELETE\r\n");
}

/* Messages: what became of one, by its number. */
static const struct {
    enum err error;
    enum gateway_fate fate;
    enum gap_cause cause;
    bool is_written;
} fates[] = {
    [1] = {ERR_OK, GATEWAY_PENDING, GAP_NONE, false},
    [2] = {ERR_OK, GATEWAY_PENDING, GAP_NONE, true},
    [3] = {ERR_OK, GATEWAY_DELIVERED, GAP_NONE, true},
    [4] = {ERR_OK, GATEWAY_GONE, GAP_EXPIRED, false},
    [5] = {ERR_NOT_FOUND, GATEWAY_PENDING, GAP_NONE, false},
    [6] = {ERR_STORE_UNAVAILABLE, GATEWAY_PENDING, GAP_NONE, false},
};

static void play_message(struct gateway_message *message)
{
    message->error = fates[message->seq].error;
    message->fate = fates[message->seq].fate;
    message->cause = fates[message->seq].cause;
}

static void play_cancel(struct gateway_cancel *cancel)
{
    cancel->error = fates[cancel->seq].error;
    cancel->fate = fates[cancel->seq].fate;
    cancel->cause = fates[cancel->seq].cause;
    cancel->is_written = fates[cancel->seq].is_written;
}

Test(admin_messages, says_what_became_of_one, .init = twin_start, .fini = twin_stop)
{
    twin.play_message = play_message;
    expect_get("GET", "/users/4%32/messages/k3f9a2qd-1", 200,
               "\r\n\r\n{\"id\":\"k3f9a2qd-1\",\"status\":\"pending\"}");
    cr_expect_str_eq(twin.last_user, "42");
    cr_expect_eq(memcmp(twin.asked_message.epoch.text, "k3f9a2qd", EPOCH_LEN), 0);
    cr_expect_eq(twin.asked_message.seq, 1);
    expect_get("GET", "/users/42/messages/k3f9a2qd-3", 200,
               "{\"id\":\"k3f9a2qd-3\",\"status\":\"delivered\"}");
    expect_get("GET", "/users/42/messages/k3f9a2qd-4", 200,
               "{\"id\":\"k3f9a2qd-4\",\"status\":\"gone\",\"cause\":\"expired\"}");
    expect_get("GET", "/users/42/messages/k3f9a2qd-5", 404, "\"type\":\"not-found\"");
    expect_get("GET", "/users/42/messages/k3f9a2qd-6", 503, "store-unavailable");
}

Test(admin_messages, cancels_what_is_pending_alone, .init = twin_start, .fini = twin_stop)
{
    twin.play_cancel = play_cancel;
    expect_get("DELETE", "/users/42/messages/k3f9a2qd-1", 200,
               "\r\n\r\n{\"id\":\"k3f9a2qd-1\",\"status\":\"cancelled\",\"written\":false}");
    cr_expect_eq(memcmp(twin.asked_cancel.epoch.text, "k3f9a2qd", EPOCH_LEN), 0);
    cr_expect_eq(twin.asked_cancel.seq, 1);
    expect_get("DELETE", "/users/42/messages/k3f9a2qd-2", 200, "\"written\":true}");
    expect_get("DELETE", "/users/42/messages/k3f9a2qd-3", 409, "\"type\":\"conflict\"");
    expect_get("DELETE", "/users/42/messages/k3f9a2qd-4", 404, "expired");
    expect_get("DELETE", "/users/42/messages/k3f9a2qd-5", 404, "\"type\":\"not-found\"");
    expect_get("POST", "/users/42/messages/k3f9a2qd-1", 405, "Allow: GET, HEAD, DELETE\r\n");
}

Test(admin_messages, refuses_what_is_no_message_id, .init = twin_start, .fini = twin_stop)
{
    static const char *const ids[] = {"1",
                                      "k3f9a2qd",
                                      "k3f9a2qd-0",
                                      "k3f9a2qd-01",
                                      "K3f9a2qd-1",
                                      "k3f9a2qd-1x",
                                      "k3f9a2qd-18446744073709551616",
                                      "%zz",
                                      ""};
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        char target[128];
        snprintf(target, sizeof target, "/users/42/messages/%s", ids[i]);
        expect_get("GET", target, 400, "\"field\":\"id\"");
        expect_get("DELETE", target, 400, "\"field\":\"id\"");
    }
    twin.play_message = play_message;
    expect_get("GET", "/users/42/messages/k3f9a2qd%2D1", 200, "\"status\":\"pending\"");
}

/* ---- a bridge that breaks ---- */

static bool is_nameless(int fd, int (*name_of)(int, struct sockaddr *, socklen_t *))
{
    struct sockaddr_un address = {0};
    socklen_t len = sizeof address;
    return name_of(fd, (struct sockaddr *)&address, &len) == 0 && address.sun_family == AF_UNIX &&
           len == sizeof address.sun_family;
}

static int own_name(int fd, struct sockaddr *address, socklen_t *len)
{
    return getsockname(fd, address, len);
}

static int name_of_peer(int fd, struct sockaddr *address, socklen_t *len)
{
    return getpeername(fd, address, len);
}

/* The ends of socketpairs: of clients and listeners at least one end has a name. */
static unsigned count_pair_ends(int *ret_one)
{
    unsigned n = 0;
    for (int fd = 3; fd < 256; fd++) {
        if (!is_nameless(fd, own_name) || !is_nameless(fd, name_of_peer))
            continue;
        *ret_one = fd;
        n++;
    }
    return n;
}

static unsigned wait_for_pair_ends(unsigned wanted)
{
    int one;
    unsigned n = count_pair_ends(&one);
    for (int i = 0; i < 500 && n != wanted; i++) {
        usleep(10000);
        n = count_pair_ends(&one);
    }
    return n;
}

/* Nothing from outside breaks one; the library may not be stopped with a suspended connection. */
Test(admin_inbox, lets_the_library_go_when_a_bridge_breaks_while_the_gateway_has_the_request)
{
    int one = -1;
    char byte;
    twin.play_inbox = play_two;
    twin_hold(true);
    int fd = client_open();
    client_say(fd, "GET /users/a/inbox HTTP/1.1\r\nHost: localhost\r\n\r\n");
    cr_assert_eq(wait_for_pair_ends(2), 2);
    usleep(50000); /* the library has begun */
    cr_assert_eq(count_pair_ends(&one), 2);
    cr_assert_eq(shutdown(one, SHUT_RDWR), 0);
    cr_expect_eq(recv(fd, &byte, 1, 0), 0, "its client is hung up");
    cr_expect_eq(wait_for_pair_ends(0), 0, "both ends are closed before the gateway answers");
    close(fd);
    expect_get("GET", "/livez", 200, "live");
    twin_hold(false);
    expect_get("GET", "/users/a/inbox", 200, "notifications");
}
