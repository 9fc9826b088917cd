#include "gateway/port/demo.h"

#include "gateway/requests/push_result.h"
#include "gateway/requests/requests.h"
#include "proto/json/json_text.h"
#include "proto/note/push_json.h"

#include <stdlib.h>

/* What the page is made of. */
static const uint8_t page_html[] = {
#include "embedded/demo_page_html.inc"
};
static const uint8_t page_css[] = {
#include "embedded/demo_page_css.inc"
};
static const uint8_t page_js[] = {
#include "embedded/demo_page_js.inc"
};

/* The page loads nothing from other servers, runs no script but its own, and is shown in no frame.
 */
static const char page_policy[] =
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src "
    "data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"
    "Referrer-Policy: no-referrer\r\n";

/* false: it is refused (405). */
static bool has_method(struct http_conn *http_conn, struct span method, const char *allowed)
{
    if (span_equal(method, span_of(allowed)))
        return true;
    http_conn_refuse(http_conn, ERR_METHOD_NOT_ALLOWED, NULL, NULL, allowed);
    return false;
}

/* The page's push, on its way through the store and back to the HTTP connection's worker. */
struct demo_push {
    struct gateway_push push;
    struct gateway_target target;
    struct letter letter;
    struct http_conn *http_conn;
    struct worker *worker;
    struct push_request request;
};

static void on_push_answer(struct letter *letter)
{
    struct demo_push *demo = CONTAINER_OF(letter, struct demo_push, letter);
    const struct gateway_target *target = &demo->target;
    if (http_conn_is_gone(demo->http_conn)) {
        /* the peer has gone */
    } else if (target->error != ERR_OK) {
        http_conn_refuse(demo->http_conn, target->error, NULL, NULL, NULL);
    } else {
        char body[PUSH_RESULT_MAX_BYTES + 2] = "{";
        char *end = push_result_put(body + 1, &demo->push, target);
        *end++ = '}';
        http_conn_answer(demo->http_conn, push_result_status(&demo->push), "application/json", NULL,
                         (struct span){body, (size_t)(end - body)});
    }
    http_conn_unpin(demo->http_conn);
    push_request_fini(&demo->request);
    free(demo);
}

static void on_pushed(struct gateway_push *push)
{
    struct demo_push *demo = CONTAINER_OF(push, struct demo_push, push);
    worker_post(demo->worker, &demo->letter, on_push_answer);
}

static void on_push_body(struct http_conn *http_conn, struct span body)
{
    struct worker *worker = http_conn_worker(http_conn);
    const struct options *options = worker->node->options;
    struct push_limits limits = {.max_data_bytes = (size_t)options->max_data,
                                 .default_ttl_s = (uint32_t)(options->default_ttl / 1000)};
    struct json_problem problem;
    struct demo_push *demo = calloc(1, sizeof *demo);
    if (demo == NULL) {
        http_conn_refuse(http_conn, ERR_NO_MEMORY, NULL, NULL, NULL);
        return;
    }
    enum err error = push_request_parse(body, &limits, &demo->request, &problem);
    if (error != ERR_OK || demo->request.n_users != 1) {
        http_conn_refuse(http_conn, error != ERR_OK ? error : ERR_INVALID_FIELD,
                         error != ERR_OK ? "userId, data and ttl are taken"
                                         : "one userId is taken here",
                         error != ERR_OK && problem.field[0] != '\0' ? problem.field : NULL, NULL);
        push_request_fini(&demo->request);
        free(demo);
        return;
    }
    demo->http_conn = http_conn;
    demo->worker = worker;
    demo->target.user_id = push_request_user(&demo->request, 0);
    demo->push = (struct gateway_push){.on_done = on_pushed,
                                       .data = demo->request.data,
                                       .ttl_s = demo->request.ttl_s,
                                       .n_targets = 1,
                                       .targets = &demo->target};
    http_conn_pin(http_conn);
    gateway_push(worker->node, &demo->push);
}

void demo_serve_push(struct http_conn *http_conn, struct span method)
{
    const struct http_head *head = http_conn_head(http_conn);
    const char *bytes = http_conn_bytes(http_conn).bytes;
    size_t max = (size_t)http_conn_node(http_conn)->options->max_data + 1024;
    size_t len;
    if (!has_method(http_conn, method, "POST"))
        return;
    if (!http_head_is_json(head, bytes))
        http_conn_refuse(http_conn, ERR_UNSUPPORTED_MEDIA_TYPE, "application/json is taken", NULL,
                         NULL);
    else if (http_conn_count_fields(http_conn, "Content-Length") == 0 ||
             !http_head_body_len(head, bytes, max, &len))
        http_conn_refuse(http_conn, ERR_TOO_LARGE, "a Content-Length within the limit is needed",
                         NULL, NULL);
    else
        http_conn_want_body(http_conn, len, on_push_body);
}

void demo_serve_facts(struct http_conn *http_conn, struct span method)
{
    if (!has_method(http_conn, method, "GET"))
        return;
    const struct options *options = http_conn_node(http_conn)->options;
    struct buf body;
    buf_init(&body, 16384);
    enum err error = buf_append_text(&body, "{\"adminListen\":");
    if (error == ERR_OK)
        error = json_text_string(&body, span_of(options->admin_listen));
    if (error == ERR_OK)
        error = buf_printf(&body,
                           ",\"adminTls\":%s,\"adminKeys\":%s,\"events\":%s,"
                           "\"clientMessages\":\"%s\"}",
                           options->admin_tls_cert[0] != '\0' ? "true" : "false",
                           options->admin_keys[0] != '\0' ? "true" : "false",
                           options->events.n > 0 ? "true" : "false", options->client_messages);
    if (error == ERR_OK)
        http_conn_answer(http_conn, 200, "application/json", page_policy, buf_span(&body));
    else
        http_conn_refuse(http_conn, error, NULL, NULL, NULL);
    buf_fini(&body);
}

/* `content` ends with a NUL that is not sent. */
static void answer_file(struct http_conn *http_conn, struct span method, const char *type,
                        const uint8_t *content, size_t size)
{
    if (has_method(http_conn, method, "GET"))
        http_conn_answer(http_conn, 200, type, page_policy,
                         (struct span){(const char *)content, size - 1});
}

void demo_serve_page(struct http_conn *http_conn, struct span method)
{
    answer_file(http_conn, method, "text/html; charset=utf-8", page_html, sizeof page_html);
}

void demo_serve_style(struct http_conn *http_conn, struct span method)
{
    answer_file(http_conn, method, "text/css; charset=utf-8", page_css, sizeof page_css);
}

void demo_serve_script(struct http_conn *http_conn, struct span method)
{
    answer_file(http_conn, method, "text/javascript; charset=utf-8", page_js, sizeof page_js);
}
