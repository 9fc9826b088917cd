#include "gateway/stores/local/due_heap.h"

#include <assert.h>
#include <stdlib.h>

enum { FIRST_CAP = 16 };

enum err due_heap_reserve(struct due_heap *heap, size_t n)
{
    if (n <= heap->cap)
        return ERR_OK;
    size_t cap = heap->cap == 0 ? FIRST_CAP : 2 * heap->cap;
    if (cap < n)
        cap = n;
    struct due **more = realloc(heap->list, cap * sizeof(struct due *));
    if (more == NULL)
        return ERR_NO_MEMORY;
    heap->list = more;
    heap->cap = cap;
    return ERR_OK;
}

static void set_place(struct due_heap *heap, size_t at, struct due *due)
{
    heap->list[at] = due;
    due->place = at + 1;
}

/* From this place up and down to where it belongs. */
static void settle_due(struct due_heap *heap, size_t at, struct due *due)
{
    while (at > 0 && heap->list[(at - 1) / 2]->at_ms > due->at_ms) {
        set_place(heap, at, heap->list[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    for (size_t child = 2 * at + 1; child < heap->n; child = 2 * at + 1) {
        if (child + 1 < heap->n && heap->list[child + 1]->at_ms < heap->list[child]->at_ms)
            child++;
        if (heap->list[child]->at_ms >= due->at_ms)
            break;
        set_place(heap, at, heap->list[child]);
        at = child;
    }
    set_place(heap, at, due);
}

void due_heap_add(struct due_heap *heap, struct due *due)
{
    assert(heap->n < heap->cap && due->place == 0);
    heap->n++;
    settle_due(heap, heap->n - 1, due);
}

void due_heap_remove(struct due_heap *heap, struct due *due)
{
    size_t at = due->place - 1;
    assert(due->place > 0 && heap->list[at] == due);
    struct due *last = heap->list[--heap->n];
    due->place = 0;
    if (last != due)
        settle_due(heap, at, last);
}

void due_heap_sort(struct due_heap *heap)
{
    size_t n = heap->n;
    heap->n = 0;
    for (size_t i = 0; i < n; i++) {
        heap->list[i]->place = 0;
        due_heap_add(heap, heap->list[i]);
    }
}

void due_heap_clear(struct due_heap *heap)
{
    free(heap->list);
    *heap = (struct due_heap){0};
}
