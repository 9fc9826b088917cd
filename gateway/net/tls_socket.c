#include "gateway/net/tls_socket.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static BIO_METHOD *method; /* NULL: out of memory */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static int take_ahead(struct tls_ahead *ahead, char *bytes, int len)
{
    size_t n = ahead->len - ahead->at;
    n = n < (size_t)len ? n : (size_t)len;
    memcpy(bytes, ahead->bytes + ahead->at, n);
    ahead->at += n;
    return (int)n;
}

static ssize_t receive(struct tls_socket *socket, void *bytes, size_t len)
{
    ssize_t got = recv(socket->fd, bytes, len, 0);
    socket->is_drained = got < (ssize_t)len;
    return got;
}

static bool is_worth_a_retry(ssize_t result)
{
    return result < 0 && (errno == EAGAIN || errno == EINTR);
}

/* OpenSSL reads a header alone. Only then is anything read ahead, and only while the caller has
 * read little: what comes with it may be the beginning of a record of the largest size. */
static ssize_t receive_record(struct tls_socket *socket, char *bytes, int len)
{
    struct tls_ahead *ahead = socket->ahead;
    if (ahead == NULL || !socket->may_read_ahead || len > SSL3_RT_HEADER_LENGTH)
        return receive(socket, bytes, (size_t)len);
    ssize_t got = receive(socket, ahead->bytes, sizeof ahead->bytes);
    ahead->at = 0;
    ahead->len = got > 0 ? (size_t)got : 0;
    return got > 0 ? take_ahead(ahead, bytes, len) : got;
}

static int read_bio(BIO *bio, char *bytes, int len)
{
    struct tls_socket *socket = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (socket->n_records > TLS_RECORDS_PER_CALL) {
        BIO_set_retry_read(bio); /* the next call continues with the record that was begun */
        return -1;
    }
    if (tls_socket_has_ahead(socket))
        return take_ahead(socket->ahead, bytes, len);
    ssize_t got = receive_record(socket, bytes, len);
    if (is_worth_a_retry(got))
        BIO_set_retry_read(bio);
    return (int)got;
}

static int write_bio(BIO *bio, const char *bytes, int len)
{
    const struct tls_socket *socket = BIO_get_data(bio);
    ssize_t sent = send(socket->fd, bytes, (size_t)len, MSG_NOSIGNAL);
    BIO_clear_retry_flags(bio);
    if (is_worth_a_retry(sent))
        BIO_set_retry_write(bio);
    return (int)sent;
}

/* Nothing is buffered, so there is nothing to flush; the other questions are answered with no. */
static long control_bio(BIO *bio, int command, long number, void *argument)
{
    (void)bio;
    (void)number;
    (void)argument;
    return command == BIO_CTRL_FLUSH;
}

static void make_method(void)
{
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket");
    if (method == NULL)
        return;
    BIO_meth_set_read(method, read_bio);
    BIO_meth_set_write(method, write_bio);
    BIO_meth_set_ctrl(method, control_bio);
}

enum err tls_socket_attach(struct tls_socket *socket, struct ssl_st *ssl, int fd)
{
    pthread_once(&once, make_method);
    BIO *bio = method != NULL ? BIO_new(method) : NULL;
    if (bio == NULL)
        return ERR_NO_MEMORY;
    BIO_set_data(bio, socket);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    socket->fd = fd;
    return ERR_OK;
}

void tls_socket_fini(struct tls_socket *socket)
{
    free(socket->ahead);
}

void tls_socket_begin(struct tls_socket *socket)
{
    socket->n_records = 0;
    socket->is_drained = false;
}

void tls_socket_read_ahead(struct tls_socket *socket, struct tls_ahead *room)
{
    room->at = 0;
    room->len = 0;
    if (socket->ahead == NULL)
        socket->ahead = room;
}

enum err tls_socket_keep_ahead(struct tls_socket *socket, const struct tls_ahead *room)
{
    struct tls_ahead *ahead = socket->ahead;
    bool is_kept_already = ahead != room;
    if (is_kept_already && tls_socket_has_ahead(socket))
        return ERR_OK;
    if (is_kept_already)
        free(ahead);
    socket->ahead = NULL;
    if (is_kept_already || ahead->at == ahead->len)
        return ERR_OK;
    struct tls_ahead *kept = malloc(sizeof *kept);
    if (kept == NULL)
        return ERR_NO_MEMORY;
    *kept = *ahead;
    socket->ahead = kept;
    return ERR_OK;
}
