/* The forms in which each way of speaking sends a notification, made once. */
#include "proto/note/notification_forms.h"

#include "proto/ws/deflate.h"
#include "tests/unit/written.h"

#include <criterion/criterion.h>
#include <pthread.h>

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
