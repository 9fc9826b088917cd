/* The order of CONTRACT 2: a request that may not be made here is forbidden (403), then the path is
 * found (404), then the method (405); what follows is the route's own.
 *
 * Forbidden are requests of pages whose origin is not allowed. With --auth none or --demo, anybody
 * who reaches the port may read and push, so requests through a proxy and to a Host that is not
 * this machine's are forbidden as well: a page on a rebound name would pass as the developer's own.
 * Only the routes of the node's health are open to every host and page. */
#include "gateway/port/port_routes.h"

#include "gateway/identity/auth.h"
#include "gateway/port/ack_route.h"
#include "gateway/port/demo.h"
#include "gateway/port/health_routes.h"
#include "gateway/port/message_route.h"
#include "gateway/port/subscribe.h"
#include "proto/http/authority.h"
#include "proto/http/forwarded.h"

#include <stdio.h>

enum {
    ORIGIN_LOGGED_MAX_BYTES = 300, /* a scheme, a name of 253 bytes, a port */
    ALLOWED_MAX_BYTES = 8192,      /* more than --cors-header can name */
};

/* ---- what is forbidden ---- */

static bool is_origin_allowed(const struct node *node, struct span origin, struct span host)
{
    const struct option_list *allowed = &node->options->allowed_origin;
    bool is_allowed = origin_is_host(origin, host, node->port->tls != NULL);
    for (size_t i = 0; i < allowed->n && !is_allowed; i++)
        is_allowed = origin_is_allowed(origin, span_of(allowed->values[i]));
    return is_allowed;
}

static void forbid_request(struct http_conn *http_conn, enum refusal_cause cause,
                           const char *advice)
{
    char detail[ORIGIN_LOGGED_MAX_BYTES + 200];
    struct refusal_subject subject;
    http_conn_subject(http_conn, &subject);
    refusals_log_request(cause, &subject, advice);
    snprintf(detail, sizeof detail, "%s%s%s%s", refusal_cause_text(cause),
             advice[0] == '\0' ? "" : " (", advice, advice[0] == '\0' ? "" : " allows it)");
    http_conn_refuse(http_conn, ERR_FORBIDDEN, detail, NULL, NULL);
}

/* By the developer of this machine, where that matters (CONTRACT section 1). */
static bool is_local_enough(struct http_conn *http_conn, enum refusal_cause *ret_cause)
{
    const struct node *node = http_conn_node(http_conn);
    const struct http_head *head = http_conn_head(http_conn);
    if (node->options->insecure || (auth_kind(node->auth) != AUTH_NONE && !node->options->demo))
        return true;
    *ret_cause = REFUSAL_PROXY;
    if (forwarded_has_sign(head, http_conn_bytes(http_conn).bytes) ||
        peer_is_proxied(http_conn_peer(http_conn)))
        return false;
    *ret_cause = REFUSAL_HOST;
    return authority_is_loopback(http_conn_part(http_conn, head->host));
}

/* With the option that allows the origin's pages as advice, unless the option would refuse it. */
static void forbid_origin(struct http_conn *http_conn, struct span origin)
{
    char advice[ORIGIN_LOGGED_MAX_BYTES + 20];
    char text[ORIGIN_LOGGED_MAX_BYTES];
    snprintf(text, sizeof text, "%.*s", (int)origin.len, origin.bytes);
    bool is_one = origin.len < sizeof text && strchr(text, '*') == NULL;
    if (!is_one || !origin_pattern_is_valid(text)) {
        forbid_request(http_conn, REFUSAL_ODD_ORIGIN, "");
        return;
    }
    snprintf(advice, sizeof advice, "--allowed-origin %s", text);
    forbid_request(http_conn, origin_is_loopback(origin) ? REFUSAL_LOCAL_ORIGIN : REFUSAL_ORIGIN,
                   advice);
}

/* A foreign Origin is never allowed (CONTRACT section 2). false: the request is refused. */
static bool is_allowed_request(struct http_conn *http_conn)
{
    const struct http_head *head = http_conn_head(http_conn);
    struct span origin = {0};
    enum refusal_cause cause;
    bool has_origin = http_conn_find_field(http_conn, "Origin", &origin);
    if (!is_local_enough(http_conn, &cause))
        forbid_request(http_conn, cause, "--insecure");
    else if (http_conn_count_fields(http_conn, "Origin") > 1)
        forbid_request(http_conn, REFUSAL_TWO_ORIGINS, "");
    else if (has_origin && !is_origin_allowed(http_conn_node(http_conn), origin,
                                              http_conn_part(http_conn, head->host)))
        forbid_origin(http_conn, origin);
    else
        return true;
    return false;
}

/* ---- routes ---- */

static void serve_ws(struct http_conn *http_conn, struct span method)
{
    if (http_conn_head(http_conn)->is_1_0)
        http_conn_refuse(http_conn, ERR_HTTP_VERSION,
                         "a WebSocket needs HTTP/1.1: let the proxy in front speak it, and pass on "
                         "Upgrade and Connection",
                         NULL, NULL);
    else if (span_equal(method, SPAN_LITERAL("GET")))
        subscribe_socket(http_conn);
    else
        http_conn_refuse(http_conn, ERR_METHOD_NOT_ALLOWED, NULL, NULL, "GET");
}

