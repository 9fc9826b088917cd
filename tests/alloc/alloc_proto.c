/* The protocol's readers and writers without memory: the error is ERR_NO_MEMORY or the documented
 * one, and nothing is leaked. */
#include "admin/keys.h"
#include "admin/routes/ndjson.h"
#include "gateway/base/options.h"
#include "gateway/stores/redis/redis_record.h"
#include "proto/json/json_text.h"
#include "proto/note/envelope.h"
#include "proto/note/notification_forms.h"
#include "proto/note/push_json.h"
#include "proto/note/sse.h"
#include "proto/token/jwt.h"
#include "proto/ws/deflate.h"
#include "proto/ws/handshake.h"
#include "tests/alloc/fail.h"

#define EPOCH ((struct epoch){"abcdefgh"})

static void push_requests(void)
{
    static const char *const bodies[] = {
        "{\"userId\":\"a\",\"data\":1}",
        "{\"userId\":\"\\u00e4\",\"data\":[1],\"collapseKey\":\"\\u0041\",\"idempotencyKey\":"
        "\"x\"}",
        "{\"userIds\":[\"a\",\"\\u00e4\",\"c\"],\"data\":{}}",
    };
    const struct push_limits limits = {.max_data_bytes = 100, .default_ttl_s = 60};
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        struct push_request push;
        struct json_problem problem;
        if (!WENT_WELL(push_request_parse(span_of(bodies[i]), &limits, &push, &problem))) {
            CHECK(problem.error == ERR_NO_MEMORY);
            continue;
        }
        CHECK(push.n_users == (i == 2 ? 3 : 1));
        push_request_fini(&push);
    }
}

static void buffers(void)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    for (size_t i = 0; i < 200; i++) {
        size_t before = out.len;
        if (!WENT_WELL(buf_printf(&out, "%zu more bytes than there were", i)) ||
            !WENT_WELL(json_text_string(&out, SPAN_LITERAL("a \"quoted\" text\n"))))
            CHECK(out.len >= before && (out.bytes != NULL || out.len == 0));
    }
    buf_fini(&out);
}

static void write_note(struct notification *note)
{
    struct buf out;
    size_t before;
    struct gap gap = {1, 2, GAP_EXPIRED};
    struct envelope_hello hello = {.connection = SPAN_LITERAL("c-1"),
                                   .user_id = SPAN_LITERAL("anna"),
                                   .epoch = EPOCH,
                                   .ping_interval_ms = 1500};
    buf_init(&out, 1 << 20);
#define WRITE(call)                                                                                \
    do {                                                                                           \
        before = out.len;                                                                          \
        if (!WENT_WELL(call))                                                                      \
            CHECK(out.len == before);                                                              \
    } while (0)
    WRITE(envelope_hello(&out, &hello));
    WRITE(envelope_notification(&out, note));
    WRITE(envelope_gap(&out, EPOCH, &gap));
    WRITE(envelope_cancel(&out, EPOCH, 7));
    WRITE(envelope_goaway(&out, 100, "drain"));
    const struct envelope_error told = {"bad-ack", "what was wrong", "data", SPAN_LITERAL("c-17")};
    WRITE(envelope_error(&out, &told));
    WRITE(envelope_accepted(&out, SPAN_LITERAL("c-17")));
    WRITE(envelope_auth(&out, 1700000000000));
    WRITE(sse_notification(&out, note));
    WRITE(sse_gap(&out, EPOCH, &gap));
    WRITE(sse_begin(&out, 1000, EPOCH, 3));
    WRITE(handshake_accept(&out, LEVEL_V1, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "", ""));
#undef WRITE
    buf_fini(&out);
}

static void notifications(void)
{
    struct payload *payload =
        payload_new_keyed(SPAN_LITERAL("{\"a\":\n\"0123456789\"}"), SPAN_LITERAL("key"));
    if (payload == NULL) {
        CHECK(fail_has_happened());
        return;
    }
    struct notification *note = notification_new(payload, EPOCH, 7, 1, INT64_MAX);
    payload_unref(payload);
    if (note == NULL) {
        CHECK(fail_has_happened());
        return;
    }
    for (int form = FORM_PLAIN; form <= FORM_SSE; form++)
        CHECK(notification_form(note, (enum notification_form)form) != NULL || fail_has_happened());
    write_note(note);
    for (int form = FORM_PLAIN; form <= FORM_SSE; form++)
        CHECK(notification_form(note, (enum notification_form)form) != NULL || fail_has_happened());
    notification_unref(note);
}

static void gap_lists(void)
{
    struct gaps *gaps = NULL;
    struct gap *missing = NULL;
    size_t n = 0;
    const uint64_t seqs[] = {10, 20, 30};
    for (uint64_t seq = 1; seq < 200; seq += 2)
        if (!WENT_WELL(gaps_add(&gaps, seq, seq, seq % 3 ? GAP_EXPIRED : GAP_CANCELLED)))
            CHECK(gaps_find(gaps, seq) == GAP_NONE);
    if (WENT_WELL(gaps_missing(gaps, 5, 1, 200, seqs, 3, &missing, &n))) {
        CHECK(n > 3);
        free(missing);
    }
    free(gaps);
    gaps = NULL;
    if (WENT_WELL(gaps_read(SPAN_LITERAL("1-2:e,4-4:c,6-6:l,8-8:o,10-10:u"), &gaps)))
        CHECK(gaps->n == 5);
    free(gaps);
}

