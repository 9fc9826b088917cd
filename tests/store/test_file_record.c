/* The records of the file store: written and read again, one of each kind; and every way in which
 * one may be malformed. */
#include "gateway/stores/file/file_record.h"
#include "gateway/stores/local/inbox.h"
#include "proto/note/event.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#define TWO_DEVICES                                                                                \
    "\5\0\0\0\0\0\0\0"                                                                             \
    "\7\0\0\0\0\0\0\0\x20\x4e\5phone"                                                              \
    "\5\0\0\0\0\0\0\0\x20\x4e\1p"

/* At these places in `samples` below. */
#define TWO_CONSUMERS                                                                              \
    "\5\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\2pa"                                                         \
    "\7\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\2wb"

enum {
    PROBE,
    SHARED,
    NOTE,
    REF,
    USER,
    FULL_USER,
    KEYED_NOTE,
    KEYED_REF,
    KEY,
    BLOCK,
    EVENT,
    PARTITION,
    HERE,
    LEFT,
    GONE,
    ALERT
};

static const struct file_record samples[] = {
    [PROBE] = {.kind = FILE_RECORD_PROBE},
    [SHARED] = {.kind = FILE_RECORD_SHARED, .data = {"{\"a\":1}", 7}},
    [NOTE] = {.kind = FILE_RECORD_NOTE,
              .user_id = {"anna", 4},
              .epoch = {"k3f9a2qd"},
              .seq = FILE_RECORD_SEQ_END - 1,
              .time_ms = 1700000000123,
              .expires_ms = 1700000060123,
              .data = {"\0\xff{}", 4}},
    [REF] = {.kind = FILE_RECORD_REF,
             .user_id = {"b", 1},
             .epoch = {"00000000"},
             .seq = 1,
             .time_ms = 1,
             .expires_ms = 2,
             .distance = 10000,
             .bytes = 65536},
    [USER] = {.kind = FILE_RECORD_USER,
              .user_id = {"carl", 4},
              .epoch = {"zzzzzzzz"},
              .seq = 9,
              .acked = 9,
              .written = 9,
              .sign_day = 20000},
    [FULL_USER] = {.kind = FILE_RECORD_USER,
                   .user_id = {"dora", 4},
                   .epoch = {"zzzzzzzz"},
                   .seq = 9,
                   .acked = 5,
                   .written = 8,
                   .sign_day = 20000,
                   .devices = {TWO_DEVICES, sizeof TWO_DEVICES - 1},
                   .gaps = {"2-3:e,6-6:c", 11}},
    [KEYED_NOTE] = {.kind = FILE_RECORD_NOTE,
                    .user_id = {"anna", 4},
                    .epoch = {"k3f9a2qd"},
                    .seq = 2,
                    .acked = 1,
                    .time_ms = 3,
                    .expires_ms = WAITING_EXPIRES_END_MS - 1,
                    .key = {"score", 5},
                    .data = {"{}", 2}},
    [KEYED_REF] = {.kind = FILE_RECORD_REF,
                   .user_id = {"b", 1},
                   .epoch = {"00000000"},
                   .seq = UINT64_C(1) << 40,
                   .acked = (UINT64_C(1) << 40) - 1,
                   .distance = 1,
                   .bytes = 7,
                   .key = {"score", 5}},
    [KEY] = {.kind = FILE_RECORD_KEY,
             .user_id = {"anna", 4},
             .epoch = {"k3f9a2qd"},
             .seq = 7,
             .time_ms = 1700000000123,
             .expires_ms = 1700000060123,
             .print = {{1, 2, 3, 250, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16}},
             .key = {"order-17", 8}},
    [BLOCK] = {.kind = FILE_RECORD_BLOCK, .user_id = {"anna", 4}, .expires_ms = 1700000060123},
    [EVENT] = {.kind = FILE_RECORD_EVENT,
               .user_id = {"\1events.3", 9},
               .epoch = {"k3f9a2qd"},
               .seq = 9,
               .left = 8,
               .time_ms = 1700000000123,
               .data = {"{}", 2}},
    [PARTITION] = {.kind = FILE_RECORD_PARTITION,
                   .user_id = {"\1events.15", 10},
                   .epoch = {"k3f9a2qd"},
                   .seq = 9,
                   .acked = 5,
                   .left = 6,
                   .devices = {TWO_CONSUMERS, sizeof TWO_CONSUMERS - 1},
                   .gaps = {"2-3:e,6-6:o", 11}},
    [HERE] = {.kind = FILE_RECORD_PRESENCE,
              .user_id = {"anna", 4},
              .devices = {"\6node-1\6node-2", 14}},
    [LEFT] = {.kind = FILE_RECORD_PRESENCE,
              .user_id = {"anna", 4},
              .time_ms = 1700000000123,
              .expires_ms = 1700000010123,
              .cause = OFFLINE_NODE_LOST},
    [GONE] = {.kind = FILE_RECORD_PRESENCE, .user_id = {"anna", 4}},
    [ALERT] = {.kind = FILE_RECORD_ALERT,
               .user_id = {"anna", 4},
               .epoch = {"k3f9a2qd"},
               .seq = 9,
               .time_ms = 1700000000123,
               .expires_ms = 1700000060123},
};

