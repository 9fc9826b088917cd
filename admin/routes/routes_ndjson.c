/* POST /push with application/x-ndjson: one push per line (CONTRACT section 3).
 *
 * The happy path: each piece of the body goes through the splitter, and each complete line is
 * parsed and given to the gateway at once, with a result that its on_done fills in. When the body
 * has ended and the last on_done has run, the results are written while the client reads them.
 *
 * A sender that is faster than the store is slowed down: with too many lines in flight the rest of
 * the piece is left to the door, and nothing more is read until half of the lines are answered. An
 * error in a line is reported in the result of that line. If the body breaks off, the request ends
 * without an answer: its complete lines were pushed, the unfinished one was not. During a stop, and
 * when the gateway does not answer in time, the lines that have not been given to the gateway are
 * refused.
 *
 * Lines are answered on any thread. The one that makes room, and the last one, send a letter to the
 * request's worker, unless they are answered there. */
#include "admin/request.h"
#include "admin/routes/actions.h"
#include "admin/routes/ndjson.h"
#include "admin/service.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

/* Lines that the gateway may have at once, and their bytes, before the sender has to wait. */
enum { IN_FLIGHT_MAX = 512, IN_FLIGHT_MAX_BYTES = 4 << 20 };

/* One push of many lines: its results, which of its lines the gateway has, and whether the sender
 * has to wait for them. `lock` guards the members after it; no function is called out to under it.
 */
struct ndjson_push {
    struct request request;
    /* the worker's thread only */
    bool is_begun;
    bool is_over;      /* ended by the problem in `last`: the rest of the body is discarded */
    enum err refused;  /* not ERR_OK: every further line is refused with it */
    size_t held_bytes; /* charged for the lines that the gateway has */
    size_t rest_bytes; /* charged for the line that is arriving */
    struct ndjson_splitter splitter;
    struct ndjson_results results;
    struct ndjson_result last; /* with is_over: of the first line that was not read */

    pthread_mutex_t lock;
    unsigned n_in_flight;
    size_t bytes_in_flight;
    bool is_paused; /* the line that makes room resumes the body */
    bool is_ended;  /* no more lines come: the last one finishes the request */
    bool is_posted; /* `letter` is on its way */
    struct letter letter;
};

static struct ndjson_push *ndjson_push_of(struct request *request)
{
    return CONTAINER_OF(request, struct ndjson_push, request);
}

/* One line that the gateway has. Its userIds and keys point into its own text. A line with a list
 * of users is kept for its result; a line with one user is freed as soon as it is answered. */
struct line_push {
    struct request *request;
    struct ndjson_result *result;
    size_t bytes;
    struct push_request parsed;
    struct gateway_target one; /* targets of a push to one user */
    struct gateway_push op;
    char text[];
};

static void refuse_line(struct request *request, struct ndjson_result *result,
                        const struct json_problem *problem)
{
    ndjson_result_refuse(result, problem, request_charge(request, sizeof *problem));
}

static void refuse_line_with(struct request *request, struct ndjson_result *result, enum err error,
                             const char *detail)
{
    struct json_problem problem = {.error = error};
    snprintf(problem.detail, sizeof problem.detail, "%s", detail);
    refuse_line(request, result, &problem);
}

/* What is in flight */

static bool is_in_flight_full(const struct ndjson_push *push, unsigned part)
{
    return push->n_in_flight >= IN_FLIGHT_MAX / part ||
           push->bytes_in_flight >= IN_FLIGHT_MAX_BYTES / part;
}

/* The budget is charged with the most bytes that were ever in flight. */
static bool charge_in_flight(struct request *request, size_t bytes)
{
    struct ndjson_push *push = ndjson_push_of(request);
    pthread_mutex_lock(&push->lock);
    size_t need = push->bytes_in_flight + bytes;
    pthread_mutex_unlock(&push->lock);
    if (need <= push->held_bytes)
        return true;
    if (!request_charge(request, need - push->held_bytes))
        return false;
    push->held_bytes = need;
    return true;
}

