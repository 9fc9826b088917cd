/* What a herald.v1 client says, and that whatever the server says is JSON. */
#include "proto/bytes/utf8.h"
#include "proto/json/json_string.h"
#include "proto/json/json_text.h"
#include "proto/note/envelope.h"
#include "proto/note/event_message.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/json_valid.h"

/* What a client says becomes an event, in which its data stands as it was sent. */
static void write_event(const struct envelope_message *message, struct span text)
{
    const struct event_message said = {.user_id = SPAN_LITERAL("u"),
                                       .connection = 0x7f3a,
                                       .level = "herald.v1",
                                       .client_id = message->client_id,
                                       .data = message->data};
    struct buf out;
    size_t offset;
    FUZZ_CHECK(fuzz_is_inside(message->data, text));
    buf_init(&out, EVENT_MESSAGE_EXTRA_MAX_BYTES + message->data.len);
    FUZZ_CHECK(event_write_message(&out, &said) == ERR_OK);
    FUZZ_CHECK(json_is_valid(buf_span(&out), &offset));
    FUZZ_CHECK(out.len > message->data.len && memcmp(out.bytes + out.len - 1 - message->data.len,
                                                     message->data.bytes, message->data.len) == 0);
    buf_fini(&out);
}

static void read_said(struct span text)
{
    static const char *const codes[] = {"bad-json", "bad-message", "bad-ack", "bad-auth"};
    struct envelope_message message;
    const char *code = NULL;
    const char *detail = NULL;
    size_t offset;
    enum err error = envelope_read(text, &message, &code, &detail);
    if (error != ERR_OK) {
        bool is_known = false;
        for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
            is_known = is_known || (code != NULL && strcmp(code, codes[i]) == 0);
        FUZZ_CHECK(is_known && detail != NULL);
        FUZZ_CHECK((error == ERR_BAD_JSON) == (strcmp(code, "bad-json") == 0));
        return;
    }
    FUZZ_CHECK(json_is_valid(text, &offset));
    FUZZ_CHECK(message.kind <= ENVELOPE_PING);
    if (message.kind == ENVELOPE_ACK)
        FUZZ_CHECK(message.seq > 0 && !epoch_is_none(message.epoch));
    if (message.kind == ENVELOPE_MESSAGE && message.client_id.len > 0) {
        struct buf out;
        fuzz_log_init(&out);
        FUZZ_CHECK(fuzz_is_inside(message.client_id, text));
        const struct envelope_error told = {
            .code = "not-taken", .detail = "no", .field = "data", .raw_id = message.client_id};
        FUZZ_CHECK(envelope_error(&out, &told) == ERR_OK);
        FUZZ_CHECK(json_is_valid(buf_span(&out), &offset));
        buf_clear(&out);
        FUZZ_CHECK(envelope_accepted(&out, message.client_id) == ERR_OK);
        FUZZ_CHECK(json_is_valid(buf_span(&out), &offset));
        buf_fini(&out);
    }
    if (message.kind == ENVELOPE_MESSAGE && message.data.bytes != NULL)
        write_event(&message, text);
    if (message.kind == ENVELOPE_AUTH)
        FUZZ_CHECK(message.token.len > 0 && fuzz_is_inside(message.token, text));
}

/* Is the whole of `json` an object, in which the string that begins after `name` is `text`? */
static void check_member(struct span json, const char *name, struct span text)
{
    size_t offset, at, len;
    FUZZ_CHECK(json_is_valid(json, &offset));
    const char *found = memmem(json.bytes, json.len, name, strlen(name));
    FUZZ_CHECK(found != NULL);
    struct json_scan scan;
    struct span raw;
    bool has_escapes;
    found += strlen(name);
    json_scan_init(&scan, (struct span){found, json.len - (size_t)(found - json.bytes)});
    FUZZ_CHECK(json_scan_string(&scan, &raw, &has_escapes));
    char *out = malloc(raw.len + 1);
    FUZZ_CHECK(out != NULL);
    FUZZ_CHECK(json_string_decode(raw, out, raw.len, &len, &at) == ERR_OK);
    FUZZ_CHECK(span_equal((struct span){out, len}, text));
    free(out);
}

/* `text` is UTF-8; nothing else is ever handed to these. */
static void write_all(struct span text)
{
    struct buf out;
    struct envelope_hello hello = {.connection = SPAN_LITERAL("c-1"),
                                   .user_id = text,
                                   .epoch = {"abcdefgh"},
                                   .acked = text.len,
                                   .head = UINT64_MAX,
                                   .ping_interval_ms = (int64_t)text.len * 100};
    fuzz_log_init(&out);
    FUZZ_CHECK(envelope_hello(&out, &hello) == ERR_OK);
    check_member(buf_span(&out), "\"user\":", text);
    buf_clear(&out);

    struct payload *payload = payload_new(SPAN_LITERAL("{\"a\":1}"));
    struct notification *note =
        notification_new(payload, (struct epoch){"abcdefgh"}, text.len, 1, INT64_MAX);
    FUZZ_CHECK(note != NULL && envelope_notification(&out, note) == ERR_OK);
    size_t offset;
    FUZZ_CHECK(json_is_valid(buf_span(&out), &offset));
    notification_unref(note);
    payload_unref(payload);
    buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    char *copy = fuzz_copy((struct span){(const char *)bytes, len});
    struct span text = {copy, len};
    read_said(text);
    if (utf8_is_valid(text))
        write_all(text);
    free(copy);
    return 0;
}
