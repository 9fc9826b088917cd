/* What TLS clients send to make work, below HTTP: records and key updates without end, and answers
 * that they ask for and do not take. The clock stands but where it is moved. */
#include "gateway/net/tls_socket.h"
#include "tests/unit/tls_conn.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

TestSuite(tls_floods, .init = set_up, .fini = take_down, .timeout = 60);

static unsigned n_ready; /* how often epoll reported the connection */
static void (*tell)(struct reactor_watch *watch, uint32_t events);

static void count_ready(struct reactor_watch *watch, uint32_t events)
{
    n_ready++;
    tell(watch, events);
}

static void count_events_of(struct peer *peer)
{
    n_ready = 0;
    tell = peer->conn.watch.on_ready;
    peer->conn.watch.on_ready = count_ready;
}

static void pass_ms(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        fake_us += 1000;
        turn();
    }
}

static bool update_keys(struct peer *peer, int kind)
{
    ERR_clear_error();
    return SSL_key_update(peer->client, kind) == 1 && SSL_do_handshake(peer->client) == 1;
}

/* More than our end can answer, less than what blocks the client's writing, too. */
static void ask_for_updates(struct peer *peer)
{
    int unread = 0;
    for (int i = 0; i < 100; i++) {
        cr_assert(update_keys(peer, SSL_KEY_UPDATE_REQUESTED));
        pass_ms(1);
    }
    cr_assert_eq(ioctl(peer->conn.watch.fd, FIONREAD, &unread), 0);
    cr_assert_gt(unread, 0);
}

static void read_all(struct peer *peer)
{
    uint8_t bytes[64];
    for (int i = 0; i < 200; i++) {
        cr_assert_leq(read_client(peer, bytes, sizeof bytes), 0);
        pass_ms(1);
    }
}

/* RFC 8446, 4.6.3: each asks for an answer. */
Test(tls_floods, answers_that_are_not_taken_make_no_work)
{
    struct peer peer;
    open_peer(&peer);
    shake(&peer);
    count_events_of(&peer);
    ask_for_updates(&peer);
    cr_assert_not(peer.is_gone);
    n_ready = 0;
    pass_ms(100);
    cr_expect_eq(n_ready, 0);
    read_all(&peer);
    cr_assert_eq(SSL_write(peer.client, "hello", 5), 5);
    pass_ms(2);
    cr_expect_eq(peer.n_taken, 5, "it is read again");
    cr_expect_not(peer.conn.watch.flags & CONN_DEAF);
    close_peer(&peer);
}

Test(tls_floods, a_client_that_reads_no_answers_and_leaves_is_gone_at_once)
{
    struct peer peer;
    open_peer(&peer);
    shake(&peer);
    ask_for_updates(&peer);
    close(peer.fd);
    turn();
    cr_expect(peer.is_gone);
    close_peer(&peer);
}

/* What it has not read yet is for the next owner of the socket. */
Test(tls_floods, a_socket_whose_reads_wait_for_room_is_not_read_when_it_is_paused)
{
    struct peer peer;
    open_peer(&peer);
    shake(&peer);
    ask_for_updates(&peer);
    conn_pause(&peer.conn);
    SSL_write(peer.client, "hello", 5);
    count_events_of(&peer);
    read_all(&peer);
    cr_expect_eq(n_ready, 0);
    cr_expect_eq(peer.n_taken, 0);
    close_peer(&peer);
}

/* 32 KiB of work are a millisecond's share (test_conn_fair.c). */
Test(tls_floods, key_updates_count_as_4_kib_each)
{
    enum { UPDATES = 200, SHARE = 8 };
    struct peer peer;
    int before = 0, after = 0;
    open_peer(&peer);
    shake(&peer);
    for (int i = 0; i < UPDATES; i++)
        cr_assert(update_keys(&peer, SSL_KEY_UPDATE_NOT_REQUESTED));
    cr_assert_eq(ioctl(peer.conn.watch.fd, FIONREAD, &before), 0);
    cr_assert_eq(SSL_write(peer.client, "x", 1), 1);
    for (int i = 0; i < 2 * UPDATES; i++)
        turn();
    cr_assert_eq(ioctl(peer.conn.watch.fd, FIONREAD, &after), 0);
    cr_expect_geq(after + TLS_AHEAD_BYTES, before - (SHARE + 1) * before / UPDATES, "%d of %d",
                  after, before);
    pass_ms(UPDATES / SHARE * 2);
    cr_expect_eq(peer.n_taken, 1);
    close_peer(&peer);
}

