/* The life of a request. The happy path: the door begins it (admin/request_head), collects its
 * body, and an engine calls request_execute, which runs the route. The route either replies or
 * hands the request to the gateway. In the second case the route's `finish` writes the answer when
 * on_done has run: at once if that was inside the call, else the engine is told (on_answered).
 *
 * The failures: at the deadline, and when a stop waits no longer, `finish` is not called and the
 * answer is 503; what the gateway still writes goes into a request that nobody looks at any more.
 */
#include "admin/request.h"

#include "admin/service.h"
#include "gateway/base/log.h"
#include "gateway/base/metrics.h"
#include "gateway/http/http_conn.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const size_t max_answer_bytes = (size_t)64 << 20;
enum { SPARE_MAX_BYTES = 8192 }; /* a buffer that is kept for the next request */

static void on_deadline(struct timer *timer);

/* Memory */

static struct request *take_block(struct admin_worker *home)
{
    struct request *request = home->spare;
    home->spare = NULL;
    return request != NULL ? request : calloc(1, home->service->request_bytes);
}

/* The spare block is all zeros. The largest route's struct has many times the bytes of a push's:
 * only what the route of this request had is cleared. */
static void give_block(struct admin_worker *home, struct request *request)
{
    const struct route *route = request->match.route;
    if (home->spare != NULL) {
        free(request);
        return;
    }
    memset(request, 0, route != NULL ? route->action->request_bytes : sizeof *request);
    home->spare = request;
}

static void take_buffer(struct buf *spare, size_t max, struct buf *ret_buffer)
{
    *ret_buffer = *spare;
    ret_buffer->len = 0;
    ret_buffer->max = max;
    buf_init(spare, 0);
}

static void give_buffer(struct buf *spare, struct buf *buffer)
{
    if (spare->bytes != NULL || buffer->cap > SPARE_MAX_BYTES)
        buf_fini(buffer);
    else
        *spare = *buffer;
}

struct request *request_new(struct admin_worker *home, const struct request_engine *engine)
{
    struct request *request = take_block(home);
    if (request == NULL)
        return NULL;
    request->home = home;
    request->service = home->service;
    request->engine = engine;
    request->refs = 1;
    take_buffer(&home->spare_body, home->service->max_body_bytes, &request->body);
    take_buffer(&home->spare_out, max_answer_bytes, &request->out.buf);
    timer_init(&request->deadline, on_deadline);
    list_init(&request->turn);
    request->moved_ms = worker_now_ms(home->worker);
    list_append(&home->requests, &request->link);
    home->n_allocated++;
    home->n_requests++;
    return request;
}

static void free_request(struct request *request)
{
    struct admin_worker *home = request->home;
    const struct route *route = request->match.route;
    if (route != NULL && route->action->end != NULL)
        route->action->end(request);
    give_buffer(&home->spare_body, &request->body);
    give_buffer(&home->spare_out, &request->out.buf);
    if (request->account != NULL)
        budget_give_back(&home->purse, &request->account->memory, &request->charge);
    access_release(home->service->access, &home->view, request->keys);
    give_block(home, request);
    admin_worker_released(home);
}

void request_ref(struct request *request)
{
    request->refs++;
}

void request_unref(struct request *request)
{
    if (--request->refs == 0)
        free_request(request);
}

bool request_charge(struct request *request, size_t bytes)
{
    return budget_take(&request->home->purse, &request->account->memory,
                       access_is_shared(&request->home->view), bytes, &request->charge);
}

/* States */

static void set_deadline(struct request *request, int64_t after_ms)
{
    struct worker *worker = request->home->worker;
    worker_set_timer(worker, &request->deadline, worker_now_ms(worker) + after_ms);
}

static void cancel_deadline(struct request *request)
{
    if (timer_is_set(&request->deadline))
        worker_cancel_timer(request->home->worker, &request->deadline);
}

static bool takes_its_body(const struct request *request)
{
    const struct route *route = request->match.route;
    return route != NULL && route->action->take != NULL;
}

/* The gateway has answered, or the deadline has passed: sets `status`. */
static void finish_request(struct request *request)
{
    if (request->state == REQUEST_DONE || takes_its_body(request))
        request->match.route->action->finish(request);
    else
        request_refuse_with(request, ERR_STORE_UNAVAILABLE, NULL, PROBLEM_LATE_DETAIL);
}

static void run_route(struct request *request)
{
    if (request->refused != ERR_OK)
        request_refuse_with(request, request->refused, request->refused_field,
                            request->refused_detail);
    else if (service_is_stopping(request->service) && !takes_its_body(request))
        request_refuse_with(request, ERR_DRAINING, NULL, NULL);
    else
        request->match.route->action->run(request);
}

void request_mark_running(struct request *request)
{
    request->home->n_running += !request->is_running;
    request->is_running = true;
}

void request_find_head(struct request *request)
{
    if (request->conn == NULL)
        return;
    request->head = http_conn_head(request->conn);
    request->head_bytes = http_conn_bytes(request->conn).bytes;
}

bool request_execute(struct request *request)
{
    request_find_head(request);
    request->is_complete = true;
    request_mark_running(request);
    run_route(request);
    if (request->status != 0)
        return true;
    if (request->state == REQUEST_WORKING) {
        if (!request->home->has_given_up) {
            request->is_waiting = true;
            set_deadline(request, (int64_t)request->wait_ms + REQUEST_DEADLINE_MS);
            return false;
        }
        request->state = REQUEST_OVERDUE;
    }
    finish_request(request);
    return true;
}

