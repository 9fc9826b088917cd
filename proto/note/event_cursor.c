/* The bytes behind the text: the version; the length of the name, and the name; a bit for each
 * partition that has an epoch, in two bytes; of each such partition the epoch, and its number in
 * groups of seven bits, the lowest first; four bytes of a digest of all these. */
#include "proto/note/event_cursor.h"

#include "proto/bytes/base64url.h"
#include "proto/bytes/digest.h"
#include "proto/bytes/plain_name.h"

enum {
    VERSION = 1,
    SUM_BYTES = 4,
    NUMBER_MAX_BYTES = 10,
    HEAD_BYTES = 4, /* without the name */
    BYTES_MAX = HEAD_BYTES + EVENT_CONSUMER_MAX_BYTES +
                EVENT_CURSOR_PARTITIONS * (EPOCH_LEN + NUMBER_MAX_BYTES) + SUM_BYTES,
};
_Static_assert(BASE64URL_CHARACTERS(BYTES_MAX) < EVENT_CURSOR_MAX_BYTES, "a cursor has room");

bool event_consumer_is_valid(struct span name)
{
    return plain_name_is_valid(name, EVENT_CONSUMER_MAX_BYTES);
}

static enum err sum_of(const uint8_t *bytes, size_t len, uint8_t ret_sum[DIGEST_LEN])
{
    const struct span whole = {(const char *)bytes, len};
    return digest_of(&whole, 1, ret_sum);
}

/* ---- writing ---- */

static uint8_t *put_bytes(uint8_t *at, const void *bytes, size_t len)
{
    memcpy(at, bytes, len);
    return at + len;
}

static uint8_t *put_groups(uint8_t *at, uint64_t number)
{
    for (; number >= 0x80; number >>= 7)
        *at++ = (uint8_t)(number | 0x80);
    *at = (uint8_t)number;
    return at + 1;
}

enum err event_cursor_write(const struct event_cursor *cursor, char out[EVENT_CURSOR_MAX_BYTES])
{
    uint8_t bytes[BYTES_MAX];
    uint8_t sum[DIGEST_LEN];
    unsigned known = 0;
    for (unsigned i = 0; i < EVENT_CURSOR_PARTITIONS; i++)
        known |= epoch_is_none(cursor->positions[i].epoch) ? 0 : 1u << i;
    uint8_t *at = bytes;
    *at++ = VERSION;
    *at++ = (uint8_t)cursor->consumer_len;
    at = put_bytes(at, cursor->consumer, cursor->consumer_len);
    *at++ = (uint8_t)known;
    *at++ = (uint8_t)(known >> 8);
    for (unsigned i = 0; i < EVENT_CURSOR_PARTITIONS; i++) {
        if ((known & 1u << i) == 0)
            continue;
        at = put_bytes(at, cursor->positions[i].epoch.text, EPOCH_LEN);
        at = put_groups(at, cursor->positions[i].seq);
    }
    enum err error = sum_of(bytes, (size_t)(at - bytes), sum);
    if (error != ERR_OK)
        return error;
    at = put_bytes(at, sum, SUM_BYTES);
    size_t len = base64url_encode((struct span){(char *)bytes, (size_t)(at - bytes)}, out);
    out[len] = '\0';
    return ERR_OK;
}

/* ---- reading ---- */

struct unread {
    const uint8_t *at;
    size_t len;
};

static bool take_bytes(struct unread *rest, size_t len, void *out)
{
    if (rest->len < len)
        return false;
    memcpy(out, rest->at, len);
    rest->at += len;
    rest->len -= len;
    return true;
}

/* A number has one form only: its last group is not empty, and it has 64 bits at most. */
static bool take_groups(struct unread *rest, uint64_t *ret_number)
{
    uint64_t number = 0;
    for (unsigned i = 0; i < NUMBER_MAX_BYTES; i++) {
        uint8_t byte;
        if (!take_bytes(rest, 1, &byte))
            return false;
        number |= (uint64_t)(byte & 0x7f) << 7 * i;
        if (byte >= 0x80)
            continue;
        bool is_plain = (i == 0 || byte > 0) && (i < NUMBER_MAX_BYTES - 1 || byte <= 1);
        *ret_number = number;
        return is_plain;
    }
    return false;
}

static bool is_epoch(const struct epoch *epoch)
{
    for (unsigned i = 0; i < EPOCH_LEN; i++) {
        char c = epoch->text[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')))
            return false;
    }
    return true;
}

static bool take_cursor(struct unread *rest, struct event_cursor *cursor)
{
    uint8_t head[2];
    uint8_t known[2];
    if (!take_bytes(rest, 2, head) || head[0] != VERSION || head[1] > EVENT_CONSUMER_MAX_BYTES ||
        !take_bytes(rest, head[1], cursor->consumer) || !take_bytes(rest, 2, known))
        return false;
    cursor->consumer_len = head[1];
    for (unsigned i = 0; i < EVENT_CURSOR_PARTITIONS; i++) {
        struct event_position *position = &cursor->positions[i];
        if ((known[i / 8] & 1u << i % 8) == 0)
            continue;
        if (!take_bytes(rest, EPOCH_LEN, position->epoch.text) || !is_epoch(&position->epoch) ||
            !take_groups(rest, &position->seq))
            return false;
    }
    return rest->len == 0 &&
           event_consumer_is_valid((struct span){cursor->consumer, cursor->consumer_len});
}

enum err event_cursor_read(struct span text, struct event_cursor *ret_cursor)
{
    uint8_t bytes[BYTES_MAX];
    uint8_t sum[DIGEST_LEN];
    size_t len;
    struct event_cursor cursor = {0};
    if (base64url_decode(text, bytes, sizeof bytes, &len) != ERR_OK || len < SUM_BYTES)
        return ERR_INVALID_FIELD;
    len -= SUM_BYTES;
    enum err error = sum_of(bytes, len, sum);
    if (error != ERR_OK)
        return error;
    struct unread rest = {bytes, len};
    if (memcmp(bytes + len, sum, SUM_BYTES) != 0 || !take_cursor(&rest, &cursor))
        return ERR_INVALID_FIELD;
    *ret_cursor = cursor;
    return ERR_OK;
}
