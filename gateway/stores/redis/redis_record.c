/* Keys and channels are put together in the buffers of a struct redis_keys, in one pass over the
 * userId. An entry of an inbox and a message on a channel are fields of decimal digits with a colon
 * after each, then the collapse key of the length that a field says, then the data. Each reader
 * takes one field after the other off the front of a span and gives up at the first that does not
 * fit.
 */
#include "gateway/stores/redis/redis_record.h"

#include "gateway/store/store_partition.h"
#include "gateway/stores/redis/redis_url.h"
#include "proto/bytes/decimal.h"
#include "proto/bytes/hex.h"
#include "proto/note/connection_id.h"

#include <assert.h>
#include <stdio.h>

static size_t put_text(char *out, size_t at, const char *text)
{
    size_t len = strlen(text);
    memcpy(out + at, text, len);
    return at + len;
}

static size_t put_user(char *out, size_t at, struct span user_id)
{
    for (size_t i = 0; i < user_id.len; i++) {
        char byte = user_id.bytes[i];
        if (byte == '{' || byte == '}' || byte == '%') {
            out[at++] = '%';
            hex_put_upper(out + at, &user_id.bytes[i], 1); /* not &byte: it stays in a register */
            at += 2;
        } else {
            out[at++] = byte;
        }
    }
    return at;
}

void redis_channels_write(char out[REDIS_CHANNELS_MAX_BYTES + 1], const char *prefix, unsigned db)
{
    assert(strlen(prefix) <= REDIS_PREFIX_MAX_BYTES && db <= REDIS_DB_MAX);
    if (db == 0)
        snprintf(out, REDIS_CHANNELS_MAX_BYTES + 1, "%s", prefix);
    else
        snprintf(out, REDIS_CHANNELS_MAX_BYTES + 1, "%s:%u", prefix, db);
}

void redis_keys_write(struct redis_keys *keys, const char *prefix, struct span user_id)
{
    assert(user_id.len <= USER_ID_MAX_BYTES && strlen(prefix) <= REDIS_PREFIX_MAX_BYTES);
    size_t at = put_text(keys->inbox_bytes, 0, prefix);
    keys->prefix_len = at;
    at = put_text(keys->inbox_bytes, at, ":{");
    size_t user_at = at;
    at = put_user(keys->inbox_bytes, at, user_id);
    if (keys->inbox_bytes[user_at] == STORE_RESERVED_BYTE)
        keys->inbox_bytes[user_at] = '%';
    at = put_text(keys->inbox_bytes, at, "}");
    memcpy(keys->meta_bytes, keys->inbox_bytes, at);
    memcpy(keys->numbers_bytes, keys->inbox_bytes, at);
    memcpy(keys->times_bytes, keys->inbox_bytes, at);
    keys->user = (struct span){keys->meta_bytes, at};
    keys->meta = (struct span){keys->meta_bytes, put_text(keys->meta_bytes, at, ":meta")};
    keys->inbox = (struct span){keys->inbox_bytes, put_text(keys->inbox_bytes, at, ":inbox")};
    keys->numbers =
        (struct span){keys->numbers_bytes, put_text(keys->numbers_bytes, at, ":numbers")};
    keys->times = (struct span){keys->times_bytes, put_text(keys->times_bytes, at, ":times")};
}

void redis_keys_write_channel(struct redis_keys *keys, const char *channels)
{
    assert(strlen(channels) <= REDIS_CHANNELS_MAX_BYTES);
    struct span user = {keys->user.bytes + keys->prefix_len, keys->user.len - keys->prefix_len};
    size_t at = put_text(keys->channel_bytes, 0, channels);
    memcpy(keys->channel_bytes + at, user.bytes, user.len);
    keys->channel = (struct span){keys->channel_bytes, at + user.len};
}

void redis_keys_write_idem(struct redis_keys *keys, struct span key)
{
    assert(key.len <= IDEMPOTENCY_KEY_MAX_BYTES);
    memcpy(keys->idem_bytes, keys->user.bytes, keys->user.len);
    size_t at = put_text(keys->idem_bytes, keys->user.len, ":idem:");
    memcpy(keys->idem_bytes + at, key.bytes, key.len);
    keys->idem = (struct span){keys->idem_bytes, at + key.len};
}

void redis_keys_write_block(struct redis_keys *keys)
{
    memcpy(keys->block_bytes, keys->user.bytes, keys->user.len);
    keys->block =
        (struct span){keys->block_bytes, put_text(keys->block_bytes, keys->user.len, ":block")};
}

struct span redis_ticket_key(char out[REDIS_TICKET_KEY_MAX_BYTES], const char *prefix,
                             struct span ticket)
{
    assert(ticket.len <= STORE_TICKET_MAX_BYTES && strlen(prefix) <= REDIS_PREFIX_MAX_BYTES);
    size_t at = put_text(out, put_text(out, 0, prefix), ":ticket:");
    memcpy(out + at, ticket.bytes, ticket.len);
    return (struct span){out, at + ticket.len};
}

