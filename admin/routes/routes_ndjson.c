/* POST /push with application/x-ndjson: one push per line (CONTRACT section 3).
 *
 * The happy path: each piece of the body goes through the splitter, and each complete line is
 * parsed where it arrived and added to a batch (ndjson_batch), with a result that its answer fills
 * in. A batch that is full, and the last one of a piece, is given to the gateway. When the body has
 * ended and the last batch is answered, the results are written while the client reads them.
 *
 * A sender that is faster than the store is slowed down: with too many lines in flight the rest of
 * the piece is left to the door, and nothing more is read until half of the lines are answered. An
 * error in a line is reported in the result of that line. If the body breaks off, the request ends
 * without an answer: its complete lines were pushed, the unfinished one was not. During a stop, and
 * when the gateway does not answer in time, the lines that have not been given to the gateway are
 * refused.
 *
 * Lists with ttl 0 are sent on in the turns in which they are read, or, if they are long, in turns
 * after that. So after lists with GATEWAY_AT_ONCE users the next line waits until all are answered,
 * and for another turn: a user gets the lines in their order, and other users do not wait for all
 * of them.
 *
 * Batches are answered on any thread. The one that makes room, and the last one, send a letter to
 * the request's worker. A batch of the largest size is kept, to be filled anew. */
#include "admin/request.h"
#include "admin/routes/actions.h"
#include "admin/routes/ndjson_batch.h"
#include "admin/service.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

/* Lines that the gateway may have at once, and their bytes, before the sender has to wait. */
enum { IN_FLIGHT_MAX = 512, IN_FLIGHT_MAX_BYTES = 4 << 20 };

/* Of a batch where a piece of the body has few lines. */
enum { FEW_LINES = 8 };

/* What the gateway has: lines, their bytes, and these with the memory of their batches. */
struct in_flight {
    unsigned n_lines;
    size_t bytes;
    size_t memory;
};

/* One push of many lines: its results, which of its lines the gateway has, and whether the sender
 * has to wait for them. `lock` guards the members after it; no function is called out to under it.
 */
struct ndjson_push {
    struct request request;
    /* the worker's thread only */
    bool is_begun;
    bool is_over;          /* ended by the problem in `last`: the rest of the body is discarded */
    enum err refused;      /* not ERR_OK: every further line is refused with it */
    size_t held_bytes;     /* charged for the lines that the gateway has */
    size_t rest_bytes;     /* charged for the line that is arriving */
    struct in_flight most; /* is in flight, with the lines of `filling`: nothing is counted as
                            * answered before the lock is taken the next time */
    size_t n_listed; /* users of lists with ttl 0, since the last time that all was answered */
    struct ndjson_batch *filling; /* NULL outside of the calls that take the body */
    struct ndjson_splitter splitter;
    struct ndjson_results results;
    struct ndjson_result last; /* with is_over: of the first line that was not read */

    pthread_mutex_t lock;
    struct in_flight in_flight;
    struct ndjson_batch *spare;
    bool is_paused;     /* the line that makes room resumes the body */
    bool waits_for_all; /* there is room when all lines are answered */
    bool is_ended;      /* no more lines come: the last one finishes the request */
    bool is_posted;     /* `letter` is on its way */
    struct letter letter;
};

static struct ndjson_push *ndjson_push_of(struct request *request)
{
    return CONTAINER_OF(request, struct ndjson_push, request);
}

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

static bool is_full(const struct in_flight *in_flight, unsigned part)
{
    return in_flight->n_lines >= IN_FLIGHT_MAX / part ||
           in_flight->bytes >= IN_FLIGHT_MAX_BYTES / part;
}

static size_t memory_of(const struct ndjson_batch *batch)
{
    return batch->bytes + ndjson_batch_size(batch->cap);
}

/* The budget is charged with the most memory that was ever in flight. */
static bool charge_in_flight(struct request *request, size_t memory)
{
    struct ndjson_push *push = ndjson_push_of(request);
    size_t need = push->most.memory + memory;
    if (need <= push->held_bytes)
        return true;
    if (!request_charge(request, need - push->held_bytes))
        return false;
    push->held_bytes = need;
    return true;
}

/* Under the lock: what is answered by now does not count any more. */
static void look_again(struct ndjson_push *push)
{
    push->most = push->in_flight;
}

