#include "proto/note/message_id.h"

#include "proto/bytes/decimal.h"
#include "proto/bytes/put.h"

#include <sys/random.h>

/* Random numbers are drawn many at a time, because a busy store asks for an epoch with every
 * push. */
static bool draw_number(uint64_t *ret_number)
{
    static _Thread_local uint64_t
        drawn[32]; /* getrandom gives up to 256 bytes without interruption */
    static _Thread_local unsigned n_left;
    if (n_left == 0) {
        if (getrandom(drawn, sizeof drawn, 0) != sizeof drawn)
            return false;
        n_left = sizeof drawn / sizeof drawn[0];
    }
    *ret_number = drawn[--n_left];
    return true;
}

enum err epoch_random(struct epoch *ret_epoch)
{
    static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    uint64_t number;
    if (!draw_number(&number))
        return ERR_SYSTEM;
    for (int i = 0; i < EPOCH_LEN; i++) {
        ret_epoch->text[i] = letters[number % 36];
        number /= 36;
    }
    return ERR_OK;
}

size_t message_id_write(struct epoch epoch, uint64_t seq, char out[MESSAGE_ID_MAX_BYTES])
{
    char *at = put_span(out, (struct span){epoch.text, EPOCH_LEN});
    *at++ = '-';
    at = put_number(at, seq);
    *at = '\0';
    return (size_t)(at - out);
}

static bool is_epoch_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z');
}

enum err message_position_parse(struct span id, struct epoch *ret_epoch, uint64_t *ret_seq)
{
    if (id.len < EPOCH_LEN + 2 || id.bytes[EPOCH_LEN] != '-')
        return ERR_INVALID_FIELD;
    for (int i = 0; i < EPOCH_LEN; i++) {
        if (!is_epoch_char(id.bytes[i]))
            return ERR_INVALID_FIELD;
    }
    struct span digits = {id.bytes + EPOCH_LEN + 1, id.len - EPOCH_LEN - 1};
    uint64_t seq;
    if (!decimal_read_plain(digits, UINT64_MAX, &seq))
        return ERR_INVALID_FIELD;
    memcpy(ret_epoch->text, id.bytes, EPOCH_LEN);
    *ret_seq = seq;
    return ERR_OK;
}

enum err message_id_parse(struct span id, struct epoch *ret_epoch, uint64_t *ret_seq)
{
    struct epoch epoch;
    uint64_t seq;
    enum err error = message_position_parse(id, &epoch, &seq);
    if (error != ERR_OK || seq == 0)
        return ERR_INVALID_FIELD;
    *ret_epoch = epoch;
    *ret_seq = seq;
    return ERR_OK;
}
