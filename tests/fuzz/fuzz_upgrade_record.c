/* Records of what another process hands over. A byte chooses: a session, an HTTP connection, the
 * state of the process, any record at all, or what the two processes say of themselves. What is
 * read is written again, and must then say the same. */
#include "gateway/upgrade/carried_process.h"
#include "gateway/upgrade/http_record.h"
#include "gateway/upgrade/session_record.h"
#include "gateway/upgrade/upgrade_hello.h"
#include "tests/fuzz/fuzz.h"

enum { FORMAT = 1, WRITTEN_MAX_BYTES = 64 << 20 };

static void check_error(enum err error, const char *why)
{
    FUZZ_CHECK(error == ERR_OK || error == ERR_INVALID_FIELD || error == ERR_UNKNOWN_FIELD);
    FUZZ_CHECK((error == ERR_OK) == (why[0] == '\0'));
    FUZZ_CHECK(strlen(why) < RECORD_WHY_MAX_BYTES);
}

static struct record_writer begin_writing(struct buf *out)
{
    buf_init(out, WRITTEN_MAX_BYTES);
    return (struct record_writer){.out = out};
}

static void check_session(const struct carried_session *session, struct span bytes)
{
    const struct span spans[] = {session->user_id,   session->device,  session->agent,
                                 session->rest,      session->message, session->token,
                                 session->unwritten, session->answer};
    for (size_t i = 0; i < sizeof spans / sizeof spans[0]; i++)
        FUZZ_CHECK(fuzz_is_inside(spans[i], bytes));
    FUZZ_CHECK(session->level <= LEVEL_SSE && session->n_unmatched <= 2);
    FUZZ_CHECK(session->user_id.len <= USER_ID_MAX_BYTES);
    FUZZ_CHECK(session->device.len <= DEVICE_MAX_BYTES);
    FUZZ_CHECK(session->decoder.state <= 1 && session->decoder.utf8 <= 7);
    FUZZ_CHECK(session->decoder.opcode <= WS_BINARY);
}

static void read_session(struct span bytes)
{
    char why[RECORD_WHY_MAX_BYTES] = "";
    struct carried_session session, again;
    struct buf first, second;
    enum err error = session_record_read(bytes, &session, why);
    check_error(error, why);
    check_session(&session, bytes); /* also of a part */
    if (error != ERR_OK)
        return;
    struct record_writer writer = begin_writing(&first);
    session_record_write(&writer, &session, FORMAT);
    FUZZ_CHECK(writer.error == ERR_OK);
    FUZZ_CHECK(session_record_read(buf_span(&first), &again, why) == ERR_OK);
    writer = begin_writing(&second);
    session_record_write(&writer, &again, FORMAT);
    fuzz_same_logs(&first, &second);
}

static void read_http(struct span bytes)
{
    char why[RECORD_WHY_MAX_BYTES] = "";
    bool is_admin = false;
    struct carried_http http, again;
    struct buf first, second;
    enum err error = http_record_read(bytes, &http, &is_admin, why);
    check_error(error, why);
    if (error != ERR_OK)
        return;
    FUZZ_CHECK(http.state < CARRIED_HTTP_STATES && fuzz_is_inside(http.bytes, bytes));
    struct record_writer writer = begin_writing(&first);
    http_record_write(&writer, &http, is_admin, FORMAT);
    FUZZ_CHECK(writer.error == ERR_OK);
    FUZZ_CHECK(http_record_read(buf_span(&first), &again, &is_admin, why) == ERR_OK);
    writer = begin_writing(&second);
    http_record_write(&writer, &again, is_admin, FORMAT);
    fuzz_same_logs(&first, &second);
}

static void check_lists(const struct carried_process *process)
{
    struct span kicks = process->kicks;
    struct span tickets = process->tickets;
    struct carried_kick kick;
    struct store_ticket ticket;
    while (carried_kick_take(&kicks, &kick))
        FUZZ_CHECK(fuzz_is_inside(kick.user_id, process->kicks) && kick.user_id.len > 0 &&
                   kick.user_id.len <= USER_ID_MAX_BYTES);
    while (carried_ticket_take(&tickets, &ticket)) {
        FUZZ_CHECK(fuzz_is_inside(ticket.ticket, process->tickets));
        FUZZ_CHECK(fuzz_is_inside(ticket.user_id, process->tickets));
        FUZZ_CHECK(ticket.ticket.len > 0 && ticket.ticket.len <= STORE_TICKET_MAX_BYTES);
        FUZZ_CHECK(ticket.user_id.len > 0 && ticket.user_id.len <= USER_ID_MAX_BYTES);
        FUZZ_CHECK(ticket.left_ms > 0 && ticket.left_ms <= INT64_C(1000) * STORE_TICKET_MAX_TTL_S);
    }
}

