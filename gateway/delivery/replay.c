/* A session that is not LIVE has at most one page under way. The page says up to which number it is
 * complete and what the highest number was when it was read. When the two are equal the session is
 * at the tail as it was then; whatever was numbered since has been, or will be, offered to the
 * client's channel. What came meanwhile was kept (client_more.kept), so the session continues from
 * there and is LIVE, without a hole and without a repeat. If a part of it is missing (there was no
 * room to keep it, or a wake-up was lost), the numbers show the hole and another page is read.
 *
 * Where events may have been missed the store may have lost numbers, too, and given them again.
 * Then the client is unsure: until a page has told the store what was known before, nothing that
 * has a number is given live, and no position is written; a page that was asked for earlier is read
 * again.
 *
 * Where withdrawals may have been missed, the next page also says which of the numbers that the
 * client was written, and has not acknowledged, were withdrawn. Notifications that it was written
 * are not sent again.
 *
 * Each page says whether the user is blocked. The store reads the block and the page in one step,
 * so a session that is let in was in the client map before the block, and the kick that follows the
 * block closes it. A node that the kick did not reach finds the block with its next page, of any of
 * the user's sessions, which it reads at the latest when its link to the store is back.
 *
 * The next page is asked for when the last one is on its way to the client, so a slow reader holds
 * one page in memory.
 *
 * The first page of a user for whom nothing waits is read at once where the store knows it without
 * work (store_page_at_once): the session is LIVE when replay_arrive returns.
 *
 * A page that fails is asked for again when the store is back, or when the second is over
 * (page_queue.h). */
#include "gateway/delivery/replay.h"

#include "gateway/base/metrics.h"
#include "gateway/delivery/client_describe.h"
#include "gateway/delivery/page_learn.h"
#include "gateway/delivery/page_queue.h"
#include "gateway/delivery/positions.h"
#include "gateway/node/refusals.h"
#include "gateway/session/session_answer.h"
#include "gateway/session/session_close.h"
#include "gateway/session/session_say.h"
#include "gateway/session/session_write.h"

#include <stdlib.h>

enum { PAGE_COUNT = 512, PAGE_BYTES = 128 * 1024 };

/* A page under way. The session may leave meanwhile: it is NULL then, and the page is dropped. */
struct page_read {
    struct store_page page;
    struct letter letter;
    struct session *session;
    struct worker *worker;
    bool was_unsure; /* the client, when it was asked for */
    char names[];    /* the userId, the device */
};

static void on_page_letter(struct letter *letter);

static void on_page(struct store_request *request)
{
    struct page_read *read = CONTAINER_OF(request, struct page_read, page.request);
    mailbox_post(worker_mailbox(read->worker), &read->letter);
}

static uint32_t page_bytes(const struct session *session)
{
    int64_t ceiling = session_worker(session)->node->options->session_max_bytes;
    return ceiling < PAGE_BYTES ? (uint32_t)ceiling : PAGE_BYTES;
}

/* What the reader waits with. NULL: there is no memory for it, and the session ends. */
static struct reader_wait *wait_of(struct session *session)
{
    struct session_extra *extra = session_extra(session);
    if (extra == NULL)
        session_give_up(session);
    return extra == NULL ? NULL : &extra->wait;
}

/* Until the store is back, or the second is over (page_queue.h). */
static void put_off_page(struct session *session)
{
    struct reader_wait *wait = wait_of(session);
    if (wait != NULL)
        page_queue_put_off(session_worker(session)->page_queue, wait);
}

/* Where the page begins: a new session where it asked to resume, or else at its position, as far as
 * that is known here; any other after its tail. */
static void choose_start(const struct session *session, struct store_page *page)
{
    const struct client *client = session->client;
    const struct position *position = positions_of(session);
    if (session->reader.has_begun) {
        page->after = session->reader.tail;
    } else if (session->extra != NULL && !epoch_is_none(session->extra->resume.epoch)) {
        page->after = session->extra->resume.seq;
        page->after_epoch = session->extra->resume.epoch;
    } else if (position->is_known && !epoch_is_none(client->epoch)) {
        page->after = position_acked(position);
    } else {
        page->from_acked = true;
    }
}

/* Withdrawals among the numbers that the client may show, and among those that wait in memory. */
static void ask_for_withdrawn(struct session *session, struct store_page *page)
{
    page->withdrawn_after = session_has_gaps(session) ? session->acked : session_sent(session);
    page->wants_withdrawn = session->reader.must_look_back && session->reader.has_begun;
    session->reader.must_look_back = false;
}

