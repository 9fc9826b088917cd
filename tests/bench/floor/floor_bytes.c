/* Plain sockets, or OpenSSL on them with what it needs of memory and system calls kept low: it
 * gives back the buffers of a connection that is idle, reads a record with one recv, and sends no
 * tickets. */
#include "floor.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

static SSL_CTX *context; /* NULL: no TLS */
static SSL *secured[MAX_FDS];

void secure_all(const char *cert, const char *key)
{
    context = SSL_CTX_new(TLS_server_method());
    if (context == NULL || SSL_CTX_use_certificate_chain_file(context, cert) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1)
        die("the certificate cannot be used");
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_num_tickets(context, 0);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
}

void open_bytes(int fd)
{
    if (context == NULL)
        return;
    secured[fd] = SSL_new(context);
    if (secured[fd] == NULL || SSL_set_fd(secured[fd], fd) != 1)
        die("no memory for TLS");
    SSL_set_accept_state(secured[fd]);
}

void close_bytes(int fd)
{
    SSL_free(secured[fd]);
    secured[fd] = NULL;
    close(fd);
}

ssize_t receive_bytes(int fd, void *bytes, size_t cap)
{
    size_t count;
    if (secured[fd] == NULL)
        return recv(fd, bytes, cap, 0);
    int result = SSL_read_ex(secured[fd], bytes, cap, &count);
    if (result == 1)
        return (ssize_t)count;
    errno = EAGAIN;
    return SSL_get_error(secured[fd], result) == SSL_ERROR_WANT_READ ? -1 : 0;
}

bool send_bytes(int fd, const void *bytes, size_t len)
{
    size_t count;
    if (secured[fd] == NULL)
        return send(fd, bytes, len, MSG_NOSIGNAL) == (ssize_t)len;
    return SSL_write_ex(secured[fd], bytes, len, &count) == 1;
}

bool has_more_bytes(int fd)
{
    return secured[fd] != NULL && SSL_has_pending(secured[fd]) == 1;
}