/* `%events.P`, which is no percent-encoding. */
static bool take_reserved(struct span encoded, char out[USER_ID_MAX_BYTES], size_t *ret_len)
{
    unsigned partition;
    if (encoded.len > USER_ID_MAX_BYTES)
        return false;
    memcpy(out, encoded.bytes, encoded.len);
    out[0] = STORE_RESERVED_BYTE;
    *ret_len = encoded.len;
    return store_is_partition_user((struct span){out, encoded.len}, &partition);
}

bool redis_channel_user(const char *channels, struct span channel, char out[USER_ID_MAX_BYTES],
                        size_t *ret_len)
{
    size_t skip = strlen(channels) + 2;
    if (channel.len <= skip + 1 || memcmp(channel.bytes, channels, skip - 2) != 0 ||
        memcmp(channel.bytes + skip - 2, ":{", 2) != 0 || channel.bytes[channel.len - 1] != '}')
        return false;
    struct span encoded = {channel.bytes + skip, channel.len - skip - 1};
    return percent_decode(encoded, false, out, USER_ID_MAX_BYTES, ret_len) == ERR_OK ||
           take_reserved(encoded, out, ret_len);
}

bool redis_epoch_read(struct span text, struct epoch *ret_epoch)
{
    struct epoch epoch = {{0}};
    if (text.len != 0 && text.len != EPOCH_LEN)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.bytes[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9'))
            return false;
        epoch.text[i] = c;
    }
    *ret_epoch = epoch;
    return true;
}

/* The eight bytes of a double, the lowest first. false: it is no number up to 2^53. */
static bool unpack_number(const char *bytes, uint64_t *ret_number)
{
    uint64_t word = 0;
    double number;
    for (unsigned i = 0; i < sizeof word; i++)
        word |= (uint64_t)(unsigned char)bytes[i] << (8 * i);
    memcpy(&number, &word, sizeof number);
    if (!(number >= 0 && number <= (double)(UINT64_C(1) << 53)))
        return false;
    *ret_number = (uint64_t)number;
    return true;
}

bool redis_record_head(struct span packed, struct store_known *ret_known)
{
    enum { VERSION = 2, EPOCH_AT = 1, HEAD_AT = EPOCH_AT + EPOCH_LEN, PACKED_BYTES = 59 };
    enum { TIME_AT = PACKED_BYTES + 1, TIMED_BYTES = TIME_AT + 4 };
    struct store_known known = {0};
    if (packed.len < PACKED_BYTES || packed.bytes[0] != VERSION ||
        !redis_epoch_read((struct span){packed.bytes + EPOCH_AT, EPOCH_LEN}, &known.epoch) ||
        !unpack_number(packed.bytes + HEAD_AT, &known.head))
        return false;
    for (size_t i = TIME_AT; packed.len >= TIMED_BYTES && i < TIMED_BYTES; i++)
        known.time |= (uint32_t)(unsigned char)packed.bytes[i] << (8 * (i - TIME_AT));
    *ret_known = known;
    return true;
}

enum { NUMBER_MAX_DIGITS = 15 }; /* they stay below 2^53 */

bool redis_take_number(struct span *rest, int64_t *ret_number)
{
    uint64_t number;
    if (!decimal_take(rest, NUMBER_MAX_DIGITS, ':', &number))
        return false;
    *ret_number = (int64_t)number;
    return true;
}

/* "LENGTH:", the collapse key, and the data up to the end. */
static bool take_payload(struct span rest, struct span *ret_key, struct span *ret_data)
{
    int64_t key_len;
    if (!redis_take_number(&rest, &key_len) || (uint64_t)key_len > rest.len ||
        key_len > COLLAPSE_KEY_MAX_BYTES)
        return false;
    *ret_key = (struct span){rest.bytes, (size_t)key_len};
    *ret_data = (struct span){rest.bytes + key_len, rest.len - (size_t)key_len};
    return true;
}

struct numbers {
    int64_t seq, time_ms, expires_ms;
};

static enum err make_note(struct epoch epoch, const struct numbers *numbers, struct span key,
                          struct span data, struct notification **ret_note)
{
    if (numbers->seq < 1 || epoch_is_none(epoch))
        return ERR_STORE_UNAVAILABLE;
    struct payload *payload = payload_new_keyed(data, key);
    if (payload == NULL)
        return ERR_NO_MEMORY;
    struct notification *note = notification_new(payload, epoch, (uint64_t)numbers->seq,
                                                 numbers->time_ms, numbers->expires_ms);
    payload_unref(payload);
    if (note == NULL)
        return ERR_NO_MEMORY;
    *ret_note = note;
    return ERR_OK;
}

enum err redis_entry_read(struct epoch epoch, int64_t seq, struct span entry,
                          struct notification **ret_note)
{
    struct numbers numbers = {.seq = seq};
    struct span key, data;
    if (!redis_take_number(&entry, &numbers.expires_ms) ||
        !redis_take_number(&entry, &numbers.time_ms) || !take_payload(entry, &key, &data))
        return ERR_STORE_UNAVAILABLE;
    enum err error = make_note(epoch, &numbers, key, data, ret_note);
    if (error == ERR_OK)
        (*ret_note)->is_replay = true;
    return error;
}

