/* Lines of an NDJSON body that are given to the gateway together, so that the store is asked once
 * for all of them. A batch is one block of memory: a push and a target for each line, and room for
 * the texts that must outlive the piece of the body in which the lines came. A line with `userIds`
 * has a block of its own, which stays until its result is written. No I/O.
 *
 * Threads: one fills a batch and pushes it; the gateway answers its lines on any thread, and the
 * last answer calls on_done there. */
#ifndef HERALD_ADMIN_NDJSON_BATCH_H
#define HERALD_ADMIN_NDJSON_BATCH_H

#include "admin/routes/ndjson.h"

enum { NDJSON_BATCH_LINES_MAX = 64 };

struct ndjson_batch_line {
    struct gateway_push push;
    struct gateway_target target;
    struct ndjson_batch *batch;
    struct ndjson_result *result;
};

struct ndjson_batch {
    struct ndjson_batch *next; /* the owner's */
    void *owner;
    void (*on_done)(struct ndjson_batch *batch); /* its lines are answered */
    unsigned n, cap;                             /* lines */
    size_t bytes; /* of the lines, for whoever counts what is in flight */
    /* ndjson_batch's own */
    atomic_uint n_left;
    struct gateway_push *first;
    struct gateway_push **last;
    char *text; /* the room for texts, after the lines */
    size_t text_len;
    struct ndjson_batch_line lines[];
};

/* Of a batch for that many lines, at most NDJSON_BATCH_LINES_MAX. */
size_t ndjson_batch_size(unsigned cap);

/* An empty one, for free(). NULL: out of memory. */
struct ndjson_batch *ndjson_batch_new(unsigned cap, void *owner,
                                      void (*on_done)(struct ndjson_batch *batch));

/* Empties one whose lines are answered, to be filled anew. */
void ndjson_batch_clear(struct ndjson_batch *batch);

/* Is there room for one more line, whatever its texts? */
bool ndjson_batch_has_room(const struct ndjson_batch *batch);

/* What a line with `userIds` takes besides; 0: the line is of one user. */
size_t ndjson_batch_list_bytes(const struct push_request *parsed, struct span line);

/* Adds the push of a line for which there is room. Takes over `parsed`, whose data and collapse key
 * must stay where they are until ndjson_batch_push; everything else is copied. ERR_NO_MEMORY:
 * nothing was added, and `parsed` is freed. */
MUST_CHECK enum err ndjson_batch_add(struct ndjson_batch *batch, struct span line,
                                     struct push_request *parsed, struct ndjson_result *result);

/* Gives the lines, of which there is at least one, to the gateway. Each result is written, then
 * on_done is called: maybe before this returns. */
void ndjson_batch_push(struct ndjson_batch *batch, struct node *node);

/* Frees the push of a line with `userIds`: for ndjson_results_fini. */
void ndjson_batch_free_list(struct gateway_push *push);

#endif
