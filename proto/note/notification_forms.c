#include "proto/note/notification_forms.h"

#include "proto/note/envelope.h"
#include "proto/note/sse.h"
#include "proto/ws/deflate.h"

#include <assert.h>

static struct payload *encode_form(const struct notification *note, enum notification_form form)
{
    struct buf text;
    struct payload *made = NULL;
    buf_init(&text, UINT32_MAX / 2);
    enum err error =
        form == FORM_V1 ? envelope_notification(&text, note) : sse_notification(&text, note);
    if (error == ERR_OK)
        made = form == FORM_V1 ? payload_new(buf_span(&text)) : payload_new_bare(buf_span(&text));
    buf_fini(&text);
    return made;
}

/* Publishes a form that was made; takes over its reference. If another thread was faster, the form
 * is dropped and the other thread's is returned. */
static struct payload *publish_form(_Atomic(struct payload *) *slot, struct payload *made)
{
    struct payload *present = NULL;
    if (made == NULL || atomic_compare_exchange_strong_explicit(
                            slot, &present, made, memory_order_acq_rel, memory_order_acquire))
        return made;
    payload_unref(made);
    return present;
}

struct payload *notification_form(struct notification *note, enum notification_form form)
{
    if (form == FORM_PLAIN)
        return note->payload;
    _Atomic(struct payload *) *slot = form == FORM_V1 ? &note->v1 : &note->sse;
    struct payload *present = atomic_load_explicit(slot, memory_order_acquire);
    return present != NULL ? present : publish_form(slot, encode_form(note, form));
}

static struct payload *compress_form(struct payload *form, struct deflater *deflater)
{
    struct buf bytes;
    struct payload *made = NULL;
    buf_init(&bytes, UINT32_MAX / 2);
    if (deflater_message(deflater, payload_data(form), &bytes) == ERR_OK)
        made = bytes.len < form->len ? payload_new_compressed(buf_span(&bytes)) : payload_ref(form);
    buf_fini(&bytes);
    return made;
}

struct payload *notification_compressed(struct notification *note, enum notification_form form,
                                        struct deflater *deflater)
{
    _Atomic(struct payload *) *slot = form == FORM_V1 ? &note->small_v1 : &note->small_plain;
    struct payload *present = atomic_load_explicit(slot, memory_order_acquire);
    if (present != NULL)
        return present;
    assert(form != FORM_SSE);
    struct payload *whole = notification_form(note, form);
    return whole == NULL ? NULL : publish_form(slot, compress_form(whole, deflater));
}