Test(tls_floods, small_records_count_as_half_a_kib_each)
{
    enum { RECORDS = 200, SHARE = 64, AT_ONCE = 16 };
    struct peer peer;
    open_peer(&peer);
    shake(&peer);
    for (int i = 0; i < RECORDS; i++)
        cr_assert_eq(SSL_write(peer.client, "x", 1), 1);
    turn();
    cr_expect_eq(peer.n_taken, AT_ONCE, "they share a read");
    for (int i = 0; i < RECORDS; i++)
        turn();
    cr_expect_leq(peer.n_taken, SHARE + AT_ONCE);
    pass_ms(2 * RECORDS / SHARE);
    cr_expect_eq(peer.n_taken, RECORDS);
    close_peer(&peer);
}

Test(tls_floods, a_client_that_sends_a_few_small_records_does_not_wait)
{
    struct peer peer;
    int64_t before = metrics_read(METRIC_THROTTLED);
    open_peer(&peer);
    shake(&peer);
    for (unsigned i = 1; i <= 50; i++) {
        for (int k = 0; k < 4; k++)
            cr_assert_eq(SSL_write(peer.client, "x", 1), 1);
        turn();
        cr_expect_eq(peer.n_taken, 4 * i);
    }
    cr_expect_eq(metrics_read(METRIC_THROTTLED), before);
    close_peer(&peer);
}

/* Its record shares the read of what stood before it. */
Test(tls_floods, the_end_is_seen_after_the_last_bytes_though_the_socket_stays_open)
{
    static const char broken[] = "\x17\x03\x03\x00\x20 these bytes are not encrypted at all";
    for (int is_clean = 0; is_clean < 2; is_clean++) {
        struct peer peer;
        open_peer(&peer);
        shake(&peer);
        cr_assert_eq(SSL_write(peer.client, "bye", 3), 3);
        if (is_clean)
            SSL_shutdown(peer.client);
        else
            cr_assert_eq(send(peer.fd, broken, sizeof broken, 0), sizeof broken);
        turn();
        turn();
        cr_expect_eq(peer.n_taken, 3);
        cr_expect(peer.is_gone);
        cr_expect_eq(peer.is_clean, is_clean);
        close_peer(&peer);
    }
}

Test(tls_floods, a_step_of_a_handshake_takes_a_few_of_the_pieces_that_have_come)
{
    enum { PIECES = 200, AT_ONCE = 16, RECORD_BYTES = 6 };
    static const uint8_t begin[4] = {1, 1, 0, 0}; /* of a ClientHello of 64 KiB */
    struct peer peer;
    int left = 0;
    open_peer(&peer);
    for (int i = 0; i < PIECES; i++) {
        uint8_t record[RECORD_BYTES] = {22, 3, 1, 0, 1, i < 4 ? begin[i] : 0};
        cr_assert_eq(send(peer.fd, record, sizeof record, MSG_NOSIGNAL), (int)sizeof record);
    }
    for (int i = 1; i <= 5; i++) {
        turn();
        cr_assert_eq(ioctl(peer.conn.watch.fd, FIONREAD, &left), 0);
        cr_expect_geq(left, (PIECES - i * (AT_ONCE + 1)) * RECORD_BYTES);
        cr_expect_leq(left, (PIECES - i * (AT_ONCE - 1)) * RECORD_BYTES);
    }
    cr_expect_not(peer.is_gone);
    close_peer(&peer);
}

/* ---- TLS 1.2: records that OpenSSL's client does not send ---- */

enum { KEY_BYTES = 16, SALT_BYTES = 4, TAG_BYTES = 16 };

struct sealer {
    uint8_t key[KEY_BYTES];
    uint8_t salt[SALT_BYTES];
    uint64_t number;
};

