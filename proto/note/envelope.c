/* Writing: a notification is the message written most often, so its members before the data are put
 * into a small array, and the buffer reserves room once. All other messages are rare and are
 * printed with a format.
 *
 * Reading takes two steps. First the whole message is scanned as JSON, and its known members
 * are noted as slices of it. Malformed JSON or a repeated known member is bad-json, whatever the
 * message is. Then `type` decides which of the slices is read. */
#include "proto/note/envelope.h"

#include "proto/bytes/put.h"
#include "proto/json/json_scan.h"
#include "proto/json/json_string.h"
#include "proto/json/json_text.h"
#include "proto/note/event_message.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- messages of the server ---- */

enum { EPOCH_JSON_MAX_BYTES = EPOCH_LEN + 3 };

static const char *epoch_json(struct epoch epoch, char out[EPOCH_JSON_MAX_BYTES])
{
    if (epoch_is_none(epoch))
        return "null";
    out[0] = '"';
    memcpy(out + 1, epoch.text, EPOCH_LEN);
    memcpy(out + 1 + EPOCH_LEN, "\"", 2);
    return out;
}

/* 10000 is 10, 500 is 0.5. */
static void write_seconds(int64_t ms, char out[32])
{
    int len = snprintf(out, 32, "%" PRId64 ".%03d", ms / 1000, (int)(ms % 1000));
    while (out[len - 1] == '0')
        len--;
    if (out[len - 1] == '.')
        len--;
    out[len] = '\0';
}

enum err envelope_hello(struct buf *out, const struct envelope_hello *hello)
{
    char epoch[EPOCH_JSON_MAX_BYTES];
    char ping_interval[32];
    size_t before = out->len;
    write_seconds(hello->ping_interval_ms, ping_interval);
    enum err error = buf_append_text(out, "{\"type\":\"hello\",\"connection\":");
    if (error == ERR_OK)
        error = json_text_string(out, hello->connection);
    if (error == ERR_OK)
        error = buf_append_text(out, ",\"user\":");
    if (error == ERR_OK)
        error = json_text_string(out, hello->user_id);
    if (error == ERR_OK)
        error = buf_printf(out,
                           ",\"epoch\":%s,\"acked\":%" PRIu64 ",\"head\":%" PRIu64
                           ",\"resumed\":%s,\"pingInterval\":%s}",
                           epoch_json(hello->epoch, epoch), hello->acked, hello->head,
                           hello->is_resumed ? "true" : "false", ping_interval);
    if (error != ERR_OK)
        out->len = before;
    return error;
}

/* Everything but the data and the brace after it. */
enum { FRONT_MAX_BYTES = 128 + MESSAGE_ID_MAX_BYTES + 3 * PUT_NUMBER_MAX_BYTES };

static size_t write_front(const struct notification *note, char out[FRONT_MAX_BYTES])
{
    char *at = PUT_LITERAL(out, "{\"type\":\"notification\",");
    if (note->seq != 0) {
        at = PUT_LITERAL(at, "\"id\":\"");
        at += message_id_write(note->epoch, note->seq, at);
        at = PUT_LITERAL(at, "\",\"seq\":");
        at = put_number(at, note->seq);
        at = PUT_LITERAL(at, ",");
    }
    at = PUT_LITERAL(at, "\"time\":");
    at = put_signed(at, note->time_ms);
    if (note->seq != 0) {
        at = PUT_LITERAL(at, ",\"expires\":");
        at = put_signed(at, note->expires_ms);
    }
    at = note->is_replay ? PUT_LITERAL(at, ",\"replay\":true,\"data\":")
                         : PUT_LITERAL(at, ",\"replay\":false,\"data\":");
    return (size_t)(at - out);
}

enum err envelope_notification(struct buf *out, const struct notification *note)
{
    char front[FRONT_MAX_BYTES];
    struct span data = payload_data(note->payload);
    size_t front_len = write_front(note, front);
    enum err error = buf_reserve(out, front_len + data.len + 1);
    if (error != ERR_OK)
        return error;
    char *at = put_span(out->bytes + out->len, (struct span){front, front_len});
    at = put_span(at, data);
    *at++ = '}';
    out->len = (size_t)(at - out->bytes);
    return ERR_OK;
}

enum err envelope_gap_members(struct buf *out, struct epoch epoch, const struct gap *gap)
{
    char text[EPOCH_JSON_MAX_BYTES];
    return buf_printf(out, "\"epoch\":%s,\"from\":%" PRIu64 ",\"to\":%" PRIu64 ",\"cause\":\"%s\"",
                      epoch_json(epoch, text), gap->from, gap->to, gap_cause_text(gap->cause));
}

