/* A port that speaks HTTP: what all its connections share, on all workers. Each worker has an
 * acceptor of its own on the port's listening sockets (acceptor.h).
 *
 * The owner fills in the members that are marked `owner`, between http_port_init and acceptors_new
 * (acceptors.h); but for the atomics they are constant from then on. Connections are on their
 * worker's thread, and so are the callbacks. */
#ifndef HERALD_HTTP_PORT_H
#define HERALD_HTTP_PORT_H

#include "gateway/base/metrics.h"
#include "gateway/node/node.h"

struct acceptor;
struct http_conn;

/* Called once for each complete head, and once more when the turn of a deferred request has come
 * (http_conn_take_turn). It answers the request or releases the socket at once, or wants its body,
 * or calls http_conn_await and does one of these later, on the same thread (http_conn.h). */
typedef void http_request_fn(struct http_conn *http_conn);

/* May be changed while the port is open; a connection reads them when it needs them. */
struct http_limits {
    atomic_int_fast64_t head_timeout_ms;  /* from accepting, or the first byte, to the whole head */
    atomic_int_fast64_t idle_timeout_ms;  /* between two requests; answers tell it, in seconds */
    atomic_int_fast64_t stall_timeout_ms; /* a body or an answer that does not move */
    atomic_uint max_head;                 /* bytes; HTTP_HEAD_MAX_BYTES at most */
};

/* The kinds of HTTP connections (conn.h). Sessions are of kind 0: so a push is written to its
 * subscriber before it is answered, and neither port takes the turns of the other, or of sessions.
 */
enum { HTTP_KIND_SUBSCRIBERS = 1, HTTP_KIND_ADMIN = 2 };

struct http_port {
    struct node *node;
    struct acceptor **acceptors; /* by the worker's index; NULL: there are none */

    http_request_fn *on_request;            /* owner */
    struct listeners *listeners;            /* owner: closed when the port is closed */
    struct tls_context *tls;                /* owner; NULL: no TLS */
    struct peers *peers;                    /* owner; NULL: it knows no proxies, and no limits */
    struct http_limits limits;              /* owner */
    uint32_t max_sockets;                   /* owner */
    atomic_uint *n_sockets;                 /* owner: where they are counted */
    const atomic_bool *is_ending;           /* owner: answers end their connections from now on */
    enum metric accepted;                   /* owner: what to count */
    enum metric accept_errors;              /* owner */
    void (*count_refused)(unsigned status); /* owner: requests refused, by status */
    unsigned conn_kind;                     /* owner */
    bool (*is_open_path)(struct span path); /* owner: whatever its Host says; NULL: none is */
    void (*log_malformed)(const char *detail); /* owner: of a head, a constant; NULL: not logged */
    bool awaits_bytes;   /* owner: accepts a TCP connection with its first bytes, or 1 s later */
    bool heads_give_way; /* owner: at a full port, heads that are not complete make room */
    bool has_pages;      /* owner: pages ask here; what they are refused is logged for developers */
    bool is_uncounted;   /* owner: the bytes of its connections are not those of subscribers */

    atomic_int_fast64_t arrived_ms; /* monotonic: when the last connection was accepted */
};

static inline void http_port_init(struct http_port *port, struct node *node)
{
    *port = (struct http_port){.node = node};
}

#endif
