#include "gateway/stores/redis/redis_message.h"

#include "gateway/stores/redis/redis_record.h"
#include "proto/bytes/decimal.h"
#include "proto/bytes/hex.h"
#include "proto/bytes/utf8.h"
#include "proto/note/connection_id.h"

bool redis_asker_read(struct span message, struct epoch *ret_name, uint64_t *ret_number,
                      struct span *ret_rest)
{
    enum { NAME_AT = 2, NUMBER_AT = NAME_AT + EPOCH_LEN + 1 };
    int64_t number;
    if (message.len <= NUMBER_AT || message.bytes[1] != ':' ||
        message.bytes[NUMBER_AT - 1] != ':' ||
        !redis_epoch_read((struct span){message.bytes + NAME_AT, EPOCH_LEN}, ret_name))
        return false;
    *ret_rest = (struct span){message.bytes + NUMBER_AT, message.len - NUMBER_AT};
    if (!redis_take_number(ret_rest, &number))
        return false;
    *ret_number = (uint64_t)number;
    return true;
}

/* ---- questions ---- */

/* "UNTIL:reason" */
static bool read_kick(struct span rest, struct store_asked *ret_asked)
{
    ret_asked->kind = STORE_ASK_KICK;
    if (!redis_take_number(&rest, &ret_asked->until_ms) || rest.len > STORE_REASON_MAX_BYTES ||
        !utf8_is_valid(rest))
        return false;
    ret_asked->reason = rest;
    return true;
}

/* What stands before the first colon; *rest is what stands behind it. */
static struct span take_field(struct span *rest)
{
    const char *colon = rest->len > 0 ? memchr(rest->bytes, ':', rest->len) : NULL;
    size_t len = colon == NULL ? rest->len : (size_t)(colon - rest->bytes);
    struct span field = {rest->bytes, len};
    *rest = (struct span){rest->bytes + len, rest->len - len};
    if (colon != NULL)
        *rest = (struct span){colon + 1, rest->len - 1};
    return field;
}

/* "SEQ", and perhaps ":EPOCH" */
static bool read_written(struct span rest, struct store_asked *ret_asked)
{
    struct span seq = take_field(&rest);
    ret_asked->kind = STORE_ASK_WRITTEN;
    return decimal_read(seq, INT64_MAX, &ret_asked->seq) &&
           redis_epoch_read(rest, &ret_asked->epoch);
}

/* "c-7f3a" */
static bool read_connection(struct span rest, struct store_asked *ret_asked)
{
    ret_asked->kind = STORE_ASK_CONNECTION;
    return connection_id_parse(rest, &ret_asked->connection);
}

/* "AFTER:LIMIT" */
static bool read_clients(struct span rest, struct store_asked *ret_asked)
{
    uint64_t limit;
    struct span after = take_field(&rest);
    ret_asked->kind = STORE_ASK_CLIENTS;
    if (!hex_read(after, &ret_asked->after) || !decimal_read(rest, STORE_CLIENTS_MAX, &limit) ||
        limit == 0)
        return false;
    ret_asked->limit = (uint32_t)limit;
    return true;
}

/* ERR_NOT_FOUND: of a kind that this version does not know. */
static enum err read_what(char kind, struct span rest, struct store_asked *ret_asked)
{
    enum { SKIP = 2 };
    bool is_fine = true;
    *ret_asked = (struct store_asked){0};
    if (kind == 'K')
        is_fine = read_kick(rest, ret_asked);
    else if (kind == 'L')
        is_fine = read_clients(rest, ret_asked);
    else if (span_equal(rest, SPAN_LITERAL("c")))
        ret_asked->kind = STORE_ASK_DESCRIBE;
    else if (rest.len > SKIP && memcmp(rest.bytes, "w:", SKIP) == 0)
        is_fine = read_written((struct span){rest.bytes + SKIP, rest.len - SKIP}, ret_asked);
    else if (rest.len > SKIP && memcmp(rest.bytes, "h:", SKIP) == 0)
        is_fine = read_connection((struct span){rest.bytes + SKIP, rest.len - SKIP}, ret_asked);
    else
        return ERR_NOT_FOUND;
    return is_fine ? ERR_OK : ERR_STORE_UNAVAILABLE;
}

enum err redis_question_read(struct span message, struct epoch *ret_name, uint64_t *ret_number,
                             struct store_asked *ret_asked)
{
    struct span rest;
    if (message.len == 0 || memchr("KQL", message.bytes[0], 3) == NULL)
        return ERR_NOT_FOUND;
    if (!redis_asker_read(message, ret_name, ret_number, &rest))
        return ERR_STORE_UNAVAILABLE;
    return read_what(message.bytes[0], rest, ret_asked);
}

/* ---- pushes that wait ---- */

/* "EPOCH:SEQ", and perhaps a colon. */
static bool take_number(struct span rest, struct epoch *ret_epoch, uint64_t *ret_seq)
{
    if (rest.len <= EPOCH_LEN || rest.bytes[EPOCH_LEN] != ':' ||
        !redis_epoch_read((struct span){rest.bytes, EPOCH_LEN}, ret_epoch))
        return false;
    rest = (struct span){rest.bytes + EPOCH_LEN + 1, rest.len - EPOCH_LEN - 1};
    if (rest.len > 0 && rest.bytes[rest.len - 1] == ':')
        rest.len--;
    return decimal_read(rest, INT64_MAX, ret_seq);
}

bool redis_watch_read(struct span message, struct store_watch *ret_watch)
{
    struct span rest;
    return message.len > 0 && message.bytes[0] == 'Y' &&
           redis_asker_read(message, &ret_watch->node, &ret_watch->number, &rest) &&
           take_number(rest, &ret_watch->epoch, &ret_watch->seq) && ret_watch->seq > 0;
}

bool redis_watch_answer_read(struct span message, uint64_t *ret_number, struct epoch *ret_epoch,
                             uint64_t *ret_acked)
{
    int64_t number;
    if (message.len < 2 || memcmp(message.bytes, "A:", 2) != 0)
        return false;
    struct span rest = {message.bytes + 2, message.len - 2};
    if (!redis_take_number(&rest, &number) || !take_number(rest, ret_epoch, ret_acked))
        return false;
    *ret_number = (uint64_t)number;
    return true;
}
