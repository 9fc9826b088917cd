#include "gateway/store/store_backend.h"

enum err store_offer_broadcast(const struct store_events *events, void *owner,
                               struct payload *payload, int64_t now_ms,
                               struct store_question *question)
{
    if (events->on_broadcast == NULL) {
        store_answer(question, 0);
        return ERR_OK;
    }
    struct notification *note = notification_new(payload, (struct epoch){{0}}, 0, now_ms, 0);
    if (note == NULL)
        return ERR_NO_MEMORY;
    events->on_broadcast(owner, note, question);
    notification_unref(note);
    return ERR_OK;
}

void store_offer_question(const struct store_events *events, void *owner,
                          struct store_user_question *question)
{
    question->owner = owner;
    if (events->on_question == NULL)
        store_answer(&question->question, 0);
    else
        events->on_question(question);
}