enum { N_SAMPLES = sizeof samples / sizeof *samples };

Test(file_record, comes_back_as_it_was_written)
{
    for (int i = 0; i < N_SAMPLES; i++) {
        const struct file_record *in = &samples[i];
        char bytes[256];
        struct file_record out;
        const char *detail;
        file_record_write(in, bytes);
        struct span span = {bytes, file_record_size(in)};
        cr_assert_eq(file_record_read(span, &out, &detail), ERR_OK, "%s", detail);
        cr_assert_eq(out.kind, in->kind);
        cr_assert(span_equal(out.user_id, in->user_id));
        cr_assert(span_equal(out.data, in->data));
        cr_assert(epoch_equal(out.epoch, in->epoch));
        cr_assert_eq(out.seq, in->seq);
        cr_assert_eq(out.acked, in->acked);
        cr_assert_eq(out.left, in->left);
        cr_assert_eq(out.cause, in->cause);
        cr_assert_eq(out.time_ms, in->time_ms);
        cr_assert_eq(out.expires_ms, in->expires_ms);
        cr_assert_eq(out.distance, in->distance);
        cr_assert_eq(out.bytes, in->bytes);
        cr_assert_eq(out.sign_day, in->sign_day);
        cr_assert_eq(out.written, in->written);
        cr_assert(span_equal(out.key, in->key));
        cr_assert(span_equal(out.devices, in->devices));
        cr_assert(span_equal(out.gaps, in->gaps));
        cr_assert_arr_eq(out.print.bytes, in->print.bytes, sizeof in->print.bytes);
    }
}

/* Each cut lies at the end of a block of its own, so that the sanitizer sees a read beyond it. */
Test(file_record, refuses_what_ends_before_its_fields_do)
{
    for (int i = 0; i < N_SAMPLES; i++) {
        char bytes[256];
        file_record_write(&samples[i], bytes);
        size_t fields = file_record_size(&samples[i]) - samples[i].data.len - samples[i].gaps.len;
        for (size_t len = 0; len < fields; len++) {
            char *cut = malloc(len + 1);
            struct file_record out;
            const char *detail = NULL;
            memcpy(cut + 1, bytes, len);
            cr_assert_eq(file_record_read((struct span){cut + 1, len}, &out, &detail),
                         ERR_INVALID_FIELD);
            cr_assert_not_null(detail);
            free(cut);
        }
    }
}

static enum err read_with(int sample, size_t at, char byte)
{
    char bytes[256];
    struct file_record out;
    const char *detail;
    file_record_write(&samples[sample], bytes);
    bytes[at] = byte;
    return file_record_read((struct span){bytes, file_record_size(&samples[sample])}, &out,
                            &detail);
}

