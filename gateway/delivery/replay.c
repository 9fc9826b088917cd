/* A session in REPLAY has at most one page under way. The page says up to which number it is
 * complete and what the highest number was when it was read. When the two are equal the session is
 * at the tail as it was then; whatever was numbered since has been, or will be, offered to the
 * client's channel. What came meanwhile was kept (client->recent), so the session goes on from
 * there and is LIVE, without a hole and without a repeat. If something of it is not there (the keep
 * was full, a wake-up was lost), the numbers show it and another page is read.
 *
 * Where withdrawals may have been missed, the next page also tells what was withdrawn of the
 * numbers that the client was written and has not acknowledged. What it was written of before is
 * not sent again.
 *
 * The first page of a session tells whether the user is blocked: read in one step with what it
 * shows, so that whoever is let in was in the client map before the block, and is closed by the
 * kick.
 *
 * The next page is asked for when the last one is on its way to the client, so a slow reader holds
 * one page in memory.
 *
 * After an outage all sessions want a page at once. So whoever wants one stands in a list of its
 * worker, and has its turn when fewer than node->pages_at_once of that worker are under way: first
 * pages of new sessions before the others, whose clients have something already. A page that failed
 * keeps its place until the store is back or the second is over, and its session waits as long: a
 * store that is away is asked so many times a second, whatever the number of sessions. */
#include "gateway/delivery/replay.h"

#include "gateway/base/metrics.h"
#include "gateway/delivery/positions.h"
#include "gateway/node/refusals.h"

#include <stdlib.h>

enum { PAGE_COUNT = 512, PAGE_BYTES = 128 * 1024 };

/* A page under way. The session may go while it is; the page then finds NULL and is thrown away. */
struct replay {
    struct store_page page;
    struct letter letter;
    struct session *session;
    struct worker *worker;
    char names[]; /* the userId, the device */
};

static void on_page_letter(struct letter *letter);

static void on_page(struct store_request *request)
{
    struct replay *replay = CONTAINER_OF(request, struct replay, page.request);
    mailbox_post(worker_mailbox(replay->worker), &replay->letter);
}

static uint32_t page_bytes(const struct session *session)
{
    int64_t ceiling = session_worker(session)->node->options->session_max_bytes;
    return ceiling < PAGE_BYTES ? (uint32_t)ceiling : PAGE_BYTES;
}

/* Until the store is back, or the second is over. */
static void wait_for_store(struct session *session)
{
    list_append(&session_worker(session)->reads.later, &session->turn);
}

/* Where the page begins: a new session where it asked to resume, or else at its position, as far as
 * that is known here; any other behind its tail. */
static void choose_start(const struct session *session, struct store_page *page)
{
    const struct client *client = session->client;
    const struct position *position = positions_of(session);
    if (!session->is_new) {
        page->after = session->tail;
    } else if (session->extra != NULL && !epoch_is_none(session->extra->resume.epoch)) {
        page->after = session->extra->resume.seq;
        page->after_epoch = session->extra->resume.epoch;
    } else if (position->is_known && !epoch_is_none(client->epoch)) {
        page->after = atomic_load_explicit(&position->acked, memory_order_relaxed);
    } else {
        page->from_acked = true;
    }
}

/* What was withdrawn of the numbers that the client may show, and of those that wait in memory. */
static void look_back(struct session *session, struct store_page *page)
{
    page->withdrawn_after = session_has_gaps(session) ? session->acked : session->sent;
    page->wants_withdrawn = session->must_look_back && !session->is_new;
    session->must_look_back = false;
}

static void request_page(struct session *session)
{
    struct client *client = session->client;
    struct span device = position_device(positions_of(session));
    session->must_reread = false;
    struct replay *replay = calloc(1, sizeof *replay + client->user_id_len + device.len);
    if (client->recent == NULL)
        client->recent = channel_new();
    if (replay == NULL || client->recent == NULL) {
        free(replay);
        wait_for_store(session); /* memory may be back in a second, as a store may */
        return;
    }
    memcpy(replay->names, client->user_id, client->user_id_len);
    if (device.len > 0)
        memcpy(replay->names + client->user_id_len, device.bytes, device.len);
    replay->session = session;
    replay->worker = client->worker;
    replay->letter.deliver = on_page_letter;
    replay->page = (struct store_page){
        .request = {.on_done = on_page, .lane = client->worker->index},
        .user_id = {replay->names, client->user_id_len},
        .device = {replay->names + client->user_id_len, device.len},
        .is_arrival = session->is_new,
        .must_begin = session_has_gaps(session), /* hello names the epoch */
        .wants_gaps = session_has_gaps(session),
        .known_head = client->head,
        .known_epoch = client->epoch,
        .max_count = PAGE_COUNT,
        .max_bytes = page_bytes(session),
    };
    choose_start(session, &replay->page);
    look_back(session, &replay->page);
    session->replay = replay;
    client->worker->reads.n_pages++;
    store_page(client->worker->node->store, &replay->page);
}