static void push_batch(struct ndjson_push *push)
{
    struct ndjson_batch *batch = push->filling;
    push->filling = NULL;
    if (batch == NULL)
        return;
    if (batch->n == 0) {
        free(batch);
        return;
    }
    pthread_mutex_lock(&push->lock);
    push->in_flight.n_lines += batch->n;
    push->in_flight.bytes += batch->bytes;
    push->in_flight.memory += memory_of(batch);
    look_again(push);
    pthread_mutex_unlock(&push->lock);
    ndjson_batch_push(batch, push->request.service->node);
}

/* Under the lock. */
static bool has_room_again(const struct ndjson_push *push)
{
    bool has_room =
        push->waits_for_all ? push->in_flight.n_lines == 0 : !is_full(&push->in_flight, 2);
    return push->is_paused && has_room;
}

/* Under the lock: is there something to do for the request's worker? */
static bool has_news(const struct ndjson_push *push)
{
    return has_room_again(push) || (push->is_ended && push->in_flight.n_lines == 0);
}

/* There is room again, or the last line is answered. */
static void take_news(struct ndjson_push *push)
{
    struct request *request = &push->request;
    pthread_mutex_lock(&push->lock);
    push->is_posted = false;
    bool has_room = has_room_again(push);
    bool is_last = push->is_ended && push->in_flight.n_lines == 0;
    if (has_room)
        push->is_paused = push->waits_for_all = false;
    if (is_last)
        push->is_ended = false; /* once */
    pthread_mutex_unlock(&push->lock);
    if (has_room) {
        push->n_listed = 0;
        request_resume(request);
    }
    if (is_last)
        request_done(request);
}

static void on_news_letter(struct letter *letter)
{
    take_news(CONTAINER_OF(letter, struct ndjson_push, letter));
}

/* Any thread. Once the lock is free the request may end, unless the letter is ours to post. */
static void on_batch_done(struct ndjson_batch *batch)
{
    struct ndjson_push *push = batch->owner;
    struct worker *worker = push->request.home->worker;
    bool is_kept = batch->cap == NDJSON_BATCH_LINES_MAX;
    pthread_mutex_lock(&push->lock);
    push->in_flight.n_lines -= batch->n;
    push->in_flight.bytes -= batch->bytes;
    push->in_flight.memory -= memory_of(batch);
    if (is_kept) {
        batch->next = push->spare;
        push->spare = batch;
    }
    bool has_to_tell = has_news(push) && !push->is_posted;
    push->is_posted |= has_to_tell;
    pthread_mutex_unlock(&push->lock);
    if (!is_kept)
        free(batch);
    if (has_to_tell)
        worker_post(worker, &push->letter, on_news_letter);
}

/* A line of the body */

static const struct json_problem budget_used_up = {.error = ERR_BUSY,
                                                   .detail = "too many large requests at once"};

static struct ndjson_batch *take_spare(struct ndjson_push *push)
{
    pthread_mutex_lock(&push->lock);
    struct ndjson_batch *batch = push->spare;
    if (batch != NULL)
        push->spare = batch->next;
    pthread_mutex_unlock(&push->lock);
    return batch;
}

/* A batch with room for one more line, of which about n_lines come together. NULL: the budget or
 * the memory is used up. */
static struct ndjson_batch *batch_for_line(struct request *request, size_t n_lines)
{
    struct ndjson_push *push = ndjson_push_of(request);
    unsigned cap = n_lines > FEW_LINES ? NDJSON_BATCH_LINES_MAX : FEW_LINES;
    if (push->filling != NULL && ndjson_batch_has_room(push->filling))
        return push->filling;
    push_batch(push);
    if (!charge_in_flight(request, ndjson_batch_size(cap)))
        return NULL;
    struct ndjson_batch *batch = cap > FEW_LINES ? take_spare(push) : NULL;
    if (batch == NULL)
        batch = ndjson_batch_new(cap, push, on_batch_done);
    if (batch == NULL)
        return NULL;
    ndjson_batch_clear(batch);
    push->most.memory += ndjson_batch_size(cap);
    push->filling = batch;
    return batch;
}

