/* Connections over TCP, with OpenSSL on them if --tls asks for it. No certificate is verified: what
 * is measured is the server. */
#include "load.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int open_socket(uint32_t source)
{
    const struct sockaddr_in from = {.sin_family = AF_INET,
                                     .sin_addr.s_addr = htonl(INADDR_LOOPBACK + source)};
    /* The end resets the connection: no port waits for minutes to be used again. */
    const struct linger linger = {.l_onoff = 1};
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger) != 0)
        die("cannot open a socket: %s", strerror(errno));
    if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one) != 0 ||
        bind(fd, (const struct sockaddr *)&from, sizeof from) != 0)
        die("cannot bind to a loopback address: %s", strerror(errno));
    return fd;
}

/* Thousands of connections share the memory of this process: their buffers go when they are idle.
 */
static SSL_CTX *tls_context(void)
{
    static SSL_CTX *context;
    if (!context) {
        context = SSL_CTX_new(TLS_client_method());
        if (!context)
            die("no TLS");
        SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
        SSL_CTX_set_read_ahead(context, 1);
    }
    return context;
}

bool conn_start(struct conn *conn, const struct sockaddr_in *to, uint32_t source)
{
    conn->fd = open_socket(source);
    conn->tls = options.tls ? SSL_new(tls_context()) : NULL;
    if (conn->tls)
        SSL_set_connect_state(conn->tls);
    if (options.tls && (!conn->tls || SSL_set_fd(conn->tls, conn->fd) != 1))
        die("no memory for TLS");
    if (connect(conn->fd, (const struct sockaddr *)to, sizeof *to) == 0)
        return true;
    if (errno != EINPROGRESS)
        die("cannot connect: %s", strerror(errno));
    return false;
}

/* The error of a call of OpenSSL as that of a system call. */
static ssize_t fail(const struct conn *conn, int result)
{
    int error = SSL_get_error(conn->tls, result);
    if (error == SSL_ERROR_ZERO_RETURN)
        return 0;
    errno = error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? EAGAIN : ECONNRESET;
    return -1;
}

bool conn_secure(const struct conn *conn)
{
    if (!conn->tls)
        return true;
    int result = SSL_do_handshake(conn->tls);
    if (result != 1 && (fail(conn, result) == 0 || errno != EAGAIN))
        die("a TLS handshake has failed");
    return result == 1;
}

ssize_t conn_send(const struct conn *conn, const void *bytes, size_t length)
{
    size_t count;
    if (!conn->tls)
        return send(conn->fd, bytes, length, MSG_NOSIGNAL);
    int result = SSL_write_ex(conn->tls, bytes, length, &count);
    return result == 1 ? (ssize_t)count : fail(conn, result);
}

ssize_t conn_recv(const struct conn *conn, void *bytes, size_t cap)
{
    size_t count;
    if (!conn->tls)
        return recv(conn->fd, bytes, cap, 0);
    int result = SSL_read_ex(conn->tls, bytes, cap, &count);
    return result == 1 ? (ssize_t)count : fail(conn, result);
}

bool conn_has_more(const struct conn *conn)
{
    return conn->tls && SSL_has_pending(conn->tls) == 1;
}

void conn_close(struct conn *conn)
{
    SSL_free(conn->tls);
    close(conn->fd);
    *conn = (struct conn){.fd = -1};
}
