/* OpenSSL reads exactly one record at a time, and the caller's buffer takes a whole one, so nothing
 * is ever left inside: what epoll says of the socket is all there is to know.
 *
 * Writing: a record that the kernel did not take whole stays with OpenSSL, which wants to be called
 * with the same bytes again. The connection's queue still has them, so nothing is copied for that.
 */
#include "gateway/net/tls.h"

#include "gateway/base/list.h"
#include "gateway/base/metrics.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

enum { RECORD_BYTES = SSL3_RT_MAX_PLAIN_LENGTH, RECORDS_PER_WRITE = 4 };

struct tls {
    struct transport transport;
    struct tls_context *context;
    SSL *ssl;     /* from the first step on */
    bool is_over; /* broken, or no more is written */
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
        tls->is_over = true; /* nothing may be called after a fatal error, SSL_shutdown included */
        return TRANSPORT_BROKEN;
    }
}

static enum transport_state shake(struct transport *transport, int fd)
{
    struct tls *tls = tls_of(transport);
    ERR_clear_error();
    if (tls->ssl == NULL) {
        tls->ssl = tls_context_connection(tls->context);
        if (tls->ssl == NULL || SSL_set_fd(tls->ssl, fd) != 1) {
            tls->is_over = true;
            return TRANSPORT_BROKEN;
        }
    }
    int result = SSL_accept(tls->ssl);
    if (result != 1)
        return state_of(tls, result);
    metrics_count(SSL_session_reused(tls->ssl) ? METRIC_TLS_RESUMED : METRIC_TLS_FULL);
    return TRANSPORT_MOVED;
}

static enum transport_state read_record(struct transport *transport, int fd, uint8_t *bytes,
                                        size_t cap, size_t *ret_len)
{
    struct tls *tls = tls_of(transport);
    (void)fd;
    ERR_clear_error();
    int result = SSL_read_ex(tls->ssl, bytes, cap, ret_len);
    return result == 1 ? TRANSPORT_MOVED : state_of(tls, result);
}

/* Where writing goes on in what the caller gave. */
struct cursor {
    const struct iovec *iovec;
    size_t n;
    size_t offset; /* in the first */
};

/* The next record's bytes: where they lie, or gathered. Deterministic, so that a second call begins
 * with the same bytes. */
static const uint8_t *gather(const struct cursor *cursor, uint8_t *buffer, size_t *ret_len)
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

static void advance(struct cursor *cursor, size_t len)
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
    for (int i = 0; i < RECORDS_PER_WRITE && cursor.n > 0; i++) {
        size_t len;
        size_t written;
        const uint8_t *bytes = gather(&cursor, buffer, &len);
        ERR_clear_error();
        int result = SSL_write_ex(tls->ssl, bytes, len, &written);
        if (result != 1) {
            enum transport_state state = state_of(tls, result);
            /* WANTS_READ: a handshake message came in pieces behind the handshake, which nobody
             * sends who means well. */
            return state == TRANSPORT_WANTS_WRITE ? state : TRANSPORT_BROKEN;
        }
        *ret_len += written;
        advance(&cursor, written);
    }
    return TRANSPORT_MOVED;
}

static void finish(struct transport *transport, int fd)
{
    struct tls *tls = tls_of(transport);
    (void)fd;
    if (tls->ssl == NULL || tls->is_over || !SSL_is_init_finished(tls->ssl))
        return;
    tls->is_over = true;
    ERR_clear_error();
    SSL_shutdown(tls->ssl); /* close_notify, if the kernel takes it; nobody waits for the peer's */
    ERR_clear_error();
}

static void free_tls(struct transport *transport)
{
    struct tls *tls = tls_of(transport);
    SSL_free(tls->ssl);
    free(tls);
}

static const struct transport_ops tls_ops = {
    .shake = shake,
    .read = read_record,
    .write = write_records,
    .finish = finish,
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
