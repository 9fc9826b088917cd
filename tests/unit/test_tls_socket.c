/* How many system calls a read over TLS takes, and what happens to bytes that were read ahead. */
#include "gateway/net/tls_socket.h"

#include "tests/unit/tls_conn.h"

#include <openssl/evperr.h>

TestSuite(tls_socket, .init = set_up, .fini = take_down, .timeout = 60);

/* Not static: libc declares recv as an inline function, in which a static one may not be used. */
unsigned n_receives;

/* It stands before libc's. */
ssize_t recv(int fd, void *bytes, size_t len, int flags)
{
    n_receives++;
    return recvfrom(fd, bytes, len, flags, NULL, NULL);
}

static void send_record(struct peer *peer, size_t len)
{
    static const uint8_t bytes[16384];
    cr_assert_eq(SSL_write(peer->client, bytes, (int)len), (int)len);
}

static unsigned receives_of_a_turn(void)
{
    n_receives = 0;
    turn();
    return n_receives;
}

static void update_keys(struct peer *peer)
{
    cr_assert_eq(SSL_key_update(peer->client, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
    cr_assert_eq(SSL_do_handshake(peer->client), 1);
}

static int unread_in_socket(const struct peer *peer)
{
    int n = 0;
    cr_assert_eq(ioctl(peer->conn.watch.fd, FIONREAD, &n), 0);
    return n;
}

/* A key update and what follows it come together; only the former is taken from OpenSSL. */
static void hold_a_byte(struct peer *peer)
{
    uint8_t byte;
    open_peer(peer);
    shake(peer);
    cr_assert_eq(read_client(peer, &byte, 1), -1, "it takes its tickets; our end can be written");
    update_keys(peer);
    send_record(peer, 1);
    turn();
    cr_assert_eq(peer->n_taken, 0);
    cr_assert_eq(unread_in_socket(peer), 0);
}

Test(tls_socket, small_records_take_one_read)
{
    struct peer peer;
    open_peer(&peer);
    shake(&peer);
    for (size_t n = 1; n <= 4; n++) {
        for (size_t i = 0; i < n; i++)
            send_record(&peer, 14);
        cr_expect_eq(receives_of_a_turn(), 1);
    }
    cr_expect_eq(peer.n_taken, 14 * (1 + 2 + 3 + 4));
    close_peer(&peer);
}

/* As those of a push are: a head and some hundred bytes. */
Test(tls_socket, a_record_of_a_push_takes_one_read)
{
    struct peer peer;
    open_peer(&peer);
    shake(&peer);
    send_record(&peer, 800);
    cr_expect_eq(receives_of_a_turn(), 1);
    send_record(&peer, TLS_AHEAD_BYTES - 30);
    cr_expect_eq(receives_of_a_turn(), 1);
    cr_expect_eq(peer.n_taken, 800 + TLS_AHEAD_BYTES - 30);
    close_peer(&peer);
}

/* More of them come together than one read may begin; the last wait for the throttle's turn. */
Test(tls_socket, many_tiny_records_all_arrive_in_order)
{
    struct peer peer;
    open_peer(&peer);
    shake(&peer);
    for (int i = 0; i < 3 * TLS_RECORDS_PER_CALL; i++)
        send_record(&peer, 1);
    turn();
    cr_expect_eq(peer.n_taken, TLS_RECORDS_PER_CALL);
    for (int i = 0; i < 4; i++) {
        fake_us += 1000;
        turn();
    }
    cr_expect_eq(peer.n_taken, 3 * TLS_RECORDS_PER_CALL);
    close_peer(&peer);
}

/* The third finds out that there is no more. */
Test(tls_socket, a_large_record_takes_three_reads)
{
    struct peer peer;
    open_peer(&peer);
    shake(&peer);
    send_record(&peer, 16384);
    cr_expect_leq(receives_of_a_turn(), 3);
    cr_expect_eq(peer.n_taken, 16384);
    close_peer(&peer);
}

Test(tls_socket, records_of_all_sizes_arrive_whole_and_in_order)
{
    static uint8_t bytes[16384];
    static const int most[] = {30, 340, 400, 5000, 16384};
    struct peer peer;
    size_t n_sent = 0;
    uint32_t sum = 0;
    unsigned seed = 1;
    open_peer(&peer);
    shake(&peer);
    for (int i = 0; i < 20000; i++) {
        seed = seed * 1103515245 + 12345;
        int len = 1 + (int)(seed >> 8) % most[(seed >> 28) % 5];
        memset(bytes, i, (size_t)len);
        ERR_clear_error();
        if (SSL_write(peer.client, bytes, len) == len) {
            n_sent += (size_t)len;
            sum = add(sum, bytes, (size_t)len);
            continue;
        }
        do { /* the socket is full: the same bytes again, when there is room */
            fake_us += 1000;
            turn();
            ERR_clear_error();
        } while (SSL_write(peer.client, bytes, len) != len);
        n_sent += (size_t)len;
        sum = add(sum, bytes, (size_t)len);
    }
    for (int i = 0; i < 1000 && peer.n_taken < n_sent; i++) {
        fake_us += 1000;
        turn();
    }
    cr_expect_eq(peer.n_taken, n_sent);
    cr_expect_eq(peer.sum, sum);
    close_peer(&peer);
}

static void expect_all_of(size_t small, int n_small)
{
    struct peer peer;
    open_peer(&peer);
    shake(&peer);
    for (int i = 0; i < n_small; i++)
        send_record(&peer, small);
    send_record(&peer, 16384);
    for (int i = 0; i < 4; i++) {
        fake_us += 1000;
        turn();
    }
    cr_expect_eq(peer.n_taken, (size_t)n_small * small + 16384, "%d of %zu", n_small, small);
    close_peer(&peer);
}

/* Small records bring the read near its limit, and the beginning of the largest record comes with
 * the last of them: it must have room. */
Test(tls_socket, a_large_record_after_small_ones_has_room)
{
    for (size_t small = 270; small <= TLS_AHEAD_BYTES - 22; small += 12) {
        int n_limit = TRANSPORT_SMALL_BYTES / (int)small;
        for (int n_small = n_limit - 1; n_small <= n_limit + 2; n_small++)
            expect_all_of(small, n_small);
    }
}

Test(tls_socket, bytes_that_were_read_ahead_are_read_though_no_more_come)
{
    struct peer peer;
    hold_a_byte(&peer);
    cr_expect(conn_has_unread(&peer.conn));
    fake_us += 2000;
    turn();
    cr_expect_eq(peer.n_taken, 1);
    cr_expect_not(conn_has_unread(&peer.conn));
    close_peer(&peer);
}

Test(tls_socket, bytes_that_were_read_ahead_wait_while_the_connection_is_paused)
{
    struct peer peer;
    hold_a_byte(&peer);
    conn_pause(&peer.conn);
    fake_us += 2000;
    turn();
    cr_expect_eq(peer.n_taken, 0);
    conn_resume(&peer.conn);
    for (int i = 0; i < 3; i++) {
        fake_us += 2000;
        turn();
    }
    cr_expect_eq(peer.n_taken, 1);
    close_peer(&peer);
}

Test(tls_socket, bytes_that_were_read_ahead_go_with_the_socket)
{
    struct peer peer;
    uint8_t *rest;
    size_t n_rest;
    hold_a_byte(&peer);
    struct transport_socket socket = conn_release(&peer.conn, &rest, &n_rest);
    free(rest);
    cr_assert_eq(n_rest, 0);
    cr_assert_eq(conn_open(&peer.conn, &loop, &ops, socket), ERR_OK);
    turn();
    cr_expect_eq(peer.n_taken, 1);
    send_record(&peer, 1);
    turn();
    cr_expect_eq(peer.n_taken, 2, "and it is watched for more");
    close_peer(&peer);
}

Test(tls_socket, bytes_that_were_read_ahead_are_freed_with_the_connection)
{
    struct peer peer;
    hold_a_byte(&peer);
    close_peer(&peer);
}

/* Signatures, for one, are verified with OpenSSL, too. */
Test(tls_socket, an_error_that_another_use_of_openssl_left_ends_no_connection)
{
    struct peer peer;
    open_peer(&peer);
    shake(&peer);
    cr_assert_eq(send(peer.fd, "\x17\x03", 2, MSG_NOSIGNAL), 2, "a part of a header");
    ERR_raise(ERR_LIB_EVP, EVP_R_DECODE_ERROR);
    turn();
    cr_expect_not(peer.is_gone);
    close_peer(&peer);
}
