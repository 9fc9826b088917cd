/* A load asks all partitions at once; the last answer posts the letter. Then the heads of the
 * partitions are compared again and again, and the least is written. A partition of which nothing
 * is left in memory, and more in the store, stops that: its next event may be the least. */
#include "gateway/events/event_reader.h"

#include "gateway/node/worker.h"

enum {
    PAGE_MIN = 8, /* a page has a part of the limit that is twice the partition's share, and this */
    PAGE_SOME_TYPES = 100, /* of a reader that passes others over */
    PAGE_BYTES = 256 << 10,
};

/* ---- loading ---- */

static struct reader_part *part_of(struct event_page *page)
{
    return CONTAINER_OF(page, struct reader_part, page);
}

static void reset_part(struct event_reader *reader, unsigned partition)
{
    struct reader_part *part = &reader->parts[partition];
    const struct event_page *page = &part->page;
    if (!part->shows_reset)
        part->before = reader->positions[partition];
    part->shows_reset = true;
    reader->positions[partition] = (struct event_position){page->epoch, page->start};
    reader->known.resets |= 1u << partition;
    reader->known.positions[partition] = reader->positions[partition];
}

/* The cursor's position in a partition, against what the partition says. */
static void compare_position(struct event_reader *reader, unsigned partition)
{
    struct event_position *position = &reader->positions[partition];
    const struct event_page *page = &reader->parts[partition].page;
    bool has_cursor = !epoch_is_none(position->epoch);
    bool is_present =
        has_cursor && epoch_equal(position->epoch, page->epoch) && position->seq <= page->head;
    bool is_reset = has_cursor ? !is_present
                               : event_known_shows_reset(&reader->known, partition, page->epoch,
                                                         page->position);
    if (is_reset) {
        reset_part(reader, partition);
        return;
    }
    reader->known.resets &= ~(1u << partition);
    if (is_present) {
        reader->behind |= page->position < position->seq ? 1u << partition : 0;
    }
    uint64_t seq = is_present && position->seq > page->position ? position->seq : page->position;
    *position = (struct event_position){page->epoch, seq};
    reader->known.positions[partition] = *position;
}

static void take_page(struct event_reader *reader, unsigned partition, bool is_first)
{
    struct reader_part *part = &reader->parts[partition];
    const struct event_page *page = &part->page;
    if (page->error == ERR_NOT_FOUND) {
        reader->missing |= 1u << partition;
        return;
    }
    if (page->error != ERR_OK) {
        reader->error = page->error;
        return;
    }
    if (is_first)
        compare_position(reader, partition);
    else if (!epoch_equal(reader->positions[partition].epoch, page->epoch))
        reset_part(reader, partition); /* the store has lost it meanwhile */
    part->floor = reader->positions[partition].seq;
    part->next = 0;
    part->is_loaded = true;
}

static void on_all_loaded(struct event_reader *reader, bool is_first)
{
    reader->error = ERR_OK;
    reader->missing = 0;
    reader->behind = 0;
    for (unsigned i = 0; i < STORE_PARTITIONS; i++) {
        if (reader->parts[i].is_wanted)
            take_page(reader, i, is_first);
        reader->parts[i].is_wanted = false;
    }
    reader->on_loaded(reader);
}

static void on_first_letter(struct letter *letter)
{
    on_all_loaded(CONTAINER_OF(letter, struct event_reader, letter), true);
}

static void on_next_letter(struct letter *letter)
{
    on_all_loaded(CONTAINER_OF(letter, struct event_reader, letter), false);
}

static void end_one(struct event_page *page, void (*deliver)(struct letter *letter))
{
    struct reader_part *first = part_of(page) - page->partition;
    struct event_reader *reader = CONTAINER_OF(first, struct event_reader, parts);
    if (partitions_are_answered(&reader->left))
        worker_post(reader->home, &reader->letter, deliver);
}

static void on_first_page(struct event_page *page)
{
    end_one(page, on_first_letter);
}

static void on_next_page(struct event_page *page)
{
    end_one(page, on_next_letter);
}

static void ask_partition(void *of, unsigned partition)
{
    struct event_reader *reader = of;
    event_page_read(reader->events, &reader->parts[partition].page);
}

static uint32_t page_count(const struct event_reader *reader)
{
    uint32_t count = reader->limit * 2 / STORE_PARTITIONS + PAGE_MIN;
    bool takes_all = (reader->types | EVENT_BIT(EVENT_GAP)) == EVENT_BIT(EVENT_TYPES) - 1;
    return takes_all || count > PAGE_SOME_TYPES ? count : PAGE_SOME_TYPES;
}

void event_reader_load(struct event_reader *reader, unsigned partitions, bool is_first)
{
    for (unsigned i = 0; i < STORE_PARTITIONS; i++) {
        struct reader_part *part = &reader->parts[i];
        if ((partitions & 1u << i) == 0)
            continue;
        event_page_clear(&part->page);
        part->is_loaded = false;
        part->is_wanted = true;
        part->page = (struct event_page){
            .on_done = is_first ? on_first_page : on_next_page,
            .partition = i,
            .consumer = consumer_key_span(&reader->key),
            .after_epoch = reader->positions[i].epoch,
            .after = reader->positions[i].seq,
            .max_count = page_count(reader),
            .max_bytes = PAGE_BYTES,
        };
    }
    /* on_loaded may end the reader in this. */
    partitions_ask(&reader->left, partitions, ask_partition, reader);
}