/* The preflight of the Fetch standard: a page asks before it sends what a form could not. */
static void answer_options(struct http_conn *http_conn, const char *methods)
{
    http_conn_keep(http_conn); /* for the request that follows it */
    const struct option_list *more = &http_conn_node(http_conn)->options->cors_header;
    struct buf headers;
    buf_init(&headers, ALLOWED_MAX_BYTES);
    enum err error =
        buf_printf(&headers,
                   "Allow: %s\r\n"
                   "Access-Control-Allow-Methods: %s\r\n"
                   "Access-Control-Max-Age: 600\r\n"
                   "Access-Control-Allow-Headers: Authorization, Content-Type, Last-Event-ID",
                   methods, methods);
    for (size_t i = 0; i < more->n && error == ERR_OK; i++)
        error = buf_printf(&headers, ", %s", more->values[i]);
    if (error == ERR_OK)
        error = buf_append(&headers, "\r\n", 3); /* with its NUL: http_answer takes a text */
    if (error == ERR_OK)
        http_conn_answer(http_conn, 204, NULL, headers.bytes, (struct span){0});
    else
        http_conn_refuse(http_conn, error, NULL, NULL, NULL);
    buf_fini(&headers);
}

/* An image, a script or a link of another site's page sends no Origin, but the user's cookies. It
 * could not read the stream, but would acknowledge what the user then never sees. Browsers name the
 * site of the page in the Fetch Metadata headers. */
static bool is_of_foreign_page(struct http_conn *http_conn)
{
    struct span origin;
    struct span site;
    return !http_conn_find_field(http_conn, "Origin", &origin) &&
           http_conn_find_field(http_conn, "Sec-Fetch-Site", &site) &&
           !span_equal(site, SPAN_LITERAL("same-origin")) &&
           !span_equal(site, SPAN_LITERAL("none"));
}

static void serve_sse(struct http_conn *http_conn, struct span method)
{
    http_conn_let_read(http_conn);
    if (is_of_foreign_page(http_conn))
        forbid_request(http_conn, REFUSAL_SITE,
                       "asking with EventSource or fetch, and --allowed-origin for its page");
    else if (span_equal(method, SPAN_LITERAL("GET")))
        subscribe_stream(http_conn);
    else if (span_equal(method, SPAN_LITERAL("OPTIONS")))
        answer_options(http_conn, "GET, OPTIONS");
    else
        http_conn_refuse(http_conn, ERR_METHOD_NOT_ALLOWED, NULL, NULL, "GET, OPTIONS");
}

static void serve_ack(struct http_conn *http_conn, struct span method)
{
    http_conn_keep(http_conn);
    http_conn_let_read(http_conn);
    if (span_equal(method, SPAN_LITERAL("POST")))
        ack_route_serve(http_conn);
    else if (span_equal(method, SPAN_LITERAL("OPTIONS")))
        answer_options(http_conn, "POST, OPTIONS");
    else
        http_conn_refuse(http_conn, ERR_METHOD_NOT_ALLOWED, NULL, NULL, "POST, OPTIONS");
}

static void serve_message(struct http_conn *http_conn, struct span method)
{
    bool takes_messages = http_conn_node(http_conn)->take_message != NULL;
    http_conn_keep(http_conn);
    http_conn_let_read(http_conn);
    if (!takes_messages)
        http_conn_refuse(http_conn, ERR_NOT_FOUND,
                         "this server takes no messages from clients (--client-messages)", NULL,
                         NULL);
    else if (span_equal(method, SPAN_LITERAL("POST")))
        message_route_serve(http_conn);
    else if (span_equal(method, SPAN_LITERAL("OPTIONS")))
        answer_options(http_conn, "POST, OPTIONS");
    else
        http_conn_refuse(http_conn, ERR_METHOD_NOT_ALLOWED, NULL, NULL, "POST, OPTIONS");
}

enum route_kind {
    ROUTE_USUAL,
    ROUTE_OPEN, /* to every host and page */
    ROUTE_DEMO, /* with --demo alone */
};

static const struct port_route {
    const char *path;
    /* `method` lies among http_conn_bytes. */
    void (*serve)(struct http_conn *http_conn, struct span method);
    enum route_kind kind;
} routes[] = {
    {"/livez", health_serve_livez, ROUTE_OPEN},
    {"/readyz", health_serve_readyz, ROUTE_OPEN},
    {"/ws", serve_ws, ROUTE_USUAL},
    {"/getPushNews", serve_ws, ROUTE_USUAL},
    {"/sse", serve_sse, ROUTE_USUAL},
    {"/ack", serve_ack, ROUTE_USUAL},
    {"/message", serve_message, ROUTE_USUAL},
    {"/", demo_serve_page, ROUTE_DEMO},
    {"/demo/page.css", demo_serve_style, ROUTE_DEMO},
    {"/demo/page.js", demo_serve_script, ROUTE_DEMO},
    {"/demo/facts", demo_serve_facts, ROUTE_DEMO},
    {"/demo/push", demo_serve_push, ROUTE_DEMO},
};

/* NULL: there is none of that path. */
static const struct port_route *find_route(struct span path)
{
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        if (span_equal(path, span_of(routes[i].path)))
            return &routes[i];
    }
    return NULL;
}

bool port_routes_is_open(struct span path)
{
    const struct port_route *route = find_route(path);
    return route != NULL && route->kind == ROUTE_OPEN;
}

void port_routes_serve(struct http_conn *http_conn)
{
    const struct port_route *route =
        find_route(http_conn_part(http_conn, http_conn_head(http_conn)->path));
    if (route != NULL && route->kind == ROUTE_DEMO && !http_conn_node(http_conn)->options->demo)
        route = NULL;
    if ((route == NULL || route->kind != ROUTE_OPEN) && !is_allowed_request(http_conn))
        return;
    if (route != NULL)
        route->serve(http_conn, http_conn_part(http_conn, http_conn_head(http_conn)->method));
    else
        http_conn_refuse(http_conn, ERR_NOT_FOUND,
                         "WebSockets are at /ws?userId=ID, event streams at /sse?userId=ID; pushes "
                         "go to --admin-listen",
                         NULL, NULL);
}
