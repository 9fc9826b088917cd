/* Epochs, message ids and notifications: their text, their references, and the forms in which each
 * way of speaking sends one, made once. */
#include "proto/note/notification.h"

#include "proto/ws/deflate.h"
#include "tests/unit/written.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>

static enum err parse(const char *id)
{
    struct epoch epoch;
    uint64_t seq;
    return message_id_parse(span_of(id), &epoch, &seq);
}

Test(epoch, is_8_characters_of_a_to_z_and_0_to_9)
{
    bool is_seen[256] = {false};
    unsigned n_seen = 0;
    for (int i = 0; i < 1000; i++) {
        struct epoch epoch;
        cr_assert_eq(epoch_random(&epoch), ERR_OK);
        for (size_t k = 0; k < EPOCH_LEN; k++) {
            unsigned char c = (unsigned char)epoch.text[k];
            cr_assert((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'));
            n_seen += !is_seen[c];
            is_seen[c] = true;
        }
    }
    cr_assert_eq(n_seen, 36);
}

Test(epoch, is_another_one_each_time)
{
    struct epoch a;
    struct epoch b;
    cr_assert_eq(epoch_random(&a), ERR_OK);
    cr_assert_eq(epoch_random(&b), ERR_OK);
    cr_assert_not(epoch_equal(a, b));
    cr_assert(epoch_equal(a, a));
}

Test(epoch, is_none_when_it_is_all_nul)
{
    cr_assert(epoch_is_none((struct epoch){0}));
    cr_assert_not(epoch_is_none(epoch_of("k3f9a2qd")));
}

Test(message_id, is_epoch_and_number)
{
    char out[MESSAGE_ID_MAX_BYTES];
    cr_assert_eq(message_id_write(epoch_of("k3f9a2qd"), 118, out), 12);
    cr_assert_str_eq(out, "k3f9a2qd-118");
    cr_assert_eq(message_id_write(epoch_of("k3f9a2qd"), UINT64_MAX, out), 29);
    cr_assert_str_eq(out, "k3f9a2qd-18446744073709551615");
}

Test(message_id, is_read_as_it_was_written)
{
    static const uint64_t numbers[] = {1, 9, 10, 118, UINT32_MAX, UINT64_MAX - 1, UINT64_MAX};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        char out[MESSAGE_ID_MAX_BYTES];
        struct epoch epoch;
        uint64_t seq;
        size_t len = message_id_write(epoch_of("0a9z0a9z"), numbers[i], out);
        cr_assert_eq(message_id_parse((struct span){out, len}, &epoch, &seq), ERR_OK);
        cr_assert_eq(seq, numbers[i]);
        cr_assert(epoch_equal(epoch, epoch_of("0a9z0a9z")));
    }
}

Test(message_id, refuses_any_other_form)
{
    static const char *const bad[] = {
        "",
        "k3f9a2qd",
        "k3f9a2qd-",
        "k3f9a2qd-0",
        "k3f9a2qd-01",
        "k3f9a2qd-+1",
        "k3f9a2qd--1",
        "k3f9a2qd- 1",
        "k3f9a2qd-1 ",
        "k3f9a2qd-1a",
        "k3f9a2qd_1",
        "k3f9a2q-1",
        "k3f9a2qde-1",
        "K3f9a2qd-1",
        "k3f9a2q.-1",
        "k3f9a2qd-18446744073709551616",
        "k3f9a2qd-99999999999999999999",
        "k3f9a2qd-100000000000000000000",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_eq(parse(bad[i]), ERR_INVALID_FIELD, "%s", bad[i]);
    struct epoch epoch;
    uint64_t seq;
    cr_assert_eq(message_id_parse(SPAN_LITERAL("k3f9a2qd-1\0"), &epoch, &seq), ERR_INVALID_FIELD);
}

static enum err parse_position(const char *id, uint64_t *ret_seq)
{
    struct epoch epoch;
    enum err error = message_position_parse(span_of(id), &epoch, ret_seq);
    if (error == ERR_OK)
        cr_assert_eq(memcmp(epoch.text, id, EPOCH_LEN), 0, "%s", id);
    return error;
}

/* To resume behind 0 is to resume from the beginning of the epoch. */
Test(message_position, is_a_message_id_or_the_beginning)
{
    uint64_t seq = 99;
    cr_assert_eq(parse_position("k3f9a2qd-0", &seq), ERR_OK);
    cr_assert_eq(seq, 0);
    cr_assert_eq(parse_position("k3f9a2qd-118", &seq), ERR_OK);
    cr_assert_eq(seq, 118);
    cr_assert_eq(parse_position("00000000-18446744073709551615", &seq), ERR_OK);
    cr_assert_eq(seq, UINT64_MAX);
}

Test(message_position, refuses_any_other_form_and_changes_nothing_then)
{
    static const char *const bad[] = {"",
                                      "0",
                                      "k3f9a2qd-",
                                      "k3f9a2qd-00",
                                      "k3f9a2qd-01",
                                      "k3f9a2qd--0",
                                      "k3f9a2qd-+0",
                                      "k3f9a2qd0",
                                      "K3f9a2qd-0",
                                      "k3f9a2q-0",
                                      "k3f9a2qd-0 ",
                                      "k3f9a2qd-18446744073709551616"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint64_t seq = 99;
        cr_assert_eq(parse_position(bad[i], &seq), ERR_INVALID_FIELD, "%s", bad[i]);
        cr_assert_eq(seq, 99);
    }
}

/* The frame is the header and the data in one run of bytes, for each length of header. */
Test(payload, has_its_frame_header_right_before_the_data)
{
    static const size_t lengths[] = {0, 1, 125, 126, 65535, 65536, 100000};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        size_t len = lengths[i];
        char *text = malloc(len + 1);
        memset(text, 'j', len);
        struct payload *payload = payload_new((struct span){text, len});
        cr_assert_not_null(payload);
        cr_assert(span_equal(payload_data(payload), (struct span){text, len}));

        uint8_t header[WS_HEADER_MAX_BYTES];
        size_t header_len = ws_header_write(WS_TEXT, len, header);
        struct span frame = payload_frame(payload);
        cr_assert_eq(frame.len, header_len + len);
        cr_assert_arr_eq(frame.bytes, header, header_len);
        cr_assert_eq(frame.bytes + header_len, payload_data(payload).bytes);
        payload_unref(payload);
        free(text);
    }
}

/* The key travels behind the data and is no part of the frame. */
Test(payload, keeps_its_collapse_key_beside_the_data)
{
    char key[COLLAPSE_KEY_MAX_BYTES];
    memset(key, 'k', sizeof key);
    for (size_t key_len = 0; key_len <= sizeof key; key_len++) {
        struct payload *payload =
            payload_new_keyed(SPAN_LITERAL("{\"n\":1}"), (struct span){key, key_len});
        cr_assert_not_null(payload);
        cr_expect(span_equal(payload_key(payload), (struct span){key, key_len}));
        cr_expect(span_equal(payload_data(payload), SPAN_LITERAL("{\"n\":1}")));
        cr_expect(span_equal(payload_frame(payload), SPAN_LITERAL("\x81\x07{\"n\":1}")));
        payload_unref(payload);
    }
    struct payload *payload = payload_new_keyed((struct span){0}, SPAN_LITERAL("k"));
    cr_expect(span_equal(payload_key(payload), SPAN_LITERAL("k")));
    cr_expect_eq(payload_data(payload).len, 0);
    payload_unref(payload);
    payload = payload_new(SPAN_LITERAL("1"));
    cr_expect_eq(payload_key(payload).len, 0);
    payload_unref(payload);
}

Test(payload, can_go_out_as_it_stands)
{
    struct payload *payload = payload_new_bare(SPAN_LITERAL("data: 1\n\n"));
    cr_assert(span_equal(payload_frame(payload), SPAN_LITERAL("data: 1\n\n")));
    payload_unref(payload);
}

Test(payload, is_a_copy)
{
    char text[] = "{\"n\":1}";
    struct payload *payload = payload_new(span_of(text));
    text[1] = 'X';
    cr_assert(span_equal(payload_data(payload), SPAN_LITERAL("{\"n\":1}")));
    payload_unref(payload);
}

Test(payload, lives_until_the_last_reference_goes)
{
    struct payload *payload = payload_new(SPAN_LITERAL("1"));
    cr_assert_eq(payload_ref(payload), payload);
    payload_unref(payload);
    cr_assert(span_equal(payload_data(payload), SPAN_LITERAL("1")));
    payload_unref(payload);
    payload_unref(NULL);
}

Test(notification, holds_its_fields_and_a_payload_of_its_own)
{
    struct payload *payload = payload_new(SPAN_LITERAL("[]"));
    struct notification *note = notification_new(payload, epoch_of("k3f9a2qd"), 118, 1000, 2000);
    cr_assert_not_null(note);
    payload_unref(payload);
    cr_assert(epoch_equal(note->epoch, epoch_of("k3f9a2qd")));
    cr_assert_eq(note->seq, 118);
    cr_assert_eq(note->time_ms, 1000);
    cr_assert_eq(note->expires_ms, 2000);
    cr_assert(span_equal(payload_data(note->payload), SPAN_LITERAL("[]")));

    cr_assert_eq(notification_ref(note), note);
    notification_unref(note);
    cr_assert_eq(note->seq, 118);
    notification_unref(note);
    notification_unref(NULL);
}

Test(notification, shares_its_payload_with_others)
{
    struct payload *payload = payload_new(SPAN_LITERAL("1"));
    struct notification *a = notification_new(payload, epoch_of("aaaaaaaa"), 1, 0, 1);
    struct notification *b = notification_new(payload, (struct epoch){0}, 0, 0, 0);
    payload_unref(payload);
    notification_unref(a);
    cr_assert(span_equal(payload_data(b->payload), SPAN_LITERAL("1")));
    notification_unref(b);
}

static struct notification *a_note(const char *data)
{
    struct payload *payload = payload_new(span_of(data));
    struct notification *note = notification_new(payload, epoch_of("k3f9a2qd"), 118, 5, 6);
    payload_unref(payload);
    return note;
}

Test(notification, has_a_form_for_each_way_of_speaking)
{
    struct notification *note = a_note("[1,\n2]");
    struct span envelope = SPAN_LITERAL("{\"type\":\"notification\",\"id\":\"k3f9a2qd-118\","
                                        "\"seq\":118,\"time\":5,\"expires\":6,"
                                        "\"replay\":false,\"data\":[1,\n2]}");
    cr_expect_eq(notification_form(note, FORM_PLAIN), note->payload);
    cr_expect(span_equal(payload_data(notification_form(note, FORM_V1)), envelope));
    cr_expect(span_equal(payload_frame(notification_form(note, FORM_SSE)),
                         SPAN_LITERAL("id: k3f9a2qd-118\ndata: [1,\ndata: 2]\n\n")));

    uint8_t header[WS_HEADER_MAX_BYTES];
    size_t header_len = ws_header_write(WS_TEXT, envelope.len, header);
    struct span frame = payload_frame(notification_form(note, FORM_V1));
    cr_assert_eq(frame.len, header_len + envelope.len);
    cr_expect_arr_eq(frame.bytes, header, header_len);
    notification_unref(note);
}

/* Encoded once, shared by all sessions. */
Test(notification, makes_each_form_once)
{
    struct notification *note = a_note("1");
    for (int form = FORM_PLAIN; form <= FORM_SSE; form++) {
        struct payload *made = notification_form(note, (enum notification_form)form);
        cr_assert_not_null(made);
        cr_expect_eq(notification_form(note, (enum notification_form)form), made);
        cr_expect_eq(atomic_load(&made->refs), 1);
    }
    notification_unref(note);
}

Test(notification, lends_forms_that_outlive_it_when_they_are_held)
{
    struct notification *note = a_note("1");
    struct payload *form = payload_ref(notification_form(note, FORM_SSE));
    notification_unref(note);
    cr_expect(span_equal(payload_data(form), SPAN_LITERAL("id: k3f9a2qd-118\ndata: 1\n\n")));
    payload_unref(form);
}

static struct notification *a_long_note(size_t len)
{
    char data[4096];
    memset(data, 'x', len);
    data[0] = data[len - 1] = '"';
    struct payload *payload = payload_new((struct span){data, len});
    struct notification *note = notification_new(payload, epoch_of("k3f9a2qd"), 118, 5, 6);
    payload_unref(payload);
    return note;
}

/* RFC 7692, 6.1: RSV1 on the first frame. The text is the form's own, with its length. */
static void expect_compressed(struct notification *note, enum notification_form form,
                              struct deflater *deflater)
{
    struct inflater *inflater;
    struct buf text;
    buf_init(&text, 8192);
    cr_assert_eq(inflater_new(&inflater), ERR_OK);
    struct payload *made = notification_compressed(note, form, deflater);
    cr_assert_not_null(made);
    cr_expect_eq(notification_compressed(note, form, deflater), made);
    cr_expect_eq(atomic_load(&made->refs), 1);
    cr_expect_eq((uint8_t)payload_frame(made).bytes[0], 0x80 | 0x40 | WS_TEXT);
    cr_expect_lt(made->len, 200);
    cr_assert_eq(inflater_message(inflater, payload_data(made), 8000, &text), ERR_OK);
    cr_expect(span_equal(buf_span(&text), payload_data(notification_form(note, form))));
    inflater_free(inflater);
    buf_fini(&text);
}

Test(notification, is_compressed_once_for_each_form)
{
    struct deflater *deflater;
    cr_assert_eq(deflater_new(&deflater), ERR_OK);
    struct notification *note = a_long_note(3000);
    expect_compressed(note, FORM_V1, deflater);
    expect_compressed(note, FORM_PLAIN, deflater);
    cr_expect_neq(notification_compressed(note, FORM_V1, deflater),
                  notification_compressed(note, FORM_PLAIN, deflater));
    notification_unref(note);
    deflater_free(deflater);
}

Test(notification, stays_as_it_is_where_compressing_does_not_make_it_smaller)
{
    struct deflater *deflater;
    cr_assert_eq(deflater_new(&deflater), ERR_OK);
    struct notification *note = a_note("1");
    cr_expect_eq(notification_compressed(note, FORM_PLAIN, deflater), note->payload);
    cr_expect_eq(notification_compressed(note, FORM_PLAIN, deflater), note->payload);
    cr_expect_eq(atomic_load(&note->payload->refs), 2);
    notification_unref(note);
    deflater_free(deflater);
}

enum { FORM_ASKERS = 4 };

struct form_asker {
    pthread_barrier_t *start;
    struct notification *note;
    struct deflater *deflater;
    struct payload *got[3];
};

static void *ask_for_forms(void *arg)
{
    struct form_asker *asker = arg;
    pthread_barrier_wait(asker->start);
    asker->got[0] = notification_form(asker->note, FORM_V1);
    asker->got[1] = notification_form(asker->note, FORM_SSE);
    asker->got[2] = notification_compressed(asker->note, FORM_V1, asker->deflater);
    return NULL;
}

Test(notification, gives_all_threads_the_same_form)
{
    for (int round = 0; round < 200; round++) {
        pthread_t threads[FORM_ASKERS];
        struct form_asker askers[FORM_ASKERS];
        pthread_barrier_t start;
        struct notification *note = a_note("{\"a\":1}");
        pthread_barrier_init(&start, NULL, FORM_ASKERS);
        for (int i = 0; i < FORM_ASKERS; i++) {
            askers[i] = (struct form_asker){.start = &start, .note = note};
            cr_assert_eq(deflater_new(&askers[i].deflater), ERR_OK);
            cr_assert_eq(pthread_create(&threads[i], NULL, ask_for_forms, &askers[i]), 0);
        }
        for (int i = 0; i < FORM_ASKERS; i++)
            pthread_join(threads[i], NULL);
        for (int i = 0; i < FORM_ASKERS; i++) {
            cr_assert_not_null(askers[i].got[0]);
            cr_assert_eq(askers[i].got[0], notification_form(note, FORM_V1));
            cr_assert_eq(askers[i].got[1], notification_form(note, FORM_SSE));
            cr_assert_eq(askers[i].got[2],
                         notification_compressed(note, FORM_V1, askers[i].deflater));
            deflater_free(askers[i].deflater);
        }
        pthread_barrier_destroy(&start);
        notification_unref(note);
    }
}
