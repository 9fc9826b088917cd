/* What waits on a page, read by HMGET instead of a script, for which Lua would copy and hash each
 * entry twice. page_fast.lua has said which numbers wait, all of them unexpired; HMGET follows on
 * the same link. What others do between the two is noticed: what has left is missing, and in a new
 * epoch the last number, at least, is younger than the script's answer. Then a script reads the
 * page. On the lane's thread. */
#ifndef HERALD_STORE_REDIS_ENTRIES_H
#define HERALD_STORE_REDIS_ENTRIES_H

#include "gateway/store/store_request.h"
#include "gateway/stores/redis/redis_commands.h"

/* A page of more is read by a script. */
enum { REDIS_ENTRIES_MAX = 512 };

/* What page_fast.lua has said is in the request, a struct store_page. */
MUST_CHECK enum err redis_entries_send(struct redis_commands *commands,
                                       struct store_request *request,
                                       const struct redis_call *call);

/* ERR_CONFLICT: it is no page of that moment any more. ERR_NO_MEMORY. */
MUST_CHECK enum err redis_entries_read(const struct redis_value *reply,
                                       struct store_request *request);

#endif