bool event_reader_has_lost(const struct event_reader *reader)
{
    for (unsigned i = 0; i < STORE_PARTITIONS; i++) {
        struct epoch epoch = reader->positions[i].epoch;
        if ((reader->missing & 1u << i) != 0 && !epoch_is_none(epoch) &&
            !epoch_equal(epoch, reader->parts[i].page.epoch))
            return true;
    }
    return false;
}

/* ---- merging ---- */

/* What was shown before is passed over, and a gap that reaches into it is cut. */
static const struct event_item *head_of(struct reader_part *part)
{
    struct event_page *page = &part->page;
    while (part->next < page->n && page->items[part->next].seq <= part->floor)
        part->next++;
    if (part->next == page->n)
        return NULL;
    struct event_item *item = &page->items[part->next];
    if (item->is_gap && item->from <= part->floor)
        item->from = part->floor + 1;
    return item;
}

static bool is_read_out(struct reader_part *part)
{
    return part->is_loaded && !part->shows_reset && head_of(part) == NULL;
}

/* The time of what comes next of a loaded part. */
static int64_t time_of(struct reader_part *part)
{
    const struct event_item *item = head_of(part);
    return item != NULL ? item->time_ms : part->page.asked_ms;
}

/* Parts of which all that was read is written: their position is where the page ends. */
static unsigned note_ends(struct event_reader *reader)
{
    unsigned partitions = 0;
    for (unsigned i = 0; i < STORE_PARTITIONS; i++) {
        struct reader_part *part = &reader->parts[i];
        if (!is_read_out(part))
            continue;
        if (part->page.last > reader->positions[i].seq)
            reader->positions[i].seq = part->page.last;
        partitions |= part->page.last < part->page.head ? 1u << i : 0;
    }
    return partitions;
}

/* STORE_PARTITIONS: nothing is left. */
static unsigned find_least(struct event_reader *reader)
{
    unsigned least = STORE_PARTITIONS;
    int64_t least_ms = INT64_MAX;
    for (unsigned i = 0; i < STORE_PARTITIONS; i++) {
        struct reader_part *part = &reader->parts[i];
        if (!part->is_loaded || is_read_out(part) || time_of(part) >= least_ms)
            continue;
        least = i;
        least_ms = time_of(part);
    }
    return least;
}

static bool is_wanted(const struct event_reader *reader, const struct event_item *item)
{
    enum event_type type;
    if (item->is_gap)
        return true;
    return event_type_of(payload_data(item->note->payload), &type) &&
           (reader->types & EVENT_BIT(type)) != 0;
}

static enum err show_item(struct event_reader *reader, unsigned partition,
                          const struct event_item *item)
{
    size_t len = reader->out->len;
    enum err error = len == 0 ? ERR_OK : buf_append_text(reader->out, ",");
    if (error == ERR_OK)
        error = event_item_show(reader->out, partition, reader->parts[partition].page.epoch, item);
    if (error != ERR_OK)
        reader->out->len = len;
    else
        reader->n_written++;
    return error;
}

/* The position that the reader had is of numbers that are over: what it has missed are those up to
 * the position from which it goes on. */
static enum err show_reset(struct event_reader *reader, unsigned partition)
{
    struct reader_part *part = &reader->parts[partition];
    const struct event_item item = {
        .is_gap = true,
        .cause = GAP_RESET,
        .from = part->floor > 0 ? 1 : 0,
        .seq = part->floor,
        .time_ms = time_of(part),
    };
    enum err error = show_item(reader, partition, &item);
    if (error == ERR_OK)
        part->shows_reset = false;
    return error;
}

static enum err show_next(struct event_reader *reader, unsigned partition)
{
    struct reader_part *part = &reader->parts[partition];
    const struct event_item *item = head_of(part);
    if (part->shows_reset)
        return show_reset(reader, partition);
    enum err error = is_wanted(reader, item) ? show_item(reader, partition, item) : ERR_OK;
    if (error != ERR_OK)
        return error;
    reader->positions[partition].seq = item->seq;
    part->next++;
    return ERR_OK;
}

enum err event_reader_merge(struct event_reader *reader, unsigned *ret_partitions)
{
    *ret_partitions = 0;
    while (reader->n_written < reader->limit && reader->out->len < EVENTS_ANSWER_BYTES) {
        unsigned partitions = note_ends(reader);
        if (partitions != 0) {
            *ret_partitions = partitions;
            return ERR_OK;
        }
        unsigned least = find_least(reader);
        if (least == STORE_PARTITIONS)
            return ERR_OK;
        enum err error = show_next(reader, least);
        if (error != ERR_OK)
            return error;
    }
    (void)note_ends(reader);
    return ERR_OK;
}

void event_reader_get_positions(const struct event_reader *reader,
                                struct event_position out[STORE_PARTITIONS])
{
    for (unsigned i = 0; i < STORE_PARTITIONS; i++) {
        const struct reader_part *part = &reader->parts[i];
        out[i] = part->shows_reset ? part->before : reader->positions[i];
    }
}

void event_reader_fini(struct event_reader *reader)
{
    for (unsigned i = 0; i < STORE_PARTITIONS; i++)
        event_page_clear(&reader->parts[i].page);
}