static void count_line_pushed(struct ndjson_push *push, size_t bytes)
{
    pthread_mutex_lock(&push->lock);
    push->n_in_flight++;
    push->bytes_in_flight += bytes;
    pthread_mutex_unlock(&push->lock);
}

/* Under the lock: is there something to do for the request's worker? */
static bool has_news(const struct ndjson_push *push)
{
    return (push->is_paused && !is_in_flight_full(push, 2)) ||
           (push->is_ended && push->n_in_flight == 0);
}

/* There is room again, or the last line is answered. */
static void take_news(struct ndjson_push *push)
{
    struct request *request = &push->request;
    pthread_mutex_lock(&push->lock);
    push->is_posted = false;
    bool has_room = push->is_paused && !is_in_flight_full(push, 2);
    bool is_last = push->is_ended && push->n_in_flight == 0;
    if (has_room)
        push->is_paused = false;
    if (is_last)
        push->is_ended = false; /* once */
    pthread_mutex_unlock(&push->lock);
    if (has_room)
        request_resume(request);
    if (is_last)
        request_done(request);
}

static void on_news_letter(struct letter *letter)
{
    take_news(CONTAINER_OF(letter, struct ndjson_push, letter));
}

static void count_line_answered(struct ndjson_push *push, size_t bytes)
{
    struct worker *worker = push->request.home->worker;
    pthread_mutex_lock(&push->lock);
    push->n_in_flight--;
    push->bytes_in_flight -= bytes;
    bool has_to_tell = has_news(push) && !push->is_posted;
    push->is_posted |= has_to_tell;
    pthread_mutex_unlock(&push->lock);
    if (has_to_tell)
        worker_post(worker, &push->letter, on_news_letter);
}

static void free_line(struct gateway_push *push)
{
    struct line_push *line = CONTAINER_OF(push, struct line_push, op);
    if (push->targets != &line->one)
        free(push->targets);
    push_request_fini(&line->parsed);
    free(line);
}

static void on_line_done(struct gateway_push *push)
{
    struct line_push *line = CONTAINER_OF(push, struct line_push, op);
    struct ndjson_push *of = ndjson_push_of(line->request);
    size_t bytes = line->bytes;
    if (line->parsed.is_list) {
        ndjson_result_take_list(line->result, push);
    } else {
        ndjson_result_take(line->result, push);
        free_line(push);
    }
    count_line_answered(of, bytes);
}

/* A line of the body */

static const struct json_problem budget_used_up = {.error = ERR_BUSY,
                                                   .detail = "too many large requests at once"};

/* The targets of a list, and the line with them, are held until the answer is written. */
static bool make_line_targets(struct request *request, struct line_push *line)
{
    size_t n = line->parsed.n_users;
    size_t list_bytes = n * (sizeof(struct gateway_target) + sizeof(struct span));
    line->op.targets = &line->one;
    line->op.n_targets = n;
    if (line->parsed.is_list) {
        line->bytes += list_bytes;
        line->op.targets =
            request_charge(request, line->bytes) ? calloc(n, sizeof(struct gateway_target)) : NULL;
    }
    for (size_t i = 0; i < n && line->op.targets != NULL; i++)
        line->op.targets[i].user_id = push_request_user(&line->parsed, i);
    return line->op.targets != NULL;
}