/* ---- turns ---- */

/* Of the list's sessions as many as there are places for, and `n_taken` places are taken by others.
 */
static void take_turns(struct worker *worker, struct list *turns, unsigned n_taken)
{
    while (!list_is_empty(turns) && worker->reads.n_pages + n_taken < worker->node->pages_at_once) {
        struct session *session = CONTAINER_OF(turns->next, struct session, turn);
        list_remove(&session->turn);
        request_page(session);
    }
}

/* A new session is accepted when its first page has come or failed, so that is not put off by the
 * pages that failed. */
static void go_around(struct worker *worker)
{
    take_turns(worker, &worker->reads.arrivals, 0);
    take_turns(worker, &worker->reads.turns, worker->reads.n_failed);
}

static void want_page(struct session *session)
{
    struct worker *worker = session_worker(session);
    session->waits_drain = false;
    list_append(&worker->reads.turns, &session->turn);
    go_around(worker);
}

void replay_arrive(struct session *session)
{
    struct worker *worker = session_worker(session);
    list_append(&worker->reads.arrivals, &session->turn);
    go_around(worker);
}

void replay_try_again(struct worker *worker)
{
    worker->reads.n_failed = 0;
    list_move_all(&worker->reads.turns, &worker->reads.later);
    go_around(worker);
}

void replay_start(struct session *session)
{
    if (session->state == SESSION_LIVE) {
        session_become(session, SESSION_REPLAY);
        want_page(session);
    } else if (session->replay != NULL) {
        session->must_reread = true;
    } /* otherwise it waits, and will read */
}

void replay_when_drained(struct session *session)
{
    metrics_count(METRIC_FELL_BACK);
    session_become(session, SESSION_REPLAY);
    session->waits_drain = true;
}

void replay_look_back_when_drained(struct session *session)
{
    session->must_look_back = true;
    if (session->state == SESSION_LIVE)
        replay_when_drained(session);
    else if (session->replay != NULL)
        session->must_reread = true;
}

void replay_drained(struct session *session)
{
    if (session->state == SESSION_REPLAY && session->waits_drain)
        want_page(session);
}

void replay_keep(struct client *client, struct notification *note)
{
    if (client->recent == NULL)
        return;
    uint32_t max_bytes = (uint32_t)client->worker->node->options->session_max_bytes;
    if (channel_offer(client->recent, note, max_bytes) != ERR_OK)
        channel_shed(client->recent); /* the numbers will show the hole, and a page fills it */
}

void replay_drop_kept(struct client *client)
{
    if (client->recent == NULL)
        return;
    channel_free(client->recent);
    client->recent = NULL;
}

static void drop_kept_if_unused(struct client *client)
{
    LIST_FOR_EACH(link, &client->sessions)
    {
        if (CONTAINER_OF(link, struct session, link)->replay != NULL)
            return;
    }
    replay_drop_kept(client);
}

void replay_forget(struct session *session)
{
    list_remove(&session->turn);
    if (session->replay == NULL)
        return;
    session->replay->session = NULL;
    session->replay = NULL;
    drop_kept_if_unused(session->client);
}

static void learn(struct client *client, struct epoch epoch, uint64_t head)
{
    client_map_learn(client->worker->node->map, client, epoch, head);
}

/* What the page says about the user. false: it is not the epoch that the sessions live in. */
static bool adopt(struct session *session, const struct store_page *page)
{
    struct client *client = session->client;
    if (page->has_devices)
        atomic_store_explicit(&client->has_devices, true, memory_order_relaxed);
    if (epoch_is_none(page->epoch)) {
        /* Nothing was ever pushed to this user, when the page was read. */
        if (client->recent->n > 0) /* but the first push has come since */
            learn(client, channel_at(client->recent, 0)->epoch, 0);
        positions_learn(client, positions_of(session), 0);
        return true;
    }
    if (!epoch_is_none(client->epoch) && !epoch_equal(client->epoch, page->epoch))
        return false;
    learn(client, page->epoch, page->head);
    positions_learn(client, positions_of(session), page->position);
    return true;
}

/* The first page has come: the session stands where the page begins, but not behind what the other
 * sessions of its position have acknowledged meanwhile. */
static void begin(struct session *session, const struct store_page *page)
{
    bool has_asked = session->extra != NULL && !epoch_is_none(session->extra->resume.epoch);
    uint64_t acked = atomic_load_explicit(&positions_of(session)->acked, memory_order_relaxed);
    uint64_t start = page->is_resumed || page->start > acked ? page->start : acked;
    session->is_new = false;
    session->tail = start;
    session->sent = start;
    session->acked = start;
    session_greet(session, page->head, has_asked && page->is_resumed);
    if (has_asked) {
        metrics_count(page->is_resumed ? METRIC_RESUMED : METRIC_RESET);
        if (!page->is_resumed)
            session_reset(session);
        session->extra->resume = (struct resume){0};
    }
    session_open(session);
    session_trim(session);
    positions_acked(session); /* a resume acknowledges */
}

