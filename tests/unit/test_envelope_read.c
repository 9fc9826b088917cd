/* herald.v1: what clients say, and what no client should. */
#include "proto/note/envelope.h"

#include "tests/support/guarded.h"
#include "tests/unit/written.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static struct envelope_message said_by(const char *text)
{
    struct envelope_message message = {0};
    const char *code = NULL;
    const char *detail = NULL;
    enum err error = envelope_read(guarded(span_of(text)), &message, &code, &detail);
    cr_assert_eq(error, ERR_OK, "%s: %s, %s", text, code, detail);
    return message;
}

static void expect_refused(struct span text, enum err expected, const char *expected_code)
{
    struct envelope_message message = {.kind = ENVELOPE_PING, .seq = 99};
    const char *code = "";
    const char *detail = NULL;
    enum err error = envelope_read(guarded(text), &message, &code, &detail);
    cr_expect_eq(error, expected, "%.*s", (int)text.len, text.bytes);
    cr_expect_str_eq(code, expected_code, "%.*s", (int)text.len, text.bytes);
    cr_expect_not_null(detail);
    cr_expect_eq(message.kind, ENVELOPE_PING);
    cr_expect_eq(message.seq, 99);
}

#define BAD_JSON(text)        expect_refused(SPAN_LITERAL(text), ERR_BAD_JSON, "bad-json")
#define INVALID(text, a_code) expect_refused(SPAN_LITERAL(text), ERR_INVALID_FIELD, a_code)

static void expect_ack(const char *text, const char *epoch, uint64_t seq)
{
    struct envelope_message message = said_by(text);
    cr_expect_eq(message.kind, ENVELOPE_ACK, "%s", text);
    cr_expect(epoch_equal(message.epoch, epoch_of(epoch)), "%s", text);
    cr_expect_eq(message.seq, seq, "%s", text);
}

Test(envelope_read, takes_an_ack)
{
    expect_ack("{\"type\":\"ack\",\"id\":\"k3f9a2qd-118\"}", "k3f9a2qd", 118);
    expect_ack("{\"id\":\"00000000-1\",\"type\":\"ack\"}", "00000000", 1);
    expect_ack(" {\n\t\"type\" : \"ack\" ,\r\"id\" : \"zzzzzzzz-18446744073709551615\" } ",
               "zzzzzzzz", UINT64_MAX);
}

Test(envelope_read, takes_names_and_values_written_with_escapes)
{
    expect_ack("{\"\\u0074ype\":\"\\u0061ck\",\"i\\u0064\":\"k3f9a2qd\\u002d118\"}", "k3f9a2qd",
               118);
    cr_expect_eq(said_by("{\"t\\u0079pe\":\"pin\\u0067\"}").kind, ENVELOPE_PING);
}

Test(envelope_read, takes_a_ping)
{
    cr_expect_eq(said_by("{\"type\":\"ping\"}").kind, ENVELOPE_PING);
    cr_expect_eq(said_by("{\"type\":\"ping\",\"id\":7,\"token\":[]}").kind, ENVELOPE_PING);
}

Test(envelope_read, gives_a_token_undecoded)
{
    const char *text = "{\"type\":\"auth\",\"token\":\"a.b\\/c\"}";
    struct envelope_message message = said_by(text);
    cr_expect_eq(message.kind, ENVELOPE_AUTH);
    cr_expect(span_equal(message.token, SPAN_LITERAL("a.b\\/c")));
}

/* CONTRACT 2: unknown fields and types are ignored by both sides. */
static void expect_message(const char *text, const char *client_id)
{
    struct envelope_message message = said_by(text);
    cr_expect_eq(message.kind, ENVELOPE_MESSAGE, "%s", text);
    cr_expect(span_equal(message.client_id, span_of(client_id)), "%s: %.*s", text,
              (int)message.client_id.len, message.client_id.bytes);
}

