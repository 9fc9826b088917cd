/* Pages as page.lua answers them. On the lane's thread. */
#ifndef HERALD_STORE_REDIS_PAGE_H
#define HERALD_STORE_REDIS_PAGE_H

#include "gateway/stores/redis/redis_commands.h"

/* Asks for it; ERR_OK: the call's on_reply will run. The whole one is read by a script in any case.
 * The read-only one makes no write, for a Redis that refuses them. */
MUST_CHECK enum err redis_page_send(struct redis_commands *commands, struct store_request *request,
                                    const struct redis_call *call);
MUST_CHECK enum err redis_page_send_whole(struct redis_commands *commands,
                                          struct store_request *request,
                                          const struct redis_call *call);
MUST_CHECK enum err redis_page_send_read_only(struct redis_commands *commands,
                                              struct store_request *request,
                                              const struct redis_call *call);

/* ERR_STORE_UNAVAILABLE: malformed, or nothing can be said without a write. ERR_NO_MEMORY. Nothing
 * is left in the page then. */
MUST_CHECK enum err redis_page_read(const struct redis_value *reply, struct store_request *request);

/* What was read without error says which entries wait: they are still to be fetched
 * (redis_entries.h). */
bool redis_page_must_fetch(const struct redis_value *reply, const struct store_request *request);

#endif