enum err envelope_gap(struct buf *out, struct epoch epoch, const struct gap *gap)
{
    size_t before = out->len;
    enum err error = buf_append_text(out, "{\"type\":\"gap\",");
    if (error == ERR_OK)
        error = envelope_gap_members(out, epoch, gap);
    if (error == ERR_OK)
        error = buf_append(out, "}", 1);
    if (error != ERR_OK)
        out->len = before;
    return error;
}

enum err envelope_cancel(struct buf *out, struct epoch epoch, uint64_t seq)
{
    char id[MESSAGE_ID_MAX_BYTES];
    message_id_write(epoch, seq, id);
    return buf_printf(out, "{\"type\":\"cancel\",\"id\":\"%s\"}", id);
}

enum err envelope_goaway(struct buf *out, uint32_t reconnect_after_ms, const char *reason)
{
    size_t before = out->len;
    enum err error = buf_printf(
        out,
        "{\"type\":\"goaway\",\"reconnectAfterMs\":%" PRIu32 ",\"reason\":", reconnect_after_ms);
    if (error == ERR_OK)
        error = json_text_string(out, span_of(reason));
    if (error == ERR_OK)
        error = buf_append(out, "}", 1);
    if (error != ERR_OK)
        out->len = before;
    return error;
}

enum err envelope_stay(struct buf *out)
{
    return buf_append_text(out, "{\"type\":\"stay\"}");
}

enum err envelope_accepted(struct buf *out, struct span raw_id)
{
    return buf_printf(out, "{\"type\":\"accepted\",\"id\":\"%.*s\"}", (int)raw_id.len,
                      raw_id.bytes);
}

enum err envelope_error(struct buf *out, const struct envelope_error *refused)
{
    size_t before = out->len;
    enum err error = buf_append_text(out, "{\"type\":\"error\",\"code\":");
    if (error == ERR_OK)
        error = json_text_string(out, span_of(refused->code));
    if (error == ERR_OK && refused->raw_id.len > 0)
        error =
            buf_printf(out, ",\"id\":\"%.*s\"", (int)refused->raw_id.len, refused->raw_id.bytes);
    if (error == ERR_OK)
        error = buf_append_text(out, ",\"detail\":");
    if (error == ERR_OK)
        error = json_text_string(out, span_of(refused->detail));
    if (error == ERR_OK && refused->field != NULL)
        error = buf_printf(out, ",\"field\":\"%s\"", refused->field);
    if (error == ERR_OK)
        error = buf_append(out, "}", 1);
    if (error != ERR_OK)
        out->len = before;
    return error;
}

enum err envelope_auth(struct buf *out, int64_t expires_ms)
{
    return buf_printf(out, "{\"type\":\"auth\",\"expires\":%" PRId64 "}", expires_ms);
}

enum err envelope_pong(struct buf *out)
{
    return buf_append_text(out, "{\"type\":\"pong\"}");
}

/* ---- messages of the client ---- */

enum member { MEMBER_TYPE, MEMBER_ID, MEMBER_TOKEN, MEMBER_DATA, MEMBERS, MEMBER_NONE = MEMBERS };

static const char *const member_names[MEMBERS] = {"type", "id", "token", "data"};

struct members {
    struct span raw[MEMBERS + 1]; /* no bytes: absent; the last is for all other names */
};

/* At least the length of every known name and type; a longer word is unknown. */
enum { WORD_MAX_BYTES = 8 };

/* Decodes a name or a type, which may be written with escapes. *ret_word points into `raw` or
 * `room`; a word that is too long is cut to a length that no known word has. */
static bool decode_word(struct span raw, char room[WORD_MAX_BYTES], struct span *ret_word)
{
    size_t len;
    size_t at;
    *ret_word = raw;
    if (raw.len == 0 || memchr(raw.bytes, '\\', raw.len) == NULL)
        return true;
    if (json_string_decode(raw, room, WORD_MAX_BYTES, &len, &at) != ERR_OK)
        return false;
    *ret_word = (struct span){room, len < WORD_MAX_BYTES ? len : WORD_MAX_BYTES};
    return true;
}

static bool fail_scan(struct json_scan *scan, const char *why)
{
    scan->why = why;
    return false;
}

static bool scan_name(struct json_scan *scan, const struct members *members,
                      enum member *ret_member)
{
    char room[WORD_MAX_BYTES];
    struct span name;
    bool has_escapes;
    if (!json_scan_string(scan, &name, &has_escapes))
        return false;
    if (!decode_word(name, room, &name))
        return fail_scan(scan, "a lone surrogate");
    int i = 0;
    while (i < MEMBERS && !span_equal(name, span_of(member_names[i])))
        i++;
    if (i < MEMBERS && members->raw[i].bytes != NULL)
        return fail_scan(scan, "this key stands twice");
    *ret_member = (enum member)i;
    return true;
}