Test(file_record, refuses_versions_kinds_and_values_that_are_not_ours)
{
    cr_assert_eq(read_with(PROBE, 0, 4), ERR_INVALID_FIELD, "a later version");
    cr_assert_eq(read_with(PROBE, 1, 0), ERR_INVALID_FIELD, "no kind");
    cr_assert_eq(read_with(PROBE, 1, 8), ERR_INVALID_FIELD, "an unknown kind");
    cr_assert_eq(read_with(KEY, 0, 1), ERR_INVALID_FIELD, "a kind that version 1 had not");
    cr_assert_eq(read_with(NOTE, 2, 0), ERR_INVALID_FIELD, "a note of nobody");
    cr_assert_eq(read_with(NOTE, 3, 'K'), ERR_INVALID_FIELD, "an epoch of other letters");
    cr_assert_eq(read_with(NOTE, 18, 0x7f), ERR_INVALID_FIELD, "a number of 19 digits");
    cr_assert_eq(read_with(NOTE, 33, 1), ERR_INVALID_FIELD, "it expires after the year 2527");
    cr_assert_eq(read_with(REF, 11, 0), ERR_INVALID_FIELD, "number 0");
    cr_assert_eq(read_with(USER, 19, 10), ERR_INVALID_FIELD, "acknowledged above the head");
    cr_assert_eq(read_with(USER, 29, 10), ERR_INVALID_FIELD, "written above the head");
    cr_assert_eq(read_with(KEYED_NOTE, 36, 2), ERR_INVALID_FIELD, "its own number acknowledged");
    cr_assert_eq(read_with(REF, 2, 0), ERR_INVALID_FIELD, "no userId");
    cr_assert_eq(read_with(KEY, 35, 0), ERR_INVALID_FIELD, "a key without bytes");
    cr_assert_eq(read_with(KEY, 35, 7), ERR_INVALID_FIELD, "bytes behind its end");
    cr_assert_eq(read_with(BLOCK, 0, 1), ERR_INVALID_FIELD, "another one");
    cr_assert_eq(read_with(BLOCK, 2, 0), ERR_INVALID_FIELD, "a block of nobody");
    cr_assert_eq(read_with(BLOCK, 2, 3), ERR_INVALID_FIELD, "bytes behind its end");
    cr_assert_eq(read_with(BLOCK, 10, 1), ERR_INVALID_FIELD, "it ends after the year 2527");
    cr_assert_eq(read_with(KEY, 35, 65), ERR_INVALID_FIELD, "a key that is too long");
}

Test(file_record, refuses_malformed_records_of_the_event_log)
{
    cr_assert_eq(read_with(EVENT, 0, 3), ERR_INVALID_FIELD, "a version that had no events");
    cr_assert_eq(read_with(NOTE, 0, 4), ERR_INVALID_FIELD, "a note of the version of events");
    cr_assert_eq(read_with(EVENT, 1, FILE_RECORD_KINDS), ERR_INVALID_FIELD, "an unknown kind");
    cr_assert_eq(read_with(EVENT, 19, 9), ERR_INVALID_FIELD, "it has left itself");
    cr_assert_eq(read_with(EVENT, 33, 0x7f), ERR_INVALID_FIELD, "later than the year 2527");
    cr_assert_eq(read_with(EVENT, 35, 'a'), ERR_INVALID_FIELD, "of a user");
    cr_assert_eq(read_with(EVENT, 43, '9' + 1), ERR_INVALID_FIELD, "of no partition");
    cr_assert_eq(read_with(PARTITION, 19, 10), ERR_INVALID_FIELD, "more than head have left");
    cr_assert_eq(read_with(PARTITION, 27, 10), ERR_INVALID_FIELD, "acknowledged above head");
    cr_assert_eq(read_with(PARTITION, 47, 10), ERR_INVALID_FIELD, "a consumer above head");
    cr_assert_eq(read_with(PARTITION, 63, 0), ERR_INVALID_FIELD, "a consumer without a name");
    cr_assert_eq(read_with(HERE, 3, 1), ERR_INVALID_FIELD, "on a node and with an end");
    cr_assert_eq(read_with(HERE, 26, 14), ERR_INVALID_FIELD, "a name behind its end");
    cr_assert_eq(read_with(HERE, 26, 0), ERR_INVALID_FIELD, "a node without a name");
    cr_assert_eq(read_with(LEFT, 19, OFFLINE_CAUSES), ERR_INVALID_FIELD, "no cause");
    cr_assert_eq(read_with(LEFT, 9, 0x7f), ERR_INVALID_FIELD, "offline after the year 2527");
    cr_assert_eq(read_with(ALERT, 11, 0), ERR_INVALID_FIELD, "of number 0");
    cr_assert_eq(read_with(ALERT, 33, 0x7f), ERR_INVALID_FIELD, "due after the year 2527");
}

Test(file_record, refuses_devices_that_are_malformed)
{
    enum { DEVICES = 39 + 4 }; /* where they begin */
    cr_assert_eq(read_with(FULL_USER, DEVICES, 4), ERR_INVALID_FIELD, "shared below acked");
    cr_assert_eq(read_with(FULL_USER, DEVICES, 10), ERR_INVALID_FIELD, "shared above the head");
    cr_assert_eq(read_with(FULL_USER, DEVICES + 8, 4), ERR_INVALID_FIELD, "one below acked");
    cr_assert_eq(read_with(FULL_USER, DEVICES + 8, 10), ERR_INVALID_FIELD, "one above the head");
    cr_assert_eq(read_with(FULL_USER, DEVICES + 18, 0), ERR_INVALID_FIELD, "one without a name");
    cr_assert_eq(read_with(FULL_USER, DEVICES + 18, 65), ERR_INVALID_FIELD, "a name too long");
    cr_assert_eq(read_with(FULL_USER, DEVICES - 6, 8), ERR_INVALID_FIELD, "none behind the shared");
}

