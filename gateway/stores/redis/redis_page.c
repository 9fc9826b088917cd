/* A page is one script (page_fast.lua, page.lua), which answers in one of two forms. The short one
 * says that nothing waits, or which numbers do: these are fetched then (redis_entries.h). The long
 * one has everything: positions, what has changed on the way, entries, and where numbers are
 * missing the list of causes, from which the gaps are made here. */
#include "gateway/stores/redis/redis_page.h"

#include "gateway/base/metrics.h"
#include "gateway/stores/redis/redis_answer.h"
#include "gateway/stores/redis/redis_entries.h"
#include "gateway/stores/redis/redis_event_log.h"
#include "gateway/stores/redis/redis_page_args.h"

#include <stdlib.h>

/* Letters that page.lua knows, beside those of what the request wishes; empty: none. */
static enum err send_page(struct redis_commands *commands, struct store_request *request,
                          const char *more, const struct redis_call *call)
{
    struct store_page *page = (struct store_page *)request;
    if (redis_is_reserved(page->user_id))
        return redis_event_page_send(commands, page, more, call);
    struct redis_keys keys;
    struct redis_page_args args;
    enum err error = epoch_random(&args.fresh);
    if (error != ERR_OK)
        return error;
    redis_keys_write(&keys, commands->common->prefix, page->user_id);
    redis_keys_write_block(&keys);
    char wishes[6];
    size_t n_wishes = 0;
    if (page->is_arrival)
        wishes[n_wishes++] = 'a';
    if (page->tells_block)
        wishes[n_wishes++] = 'k';
    if (page->must_begin)
        wishes[n_wishes++] = 'b';
    if (page->wants_gaps)
        wishes[n_wishes++] = 'g';
    if (page->wants_withdrawn)
        wishes[n_wishes++] = 'w';
    if (more[0] != '\0')
        wishes[n_wishes++] = more[0];
    struct span words[5 + REDIS_PAGE_ARGS] = {keys.inbox, keys.meta, keys.numbers, keys.times,
                                              keys.block};
    redis_page_args_write(page, (struct span){wishes, n_wishes}, &args, words + 5);
    return redis_commands_eval(commands, call, SCRIPT_PAGE, words, sizeof words / sizeof words[0],
                               5);
}

enum err redis_page_send(struct redis_commands *commands, struct store_request *request,
                         const struct redis_call *call)
{
    return send_page(commands, request, "", call);
}

enum err redis_page_send_whole(struct redis_commands *commands, struct store_request *request,
                               const struct redis_call *call)
{
    return send_page(commands, request, "s", call);
}

enum err redis_page_send_read_only(struct redis_commands *commands, struct store_request *request,
                                   const struct redis_call *call)
{
    return send_page(commands, request, "r", call);
}

/* --- the answer --- */

static enum err read_notes(const struct redis_value *entries, struct store_page *page)
{
    if (!redis_value_is(entries, REDIS_ARRAY) || entries->n % 2 != 0)
        return ERR_STORE_UNAVAILABLE;
    if (entries->n == 0)
        return ERR_OK;
    page->notes = calloc(entries->n / 2, sizeof(struct notification *));
    if (page->notes == NULL)
        return ERR_NO_MEMORY;
    uint64_t previous = page->start;
    for (size_t i = 0; i < entries->n; i += 2) {
        uint64_t seq;
        struct span entry;
        if (!redis_answer_number(entries, i, &seq) || seq <= previous || seq > page->last ||
            !redis_value_text(redis_value_item(entries, i + 1), &entry))
            return ERR_STORE_UNAVAILABLE;
        enum err error =
            redis_entry_read(page->epoch, (int64_t)seq, entry, &page->notes[page->n_notes]);
        if (error != ERR_OK)
            return error;
        page->n_notes++;
        previous = seq;
    }
    return ERR_OK;
}

static enum err find_missing(const struct gaps *gaps, struct store_page *page)
{
    uint64_t *seqs = NULL;
    if (page->n_notes > 0) {
        seqs = calloc(page->n_notes, sizeof *seqs);
        if (seqs == NULL)
            return ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < page->n_notes; i++)
        seqs[i] = page->notes[i]->seq;
    enum err error = gaps_missing(gaps, page->acked, page->start, page->last, seqs, page->n_notes,
                                  &page->gaps, &page->n_gaps);
    free(seqs);
    return error;
}