Test(envelope_read, gives_the_clients_id_of_its_message_undecoded)
{
#define OF_64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde"
    expect_message("{\"type\":\"message\",\"id\":\"c-17\",\"data\":{}}", "c-17");
    expect_message("{\"type\":\"message\",\"id\":\"c\\u002d\\\"17\"}", "c\\u002d\\\"17");
    expect_message("{\"type\":\"message\",\"id\":\"" OF_64 "f\"}", OF_64 "f");
    expect_message("{\"type\":\"message\",\"id\":\"" OF_64 "\\u0066\"}", OF_64 "\\u0066");
    expect_message("{\"type\":\"message\",\"id\":\"" OF_64 "f0\"}", "");
    expect_message("{\"type\":\"message\",\"id\":\"" OF_64 "\xc3\xbc\"}", "");
    expect_message("{\"type\":\"message\",\"id\":\"\\ud800\"}", "");
    expect_message("{\"type\":\"message\",\"id\":17}", "");
    expect_message("{\"type\":\"message\",\"id\":\"\"}", "");
    expect_message("{\"type\":\"message\"}", "");
}

Test(envelope_read, gives_the_data_of_a_message_byte_for_byte)
{
    struct envelope_message message =
        said_by("{\"data\": {\"a\" : [1, 2.50]} ,\"id\":\"c-17\",\"type\":\"message\"}");
    cr_expect(span_equal(message.data, SPAN_LITERAL("{\"a\" : [1, 2.50]}")));
    message = said_by("{\"type\":\"message\",\"id\":\"c-17\",\"d\\u0061ta\":null}");
    cr_expect(span_equal(message.data, SPAN_LITERAL("null")));
    message = said_by("{\"type\":\"message\",\"id\":\"c-17\"}");
    cr_expect_null(message.data.bytes);
}

Test(envelope_read, ignores_what_it_does_not_know)
{
    cr_expect_eq(said_by("{\"type\":\"dance\"}").kind, ENVELOPE_UNKNOWN);
    cr_expect_eq(said_by("{\"type\":\"\"}").kind, ENVELOPE_UNKNOWN);
    cr_expect_eq(said_by("{\"type\":\"ACK\"}").kind, ENVELOPE_UNKNOWN);
    cr_expect_eq(said_by("{\"type\":\"ack \"}").kind, ENVELOPE_UNKNOWN);
    cr_expect_eq(said_by("{\"type\":\"ac\"}").kind, ENVELOPE_UNKNOWN);
    cr_expect_eq(said_by("{\"type\":\"\\u0061ck\\u0020and much more than that\"}").kind,
                 ENVELOPE_UNKNOWN);
    cr_expect_eq(said_by("{\"type\":\"dance\",\"id\":null,\"token\":1}").kind, ENVELOPE_UNKNOWN);
    expect_ack("{\"x\":{\"type\":\"ping\",\"type\":1},\"type\":\"ack\",\"y\":[{\"id\":2}],"
               "\"id\":\"k3f9a2qd-1\",\"x\":1e999999999,\"\":-0.0,\"typ\":0,\"types\":0,"
               "\"typ\\u0065x\\u0065\":1,\"z\":\"\\ud800\"}",
               "k3f9a2qd", 1);
}

/* Each shorter beginning of a valid message is no message. */
Test(envelope_read, refuses_a_message_cut_at_any_byte)
{
    static const char *const whole[] = {
        "{\"type\":\"ack\",\"id\":\"k3f9a2qd-118\"}",
        "{\"t\\u0079pe\":\"auth\",\"token\":\"\xc3\xa9\\n\",\"x\":[true,null,{\"y\":-1.5e+7}]}",
    };
    for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++) {
        said_by(whole[i]);
        for (size_t len = 0; len < strlen(whole[i]); len++)
            expect_refused((struct span){whole[i], len}, ERR_BAD_JSON, "bad-json");
    }
    struct envelope_message message;
    const char *code = "";
    const char *detail;
    cr_expect_eq(envelope_read((struct span){0}, &message, &code, &detail), ERR_BAD_JSON);
}

