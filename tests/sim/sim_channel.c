/* A node subscribes to a user while it has sessions of his. Until that is confirmed the page of an
 * arrival waits. From the confirmation on messages come in order, after a while, or are lost. When
 * the link breaks the subscription ends; when it is back, and the subscription confirmed, the node
 * hears that it may have missed something. */
#include "gateway/requests/blocked.h"
#include "gateway/requests/push.h"
#include "tests/sim/sim.h"

#include <stdlib.h>

enum message_kind {
    MESSAGE_CONFIRMED,
    MESSAGE_ENDED,
    MESSAGE_EVENT,
    MESSAGE_QUESTION,
    MESSAGE_WATCH
};

struct message {
    struct list link;
    enum message_kind kind;
    struct inbox_event event; /* one reference */
    unsigned question;
    struct store_watch watch;
};

static struct sim_channel *channel_of(struct sim_node *node, unsigned user)
{
    return &node->channels[user];
}

static struct span id_of(const struct sim_node *node, unsigned user)
{
    return span_of(node->sim->users[user].id);
}

/* ---- subscribing ---- */

static void wish(struct sim_channel *channel)
{
    channel->is_wanted = true;
    channel->is_asking = true;
}

static void put_message(struct sim_channel *channel, struct message what)
{
    struct message *message = malloc(sizeof *message);
    *message = what;
    list_append(&channel->messages, &message->link);
}

static void drop_messages(struct sim_node *node, unsigned user)
{
    struct sim_channel *channel = channel_of(node, user);
    while (!list_is_empty(&channel->messages)) {
        struct message *message = CONTAINER_OF(channel->messages.next, struct message, link);
        list_remove(&message->link);
        if (message->kind == MESSAGE_EVENT) {
            sim_model_untold(node, id_of(node, user), message->event);
            inbox_event_unref(message->event);
        }
        free(message);
    }
}

static void end_subscription(struct sim_node *node, unsigned user)
{
    struct sim_channel *channel = channel_of(node, user);
    channel->is_asking = false;
    channel->is_subscribed = false;
    channel->is_confirmed = false;
    channel->behind = 0;
    drop_messages(node, user);
}

/* Asks for the pages that have waited for the confirmation. */
static void let_arrive(struct sim_node *node, struct sim_channel *channel)
{
    while (channel->arrivals != NULL) {
        struct store_request *page = channel->arrivals;
        channel->arrivals = page->next;
        page->next = NULL;
        sim_link_ask_page(node, page);
    }
}

void sim_channel_arrive(struct sim_node *node, unsigned user, struct store_request *page)
{
    struct sim_channel *channel = channel_of(node, user);
    bool is_away = sim_link_is_away(node, user);
    if (!channel->is_wanted)
        wish(channel);
    channel->is_missed |= is_away; /* this page may fail */
    channel->is_asking &= !is_away;
    if (channel->is_confirmed || is_away) {
        sim_link_ask_page(node, page);
        return;
    }
    if (channel->arrivals == NULL)
        channel->arrived_ms = node->sim->now_ms;
    struct store_request **last = &channel->arrivals;
    while (*last != NULL)
        last = &(*last)->next;
    *last = page;
}

void sim_channel_leave(struct sim_node *node, unsigned user)
{
    struct sim_channel *channel = channel_of(node, user);
    channel->is_wanted = false;
    channel->is_missed = false;
    end_subscription(node, user);
    let_arrive(node, channel); /* for sessions that are gone */
}

void sim_channel_break(struct sim_node *node, unsigned user)
{
    struct sim_channel *channel = channel_of(node, user);
    channel->is_missed = channel->is_wanted;
    end_subscription(node, user);
    let_arrive(node, channel); /* and fail */
}

void sim_channel_mend(struct sim_node *node, unsigned user)
{
    struct sim_channel *channel = channel_of(node, user);
    channel->is_asking = channel->is_wanted;
}

