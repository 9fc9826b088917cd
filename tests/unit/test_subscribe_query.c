/* The query of a subscription: userId, device, after and the others; each refusal names its field.
 */
#include "proto/note/subscribe_query.h"

#include "tests/support/guarded.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct subscribe_query subscribe(const char *query)
{
    struct subscribe_query out;
    const char *field = NULL;
    const char *detail = NULL;
    cr_assert_eq(subscribe_query_parse(guarded(span_of(query)), &out, &field, &detail), ERR_OK,
                 "%s: %s", query, detail);
    return out;
}

static struct ack_query ack(const char *query)
{
    struct ack_query out;
    const char *field = NULL;
    const char *detail = NULL;
    cr_assert_eq(ack_query_parse(guarded(span_of(query)), &out, &field, &detail), ERR_OK, "%s: %s",
                 query, detail);
    return out;
}

struct refusal {
    const char *query;
    const char *field;
    const char *detail;
};

static void expect_refusal(const struct refusal *row, enum err error, const char *field,
                           const char *detail)
{
    cr_expect_eq(error, ERR_INVALID_FIELD, "%s", row->query);
    cr_expect_str_eq(field, row->field, "%s", row->query);
    cr_expect_str_eq(detail, row->detail, "%s", row->query);
}

static void expect_subscribe_refused(const struct refusal *row)
{
    struct subscribe_query out;
    const char *field = "";
    const char *detail = "";
    enum err error = subscribe_query_parse(guarded(span_of(row->query)), &out, &field, &detail);
    expect_refusal(row, error, field, detail);
}

static void expect_ack_refused(const struct refusal *row)
{
    struct ack_query out;
    const char *field = "";
    const char *detail = "";
    enum err error = ack_query_parse(guarded(span_of(row->query)), &out, &field, &detail);
    expect_refusal(row, error, field, detail);
}

static bool is_epoch(struct epoch epoch, const char *text)
{
    return memcmp(epoch.text, text, EPOCH_LEN) == 0;
}

Test(device, is_1_to_64_of_letters_digits_dot_underscore_and_hyphen)
{
    char text[DEVICE_MAX_BYTES + 1];
    memset(text, 'd', sizeof text);
    cr_expect_not(device_is_valid((struct span){text, 0}));
    for (size_t len = 1; len <= DEVICE_MAX_BYTES; len++)
        cr_expect(device_is_valid((struct span){text, len}), "%zu", len);
    cr_expect_not(device_is_valid((struct span){text, sizeof text}));
    for (int c = 0; c < 256; c++) {
        char byte = (char)c;
        bool is_fine = c != 0 && strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                        "0123456789._-",
                                        c) != NULL;
        cr_expect_eq(device_is_valid((struct span){&byte, 1}), is_fine, "%d", c);
    }
}

Test(subscribe_query, needs_a_user_alone)
{
    struct subscribe_query out = subscribe("userId=42");
    cr_expect(span_equal((struct span){out.user_id, out.user_id_len}, SPAN_LITERAL("42")));
    cr_expect_not(out.has_after);
    cr_expect_eq(out.device_len, 0);
    cr_expect_not(out.is_ack_explicit);
}

Test(subscribe_query, reads_all_of_it_in_any_order)
{
    static const char *const queries[] = {
        "userId=4+2&after=k3f9a2qd-118&device=my_phone-1.0&ack=explicit",
        "ack=explicit&device=my_phone-1.0&after=k3f9a2qd-118&userId=4%202",
        "x=1&&%61fter=k3f9a2qd%2D118&devic%65=my_phone-%31.0&=&ack=%65xplicit&userI%64=4%202&token",
        "after=k3f9a2qd-118&userId=4+2&x=1&x=2&device=my_phone-1.0&ack=explicit&%zz=1&ticket=a",
    };
    for (size_t i = 0; i < sizeof queries / sizeof queries[0]; i++) {
        struct subscribe_query out = subscribe(queries[i]);
        cr_expect(span_equal((struct span){out.user_id, out.user_id_len}, SPAN_LITERAL("4 2")));
        cr_expect(out.has_after);
        cr_expect(is_epoch(out.after_epoch, "k3f9a2qd"));
        cr_expect_eq(out.after_seq, 118);
        cr_expect(
            span_equal((struct span){out.device, out.device_len}, SPAN_LITERAL("my_phone-1.0")));
        cr_expect(out.is_ack_explicit);
    }
}

/* Position 0 is the beginning of the epoch. */
Test(subscribe_query, resumes_after_any_number_from_0)
{
    struct subscribe_query out = subscribe("userId=1&after=00000000-0");
    cr_expect(out.has_after);
    cr_expect(is_epoch(out.after_epoch, "00000000"));
    cr_expect_eq(out.after_seq, 0);
    out = subscribe("userId=1&after=zzzzzzzz-18446744073709551615");
    cr_expect_eq(out.after_seq, UINT64_MAX);
}

