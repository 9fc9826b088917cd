#include "tests/support/port_client.h"

#include "gateway/http/http_conns.h"
#include "gateway/identity/auth.h"
#include "gateway/port/port_routes.h"
#include "tests/support/node_fixture.h"
#include "tests/support/plain_port.h"

#include <criterion/criterion.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 100 };

static struct http_port port;
static struct http_conns http_conns;
static int sockets[CONNECTIONS_MAX];
static unsigned n_sockets;

void port_client_identify_anew(void)
{
    char why[300] = "";
    auth_close(fixture.node.auth);
    cr_assert_eq(auth_open(&fixture.options, &fixture.node.auth, why, sizeof why), ERR_OK, "%s",
                 why);
}

void port_client_start(void)
{
    node_fixture_start();
    port_client_identify_anew();
    plain_port_init(&port, &fixture.node, port_routes_serve);
    http_conns_init(&http_conns, &port);
}

void port_client_stop(void)
{
    http_conns_drop_all(&http_conns);
    node_fixture_stop();
    while (n_sockets > 0)
        close(sockets[--n_sockets]);
}

static int send_request(const char *request, bool is_last)
{
    int ends[2];
    size_t len = strlen(request);
    cr_assert_lt(n_sockets, CONNECTIONS_MAX);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    sockets[n_sockets++] = ends[1];
    atomic_fetch_add(&fixture.node.n_sockets, 1);
    cr_assert_eq(http_conn_new(fixture.worker, ends[0], NULL, &(struct ip){0},
                               worker_now_ms(fixture.worker) + 10000, &http_conns),
                 ERR_OK);
    cr_assert_eq(send(ends[1], request, len, MSG_NOSIGNAL), (ssize_t)len);
    if (is_last)
        cr_assert_eq(shutdown(ends[1], SHUT_WR), 0);
    node_fixture_turn();
    return ends[1];
}

int port_client_send(const char *request)
{
    return send_request(request, false);
}

const char *port_client_read(int fd)
{
    static char text[1 << 18];
    ssize_t len = recv(fd, text, sizeof text - 1, 0);
    text[len > 0 ? len : 0] = '\0';
    return text;
}

const char *port_client_ask(const char *request)
{
    return port_client_read(port_client_send(request));
}

const char *port_client_ask_last(const char *request)
{
    return port_client_read(send_request(request, true));
}
