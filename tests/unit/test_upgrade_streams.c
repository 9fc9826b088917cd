/* What builds of the past have given, as files in tests/upgrade/streams: one for each format, which
 * stays as it is for ever. This build reads all of them, and writes those of its own format and of
 * the one before byte for byte. For a new format: HERALD_WRITE_STREAMS=tests/upgrade/streams
 * build/release/tests/test_upgrade_streams writes what is not there yet. */
#include "gateway/upgrade/upgrade_hello.h"
#include "tests/support/sample_stream.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

enum { FORMATS_MAX = 100, STREAM_MAX_BYTES = 1 << 20 };

static struct buf stored;

static bool read_file(const char *directory, unsigned format)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/format_%u", directory, format);
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return false;
    buf_init(&stored, STREAM_MAX_BYTES);
    cr_assert_eq(buf_reserve(&stored, STREAM_MAX_BYTES), ERR_OK);
    stored.len = fread(stored.bytes, 1, STREAM_MAX_BYTES, file);
    fclose(file);
    return true;
}

static void write_stream(struct buf *out, unsigned format)
{
    buf_init(out, STREAM_MAX_BYTES);
    struct record_writer writer = {.out = out};
    sample_write_stream(&writer, format);
    cr_assert_eq(writer.error, ERR_OK);
}

static void write_file_if_missing(const char *directory, unsigned format)
{
    struct buf bytes;
    char path[1024];
    if (read_file(directory, format)) {
        buf_fini(&stored);
        return;
    }
    write_stream(&bytes, format);
    snprintf(path, sizeof path, "%s/format_%u", directory, format);
    FILE *file = fopen(path, "wb");
    cr_assert_not_null(file, "%s", path);
    cr_assert_eq(fwrite(bytes.bytes, 1, bytes.len, file), bytes.len);
    cr_assert_eq(fclose(file), 0);
    buf_fini(&bytes);
}

static struct span take_message(struct span *stream, enum upgrade_kind kind)
{
    uint8_t tag = 0;
    struct span bytes = SPAN_NONE;
    cr_assert_eq(record_take(stream, &tag, &bytes), RECORD_ITEM);
    cr_assert_eq(tag, kind);
    return bytes;
}

static struct span take_record(struct span *batch)
{
    uint8_t tag = 0;
    struct span bytes = SPAN_NONE;
    cr_assert_eq(record_take(batch, &tag, &bytes), RECORD_ITEM);
    cr_assert_eq(tag, SAMPLE_TAG_RECORD);
    return bytes;
}

static void check_sessions(struct span batch)
{
    for (size_t i = 0; i < SAMPLE_SESSIONS; i++) {
        char why[RECORD_WHY_MAX_BYTES] = "";
        struct carried_session sample, session;
        sample_sessions[i](&sample);
        cr_assert_eq(session_record_read(take_record(&batch), &session, why), ERR_OK, "%s", why);
        cr_assert(sample_session_equal(&sample, &session), "%zu", i);
    }
    cr_assert_eq(batch.len, 0);
}

static void check_http(struct span batch)
{
    for (size_t i = 0; i < SAMPLE_HTTP; i++) {
        char why[RECORD_WHY_MAX_BYTES] = "";
        const struct carried_http *sample = &sample_http[i];
        struct carried_http http;
        bool is_admin;
        cr_assert_eq(http_record_read(take_record(&batch), &http, &is_admin, why), ERR_OK, "%s",
                     why);
        cr_assert_eq(is_admin, i == 2);
        cr_assert_eq(http.state, sample->state);
        cr_assert_eq(http.peer.is_proxied, sample->peer.is_proxied);
        cr_assert_eq(http.peer.is_unresolved, sample->peer.is_unresolved);
        cr_assert(ip_equal(&http.peer.address, &sample->peer.address));
        cr_assert_eq(http.waited_ms, sample->waited_ms);
        cr_assert_eq(http.n_skipped, sample->n_skipped);
        cr_assert(span_equal(http.bytes, sample->bytes));
    }
    cr_assert_eq(batch.len, 0);
}

static void check_lists(struct span kicks, struct span tickets)
{
    struct carried_kick kick;
    struct store_ticket ticket;
    for (size_t i = 0; i < SAMPLE_ENTRIES; i++) {
        cr_assert(carried_kick_take(&kicks, &kick));
        cr_assert(span_equal(kick.user_id, sample_kicks[i].user_id));
        cr_assert_eq(kick.left_ms, sample_kicks[i].left_ms);
        cr_assert(carried_ticket_take(&tickets, &ticket));
        cr_assert(span_equal(ticket.ticket, sample_tickets[i].ticket));
        cr_assert(span_equal(ticket.user_id, sample_tickets[i].user_id));
        cr_assert_eq(ticket.left_ms, sample_tickets[i].left_ms);
    }
    cr_assert_eq(kicks.len + tickets.len, 0);
}

static void check_process(struct span bytes)
{
    char why[RECORD_WHY_MAX_BYTES] = "";
    struct carried_process sample, process;
    sample_process(&sample);
    cr_assert_eq(carried_process_read(bytes, &process, why), ERR_OK, "%s", why);
    cr_assert(span_equal(process.version, sample.version));
    cr_assert_eq(process.next_connection, sample.next_connection);
    cr_assert_eq(process.frozen_ms, sample.frozen_ms);
    cr_assert_eq(process.wall_ms, sample.wall_ms);
    cr_assert_eq(process.monotonic_ms, sample.monotonic_ms);
    cr_assert_eq(process.has_ticket_keys, sample.has_ticket_keys);
    cr_assert_arr_eq(&process.ticket_keys, &sample.ticket_keys, sizeof sample.ticket_keys);
    cr_assert_eq(process.is_draining, sample.is_draining);
    cr_assert_eq(process.drain_in_ms, sample.drain_in_ms);
    check_lists(process.kicks, process.tickets);
}

Test(upgrade_streams, of_every_format_can_be_read)
{
    unsigned n = 0;
    const char *to_write = getenv("HERALD_WRITE_STREAMS");
    for (unsigned format = UPGRADE_FORMAT; to_write != NULL && format > 0; format--)
        write_file_if_missing(to_write, format);
    for (unsigned format = 1; format < FORMATS_MAX && read_file(STREAMS, format); format++, n++) {
        struct span stream = buf_span(&stored);
        check_process(take_message(&stream, UPGRADE_PROCESS));
        check_sessions(take_message(&stream, UPGRADE_SESSIONS));
        check_http(take_message(&stream, UPGRADE_HTTP));
        cr_assert_eq(stream.len, 0);
        buf_fini(&stored);
    }
    cr_assert_eq(n, UPGRADE_FORMAT, "each format has a file");
}

Test(upgrade_streams, of_this_format_and_the_one_before_are_written_as_they_were)
{
    for (unsigned format = UPGRADE_FORMAT; format > 0; format--) {
        struct buf bytes;
        if (format < UPGRADE_FORMAT_BEFORE)
            break;
        cr_assert(read_file(STREAMS, format), "format %u", format);
        write_stream(&bytes, format);
        cr_assert(span_equal(buf_span(&bytes), buf_span(&stored)), "format %u", format);
        buf_fini(&bytes);
        buf_fini(&stored);
    }
}
