/* CONTRACT 7: what an address may have. */
#include "gateway/identity/peers.h"

#include "gateway/base/hash.h"
#include "gateway/net/listener.h"

#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static struct peers *peers;
static const struct ip from = {{[10] = 0xff, 0xff, 127, 0, 0, 1}};

/* All come from 127.0.0.1, which is trusted if `trusted` says so. */
static void set_up(char *trusted, int64_t max_connections, int64_t max_handshakes)
{
    struct options options = {
        .trusted_proxy = {&trusted, trusted == NULL ? 0 : 1},
        .max_connections_per_address = max_connections,
        .max_handshakes_per_address = max_handshakes,
    };
    cr_assert_eq(hash_init(), ERR_OK);
    cr_assert_eq(peers_new(&options, &peers), ERR_OK);
}

static void tear_down(void)
{
    peers_free(peers);
}

static struct peer *arrive(void)
{
    struct peer *peer = NULL;
    cr_assert_eq(peer_arrive(peers, &from, &peer), ERR_OK);
    return peer;
}

Test(peers, cost_nothing_while_nobody_is_trusted_and_nothing_is_limited)
{
    set_up(NULL, 0, 0);
    cr_assert_null(arrive());
    cr_assert_eq(peer_enter(NULL), ERR_OK);
    cr_assert_not(peer_is_unresolved(NULL));
    cr_assert_not(peer_is_proxied(NULL));
    peer_leave(NULL);
    tear_down();
    set_up("10.0.0.0/8", 0, 0);
    cr_assert_null(arrive(), "a stranger is who it says");
    tear_down();
}

/* --trusted-proxy unix: what is passed on counts for whom it is passed on for, and what is not for
 * nobody. */
Test(peers, believe_a_unix_socket_if_it_is_trusted)
{
    char text[IP_TEXT_MAX_BYTES];
    struct peer *own;
    struct peer *passed[2];
    struct ip ip;
    cr_assert_eq(ip_parse(SPAN_LITERAL("192.0.2.1"), &ip), ERR_OK);
    set_up("unix:", 1, 0);
    own = arrive();
    cr_assert_not(peer_is_unresolved(own), "127.0.0.1 is not trusted by that");
    peer_leave(own);
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(peer_arrive(peers, NULL, &own), ERR_OK);
        cr_assert(peer_is_unresolved(own));
        cr_assert_eq(peer_resolve(own, false, NULL), ERR_OK);
        cr_assert_eq(peer_enter(own), ERR_OK);
        cr_assert_not(peer_is_proxied(own));
        cr_assert_not(peer_describe(own, text, sizeof text));
        peer_leave(own);
    }
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(peer_arrive(peers, NULL, &passed[i]), ERR_OK);
        cr_assert_eq(peer_resolve(passed[i], true, &ip), ERR_OK);
    }
    cr_assert(peer_describe(passed[0], text, sizeof text));
    cr_assert_str_eq(text, "192.0.2.1");
    cr_assert_eq(peer_enter(passed[0]), ERR_OK);
    cr_assert_eq(peer_enter(passed[1]), ERR_CROWDED);
    peer_leave(passed[0]);
    peer_leave(passed[1]);
    tear_down();
}

Test(peers, count_nothing_of_a_unix_socket)
{
    struct peer *peer;
    set_up(NULL, 1, 1);
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(peer_arrive(peers, NULL, &peer), ERR_OK);
        cr_assert_null(peer);
    }
    tear_down();
}

Test(peers, give_a_place_that_got_free_to_one_that_has_arrived_before)
{
    set_up(NULL, 1, 0);
    struct peer *first = arrive();
    struct peer *second = arrive();
    cr_assert_eq(peer_enter(first), ERR_OK);
    cr_assert_eq(peer_enter(second), ERR_CROWDED);
    peer_leave(first);
    cr_assert_eq(peer_enter(second), ERR_OK);
    peer_leave(second);
    tear_down();
}

Test(peers, refuse_a_crowd_before_it_says_a_word)
{
    enum { CROWD = 2 + 64 };
    struct peer *all[CROWD];
    struct peer *more;
    set_up(NULL, 2, 0);
    for (size_t i = 0; i < CROWD; i++)
        all[i] = arrive();
    cr_assert_eq(peer_arrive(peers, &from, &more), ERR_CROWDED);
    cr_assert_null(more);
    peer_leave(all[CROWD - 1]);
    all[CROWD - 1] = arrive();
    for (size_t i = 0; i < CROWD; i++)
        peer_leave(all[i]);
    tear_down();
}

/* Otherwise a client that leaves at once would evade the limit on handshakes. */
Test(peers, remember_the_handshakes_of_those_who_have_left)
{
    set_up(NULL, 0, 3);
    enum err error = ERR_OK;
    for (int i = 0; i < 4; i++) {
        struct peer *peer = arrive();
        error = peer_enter(peer);
        peer_leave(peer);
    }
    cr_assert_eq(error, ERR_RATE);
    usleep(1100 * 1000);
    struct peer *peer = arrive();
    cr_assert_eq(peer_enter(peer), ERR_OK);
    peer_leave(peer);
    tear_down();
}