/* Names have a case, and other names are ignored (CONTRACT 2). */
Test(subscribe_query, ignores_other_parameters)
{
    struct subscribe_query out =
        subscribe("userId=1&After=x&afte=x&afters=x&Device=%00&acks=no&id=5&id=6&token=a&ticket=b");
    cr_expect_not(out.has_after);
    cr_expect_eq(out.device_len, 0);
    cr_expect_not(out.is_ack_explicit);
}

Test(subscribe_query, names_what_is_wrong)
{
    static const char after[] = "after must be EPOCH-SEQ";
    static const char device[] = "device must be 1 to 64 of A-Za-z0-9._-";
    static const char explicit[] = "ack must be \"explicit\"";
    static const struct refusal rows[] = {
        {"userId=1&userId=1", "userId", "userId is given twice"},
        {"userId=1&user%49d=1", "userId", "userId is given twice"},
        {"userId=", "userId", "userId must be 1 to 128 bytes"},
        {"userId=%ff", "userId", "userId must be valid UTF-8"},
        {"userId=1&after=k3f9a2qd-1&after=k3f9a2qd-1", "after", "after is given twice"},
        {"after&userId=1&%61fter", "after", "after is given twice"},
        {"userId=1&after", "after", after},
        {"userId=1&after=", "after", after},
        {"userId=1&after=118", "after", after},
        {"userId=1&after=k3f9a2qd", "after", after},
        {"userId=1&after=k3f9a2qd-", "after", after},
        {"userId=1&after=k3f9a2qd-01", "after", after},
        {"userId=1&after=k3f9a2qd-00", "after", after},
        {"userId=1&after=k3f9a2qd--1", "after", after},
        {"userId=1&after=k3f9a2qd-+1", "after", after},
        {"userId=1&after=k3f9a2qd-1+", "after", after},
        {"userId=1&after=k3f9a2qd-1%00", "after", after},
        {"userId=1&after=K3f9a2qd-1", "after", after},
        {"userId=1&after=k3f9a2q-11", "after", after},
        {"userId=1&after=k3f9a2qd-18446744073709551616", "after", after},
        {"userId=1&after=k3f9a2qd-%", "after", after},
        {"userId=1&after=k3f9a2qd-%3", "after", after},
        {"userId=1&after=k3f9a2qd-%zz", "after", after},
        {"userId=1&device=a&device=a", "device", "device is given twice"},
        {"userId=1&device", "device", device},
        {"userId=1&device=", "device", device},
        {"userId=1&device=a+b", "device", device},
        {"userId=1&device=a%2Fb", "device", device},
        {"userId=1&device=%00", "device", device},
        {"userId=1&device=%c3%a9", "device", device},
        {"userId=1&device=%4", "device", device},
        {"userId=1&ack=explicit&ack=explicit", "ack", "ack is given twice"},
        {"userId=1&ack", "ack", explicit},
        {"userId=1&ack=", "ack", explicit},
        {"userId=1&ack=auto", "ack", explicit},
        {"userId=1&ack=Explicit", "ack", explicit},
        {"userId=1&ack=explicitly", "ack", explicit},
        {"userId=1&ack=explicit%00", "ack", explicit},
        {"userId=1&token=a&token=a", "token", "token is given twice"},
        {"userId=1&ticket&tic%6bet=a", "ticket", "ticket is given twice"},
        {"userId=1&ack=%", "ack", explicit},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        expect_subscribe_refused(&rows[i]);
}

/* A token may name the user instead, so the gateway decides whether userId is required. */
Test(subscribe_query, lets_the_user_id_be_left_out)
{
    struct subscribe_query query;
    const char *field;
    const char *detail;
    cr_assert_eq(subscribe_query_parse(SPAN_LITERAL("device=a"), &query, &field, &detail), ERR_OK);
    cr_assert_eq(query.user_id_len, 0);
    cr_assert_eq(subscribe_query_parse(SPAN_LITERAL("userId="), &query, &field, &detail),
                 ERR_INVALID_FIELD);
}

Test(subscribe_query, takes_a_device_of_64_and_not_of_65)
{
    char query[256];
    char name[DEVICE_MAX_BYTES + 2] = "";
    memset(name, 'x', DEVICE_MAX_BYTES);
    snprintf(query, sizeof query, "userId=1&device=%s", name);
    struct subscribe_query out = subscribe(query);
    cr_expect(span_equal((struct span){out.device, out.device_len}, span_of(name)));
    name[DEVICE_MAX_BYTES] = 'x';
    snprintf(query, sizeof query, "userId=1&device=%s", name);
    expect_subscribe_refused(
        &(struct refusal){query, "device", "device must be 1 to 64 of A-Za-z0-9._-"});
}

Test(ack_query, names_a_user_and_a_message)
{
    struct ack_query out = ack("userId=a%20b&id=k3f9a2qd-118");
    cr_expect(span_equal((struct span){out.user_id, out.user_id_len}, SPAN_LITERAL("a b")));
    cr_expect(is_epoch(out.epoch, "k3f9a2qd"));
    cr_expect_eq(out.seq, 118);
    cr_expect_eq(out.device_len, 0);
}

Test(ack_query, may_name_a_device)
{
    struct ack_query out = ack("device=tv.1&id=k3f9a2qd%2d1&userId=7&after=x&ack=none");
    cr_expect_eq(out.seq, 1);
    cr_expect(span_equal((struct span){out.device, out.device_len}, SPAN_LITERAL("tv.1")));
}

Test(ack_query, names_what_is_wrong)
{
    static const struct refusal rows[] = {
        {"", "id", "id is missing"},
        {"userId=1", "id", "id is missing"},
        {"userId=1&Id=k3f9a2qd-1", "id", "id is missing"},
        {"userId=1&id=k3f9a2qd-1&id=k3f9a2qd-1", "id", "id is given twice"},
        {"userId=1&id=", "id", "id must be EPOCH-SEQ"},
        {"userId=1&id=k3f9a2qd-0", "id", "id must be EPOCH-SEQ"},
        {"userId=1&id=1", "id", "id must be EPOCH-SEQ"},
        {"userId=1&id=%zz", "id", "id must be EPOCH-SEQ"},
        {"userId=1&id=k3f9a2qd-1&device=", "device", "device must be 1 to 64 of A-Za-z0-9._-"},
        {"userId=1&id=k3f9a2qd-1&device=a&device=b", "device", "device is given twice"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        expect_ack_refused(&rows[i]);
}

Test(subscribe_query, finds_the_position_that_a_polyfill_sends_as_last_event_id)
{
    struct epoch epoch;
    uint64_t seq = 0;
    const char *field = NULL;
    const char *detail = NULL;
    cr_expect_eq(last_event_id_parse(guarded(SPAN_LITERAL("userId=a&lastEventId=k3f9a2qd%2D118")),
                                     &epoch, &seq, &field, &detail),
                 ERR_OK);
    cr_expect(is_epoch(epoch, "k3f9a2qd") && seq == 118);
    const char *none[] = {"", "userId=a", "userId=a&lastEventId=", "lasteventid=k3f9a2qd-118"};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        cr_expect_eq(last_event_id_parse(guarded(span_of(none[i])), &epoch, &seq, &field, &detail),
                     ERR_NOT_FOUND, "%s", none[i]);
    const struct refusal wrong[] = {
        {"lastEventId=7", "lastEventId", "lastEventId must be EPOCH-SEQ"},
        {"lastEventId=%zz", "lastEventId", "lastEventId must be EPOCH-SEQ"},
        {"lastEventId=k3f9a2qd-1&lastEventId=", "lastEventId", "lastEventId is given twice"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        enum err error =
            last_event_id_parse(guarded(span_of(wrong[i].query)), &epoch, &seq, &field, &detail);
        expect_refusal(&wrong[i], error, field, detail);
    }
}

/* ---- POST /message ---- */

static void expect_message_refused(const struct refusal *row)
{
    struct message_query out;
    const char *field = "";
    const char *detail = "";
    enum err error = message_query_parse(guarded(span_of(row->query)), &out, &field, &detail);
    expect_refusal(row, error, field, detail);
}

Test(message_query, names_a_user_and_an_id_of_the_clients_choice)
{
    struct message_query out;
    const char *field, *detail;
    cr_assert_eq(message_query_parse(guarded(SPAN_LITERAL("id=c%2017%22&userId=a+b&x=1&x=2")), &out,
                                     &field, &detail),
                 ERR_OK);
    cr_expect(span_equal((struct span){out.user_id, out.user_id_len}, SPAN_LITERAL("a b")));
    cr_expect(span_equal((struct span){out.id, out.id_len}, SPAN_LITERAL("c 17\"")));
}

Test(message_query, names_what_is_wrong)
{
#define MUST "id must be 1 to 64 bytes of UTF-8, percent-encoded"
    static const struct refusal rows[] = {
        {"", "id", "id is missing"},
        {"userId=1", "id", "id is missing"},
        {"userId=1&id=1&id=1", "id", "id is given twice"},
        {"userId=1&id=", "id", MUST},
        {"userId=1&id=%ff", "id", MUST},
        {"userId=1&id=%zz", "id", MUST},
        {"userId=1&id=01234567890123456789012345678901234567890123456789012345678901234", "id",
         MUST},
        {"userId=&id=1", "userId", "userId must be 1 to 128 bytes"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        expect_message_refused(&rows[i]);
#undef MUST
}
