/* A store for runs without memory that does at once what it is asked: what is pushed is number 1,
 * and every page shows one notification. */
#ifndef HERALD_TESTS_PROMPT_STORE_H
#define HERALD_TESTS_PROMPT_STORE_H

#include "gateway/store/store_backend.h"

#include <stdlib.h>

static const struct epoch prompt_store_epoch = {"abcdefgh"};

static inline void prompt_store_append(struct store_append *append)
{
    for (size_t i = 0; i < append->n_targets; i++) {
        append->targets[i].error = ERR_OK;
        append->targets[i].is_duplicate = false;
        append->targets[i].nodes = 0;
        append->targets[i].epoch = prompt_store_epoch;
        append->targets[i].seq = 1;
        append->targets[i].time_ms = 1;
        append->targets[i].expires_ms = INT64_MAX / 2;
    }
}

static inline void prompt_store_show(struct store_page *page)
{
    struct payload *payload = payload_new((struct span){"1", 1});
    page->notes = malloc(sizeof(struct notification *));
    page->epoch = prompt_store_epoch;
    page->head = page->last = 1;
    page->error = ERR_NO_MEMORY;
    if (payload != NULL && page->notes != NULL)
        page->notes[0] = notification_new(payload, prompt_store_epoch, 1, 1, INT64_MAX / 2);
    if (payload != NULL && page->notes != NULL && page->notes[0] != NULL) {
        page->n_notes = 1;
        page->error = ERR_OK;
    } else {
        free(page->notes);
        page->notes = NULL;
    }
    payload_unref(payload);
}

static inline void prompt_store_submit(struct store *store, struct store_request *request,
                                       enum store_op op)
{
    (void)store;
    while (request != NULL) {
        struct store_request *next = request->next;
        if (op == STORE_OP_APPEND)
            prompt_store_append(CONTAINER_OF(request, struct store_append, request));
        if (op == STORE_OP_PAGE)
            prompt_store_show(CONTAINER_OF(request, struct store_page, request));
        request->on_done(request);
        request = next;
    }
}

static inline void prompt_store_broadcast(struct store *store, struct store_broadcast *question)
{
    (void)store;
    question->nodes = 1;
    question->request.on_done(&question->request);
}

static inline void prompt_store_ask(struct store *store, struct store_ask *question)
{
    (void)store;
    question->n_asked = question->n_answered = 1;
    if (question->asked.kind == STORE_ASK_DESCRIBE) {
        question->count = 1;
        store_ask_add_text(question, (struct span){"[{}]", 4});
    }
    question->request.on_done(&question->request);
}

static inline int64_t prompt_store_now_ms(const struct store *store)
{
    (void)store;
    return 1;
}

static inline void prompt_store_describe(struct store *store, char *out, size_t cap)
{
    (void)store;
    if (cap > 0)
        out[0] = '\0';
}

static const struct store_ops prompt_store_ops = {.kind = "memory",
                                                  .submit = prompt_store_submit,
                                                  .broadcast = prompt_store_broadcast,
                                                  .ask = prompt_store_ask,
                                                  .describe = prompt_store_describe,
                                                  .now_ms = prompt_store_now_ms};

#endif