static void push_line(struct request *request, struct ndjson_result *result, struct span text)
{
    struct json_problem problem;
    size_t bytes = sizeof(struct line_push) + text.len;
    struct line_push *line = charge_in_flight(request, bytes) ? malloc(bytes) : NULL;
    if (line == NULL) {
        refuse_line(request, result, &budget_used_up);
        return;
    }
    *line = (struct line_push){.request = request, .result = result, .bytes = bytes};
    memcpy(line->text, text.bytes, text.len);
    if (push_line_parse((struct span){line->text, text.len}, &request->service->limits,
                        &line->parsed, &problem) != ERR_OK) {
        refuse_line(request, result, &problem);
        free(line);
        return;
    }
    line->op = (struct gateway_push){.on_done = on_line_done,
                                     .data = line->parsed.data,
                                     .ttl_s = line->parsed.ttl_s,
                                     .collapse_key = line->parsed.collapse_key,
                                     .idempotency_key = line->parsed.idempotency_key};
    if (!make_line_targets(request, line)) {
        refuse_line(request, result, &budget_used_up);
        free_line(&line->op);
        return;
    }
    count_line_pushed(ndjson_push_of(request), line->bytes);
    gateway_push(request->service->node, &line->op);
}

/* For the first line that is not read; the lines after it have no result. */
static void end_push_with(struct request *request, uint32_t number, enum err error,
                          const char *detail)
{
    struct ndjson_push *push = ndjson_push_of(request);
    push->is_over = true;
    push->last.line = number;
    refuse_line_with(request, &push->last, error, detail);
}

static struct ndjson_result *add_line_result(struct request *request, uint32_t number)
{
    struct ndjson_push *push = ndjson_push_of(request);
    struct ndjson_result *result = NULL;
    if (push->results.n == NDJSON_LINES_MAX) {
        end_push_with(request, number, ERR_TOO_LARGE, "at most 100000 lines are taken at once");
        return NULL;
    }
    if (request_charge(request, ndjson_results_need(&push->results)))
        result = ndjson_results_add(&push->results, number);
    if (result == NULL)
        end_push_with(request, number, ERR_BUSY,
                      "too many large requests at once: this line and "
                      "those behind it were not pushed");
    return result;
}

static void take_line(struct request *request, const struct ndjson_line *line)
{
    struct ndjson_push *push = ndjson_push_of(request);
    struct ndjson_result *result = add_line_result(request, line->number);
    if (result == NULL)
        return;
    if (push->refused == ERR_OK && service_is_stopping(request->service))
        push->refused = ERR_DRAINING;
    if (line->error == ERR_TOO_LARGE)
        refuse_line_with(request, result, ERR_TOO_LARGE, "the line is longer than --max-body");
    else if (line->error != ERR_OK || push->refused != ERR_OK)
        refuse_line_with(request, result, line->error != ERR_OK ? line->error : push->refused,
                         "this line was not pushed");
    else
        push_line(request, result, line->text);
}

/* The body while it arrives */

/* false: the rest comes again when there is room, or too late. */
static bool has_room_for_line(struct request *request)
{
    struct ndjson_push *push = ndjson_push_of(request);
    pthread_mutex_lock(&push->lock);
    push->is_paused = is_in_flight_full(push, 1) && push->refused == ERR_OK;
    bool has_room = !push->is_paused;
    pthread_mutex_unlock(&push->lock);
    if (!has_room)
        request_pause(request);
    return has_room;
}

/* The deadline of a pause has passed. */
static void refuse_rest_if_late(struct request *request)
{
    struct ndjson_push *push = ndjson_push_of(request);
    if (!request->is_late)
        return;
    request->is_late = false;
    pthread_mutex_lock(&push->lock);
    push->is_paused = false;
    pthread_mutex_unlock(&push->lock);
    push->refused = service_is_stopping(request->service) ? ERR_DRAINING : ERR_STORE_UNAVAILABLE;
}

/* Charges the growth of the splitter's memory. */
static void charge_splitter(struct request *request)
{
    struct ndjson_push *push = ndjson_push_of(request);
    size_t cap = push->splitter.rest.cap;
    if (cap <= push->rest_bytes)
        return;
    if (request_charge(request, cap - push->rest_bytes))
        push->rest_bytes = cap;
    else
        ndjson_drop(&push->splitter, ERR_BUSY);
}

