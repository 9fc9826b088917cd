/* How users and notifications are spelled in Redis (scripts/record.lua and push_fast.lua hold the
 * other half). Reading trusts nothing. Pure. */
#ifndef HERALD_STORE_REDIS_RECORD_H
#define HERALD_STORE_REDIS_RECORD_H

#include "gateway/store/store_request.h"
#include "proto/bytes/user_id.h"
#include "proto/note/inbox_event.h"

enum {
    REDIS_PREFIX_MAX_BYTES = 64,
    REDIS_USER_MAX_BYTES = 3 * USER_ID_MAX_BYTES + 3,
    REDIS_KEY_MAX_BYTES = REDIS_PREFIX_MAX_BYTES + REDIS_USER_MAX_BYTES,
    REDIS_CHANNELS_MAX_BYTES = REDIS_PREFIX_MAX_BYTES + 8, /* ":1000000" */
};

/* What all channels begin with: PREFIX, or PREFIX:DB in another database than 0, since channels
 * know no databases. `prefix` has at most REDIS_PREFIX_MAX_BYTES, `db` is at most REDIS_DB_MAX. */
void redis_channels_write(char out[REDIS_CHANNELS_MAX_BYTES + 1], const char *prefix, unsigned db);

/* PREFIX:{USER}:inbox, :meta, :numbers, :times (scripts/record.lua), :idem:KEY, :block, and the
 * channel CHANNELS:{USER}.
 * `{`, `}` and `%` in a userId are percent-encoded, so that all of a user's keys share a slot. Of
 * the reserved user of a partition USER is `%events.P`, which so is nobody's. */
struct redis_keys {
    struct span inbox, meta, numbers, times; /* inside this struct */
    struct span user;                        /* what they begin with, PREFIX:{USER} */
    struct span channel;                     /* by redis_keys_write_channel alone */
    struct span idem;                        /* by redis_keys_write_idem alone */
    struct span block;                       /* by redis_keys_write_block alone */
    size_t prefix_len;
    char inbox_bytes[REDIS_KEY_MAX_BYTES + 6];
    char meta_bytes[REDIS_KEY_MAX_BYTES + 5];
    char numbers_bytes[REDIS_KEY_MAX_BYTES + 8];
    char times_bytes[REDIS_KEY_MAX_BYTES + 6];
    char channel_bytes[REDIS_CHANNELS_MAX_BYTES + REDIS_USER_MAX_BYTES];
    char idem_bytes[REDIS_KEY_MAX_BYTES + 6 + IDEMPOTENCY_KEY_MAX_BYTES];
    char block_bytes[REDIS_KEY_MAX_BYTES + 6];
};

void redis_keys_write(struct redis_keys *keys, const char *prefix, struct span user_id);

/* These after redis_keys_write. `key` has at most IDEMPOTENCY_KEY_MAX_BYTES; `channels` is of
 * redis_channels_write. */
void redis_keys_write_channel(struct redis_keys *keys, const char *channels);
void redis_keys_write_idem(struct redis_keys *keys, struct span key);
void redis_keys_write_block(struct redis_keys *keys);

/* PREFIX:ticket:TICKET, a slot of its own; it lies in `out`. */
enum { REDIS_TICKET_KEY_MAX_BYTES = REDIS_PREFIX_MAX_BYTES + 8 + STORE_TICKET_MAX_BYTES };
struct span redis_ticket_key(char out[REDIS_TICKET_KEY_MAX_BYTES], const char *prefix,
                             struct span ticket);

/* The user of a channel, decoded into `out`. false: no channel of ours. */
bool redis_channel_user(const char *channels, struct span channel, char out[USER_ID_MAX_BYTES],
                        size_t *ret_len);

/* Takes digits and the colon after them; false: there is no number below 10^15. */
bool redis_take_number(struct span *rest, int64_t *ret_number);

/* An epoch as Redis answers it; an empty text is none. */
bool redis_epoch_read(struct span text, struct epoch *ret_epoch);

/* The field of an inbox, as a replay. The notification is the caller's. ERR_STORE_UNAVAILABLE:
 * malformed. */
MUST_CHECK enum err redis_entry_read(struct epoch epoch, int64_t seq, struct span entry,
                                     struct notification **ret_note);

/* The epoch, the head and its time in a packed record (`r` in scripts/record.lua). false: it is
 * none that this version knows. */
bool redis_record_head(struct span packed, struct store_known *ret_known);

/* When a script published this notification, by its Redis's clock. false: it says none. */
bool redis_message_time(struct span message, int64_t *ret_ms);

/* What the scripts publish: a notification or a withdrawal. ERR_OK: the reference in *ret_event is
 * the caller's. ERR_TOO_LARGE: a notification too big for a message; the inbox has it.
 * ERR_NOT_FOUND: a message of a kind that this version does not know. ERR_STORE_UNAVAILABLE:
 * malformed. ERR_NO_MEMORY. */
MUST_CHECK enum err redis_message_read(struct span message, struct inbox_event *ret_event);

#endif
