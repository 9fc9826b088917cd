/* A struct as a record, by a table with a row for each of its members. So what is written and what
 * is read cannot differ, and a member that a later format adds is one row more. Pure; any
 * thread. */
#ifndef HERALD_UPGRADE_RECORD_TABLE_H
#define HERALD_UPGRADE_RECORD_TABLE_H

#include "gateway/upgrade/record.h"

enum record_kind {
    RECORD_UNSIGNED, /* an unsigned integer or an enum of 1, 2, 4 or 8 bytes */
    RECORD_SIGNED,   /* a signed one */
    RECORD_BOOL,
    RECORD_SPAN,       /* a struct span */
    RECORD_MAYBE_SPAN, /* one of which no bytes at all (NULL) and no bytes are two things */
    RECORD_ARRAY,      /* an array of bytes, all of which are meant */
};

/* A member that is zero or empty is not written, and one that is not in the record stays as it was
 * in the struct, unless it is required. */
struct record_row {
    uint8_t tag;
    enum record_kind kind;
    unsigned since;   /* the first format that has it */
    bool is_required; /* a record without it is refused */
    size_t at;        /* where the member is in the struct */
    size_t size;      /* in bytes */
    uint64_t max;     /* the greatest unsigned number, or the greatest length of a span */
    const char *name; /* as refusals say it */
};

/* A row's last four members but `max`. */
#define RECORD_MEMBER(type, member) offsetof(type, member), sizeof(((type *)0)->member)

struct record_table {
    const struct record_row *rows;
    size_t n;
};

enum { RECORD_WHY_MAX_BYTES = 120 };

/* Appends the members that `format` knows. */
void record_write(struct record_writer *writer, const struct record_table *table,
                  const void *object, unsigned format);

/* Fills the members in. Spans lie in `bytes`. Of an item that comes twice the last one counts.
 * ERR_INVALID_FIELD: a member is malformed, out of bounds or missing, or the record is cut off.
 * ERR_UNKNOWN_FIELD: it has an item that may not be skipped. *why is a clause that names it; the
 * struct is filled in part. */
MUST_CHECK enum err record_read(struct span bytes, const struct record_table *table, void *object,
                                char why[RECORD_WHY_MAX_BYTES]);

#endif
