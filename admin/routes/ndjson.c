/* The happy path: ndjson_next returns one complete line after the other. A line that arrived in one
 * piece is a slice of that piece; the pieces of a longer one are collected in `rest`. Results are
 * added in blocks, so that they never move while the gateway fills them in, and are read once.
 *
 * The failures: a line that is too long, or for which there is no memory, is returned without its
 * text and with an error; the lines after it are not affected. */
#include "admin/routes/ndjson.h"

#include "admin/problem.h"
#include "admin/routes/push_results.h"

#include <stdlib.h>

/* The splitter */

void ndjson_splitter_init(struct ndjson_splitter *splitter, size_t max_line_bytes)
{
    *splitter = (struct ndjson_splitter){.line = 1};
    buf_init(&splitter->rest, max_line_bytes);
}

void ndjson_splitter_fini(struct ndjson_splitter *splitter)
{
    buf_fini(&splitter->rest);
}

static void forget_used_line(struct ndjson_splitter *splitter)
{
    if (splitter->is_rest_used_up)
        splitter->rest.len = 0;
    splitter->is_rest_used_up = false;
}

/* Appends to the arriving line. */
static void keep_piece(struct ndjson_splitter *splitter, struct span piece)
{
    if (splitter->dropped != ERR_OK || piece.len == 0)
        return;
    enum err error = buf_append_span(&splitter->rest, piece);
    if (error == ERR_OK)
        return;
    splitter->rest.len = 0;
    splitter->dropped = error == ERR_FULL ? ERR_TOO_LARGE : error;
}

void ndjson_drop(struct ndjson_splitter *splitter, enum err error)
{
    if (splitter->rest.len > 0 && !splitter->is_rest_used_up)
        splitter->dropped = error;
    splitter->is_rest_used_up = false;
    buf_clear(&splitter->rest);
}

static bool is_blank(struct span text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.bytes[i] != ' ' && text.bytes[i] != '\t' && text.bytes[i] != '\r')
            return false;
    return true;
}

/* The arriving line ends with `piece`. false: it is blank. A line that arrived in one piece is not
 * copied. */
static bool complete_line(struct ndjson_splitter *splitter, struct span piece,
                          struct ndjson_line *ret_line)
{
    bool is_whole = splitter->rest.len == 0 && piece.len <= splitter->rest.max;
    if (!is_whole)
        keep_piece(splitter, piece);
    *ret_line = (struct ndjson_line){.number = splitter->line, .error = splitter->dropped};
    ret_line->is_in_piece = is_whole;
    if (ret_line->error == ERR_OK)
        ret_line->text = is_whole ? piece : buf_span(&splitter->rest);
    splitter->is_rest_used_up = true;
    splitter->dropped = ERR_OK;
    if (splitter->line < UINT32_MAX)
        splitter->line++;
    return ret_line->error != ERR_OK || !is_blank(ret_line->text);
}

bool ndjson_next(struct ndjson_splitter *splitter, struct span *inout_bytes,
                 struct ndjson_line *ret_line)
{
    while (inout_bytes->len > 0) {
        forget_used_line(splitter);
        struct span piece = *inout_bytes;
        const char *end = memchr(piece.bytes, '\n', piece.len);
        if (end != NULL)
            piece.len = (size_t)(end - piece.bytes);
        size_t taken = piece.len + (end != NULL);
        *inout_bytes = (struct span){inout_bytes->bytes + taken, inout_bytes->len - taken};
        if (end == NULL)
            keep_piece(splitter, piece);
        else if (complete_line(splitter, piece, ret_line))
            return true;
    }
    return false;
}

bool ndjson_last(struct ndjson_splitter *splitter, struct ndjson_line *ret_line)
{
    forget_used_line(splitter);
    return complete_line(splitter, (struct span){0}, ret_line);
}

/* Results */

struct ndjson_block {
    struct ndjson_block *next;
    struct ndjson_result results[NDJSON_BLOCK_RESULTS];
};

static void finish_result(struct ndjson_result *result)
{
    atomic_store_explicit(&result->is_finished, true, memory_order_release);
}

void ndjson_result_take(struct ndjson_result *result, const struct gateway_push *push)
{
    const struct gateway_target *target = &push->targets[0];
    result->error = (uint8_t)target->error;
    result->is_duplicate = target->is_duplicate;
    result->is_ephemeral = push->ttl_s == 0;
    result->of.kept.epoch = target->epoch;
    result->of.kept.seq = target->seq;
    result->of.kept.expires_ms = target->expires_ms;
    result->of.kept.online = target->online;
    result->of.kept.nodes = target->nodes;
    finish_result(result);
}