/* The list comes along only where numbers are missing, or what was withdrawn is asked for. */
static enum err read_gaps(const struct redis_value *text, struct store_page *page)
{
    struct span list;
    struct gaps *gaps = NULL;
    if (!redis_value_text(text, &list))
        return ERR_STORE_UNAVAILABLE;
    bool has_missing = page->wants_gaps && page->last - page->start != page->n_notes;
    if (!has_missing && !page->wants_withdrawn)
        return ERR_OK;
    enum err error = gaps_read(list, &gaps);
    if (error == ERR_INVALID_FIELD)
        return ERR_STORE_UNAVAILABLE;
    if (error == ERR_OK && has_missing)
        error = find_missing(gaps, page);
    if (error == ERR_OK && page->wants_withdrawn)
        error = gaps_withdrawn(gaps, page->withdrawn_after, page->start, &page->withdrawn,
                               &page->n_withdrawn);
    free(gaps);
    return error;
}

static bool take_positions(const struct redis_value *reply, struct store_page *page)
{
    uint64_t n_devices, is_resumed, blocked_until, head_time;
    if (!redis_answer_epoch(reply, 0, &page->epoch) ||
        !redis_answer_number(reply, 1, &page->head) ||
        !redis_answer_number(reply, 2, &page->acked) ||
        !redis_answer_number(reply, 3, &page->position) ||
        !redis_answer_number(reply, 4, &n_devices) ||
        !redis_answer_number(reply, 5, &page->start) ||
        !redis_answer_number(reply, 6, &is_resumed) ||
        !redis_answer_number(reply, 7, &page->last) ||
        !redis_answer_number(reply, 13, &blocked_until) ||
        !redis_answer_number(reply, 14, &head_time))
        return false;
    page->head_time = (uint32_t)head_time;
    page->blocked_until_ms = (int64_t)blocked_until;
    page->has_devices = n_devices > 0;
    page->is_resumed = is_resumed != 0;
    return page->start <= page->last && page->last <= page->head &&
           (page->head == 0 || !epoch_is_none(page->epoch));
}

static bool count_changes(const struct redis_value *reply)
{
    uint64_t expired, is_lost, forgotten;
    if (!redis_answer_number(reply, 8, &expired) || !redis_answer_number(reply, 9, &is_lost) ||
        !redis_answer_number(reply, 10, &forgotten))
        return false;
    if (expired > 0)
        metrics_add(METRIC_INBOX_EXPIRED, expired);
    if (is_lost > 0)
        metrics_count(METRIC_STORE_RESYNCS);
    if (forgotten > 0)
        metrics_add(METRIC_DEVICES_FORGOTTEN, forgotten);
    return true;
}

/* Of page_fast.lua. */
static bool take_short_answer(const struct redis_value *reply, struct store_page *page)
{
    struct span text;
    uint64_t numbers[6] = {0};
    struct epoch epoch = {{0}};
    bool is_unknown = redis_value_is(reply, REDIS_TEXT) && redis_value_text(reply, &text) &&
                      span_equal(text, SPAN_LITERAL(":"));
    if (!is_unknown && !redis_answer_text(reply, numbers, 6, &epoch))
        return false;
    page->epoch = epoch;
    page->head = page->last = numbers[0];
    page->acked = page->position = numbers[1];
    page->start = numbers[2];
    page->is_resumed = numbers[3] != 0;
    page->has_devices = false;
    page->as_of_ms = (int64_t)numbers[4];
    page->head_time = (uint32_t)numbers[5];
    page->blocked_until_ms = 0;
    return page->acked <= page->head && page->start <= page->head &&
           page->head - page->start <= REDIS_ENTRIES_MAX;
}

bool redis_page_must_fetch(const struct redis_value *reply, const struct store_request *request)
{
    const struct store_page *page = (const struct store_page *)request;
    return redis_value_is(reply, REDIS_TEXT) && page->start < page->head;
}

enum err redis_page_read(const struct redis_value *reply, struct store_request *request)
{
    struct store_page *page = (struct store_page *)request;
    if (take_short_answer(reply, page))
        return ERR_OK;
    if (!take_positions(reply, page) || !count_changes(reply))
        return ERR_STORE_UNAVAILABLE;
    enum err error = read_notes(redis_value_item(reply, 12), page);
    if (error == ERR_OK)
        error = read_gaps(redis_value_item(reply, 11), page);
    if (error != ERR_OK)
        store_page_clear(page);
    else if (redis_is_reserved(page->user_id))
        redis_event_page_take(reply, page);
    return error;
}
