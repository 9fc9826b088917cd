#include "proto/note/notification.h"

#include "proto/bytes/put.h"
#include "proto/note/envelope.h"
#include "proto/note/sse.h"
#include "proto/ws/deflate.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/random.h>

bool epoch_is_none(struct epoch epoch)
{
    return epoch.text[0] == '\0';
}

bool epoch_equal(struct epoch a, struct epoch b)
{
    return memcmp(a.text, b.text, EPOCH_LEN) == 0;
}

/* Random numbers are drawn many at a time: a busy store asks for an epoch with every push. */
static bool draw(uint64_t *ret_number)
{
    static _Thread_local uint64_t
        drawn[32]; /* getrandom gives up to 256 bytes without interruption */
    static _Thread_local unsigned n_left;
    if (n_left == 0) {
        if (getrandom(drawn, sizeof drawn, 0) != sizeof drawn)
            return false;
        n_left = sizeof drawn / sizeof drawn[0];
    }
    *ret_number = drawn[--n_left];
    return true;
}

enum err epoch_random(struct epoch *ret_epoch)
{
    static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    uint64_t number;
    if (!draw(&number))
        return ERR_SYSTEM;
    for (int i = 0; i < EPOCH_LEN; i++) {
        ret_epoch->text[i] = letters[number % 36];
        number /= 36;
    }
    return ERR_OK;
}

size_t message_id_write(struct epoch epoch, uint64_t seq, char out[MESSAGE_ID_MAX_BYTES])
{
    char *at = put_span(out, (struct span){epoch.text, EPOCH_LEN});
    *at++ = '-';
    at = put_number(at, seq);
    *at = '\0';
    return (size_t)(at - out);
}

static bool is_epoch_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z');
}

static bool parse_seq(struct span digits, uint64_t *ret_seq)
{
    uint64_t seq = 0;
    if (digits.len == 0 || digits.len > 20 || (digits.bytes[0] == '0' && digits.len > 1))
        return false;
    for (size_t i = 0; i < digits.len; i++) {
        char c = digits.bytes[i];
        if (c < '0' || c > '9')
            return false;
        uint64_t digit = (uint64_t)(c - '0');
        if (seq > (UINT64_MAX - digit) / 10)
            return false;
        seq = seq * 10 + digit;
    }
    *ret_seq = seq;
    return true;
}

enum err message_position_parse(struct span id, struct epoch *ret_epoch, uint64_t *ret_seq)
{
    if (id.len < EPOCH_LEN + 2 || id.bytes[EPOCH_LEN] != '-')
        return ERR_INVALID_FIELD;
    for (int i = 0; i < EPOCH_LEN; i++) {
        if (!is_epoch_char(id.bytes[i]))
            return ERR_INVALID_FIELD;
    }
    struct span digits = {id.bytes + EPOCH_LEN + 1, id.len - EPOCH_LEN - 1};
    uint64_t seq;
    if (!parse_seq(digits, &seq))
        return ERR_INVALID_FIELD;
    memcpy(ret_epoch->text, id.bytes, EPOCH_LEN);
    *ret_seq = seq;
    return ERR_OK;
}

enum err message_id_parse(struct span id, struct epoch *ret_epoch, uint64_t *ret_seq)
{
    struct epoch epoch;
    uint64_t seq;
    enum err error = message_position_parse(id, &epoch, &seq);
    if (error != ERR_OK || seq == 0)
        return ERR_INVALID_FIELD;
    *ret_epoch = epoch;
    *ret_seq = seq;
    return ERR_OK;
}

static struct payload *make_payload(struct span data, struct span key)
{
    assert(data.len <= UINT32_MAX / 2 && key.len <= COLLAPSE_KEY_MAX_BYTES);
    struct payload *payload = malloc(sizeof *payload + WS_HEADER_MAX_BYTES + data.len + key.len);
    if (payload == NULL)
        return NULL;
    atomic_init(&payload->refs, 1);
    payload->len = (uint32_t)data.len;
    payload->header_len = 0;
    payload->key_len = (uint8_t)key.len;
    if (data.len > 0)
        memcpy(payload->bytes + WS_HEADER_MAX_BYTES, data.bytes, data.len);
    if (key.len > 0)
        memcpy(payload->bytes + WS_HEADER_MAX_BYTES + data.len, key.bytes, key.len);
    return payload;
}