/* false: the budget or the memory is used up. A list is held until the answer is written. */
static bool add_to_batch(struct request *request, const struct ndjson_line *line, size_t n_lines,
                         struct push_request *parsed, struct ndjson_result *result)
{
    struct ndjson_push *push = ndjson_push_of(request);
    struct ndjson_batch *batch = batch_for_line(request, n_lines);
    if (batch == NULL || !charge_in_flight(request, line->text.len) ||
        !request_charge(request, ndjson_batch_list_bytes(parsed, line->text))) {
        push_request_fini(parsed);
        return false;
    }
    size_t n_listed = parsed->is_list && parsed->ttl_s == 0 ? parsed->n_users : 0;
    if (ndjson_batch_add(batch, line->text, parsed, result) != ERR_OK)
        return false;
    push->n_listed += n_listed;
    push->most.n_lines++;
    push->most.bytes += line->text.len;
    push->most.memory += line->text.len;
    if (!line->is_in_piece) /* its text does not stay */
        push_batch(push);
    return true;
}

/* n_left: the bytes of the piece behind the line. */
static void push_line(struct request *request, struct ndjson_result *result,
                      const struct ndjson_line *line, size_t n_left)
{
    struct json_problem problem;
    struct push_request parsed;
    size_t n_lines = line->is_in_piece ? 1 + n_left / (line->text.len + 1) : 1;
    if (push_line_parse(line->text, &request->service->limits, &parsed, &problem) != ERR_OK)
        refuse_line(request, result, &problem);
    else if (!add_to_batch(request, line, n_lines, &parsed, result))
        refuse_line(request, result, &budget_used_up);
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

static void take_line(struct request *request, const struct ndjson_line *line, size_t n_left)
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
        push_line(request, result, line, n_left);
}

/* The body while it arrives */

/* false: the rest comes again when there is room, or too late. */
static bool has_room_for_line(struct request *request)
{
    struct ndjson_push *push = ndjson_push_of(request);
    bool must_wait = push->n_listed >= GATEWAY_AT_ONCE;
    if (push->refused != ERR_OK || (!must_wait && !is_full(&push->most, 1)))
        return true;
    push_batch(push);
    pthread_mutex_lock(&push->lock);
    look_again(push);
    push->waits_for_all = must_wait;
    push->is_paused = must_wait || is_full(&push->in_flight, 1);
    bool has_room = !push->is_paused;
    bool has_to_post = must_wait && has_news(push) && !push->is_posted;
    push->is_posted |= has_to_post;
    pthread_mutex_unlock(&push->lock);
    if (has_to_post)
        worker_post(request->home->worker, &push->letter, on_news_letter);
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
    while (left.len > 0 && !push->is_over && has_room_for_line(request)) {
        if (ndjson_next(&push->splitter, &left, &line))
            take_line(request, &line, left.len);
        charge_splitter(request);
    }
    push_batch(push);
    *inout_len = push->is_over ? 0 : left.len;
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
    bool is_done = push->in_flight.n_lines == 0 && !push->is_posted;
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
        take_line(request, &line, 0);
    push_batch(push);
    end_lines(request);
}

/* Without an answer, or while it was written. */
static void abandon_ndjson_push(struct request *request)
{
    if (ndjson_push_of(request)->is_begun && !request->is_complete)
        end_lines(request);
}

/* Adds results until there are `cap` bytes that are not written. What is written moves out of the
 * way only here: a line of many users has a result of a megabyte, and is written in many pieces. */
static void fill_results(struct request *request, size_t cap)
{
    struct ndjson_push *push = ndjson_push_of(request);
    struct buf *text = &request->out.buf;
    char refusal[STORE_PROBLEM_MAX_BYTES];
    if (text->len - request->n_sent >= cap)
        return;
    buf_consume(text, request->n_sent);
    request->n_sent = 0;
    gateway_store_refusal(request->service->node, refusal);
    ndjson_results_write(&request->out, &push->results, cap, refusal);
    if (text->len < cap && push->is_over) {
        push->is_over = false;
        ndjson_result_write(&request->out, &push->last, refusal);
    }
}

/* As many of the next results as fit. A line that does not fit is continued in the next piece. */
static ptrdiff_t read_results(struct request *request, char *out, size_t cap)
{
    fill_results(request, cap);
    return request->out.has_failed ? -1 : request_read_answer(request, out, cap);
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
    ndjson_results_fini(&push->results, ndjson_batch_free_list);
    while (push->spare != NULL) {
        struct ndjson_batch *batch = push->spare;
        push->spare = batch->next;
        free(batch);
    }
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