Test(peers, count_ipv6_by_its_64_bit_network_and_report_the_whole_address)
{
    set_up("127.0.0.1", 1, 0);
    char text[64];
    struct ip one, two, other;
    cr_assert_eq(ip_parse(SPAN_LITERAL("2001:db8:1:2::1"), &one), ERR_OK);
    cr_assert_eq(ip_parse(SPAN_LITERAL("2001:db8:1:2::2"), &two), ERR_OK);
    cr_assert_eq(ip_parse(SPAN_LITERAL("2001:db8:1:3::1"), &other), ERR_OK);
    struct peer *peers_of[3] = {arrive(), arrive(), arrive()};
    cr_assert(peer_is_unresolved(peers_of[0]));
    cr_assert_not(peer_describe(peers_of[0], text, sizeof text));
    cr_assert_eq(peer_resolve(peers_of[0], true, &one), ERR_OK);
    cr_assert_eq(peer_resolve(peers_of[1], true, &two), ERR_OK);
    cr_assert_eq(peer_resolve(peers_of[2], true, &other), ERR_OK);
    cr_assert_not(peer_is_unresolved(peers_of[0]));
    cr_assert(peer_describe(peers_of[0], text, sizeof text));
    cr_assert_str_eq(text, "2001:db8:1:2::1");
    cr_assert_eq(peer_enter(peers_of[0]), ERR_OK);
    cr_assert_eq(peer_enter(peers_of[1]), ERR_CROWDED);
    cr_assert_eq(peer_enter(peers_of[2]), ERR_OK);
    for (int i = 0; i < 3; i++)
        peer_leave(peers_of[i]);
    tear_down();
}

/* A kept connection without a request is in nobody's way. */
Test(peers, count_for_nothing_while_they_rest)
{
    enum { RESTING = 200 };
    struct peer *resting[RESTING];
    set_up(NULL, 1, 0);
    for (size_t i = 0; i < RESTING; i++) {
        resting[i] = arrive();
        peer_rest(resting[i]);
        peer_rest(resting[i]);
    }
    struct peer *one = arrive();
    cr_assert_eq(peer_enter(one), ERR_OK);
    cr_assert_eq(peer_wake(resting[0]), ERR_OK);
    cr_assert_eq(peer_enter(resting[0]), ERR_CROWDED);
    peer_leave(one);
    cr_assert_eq(peer_enter(resting[0]), ERR_OK);
    for (size_t i = 0; i < RESTING; i++)
        peer_leave(resting[i]);
    peer_rest(NULL);
    cr_assert_eq(peer_wake(NULL), ERR_OK);
    tear_down();
}

/* Or an address would have as many heads that never end as it likes. */
Test(peers, are_counted_when_they_wake)
{
    enum { CROWD = 2 + 64 };
    struct peer *all[CROWD];
    set_up(NULL, 2, 0);
    struct peer *resting = arrive();
    peer_rest(resting);
    for (size_t i = 0; i < CROWD; i++)
        all[i] = arrive();
    cr_assert_eq(peer_wake(resting), ERR_CROWDED);
    peer_leave(all[0]);
    cr_assert_eq(peer_wake(resting), ERR_OK);
    peer_leave(resting);
    for (size_t i = 1; i < CROWD; i++)
        peer_leave(all[i]);
    tear_down();
}

static void resolve_by_head(struct peer *peer, const char *address)
{
    struct http_field fields[8];
    struct http_head head;
    char text[200];
    int len = snprintf(text, sizeof text,
                       "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: %s\r\n\r\n", address);
    http_head_init(&head, sizeof text, fields, 8);
    cr_assert_eq(http_head_parse(&head, text, (size_t)len), HTTP_HEAD_DONE);
    peer_resolve_by_head(peer, &head, text);
}

/* The address that work counts for; it comes from the socket if nothing else names one. */
Test(peers, say_for_whom_the_work_on_a_connection_is_done)
{
    struct ip named, found;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(listener, (struct sockaddr *)&address, len), 0);
    cr_assert_eq(listen(listener, 1), 0);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&address, &len), 0);
    cr_assert_eq(connect(client, (struct sockaddr *)&address, len), 0);
    found = peer_of_work(NULL, client);
    cr_expect(ip_equal(&found, &from));
    close(client);
    close(listener);

    cr_assert_eq(ip_parse(SPAN_LITERAL("192.0.2.1"), &named), ERR_OK);
    set_up("127.0.0.1", 0, 0);
    struct peer *peer = arrive();
    found = peer_of_work(peer, -1);
    cr_expect(ip_equal(&found, &from));
    cr_assert_eq(peer_resolve(peer, true, &named), ERR_OK);
    found = peer_of_work(peer, -1);
    cr_expect(ip_equal(&found, &named));
    peer_leave(peer);
    tear_down();

    int ends[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    found = peer_of_work(NULL, ends[0]);
    cr_expect(ip_equal(&found, &(struct ip){0}));
    close(ends[0]);
    close(ends[1]);
}