Test(envelope_read, refuses_what_is_not_one_object)
{
    BAD_JSON("[]");
    BAD_JSON("\"ack\"");
    BAD_JSON("null");
    BAD_JSON("17");
    BAD_JSON("  ");
    BAD_JSON("{\"type\":\"ping\"}{}");
    BAD_JSON("{\"type\":\"ping\"},");
    BAD_JSON("{\"type\":\"ping\",}");
    BAD_JSON("{type:\"ping\"}");
    BAD_JSON("{'type':'ping'}");
    BAD_JSON("{\"type\" \"ping\"}");
    BAD_JSON("{\"type\":ping}");
    BAD_JSON("{\"type\":\"ping\" \"id\":1}");
    BAD_JSON("\xef\xbb\xbf{\"type\":\"ping\"}");
}

Test(envelope_read, refuses_repeated_known_members)
{
    BAD_JSON("{\"type\":\"ping\",\"type\":\"ping\"}");
    BAD_JSON("{\"type\":\"ping\",\"t\\u0079pe\":\"ack\"}");
    BAD_JSON("{\"type\":\"ack\",\"id\":\"k3f9a2qd-1\",\"id\":\"k3f9a2qd-1\"}");
    BAD_JSON("{\"type\":\"ping\",\"token\":1,\"token\":1}");
    BAD_JSON("{\"type\":\"ping\",\"id\":null,\"id\":null}");
}

Test(envelope_read, refuses_bytes_that_are_no_json)
{
    BAD_JSON("{\"type\":\"ping\",\"x\":\"\xff\"}");
    BAD_JSON("{\"type\":\"ping\",\"x\":\"\xed\xa0\x80\"}");
    BAD_JSON("{\"type\":\"ping\",\"\xc0\xaf\":1}");
    BAD_JSON("{\"type\":\"pi\0ng\"}");
    BAD_JSON("{\"type\":\"ping\"}\0");
    BAD_JSON("\0");
    BAD_JSON("{\"type\":\"ping\",\"x\":\"a\nb\"}");
    BAD_JSON("{\"type\":\"ping\",\"x\":01}");
    BAD_JSON("{\"type\":\"ping\",\"x\":+1}");
    BAD_JSON("{\"type\":\"ping\",\"x\":NaN}");
    BAD_JSON("{\"type\":\"ping\",\"x\":\"\\x\"}");
    BAD_JSON("{\"type\":\"ping\",\"x\":\"\\u12g4\"}");
}

/* The values of unknown members are not checked further, like those inside `data`. */
Test(envelope_read, refuses_lone_surrogates_in_names_and_in_the_type)
{
    BAD_JSON("{\"type\":\"\\ud800\"}");
    BAD_JSON("{\"type\":\"\\udc00\\ud800\"}");
    BAD_JSON("{\"type\":\"ping\",\"\\ud83d\":1}");
    INVALID("{\"type\":\"ack\",\"id\":\"\\ud800\"}", "bad-ack");
    cr_expect_eq(said_by("{\"type\":\"\\ud83d\\ude00\"}").kind, ENVELOPE_UNKNOWN);
}

Test(envelope_read, refuses_nesting_over_64)
{
    for (int depth = 60; depth <= 70; depth++) {
        char text[256];
        size_t len = (size_t)snprintf(text, sizeof text, "{\"type\":\"ping\",\"x\":");
        memset(text + len, '[', (size_t)depth);
        memset(text + len + depth, ']', (size_t)depth);
        len += 2 * (size_t)depth;
        text[len++] = '}';
        text[len] = '\0';
        if (depth <= 63) /* the message itself is the first level */
            cr_expect_eq(said_by(text).kind, ENVELOPE_PING);
        else
            expect_refused((struct span){text, len}, ERR_BAD_JSON, "bad-json");
    }
}