static void take_ndjson_push(struct request *request, const char *bytes, size_t *inout_len)
{
    struct ndjson_push *push = ndjson_push_of(request);
    struct span left = {bytes, *inout_len};
    struct ndjson_line line;
    refuse_rest_if_late(request);
    while (left.len > 0 && !push->is_over) {
        if (!has_room_for_line(request)) {
            *inout_len = left.len;
            return;
        }
        if (ndjson_next(&push->splitter, &left, &line))
            take_line(request, &line);
        charge_splitter(request);
    }
    *inout_len = 0;
}

static void begin_ndjson_push(struct request *request)
{
    struct ndjson_push *push = ndjson_push_of(request);
    struct span key;
    if (request_header(request, "Idempotency-Key", &key) != 0) {
        request_refuse_head(request, ERR_INVALID_FIELD, "idempotencyKey",
                            "the lines have their own: Idempotency-Key is not for NDJSON");
        return;
    }
    ndjson_splitter_init(&push->splitter, request->service->max_body_bytes);
    pthread_mutex_init(&push->lock, NULL);
    push->is_begun = true;
}

/* The end of the body */

/* No more lines come. The request is the gateway's until the last one is answered. */
static void end_lines(struct request *request)
{
    struct ndjson_push *push = ndjson_push_of(request);
    request_hand_over(request);
    pthread_mutex_lock(&push->lock);
    push->is_ended = true;
    push->is_paused = false;
    bool is_done = push->n_in_flight == 0 && !push->is_posted;
    pthread_mutex_unlock(&push->lock);
    if (is_done)
        take_news(push);
}

/* A body that a stop has cut off has no last line. */
static void run_ndjson_push(struct request *request)
{
    struct ndjson_push *push = ndjson_push_of(request);
    struct ndjson_line line;
    if (!push->is_over && !request->is_cut && ndjson_last(&push->splitter, &line))
        take_line(request, &line);
    end_lines(request);
}

/* Without an answer, or while it was written. */
static void abandon_ndjson_push(struct request *request)
{
    if (ndjson_push_of(request)->is_begun && !request->is_complete)
        end_lines(request);
}

/* As many of the next results as fit. A line that does not fit is continued in the next piece. */
static ptrdiff_t read_results(struct request *request, char *out, size_t cap)
{
    struct ndjson_push *push = ndjson_push_of(request);
    struct buf *text = &request->out.buf;
    char refusal[STORE_PROBLEM_MAX_BYTES];
    gateway_store_refusal(request->service->node, refusal);
    while (text->len < cap && !request->out.has_failed) {
        struct ndjson_result *result = ndjson_results_read(&push->results);
        if (result == NULL && push->is_over) {
            result = &push->last;
            push->is_over = false;
        }
        if (result == NULL)
            break;
        ndjson_result_write(&request->out, result, refusal);
    }
    if (request->out.has_failed)
        return -1;
    size_t len = text->len < cap ? text->len : cap;
    if (len > 0)
        memcpy(out, text->bytes, len);
    buf_consume(text, len);
    return (ptrdiff_t)len;
}

static void finish_ndjson_push(struct request *request)
{
    request->content_type = "application/x-ndjson";
    request->read_more = read_results;
    request_reply(request, 200);
}

static void end_ndjson_push(struct request *request)
{
    struct ndjson_push *push = ndjson_push_of(request);
    if (!push->is_begun)
        return;
    ndjson_splitter_fini(&push->splitter);
    ndjson_results_fini(&push->results, free_line);
    if (push->last.is_problem)
        free(push->last.of.problem.text);
    pthread_mutex_destroy(&push->lock);
}

const struct route_action ndjson_push_action = {.request_bytes = sizeof(struct ndjson_push),
                                                .run = run_ndjson_push,
                                                .finish = finish_ndjson_push,
                                                .end = end_ndjson_push,
                                                .is_direct = true,
                                                .begin = begin_ndjson_push,
                                                .take = take_ndjson_push,
                                                .abandon = abandon_ndjson_push};
