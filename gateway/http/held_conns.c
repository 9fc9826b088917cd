#include "gateway/http/held_conns.h"

#include "gateway/http/proxy_conn.h"
#include "gateway/net/listener.h"

#include <stdlib.h>
#include <unistd.h>

struct held_conn {
    struct list link;
    int fd;
    struct peer *peer;
    struct ip from; /* all zero: a unix socket */
    struct carried_http carried;
    uint8_t bytes[]; /* carried.bytes */
};

static enum err adopt_peer(struct http_port *port, const struct carried_http *carried,
                           const struct peer_address *from, struct peer **ret_peer)
{
    *ret_peer = NULL;
    if (port->peers == NULL)
        return ERR_OK;
    enum err error =
        peer_adopt(port->peers, from->has_ip ? &from->ip : NULL, &carried->peer, ret_peer);
    if (error == ERR_OK && carried->state == CARRIED_HTTP_RESTING)
        peer_rest(*ret_peer);
    return error;
}

enum err held_conn_new(struct http_port *port, int fd, const struct carried_http *carried,
                       struct list *held)
{
    struct held_conn *conn = calloc(1, sizeof *conn + carried->bytes.len);
    if (conn == NULL)
        return ERR_NO_MEMORY;
    struct peer_address from = listener_peer_address(fd);
    enum err error = adopt_peer(port, carried, &from, &conn->peer);
    if (error != ERR_OK) {
        free(conn);
        return error;
    }
    conn->fd = fd;
    conn->from = from.ip;
    conn->carried = *carried;
    if (carried->bytes.len > 0)
        memcpy(conn->bytes, carried->bytes.bytes, carried->bytes.len);
    conn->carried.bytes = (struct span){(const char *)conn->bytes, carried->bytes.len};
    atomic_fetch_add(port->n_sockets, 1);
    list_append(held, &conn->link);
    return ERR_OK;
}

static void drop_held(struct held_conn *conn, struct http_port *port)
{
    peer_leave(conn->peer);
    close(conn->fd);
    atomic_fetch_sub(port->n_sockets, 1);
    free(conn);
}

void held_conns_go(struct list *held, struct worker *worker, struct list *proxy_conns,
                   struct http_conns *http_conns)
{
    while (!list_is_empty(held)) {
        struct held_conn *conn = CONTAINER_OF(held->next, struct held_conn, link);
        list_remove(&conn->link);
        /* It is no proxy's any more if the options here do not trust it. */
        bool is_proxy = conn->carried.state == CARRIED_HTTP_PROXY && peer_is_unresolved(conn->peer);
        enum err error = is_proxy ? proxy_conn_new(worker, conn->fd, conn->peer,
                                                   conn->carried.waited_ms, proxy_conns, http_conns)
                                  : http_conn_adopt(worker, conn->fd, conn->peer, &conn->from,
                                                    &conn->carried, http_conns);
        if (error != ERR_OK)
            drop_held(conn, http_conns->port);
        else
            free(conn);
    }
}

void held_conns_drop_all(struct list *held, struct http_port *port)
{
    while (!list_is_empty(held)) {
        struct held_conn *conn = CONTAINER_OF(held->next, struct held_conn, link);
        list_remove(&conn->link);
        drop_held(conn, port);
    }
}