static void redis_records(void)
{
    struct inbox_event event;
    struct notification *note = NULL;
    if (WENT_WELL(redis_message_read(SPAN_LITERAL("M:k3f9a2qd:118:1:2:0:0:3:key{}"), &event)))
        inbox_event_unref(event);
    if (WENT_WELL(redis_message_read(SPAN_LITERAL("W:k3f9a2qd:3:5:"), &event)))
        inbox_event_unref(event);
    if (WENT_WELL(redis_entry_read(EPOCH, 7, SPAN_LITERAL("2:1:0:{}"), &note)))
        notification_unref(note);
}

static void compression(void)
{
    struct deflater *deflater = NULL;
    struct inflater *inflater = NULL;
    struct buf small, text;
    buf_init(&small, 1 << 16);
    buf_init(&text, 1 << 16);
    struct span hello = SPAN_LITERAL("hello hello hello hello hello");
    if (WENT_WELL(deflater_new(&deflater)) && WENT_WELL(inflater_new(&inflater)) &&
        WENT_WELL(deflater_message(deflater, hello, &small)) &&
        WENT_WELL(inflater_message(inflater, buf_span(&small), 1000, &text)))
        CHECK(span_equal(buf_span(&text), hello));
    buf_fini(&small);
    buf_fini(&text);
    deflater_free(deflater);
    inflater_free(inflater);
}

static void token_keys(void)
{
    static const char *const files[] = {
        "an-HS256-secret-of-forty-bytes,-at-least",
        "{\"keys\":[{\"kty\":\"oct\",\"kid\":\"h\",\"k\":"
        "\"YW4gSFMyNTYgc2VjcmV0IG9mIGZvcnR5IGJ5dGVzLCBhdCBsZWFzdA\"}]}",
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct jwt_keys *keys = NULL;
        char why[100] = "";
        if (!WENT_WELL(jwt_keys_read(span_of(files[i]), NULL, NULL, &keys, why, sizeof why))) {
            CHECK(keys == NULL && why[0] != '\0');
            continue;
        }
        CHECK(jwt_keys_count(keys) == 1);
        jwt_keys_unref(keys);
    }
}

static void admin_keys(void)
{
    struct keys *keys = NULL;
    char why[100] = "";
    if (!WENT_WELL(keys_read(SPAN_LITERAL("a push 0123456789abcdef\nb read 0123456789abcdeg\n"),
                             &keys, why, sizeof why))) {
        CHECK(why[0] != '\0');
        return;
    }
    CHECK(keys->n == 2 && keys_find(keys, SPAN_LITERAL("Bearer 0123456789abcdef")) != NULL);
    free(keys);
}

static void lines(void)
{
    struct ndjson_splitter splitter;
    struct ndjson_line line;
    unsigned n = 0;
    ndjson_splitter_init(&splitter, 1000);
    static const char *const pieces[] = {"{\"a\":", "1}\n{\"b\"", ":2}\n{\"c\":3}\n{\"d\"", ":4}"};
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        struct span rest = span_of(pieces[i]);
        while (ndjson_next(&splitter, &rest, &line)) {
            n++;
            CHECK(line.number == n);
            (void)WENT_WELL(line.error);
        }
    }
    if (ndjson_last(&splitter, &line))
        (void)WENT_WELL(line.error);
    CHECK(n == 3);
    ndjson_splitter_fini(&splitter);
}

static void options_of_flags(void)
{
    char *argv[] = {(char[]){"herald"},
                    (char[]){"--store=memory:"},
                    (char[]){"--allowed-origin=https://a, https://b"},
                    (char[]){"--workers"},
                    (char[]){"999"},
                    NULL};
    struct options options;
    enum options_action action;
    char why[200];
    if (WENT_WELL(options_read(3, argv, NULL, &options, &action, why, sizeof why))) {
        struct buf out;
        buf_init(&out, 1 << 20);
        (void)WENT_WELL(options_print_config(&options, &out));
        (void)WENT_WELL(options_print_help(&out));
        buf_fini(&out);
        options_fini(&options);
    } else {
        CHECK(why[0] != '\0');
    }
    enum err error = options_read(5, argv, NULL, &options, &action, why, sizeof why);
    CHECK(error == ERR_INVALID_FIELD || (error == ERR_NO_MEMORY && fail_has_happened()));
}

int main(void)
{
    fail_each("push_requests", push_requests);
    fail_each("buffers", buffers);
    fail_each("notifications", notifications);
    fail_each("gap_lists", gap_lists);
    fail_each("redis_records", redis_records);
    fail_each("compression", compression);
    fail_each("token_keys", token_keys);
    fail_each("admin_keys", admin_keys);
    fail_each("lines", lines);
    fail_each("options", options_of_flags);
    return 0;
}