/* Messages that are on their way still come, and then this. */
void sim_channel_move(struct sim_node *node, unsigned user)
{
    struct sim_channel *channel = channel_of(node, user);
    if (!channel->is_subscribed)
        return;
    channel->is_subscribed = false;
    put_message(channel, (struct message){.kind = MESSAGE_ENDED});
}

void sim_channel_die(struct sim_node *node)
{
    for (unsigned user = 0; user < node->sim->plan.n_users; user++)
        sim_channel_leave(node, user);
}

bool sim_channel_is_subscribed(const struct sim_node *node, unsigned user)
{
    return node->channels[user].is_subscribed;
}

bool sim_channel_is_whole(const struct sim *sim, unsigned user)
{
    for (unsigned i = 0; i < sim->plan.n_nodes; i++) {
        const struct sim_channel *channel = &sim->nodes[i].channels[user];
        if (channel->is_wanted && (!channel->is_confirmed || channel->is_missed))
            return false;
    }
    return true;
}

unsigned sim_channel_count(const struct sim *sim, unsigned user)
{
    unsigned n = 0;
    for (unsigned i = 0; i < sim->plan.n_nodes; i++)
        n += sim->nodes[i].channels[user].is_subscribed;
    return n;
}

/* ---- publishing ---- */

/* While all is calm what has no number is not lost: nothing would tell of it. */
static bool is_lost(struct sim *sim, struct inbox_event event)
{
    if (event.kind != INBOX_NOTIFICATION || (sim->is_calm && event.note->seq == 0))
        return false;
    return sim_chance(sim, sim->plan.lost_per_mille);
}

unsigned sim_channel_publish(struct sim *sim, unsigned user, struct inbox_event event)
{
    for (unsigned i = 0; i < sim->plan.n_nodes; i++) {
        struct sim_node *node = &sim->nodes[i];
        if (!node->channels[user].is_subscribed)
            sim_model_untold(node, id_of(node, user), event);
        else if (is_lost(sim, event))
            sim_model_lost(node, id_of(node, user), event);
        else
            put_message(&node->channels[user],
                        (struct message){.kind = MESSAGE_EVENT, .event = inbox_event_ref(event)});
    }
    return sim_channel_count(sim, user);
}

unsigned sim_channel_publish_ask(struct sim *sim, unsigned user, unsigned number)
{
    for (unsigned i = 0; i < sim->plan.n_nodes; i++) {
        struct sim_channel *channel = &sim->nodes[i].channels[user];
        if (channel->is_subscribed && !sim_chance(sim, sim->plan.lost_per_mille))
            put_message(channel, (struct message){.kind = MESSAGE_QUESTION, .question = number});
    }
    return sim_channel_count(sim, user);
}

void sim_channel_tell(struct sim_node *node, unsigned user, const struct store_watch *watch)
{
    struct sim_channel *channel = channel_of(node, user);
    if (channel->is_subscribed)
        put_message(channel, (struct message){.kind = MESSAGE_WATCH, .watch = *watch});
}

/* ---- hearing ---- */

static void tell_missed(struct sim_node *node, unsigned user)
{
    node->channels[user].is_missed = false;
    node->sim->totals.missed_reports++;
    sim_trace(node->sim, "node %u may have missed something of user %u", node->index, user);
    sim_node_begin(node, id_of(node, user));
    push_on_missed(&node->node, id_of(node, user), true);
    sim_node_end(node);
}

static void on_confirmed(struct sim_node *node, unsigned user)
{
    struct sim_channel *channel = channel_of(node, user);
    channel->is_confirmed = true;
    node->sim->totals.subscriptions++;
    let_arrive(node, channel);
    if (channel->is_missed)
        tell_missed(node, user);
}

static void on_ended(struct sim_channel *channel)
{
    channel->is_confirmed = false;
    channel->is_missed = true;
    channel->is_asking = true;
    channel->behind = 0;
}