/* A proxy sends the requests of many through one connection. */
Test(peers, ask_again_whose_the_next_request_of_a_proxy_is)
{
    char address[IP_TEXT_MAX_BYTES];
    set_up("127.0.0.0/8", 1, 0);
    struct peer *peer = arrive();
    static const char *const clients[] = {"192.0.2.1", "192.0.2.2"};
    for (int i = 0; i < 2; i++) {
        cr_assert(peer_is_unresolved(peer));
        resolve_by_head(peer, clients[i]);
        cr_assert(peer_describe(peer, address, sizeof address));
        cr_assert_str_eq(address, clients[i]);
        peer_next(peer);
        peer_rest(peer);
        cr_assert_eq(peer_wake(peer), ERR_OK);
    }
    struct peer *other = arrive();
    resolve_by_head(other, clients[0]);
    cr_assert_eq(peer_enter(other), ERR_OK, "the place was given back");
    cr_assert_not(peer_is_proxied(peer));
    peer_leave(other);
    peer_leave(peer);
    tear_down();
}

/* ---- taken over from another process ---- */

static struct peer *adopt(const struct ip *socket, const struct carried_peer *carried)
{
    struct peer *peer = NULL;
    cr_assert_eq(peer_adopt(peers, socket, carried, &peer), ERR_OK);
    return peer;
}

Test(peers, carry_the_address_that_a_proxy_has_named)
{
    struct carried_peer carried;
    struct ip ip;
    char text[ADDRESS_MAX_BYTES];
    cr_assert_eq(ip_parse(SPAN_LITERAL("192.0.2.1"), &ip), ERR_OK);
    set_up("127.0.0.1", 0, 0);
    struct peer *peer = arrive();
    peer_carry(peer, &carried);
    cr_assert(carried.is_unresolved && !carried.is_proxied);
    struct peer *again = adopt(&from, &carried);
    cr_assert(peer_is_unresolved(again));
    peer_leave(again);
    cr_assert_eq(peer_resolve(peer, true, &ip), ERR_OK);
    peer_carry(peer, &carried);
    cr_assert(!carried.is_unresolved && carried.is_proxied);
    again = adopt(NULL, &carried);
    cr_assert(peer_is_proxied(again));
    cr_assert(ip_equal(peer_address(again), &ip));
    cr_assert(peer_describe(again, text, sizeof text));
    cr_assert_str_eq(text, "192.0.2.1");
    peer_leave(again);
    peer_leave(peer);
    peer_carry(NULL, &carried);
    cr_assert(!carried.is_unresolved && !carried.is_proxied);
    tear_down();
}

Test(peers, carry_the_proxy_s_own_connection_as_its_own)
{
    struct carried_peer carried;
    set_up("127.0.0.1", 0, 0);
    struct peer *peer = arrive();
    cr_assert_eq(peer_resolve(peer, false, NULL), ERR_OK);
    peer_carry(peer, &carried);
    cr_assert_null(adopt(&from, &carried), "it is trusted, and has said that it is its own client");
    peer_leave(peer);
    tear_down();
}

Test(peers, carry_no_address_of_a_head_into_the_next_request)
{
    static const char bytes[] = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.9\r\n\r\n";
    struct http_field fields[8];
    struct http_head head;
    struct carried_peer carried;
    http_head_init(&head, 1000, fields, 8);
    cr_assert_eq(http_head_parse(&head, bytes, sizeof bytes - 1), HTTP_HEAD_DONE);
    set_up("127.0.0.1", 0, 0);
    struct peer *peer = arrive();
    peer_resolve_by_head(peer, &head, bytes);
    cr_assert(peer_is_proxied(peer));
    peer_carry(peer, &carried);
    cr_assert(carried.is_proxied, "a session keeps it");
    peer_carry_unnamed(peer, &carried);
    cr_assert(carried.is_unresolved && !carried.is_proxied);
    peer_leave(peer);
    tear_down();
}

Test(peers, do_not_trust_a_carried_proxy_that_the_options_do_not)
{
    const struct carried_peer carried = {.is_unresolved = true};
    set_up("10.0.0.0/8", 1, 0);
    struct peer *peer = adopt(&from, &carried);
    cr_assert_not(peer_is_unresolved(peer));
    cr_assert(ip_equal(peer_address(peer), &from));
    peer_leave(peer);
    tear_down();
}

/* Nobody who is connected already is refused for the number of others; they count for those that
 * come. */
Test(peers, take_over_more_than_an_address_may_have)
{
    enum { MANY = 100 };
    struct peer *adopted[MANY];
    struct peer *fresh;
    set_up(NULL, 1, 0);
    for (int i = 0; i < MANY; i++) {
        adopted[i] = adopt(&from, &(struct carried_peer){0});
        cr_assert_not_null(adopted[i]);
    }
    cr_assert_eq(peer_arrive(peers, &from, &fresh), ERR_CROWDED);
    for (int i = 0; i < MANY; i++)
        peer_leave(adopted[i]);
    fresh = arrive();
    cr_assert_eq(peer_enter(fresh), ERR_OK);
    peer_leave(fresh);
    tear_down();
}