static bool scan_member(struct json_scan *scan, struct members *members)
{
    enum member member;
    if (!scan_name(scan, members, &member))
        return false;
    json_scan_space(scan);
    if (!json_scan_byte(scan, ':', "':' must stand here"))
        return false;
    json_scan_space(scan);
    return json_scan_value(scan, &members->raw[member]);
}

static bool scan_message(struct json_scan *scan, struct members *members)
{
    bool is_closed;
    json_scan_space(scan);
    if (json_scan_peek(scan) != '{')
        return fail_scan(scan, "a message must be a JSON object");
    if (!json_scan_open(scan, &is_closed))
        return false;
    while (!is_closed) {
        if (!scan_member(scan, members) || !json_scan_next(scan, &is_closed))
            return false;
    }
    return json_scan_end(scan);
}

/* The bytes between the quotes of a scanned value. false: absent, or not a string. */
static bool take_string(struct span raw, struct span *ret_inner)
{
    if (raw.bytes == NULL || raw.bytes[0] != '"')
        return false;
    *ret_inner = (struct span){raw.bytes + 1, raw.len - 2};
    return true;
}

static bool take_id(struct span raw, struct envelope_message *message)
{
    char decoded[MESSAGE_ID_MAX_BYTES];
    struct span id;
    size_t len;
    size_t at;
    if (!take_string(raw, &id) ||
        json_string_decode(id, decoded, sizeof decoded, &len, &at) != ERR_OK ||
        len > sizeof decoded)
        return false;
    return message_id_parse((struct span){decoded, len}, &message->epoch, &message->seq) == ERR_OK;
}

/* The client's own id of its message, undecoded; empty if it is not a valid one. */
static struct span client_id(struct span raw)
{
    char decoded[CLIENT_ID_MAX_BYTES];
    struct span id;
    size_t len;
    size_t at;
    if (!take_string(raw, &id) ||
        json_string_decode(id, decoded, sizeof decoded, &len, &at) != ERR_OK ||
        len > sizeof decoded || len == 0)
        return (struct span){0};
    return id;
}

static enum envelope_kind kind_of(struct span type)
{
    if (span_equal(type, SPAN_LITERAL("ack")))
        return ENVELOPE_ACK;
    if (span_equal(type, SPAN_LITERAL("auth")))
        return ENVELOPE_AUTH;
    if (span_equal(type, SPAN_LITERAL("message")))
        return ENVELOPE_MESSAGE;
    return span_equal(type, SPAN_LITERAL("ping")) ? ENVELOPE_PING : ENVELOPE_UNKNOWN;
}

static enum err refuse_message(enum err error, const char *code, const char *detail,
                               const char **ret_code, const char **ret_detail)
{
    *ret_code = code;
    *ret_detail = detail;
    return error;
}

enum err envelope_read(struct span text, struct envelope_message *ret_message,
                       const char **ret_code, const char **ret_detail)
{
    char room[WORD_MAX_BYTES];
    struct json_scan scan;
    struct members members = {0};
    struct envelope_message message = {0};
    struct span type;
    json_scan_init(&scan, text.len > 0 ? text : SPAN_LITERAL(""));
    if (!scan_message(&scan, &members))
        return refuse_message(ERR_BAD_JSON, "bad-json", scan.why, ret_code, ret_detail);
    if (!take_string(members.raw[MEMBER_TYPE], &type))
        return refuse_message(ERR_INVALID_FIELD, "bad-message", "type must be a string", ret_code,
                              ret_detail);
    if (!decode_word(type, room, &type))
        return refuse_message(ERR_BAD_JSON, "bad-json", "a lone surrogate", ret_code, ret_detail);
    message.kind = kind_of(type);
    if (message.kind == ENVELOPE_ACK && !take_id(members.raw[MEMBER_ID], &message))
        return refuse_message(ERR_INVALID_FIELD, "bad-ack", "id must be EPOCH-SEQ", ret_code,
                              ret_detail);
    if (message.kind == ENVELOPE_AUTH &&
        (!take_string(members.raw[MEMBER_TOKEN], &message.token) || message.token.len == 0))
        return refuse_message(ERR_INVALID_FIELD, "bad-auth",
                              "token must be a string that is not empty", ret_code, ret_detail);
    if (message.kind == ENVELOPE_MESSAGE) {
        message.client_id = client_id(members.raw[MEMBER_ID]);
        message.data = members.raw[MEMBER_DATA];
    }
    *ret_message = message;
    return ERR_OK;
}