/* What is asked of the store; the names are the client's. */
static struct store_page page_for(const struct session *session)
{
    const struct client *client = session->client;
    struct store_page page = {
        .request = {.on_done = on_page, .lane = client_worker(client)->index},
        .user_id = client_user_id(client),
        .device = position_device(positions_of(session)),
        .is_arrival = !session->reader.has_begun || session->reader.must_arrive,
        .tells_block = true,
        .must_begin = session_has_gaps(session), /* hello names the epoch */
        .wants_gaps = session_has_gaps(session),
        .known_head = client->head,
        .known_time = client->head_time,
        .known_epoch = client->epoch,
        .max_count = PAGE_COUNT,
        .max_bytes = page_bytes(session),
    };
    choose_start(session, &page);
    return page;
}

static void request_page(struct session *session)
{
    struct client *client = session->client;
    struct span device = position_device(positions_of(session));
    session->reader.must_reread = false;
    struct page_read *read = calloc(1, sizeof *read + client->user_id_len + device.len);
    if (read == NULL || client_keep(client) != ERR_OK) {
        free(read);
        put_off_page(session); /* memory may be back in a second, as a store may */
        return;
    }
    memcpy(read->names, client->user_id, client->user_id_len);
    if (device.len > 0)
        memcpy(read->names + client->user_id_len, device.bytes, device.len);
    read->session = session;
    read->worker = client_worker(client);
    read->was_unsure = client->is_unsure;
    read->letter.deliver = on_page_letter;
    read->page = page_for(session);
    read->page.user_id = (struct span){read->names, client->user_id_len};
    read->page.device = (struct span){read->names + client->user_id_len, device.len};
    ask_for_withdrawn(session, &read->page);
    reader_become(&session->reader, READER_READING);
    session->extra->wait.page = read; /* it has had its turn, so it has a wait */
    page_queue_page_begins(client_worker(client)->page_queue);
    store_page(client_worker(client)->node->store, &read->page);
}

/* ---- turns ---- */

static void read_in_turn(struct worker *worker)
{
    struct reader_wait *wait;
    while ((wait = page_queue_next(worker->page_queue)) != NULL)
        request_page(CONTAINER_OF(wait->reader, struct session, reader));
}

static void want_page(struct session *session)
{
    struct worker *worker = session_worker(session);
    struct reader_wait *wait = wait_of(session);
    if (wait == NULL)
        return;
    page_queue_add(worker->page_queue, wait);
    read_in_turn(worker);
}

void replay_try_again(struct worker *worker)
{
    page_queue_retry(worker->page_queue);
    read_in_turn(worker);
}

/* The page under way does not show what this one must: another one is read after it. */
static void reread_if_reading(struct session *session)
{
    if (session->reader.state == READER_READING)
        session->reader.must_reread = true;
}

void replay_reread(struct session *session, enum missed missed)
{
    session->reader.must_look_back |= missed == MISSED_WITHDRAWALS;
    if (reader_is_live(&session->reader))
        want_page(session);
    else
        reread_if_reading(session); /* in any other state its next page is still to be read */
}

void replay_when_drained(struct session *session)
{
    metrics_count(METRIC_FELL_BACK);
    reader_become(&session->reader, READER_DRAINING);
}

void replay_look_back_when_drained(struct session *session)
{
    session->reader.must_look_back = true;
    if (reader_is_live(&session->reader))
        replay_when_drained(session);
    else
        reread_if_reading(session);
}

void replay_drained(struct session *session)
{
    if (session->reader.state == READER_DRAINING)
        want_page(session);
}

/* What the pages under way do not show was not kept either, and what they show may be withdrawn by
 * now: another page is read after them. */
static void reread_after_pages(struct client *client)
{
    LIST_FOR_EACH(link, &client->sessions)
    {
        struct reader *reader = &CONTAINER_OF(link, struct session, link)->reader;
        if (reader->state != READER_READING)
            continue;
        reader->must_look_back |= client->more->kept->has_lost_withdrawn;
        reader->must_reread = true;
    }
}

void replay_keep(struct client *client, struct inbox_event event)
{
    struct channel *kept = client->more->kept;
    if (kept == NULL)
        return;
    uint32_t max_bytes = (uint32_t)client_worker(client)->node->options->session_max_bytes;
    if (channel_offer(kept, event, max_bytes) == ERR_OK)
        return;
    channel_shed(kept);
    reread_after_pages(client);
}

