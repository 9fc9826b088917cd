/* One request each, carried out on the index; what changes goes into the group. For local_core.c.
 */
#ifndef HERALD_STORE_LOCAL_APPLY_H
#define HERALD_STORE_LOCAL_APPLY_H

#include "gateway/store/store_event_request.h"
#include "gateway/stores/local/local_state.h"

void local_apply_append(struct local_state *state, struct store_append *append);
void local_apply_page(struct local_state *state, struct store_page *page);
/* Answers it if nothing waits for the user and nothing has to be changed (store_page_at_once); only
 * between two turns. */
MUST_CHECK bool local_page_at_once(const struct local_state *state, struct store_page *page);
void local_apply_ack(struct local_state *state, struct store_ack *ack);
void local_apply_peek(struct local_state *state, struct store_peek *peek);
void local_apply_look(struct local_state *state, struct store_look *look);
void local_apply_withdraw(struct local_state *state, struct store_withdraw *withdraw);
void local_apply_block(struct local_state *state, struct store_block *block);
void local_apply_ticket_give(struct local_state *state, struct store_ticket_give *give);
void local_apply_ticket_take(struct local_state *state, struct store_ticket_take *take);

/* store_event_request.h */
void local_apply_event_append(struct local_state *state, struct store_event_append *append);
void local_apply_consumers(struct local_state *state, struct store_consumers *asked);
void local_apply_presence(struct local_state *state, struct store_presence *presence);
void local_apply_present(struct local_state *state, struct store_present *asked);
void local_apply_serve(struct local_state *state, struct store_serve *serve);
void local_apply_alert_end(struct local_state *state, struct store_alert_end *end);

/* A page whose group was not committed shows nothing. */
void local_page_fail(struct store_page *page, enum err error);

/* Forgets the keys, blocks and tickets whose time is over; visits a slice of the users, so that
 * each is visited about once a minute: drops what has expired, forgets devices and users that
 * gave no sign of life for long. So for the partitions of the event log, each second. */
void local_apply_sweep(struct local_state *state);

#endif
