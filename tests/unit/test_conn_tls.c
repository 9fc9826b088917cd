/* Connections over TLS: what is read, written, given away and ended. */
#include "gateway/net/tls_socket.h"
#include "tests/unit/tls_conn.h"

TestSuite(conn_tls, .init = set_up, .fini = take_down, .timeout = 60);

Test(conn_tls, an_idle_connection_grows_by_one_pointer)
{
    cr_assert_leq(sizeof(struct conn), sizeof(struct reactor_watch) + 7 * sizeof(void *));
}

Test(conn_tls, what_is_queued_during_the_handshake_goes_out_after_it)
{
    struct peer peer;
    uint8_t bytes[16];
    open_peer(&peer);
    cr_assert_eq(conn_write_bytes(&peer.conn, "early", 5), ERR_OK);
    turn();
    cr_assert_eq(conn_queued_bytes(&peer.conn), 5);
    shake(&peer);
    turn();
    cr_assert_eq(read_client(&peer, bytes, sizeof bytes), 5);
    cr_assert_eq(peer.n_drained, 1);
    close_peer(&peer);
}

/* RFC 8446, 4.6.3: nothing bounds them, and a read that went on for as long as they come would stop
 * the worker. */
Test(conn_tls, key_updates_are_read_one_at_a_time)
{
    enum { UPDATES = 50 };
    struct peer peer;
    int before = 0;
    int after = 0;
    open_peer(&peer);
    shake(&peer);
    for (int i = 0; i < UPDATES; i++) {
        cr_assert_eq(SSL_key_update(peer.client, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
        cr_assert_eq(SSL_do_handshake(peer.client), 1);
    }
    cr_assert_eq(SSL_write(peer.client, "x", 1), 1);
    cr_assert_eq(ioctl(peer.conn.watch.fd, FIONREAD, &before), 0);
    turn();
    cr_assert_eq(ioctl(peer.conn.watch.fd, FIONREAD, &after), 0);
    cr_expect_geq(after + TLS_AHEAD_BYTES, before - 3 * before / UPDATES, "%d of %d bytes are left",
                  after, before);
    for (int i = 0; i < 2 * UPDATES && peer.n_taken == 0; i++) {
        fake_us += 1000;
        turn();
    }
    cr_expect_eq(peer.n_taken, 1);
    close_peer(&peer);
}

/* What a client of this version and with these ciphers is given; NULL: those of OpenSSL. */
static void expect_cipher(int version, const char *offered, const char *chosen)
{
    struct peer peer;
    SSL_CTX_free(client_ctx);
    client_ctx = client_settings(version);
    if (offered != NULL && version == TLS1_3_VERSION)
        SSL_CTX_set_ciphersuites(client_ctx, offered);
    else if (offered != NULL)
        SSL_CTX_set_cipher_list(client_ctx, offered);
    open_peer(&peer);
    shake(&peer);
    cr_expect_str_eq(SSL_get_cipher(peer.client), chosen);
    close_peer(&peer);
}

Test(conn_tls, the_cheapest_cipher_is_chosen_unless_the_client_has_no_aes)
{
    expect_cipher(TLS1_3_VERSION, NULL, "TLS_AES_128_GCM_SHA256");
    expect_cipher(TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256",
                  "TLS_AES_128_GCM_SHA256");
    expect_cipher(TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384");
    expect_cipher(TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256",
                  "TLS_CHACHA20_POLY1305_SHA256");
    expect_cipher(TLS1_2_VERSION, NULL, "ECDHE-ECDSA-AES128-GCM-SHA256");
    expect_cipher(TLS1_2_VERSION, "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384");
    expect_cipher(TLS1_2_VERSION, "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256",
                  "ECDHE-ECDSA-CHACHA20-POLY1305");
}

/* A client's read answers one record. */
Test(conn_tls, small_pieces_share_a_record)
{
    struct peer peer;
    uint8_t bytes[1000];
    open_peer(&peer);
    shake(&peer);
    for (int i = 0; i < 30; i++)
        cr_assert_eq(conn_write_bytes(&peer.conn, "seven..", 7), ERR_OK);
    turn();
    cr_assert_eq(read_client(&peer, bytes, sizeof bytes), 210);
    close_peer(&peer);
}

/* The bytes of OpenSSL's next call after it was blocked are taken from the queue again, with more
 * after it: it must be the same bytes, whatever the pieces are. */
Test(conn_tls, writes_that_block_go_on_with_the_same_bytes)
{
    enum { PIECES = 400 };
    static uint8_t piece[40000];
    struct peer peer;
    uint32_t written = 0;
    uint32_t read = 0;
    size_t n_written = 0;
    size_t n_read = 0;
    unsigned n_blocked = 0;
    open_peer(&peer);
    shake(&peer);
    for (unsigned i = 0; i < PIECES || n_read < n_written;) {
        size_t len = i % 7 == 0 ? sizeof piece - i : i % 3 == 0 ? 500 + i : 1 + i % 24;
        for (size_t k = 0; k < len; k++)
            piece[k] = (uint8_t)(i * 7 + k);
        if (i < PIECES) {
            cr_assert_eq(conn_write_bytes(&peer.conn, piece, len), ERR_OK);
            written = add(written, piece, len);
            n_written += len;
            i++;
        }
        turn();
        n_blocked += !is_writable(&peer);
        static uint8_t bytes[20000];
        int got = i % 5 == 0 || i == PIECES ? read_client(&peer, bytes, sizeof bytes) : 0;
        if (got > 0) {
            read = add(read, bytes, (size_t)got);
            n_read += (size_t)got;
        }
        cr_assert_not(peer.is_gone);
    }
    cr_assert_gt(n_blocked, 10);
    cr_assert_eq(n_read, n_written);
    cr_assert_eq(read, written);
    turn();
    cr_assert_eq(conn_queued_bytes(&peer.conn), 0);
    cr_assert(is_writable(&peer));
    close_peer(&peer);
}

Test(conn_tls, reads_what_comes_to_its_end)
{
    static uint8_t bytes[200000];
    struct peer peer;
    size_t at = 0;
    open_peer(&peer);
    shake(&peer);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 13 + i / 256);
    SSL_set_mode(peer.client, SSL_MODE_ENABLE_PARTIAL_WRITE);
    while (at < sizeof bytes) {
        size_t len = at % 2 == 0 ? 30001 : 7;
        len = len < sizeof bytes - at ? len : sizeof bytes - at;
        ERR_clear_error();
        int sent = SSL_write(peer.client, bytes + at, (int)len);
        at += sent > 0 ? (size_t)sent : 0;
        turn();
    }
    for (int i = 0; i < 50; i++) {
        fake_us += 1000; /* it sends much: its share of a millisecond */
        turn();
    }
    cr_assert_eq(peer.n_taken, sizeof bytes);
    cr_assert_eq(peer.sum, add(0, bytes, sizeof bytes));
    close_peer(&peer);
}

Test(conn_tls, close_notify_is_a_clean_end_and_is_sent)
{
    struct peer peer;
    uint8_t byte;
    open_peer(&peer);
    shake(&peer);
    cr_assert_eq(conn_write_bytes(&peer.conn, "bye", 3), ERR_OK);
    conn_shutdown(&peer.conn);
    turn();
    for (int i = 0; i < 3; i++)
        cr_assert_eq(read_client(&peer, &byte, 1), 1);
    cr_assert_eq(read_client(&peer, &byte, 1), 0);
    cr_assert_eq(SSL_get_error(peer.client, 0), SSL_ERROR_ZERO_RETURN);
    SSL_shutdown(peer.client);
    turn();
    cr_assert(peer.is_gone);
    cr_assert(peer.is_clean);
    close_peer(&peer);
}

Test(conn_tls, an_end_without_close_notify_and_a_broken_record_are_not_clean)
{
    struct peer peer;
    open_peer(&peer);
    shake(&peer);
    shutdown(peer.fd, SHUT_WR);
    turn();
    cr_assert(peer.is_gone);
    cr_assert_not(peer.is_clean);
    close_peer(&peer);
    open_peer(&peer);
    shake(&peer);
    static const char broken[] = "\x17\x03\x03\x00\x20 these bytes are not encrypted at all";
    cr_assert_eq(send(peer.fd, broken, sizeof broken, 0), sizeof broken);
    turn();
    cr_assert(peer.is_gone);
    cr_assert_not(peer.is_clean);
    close_peer(&peer);
}

/* If the socket accepts nothing, the answer to it waits after the record that is half written.
 */
Test(conn_tls, a_key_update_is_taken_while_writing_is_blocked)
{
    static uint8_t much[300000];
    struct peer peer;
    open_peer(&peer);
    shake(&peer);
    cr_assert_eq(conn_write_bytes(&peer.conn, much, sizeof much), ERR_OK);
    turn();
    cr_assert_not(is_writable(&peer));
    cr_assert_eq(SSL_key_update(peer.client, SSL_KEY_UPDATE_REQUESTED), 1);
    SSL_do_handshake(peer.client);
    SSL_write(peer.client, "hello", 5);
    for (int i = 0; i < 3; i++) {
        fake_us += 1000; /* each ends a read; what has come with it is read a millisecond later */
        turn();
    }
    cr_assert_not(peer.is_gone);
    size_t n_read = 0;
    for (int i = 0; i < 2000 && n_read < sizeof much; i++) {
        static uint8_t bytes[20000];
        int got = read_client(&peer, bytes, sizeof bytes);
        n_read += got > 0 ? (size_t)got : 0;
        turn();
    }
    turn();
    cr_assert_eq(n_read, sizeof much);
    cr_assert_eq(peer.n_taken, 5);
    close_peer(&peer);
}

Test(conn_tls, a_socket_is_given_away_with_its_tls)
{
    struct peer peer;
    uint8_t bytes[16];
    uint8_t *rest;
    size_t n_rest;
    open_peer(&peer);
    shake(&peer);
    SSL_write(peer.client, "on its way", 10);
    struct transport_socket socket = conn_release(&peer.conn, &rest, &n_rest);
    cr_assert_null(rest);
    cr_assert_eq(conn_open(&peer.conn, &loop, &ops, socket), ERR_OK);
    turn();
    cr_assert_eq(peer.n_taken, 10);
    cr_assert_eq(conn_write_bytes(&peer.conn, "hello", 5), ERR_OK);
    turn();
    cr_assert_eq(read_client(&peer, bytes, sizeof bytes), 5);
    socket = conn_release(&peer.conn, &rest, &n_rest);
    transport_send_last(socket, "said", 4);
    transport_close(socket);
    cr_assert_eq(read_client(&peer, bytes, sizeof bytes), 4);
    cr_assert_eq(read_client(&peer, bytes, sizeof bytes), 0);
    cr_assert_eq(SSL_get_error(peer.client, 0), SSL_ERROR_ZERO_RETURN);
    peer.is_gone = true;
    close_peer(&peer);
}

Test(conn_tls, garbage_instead_of_a_hello_is_a_failed_handshake)
{
    struct peer peer;
    int64_t before = metrics_read(METRIC_TLS_FAILED);
    open_peer(&peer);
    cr_assert_eq(send(peer.fd, "GET / HTTP/1.1\r\n\r\n", 18, 0), 18);
    turn();
    cr_assert(peer.is_gone);
    cr_assert_eq(metrics_read(METRIC_TLS_FAILED), before + 1);
    close_peer(&peer);
}
