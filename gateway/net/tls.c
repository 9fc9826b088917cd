/* OpenSSL reads exactly one record at a time, and the caller's buffer has room for a whole one, so
 * OpenSSL never holds unread data. Small records that came together share one read from the socket
 * (tls_socket.c). The read takes all of them, and knows then that the socket is empty. A few bytes
 * are left over only after a message below HTTP (a key update), with which a read always ends, or
 * after too many records; then the owner is told that there is more (has_unread).
 *
 * A record of one byte costs nearly as much as one of a thousand, and a key update as much as ten
 * records, so the cost of a read is counted by records. A step of a handshake would continue as
 * long as pieces of a message arrive (a ClientHello of 128 KiB in records of one byte), so
 * OpenSSL's reads are refused after a call has begun its share of records.
 *
 * Writing: OpenSSL keeps a record that the kernel did not accept as a whole, and must be called
 * with the same bytes again. The connection's queue still has them, so they need not be copied. */
#include "gateway/net/tls.h"

#include "gateway/base/list.h"
#include "gateway/base/metrics.h"
#include "gateway/net/tls_socket.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

_Static_assert((int)TLS_AHEAD_BYTES <= (int)TRANSPORT_AHEAD_BYTES, "what is read ahead has room");

enum { RECORD_BYTES = SSL3_RT_MAX_PLAIN_LENGTH, RECORDS_PER_WRITE = 4 };

/* The cost of reads, as a number of bytes in large records that would cost as much. */
enum {
    RECORD_COST_BYTES = 512, /* 3 us; the first of a read is free */
    KEYS_COST_BYTES = 4096,  /* of the handshake protocol, after the handshake: 30 us */
};

struct tls {
    struct transport transport;
    struct tls_context *context;
    SSL *ssl; /* from the first step on */
    struct tls_socket socket;
    unsigned n_handshaking; /* records of the handshake protocol in this call */
    bool is_over;           /* no more is written */
    bool is_broken;         /* OpenSSL must not be called any more, not even SSL_shutdown */
    bool is_attached;       /* `ssl` uses the socket */
    bool is_outgoing;       /* it is the first member of a struct tls_outgoing */
};

struct tls_outgoing {
    struct tls tls;
    enum tls_problem problem;
    char text[128];
};

static struct tls *tls_of(struct transport *transport)
{
    return CONTAINER_OF(transport, struct tls, transport);
}

/* SSL_get_error looks into the thread's queue of errors, so the queue must be empty before each
 * call. It nearly always is, and clearing it costs ten times what looking costs. */
static void forget_errors(void)
{
    if (ERR_peek_error() != 0)
        ERR_clear_error();
}

static void keep_problem(struct tls *tls)
{
    struct tls_outgoing *outgoing = CONTAINER_OF(tls, struct tls_outgoing, tls);
    long verified = SSL_get_verify_result(tls->ssl);
    unsigned long error = ERR_peek_error();
    const char *text = ERR_reason_error_string(error);
    outgoing->problem = TLS_BROKEN;
    if (verified != X509_V_OK) {
        outgoing->problem = TLS_UNTRUSTED;
        text = X509_verify_cert_error_string(verified);
    } else if (ERR_GET_REASON(error) == SSL_R_WRONG_VERSION_NUMBER) {
        outgoing->problem = TLS_NOT_SPOKEN;
    }
    snprintf(outgoing->text, sizeof outgoing->text, "%s",
             text != NULL ? text : "the connection ended");
}

