/* The rows of format 1. Tags from 128 on are what a session cannot go on without; what stands below
 * is missed by nobody for long. A tag is never used again for something else, and a row is never
 * changed: what a later format means otherwise gets a row and a tag of its own.
 *
 * The numbers of levels, and those that a decoder has in its state, its flags and of UTF-8, are
 * written as they are: changing one of them is a new format, too. */
#include "gateway/upgrade/session_record.h"

#include "gateway/net/conn.h"
#include "proto/token/jwt.h"

enum {
    AGENT_MAX_BYTES = 256,                /* user_agents.h */
    MESSAGE_MAX_BYTES = 16 * 1024 * 1024, /* --max-message */
    ANSWER_MAX_BYTES = 32768,             /* an origin, of a head of --max-head */
    DECODER_STATE_MAX = 1,
    DECODER_UTF8_MAX = 7,
    DECODER_FLAGS_MAX = 15,
    WINDOW_BITS_MAX = 15,
    UNMATCHED_MAX = 2,
};

#define ROW_SINCE(since, tag, kind, member, max, name)                                             \
    {                                                                                              \
        tag, kind, since, false, RECORD_MEMBER(struct carried_session, member), max, name          \
    }
#define REQUIRED(tag, kind, member, max, name)                                                     \
    {                                                                                              \
        tag, kind, 1, true, RECORD_MEMBER(struct carried_session, member), max, name               \
    }
#define ROW(tag, kind, member, max, name) ROW_SINCE(1, tag, kind, member, max, name)
#define NUMBER(tag, member, max, name)    ROW(tag, RECORD_UNSIGNED, member, max, name)
#define MOMENT(tag, member, name)         ROW(tag, RECORD_SIGNED, member, 0, name)
#define FLAG(tag, member, name)           ROW(tag, RECORD_BOOL, member, 0, name)
#define BYTES(tag, member, max, name)     ROW(tag, RECORD_SPAN, member, max, name)
#define ARRAY(tag, member, name)          ROW(tag, RECORD_ARRAY, member, 0, name)

