/* OpenSSL reads exactly one record at a time, and the caller's buffer has room for a whole one, so
 * OpenSSL never holds unread data: the readiness that epoll reports is complete.
 *
 * A record of one byte costs nearly as much as one of a thousand, and a key update as much as ten
 * records, so the cost of a read is counted by records. A step of a handshake would continue as
 * long as pieces of a message arrive (a ClientHello of 128 KiB in records of one byte), so
 * OpenSSL's reads from the socket are refused after a call has begun its share of records.
 *
 * Writing: OpenSSL keeps a record that the kernel did not accept as a whole, and must be called
 * with the same bytes again. The connection's queue still has them, so they need not be copied. */
#include "gateway/net/tls.h"

#include "gateway/base/list.h"
#include "gateway/base/metrics.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { RECORD_BYTES = SSL3_RT_MAX_PLAIN_LENGTH, RECORDS_PER_WRITE = 4, RECORDS_PER_READ = 16 };

/* The cost of reads, as a number of bytes in large records that would cost as much. */
enum {
    RECORD_COST_BYTES = 512, /* 3 us; the first of a read is free */
    KEYS_COST_BYTES = 4096,  /* of the handshake protocol, after the handshake: 30 us */
};

struct tls {
    struct transport transport;
    struct tls_context *context;
    SSL *ssl;               /* from the first step on */
    bool is_over;           /* no more is written */
    bool is_broken;         /* OpenSSL must not be called any more, not even SSL_shutdown */
    unsigned n_records;     /* begun in this call */
    unsigned n_handshaking; /* those of the handshake protocol */
};

static struct tls *tls_of(struct transport *transport)
{
    return CONTAINER_OF(transport, struct tls, transport);
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
    tls->n_records += kind == SSL3_RT_HEADER;
    tls->n_handshaking += (kind == SSL3_RT_HEADER || kind == SSL3_RT_INNER_CONTENT_TYPE) &&
                          *(const uint8_t *)bytes == SSL3_RT_HANDSHAKE;
}

/* Refuses reads beyond the limit. The next call continues with a record that was begun. */
static long limit_records(BIO *bio, int operation, const char *bytes, size_t len, int unused,
                          long unused_too, int result, size_t *processed)
{
    const struct tls *tls = (const struct tls *)(const void *)BIO_get_callback_arg(bio);
    (void)bytes;
    (void)len;
    (void)unused;
    (void)unused_too;
    (void)processed;
    if (operation != BIO_CB_READ || tls->n_records <= RECORDS_PER_READ)
        return result;
    BIO_set_retry_read(bio);
    return -1;
}

static bool attach_ssl(struct tls *tls, int fd)
{
    tls->ssl = tls_context_connection(tls->context);
    if (tls->ssl == NULL || SSL_set_fd(tls->ssl, fd) != 1)
        return false;
    SSL_set_msg_callback(tls->ssl, count_record);
    SSL_set_msg_callback_arg(tls->ssl, tls);
    BIO_set_callback_ex(SSL_get_rbio(tls->ssl), limit_records);
    BIO_set_callback_arg(SSL_get_rbio(tls->ssl), (char *)tls);
    return true;
}

static enum transport_state tls_shake(struct transport *transport, int fd)
{
    struct tls *tls = tls_of(transport);
    ERR_clear_error();
    if (tls->ssl == NULL && !attach_ssl(tls, fd)) {
        tls->is_broken = true;
        return TRANSPORT_BROKEN;
    }
    tls->n_records = 0;
    int result = SSL_accept(tls->ssl);
    if (result != 1)
        return state_of(tls, result);
    metrics_count(SSL_session_reused(tls->ssl) ? METRIC_TLS_RESUMED : METRIC_TLS_FULL);
    return TRANSPORT_MOVED;
}

static void count_cost(const struct tls *tls, struct transport_read *read)
{
    unsigned n_more = tls->n_records > 1 ? tls->n_records - 1 : 0;
    read->cost_bytes =
        (size_t)n_more * RECORD_COST_BYTES + (size_t)tls->n_handshaking * KEYS_COST_BYTES;
}

static enum transport_state read_records(struct transport *transport, int fd, uint8_t *bytes,
                                         struct transport_read *ret_read)
{
    struct tls *tls = tls_of(transport);
    enum transport_state state = tls->is_broken ? TRANSPORT_BROKEN : TRANSPORT_MOVED;
    size_t len = 0;
    tls->n_records = 0;
    tls->n_handshaking = 0;
    while (state == TRANSPORT_MOVED && len <= TRANSPORT_SMALL_BYTES &&
           tls->n_records < RECORDS_PER_READ) {
        size_t got;
        ERR_clear_error();
        int result = SSL_read_ex(tls->ssl, bytes + len, TRANSPORT_ROOM_BYTES - len, &got);
        state = result == 1 ? TRANSPORT_MOVED : state_of(tls, result);
        len += result == 1 ? got : 0;
    }
    ret_read->len = len;
    count_cost(tls, ret_read);
    if (len == 0)
        return state;
    /* The end of the stream was also read. The next read must get it from the socket again. */
    if (state == TRANSPORT_CLOSED || state == TRANSPORT_BROKEN)
        shutdown(fd, SHUT_RD);
    return TRANSPORT_MOVED;
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
        ERR_clear_error();
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
    if (tls->ssl == NULL || tls->is_over || tls->is_broken || !SSL_is_init_finished(tls->ssl))
        return;
    tls->is_over = true;
    ERR_clear_error();
    SSL_shutdown(
        tls->ssl); /* sends close_notify if the kernel accepts it; the peer's is not awaited */
    ERR_clear_error();
}

static void free_tls(struct transport *transport)
{
    struct tls *tls = tls_of(transport);
    SSL_free(tls->ssl);
    free(tls);
}

static const struct transport_ops tls_ops = {
    .shake = tls_shake,
    .read = read_records,
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
