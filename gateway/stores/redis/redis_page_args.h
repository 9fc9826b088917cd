/* The arguments after the keys that page.lua and event_page.lua share. On the lane's thread. */
#ifndef HERALD_STORE_REDIS_PAGE_ARGS_H
#define HERALD_STORE_REDIS_PAGE_ARGS_H

#include "gateway/stores/redis/redis_answer.h"

enum { REDIS_PAGE_ARGS = 10 };

/* What the arguments point to. */
struct redis_page_args {
    struct redis_number after, count, bytes, head, time;
    struct epoch fresh; /* a random one */
};

/* `wishes`: letters that the script knows. The spans are valid as long as `*args`, the page and
 * the wishes. */
void redis_page_args_write(const struct store_page *page, struct span wishes,
                           struct redis_page_args *args, struct span ret_words[REDIS_PAGE_ARGS]);

#endif