/* Older nodes name no cause: it is cancelled. */
static enum err read_withdrawal(struct epoch epoch, struct span rest, struct inbox_event *ret_event)
{
    int64_t from, to;
    if (!redis_take_number(&rest, &from) || !redis_take_number(&rest, &to) || from < 1 ||
        to < from || epoch_is_none(epoch))
        return ERR_STORE_UNAVAILABLE;
    enum gap_cause cause = span_equal(rest, SPAN_LITERAL("l:")) ? GAP_COLLAPSED : GAP_CANCELLED;
    struct withdrawal *made = withdrawal_new(epoch, (uint64_t)from, (uint64_t)to, cause);
    if (made == NULL)
        return ERR_NO_MEMORY;
    *ret_event = inbox_event_of_withdrawal(made);
    return ERR_OK;
}

/* Older nodes publish N, which says neither `acked` nor a key. */
static enum err read_live(char kind, struct epoch epoch, struct span rest,
                          struct inbox_event *ret_event)
{
    struct numbers numbers;
    struct notification *note;
    int64_t acked = 0;
    int64_t replaces = 0;
    struct span key = {0};
    if (!redis_take_number(&rest, &numbers.seq) || !redis_take_number(&rest, &numbers.time_ms) ||
        !redis_take_number(&rest, &numbers.expires_ms))
        return ERR_STORE_UNAVAILABLE;
    if (kind == 'B')
        return ERR_TOO_LARGE;
    if (kind == 'M' && (!redis_take_number(&rest, &acked) || !redis_take_number(&rest, &replaces) ||
                        !take_payload(rest, &key, &rest)))
        return ERR_STORE_UNAVAILABLE;
    enum err error = make_note(epoch, &numbers, key, rest, &note);
    if (error != ERR_OK)
        return error;
    note->acked = (uint64_t)acked;
    note->replaces = (uint64_t)replaces;
    *ret_event = inbox_event_of_note(note);
    return ERR_OK;
}

/* "c-7f3a:" */
static bool take_connection(struct span *rest, uint64_t *ret_connection)
{
    const char *colon = rest->len > 0 ? memchr(rest->bytes, ':', rest->len) : NULL;
    if (colon == NULL)
        return false;
    struct span name = {rest->bytes, (size_t)(colon - rest->bytes)};
    *rest = (struct span){colon + 1, rest->len - name.len - 1};
    return connection_id_parse(name, ret_connection);
}

/* "TIME:LENGTH:", data of that length. 0: up to the end. For one connection (C), its name stands
 * between these; one that this version cannot read is of a kind that it does not know. */
static enum err read_ephemeral(char kind, struct span rest, struct inbox_event *ret_event)
{
    int64_t time_ms, len;
    uint64_t connection = 0;
    if (!redis_take_number(&rest, &time_ms))
        return ERR_STORE_UNAVAILABLE;
    if (kind == 'C' && !take_connection(&rest, &connection))
        return ERR_NOT_FOUND;
    if (!redis_take_number(&rest, &len) || rest.len == 0 || (len != 0 && (size_t)len != rest.len))
        return ERR_STORE_UNAVAILABLE;
    struct payload *payload = payload_new(rest);
    if (payload == NULL)
        return ERR_NO_MEMORY;
    struct notification *note = notification_new_live(payload, time_ms, connection);
    payload_unref(payload);
    if (note == NULL)
        return ERR_NO_MEMORY;
    *ret_event = inbox_event_of_note(note);
    return ERR_OK;
}

bool redis_message_time(struct span message, int64_t *ret_ms)
{
    enum { BEFORE = 2 + EPOCH_LEN + 1 }; /* the letter, the epoch and their colons */
    int64_t seq;
    if (message.len <= BEFORE || (message.bytes[0] != 'M' && message.bytes[0] != 'B') ||
        message.bytes[1] != ':' || message.bytes[BEFORE - 1] != ':')
        return false;
    struct span rest = {message.bytes + BEFORE, message.len - BEFORE};
    return redis_take_number(&rest, &seq) && redis_take_number(&rest, ret_ms);
}

enum err redis_message_read(struct span message, struct inbox_event *ret_event)
{
    if (message.len < 2 || message.bytes[1] != ':')
        return ERR_STORE_UNAVAILABLE;
    char kind = message.bytes[0];
    if (kind != 'M' && kind != 'N' && kind != 'B' && kind != 'W' && kind != 'E' && kind != 'C')
        return ERR_NOT_FOUND;
    struct span rest = {message.bytes + 2, message.len - 2};
    if (kind == 'E' || kind == 'C')
        return read_ephemeral(kind, rest, ret_event);
    struct epoch epoch;
    if (rest.len <= EPOCH_LEN || rest.bytes[EPOCH_LEN] != ':' ||
        !redis_epoch_read((struct span){rest.bytes, EPOCH_LEN}, &epoch))
        return ERR_STORE_UNAVAILABLE;
    rest = (struct span){rest.bytes + EPOCH_LEN + 1, rest.len - EPOCH_LEN - 1};
    return kind == 'W' ? read_withdrawal(epoch, rest, ret_event)
                       : read_live(kind, epoch, rest, ret_event);
}