Test(file_record, reads_what_version_1_wrote)
{
    static const char note[] = "\1\2\4k3f9a2qd"
                               "\x12\0\0\0\0\0\0\0"
                               "\x7b\x68\xe5\xcf\x8b\1\0\0"
                               "\x7c\x68\xe5\xcf\x8b\1\0\0"
                               "anna{\"n\":1}";
    static const char ref[] = "\1\4\1k3f9a2qd"
                              "\1\0\0\0\0\0\0\0"
                              "\2\0\0\0\0\0\0\0"
                              "\3\0\0\0\0\0\0\0"
                              "\4\0\0\0\5\0\0\0b";
    static const char user[] = "\1\5\4k3f9a2qd"
                               "\x09\0\0\0\0\0\0\0"
                               "\4\0\0\0\0\0\0\0"
                               "\x20\x4e"
                               "carl";
    struct file_record out;
    const char *detail;
    cr_assert_eq(file_record_read((struct span){note, sizeof note - 1}, &out, &detail), ERR_OK);
    cr_assert_eq(out.kind, FILE_RECORD_NOTE);
    cr_assert_eq(out.seq, 18);
    cr_assert_eq(out.expires_ms, out.time_ms + 1);
    cr_assert(span_equal(out.user_id, SPAN_LITERAL("anna")));
    cr_assert(span_equal(out.data, SPAN_LITERAL("{\"n\":1}")));
    cr_assert_eq(out.key.len, 0);
    cr_assert_eq(file_record_read((struct span){ref, sizeof ref - 1}, &out, &detail), ERR_OK);
    cr_assert_eq(out.distance, 4);
    cr_assert_eq(out.bytes, 5);
    cr_assert(span_equal(out.user_id, SPAN_LITERAL("b")));
    cr_assert_eq(file_record_read((struct span){user, sizeof user - 1}, &out, &detail), ERR_OK);
    cr_assert_eq(out.seq, 9);
    cr_assert_eq(out.acked, 4);
    cr_assert_eq(out.written, 4);
    cr_assert_eq(out.sign_day, 20000);
    cr_assert_eq(out.devices.len, 0);
    cr_assert_eq(out.gaps.len, 0);
    cr_assert(span_equal(out.user_id, SPAN_LITERAL("carl")));
    cr_assert_eq(file_record_read((struct span){user, sizeof user}, &out, &detail),
                 ERR_INVALID_FIELD, "it had no causes");
}

/* What version 3 has more is the position of a NOTE and a REF. */
Test(file_record, reads_what_version_2_wrote)
{
    static const char note[] = "\2\2\4k3f9a2qd"
                               "\x12\0\0\0\0\0\0\0"
                               "\x7b\x68\xe5\xcf\x8b\1\0\0"
                               "\x7c\x68\xe5\xcf\x8b\1\0\0"
                               "\5annascore{\"n\":1}";
    static const char ref[] = "\2\4\1k3f9a2qd"
                              "\1\0\0\0\0\0\0\0"
                              "\2\0\0\0\0\0\0\0"
                              "\3\0\0\0\0\0\0\0"
                              "\4\0\0\0\5\0\0\0\0b";
    struct file_record out;
    const char *detail;
    cr_assert_eq(file_record_read((struct span){note, sizeof note - 1}, &out, &detail), ERR_OK);
    cr_assert_eq(out.seq, 18);
    cr_assert_eq(out.acked, 0);
    cr_assert(span_equal(out.user_id, SPAN_LITERAL("anna")));
    cr_assert(span_equal(out.key, SPAN_LITERAL("score")));
    cr_assert(span_equal(out.data, SPAN_LITERAL("{\"n\":1}")));
    cr_assert_eq(file_record_read((struct span){ref, sizeof ref - 1}, &out, &detail), ERR_OK);
    cr_assert_eq(out.distance, 4);
    cr_assert_eq(out.bytes, 5);
    cr_assert_eq(out.acked, 0);
    cr_assert(span_equal(out.user_id, SPAN_LITERAL("b")));
    for (int i = 0; i < EVENT; i++) {
        if (i == NOTE || i == REF || i == KEYED_NOTE || i == KEYED_REF)
            continue;
        char bytes[256];
        file_record_write(&samples[i], bytes);
        bytes[0] = 2;
        struct span span = {bytes, file_record_size(&samples[i])};
        cr_assert_eq(file_record_read(span, &out, &detail), ERR_OK, "the others are the same");
    }
}
