/* Records: how what a process hands over is spelled. A record is a row of items; an item is a tag
 * of one byte, a length of four, and that many bytes, which may be a row of items again. Numbers
 * are little-endian. Items of tags below RECORD_MUST_KNOW that a reader does not know are skipped;
 * an unknown one of another tag refuses the record that it stands in, because what it says cannot
 * be left out.
 *
 * Pure; any thread. A reader trusts nothing: it reads within its span, and every number is held to
 * the caller's bounds. */
#ifndef HERALD_UPGRADE_RECORD_H
#define HERALD_UPGRADE_RECORD_H

#include "proto/bytes/buf.h"

enum {
    RECORD_MUST_KNOW = 128,      /* tags from here on may not be skipped */
    RECORD_HEAD_BYTES = 5,       /* of an item: its tag and its length */
    RECORD_NUMBER_MAX_BYTES = 8, /* of a number, which has no more bytes than it needs */
};

/* Appends to the caller's buffer, whose ceiling bounds it. After an error nothing more is written,
 * so that only the end has to be looked at: ERR_FULL: over the ceiling. ERR_NO_MEMORY. The buffer
 * has a record that is cut off then. */
struct record_writer {
    struct buf *out;
    enum err error;
};

void record_put(struct record_writer *writer, uint8_t tag, struct span bytes);
/* A number of 0 to 8 bytes. A signed one is written as 0, -1, 1, -2 and so on, counted from 0. */
void record_put_unsigned(struct record_writer *writer, uint8_t tag, uint64_t number);
void record_put_signed(struct record_writer *writer, uint8_t tag, int64_t number);

/* What is written between these two is the item's bytes. Takes the item's place from begin to
 * end. */
size_t record_begin(struct record_writer *writer, uint8_t tag);
void record_end(struct record_writer *writer, size_t place);

enum record_step {
    RECORD_ITEM, /* one was taken */
    RECORD_OVER, /* nothing is left */
    RECORD_CUT,  /* what is left is no whole item */
};

/* Takes the next item off the front. *ret_bytes lies in `rest`. */
enum record_step record_take(struct span *rest, uint8_t *ret_tag, struct span *ret_bytes);

/* An item's bytes as a number. false: they are no number, or one that is out of bounds;
 * *ret_number is unchanged. */
MUST_CHECK bool record_unsigned(struct span bytes, uint64_t max, uint64_t *ret_number);
MUST_CHECK bool record_signed(struct span bytes, int64_t min, int64_t max, int64_t *ret_number);

#endif
