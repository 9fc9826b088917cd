/* Every push carries a mark: for whom, its number, when it was sent. What arrives is held against
 * it.
 *
 * Numbers rise by one per user (or over all, when pushes are for everyone). A subscriber remembers
 * the highest that it saw and a bit for each of the 64 below, so a repeat is distinguished from a
 * late one. Loss is what was accepted and never came: the counts are compared at the end (load.c).
 * The filling is checked too: a payload arrives byte for byte. */
#include "load.h"

#include <string.h>

struct receiver {
    uint32_t highest;
    uint64_t seen; /* bit i: highest - i has arrived */
};

struct tally tally = {.from_ns = UINT64_MAX, .to_ns = UINT64_MAX};
static struct receiver *receivers;
static uint32_t *numbers; /* given out last, per user */
static uint32_t all_number;
static size_t data_length;
static char *filling;
static const char opening[] = "\"bench ";
static const char cast[] = "\"cast ";
static int8_t nibbles[256];

static char *put_hex(char *at, uint64_t value, unsigned digits)
{
    for (unsigned i = digits; i-- > 0; value >>= 4)
        at[i] = "0123456789abcdef"[value & 15];
    return at + digits;
}

static uint64_t take_hex(const uint8_t *at, unsigned digits)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < digits; i++)
        value = value << 4 | (uint64_t)(nibbles[at[i]] & 15);
    return value;
}

void tally_init(void)
{
    size_t users = (size_t)options.subscribers, length = (size_t)options.size;
    data_length = length;
    receivers = allocate(users, sizeof *receivers);
    numbers = allocate(users, sizeof *numbers);
    filling = allocate(1, length);
    memset(filling, 'x', length);
    filling[length - MARK_LENGTH - 1] = '"';
    for (int i = 0; i < 16; i++)
        nibbles[(unsigned char)"0123456789abcdef"[i]] = (int8_t)i;
}

void tally_mark(char *at, uint32_t user, uint64_t stamp)
{
    char *next = at;
    uint32_t number = user == USER_ALL ? ++all_number : ++numbers[user];
    memcpy(next, opening, sizeof opening - 1);
    next = put_hex(next + sizeof opening - 1, user, 8);
    next = put_hex(next, number, 8);
    next = put_hex(next, stamp, 16);
    *next++ = ' ';
    memcpy(next, filling, data_length - MARK_LENGTH);
}

/* False: it has arrived before. Pushes to all have no order: several publishers have one under way
 * at once. */
static bool is_new(struct receiver *receiver, uint32_t number, bool is_ordered)
{
    if (number > receiver->highest) {
        uint32_t step = number - receiver->highest;
        receiver->seen = (step < 64 ? receiver->seen << step : 0) | 1;
        receiver->highest = number;
        return true;
    }
    uint32_t back = receiver->highest - number;
    bool before = back < 64 && (receiver->seen >> back & 1);
    if (back < 64)
        receiver->seen |= 1ull << back;
    tally.disordered += !before && is_ordered;
    return !before;
}

void tally_receive(uint32_t user, const uint8_t *payload, size_t length, uint64_t now)
{
    const size_t start = sizeof opening - 1;
    if (length >= sizeof cast && memcmp(payload, cast, sizeof cast - 1) == 0) {
        tally.window_casts += now >= tally.from_ns && now < tally.to_ns;
        return;
    }
    if (length != data_length || memcmp(payload, opening, start) != 0 ||
        memcmp(payload + MARK_LENGTH, filling, length - MARK_LENGTH) != 0) {
        tally.damaged++;
        return;
    }
    uint32_t addressee = (uint32_t)take_hex(payload + start, 8);
    uint32_t number = (uint32_t)take_hex(payload + start + 8, 8);
    uint64_t stamp = take_hex(payload + start + 16, 16);
    if (addressee != user && addressee != USER_ALL) {
        tally.misrouted++;
        return;
    }
    if (!is_new(&receivers[user], number, addressee == user)) {
        tally.duplicated++;
        return;
    }
    tally_count(stamp, now);
}

void tally_count(uint64_t stamp, uint64_t now)
{
    tally.received++;
    tally.last_ns = now;
    if (now >= tally.from_ns && now < tally.to_ns)
        tally.window_received++;
    if (stamp >= tally.from_ns && stamp < tally.to_ns)
        hist_add(&tally.latency, now > stamp ? now - stamp : 0);
}
