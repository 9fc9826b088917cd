/* The records of the file store, to and from bytes. Numbers are little-endian; the first byte is
 * the format's version: 3 is written, and 4 of the kinds from EVENT on, so that a Herald that does
 * not know them refuses a file that has them, and no other. What version 1 lacked (collapse keys,
 * devices, causes, what was written to a session, idempotency keys) is none in its records, and in
 * those of versions 1 and 2 a NOTE or REF says no position. Pure.
 *
 *   PROBE    says nothing; written to find out whether the disk takes a commit
 *   NOTE     one user's notification with its data
 *   SHARED   the data of a push to several users
 *   REF      one user's notification whose data is SHARED, `distance` keys before it
 *   USER     a user's numbers, positions and causes; one a user, the last written counts
 *   KEY      an idempotency key of a user, and the notification that was pushed with it
 *   BLOCK    until when a user is blocked; one a user
 *   EVENT    an event with its data, of the reserved user of a partition
 *   PARTITION  a partition's numbers, consumers and causes; the last written counts
 *   PRESENCE the nodes that a user is on, or when the user is offline; neither: the user is.
 *            The last written counts
 *   ALERT    a pending alert for one of a user's numbers; deleted when it ends
 *
 * Of one user a record with a higher key says more: a NOTE, REF or USER says that all up to its
 * `acked` was acknowledged, and that its epoch is the user's. What it makes stale may stay in the
 * file with it: notes up to `acked`, earlier USER records, and all records of an earlier epoch. So
 * the last record of a user leaves only when all are gone that it makes stale. The same goes for a
 * partition: an EVENT or PARTITION says up to which number all have left. What an EVENT says has
 * left since the record before it was pushed out. */
#ifndef HERALD_STORE_FILE_RECORD_H
#define HERALD_STORE_FILE_RECORD_H

#include "gateway/store/store_request.h"
#include "proto/bytes/user_id.h"
#include "proto/note/notification.h"

enum file_record_kind {
    FILE_RECORD_PROBE = 1,
    FILE_RECORD_NOTE,
    FILE_RECORD_SHARED,
    FILE_RECORD_REF,
    FILE_RECORD_USER,
    FILE_RECORD_KEY,
    FILE_RECORD_BLOCK,
    FILE_RECORD_EVENT,
    FILE_RECORD_PARTITION,
    FILE_RECORD_PRESENCE,
    FILE_RECORD_ALERT,
    FILE_RECORD_KINDS
};

/* Numbers end below this one, so that causes can be written with 18 digits. */
#define FILE_RECORD_SEQ_END UINT64_C(1000000000000000000)

struct file_record {
    enum file_record_kind kind;
    struct span user_id;      /* all but PROBE and SHARED */
    struct epoch epoch;       /* the same, but not BLOCK */
    uint64_t seq;             /* NOTE, REF, KEY, EVENT, ALERT; USER, PARTITION: the head */
    uint64_t acked;           /* NOTE, REF, USER, PARTITION */
    uint64_t left;            /* EVENT, PARTITION: all up to this number have left */
    uint64_t written;         /* USER: the highest number that a session has had */
    int64_t time_ms;          /* NOTE, REF, KEY, EVENT; PRESENCE: when the last session ended;
                               * ALERT: when it was pushed */
    int64_t expires_ms;       /* NOTE, REF, KEY; BLOCK: its end; PRESENCE: when it is offline, or 0;
                               * ALERT: when it is due */
    uint32_t distance;        /* REF */
    uint32_t bytes;           /* REF: of the shared data */
    uint16_t sign_day;        /* USER */
    uint8_t cause;            /* PRESENCE: enum offline_cause */
    struct store_print print; /* KEY */
    struct span key;          /* NOTE, REF: the collapse key; KEY: the idempotency key */
    struct span devices;      /* USER: as devices_write made it; PARTITION: as consumers_write did;
                               * PRESENCE: as present_write_nodes did */
    struct span gaps;         /* USER, PARTITION: as gaps_write made it */
    struct span data;         /* NOTE, SHARED, EVENT */
};

size_t file_record_size(const struct file_record *record);
void file_record_write(const struct file_record *record, char *out); /* file_record_size bytes */

/* The spans of the record lie inside `bytes`. ERR_INVALID_FIELD: not a record of ours, *ret_detail
 * (a constant) says what is wrong with it. */
MUST_CHECK enum err file_record_read(struct span bytes, struct file_record *ret_record,
                                     const char **ret_detail);

#endif
