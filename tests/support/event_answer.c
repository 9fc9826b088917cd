#include "tests/support/event_answer.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void read_gap(struct event_told *told)
{
    unsigned number;
    uint64_t to;
    const char *at = strstr(told->text, "\"partition\":");
    cr_assert_not_null(at);
    int n = sscanf(
        at, "\"partition\":%u,\"from\":%" SCNu64 ",\"to\":%" SCNu64 ",\"cause\":\"%15[a-z]\"",
        &number, &told->from, &to, told->cause);
    cr_assert_eq(n, 4, "%.200s", at);
    cr_assert_eq(number, told->partition);
    cr_assert_eq(to, told->seq);
}

bool event_answer_next(const char **text, struct event_told *ret_told)
{
    char id[EPOCH_LEN + 1];
    char type[40];
    struct event_told told = {.text = strstr(*text, "{\"id\":\"")};
    if (told.text == NULL)
        return false;
    int n = sscanf(told.text, "{\"id\":\"%u.%8[^-]-%" SCNu64 "\",\"type\":\"%39[a-z.]\"",
                   &told.partition, id, &told.seq, type);
    cr_assert_eq(n, 4, "%.200s", told.text);
    memcpy(told.epoch.text, id, EPOCH_LEN);
    told.is_gap = strcmp(type, "gap") == 0;
    if (told.is_gap)
        read_gap(&told);
    *text = told.text + 1;
    *ret_told = told;
    return true;
}
