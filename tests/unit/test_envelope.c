/* herald.v1: what the server says, letter by letter as CONTRACT 2 shows it, and what clients say.
 */
#include "proto/note/envelope.h"

#include "tests/unit/written.h"

#include <cjson/cJSON.h>
#include <criterion/criterion.h>

/* As expect_text; and it is JSON for somebody else too. */
static void expect_json(struct buf *out, enum err error, const char *expected)
{
    cJSON *json = cJSON_ParseWithLength(out->bytes, out->len);
    cr_expect(cJSON_IsObject(json), "%s", expected);
    cJSON_Delete(json);
    expect_text(out, error, expected);
}

static void write_note(struct buf *out, const char *data, uint64_t seq, bool is_replay,
                       const char *expected)
{
    struct payload *payload = payload_new(span_of(data));
    struct notification *note = notification_new(payload, seq == 0 ? (struct epoch){0} : EPOCH, seq,
                                                 1790000000123, seq == 0 ? 0 : 1790604800123);
    note->is_replay = is_replay;
    expect_json(out, envelope_notification(out, note), expected);
    notification_unref(note);
    payload_unref(payload);
}

static struct envelope_hello a_hello(void)
{
    return (struct envelope_hello){.connection = SPAN_LITERAL("c-7f3a"),
                                   .user_id = SPAN_LITERAL("42"),
                                   .epoch = EPOCH,
                                   .acked = 112,
                                   .head = 117,
                                   .is_resumed = true,
                                   .ping_interval_ms = 10000};
}

Test(envelope, greets_as_the_contract_shows_it)
{
    struct buf out;
    struct envelope_hello hello = a_hello();
    buf_init(&out, 1024);
    expect_json(
        &out, envelope_hello(&out, &hello),
        "{\"type\":\"hello\",\"connection\":\"c-7f3a\",\"user\":\"42\",\"epoch\":\"k3f9a2qd\","
        "\"acked\":112,\"head\":117,\"resumed\":true,\"pingInterval\":10}");
    buf_fini(&out);
}

Test(envelope, greets_a_user_without_an_epoch_with_null)
{
    struct buf out;
    struct envelope_hello hello = a_hello();
    hello.epoch = (struct epoch){0};
    hello.acked = 0;
    hello.head = 0;
    hello.is_resumed = false;
    buf_init(&out, 1024);
    expect_json(&out, envelope_hello(&out, &hello),
                "{\"type\":\"hello\",\"connection\":\"c-7f3a\",\"user\":\"42\",\"epoch\":null,"
                "\"acked\":0,\"head\":0,\"resumed\":false,\"pingInterval\":10}");
    buf_fini(&out);
}

