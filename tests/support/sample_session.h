/* Sessions on their way to another process, for tests of their records. */
#ifndef HERALD_TESTS_SAMPLE_SESSION_H
#define HERALD_TESTS_SAMPLE_SESSION_H

#include "gateway/session/carried_session.h"

/* Every byte of every member is another one than it is in a zeroed struct. It is no session that
 * could be: no member is beyond its bounds, but they contradict each other. */
static inline void sample_session_full(struct carried_session *session)
{
    memset(session, 1, sizeof *session);
    session->user_id = SPAN_LITERAL("alice");
    session->device = SPAN_LITERAL("phone");
    session->level = LEVEL_V1;
    session->agent = SPAN_LITERAL("Mozilla/5.0");
    session->rest = SPAN_LITERAL("\x81\x85");
    session->message = SPAN_LITERAL("{\"type\":\"ack\",");
    session->token = SPAN_LITERAL("a.b.c");
    session->unwritten = SPAN_LITERAL("lo\"}");
    session->answer = SPAN_LITERAL("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

/* A plain session between two pushes. */
static inline void sample_session_idle(struct carried_session *session)
{
    *session = (struct carried_session){
        .user_id = SPAN_LITERAL("bob"),
        .level = LEVEL_PLAIN,
        .id = (UINT64_C(1) << 44) + 7,
        .since_s = 1764000000,
        .agent = SPAN_LITERAL("okhttp/4.12.0"),
        .has_begun = true,
        .epoch = {"abcdefgh"},
        .sent = 1234,
        .acked = 1234,
        .round_trip_ms = 38,
        .heard_ago_ms = 4000,
        .next_ping_in_ms = 11000,
        .ping_number = 1234,
    };
}

/* A herald.v1 session in the midst of everything: half a message has come in, half a frame is on
 * its way out, and two pings are unanswered. */
static inline void sample_session_busy(struct carried_session *session)
{
    *session = (struct carried_session){
        .user_id = SPAN_LITERAL("j\xc3\xb6rg"),
        .device = SPAN_LITERAL("tablet"),
        .level = LEVEL_V1,
        .id = 1,
        .since_s = 1764000000,
        .until_s = 1764003600,
        .is_proxied = true,
        .address = {{[10] = 0xff, 0xff, 192, 0, 2, 1}},
        .has_begun = true,
        .epoch = {"ABCDEFGH"},
        .sent = 40,
        .acked = 31,
        .heard_ago_ms = 900,
        .next_ping_in_ms = -3,
        .ping_sent_ago_ms = 1200,
        .ping_number = 40,
        .ping_before = 35,
        .n_unmatched = 2,
        .has_ping_out = true,
        .wants_ping = true,
        .round_trip_ms = UINT16_MAX,
        .rest = SPAN_LITERAL("\x80\x85\x01"),
        .is_unfinished = true,
        .begun_ago_ms = 250,
        .decoder = {.max_message = 65536,
                    .message_len = 14,
                    .mask = {9, 8, 7, 6},
                    .opcode = WS_TEXT,
                    .flags = 8},
        .message = SPAN_LITERAL("{\"type\":\"ack\","),
        .window_bits = 15,
        .has_rates = true,
        .messages_full_in_us = 125000,
        .unwritten = SPAN_LITERAL("rest of a frame"),
        .moved_ago_ms = 77,
    };
}

/* An event stream whose answer is held back. */
static inline void sample_session_stream(struct carried_session *session)
{
    *session = (struct carried_session){
        .user_id = SPAN_LITERAL("carol"),
        .level = LEVEL_SSE,
        .id = 2,
        .since_s = 1764000000,
        .wants_resume = true,
        .resume = {"abcdefgh"},
        .resume_seq = 17,
        .is_draining = true,
        .drain_in_ms = 2500,
        .is_unanswered = true,
        .answer = SPAN_LITERAL("https://app.example"),
        .stream = {.progress_ago_ms = 5,
                   .check_in_ms = 15,
                   .check_after_ms = 20,
                   .is_explicit = true},
    };
}

static inline bool sample_span_equal(struct span *a, const struct span *b)
{
    bool is_equal = span_equal(*a, *b) && (a->bytes == NULL) == (b->bytes == NULL);
    a->bytes = b->bytes; /* what they point to is compared, and not where it is */
    return is_equal;
}

/* Are all members the same? */
static inline bool sample_session_equal(const struct carried_session *a,
                                        const struct carried_session *b)
{
    struct carried_session one = *a, other = *b;
    bool is_equal = true;
    struct span *spans[] = {&one.user_id, &one.device, &one.agent,     &one.rest,
                            &one.message, &one.token,  &one.unwritten, &one.answer};
    const struct span *others[] = {&other.user_id, &other.device, &other.agent,     &other.rest,
                                   &other.message, &other.token,  &other.unwritten, &other.answer};
    for (size_t i = 0; i < sizeof spans / sizeof spans[0]; i++)
        is_equal = sample_span_equal(spans[i], others[i]) && is_equal;
#if __has_builtin(__builtin_clear_padding) /* clang has none yet, and compares the spans alone */
    __builtin_clear_padding(&one);
    __builtin_clear_padding(&other);
    is_equal = is_equal && memcmp(&one, &other, sizeof one) == 0;
#endif
    return is_equal;
}

#endif