static enum transport_state state_of(struct tls *tls, int result)
{
    switch (SSL_get_error(tls->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return TRANSPORT_WANTS_READ;
    case SSL_ERROR_WANT_WRITE:
        return TRANSPORT_WANTS_WRITE;
    case SSL_ERROR_ZERO_RETURN:
        return TRANSPORT_CLOSED;
    default:
        if (tls->is_outgoing)
            keep_problem(tls);
        ERR_clear_error();
        tls->is_broken = true;
        return TRANSPORT_BROKEN;
    }
}

/* OpenSSL calls it with the header of each record, and in TLS 1.3 with its inner content type. */
static void count_record(int is_written, int version, int kind, const void *bytes, size_t len,
                         SSL *ssl, void *argument)
{
    struct tls *tls = argument;
    (void)version;
    (void)ssl;
    if (is_written || len == 0)
        return;
    tls->socket.n_records += kind == SSL3_RT_HEADER;
    tls->n_handshaking += (kind == SSL3_RT_HEADER || kind == SSL3_RT_INNER_CONTENT_TYPE) &&
                          *(const uint8_t *)bytes == SSL3_RT_HANDSHAKE;
}

static bool attach_ssl(struct tls *tls, int fd)
{
    if (tls->ssl == NULL)
        tls->ssl = tls_context_connection(tls->context);
    if (tls->ssl == NULL || tls_socket_attach(&tls->socket, tls->ssl, fd) != ERR_OK)
        return false;
    SSL_set_msg_callback(tls->ssl, count_record);
    SSL_set_msg_callback_arg(tls->ssl, tls);
    tls->is_attached = true;
    return true;
}

static enum transport_state tls_shake(struct transport *transport, int fd)
{
    struct tls *tls = tls_of(transport);
    forget_errors();
    if (!tls->is_attached && !attach_ssl(tls, fd)) {
        tls->is_broken = true;
        return TRANSPORT_BROKEN;
    }
    tls_socket_begin(&tls->socket);
    int result = tls->is_outgoing ? SSL_connect(tls->ssl) : SSL_accept(tls->ssl);
    if (result != 1)
        return state_of(tls, result);
    if (!tls->is_outgoing)
        metrics_count(SSL_session_reused(tls->ssl) ? METRIC_TLS_RESUMED : METRIC_TLS_FULL);
    return TRANSPORT_MOVED;
}

static void count_cost(const struct tls *tls, struct transport_read *read)
{
    unsigned n_more = tls->socket.n_records > 1 ? tls->socket.n_records - 1 : 0;
    read->cost_bytes =
        (size_t)n_more * RECORD_COST_BYTES + (size_t)tls->n_handshaking * KEYS_COST_BYTES;
}

/* May this read go on? What was read ahead is taken whole, so that nothing is left over. */
static bool reads_on(const struct tls_socket *socket, size_t len)
{
    bool has_share = len <= TRANSPORT_SMALL_BYTES && socket->n_records < TLS_RECORDS_PER_CALL;
    return tls_socket_has_ahead(socket) || (!socket->is_drained && has_share);
}

static enum transport_state read_until_empty(struct tls *tls, uint8_t *bytes, size_t *ret_len)
{
    enum transport_state state = TRANSPORT_MOVED;
    size_t len = 0;
    do {
        size_t got;
        tls->socket.may_read_ahead = len <= TRANSPORT_SMALL_BYTES;
        forget_errors();
        int result = SSL_read_ex(tls->ssl, bytes + len, TRANSPORT_ROOM_BYTES - len, &got);
        state = result == 1 ? TRANSPORT_MOVED : state_of(tls, result);
        len += result == 1 ? got : 0;
    } while (state == TRANSPORT_MOVED && reads_on(&tls->socket, len));
    *ret_len = len;
    return state;
}

static enum transport_state read_records(struct transport *transport, int fd, uint8_t *bytes,
                                         struct transport_read *ret_read)
{
    struct tls *tls = tls_of(transport);
    struct tls_ahead room;
    *ret_read = (struct transport_read){0};
    if (tls->is_broken)
        return TRANSPORT_BROKEN;
    tls->n_handshaking = 0;
    tls_socket_begin(&tls->socket);
    tls_socket_read_ahead(&tls->socket, &room);
    enum transport_state state = read_until_empty(tls, bytes, &ret_read->len);
    if (tls_socket_keep_ahead(&tls->socket, &room) != ERR_OK) {
        tls->is_broken = true;
        state = TRANSPORT_BROKEN;
    }
    count_cost(tls, ret_read);
    if (ret_read->len == 0)
        return state;
    /* The end of the stream was also read. The next read must get it from the socket again. */
    if (state == TRANSPORT_CLOSED || state == TRANSPORT_BROKEN)
        shutdown(fd, SHUT_RD);
    return TRANSPORT_MOVED;
}

static bool has_unread(const struct transport *transport)
{
    const struct tls *tls = CONTAINER_OF(transport, struct tls, transport);
    return !tls->is_broken && tls_socket_has_ahead(&tls->socket);
}

/* The position in the caller's iovecs at which writing continues. */
struct cursor {
    const struct iovec *iovec;
    size_t n;
    size_t offset; /* in the first iovec */
};

/* The bytes of the next record: a pointer to them, or a copy if they are in several iovecs. It is
 * deterministic, so that a repeated call begins with the same bytes. */
static const uint8_t *gather_record(const struct cursor *cursor, uint8_t *buffer, size_t *ret_len)
{
    const uint8_t *first = (const uint8_t *)cursor->iovec->iov_base + cursor->offset;
    size_t first_len = cursor->iovec->iov_len - cursor->offset;
    if (first_len >= RECORD_BYTES || cursor->n == 1) {
        *ret_len = first_len < RECORD_BYTES ? first_len : RECORD_BYTES;
        return first;
    }
    size_t len = 0;
    size_t offset = cursor->offset;
    for (size_t i = 0; i < cursor->n && len < RECORD_BYTES; i++) {
        const struct iovec *iovec = &cursor->iovec[i];
        size_t part = iovec->iov_len - offset;
        part = part < RECORD_BYTES - len ? part : RECORD_BYTES - len;
        memcpy(buffer + len, (const uint8_t *)iovec->iov_base + offset, part);
        len += part;
        offset = 0;
    }
    *ret_len = len;
    return buffer;
}

static void advance_cursor(struct cursor *cursor, size_t len)
{
    while (cursor->n > 0 && len >= cursor->iovec->iov_len - cursor->offset) {
        len -= cursor->iovec->iov_len - cursor->offset;
        cursor->offset = 0;
        cursor->iovec++;
        cursor->n--;
    }
    cursor->offset += len;
}

static enum transport_state write_records(struct transport *transport, int fd,
                                          const struct iovec *iovecs, size_t n, size_t *ret_len)
{
    struct tls *tls = tls_of(transport);
    struct cursor cursor = {iovecs, n, 0};
    uint8_t buffer[RECORD_BYTES];
    (void)fd;
    *ret_len = 0;
    if (tls->is_broken)
        return TRANSPORT_BROKEN;
    for (int i = 0; i < RECORDS_PER_WRITE && cursor.n > 0; i++) {
        size_t len;
        size_t written;
        const uint8_t *bytes = gather_record(&cursor, buffer, &len);
        forget_errors();
        int result = SSL_write_ex(tls->ssl, bytes, len, &written);
        if (result != 1) {
            enum transport_state state = state_of(tls, result);
            /* WANTS_READ: the client has sent part of a handshake message after the handshake,
             * which no honest client does. */
            return state == TRANSPORT_WANTS_WRITE ? state : TRANSPORT_BROKEN;
        }
        *ret_len += written;
        advance_cursor(&cursor, written);
    }
    return TRANSPORT_MOVED;
}

static void tls_finish(struct transport *transport, int fd)
{
    struct tls *tls = tls_of(transport);
    (void)fd;
    if (!tls->is_attached || tls->is_over || tls->is_broken || !SSL_is_init_finished(tls->ssl))
        return;
    tls->is_over = true;
    forget_errors();
    SSL_shutdown(
        tls->ssl); /* sends close_notify if the kernel accepts it; the peer's is not awaited */
    ERR_clear_error();
}

static void free_tls(struct transport *transport)
{
    struct tls *tls = tls_of(transport);
    SSL_free(tls->ssl);
    tls_socket_fini(&tls->socket);
    free(tls); /* the first member of what was allocated */
}

static const struct transport_ops tls_ops = {
    .shake = tls_shake,
    .read = read_records,
    .has_unread = has_unread,
    .write = write_records,
    .finish = tls_finish,
    .free = free_tls,
};

enum err tls_new(struct tls_context *context, struct transport **ret_transport)
{
    struct tls *tls = calloc(1, sizeof *tls);
    if (tls == NULL)
        return ERR_NO_MEMORY;
    tls->transport.ops = &tls_ops;
    tls->context = context;
    *ret_transport = &tls->transport;
    return ERR_OK;
}

enum err tls_new_outgoing(struct tls_client *client, const char *name,
                          struct transport **ret_transport)
{
    struct tls_outgoing *outgoing = calloc(1, sizeof *outgoing);
    if (outgoing == NULL)
        return ERR_NO_MEMORY;
    outgoing->tls.transport.ops = &tls_ops;
    outgoing->tls.is_outgoing = true;
    outgoing->tls.ssl = tls_client_connection(client, name);
    if (outgoing->tls.ssl == NULL) {
        free(outgoing);
        return ERR_NO_MEMORY;
    }
    *ret_transport = &outgoing->tls.transport;
    return ERR_OK;
}

enum tls_problem tls_outgoing_problem(const struct transport *transport, const char **ret_text)
{
    const struct tls *tls = CONTAINER_OF(transport, struct tls, transport);
    const struct tls_outgoing *outgoing = CONTAINER_OF(tls, struct tls_outgoing, tls);
    *ret_text = outgoing->text;
    return outgoing->problem;
}