void ndjson_result_take_list(struct ndjson_result *result, struct gateway_push *push)
{
    result->is_list = true;
    result->of.list = push;
    finish_result(result);
}

void ndjson_result_refuse(struct ndjson_result *result, const struct json_problem *problem,
                          bool has_text)
{
    size_t field_bytes = strlen(problem->field) + 1;
    size_t detail_bytes = strlen(problem->detail) + 1;
    result->error = (uint8_t)problem->error;
    result->is_problem = true;
    result->of.problem.offset = problem->offset;
    result->of.problem.text = has_text ? malloc(field_bytes + detail_bytes) : NULL;
    if (result->of.problem.text != NULL) {
        memcpy(result->of.problem.text, problem->field, field_bytes);
        memcpy(result->of.problem.text + field_bytes, problem->detail, detail_bytes);
    }
    finish_result(result);
}

static void free_result(struct ndjson_result *result, void (*free_list)(struct gateway_push *push))
{
    if (result->is_problem)
        free(result->of.problem.text);
    else if (result->is_list)
        free_list(result->of.list);
}

void ndjson_results_fini(struct ndjson_results *results,
                         void (*free_list)(struct gateway_push *push))
{
    size_t left = results->n;
    for (struct ndjson_block *block = results->first; block != NULL;) {
        struct ndjson_block *next = block->next;
        for (size_t i = 0; i < NDJSON_BLOCK_RESULTS && left > 0; i++, left--)
            free_result(&block->results[i], free_list);
        free(block);
        block = next;
    }
    *results = (struct ndjson_results){0};
}

size_t ndjson_results_need(const struct ndjson_results *results)
{
    return results->n % NDJSON_BLOCK_RESULTS == 0 ? sizeof(struct ndjson_block) : 0;
}

struct ndjson_result *ndjson_results_add(struct ndjson_results *results, uint32_t line)
{
    if (results->n % NDJSON_BLOCK_RESULTS == 0) {
        struct ndjson_block *block = calloc(1, sizeof *block);
        if (block == NULL)
            return NULL;
        if (results->last == NULL)
            results->first = block;
        else
            results->last->next = block;
        results->last = block;
    }
    struct ndjson_result *result = &results->last->results[results->n++ % NDJSON_BLOCK_RESULTS];
    result->line = line;
    atomic_init(&result->is_finished, false);
    return result;
}

struct ndjson_result *ndjson_results_read(struct ndjson_results *results)
{
    if (results->n_read == results->n)
        return NULL;
    if (results->n_read % NDJSON_BLOCK_RESULTS == 0)
        results->reading = results->n_read == 0 ? results->first : results->reading->next;
    return &results->reading->results[results->n_read++ % NDJSON_BLOCK_RESULTS];
}

static void write_kept(struct json_out *out, const struct ndjson_result *result)
{
    const struct gateway_push push = {.ttl_s = result->is_ephemeral ? 0 : 1};
    const struct gateway_target target = {
        .is_duplicate = result->is_duplicate,
        .epoch = result->of.kept.epoch,
        .seq = result->of.kept.seq,
        .expires_ms = result->of.kept.expires_ms,
        .online = result->of.kept.online,
        .nodes = result->of.kept.nodes,
    };
    push_results_write_one(out, &push, &target);
}

void ndjson_result_write(struct json_out *out, struct ndjson_result *result, const char *refusal)
{
    struct problem problem = {
        .error = ERR_STORE_UNAVAILABLE, .detail = PROBLEM_LATE_DETAIL, .line = result->line};
    bool is_finished = atomic_load_explicit(&result->is_finished, memory_order_acquire);
    if (is_finished && result->is_list) {
        push_results_write(out, result->of.list, refusal);
    } else if (is_finished && result->error == ERR_OK) {
        write_kept(out, result);
    } else {
        if (is_finished) {
            problem.error = (enum err)result->error;
            problem.detail = problem.error == ERR_STORE_UNAVAILABLE ? refusal : NULL;
        }
        if (is_finished && result->is_problem) {
            problem.field = result->of.problem.text;
            if (problem.field != NULL)
                problem.detail = problem.field + strlen(problem.field) + 1;
            if (problem.error == ERR_BAD_JSON)
                problem.offset = &result->of.problem.offset;
        }
        problem_write(out, &problem);
    }
    json_out_text(out, "\n");
}

void ndjson_results_write(struct json_out *out, struct ndjson_results *results, size_t len,
                          const char *refusal)
{
    struct ndjson_result *result;
    while (out->buf.len < len && !out->has_failed &&
           (result = ndjson_results_read(results)) != NULL)
        ndjson_result_write(out, result, refusal);
}