Test(envelope, writes_the_ping_interval_in_seconds)
{
    static const struct {
        int64_t ms;
        const char *seconds;
    } rows[] = {{500, ":0.5}"},        {10, ":0.01}"},  {1, ":0.001}"},    {1000, ":1}"},
                {1250, ":1.25}"},      {30000, ":30}"}, {100000, ":100}"}, {100100, ":100.1}"},
                {86400000, ":86400}"}, {0, ":0}"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf out;
        struct envelope_hello hello = a_hello();
        hello.ping_interval_ms = rows[i].ms;
        buf_init(&out, 1024);
        cr_assert_eq(envelope_hello(&out, &hello), ERR_OK);
        size_t len = strlen(rows[i].seconds);
        cr_expect(
            span_equal((struct span){out.bytes + out.len - len, len}, span_of(rows[i].seconds)),
            "%.*s", (int)out.len, out.bytes);
        buf_fini(&out);
    }
}

Test(envelope, escapes_the_user_that_it_greets)
{
    struct buf out;
    struct envelope_hello hello = a_hello();
    hello.user_id = SPAN_LITERAL("a\"b\\c/\xc3\xa9");
    buf_init(&out, 1024);
    cr_assert_eq(envelope_hello(&out, &hello), ERR_OK);
    cJSON *json = cJSON_ParseWithLength(out.bytes, out.len);
    cr_assert_not_null(json);
    cr_expect_str_eq(cJSON_GetStringValue(cJSON_GetObjectItem(json, "user")), "a\"b\\c/\xc3\xa9");
    cJSON_Delete(json);
    buf_fini(&out);
}

Test(envelope, writes_notifications_with_their_data_byte_for_byte)
{
    struct buf out;
    buf_init(&out, 1024);
    write_note(&out, "{\"n\": 9007199254740993 }", 118, false,
               "{\"type\":\"notification\",\"id\":\"k3f9a2qd-118\",\"seq\":118,"
               "\"time\":1790000000123,\"expires\":1790604800123,\"replay\":false,"
               "\"data\":{\"n\": 9007199254740993 }}");
    write_note(&out, "1", UINT64_MAX, true,
               "{\"type\":\"notification\",\"id\":\"k3f9a2qd-18446744073709551615\","
               "\"seq\":18446744073709551615,\"time\":1790000000123,\"expires\":1790604800123,"
               "\"replay\":true,\"data\":1}");
    buf_fini(&out);
}

/* CONTRACT 2: a ttl-0 notification has neither id, seq nor expires. */
Test(envelope, writes_a_notification_without_a_number_without_id_seq_and_expires)
{
    struct buf out;
    buf_init(&out, 1024);
    write_note(
        &out, "\"x\"", 0, false,
        "{\"type\":\"notification\",\"time\":1790000000123,\"replay\":false,\"data\":\"x\"}");
    buf_fini(&out);
}

Test(envelope, writes_times_before_1970_and_at_their_bounds)
{
    static const struct {
        int64_t ms;
        const char *text;
    } rows[] = {{0, "\"time\":0,"},
                {-1, "\"time\":-1,"},
                {INT64_MAX, "\"time\":9223372036854775807,"},
                {INT64_MIN, "\"time\":-9223372036854775808,"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf out;
        struct payload *payload = payload_new(SPAN_LITERAL("1"));
        struct notification *note = notification_new(payload, EPOCH, 1, rows[i].ms, rows[i].ms);
        buf_init(&out, 1024);
        cr_assert_eq(envelope_notification(&out, note), ERR_OK);
        cr_expect_not_null(memmem(out.bytes, out.len, rows[i].text, strlen(rows[i].text)));
        buf_fini(&out);
        notification_unref(note);
        payload_unref(payload);
    }
}

Test(envelope, writes_gaps_with_their_cause)
{
    struct buf out;
    buf_init(&out, 1024);
    expect_json(&out, envelope_gap(&out, EPOCH, &(struct gap){113, 116, GAP_EXPIRED}),
                "{\"type\":\"gap\",\"epoch\":\"k3f9a2qd\",\"from\":113,\"to\":116,"
                "\"cause\":\"expired\"}");
    expect_json(&out, envelope_gap(&out, EPOCH, &(struct gap){1, UINT64_MAX, GAP_RESET}),
                "{\"type\":\"gap\",\"epoch\":\"k3f9a2qd\",\"from\":1,"
                "\"to\":18446744073709551615,\"cause\":\"reset\"}");
    expect_json(&out, envelope_gap(&out, (struct epoch){0}, &(struct gap){0, 0, GAP_RESET}),
                "{\"type\":\"gap\",\"epoch\":null,\"from\":0,\"to\":0,\"cause\":\"reset\"}");
    buf_fini(&out);
}

Test(envelope, writes_the_short_messages)
{
    struct buf out;
    buf_init(&out, 1024);
    expect_json(&out, envelope_cancel(&out, EPOCH, 118),
                "{\"type\":\"cancel\",\"id\":\"k3f9a2qd-118\"}");
    expect_json(&out, envelope_goaway(&out, 18230, "drain"),
                "{\"type\":\"goaway\",\"reconnectAfterMs\":18230,\"reason\":\"drain\"}");
    struct envelope_error told = {.code = "bad-ack", .detail = "id must be EPOCH-SEQ"};
    expect_json(&out, envelope_error(&out, &told),
                "{\"type\":\"error\",\"code\":\"bad-ack\",\"detail\":\"id must be EPOCH-SEQ\"}");
    told = (struct envelope_error){.code = "bad-json", .detail = "\\u takes four"};
    expect_json(&out, envelope_error(&out, &told),
                "{\"type\":\"error\",\"code\":\"bad-json\",\"detail\":\"\\\\u takes four\"}");
    told = (struct envelope_error){.code = "too-large",
                                   .raw_id = SPAN_LITERAL("c\\u002d\\\"17"),
                                   .detail = "off",
                                   .field = "data"};
    expect_json(&out, envelope_error(&out, &told),
                "{\"type\":\"error\",\"code\":\"too-large\",\"id\":\"c\\u002d\\\"17\","
                "\"detail\":\"off\",\"field\":\"data\"}");
    expect_json(&out, envelope_accepted(&out, SPAN_LITERAL("c\\u002d\\\"17")),
                "{\"type\":\"accepted\",\"id\":\"c\\u002d\\\"17\"}");
    expect_json(&out, envelope_stay(&out), "{\"type\":\"stay\"}");
    expect_json(&out, envelope_pong(&out), "{\"type\":\"pong\"}");
    buf_fini(&out);
}

static enum err write_any(struct buf *out, int which, const struct notification *note)
{
    struct envelope_hello hello = a_hello();
    switch (which) {
    case 0:
        return envelope_hello(out, &hello);
    case 1:
        return envelope_notification(out, note);
    case 2:
        return envelope_gap(out, EPOCH, &(struct gap){1, 2, GAP_OVERFLOW});
    case 3:
        return envelope_cancel(out, EPOCH, 1);
    case 4:
        return envelope_goaway(out, 1, "drain");
    case 5:
        return envelope_error(out, &(struct envelope_error){.code = "bad-ack",
                                                            .detail = "no",
                                                            .field = "data",
                                                            .raw_id = SPAN_LITERAL("c-17")});
    case 6:
        return envelope_stay(out);
    case 7:
        return envelope_accepted(out, SPAN_LITERAL("c-17"));
    default:
        return envelope_pong(out);
    }
}

Test(envelope, leaves_the_buffer_as_it_was_when_there_is_no_room)
{
    struct payload *payload = payload_new(SPAN_LITERAL("[1,2]"));
    struct notification *note = notification_new(payload, EPOCH, 7, 1, 2);
    for (int which = 0; which <= 8; which++) {
        struct buf whole;
        buf_init(&whole, 1024);
        cr_assert_eq(write_any(&whole, which, note), ERR_OK);
        for (size_t max = 1; max < whole.len + 1; max++) {
            struct buf out;
            buf_init(&out, max);
            cr_assert_eq(buf_append(&out, "x", 1), ERR_OK);
            cr_expect_eq(write_any(&out, which, note), ERR_FULL, "%d, %zu", which, max);
            cr_expect_eq(out.len, 1);
            buf_fini(&out);
        }
        struct buf just;
        buf_init(&just, whole.len);
        cr_expect_eq(write_any(&just, which, note), ERR_OK, "%d", which);
        buf_fini(&just);
        buf_fini(&whole);
    }
    notification_unref(note);
    payload_unref(payload);
}