struct payload *payload_new_bare(struct span bytes)
{
    return make_payload(bytes, (struct span){0});
}

/* `first` is added to the first byte of the frame's header. */
static struct payload *make_frame(struct span data, struct span key, uint8_t first)
{
    struct payload *payload = make_payload(data, key);
    if (payload == NULL)
        return NULL;
    uint8_t header[WS_HEADER_MAX_BYTES];
    size_t header_len = ws_header_write(WS_TEXT, data.len, header);
    header[0] |= first;
    payload->header_len = (uint8_t)header_len;
    memcpy(payload->bytes + WS_HEADER_MAX_BYTES - header_len, header, header_len);
    return payload;
}

struct payload *payload_new_keyed(struct span data, struct span collapse_key)
{
    return make_frame(data, collapse_key, 0);
}

struct payload *payload_new_compressed(struct span bytes)
{
    return make_frame(bytes, (struct span){0}, WS_RSV1);
}

struct payload *payload_new(struct span data)
{
    return payload_new_keyed(data, (struct span){0});
}

struct payload *payload_ref(struct payload *payload)
{
    atomic_fetch_add_explicit(&payload->refs, 1, memory_order_relaxed);
    return payload;
}

void payload_unref(struct payload *payload)
{
    if (payload != NULL && atomic_fetch_sub_explicit(&payload->refs, 1, memory_order_acq_rel) == 1)
        free(payload);
}

struct notification *notification_new(struct payload *payload, struct epoch epoch, uint64_t seq,
                                      int64_t time_ms, int64_t expires_ms)
{
    struct notification *note = malloc(sizeof *note); /* glibc's calloc has no thread cache */
    if (note == NULL)
        return NULL;
    *note = (struct notification){
        .refs = 1,
        .epoch = epoch,
        .seq = seq,
        .time_ms = time_ms,
        .expires_ms = expires_ms,
        .payload = payload_ref(payload),
    };
    return note;
}

struct notification *notification_ref(struct notification *note)
{
    atomic_fetch_add_explicit(&note->refs, 1, memory_order_relaxed);
    return note;
}

void notification_unref(struct notification *note)
{
    if (note == NULL || atomic_fetch_sub_explicit(&note->refs, 1, memory_order_acq_rel) != 1)
        return;
    payload_unref(note->payload);
    payload_unref(atomic_load_explicit(&note->v1, memory_order_relaxed));
    payload_unref(atomic_load_explicit(&note->sse, memory_order_relaxed));
    payload_unref(atomic_load_explicit(&note->small_plain, memory_order_relaxed));
    payload_unref(atomic_load_explicit(&note->small_v1, memory_order_relaxed));
    free(note);
}

static struct payload *encode(const struct notification *note, enum notification_form form)
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

/* The first to put one there wins; answers what is there then. Takes over the reference. */
static struct payload *settle(_Atomic(struct payload *) *place, struct payload *made)
{
    struct payload *there = NULL;
    if (made == NULL || atomic_compare_exchange_strong_explicit(
                            place, &there, made, memory_order_acq_rel, memory_order_acquire))
        return made;
    payload_unref(made);
    return there;
}

struct payload *notification_form(struct notification *note, enum notification_form form)
{
    if (form == FORM_PLAIN)
        return note->payload;
    _Atomic(struct payload *) *place = form == FORM_V1 ? &note->v1 : &note->sse;
    struct payload *there = atomic_load_explicit(place, memory_order_acquire);
    return there != NULL ? there : settle(place, encode(note, form));
}

static struct payload *compress(struct payload *form, struct deflater *deflater)
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
    _Atomic(struct payload *) *place = form == FORM_V1 ? &note->small_v1 : &note->small_plain;
    struct payload *there = atomic_load_explicit(place, memory_order_acquire);
    if (there != NULL)
        return there;
    assert(form != FORM_SSE);
    struct payload *whole = notification_form(note, form);
    return whole == NULL ? NULL : settle(place, compress(whole, deflater));
}