/* RFC 5246, 6.3: the client's write key and salt of a cipher with AES-128-GCM and SHA-256. */
static struct sealer sealer_of(SSL *ssl)
{
    uint8_t master[48], randoms[64], block[2 * KEY_BYTES + 2 * SALT_BYTES];
    cr_assert_str_eq(SSL_get_cipher(ssl), "ECDHE-ECDSA-AES128-GCM-SHA256");
    SSL_SESSION_get_master_key(SSL_get_session(ssl), master, sizeof master);
    SSL_get_server_random(ssl, randoms, 32);
    SSL_get_client_random(ssl, randoms + 32, 32);
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "TLS1-PRF", NULL);
    EVP_KDF_CTX *derivation = EVP_KDF_CTX_new(kdf);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char[]){"SHA256"}, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SECRET, master, sizeof master),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED, (char[]){"key expansion"}, 13),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED, randoms, sizeof randoms),
        OSSL_PARAM_construct_end()};
    cr_assert_eq(EVP_KDF_derive(derivation, block, sizeof block, params), 1);
    EVP_KDF_CTX_free(derivation);
    EVP_KDF_free(kdf);
    struct sealer sealer = {.number = 1}; /* Finished was the first record */
    memcpy(sealer.key, block, KEY_BYTES);
    memcpy(sealer.salt, block + 2 * KEY_BYTES, SALT_BYTES);
    return sealer;
}

static void put_number(uint8_t *at, uint64_t number)
{
    for (int i = 0; i < 8; i++)
        at[i] = (uint8_t)(number >> (56 - 8 * i));
}

/* RFC 5288, 3. Answers the record's length. */
static size_t seal(struct sealer *sealer, uint8_t type, const uint8_t *bytes, uint8_t len,
                   uint8_t *record)
{
    uint8_t nonce[SALT_BYTES + 8];
    uint8_t also[13] = {[8] = type, 3, 3, 0, len};
    int n;
    memcpy(nonce, sealer->salt, SALT_BYTES);
    put_number(nonce + SALT_BYTES, sealer->number);
    put_number(also, sealer->number++);
    memcpy(record, (uint8_t[]){type, 3, 3, 0, (uint8_t)(8 + len + TAG_BYTES)}, 5);
    memcpy(record + 5, nonce + SALT_BYTES, 8);
    EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    EVP_EncryptInit_ex(cipher, EVP_aes_128_gcm(), NULL, sealer->key, nonce);
    EVP_EncryptUpdate(cipher, NULL, &n, also, sizeof also);
    EVP_EncryptUpdate(cipher, record + 13, &n, bytes, len);
    EVP_EncryptFinal_ex(cipher, record + 13 + len, &n);
    EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_GCM_GET_TAG, TAG_BYTES, record + 13 + len);
    EVP_CIPHER_CTX_free(cipher);
    return 13 + (size_t)len + TAG_BYTES;
}

/* Each is refused with a warning (RFC 5746, 4.5). */
Test(tls_floods, renegotiations_of_tls_1_2_count_as_4_kib_each)
{
    enum { HELLOS = 200, SHARE = 8 };
    static const uint8_t hello[4] = {1}; /* a ClientHello of no bytes */
    uint8_t record[64];
    struct peer peer;
    int before = 0, after = 0;
    SSL_CTX_free(client_ctx);
    client_ctx = client_settings(TLS1_2_VERSION);
    SSL_CTX_set_cipher_list(client_ctx, "ECDHE-ECDSA-AES128-GCM-SHA256");
    open_peer(&peer);
    shake(&peer);
    struct sealer sealer = sealer_of(peer.client);
    for (int i = 0; i < HELLOS; i++) {
        size_t len = seal(&sealer, SSL3_RT_HANDSHAKE, hello, sizeof hello, record);
        cr_assert_eq(send(peer.fd, record, len, MSG_NOSIGNAL), (ssize_t)len);
    }
    cr_assert_eq(ioctl(peer.conn.watch.fd, FIONREAD, &before), 0);
    for (int i = 0; i < 2 * HELLOS; i++)
        turn();
    cr_assert_eq(ioctl(peer.conn.watch.fd, FIONREAD, &after), 0);
    cr_expect_geq(after + TLS_AHEAD_BYTES, before - (SHARE + 1) * before / HELLOS, "%d of %d",
                  after, before);
    size_t len = seal(&sealer, SSL3_RT_APPLICATION_DATA, (const uint8_t *)"x", 1, record);
    cr_assert_eq(send(peer.fd, record, len, MSG_NOSIGNAL), (ssize_t)len);
    pass_ms(2 * HELLOS / SHARE);
    cr_expect_eq(peer.n_taken, 1);
    close_peer(&peer);
}
