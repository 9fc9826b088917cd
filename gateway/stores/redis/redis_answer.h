/* What the requests of the Redis store have in common: numbers on their way to a script, and the
 * parts of its answer. Reading trusts nothing: numbers are whole, not negative and exact. On the
 * lane's thread. */
#ifndef HERALD_STORE_REDIS_ANSWER_H
#define HERALD_STORE_REDIS_ANSWER_H

#include "gateway/store/store_backend.h"
#include "gateway/stores/redis/redis_commands.h"
#include "proto/bytes/put.h"

struct redis_number {
    char digits[PUT_NUMBER_MAX_BYTES];
};

/* The digits are inside `number`. */
struct span redis_number_write(struct redis_number *number, uint64_t value);
struct span redis_epoch_text(const struct epoch *epoch); /* empty for none */

/* What scripts read by struct.unpack: "d", "I4", and "c8", which is zeros for no epoch. Each
 * returns the position after it. */
enum { REDIS_PACKED_BYTES = 8, REDIS_PACKED_TIME_BYTES = 4 };
char *redis_pack_number(char *at, uint64_t number); /* exact up to 2^53 */
char *redis_pack_time(char *at, uint32_t time);     /* "I4" */
char *redis_pack_epoch(char *at, const struct epoch *epoch);

bool redis_answer_number(const struct redis_value *reply, size_t at, uint64_t *ret_number);
bool redis_answer_epoch(const struct redis_value *reply, size_t at, struct epoch *ret_epoch);

/* An answer in one text: numbers with a colon after each, and an epoch. false: it is not that. */
bool redis_answer_text(const struct redis_value *reply, uint64_t *ret_numbers, size_t n_numbers,
                       struct epoch *ret_epoch);

/* Redis has lost the script, and did nothing. */
bool redis_answer_has_lost_script(const struct redis_value *reply);

/* Counts what a script says has expired. */
void redis_answer_count_expired(uint64_t expired);

/* Tells the operator about an answer that is an error or cannot be read. */
void redis_answer_refused(struct redis_commands *commands, const struct redis_value *reply);

/* A part of a script's answer: Redis's words, if it kept what the script wrote and refused to
 * publish it; else anything but a text, or an empty one. */
void redis_answer_unheard(struct redis_commands *commands, const struct redis_value *words);

/* The request is on its way to Redis now; and is answered, as one of this kind
 * (herald_store_operation_seconds). By the loop's clock, so it costs no look at another. */
void redis_answer_begin(const struct redis_commands *commands, struct store_request *request);
void redis_answer_observe(const struct redis_commands *commands,
                          const struct store_request *request, enum store_op op);

/* The caller of the store knows no error of ours but ERR_NO_MEMORY and ERR_STORE_UNAVAILABLE. */
enum err redis_answer_error(enum err error);

#endif
