/* Keeps the messages of clients as events (client.message), each user within
 * --client-messages-per-second. It is what node->take_message leads to. */
#ifndef HERALD_CLIENT_MESSAGES_H
#define HERALD_CLIENT_MESSAGES_H

#include "gateway/events/events_struct.h"

struct worker;

/* Does --client-messages fit the types of events that are kept? ERR_INVALID_FIELD: *why is a
 * sentence that names both options. */
MUST_CHECK enum err client_messages_check(const struct options *options, unsigned types, char *why,
                                          size_t why_cap);

/* If --client-messages is on: from now on the node takes messages. ERR_NO_MEMORY. */
MUST_CHECK enum err client_messages_new(struct events *events,
                                        struct client_messages **ret_messages);
/* Every message is answered, and none comes any more. NULL is fine. */
void client_messages_free(struct client_messages *messages);

/* On each worker's thread, once the store may be asked. NULL is fine. */
void client_messages_on_second(struct client_messages *messages, const struct worker *worker);

#endif