static void answer_waiting(struct request *request)
{
    request->is_waiting = false;
    cancel_deadline(request);
    if (request->has_ended)
        return;
    finish_request(request);
    request->engine->on_answered(request);
}

void request_hand_over(struct request *request)
{
    request_ref(request);
    request->state = REQUEST_WORKING;
}

static void take_answer(struct request *request)
{
    if (request->state != REQUEST_OVERDUE)
        request->state = REQUEST_DONE;
    if (request->is_waiting)
        answer_waiting(request);
    request_unref(request);
}

static void on_answer_letter(struct letter *letter)
{
    take_answer(CONTAINER_OF(letter, struct request, answered));
}

void request_done(struct request *request)
{
    struct worker *worker = request->home->worker;
    if (worker_is_here(worker))
        take_answer(request);
    else
        worker_post(worker, &request->answered, on_answer_letter);
}

void request_overdue(struct request *request)
{
    if (!request->is_waiting)
        return;
    request->state = REQUEST_OVERDUE;
    answer_waiting(request);
}

void request_pause(struct request *request)
{
    request->state = REQUEST_PAUSED;
    set_deadline(request, REQUEST_DEADLINE_MS);
}

void request_resume(struct request *request)
{
    if (request->state != REQUEST_PAUSED)
        return;
    request->state = REQUEST_READING;
    cancel_deadline(request);
    if (!request->has_ended)
        request->engine->on_room(request);
}

void request_resume_late(struct request *request)
{
    request->is_late |= request->state == REQUEST_PAUSED;
    request_resume(request);
}

static void on_deadline(struct timer *timer)
{
    struct request *request = CONTAINER_OF(timer, struct request, deadline);
    if (request->state == REQUEST_PAUSED)
        request_resume_late(request);
    else
        request_overdue(request);
}

void request_end(struct request *request)
{
    request->conn = NULL;
    request->has_ended = true;
    cancel_deadline(request);
    list_remove(&request->link);
    request->home->n_requests--;
    request->home->n_running -= request->is_running;
    request->is_running = false;
    request_unref(request);
}

static void abandon_request(struct request *request)
{
    const struct route *route = request->match.route;
    if (route != NULL && route->action->abandon != NULL)
        route->action->abandon(request);
}

void request_fail(struct request *request, enum err error, const char *detail)
{
    abandon_request(request);
    request_refuse_with(request, error, NULL, detail);
}

void request_give_up(struct request *request)
{
    if (request->give_up == NULL || request->state != REQUEST_WORKING)
        return;
    request->give_up(request);
    request->give_up = NULL; /* a client that sends no more may be found to have gone later */
}

void request_client_gone(struct request *request)
{
    request->conn = NULL;
    request_give_up(request);
    abandon_request(request);
    request_end(request);
}

/* The answer */

void request_answer_fields(const struct request *request,
                           void (*add)(void *closure, const char *name, const char *value),
                           void *closure)
{
    add(closure, "Content-Type", request->content_type);
    if (request->status == 405)
        add(closure, "Allow", request->match.allow);
    if (request->status == 503 || request->status == 429)
        add(closure, "Retry-After", "1");
    if (request->status == 401)
        add(closure, "WWW-Authenticate", "Bearer");
    if (request->is_encoded)
        add(closure, "Accept-Encoding", "identity");
}

ptrdiff_t request_read_answer(struct request *request, char *out, size_t cap)
{
    const struct buf *answer = &request->out.buf;
    size_t left = answer->len - request->n_sent;
    size_t len = left < cap ? left : cap;
    if (len > 0)
        memcpy(out, answer->bytes + request->n_sent, len);
    request->n_sent += len;
    return (ptrdiff_t)len;
}

void request_reply(struct request *request, unsigned status)
{
    if (request->out.has_failed) {
        request_refuse_with(request, ERR_NO_MEMORY, NULL, NULL);
        return;
    }
    request->status = status;
    if (request->content_type == NULL)
        request->content_type = "application/json";
}

/* splitmix64: request ids have to differ, not to be secret. */
static uint64_t next_id(struct admin_worker *home)
{
    uint64_t z = home->id_state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static void write_refusal(struct request *request, const struct problem *problem)
{
    char id[REQUEST_ID_LEN + 1];
    char refusal[STORE_PROBLEM_MAX_BYTES];
    struct problem whole = *problem;
    if (whole.error == ERR_STORE_UNAVAILABLE && whole.detail == NULL) {
        gateway_store_refusal(request->service->node, refusal);
        whole.detail = refusal;
    }
    snprintf(id, sizeof id, "%016" PRIx64, next_id(request->home));
    whole.request_id = id;
    json_out_fini(&request->out);
    json_out_init(&request->out, max_answer_bytes);
    problem_write(&request->out, &whole);
    request->status = problem_status(problem->error);
    request->content_type = PROBLEM_CONTENT_TYPE;
    metrics_count(METRIC_ADMIN_REFUSED);
    log_event(LOG_DEBUG, "admin request refused", LOG_TEXT("request", id),
              LOG_INT("status", request->status),
              LOG_TEXT("detail", whole.detail == NULL ? "" : whole.detail));
}

void request_refuse_with(struct request *request, enum err error, const char *field,
                         const char *detail)
{
    struct problem problem = {.error = error, .field = field, .detail = detail};
    write_refusal(request, &problem);
}

void request_refuse_json(struct request *request, const struct json_problem *problem)
{
    struct problem whole = problem_from_json(problem);
    write_refusal(request, &whole);
}