Test(envelope_read, takes_64_kib_of_what_it_does_not_know)
{
    size_t len = 65536;
    char *text = malloc(len);
    const char acceptor[] = "{\"type\":\"ping\",\"x\":";
    memset(text, '9', len);
    memcpy(text, acceptor, sizeof acceptor - 1);
    text[len - 1] = '}';
    struct envelope_message message = {0};
    const char *code;
    const char *detail;
    cr_expect_eq(envelope_read(guarded((struct span){text, len}), &message, &code, &detail),
                 ERR_OK);
    cr_expect_eq(message.kind, ENVELOPE_PING);
    free(text);
}

Test(envelope_read, wants_a_type_that_is_a_string)
{
    INVALID("{}", "bad-message");
    INVALID("{\"id\":\"k3f9a2qd-1\"}", "bad-message");
    INVALID("{\"type\":1}", "bad-message");
    INVALID("{\"type\":null}", "bad-message");
    INVALID("{\"type\":[\"ack\"]}", "bad-message");
    INVALID("{\"type\":{\"type\":\"ack\"}}", "bad-message");
    INVALID("{\"Type\":\"ack\"}", "bad-message");
}

Test(envelope_read, wants_an_ack_to_name_a_message)
{
    INVALID("{\"type\":\"ack\"}", "bad-ack");
    INVALID("{\"type\":\"ack\",\"id\":118}", "bad-ack");
    INVALID("{\"type\":\"ack\",\"id\":null}", "bad-ack");
    INVALID("{\"type\":\"ack\",\"id\":\"\"}", "bad-ack");
    INVALID("{\"type\":\"ack\",\"id\":\"k3f9a2qd-0\"}", "bad-ack");
    INVALID("{\"type\":\"ack\",\"id\":\"k3f9a2qd-01\"}", "bad-ack");
    INVALID("{\"type\":\"ack\",\"id\":\"k3f9a2qd-18446744073709551616\"}", "bad-ack");
    INVALID("{\"type\":\"ack\",\"id\":\"k3f9a2qd-1\\u0000\"}", "bad-ack");
    INVALID("{\"type\":\"ack\",\"id\":\"k3f9a2qd-1111111111111111111111111111111111\"}", "bad-ack");
    INVALID("{\"type\":\"ack\",\"id\":\"K3F9A2QD-1\"}", "bad-ack");
}

Test(envelope_read, wants_an_auth_to_bring_a_token)
{
    INVALID("{\"type\":\"auth\"}", "bad-auth");
    INVALID("{\"type\":\"auth\",\"token\":7}", "bad-auth");
    INVALID("{\"type\":\"auth\",\"token\":\"\"}", "bad-auth");
    INVALID("{\"type\":\"auth\",\"token\":[\"a\"]}", "bad-auth");
}

/* Whatever is read, what comes out is one of the kinds, and an ack names a number. */
Test(envelope_read, survives_changed_messages)
{
    static const char seed[] = "{\"type\":\"ack\",\"id\":\"k3f9a2qd-118\",\"\\u0074oken\":\"a\"}";
    static const char alphabet[] = "{}[]:,\"\\u01atypeidck-\0\xff\xc3 ";
    uint32_t random = 4711;
    unsigned n_acks = 0;
    for (int round = 0; round < 100000; round++) {
        char text[sizeof seed];
        memcpy(text, seed, sizeof text);
        for (int change = 0; change <= round % 3; change++) {
            random = random * 1664525u + 1013904223u;
            text[(random >> 8) % (sizeof text - 1)] =
                alphabet[(random >> 20) % (sizeof alphabet - 1)];
        }
        struct envelope_message message;
        const char *code;
        const char *detail;
        if (envelope_read(guarded((struct span){text, sizeof text - 1}), &message, &code,
                          &detail) != ERR_OK)
            continue;
        cr_assert(message.kind != ENVELOPE_ACK || message.seq > 0);
        n_acks += message.kind == ENVELOPE_ACK;
    }
    cr_expect_gt(n_acks, 100);
}