static void read_process(struct span bytes)
{
    char why[RECORD_WHY_MAX_BYTES] = "";
    struct carried_process process, again;
    struct buf first, second;
    enum err error = carried_process_read(bytes, &process, why);
    check_error(error, why);
    if (error != ERR_OK)
        return;
    FUZZ_CHECK(fuzz_is_inside(process.kicks, bytes) && fuzz_is_inside(process.tickets, bytes));
    check_lists(&process);
    struct record_writer writer = begin_writing(&first);
    carried_process_write(&writer, &process, FORMAT);
    FUZZ_CHECK(writer.error == ERR_OK);
    FUZZ_CHECK(carried_process_read(buf_span(&first), &again, why) == ERR_OK);
    writer = begin_writing(&second);
    carried_process_write(&writer, &again, FORMAT);
    fuzz_same_logs(&first, &second);
}

/* All items of it, written again, are its bytes; numbers come back as they are written. */
static void read_any(struct span bytes)
{
    struct buf out;
    struct record_writer writer = begin_writing(&out);
    struct span rest = bytes;
    struct span item;
    uint8_t tag;
    enum record_step step;
    while ((step = record_take(&rest, &tag, &item)) == RECORD_ITEM) {
        uint64_t number = 0;
        int64_t difference = 0;
        FUZZ_CHECK(fuzz_is_inside(item, bytes));
        record_put(&writer, tag, item);
        bool is_number = record_unsigned(item, UINT64_MAX, &number);
        FUZZ_CHECK(is_number == (item.len <= RECORD_NUMBER_MAX_BYTES));
        FUZZ_CHECK(record_signed(item, INT64_MIN, INT64_MAX, &difference) == is_number);
    }
    FUZZ_CHECK((step == RECORD_OVER) == (rest.len == 0));
    FUZZ_CHECK(span_equal(buf_span(&out), (struct span){bytes.bytes, bytes.len - rest.len}));
    buf_fini(&out);
}

static void read_greeting(struct span bytes)
{
    struct upgrade_greeting greeting, again;
    struct buf first, second;
    enum err error = upgrade_greeting_read(bytes, &greeting);
    FUZZ_CHECK(error == ERR_OK || error == ERR_INVALID_FIELD || error == ERR_UNKNOWN_FIELD);
    if (error != ERR_OK)
        return;
    FUZZ_CHECK(fuzz_is_inside(greeting.version, bytes) && fuzz_is_inside(greeting.place, bytes));
    begin_writing(&first);
    begin_writing(&second);
    FUZZ_CHECK(upgrade_greeting_write(&greeting, &first) == ERR_OK);
    FUZZ_CHECK(upgrade_greeting_read(buf_span(&first), &again) == ERR_OK);
    FUZZ_CHECK(upgrade_greeting_write(&again, &second) == ERR_OK);
    fuzz_same_logs(&first, &second);
}

static void read_short(struct span bytes)
{
    char why[UPGRADE_WHY_MAX_BYTES] = "";
    struct upgrade_ready ready;
    struct upgrade_counts counts;
    struct span rest = bytes;
    struct span text;
    bool is_admin;
    if (upgrade_ready_read(bytes, &ready) == ERR_OK) {
        uint32_t format = upgrade_format_for(UPGRADE_FORMAT, UPGRADE_FORMAT_BEFORE, ready.format,
                                             ready.format_before);
        FUZZ_CHECK(format <= UPGRADE_FORMAT && (format == 0 || format >= UPGRADE_FORMAT_BEFORE));
        FUZZ_CHECK(fuzz_is_inside(ready.version, bytes));
    }
    (void)(upgrade_counts_read(bytes, &counts) == ERR_OK);
    upgrade_refusal_read(bytes, why);
    FUZZ_CHECK(why[0] != '\0' || bytes.len > RECORD_HEAD_BYTES);
    while (upgrade_listening_take(&rest, &is_admin, &text))
        FUZZ_CHECK(fuzz_is_inside(text, bytes));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static void (*const kinds[])(struct span) = {read_session, read_http,     read_process,
                                                 read_any,     read_greeting, read_short};
    struct fuzz_input input = {bytes, len};
    unsigned which = fuzz_byte(&input) % (sizeof kinds / sizeof kinds[0]);
    char *copy = fuzz_copy(fuzz_rest(&input));
    kinds[which]((struct span){copy, input.len});
    free(copy);
    return 0;
}
