/* How much of its user's inbox a session has got, and what it waits for before it gets more. The
 * type is defined here because a session embeds it. Only replay.c changes its members, except the
 * tail, which session_write.c moves with each number that it queues, and the two numbers beside it.
 * All other code calls the functions below. One thread: the session's. */
#ifndef HERALD_READER_H
#define HERALD_READER_H

#include "gateway/base/list.h"

#include <stdint.h>

struct page_read;
struct reader;

/* Allowed successors: see reader.c. */
enum reader_state {
    READER_NEW,           /* its session has no client yet */
    READER_WAITING_TURN,  /* it wants a page, and waits until its worker may ask for one more */
    READER_WAITING_STORE, /* its page failed: it waits for the store, or for the next second */
    READER_READING,       /* its page is under way, or is being given */
    READER_DRAINING,      /* it asks for the next page when all that is queued is written */
    READER_LIVE,          /* its tail is the inbox's: notifications come from memory */
    READER_ENDED,         /* its session is ending: it reads no more */
};

/* 16 bytes, because each open connection has one. */
struct reader {
    uint64_t tail;            /* the last number that was queued, or is known not to be there */
    uint32_t ping_number;     /* the low bits of what the session's last ping carries */
    uint16_t position_number; /* of its device, among its client's positions (positions.h) */
    uint8_t state;            /* enum reader_state */
    bool has_begun : 1;       /* its first page has come */
    bool must_reread : 1;    /* READING: the page may be too old, so another one is read after it */
    bool must_look_back : 1; /* its next page also says which of its numbers were withdrawn */
    bool must_arrive : 1;    /* has_begun in another process: its next page is the first here */
};

/* What a reader needs while it is WAITING or READING; most sessions are LIVE, and have none. */
struct reader_wait {
    union {
        struct list turn;       /* WAITING_TURN, WAITING_STORE: in a list of its worker */
        struct page_read *page; /* READING; NULL: it has come */
    };
    struct reader *reader;
};

/* NEW; nothing was queued. */
void reader_init(struct reader *reader);

/* The one place where the state changes. Asserts that the table of successors allows it. */
void reader_become(struct reader *reader, enum reader_state state);

/* Does it need what stands in its reader_wait? */
static inline bool reader_is_waiting(const struct reader *reader)
{
    return reader->state == READER_WAITING_TURN || reader->state == READER_WAITING_STORE ||
           reader->state == READER_READING;
}

static inline bool reader_is_live(const struct reader *reader)
{
    return reader->state == READER_LIVE;
}

/* Has its first page come? Until then the tail and what it has acknowledged mean nothing. */
static inline bool reader_has_begun(const struct reader *reader)
{
    return reader->has_begun;
}

static inline uint64_t reader_tail(const struct reader *reader)
{
    return reader->tail;
}

/* All up to this number was queued for it, or will not come. */
static inline void reader_move_tail(struct reader *reader, uint64_t seq)
{
    reader->tail = seq;
}

#endif
