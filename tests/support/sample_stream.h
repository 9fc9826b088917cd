/* A whole hand-over as one process gives it to the next, for tests: items whose tags are the kinds
 * of the messages (upgrade_link.h), and whose bytes are theirs. */
#ifndef HERALD_TESTS_SAMPLE_STREAM_H
#define HERALD_TESTS_SAMPLE_STREAM_H

#include "gateway/upgrade/carried_process.h"
#include "gateway/upgrade/http_record.h"
#include "gateway/upgrade/session_record.h"
#include "gateway/upgrade/upgrade_link.h"
#include "tests/support/sample_session.h"

enum { SAMPLE_SESSIONS = 4, SAMPLE_HTTP = 3, SAMPLE_ENTRIES = 2, SAMPLE_TAG_RECORD = 1 };

/* Without the members that came after the first stream was stored: they may be missing. */
static inline void sample_session_first(struct carried_session *session)
{
    sample_session_full(session);
    session->is_aging = false;
}

static void (*const sample_sessions[SAMPLE_SESSIONS])(struct carried_session *) = {
    sample_session_first, sample_session_idle, sample_session_busy, sample_session_stream};

static const struct carried_http sample_http[SAMPLE_HTTP] = {
    {.state = CARRIED_HTTP_PROXY, .peer.is_unresolved = true, .waited_ms = 250},
    {.state = CARRIED_HTTP_HEAD,
     .peer = {.is_proxied = true, .address = {{[10] = 0xff, 0xff, 192, 0, 2, 1}}},
     .waited_ms = 9000,
     .n_skipped = 70,
     .bytes = {"GET /ws?userId=alice HTTP/1.1\r\nHos", 34}},
    {.state = CARRIED_HTTP_RESTING, .waited_ms = 74999},
};

static const struct carried_kick sample_kicks[SAMPLE_ENTRIES] = {{{"alice", 5}, 1},
                                                                 {{"bob", 3}, 29999}};
static const struct store_ticket sample_tickets[SAMPLE_ENTRIES] = {
    {{"0123456789abcdefghijklmnopqrstuv", 32}, {"alice", 5}, 30000}, {{"t", 1}, {"bob", 3}, 1}};

/* Without its lists. */
static inline void sample_process(struct carried_process *process)
{
    *process = (struct carried_process){
        .version = SPAN_LITERAL("0.1.0"),
        .next_connection = UINT64_C(28224000000123),
        .frozen_ms = 86400000,
        .wall_ms = INT64_C(1764000000000),
        .monotonic_ms = 86400005,
        .has_ticket_keys = true,
        .ticket_keys = {.age_ms = 3600000},
        .is_draining = true,
        .drain_in_ms = 12345,
    };
    memset(process->ticket_keys.present.name, 1, sizeof process->ticket_keys.present.name);
    memset(process->ticket_keys.present.cipher, 2, sizeof process->ticket_keys.present.cipher);
    memset(process->ticket_keys.present.mac, 3, sizeof process->ticket_keys.present.mac);
    memset(process->ticket_keys.previous.name, 4, sizeof process->ticket_keys.previous.name);
    memset(process->ticket_keys.previous.cipher, 5, sizeof process->ticket_keys.previous.cipher);
    memset(process->ticket_keys.previous.mac, 6, sizeof process->ticket_keys.previous.mac);
}

static inline void sample_write_process(struct record_writer *writer, unsigned format)
{
    struct carried_process process;
    struct buf kicks, tickets;
    struct record_writer kick_writer = {.out = &kicks};
    struct record_writer ticket_writer = {.out = &tickets};
    buf_init(&kicks, CARRIED_KICKS_MAX_BYTES);
    buf_init(&tickets, CARRIED_TICKETS_MAX_BYTES);
    for (size_t i = 0; i < SAMPLE_ENTRIES; i++) {
        carried_kick_write(&kick_writer, &sample_kicks[i], format);
        carried_ticket_write(&ticket_writer, &sample_tickets[i], format);
    }
    sample_process(&process);
    process.kicks = buf_span(&kicks);
    process.tickets = buf_span(&tickets);
    carried_process_write(writer, &process, format);
    buf_fini(&kicks);
    buf_fini(&tickets);
}

static inline void sample_write_stream(struct record_writer *writer, unsigned format)
{
    size_t message = record_begin(writer, UPGRADE_PROCESS);
    sample_write_process(writer, format);
    record_end(writer, message);
    message = record_begin(writer, UPGRADE_SESSIONS);
    for (size_t i = 0; i < SAMPLE_SESSIONS; i++) {
        struct carried_session session;
        size_t place = record_begin(writer, SAMPLE_TAG_RECORD);
        sample_sessions[i](&session);
        session_record_write(writer, &session, format);
        record_end(writer, place);
    }
    record_end(writer, message);
    message = record_begin(writer, UPGRADE_HTTP);
    for (size_t i = 0; i < SAMPLE_HTTP; i++) {
        size_t place = record_begin(writer, SAMPLE_TAG_RECORD);
        http_record_write(writer, &sample_http[i], i == 2, format);
        record_end(writer, place);
    }
    record_end(writer, message);
}

#endif
