/* What an answer of GET /events says, one event or gap after the other. Failures end the test
 * (criterion). */
#ifndef HERALD_TESTS_EVENT_ANSWER_H
#define HERALD_TESTS_EVENT_ANSWER_H

#include "proto/note/message_id.h"

#include <stdbool.h>

struct event_told {
    const char *text; /* from its start on */
    unsigned partition;
    struct epoch epoch;
    uint64_t seq; /* of a gap: the last number */
    bool is_gap;
    uint64_t from;
    char cause[16];
};

/* Takes the next one from a text that ends with a NUL. false: there is none. */
bool event_answer_next(const char **text, struct event_told *ret_told);

#endif
