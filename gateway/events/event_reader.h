/* Reads the partitions for one consumer and merges them into one answer: by time, then by id, and
 * of one partition always in the order of the ids. It alternates: event_reader_load asks the store
 * for the next page of some partitions, event_reader_merge writes what can be written, and says
 * which partitions have to be loaded before it can go on. A page is small, so what is read and not
 * written yet stays below 4 MiB, but for single large events.
 *
 * Threads: one worker's, on which on_loaded runs as well. */
#ifndef HERALD_EVENT_READER_H
#define HERALD_EVENT_READER_H

#include "gateway/events/event_consumers.h"
#include "gateway/events/event_page.h"
#include "gateway/events/event_resets.h"

struct worker;

struct reader_part {
    struct event_page page;
    size_t next;      /* of the page's items */
    bool is_loaded;   /* the page was read, and covers what its partition has up to `last` */
    bool shows_reset; /* a gap comes first: the position that the reader had means nothing now */
    bool is_wanted;   /* of the load under way */
    uint64_t floor;   /* what the page has up to here was shown before */
    struct event_position before; /* shows_reset: the position that the reader had */
};

struct event_reader {
    const struct events *events;
    struct worker *home;
    void (*on_loaded)(struct event_reader *reader);
    struct consumer_key key;
    unsigned types;
    uint32_t limit;
    struct buf *out; /* objects with commas between them */
    /* In: from where it is read; without an epoch from the consumer's position. Then: up to where
     * events were written, or passed over because of their types. */
    struct event_position positions[STORE_PARTITIONS];
    struct event_known known; /* in and out: what has to be told of a reset */
    /* out, of a load */
    enum err error;
    unsigned missing; /* partitions that have no such consumer */
    unsigned behind;  /* partitions whose consumer's position is below `positions` */
    /* out, of merging */
    uint32_t n_written;
    struct reader_part parts[STORE_PARTITIONS]; /* its own, as is what follows */
    struct letter letter;
    atomic_uint left;
};

/* Asks for a page of each of these partitions, behind `positions`. on_loaded runs once, not inside
 * the call. With is_first the positions are a cursor's, and are compared with the partitions'. */
void event_reader_load(struct event_reader *reader, unsigned partitions, bool is_first);

/* After a load: the consumer is missing where its position is of an epoch that is gone, so the
 * store has lost it. */
MUST_CHECK bool event_reader_has_lost(const struct event_reader *reader);

/* The partitions that have to be loaded; 0: the answer is complete, or there is nothing more.
 * ERR_NO_MEMORY: the answer is as long as before the event that did not fit. */
MUST_CHECK enum err event_reader_merge(struct event_reader *reader, unsigned *ret_partitions);

/* The positions of the answer's cursor. Where a reset found no room in the answer it is the one
 * that the reader had, so that the next answer shows it. */
void event_reader_get_positions(const struct event_reader *reader,
                                struct event_position out[STORE_PARTITIONS]);

/* Gives back what it holds. */
void event_reader_fini(struct event_reader *reader);

#endif
