/* The names of notifications: an epoch, a number within it, and both as one text, the message id
 * EPOCH-SEQ ("k3f9a2qd-118"). Pure except epoch_random, which asks the kernel for randomness. Any
 * thread. */
#ifndef HERALD_PROTO_MESSAGE_ID_H
#define HERALD_PROTO_MESSAGE_ID_H

#include "proto/bytes/span.h"
#include "proto/error.h"

#include <stdint.h>

/* An epoch names one unbroken run of a user's numbers: 8 characters of a-z and 0-9. */
enum { EPOCH_LEN = 8 };

struct epoch {
    char text[EPOCH_LEN]; /* all NUL: none */
};

static inline bool epoch_is_none(struct epoch epoch)
{
    return epoch.text[0] == '\0';
}

static inline bool epoch_equal(struct epoch a, struct epoch b)
{
    return memcmp(a.text, b.text, EPOCH_LEN) == 0;
}

MUST_CHECK enum err epoch_random(struct epoch *ret_epoch); /* ERR_SYSTEM: no randomness */

enum { MESSAGE_ID_MAX_BYTES = EPOCH_LEN + 1 + 20 + 1 };

/* Writes the id with a NUL; returns its length. */
size_t message_id_write(struct epoch epoch, uint64_t seq, char out[MESSAGE_ID_MAX_BYTES]);

/* ERR_INVALID_FIELD: not EPOCH-SEQ, where seq is at least 1 and has no sign and no leading
 * zeros. */
MUST_CHECK enum err message_id_parse(struct span id, struct epoch *ret_epoch, uint64_t *ret_seq);

/* The same for a position to resume after: seq 0, the beginning of the epoch, is allowed. */
MUST_CHECK enum err message_position_parse(struct span id, struct epoch *ret_epoch,
                                           uint64_t *ret_seq);

#endif
