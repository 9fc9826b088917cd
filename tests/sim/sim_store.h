/* The store that the nodes share, and what lies between it and each of them; a part of sim.h. */
#ifndef HERALD_TESTS_SIM_STORE_H
#define HERALD_TESTS_SIM_STORE_H

#include "gateway/store/store_backend.h"

struct sim;
struct sim_node;
struct sim_tab;
struct sim_push;
struct sim_link;

/* sim_store.c */
void sim_store_open(struct sim *sim);
void sim_store_close(struct sim *sim);
bool sim_store_is_shared(const struct sim *sim);
void sim_store_set_full(struct sim *sim, bool is_full);
struct store_peek sim_store_peek(struct sim *sim, unsigned user);
void sim_store_submit(struct sim *sim, struct store_request *request, enum store_op op);
void sim_store_turn(struct sim *sim);
bool sim_store_page_at_once(struct sim *sim, struct store_page *page);
void sim_store_ask(struct sim *sim, struct store_ask *ask);
/* As a shared store does once a minute, here more often: whose head is not what the node knows may
 * have missed something. Where no message is lost it is not needed, so it is left out. */
bool sim_store_compares(const struct sim *sim);
void sim_store_compare_heads(struct sim_node *node);

/* sim_link.c. All that was asked for and not answered is under way. */
void sim_link_open(struct sim_node *node);
void sim_link_close(struct sim_node *node);
struct store *sim_link_store(struct sim_node *node);
void sim_link_turn(struct sim_node *node, bool may_stop_early);
/* Like a store whose connection breaks: requests fail, appends that were kept may seem to, and the
 * node hears of no notification until the store is back. */
void sim_link_set_away(struct sim_node *node, unsigned part, enum sim_away why, bool is_away);
bool sim_link_is_away(const struct sim_node *node, unsigned user);
/* The node dies: what is under way is lost, or was just carried out. */
void sim_link_die(struct sim_node *node);
size_t sim_link_lose(struct sim_node *node); /* answers what was lost, with errors; how many */
void sim_link_revive(struct sim_node *node);
bool sim_link_is_dead(const struct sim_node *node);
void sim_link_ask_page(struct sim_node *node, struct store_request *page); /* of an arrival */
void sim_link_refuse_page(struct sim_node *node, struct store_request *page);
bool sim_link_has_asked(const struct sim_node *node, unsigned user); /* and it waits here */
/* The highest that any node has asked for; 0: none. */
uint64_t sim_link_ack_under_way(struct sim *sim, unsigned user);

/* sim_request.c: those of one user. */
struct span *sim_request_user(struct store_request *request, enum store_op op);
void sim_request_fail(struct store_request *request, enum store_op op);
void sim_request_show(struct sim_node *node, struct store_request *request, enum store_op op);
/* One for each target; the whole is done when they are. */
void sim_request_split(struct store_request *request, enum store_op op, struct sim_link *link,
                       void (*take)(struct sim_link *link, struct store_request *piece,
                                    enum store_op op));

/* sim_loss.c: of a shared store. */
void sim_loss_record(struct sim *sim, unsigned user, const struct store_request *request,
                     enum store_op op);
void sim_loss_end(struct sim *sim);
/* The last writes of a user are lost; nothing of his is under way. */
void sim_loss_roll_back(struct sim *sim, unsigned user);
/* Does this request say so? Then a new epoch must begin before it is carried out. */
bool sim_loss_is_seen(const struct sim *sim, unsigned user, struct store_request *request,
                      enum store_op op);
void sim_loss_begin_epoch(struct sim *sim, unsigned user, struct store_request *request,
                          enum store_op op);
/* Of a tab that is doomed: is this push the same for it as for the store? */
bool sim_loss_is_kept(const struct sim_tab *tab, uint32_t number);
void sim_loss_check_calm(const struct sim_tab *tab);

/* sim_channel.c: of a shared store. */
void sim_channel_init(struct sim_node *node);
void sim_channel_arrive(struct sim_node *node, unsigned user, struct store_request *page);
void sim_channel_leave(struct sim_node *node, unsigned user);
void sim_channel_break(struct sim_node *node, unsigned user);
void sim_channel_mend(struct sim_node *node, unsigned user);
void sim_channel_move(struct sim_node *node, unsigned user); /* the store ends it */
void sim_channel_die(struct sim_node *node);
void sim_channel_turn(struct sim_node *node, bool may_stop_early);
void sim_channel_compare(struct sim_node *node, unsigned user);
bool sim_channel_is_subscribed(const struct sim_node *node, unsigned user);
unsigned sim_channel_count(const struct sim *sim, unsigned user); /* nodes that are */
/* Is every node that has sessions of his, and has missed nothing? */
bool sim_channel_is_whole(const struct sim *sim, unsigned user);
void sim_channel_tell(struct sim_node *node, unsigned user, const struct store_watch *watch);
/* To every node that is subscribed; answer how many these are. */
unsigned sim_channel_publish(struct sim *sim, unsigned user, struct inbox_event event);
unsigned sim_channel_publish_ask(struct sim *sim, unsigned user, unsigned number);

/* sim_watch.c: of a shared store, but for the checks. */
void sim_watch_send(struct sim_node *node, unsigned user, const struct store_watch *watch);
void sim_watch_hear(struct sim_node *node, unsigned user, const struct store_watch *watch);
void sim_watch_answer(struct sim_node *node, unsigned user, const struct store_watch *watch,
                      uint64_t acked);
void sim_watch_turn(struct sim *sim);
void sim_watch_end(struct sim *sim);
void sim_watch_check(struct sim *sim, const struct sim_push *waited); /* it was answered */
void sim_watch_check_calm(struct sim *sim);

/* sim_ask.c: of a shared store. */
void sim_ask_begin(struct sim_node *node, struct store_ask *ask);
void sim_ask_turn(struct sim *sim);
void sim_ask_hear(struct sim_node *node, unsigned number); /* on the user's channel */
size_t sim_ask_lose(struct sim_node *node);                /* of a node that dies */

#endif