/* The node may leave the user meanwhile, which ends the subscription. */
static void hear_message(struct sim_node *node, unsigned user, struct message message)
{
    if (message.kind == MESSAGE_CONFIRMED) {
        on_confirmed(node, user);
    } else if (message.kind == MESSAGE_ENDED) {
        on_ended(channel_of(node, user));
    } else if (message.kind == MESSAGE_QUESTION) {
        sim_ask_hear(node, message.question);
    } else if (message.kind == MESSAGE_WATCH) {
        sim_watch_hear(node, user, &message.watch);
    } else {
        sim_node_begin(node, id_of(node, user));
        push_on_inbox_event(&node->node, id_of(node, user), message.event);
        sim_node_end(node);
        inbox_event_unref(message.event);
    }
}

/* Who cannot be subscribed for so long does not wait any more. */
static void refuse_late(struct sim_node *node, unsigned user)
{
    enum { WISH_MS = 3000 };
    struct sim_channel *channel = channel_of(node, user);
    if (node->sim->now_ms - channel->arrived_ms < WISH_MS)
        return;
    while (channel->arrivals != NULL) {
        struct store_request *page = channel->arrivals;
        channel->arrivals = page->next;
        page->next = NULL;
        channel->is_missed = true;
        sim_link_refuse_page(node, page);
    }
}

static void turn_channel(struct sim_node *node, unsigned user, bool may_stop_early)
{
    struct sim *sim = node->sim;
    struct sim_channel *channel = channel_of(node, user);
    refuse_late(node, user);
    if (channel->is_asking && !sim->users[user].is_moving &&
        !(may_stop_early && sim_chance(sim, 300))) {
        channel->is_asking = false;
        channel->is_subscribed = true;
        put_message(channel, (struct message){.kind = MESSAGE_CONFIRMED});
    }
    while (!list_is_empty(&channel->messages) && !(may_stop_early && sim_chance(sim, 200))) {
        struct message *first = CONTAINER_OF(channel->messages.next, struct message, link);
        struct message message = *first;
        list_remove(&first->link);
        free(first);
        hear_message(node, user, message);
    }
}

void sim_channel_turn(struct sim_node *node, bool may_stop_early)
{
    for (unsigned user = 0; user < node->sim->plan.n_users; user++)
        turn_channel(node, user, may_stop_early);
}

/* ---- comparing heads ---- */

/* Does the node know what the store has lost? */
static bool is_lost_there(const struct sim_user *user, const struct store_known *known)
{
    bool is_given_again = known->head > 0 && known->head == user->head && known->time != 0 &&
                          known->time != store_time(user->entries[user->head - 1].time_ms);
    return !epoch_is_none(known->epoch) &&
           (!epoch_equal(known->epoch, user->epoch) || user->head < known->head || is_given_again);
}

/* A head that is higher than the node knows, and that it does not know at the next look either, is
 * reported; what was lost, at once. */
static bool must_be_told(const struct sim_user *user, struct sim_channel *channel,
                         const struct store_known *known)
{
    bool is_behind = channel->behind > 0 && known->head < channel->behind;
    channel->behind = !is_behind && user->head > known->head ? user->head : 0;
    return is_behind || is_lost_there(user, known);
}

void sim_channel_compare(struct sim_node *node, unsigned user)
{
    struct sim *sim = node->sim;
    struct sim_channel *channel = channel_of(node, user);
    struct store_known known;
    if (!channel->is_wanted || !channel->is_confirmed || channel->is_missed ||
        sim_link_is_away(node, user) || sim->users[user].is_moving)
        return;
    push_get_known(&node->node, id_of(node, user), &known);
    if (must_be_told(&sim->users[user], channel, &known)) {
        sim->totals.heads_behind++;
        tell_missed(node, user);
    }
    if (sim_store_peek(sim, user).blocked_until_ms != 0 && channel->is_wanted) {
        sim->totals.blocked_found++;
        sim_node_begin(node, id_of(node, user));
        blocked_on_found(&node->node, id_of(node, user));
        sim_node_end(node);
    }
}

void sim_channel_init(struct sim_node *node)
{
    for (unsigned user = 0; user < SIM_USERS_MAX; user++)
        list_init(&node->channels[user].messages);
}