static void drop_kept_if_unused(struct client *client)
{
    LIST_FOR_EACH(link, &client->sessions)
    {
        if (CONTAINER_OF(link, struct session, link)->reader.state == READER_READING)
            return;
    }
    client_drop_kept(client);
}

void replay_forget(struct session *session)
{
    struct reader *reader = &session->reader;
    enum reader_state state = reader->state;
    if (state == READER_ENDED)
        return;
    if (state == READER_WAITING_TURN || state == READER_WAITING_STORE)
        page_queue_remove(&session->extra->wait);
    if (state == READER_READING && session->extra != NULL && session->extra->wait.page != NULL)
        session->extra->wait.page->session = NULL;
    reader_become(reader, READER_ENDED);
    if (state == READER_READING)
        drop_kept_if_unused(session->client);
}

/* The first page has come: the session begins where the page does, but not before what the other
 * sessions of its position have acknowledged meanwhile. */
static void begin_session_at(struct session *session, const struct store_page *page)
{
    bool has_asked = session->extra != NULL && !epoch_is_none(session->extra->resume.epoch);
    uint64_t acked = position_acked(positions_of(session));
    uint64_t start = page->is_resumed || page->start > acked ? page->start : acked;
    session->reader.has_begun = true;
    session_begin_at(session, start);
    session_greet(session, page->head, has_asked && page->is_resumed);
    if (has_asked) {
        metrics_count(page->is_resumed ? METRIC_RESUMED : METRIC_RESET);
        if (!page->is_resumed)
            session_reset(session);
        session->extra->resume = (struct resume){0};
    }
    session_send_answer(session);
    positions_acked(session); /* a resume acknowledges */
}

/* Of a write to the session that is READING: true if it was queued. ERR_FULL: it did not fit, and
 * the next page is read when all that is queued is written. Any other error: the session ends. */
static bool drain_unless_queued(struct session *session, enum err error)
{
    if (error == ERR_FULL)
        reader_become(&session->reader, READER_DRAINING);
    return error == ERR_OK;
}

/* Writes a notification with a number above the tail. */
static bool write_note(struct session *session, struct notification *note)
{
    enum gap_cause cause = channel_withdrawn(session->client->more->kept, note->seq);
    if (cause != GAP_NONE) { /* since the page was read, or before it was written from memory */
        struct gap gap = {note->seq, note->seq, cause};
        return drain_unless_queued(session, session_gap(session, &gap));
    }
    enum err error = session_write(session, note);
    metrics_add(METRIC_DELIVERED_REPLAY, error == ERR_OK);
    return drain_unless_queued(session, error);
}

/* The gaps below a number, as far as they are above the tail. */
static bool write_gaps(struct session *session, const struct store_page *page, size_t *at,
                       uint64_t below)
{
    for (; *at < page->n_gaps && page->gaps[*at].from < below; (*at)++) {
        struct gap gap = page->gaps[*at];
        if (gap.to <= session->reader.tail)
            continue;
        if (gap.from <= session->reader.tail)
            gap.from = session->reader.tail + 1;
        if (!drain_unless_queued(session, session_gap(session, &gap)))
            return false;
    }
    return true;
}

static bool write_withdrawn(struct session *session, const struct store_page *page)
{
    for (size_t i = 0; i < page->n_withdrawn; i++) {
        const struct gap *gap = &page->withdrawn[i];
        if (drain_unless_queued(session, session_withdraw(session, gap->from, gap->to, gap->cause)))
            continue;
        session->reader.must_look_back = true;
        return false;
    }
    return true;
}

static bool write_page(struct session *session, const struct store_page *page)
{
    size_t gap = 0;
    for (size_t i = 0; i < page->n_notes; i++) {
        if (!write_gaps(session, page, &gap, page->notes[i]->seq))
            return false;
        if (page->notes[i]->seq > session->reader.tail && !write_note(session, page->notes[i]))
            return false;
    }
    if (!write_gaps(session, page, &gap, UINT64_MAX))
        return false;
    if (page->last <= session->reader.tail)
        return true;
    /* the numbers after the last notification are no longer in the inbox */
    struct gap rest = {session->reader.tail + 1, page->last, GAP_UNKNOWN};
    return drain_unless_queued(session, session_gap(session, &rest));
}

/* From the tail of the page through what was kept. true: it has reached the client's last number.
 */
