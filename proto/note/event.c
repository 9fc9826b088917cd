#include "proto/note/event.h"

#include "proto/bytes/put.h"
#include "proto/bytes/text_distance.h"
#include "proto/json/json_text.h"

#include <inttypes.h>

static const char *const type_texts[EVENT_TYPES] = {
#define X(name, text) text,
    EVENT_TYPES_LIST(X)
#undef X
};

static const char *const type_hints[EVENT_TYPES] = {
#define X(name, text) "did you mean " text "?",
    EVENT_TYPES_LIST(X)
#undef X
};

static const char *const cause_texts[OFFLINE_CAUSES] = {
#define X(name, text) text,
    OFFLINE_CAUSES_LIST(X)
#undef X
};

static bool find_text(const char *const *texts, size_t n, struct span text, size_t *ret_index)
{
    for (size_t i = 0; i < n; i++) {
        if (!span_equal(span_of(texts[i]), text))
            continue;
        *ret_index = i;
        return true;
    }
    return false;
}

const char *event_type_text(enum event_type type)
{
    return type_texts[type];
}

bool event_type_find(struct span text, enum event_type *ret_type)
{
    size_t index;
    if (!find_text(type_texts, EVENT_TYPES, text, &index))
        return false;
    *ret_type = (enum event_type)index;
    return true;
}

const char *event_type_hint(struct span text)
{
    const char *hint = "the types are user.online, user.offline, notification.unacknowledged and "
                       "client.message";
    size_t least = text.len / 2 + 1;
    for (size_t i = 0; i < EVENT_TYPES; i++) {
        size_t distance = text_distance(text, span_of(type_texts[i]));
        if (distance >= least)
            continue;
        least = distance;
        hint = type_hints[i];
    }
    return hint;
}

const char *offline_cause_text(enum offline_cause cause)
{
    return cause_texts[cause];
}

bool offline_cause_find(struct span text, enum offline_cause *ret_cause)
{
    size_t index;
    if (!find_text(cause_texts, OFFLINE_CAUSES, text, &index))
        return false;
    *ret_cause = (enum offline_cause)index;
    return true;
}

/* ---- data ---- */

#define DATA_BEGINS "{\"type\":\""

/* The name of the type in the data, without its quotes; empty: there is none. */
static struct span type_in(struct span data)
{
    struct span begins = SPAN_LITERAL(DATA_BEGINS);
    if (data.len <= begins.len || memcmp(data.bytes, begins.bytes, begins.len) != 0)
        return SPAN_NONE;
    const char *name = data.bytes + begins.len;
    const char *quote = memchr(name, '"', data.len - begins.len);
    return quote == NULL ? SPAN_NONE : (struct span){name, (size_t)(quote - name)};
}

bool event_type_of(struct span data, enum event_type *ret_type)
{
    return event_type_find(type_in(data), ret_type);
}

enum err event_write_offline(struct buf *out, struct span user_id, int64_t last_seen_ms,
                             enum offline_cause cause)
{
    size_t len = out->len;
    enum err error = buf_append_text(out, DATA_BEGINS "user.offline\",\"userId\":");
    if (error == ERR_OK)
        error = json_text_string(out, user_id);
    if (error == ERR_OK)
        error = buf_printf(out, ",\"lastSeen\":%" PRId64 ",\"cause\":\"%s\"}", last_seen_ms,
                           offline_cause_text(cause));
    if (error != ERR_OK)
        out->len = len;
    return error;
}

/* ---- as backends read it ---- */

size_t event_id_write(unsigned partition, struct epoch epoch, uint64_t seq,
                      char out[EVENT_ID_MAX_BYTES])
{
    char *end = put_number(out, partition);
    *end++ = '.';
    return (size_t)(end - out) + message_id_write(epoch, seq, end);
}

enum err event_show(struct buf *out, const struct event_place *place, struct span data)
{
    char id[EVENT_ID_MAX_BYTES];
    event_id_write(place->partition, place->epoch, place->seq, id);
    size_t len = out->len;
    struct span type = type_in(data);
    enum err error = buf_printf(out, "{\"id\":\"%s\",", id);
    if (error == ERR_OK && type.len > 0) {
        size_t head = (size_t)(type.bytes + type.len + 1 - (data.bytes + 1)); /* `"type":"..."` */
        error = buf_append(out, data.bytes + 1, head);
        data = (struct span){data.bytes + head, data.len - head};
        if (error == ERR_OK)
            error = buf_append_text(out, ",");
    }
    if (error == ERR_OK)
        error = buf_printf(out, "\"time\":%" PRId64, place->time_ms);
    /* What is left of the data is one byte, and then further members after a comma, or the end. */
    struct span rest = {data.bytes + 1, data.len - 1};
    bool is_more = type.len == 0 && rest.len > 1;
    if (error == ERR_OK && is_more)
        error = buf_append_text(out, ",");
    if (error == ERR_OK)
        error = buf_append_span(out, rest);
    if (error != ERR_OK)
        out->len = len;
    return error;
}

enum err event_show_gap(struct buf *out, const struct event_place *place, uint64_t from,
                        enum gap_cause cause)
{
    char id[EVENT_ID_MAX_BYTES];
    event_id_write(place->partition, place->epoch, place->seq, id);
    return buf_printf(out,
                      "{\"id\":\"%s\",\"type\":\"gap\",\"time\":%" PRId64
                      ",\"partition\":%u,\"from\":%" PRIu64 ",\"to\":%" PRIu64 ",\"cause\":\"%s\"}",
                      id, place->time_ms, place->partition, from, place->seq,
                      gap_cause_text(cause));
}
