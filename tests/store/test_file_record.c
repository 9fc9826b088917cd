#include "gateway/store/file_record.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static const struct file_record samples[] = {
    {.kind = FILE_RECORD_PROBE},
    {.kind = FILE_RECORD_SHARED, .data = {"{\"a\":1}", 7}},
    {.kind = FILE_RECORD_NOTE,
     .user_id = {"anna", 4},
     .epoch = {"k3f9a2qd"},
     .seq = UINT64_MAX,
     .time_ms = 1700000000123,
     .expires_ms = 1700000060123,
     .data = {"\0\xff{}", 4}},
    {.kind = FILE_RECORD_REF,
     .user_id = {"b", 1},
     .epoch = {"00000000"},
     .seq = 1,
     .time_ms = 1,
     .expires_ms = 2,
     .distance = 10000,
     .bytes = 65536},
    {.kind = FILE_RECORD_USER,
     .user_id = {"carl", 4},
     .epoch = {"zzzzzzzz"},
     .seq = 9,
     .acked = 9,
     .sign_day = 20000},
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
        cr_assert_eq(out.time_ms, in->time_ms);
        cr_assert_eq(out.expires_ms, in->expires_ms);
        cr_assert_eq(out.distance, in->distance);
        cr_assert_eq(out.bytes, in->bytes);
        cr_assert_eq(out.sign_day, in->sign_day);
    }
}

/* Each cut lies at the end of a block of its own, so that the sanitizer sees a read beyond it. */
Test(file_record, refuses_what_ends_before_its_fields_do)
{
    for (int i = 0; i < N_SAMPLES; i++) {
        char bytes[256];
        file_record_write(&samples[i], bytes);
        size_t fields = file_record_size(&samples[i]) - samples[i].data.len;
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
    cr_assert_eq(read_with(0, 0, 2), ERR_INVALID_FIELD, "a later version");
    cr_assert_eq(read_with(0, 1, 0), ERR_INVALID_FIELD, "no kind");
    cr_assert_eq(read_with(0, 1, 6), ERR_INVALID_FIELD, "an unknown kind");
    cr_assert_eq(read_with(2, 2, 0), ERR_INVALID_FIELD, "a note of nobody");
    cr_assert_eq(read_with(2, 3, 'K'), ERR_INVALID_FIELD, "an epoch of other letters");
    cr_assert_eq(read_with(3, 11, 0), ERR_INVALID_FIELD, "number 0");
    cr_assert_eq(read_with(4, 19, 10), ERR_INVALID_FIELD, "acknowledged above the head");
    cr_assert_eq(read_with(4, 2, 3), ERR_INVALID_FIELD, "bytes behind its end");
}
