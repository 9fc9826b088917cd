#include "gateway/store/store_request.h"

#include <stdlib.h>

void store_answer(struct store_question *question, uint64_t count)
{
    question->count = count;
    question->on_answer(question);
}

void store_answer_text(struct store_question *question, uint64_t count, struct buf *text)
{
    question->text = *text;
    *text = (struct buf){0};
    store_answer(question, count);
}

void store_answer_not(struct store_question *question)
{
    question->is_unanswered = true;
    store_answer(question, 0);
}

void store_page_clear(struct store_page *page)
{
    for (size_t i = 0; i < page->n_notes; i++)
        notification_unref(page->notes[i]);
    free(page->notes);
    free(page->gaps);
    free(page->withdrawn);
    page->notes = NULL;
    page->n_notes = 0;
    page->gaps = NULL;
    page->n_gaps = 0;
    page->withdrawn = NULL;
    page->n_withdrawn = 0;
}
