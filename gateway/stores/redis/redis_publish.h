/* Messages that are published by themselves, not by a script: questions, answers, and what nodes
 * tell each other of pushes that wait. One that Redis refused without doing anything (MOVED, while
 * its slot moves) is sent again by itself (redis_repeats.h). What is sent with ttl 0 has a file of
 * its own. On the lane's thread. */
#ifndef HERALD_STORE_REDIS_PUBLISH_H
#define HERALD_STORE_REDIS_PUBLISH_H

#include "gateway/stores/redis/redis_commands.h"

/* For how long it is sent again. */
enum redis_publish_life {
    REDIS_PUBLISH_FOR_AN_ANSWER, /* STORE_REPLIES_MS: then the question is over */
    REDIS_PUBLISH_FOR_A_REQUEST, /* REDIS_REPEAT_MS */
};

/* Channel and message are copied. on_published is called once, with Redis's answer, or with NULL
 * where the link broke or its time was over; it may be NULL. Its owner is the commands, or NULL
 * without an answer. It never runs inside this call. ERR_STORE_UNAVAILABLE, ERR_BUSY,
 * ERR_NO_MEMORY: it was not sent, and is not called. */
MUST_CHECK enum err redis_publish(struct redis_commands *commands, enum redis_publish_life life,
                                  struct span channel, struct span message,
                                  redis_reply_fn on_published, void *arg, size_t index);

/* The same without on_published, behind what `before` has been sent until now: where that is
 * another link, as in a Cluster, it is sent when all of it is answered, and not at all if that link
 * breaks first. */
MUST_CHECK enum err redis_publish_behind(struct redis_commands *before,
                                         struct redis_commands *commands,
                                         enum redis_publish_life life, struct span channel,
                                         struct span message);

#endif
