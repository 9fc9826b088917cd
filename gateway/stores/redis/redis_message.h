/* Messages of one node to others (README, Keys), beside what the scripts publish (redis_record.h).
 * Reading trusts nothing. Pure. */
#ifndef HERALD_STORE_REDIS_MESSAGE_H
#define HERALD_STORE_REDIS_MESSAGE_H

#include "gateway/store/store_ask.h"
#include "gateway/store/store_watch.h"

/* "L:NAME:NUMBER:rest" of any letter L: who asks, and its number. false: it is malformed. *ret_rest
 * is inside `message`. */
bool redis_asker_read(struct span message, struct epoch *ret_name, uint64_t *ret_number,
                      struct span *ret_rest);

/* K, Q and L. ERR_NOT_FOUND: another letter, or a question that this version does not know.
 * ERR_STORE_UNAVAILABLE: malformed. The reason is inside `message`. */
MUST_CHECK enum err redis_question_read(struct span message, struct epoch *ret_name,
                                        uint64_t *ret_number, struct store_asked *ret_asked);

/* Y. false: malformed. */
bool redis_watch_read(struct span message, struct store_watch *ret_watch);

/* A. false: malformed. */
bool redis_watch_answer_read(struct span message, uint64_t *ret_number, struct epoch *ret_epoch,
                             uint64_t *ret_acked);

#endif
