/* NDJSON (application/x-ndjson): splits a body into lines while it arrives, and keeps the results
 * of the lines, in little memory, until the body has ended and the answer can be written. No I/O.
 */
#ifndef HERALD_ADMIN_NDJSON_H
#define HERALD_ADMIN_NDJSON_H

#include "gateway/requests/requests.h"
#include "proto/bytes/buf.h"
#include "proto/note/push_json.h"

#include <stdatomic.h>

enum { NDJSON_LINES_MAX = 100000, NDJSON_BLOCK_RESULTS = 512 };

/* The lines of a body. One thread. */
struct ndjson_splitter {
    struct buf rest;      /* of the line that is arriving; its ceiling is the longest line */
    enum err dropped;     /* not ERR_OK: the arriving line is discarded */
    uint32_t line;        /* the arriving line's number, from 1 */
    bool is_rest_used_up; /* `rest` holds the line that was returned last */
};

struct ndjson_line {
    uint32_t number;  /* from 1; blank lines are counted but not returned */
    enum err error;   /* ERR_OK; otherwise there is no text: ERR_TOO_LARGE, ERR_NO_MEMORY, or the
                       * error of ndjson_drop */
    bool is_in_piece; /* the text is a part of the bytes that were passed */
    struct span text; /* without its line break; until the next call, or as long as these bytes */
};

void ndjson_splitter_init(struct ndjson_splitter *splitter, size_t max_line_bytes);
void ndjson_splitter_fini(struct ndjson_splitter *splitter);

/* The next complete line; *inout_bytes is shortened by what was read. false: all was read, and more
 * is needed. A line of spaces, tabs and carriage returns only is blank. */
MUST_CHECK bool ndjson_next(struct ndjson_splitter *splitter, struct span *inout_bytes,
                            struct ndjson_line *ret_line);

/* Discards the arriving line and frees its memory: it will be returned with that error. */
void ndjson_drop(struct ndjson_splitter *splitter, enum err error);

/* The body has ended: the last line, if it has no line break. */
MUST_CHECK bool ndjson_last(struct ndjson_splitter *splitter, struct ndjson_line *ret_line);

/* The result of a line. Written once, by any thread; read when is_finished. */
struct ndjson_result {
    union {
        struct {
            struct epoch epoch;
            uint64_t seq;
            int64_t expires_ms;
            uint32_t online, nodes;
        } kept;
        struct {
            char *text; /* the field and the detail, each with its NUL; NULL: neither */
            size_t offset;
        } problem;
        struct gateway_push *list; /* answered; freed with the results */
    } of;
    uint32_t line;
    uint8_t error; /* enum err; ERR_OK: kept */
    bool is_duplicate : 1;
    bool is_ephemeral : 1;
    bool is_problem : 1; /* of.problem is set */
    bool is_list : 1;    /* of.list is set */
    atomic_bool is_finished;
};
_Static_assert(sizeof(struct ndjson_result) <= 48, "there are 100 000 of them");

/* From a push that the gateway has answered: of one target, or of a list, which must outlive it. */
void ndjson_result_take(struct ndjson_result *result, const struct gateway_push *push);
void ndjson_result_take_list(struct ndjson_result *result, struct gateway_push *push);
/* Field and detail are left out without has_text, and when out of memory. */
void ndjson_result_refuse(struct ndjson_result *result, const struct json_problem *problem,
                          bool has_text);

struct ndjson_block;

/* One thread adds and reads; results stay where they are. */
struct ndjson_results {
    struct ndjson_block *first, *last;
    size_t n;
    struct ndjson_block *reading;
    size_t n_read;
};

/* Every push is answered. NULL: there are no lists. */
void ndjson_results_fini(struct ndjson_results *results,
                         void (*free_list)(struct gateway_push *push));
/* Bytes that the next ndjson_results_add will allocate. */
size_t ndjson_results_need(const struct ndjson_results *results);
struct ndjson_result *ndjson_results_add(struct ndjson_results *results, uint32_t line); /* NULL */
struct ndjson_result *ndjson_results_read(struct ndjson_results *results); /* in order; NULL: end */

/* One JSON object and a line break. A result that is not finished is reported as too late.
 * `refusal` is as for push_results_write. */
struct json_out;
void ndjson_result_write(struct json_out *out, struct ndjson_result *result, const char *refusal);
/* The next results, until `out` has `len` bytes, or fails, or there are no more. */
void ndjson_results_write(struct json_out *out, struct ndjson_results *results, size_t len,
                          const char *refusal);

#endif
