#include "gateway/session/reader.h"

#include <assert.h>

_Static_assert(sizeof(struct reader) <= 16, "one for each open connection");

static const uint8_t successors[] = {
    [READER_NEW] = 1u << READER_WAITING_TURN | 1u << READER_READING | 1u << READER_ENDED,
    [READER_WAITING_TURN] = 1u << READER_READING | 1u << READER_WAITING_STORE | 1u << READER_ENDED,
    [READER_WAITING_STORE] = 1u << READER_WAITING_TURN | 1u << READER_ENDED,
    [READER_READING] = 1u << READER_WAITING_TURN | 1u << READER_WAITING_STORE |
                       1u << READER_DRAINING | 1u << READER_LIVE | 1u << READER_ENDED,
    [READER_DRAINING] = 1u << READER_WAITING_TURN | 1u << READER_ENDED,
    [READER_LIVE] = 1u << READER_WAITING_TURN | 1u << READER_DRAINING | 1u << READER_ENDED,
    [READER_ENDED] = 0,
};

void reader_init(struct reader *reader)
{
    *reader = (struct reader){.state = READER_NEW};
}

void reader_become(struct reader *reader, enum reader_state state)
{
    assert(successors[reader->state] >> state & 1);
    reader->state = (uint8_t)state;
}
