/* What is due at some time, the earliest first: a binary heap of things that hold their place in
 * it, so each can be taken out. Pure; for the thread that runs the store's turns.
 *
 * Memory: 8 bytes a thing, beside the 16 in it. */
#ifndef HERALD_STORE_DUE_HEAP_H
#define HERALD_STORE_DUE_HEAP_H

#include "proto/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct due {
    int64_t at_ms;
    size_t place; /* in the heap, from 1; 0: it is in none */
};

/* All zeros is empty. */
struct due_heap {
    struct due **list;
    size_t n;
    size_t cap;
};

/* Room for so many in all, so that due_heap_add cannot fail. */
MUST_CHECK enum err due_heap_reserve(struct due_heap *heap, size_t n);
void due_heap_add(struct due_heap *heap, struct due *due);
void due_heap_remove(struct due_heap *heap, struct due *due);
void due_heap_sort(struct due_heap *heap); /* after the caller has changed several times */
void due_heap_clear(struct due_heap *heap);

/* The earliest; NULL: there is none. */
static inline struct due *due_heap_first(const struct due_heap *heap)
{
    return heap->n == 0 ? NULL : heap->list[0];
}

#endif
