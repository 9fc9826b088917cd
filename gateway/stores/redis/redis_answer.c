#include "gateway/stores/redis/redis_answer.h"

#include "gateway/base/metrics.h"

#include <stdio.h>

_Static_assert((int)REDIS_PACKED_BYTES == (int)EPOCH_LEN, "c8");

static const int64_t exact_max = INT64_C(1) << 53; /* Lua's numbers are doubles */

struct span redis_number_write(struct redis_number *number, uint64_t value)
{
    const char *end = put_number(number->digits, value);
    return (struct span){number->digits, (size_t)(end - number->digits)};
}

struct span redis_epoch_text(const struct epoch *epoch)
{
    return (struct span){epoch->text, epoch_is_none(*epoch) ? 0 : EPOCH_LEN};
}

char *redis_pack_number(char *at, uint64_t number)
{
    double value = (double)number;
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    for (size_t i = 0; i < REDIS_PACKED_BYTES; i++)
        *at++ = (char)(unsigned char)(bits >> 8 * i);
    return at;
}

char *redis_pack_time(char *at, uint32_t time)
{
    for (size_t i = 0; i < REDIS_PACKED_TIME_BYTES; i++)
        *at++ = (char)(unsigned char)(time >> 8 * i);
    return at;
}

char *redis_pack_epoch(char *at, const struct epoch *epoch)
{
    memcpy(at, epoch->text, EPOCH_LEN);
    return at + EPOCH_LEN;
}

bool redis_answer_number(const struct redis_value *reply, size_t at, uint64_t *ret_number)
{
    int64_t number;
    if (!redis_value_integer(redis_value_item(reply, at), &number) || number < 0 ||
        number > exact_max)
        return false;
    *ret_number = (uint64_t)number;
    return true;
}

bool redis_answer_epoch(const struct redis_value *reply, size_t at, struct epoch *ret_epoch)
{
    struct span text;
    return redis_value_text(redis_value_item(reply, at), &text) &&
           redis_epoch_read(text, ret_epoch);
}

bool redis_answer_text(const struct redis_value *reply, uint64_t *ret_numbers, size_t n_numbers,
                       struct epoch *ret_epoch)
{
    struct span rest;
    int64_t number;
    if (!redis_value_is(reply, REDIS_TEXT) || !redis_value_text(reply, &rest))
        return false;
    for (size_t i = 0; i < n_numbers; i++) {
        if (!redis_take_number(&rest, &number))
            return false;
        ret_numbers[i] = (uint64_t)number;
    }
    return rest.len == EPOCH_LEN && redis_epoch_read(rest, ret_epoch);
}

bool redis_answer_has_lost_script(const struct redis_value *reply)
{
    return redis_value_is(reply, REDIS_ERROR) && redis_value_starts(reply, "NOSCRIPT");
}

void redis_answer_count_expired(uint64_t expired)
{
    if (expired > 0)
        metrics_add(METRIC_INBOX_EXPIRED, expired);
}

void redis_answer_refused(struct redis_commands *commands, const struct redis_value *reply)
{
    if (redis_value_is(reply, REDIS_ERROR))
        redis_commands_refused(commands, reply->bytes);
    else if (reply != NULL && !redis_value_is(reply, REDIS_NIL))
        redis_primary_refused(commands->primary, "a script's answer is malformed");
}

void redis_answer_unheard(struct redis_commands *commands, const struct redis_value *words)
{
    if (!redis_value_is(words, REDIS_TEXT) || words->n == 0)
        return;
    metrics_count(METRIC_STORE_UNPUBLISHED);
    char error[REDIS_WORDS_MAX_BYTES];
    snprintf(error, sizeof error, "%s (SPUBLISH)", words->bytes);
    redis_primary_unheard(commands->primary, error);
}

void redis_answer_begin(const struct redis_commands *commands, struct store_request *request)
{
    request->began_ms = reactor_now_ms(commands->reactor);
}

_Static_assert(HISTOGRAM_STORE_TICKET_TAKE - HISTOGRAM_STORE_APPEND == (int)STORE_OP_TICKET_TAKE,
               "a row for each kind of request, in their order");

void redis_answer_observe(const struct redis_commands *commands,
                          const struct store_request *request, enum store_op op)
{
    metrics_observe_ms((enum histogram)(HISTOGRAM_STORE_APPEND + (int)op),
                       reactor_now_ms(commands->reactor) - request->began_ms);
}

enum err redis_answer_error(enum err error)
{
    return error == ERR_OK || error == ERR_NO_MEMORY ? error : ERR_STORE_UNAVAILABLE;
}
