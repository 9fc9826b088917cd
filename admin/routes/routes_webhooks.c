/* GET /webhooks and POST /webhooks/NAME/test. Both are answered by the webhooks' own thread: the
 * list also while the store is away, then without its lags; the test when the endpoint has
 * answered, or its time is over. */
#include "admin/request.h"
#include "admin/routes/actions.h"
#include "admin/service.h"
#include "gateway/events/webhook_requests.h"
#include "proto/bytes/utf8.h"
#include "proto/json/json_members.h"

#include <inttypes.h>
#include <stdlib.h>

/* ---- GET /webhooks ---- */

/* Too large for the struct of a request, which every request is allocated with (admin/route.h). */
struct list_work {
    struct webhooks_list op;
    struct request *request;
};

struct webhooks_call {
    struct request request;
    struct list_work *work;
};

static struct webhooks_call *list_of(struct request *request)
{
    return CONTAINER_OF(request, struct webhooks_call, request);
}

static void on_webhooks_done(struct webhooks_list *list)
{
    request_done(CONTAINER_OF(list, struct list_work, op)->request);
}

static void run_webhooks(struct request *request)
{
    struct list_work *work = calloc(1, sizeof *work);
    list_of(request)->work = work;
    if (work == NULL) {
        request_refuse_with(request, ERR_NO_MEMORY, NULL, NULL);
        return;
    }
    work->request = request;
    work->op.on_done = on_webhooks_done;
    request_hand_over(request);
    webhooks_list(request->service->node, &work->op);
}

/* A number, or null where there is none. */
static void write_number(struct json_out *out, const char *name, int64_t number)
{
    if (number == 0)
        json_out_printf(out, ",\"%s\":null", name);
    else
        json_out_printf(out, ",\"%s\":%" PRId64, name, number);
}

static void write_text(struct json_out *out, const char *name, const char *text)
{
    json_out_printf(out, ",\"%s\":", name);
    if (text[0] == '\0')
        json_out_text(out, "null");
    else
        json_out_string(out, span_of(text));
}

static void write_lag(struct json_out *out, const struct webhook_shown *shown, bool is_known)
{
    if (is_known)
        json_out_printf(out, ",\"lag\":%" PRIu64 ",\"lagSeconds\":%" PRId64, shown->lag,
                        shown->lag_ms / 1000);
    else
        json_out_text(out, ",\"lag\":null,\"lagSeconds\":null");
}

static void write_webhook(struct json_out *out, const struct webhook_shown *shown, bool has_lag)
{
    json_out_text(out, "{\"name\":");
    json_out_string(out, span_of(shown->name));
    write_text(out, "origin", shown->origin);
    json_out_printf(out, ",\"state\":\"%s\"", webhook_state_text(shown->state));
    write_number(out, "lastStatus", shown->last_status);
    write_text(out, "lastError", shown->last_error);
    write_number(out, "lastAttempt", shown->last_ms);
    json_out_printf(out, ",\"failures\":%u", shown->failures);
    write_number(out, "nextAttempt", shown->next_attempt_ms);
    write_lag(out, shown, has_lag);
    json_out_printf(out, ",\"partitions\":%u}", shown->partitions);
}

static void finish_webhooks(struct request *request)
{
    const struct webhooks_list *list = &list_of(request)->work->op;
    struct json_out *out = &request->out;
    if (list->error != ERR_OK) {
        request_refuse_with(request, list->error, NULL, NULL);
        return;
    }
    json_out_text(out, "{\"webhooks\":[");
    for (size_t i = 0; i < list->n; i++) {
        json_out_text(out, i == 0 ? "" : ",");
        write_webhook(out, &list->shown[i], list->has_lags);
    }
    json_out_text(out, "]}");
    request_reply(request, 200);
}

static void end_webhooks(struct request *request)
{
    free(list_of(request)->work);
}

const struct route_action webhooks_action = {.request_bytes = sizeof(struct webhooks_call),
                                             .run = run_webhooks,
                                             .finish = finish_webhooks,
                                             .end = end_webhooks};

/* ---- POST /webhooks/NAME/test ---- */

struct test_work {
    struct webhook_test op;
    struct request *request;
    char name[WEBHOOK_SHOWN_NAME_BYTES];
};

struct webhook_test_request {
    struct request request;
    struct test_work *work;
};

static const char no_such_webhook[] = "there is no webhook of this name";

static struct webhook_test_request *test_of(struct request *request)
{
    return CONTAINER_OF(request, struct webhook_test_request, request);
}

static void on_test_done(struct webhook_test *test)
{
    request_done(CONTAINER_OF(test, struct test_work, op)->request);
}

static void run_webhook_test(struct request *request)
{
    static const char *const no_names[] = {NULL};
    struct json_members members = {.names = no_names};
    struct json_problem bad;
    struct span body = buf_span(&request->body);
    if (body.len > 0 && json_members_scan(body, &members, &bad) != ERR_OK) {
        request_refuse_json(request, &bad);
        return;
    }
    struct test_work *test = calloc(1, sizeof *test);
    test_of(request)->work = test;
    if (test == NULL) {
        request_refuse_with(request, ERR_NO_MEMORY, NULL, NULL);
        return;
    }
    if (!request_path_name(request, test->name, sizeof test->name, &test->op.name)) {
        request_refuse_with(request, ERR_NOT_FOUND, NULL, no_such_webhook);
        return;
    }
    test->request = request;
    test->op.on_done = on_test_done;
    request_hand_over(request);
    webhooks_test(request->service->node, &test->op);
}

/* The endpoint's body is shown if it is text. */
static void write_answer_body(struct json_out *out, const struct webhook_test *test)
{
    struct span body = {test->body, test->body_len};
    json_out_text(out, ",\"body\":");
    if (body.len > 0 && utf8_is_valid(body))
        json_out_string(out, body);
    else
        json_out_text(out, "null");
}

static void finish_webhook_test(struct request *request)
{
    const struct test_work *test = test_of(request)->work;
    struct json_out *out = &request->out;
    if (test->op.error != ERR_OK) {
        request_refuse_with(request, test->op.error, NULL,
                            test->op.error == ERR_NOT_FOUND ? no_such_webhook : NULL);
        return;
    }
    json_out_text(out, "{\"webhook\":");
    json_out_string(out, test->op.name);
    write_number(out, "status", test->op.status);
    write_text(out, "error", test->op.failure);
    json_out_printf(out, ",\"milliseconds\":%" PRId64, test->op.took_ms);
    write_answer_body(out, &test->op);
    json_out_text(out, "}");
    request_reply(request, 200);
}

static void end_webhook_test(struct request *request)
{
    free(test_of(request)->work);
}

const struct route_action webhook_test_action = {.request_bytes =
                                                     sizeof(struct webhook_test_request),
                                                 .run = run_webhook_test,
                                                 .finish = finish_webhook_test,
                                                 .end = end_webhook_test};