/* false: not now; with ERR_FULL another page is read when all is written, and otherwise the session
 * is ending. */
static bool went_well(struct session *session, enum err error)
{
    session->waits_drain |= error == ERR_FULL;
    return error == ERR_OK;
}

/* Writes a notification with a number above the tail. */
static bool write_one(struct session *session, struct notification *note)
{
    enum gap_cause cause = channel_withdrawn(session->client->recent, note->seq);
    if (cause != GAP_NONE) { /* since the page was read, or before it was written from memory */
        struct gap gap = {note->seq, note->seq, cause};
        return went_well(session, session_gap(session, &gap));
    }
    enum err error = session_write(session, note);
    metrics_add(METRIC_DELIVERED_REPLAY, error == ERR_OK);
    return went_well(session, error);
}

/* The gaps below a number, as far as they are above the tail. */
static bool write_gaps(struct session *session, const struct store_page *page, size_t *at,
                       uint64_t below)
{
    for (; *at < page->n_gaps && page->gaps[*at].from < below; (*at)++) {
        struct gap gap = page->gaps[*at];
        if (gap.to <= session->tail)
            continue;
        if (gap.from <= session->tail)
            gap.from = session->tail + 1;
        if (!went_well(session, session_gap(session, &gap)))
            return false;
    }
    return true;
}

static bool write_withdrawn(struct session *session, const struct store_page *page)
{
    for (size_t i = 0; i < page->n_withdrawn; i++) {
        const struct gap *gap = &page->withdrawn[i];
        if (went_well(session, session_withdraw(session, gap->from, gap->to, gap->cause)))
            continue;
        session->must_look_back = true;
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
        if (page->notes[i]->seq > session->tail && !write_one(session, page->notes[i]))
            return false;
    }
    if (!write_gaps(session, page, &gap, UINT64_MAX))
        return false;
    if (page->last <= session->tail)
        return true;
    /* the numbers behind the last one are no longer there */
    struct gap rest = {session->tail + 1, page->last, GAP_UNKNOWN};
    return went_well(session, session_gap(session, &rest));
}

/* From the tail of the page through what was kept. true: it has reached the client's last number.
 */
static bool catch_up(struct session *session)
{
    const struct client *client = session->client;
    const struct channel *recent = client->recent;
    for (uint32_t i = 0; recent != NULL && i < recent->n; i++) {
        struct notification *note = channel_at(recent, i);
        if (note->is_withdrawal || note->seq <= session->tail)
            continue;
        if (note->seq != session->tail + 1 || !write_one(session, note))
            break;
    }
    return session->tail >= client->head;
}

static void go_on(struct session *session, const struct store_page *page)
{
    uint64_t before = session->tail;
    if (!write_withdrawn(session, page) || !write_page(session, page))
        return;
    if (page->last < page->head) {
        session->waits_drain = true;
        if (session_queued_bytes(session) == 0)
            want_page(session);
        return;
    }
    if (session->must_reread) {
        want_page(session);
        return;
    }
    if (catch_up(session)) {
        session_become(session, SESSION_LIVE);
        return;
    }
    if (session->waits_drain)
        return;
    if (session->tail > before)
        want_page(session);
    else
        wait_for_store(session); /* the store knows less than we have heard: in a second, again */
}

static void refuse_blocked(struct session *session)
{
    struct refused_who who = {.place = session->level == LEVEL_SSE ? SPAN_LITERAL("/sse")
                                                                   : SPAN_LITERAL("/ws")};
    session_who(session, &who);
    refused_request(REFUSED_BLOCKED, &who, "POST /deleteClient with blockFor 1");
    session_close(session, ERR_BLOCKED, (struct span){0}, 0);
}

static void on_page_letter(struct letter *letter)
{
    struct replay *replay = CONTAINER_OF(letter, struct replay, letter);
    struct session *session = replay->session;
    struct worker *worker = replay->worker;
    const struct store_page *page = &replay->page;
    worker->reads.n_pages--;
    worker->reads.n_failed += page->error != ERR_OK;
    if (session == NULL)
        goto out;

    struct client *client = session->client;
    session->replay = NULL;
    if (page->error != ERR_OK) {
        session_open(session); /* accepted: it waits for the store */
        session->must_look_back |= page->wants_withdrawn;
        wait_for_store(session);
    } else if (page->blocked_until_ms != 0) {
        refuse_blocked(session);
    } else if (!adopt(session, page)) {
        session_resync_all(client);
        goto out; /* the client is on its way out */
    } else {
        if (session->is_new)
            begin(session, page);
        go_on(session, page);
    }
    drop_kept_if_unused(client);
out:
    store_page_clear(&replay->page);
    free(replay);
    go_around(worker);
}