static const struct record_row session_rows[] = {
    /* who it is */
    REQUIRED(128, RECORD_SPAN, user_id, USER_ID_MAX_BYTES, "userId"),
    REQUIRED(129, RECORD_UNSIGNED, level, LEVEL_SSE, "level"),
    REQUIRED(130, RECORD_UNSIGNED, id, UINT64_MAX, "id"),
    BYTES(131, device, DEVICE_MAX_BYTES, "device"), FLAG(132, is_stranger, "isStranger"),
    FLAG(133, is_known, "isKnown"), NUMBER(134, until_s, UINT32_MAX, "until"),
    FLAG(135, is_proxied, "isProxied"), ARRAY(136, address, "address"),
    NUMBER(1, since_s, UINT32_MAX, "since"), MOMENT(2, auth_in_ms, "authIn"),
    BYTES(3, agent, AGENT_MAX_BYTES, "agent"),

    /* the inbox */
    FLAG(140, has_begun, "hasBegun"), ARRAY(141, epoch, "epoch"),
    NUMBER(142, sent, UINT64_MAX, "sent"), NUMBER(143, acked, UINT64_MAX, "acked"),
    FLAG(144, wants_resume, "wantsResume"), ARRAY(145, resume, "resume"),
    NUMBER(146, resume_seq, UINT64_MAX, "resumeSeq"),

    /* pings, silence, the drain */
    NUMBER(150, ping_number, UINT32_MAX, "pingNumber"),
    NUMBER(151, ping_before, UINT32_MAX, "pingBefore"),
    NUMBER(152, n_unmatched, UNMATCHED_MAX, "unmatchedPings"),
    FLAG(153, has_ping_out, "hasPingOut"), FLAG(154, is_draining, "isDraining"),
    MOMENT(10, heard_ago_ms, "heardAgo"), MOMENT(11, next_ping_in_ms, "nextPingIn"),
    MOMENT(12, ping_sent_ago_ms, "pingSentAgo"), FLAG(13, wants_ping, "wantsPing"),
    NUMBER(14, round_trip_ms, UINT16_MAX, "roundTrip"), MOMENT(15, drain_in_ms, "drainIn"),
    FLAG(16, is_aging, "isAging"),

    /* what has come in */
    BYTES(160, rest, CONN_REST_MAX_BYTES, "rest"),
    NUMBER(161, decoder.max_message, UINT32_MAX, "decoder.maxMessage"),
    NUMBER(162, decoder.message_len, UINT32_MAX, "decoder.messageLen"),
    NUMBER(163, decoder.remaining, UINT32_MAX, "decoder.remaining"),
    ARRAY(164, decoder.mask, "decoder.mask"),
    NUMBER(165, decoder.state, DECODER_STATE_MAX, "decoder.state"),
    NUMBER(166, decoder.opcode, WS_BINARY, "decoder.opcode"),
    NUMBER(167, decoder.utf8, DECODER_UTF8_MAX, "decoder.utf8"),
    NUMBER(168, decoder.flags, DECODER_FLAGS_MAX, "decoder.flags"),
    BYTES(169, message, MESSAGE_MAX_BYTES, "message"),
    NUMBER(170, window_bits, WINDOW_BITS_MAX, "windowBits"),
    FLAG(20, is_unfinished, "isUnfinished"), MOMENT(21, begun_ago_ms, "begunAgo"),
    FLAG(22, has_rates, "hasRates"), MOMENT(23, messages_full_in_us, "messagesFullIn"),
    MOMENT(24, bytes_full_in_us, "bytesFullIn"),

    /* an auth message that waits */
    ROW(171, RECORD_MAYBE_SPAN, token, JWT_TOKEN_MAX_BYTES, "token"),
    FLAG(25, waits_second, "waitsSecond"), FLAG(26, has_verified, "hasVerified"),
    MOMENT(27, verified_ago_ms, "verifiedAgo"),

    /* what goes out */
    BYTES(180, unwritten, UINT32_MAX, "unwritten"), FLAG(181, is_unanswered, "isUnanswered"),
    BYTES(182, answer, ANSWER_MAX_BYTES, "answer"),
    NUMBER(183, answer_deflate.window_bits, WINDOW_BITS_MAX, "answerDeflate.windowBits"),
    FLAG(184, answer_deflate.is_named, "answerDeflate.isNamed"),
    MOMENT(30, moved_ago_ms, "movedAgo"),

    /* an event stream */
    NUMBER(190, stream.mark_seq, UINT64_MAX, "stream.markSeq"),
    NUMBER(191, stream.mark_bytes, UINT64_MAX, "stream.markBytes"),
    NUMBER(192, stream.progress_bytes, UINT64_MAX, "stream.progressBytes"),
    FLAG(193, stream.is_explicit, "stream.isExplicit"),
    MOMENT(40, stream.progress_ago_ms, "stream.progressAgo"),
    MOMENT(41, stream.check_in_ms, "stream.checkIn"),
    NUMBER(42, stream.check_after_ms, UINT32_MAX, "stream.checkAfter"),

#ifdef HERALD_UPGRADE_MORE_SESSION_ROWS /* a build of the tests, which has another format */
    HERALD_UPGRADE_MORE_SESSION_ROWS
#endif
};

static const struct record_table session_table = {session_rows,
                                                  sizeof session_rows / sizeof session_rows[0]};

void session_record_write(struct record_writer *writer, const struct carried_session *carried,
                          unsigned format)
{
    record_write(writer, &session_table, carried, format);
}

enum err session_record_read(struct span bytes, struct carried_session *ret_carried,
                             char why[RECORD_WHY_MAX_BYTES])
{
    *ret_carried = (struct carried_session){0};
    return record_read(bytes, &session_table, ret_carried, why);
}
