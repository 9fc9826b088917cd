#include "gateway/stores/redis/redis_pipeline.h"

#include "proto/bytes/put.h"

#include <stdlib.h>

enum {
    HEAD_MAX_BYTES = 1 + 20 + 2, /* "$" or "*", digits, "\r\n" */
    KEEP_MAX_BYTES = 1 << 20,    /* a larger buffer is given back once it is empty */
    MOVE_MIN_BYTES = 256 << 10,  /* sent bytes in front are worth moving the rest */
    RING_FIRST_CAP = 64,
    RING_KEEP_CAP = 4096, /* a larger ring is given back once it is empty */
};

static void free_ring(struct redis_pipeline *pipeline)
{
    free(pipeline->ring);
    pipeline->ring = NULL;
    pipeline->cap = 0;
    pipeline->first = 0;
    pipeline->last = 0;
}

void redis_pipeline_init(struct redis_pipeline *pipeline, size_t max_bytes, size_t max_waiting)
{
    *pipeline = (struct redis_pipeline){.max_waiting = max_waiting};
    buf_init(&pipeline->out, max_bytes);
}

void redis_pipeline_fini(struct redis_pipeline *pipeline)
{
    buf_fini(&pipeline->out);
    free_ring(pipeline);
}

static char *put_head(char *at, char kind, size_t number)
{
    *at++ = kind;
    at = put_number(at, number);
    *at++ = '\r';
    *at++ = '\n';
    return at;
}

static enum err make_room(struct redis_pipeline *pipeline, const struct span *args, size_t n_args)
{
    size_t need = HEAD_MAX_BYTES;
    for (size_t i = 0; i < n_args; i++)
        need += HEAD_MAX_BYTES + args[i].len + 2;
    enum err error = buf_reserve(&pipeline->out, need);
    return error == ERR_FULL ? ERR_BUSY : error;
}

static void write_command(struct redis_pipeline *pipeline, const struct span *args, size_t n_args)
{
    char *at = put_head(pipeline->out.bytes + pipeline->out.len, '*', n_args);
    for (size_t i = 0; i < n_args; i++) {
        at = put_head(at, '$', args[i].len);
        if (args[i].len > 0)
            memcpy(at, args[i].bytes, args[i].len);
        at += args[i].len;
        *at++ = '\r';
        *at++ = '\n';
    }
    pipeline->out.len = (size_t)(at - pipeline->out.bytes);
}

/* Room for one more that waits. */
static enum err grow_ring(struct redis_pipeline *pipeline)
{
    size_t n = redis_pipeline_waiting(pipeline);
    if (n >= pipeline->max_waiting)
        return ERR_BUSY;
    if (n < pipeline->cap)
        return ERR_OK;
    size_t cap = pipeline->cap == 0 ? RING_FIRST_CAP : pipeline->cap * 2;
    struct redis_waiting *ring = calloc(cap, sizeof *ring);
    if (ring == NULL)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < n; i++)
        ring[i] = pipeline->ring[(pipeline->first + i) & (pipeline->cap - 1)];
    free(pipeline->ring);
    pipeline->ring = ring;
    pipeline->cap = cap;
    pipeline->first = 0;
    pipeline->last = n;
    return ERR_OK;
}

enum err redis_pipeline_add(struct redis_pipeline *pipeline, const struct span *args, size_t n_args,
                            const struct redis_waiting *waiting)
{
    enum err error = grow_ring(pipeline);
    if (error == ERR_OK)
        error = make_room(pipeline, args, n_args);
    if (error != ERR_OK)
        return error;
    write_command(pipeline, args, n_args);
    pipeline->ring[pipeline->last++ & (pipeline->cap - 1)] = *waiting;
    return ERR_OK;
}

struct span redis_pipeline_unsent(const struct redis_pipeline *pipeline)
{
    if (pipeline->sent == pipeline->out.len)
        return (struct span){NULL, 0};
    return (struct span){pipeline->out.bytes + pipeline->sent, pipeline->out.len - pipeline->sent};
}

void redis_pipeline_sent(struct redis_pipeline *pipeline, size_t len)
{
    pipeline->sent += len;
    if (pipeline->sent == pipeline->out.len) {
        redis_pipeline_drop_unsent(pipeline);
    } else if (pipeline->sent >= MOVE_MIN_BYTES && pipeline->sent >= pipeline->out.len / 2) {
        buf_consume(&pipeline->out, pipeline->sent);
        pipeline->sent = 0;
    }
}

void redis_pipeline_drop_unsent(struct redis_pipeline *pipeline)
{
    pipeline->sent = 0;
    pipeline->out.len = 0;
    if (pipeline->out.cap > KEEP_MAX_BYTES)
        buf_clear(&pipeline->out);
}

size_t redis_pipeline_waiting(const struct redis_pipeline *pipeline)
{
    return pipeline->last - pipeline->first;
}

const struct redis_waiting *redis_pipeline_oldest(const struct redis_pipeline *pipeline)
{
    if (pipeline->first == pipeline->last)
        return NULL;
    return &pipeline->ring[pipeline->first & (pipeline->cap - 1)];
}

bool redis_pipeline_take(struct redis_pipeline *pipeline, struct redis_waiting *ret_waiting)
{
    if (pipeline->first == pipeline->last)
        return false;
    *ret_waiting = pipeline->ring[pipeline->first++ & (pipeline->cap - 1)];
    if (pipeline->first == pipeline->last && pipeline->cap > RING_KEEP_CAP)
        free_ring(pipeline);
    return true;
}