static bool catch_up(struct session *session)
{
    const struct client *client = session->client;
    const struct channel *kept = client->more->kept;
    for (uint32_t i = 0; kept != NULL && i < kept->n; i++) {
        struct inbox_event event = channel_at(kept, i);
        if (event.kind == INBOX_WITHDRAWAL || event.note->seq <= session->reader.tail)
            continue;
        if (event.note->seq != session->reader.tail + 1 || !write_note(session, event.note))
            return false;
    }
    return session->reader.tail >= client->head;
}

/* Gives the session what has come, and decides how it goes on. */
static void give_page(struct session *session, const struct store_page *page)
{
    struct reader *reader = &session->reader;
    uint64_t before = reader->tail;
    if (!write_withdrawn(session, page) || !write_page(session, page)) {
        if (reader->state == READER_READING) /* there was no memory: the session is ending */
            reader_become(reader, READER_ENDED);
    } else if (page->last < page->head) {
        reader_become(reader, READER_DRAINING);
        if (session_queued_bytes(session) == 0)
            want_page(session);
    } else if (reader->must_reread) {
        want_page(session);
    } else if (catch_up(session)) {
        reader_become(reader, READER_LIVE);
    } else if (reader->state == READER_READING) { /* there was room for all of it */
        reader->must_look_back = true;            /* what is missing may have replaced another */
        if (reader->tail > before)
            want_page(session);
        else
            put_off_page(session); /* the store knows less than the channel has brought */
    }
}

/* The page has come, and is of the epoch of the sessions. */
static void take_page(struct session *session, const struct store_page *page)
{
    if (!session->reader.has_begun)
        begin_session_at(session, page);
    session->reader.must_arrive = false;
    client_note_present(session->client);
    give_page(session, page);
    session_trim(session);
}

/* The first page, where the store knows without work that nothing waits: it needs no turn, because
 * nothing is under way. */
static bool read_at_once(struct session *session)
{
    struct store_page page = page_for(session);
    if (!store_page_at_once(session_worker(session)->node->store, &page) ||
        !page_learn(session, &page))
        return false;
    reader_become(&session->reader, READER_READING);
    take_page(session, &page);
    return true;
}

void replay_arrive(struct session *session)
{
    struct worker *worker = session_worker(session);
    if (!session->reader.must_look_back && read_at_once(session))
        return;
    struct reader_wait *wait = wait_of(session);
    if (wait == NULL)
        return;
    page_queue_add_new(worker->page_queue, wait);
    read_in_turn(worker);
}

/* Of what it has acknowledged, and on the plain level of anything, it cannot be told. */
void replay_go_on(struct session *session)
{
    struct reader *reader = &session->reader;
    reader->has_begun = true;
    reader->must_arrive = true;
    reader->must_look_back = session_has_gaps(session) && session->acked < reader->tail;
    replay_arrive(session);
}

static void refuse_blocked(struct session *session)
{
    struct refusal_subject who = {.path = session->level == LEVEL_SSE ? SPAN_LITERAL("/sse")
                                                                      : SPAN_LITERAL("/ws")};
    session_who(session, &who);
    refusals_log_request(REFUSAL_BLOCKED, &who, "POST /deleteClient with blockFor 1");
    session_close(session, ERR_BLOCKED);
}

static void on_page_letter(struct letter *letter)
{
    struct page_read *read = CONTAINER_OF(letter, struct page_read, letter);
    struct session *session = read->session;
    struct worker *worker = read->worker;
    const struct store_page *page = &read->page;
    page_queue_page_ends(worker->page_queue, page->error != ERR_OK);
    if (session == NULL)
        goto out;

    struct client *client = session->client;
    session->extra->wait.page = NULL;
    if (page->error != ERR_OK) {
        session_send_answer(session); /* accepted: it waits for the store */
        client_note_present(client);
        session->reader.must_look_back |= page->wants_withdrawn;
        put_off_page(session);
    } else if (page->blocked_until_ms != 0) {
        if (!session->reader.has_begun)
            refuse_blocked(session);
        session_close_all(client, ERR_BLOCKED, SPAN_NONE); /* those that a kick has missed */
        goto out;
    } else if (client->is_unsure && !read->was_unsure) { /* it may be older than what was missed */
        session->reader.must_look_back |= page->wants_withdrawn;
        want_page(session);
    } else if (!page_learn(session, page)) {
        session_resync_all(client);
        goto out; /* the client is on its way out */
    } else {
        if (page->wants_withdrawn) /* something may have been missed */
            positions_compare(client, positions_of(session), page->position);
        take_page(session, page);
    }
    drop_kept_if_unused(client);
out:
    store_page_clear(&read->page);
    free(read);
    read_in_turn(worker);
}
