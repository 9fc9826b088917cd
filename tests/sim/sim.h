/* A seeded simulation of the delivery path: the real sessions, delivery, replay, positions, client
 * map, router, connections and reactors, on the memory store without its thread and on a clock of
 * its own. One thread, one seed: one run, always the same. Half of the seeds have one node with a
 * local store, the others a fleet of two or three nodes that share one.
 *
 *   sim_main.c   seeds, totals, and the proof that every fault really happened
 *   sim_run.c    one run: what happens when, then the settling in which all must come right
 *   sim_faults.c what fails, for how long
 *   sim_node.c   the gateway without threads: workers, sessions, pushes, crash, drain
 *   sim_requests.c  what is asked of a node: pushes, withdrawals, kicks
 *   sim_store.c  what the nodes share: the store, and what it reports
 *   sim_link.c   between a node and the store: holds requests back, loses them in a crash, and
 *                shows every answer to the model
 *   sim_channel.c  a node's subscription to a user: messages come late, or not at all
 *   sim_ask.c    questions between nodes
 *   sim_memory.c allocations of the node that fail
 *   sim_tab.c    the client's end of a connection, and how it misbehaves
 *   sim_v1.c     what a herald.v1 client reads and says
 *   sim_frame.c  WebSocket frames as a client writes and reads them
 *   sim_model.c  what CONTRACT 5 promises, and the checks
 *   sim_fleet.c  the part of it that is about several nodes: blocks, kicks, ttl 0
 *   sim_positions.c  the part of it that is about positions and devices */
#ifndef HERALD_TESTS_SIM_H
#define HERALD_TESTS_SIM_H

#include "gateway/gateway.h"
#include "gateway/session/session.h"
#include "gateway/store/store_backend.h"
#include "gateway/stores/stores.h"

#include <stdint.h>
#include <stdio.h>

enum {
    SIM_USERS_MAX = 4,
    SIM_NODES_MAX = 3,
    SIM_WORKERS_MAX = 3,
    SIM_PLACES = 3,
    SIM_PUSHES_MAX = 2048,
    SIM_DATA_MAX_BYTES = 6000,
    SIM_NUMBERS_MAX = SIM_PUSHES_MAX,
};

/* ---- the model ---- */

enum sim_fate { SIM_WAITING, SIM_ACKED, SIM_OVERFLOW, SIM_CANCELLED, SIM_COLLAPSED };

/* One accepted notification of a user. */
struct sim_entry {
    uint32_t push;
    uint32_t bytes;
    int64_t expires_ms;
    enum sim_fate fate;
    bool was_had;          /* a client has received all of it */
    bool was_acked;        /* a client that had it has sent what acknowledges it */
    uint8_t unreported;    /* nodes, by bit, that could not hear that it was withdrawn */
    bool was_asked_of_all; /* every node with sessions was asked whether it has shown it */
    bool is_unwritten;     /* it was withdrawn, and every node said that it had not shown it */
    uint64_t position;     /* of the user in the store when it was kept, as reported to the node */
};

/* A position in the store: of the sessions without a device (0), or of a device. */
struct sim_place {
    uint64_t stored;
    bool is_known; /* the store has this device */
};

/* The same in a node, as long as it has such sessions of the user. */
struct sim_presence {
    uint64_t position; /* in the node it is at most this */
    uint64_t best;     /* the highest that a session of this presence may have acknowledged */
    uint64_t said;     /* the highest that one certainly has */
    bool has_failed;   /* it could not be written in this presence */
};

struct sim_user {
    char id[32];
    struct epoch epoch;
    uint64_t head;
    uint64_t reported;               /* on_inbox_event has reported up to here */
    uint64_t stored;                 /* the store's position */
    uint64_t highest[SIM_NODES_MAX]; /* that a position may have been, since the node began */
    struct sim_place places[SIM_PLACES];
    struct sim_presence presences[SIM_NODES_MAX][SIM_PLACES];
    int64_t blocked_until_ms;
    bool was_kicked;  /* since then, and that was answered */
    bool has_merged;  /* some of its causes may have become `unknown` */
    uint64_t *resume; /* the numbers that a herald.v1 client had, to resume after the last */
    uint32_t n_resume;
    struct sim_entry entries[SIM_NUMBERS_MAX]; /* of the number i + 1 */
};

struct sim_push {
    struct gateway_push push;
    struct gateway_target targets[SIM_USERS_MAX];
    unsigned users[SIM_USERS_MAX]; /* of the targets */
    uint64_t seqs[SIM_USERS_MAX];  /* by user; 0: not accepted, or ttl 0 */
    unsigned n_asked;
    unsigned n_answers;
    bool may_repeat;  /* ttl 0: the node does not know whether it was sent */
    bool was_refused; /* the last time, for one user at least */
    char collapse_key[8];
    char idempotency_key[16];
    struct sim_node *node; /* that was asked last */
};

/* ---- the client's end of one connection ---- */

enum { SIM_IN_MAX_BYTES = 32768, SIM_OUT_MAX_BYTES = 512 };

enum sim_pace { SIM_FAST, SIM_MEDIUM, SIM_SLOW, SIM_STUCK };

struct sim_tab {
    struct list link;
    struct sim *sim;
    struct sim_node *node;
    struct letter letter; /* the socket on its way to the session */
    unsigned number;
    unsigned user;
    unsigned place;          /* 0: without a device */
    int fd;                  /* -1: closed */
    int server_fd;           /* -1: the session has it, or has closed it */
    struct session *session; /* NULL: not entered yet, or left */
    bool is_entering;        /* the letter is under way */
    bool is_open;            /* the 101 was read */
    bool is_silent;          /* answers no pings */
    bool is_dribbling;       /* writes a few bytes at a time */
    bool was_healed;         /* behaves until the end */
    bool has_said_goodbye;   /* its own close frame is sent */
    bool has_closed;         /* the server's close frame has come */
    bool is_v1;
    bool is_lazy;    /* herald.v1: acknowledges nothing */
    bool is_lost;    /* it resumes after a number that the server cannot know */
    bool must_reset; /* the reset was not reported to it yet */
    bool has_hello;
    unsigned kick;      /* the question that must close it; 0: none */
    uint32_t ephemeral; /* 1 + the push with ttl 0 that must have come; 0: none */
    enum sim_pace pace;
    struct resume resume;
    struct epoch epoch;
    uint64_t after;     /* where it resumes; 0: it does not */
    uint64_t tail;      /* herald.v1: the last number that it knows of */
    uint64_t start_max; /* at most here the session starts */
    uint64_t acked_max; /* at most this the server can know as acknowledged by it */
    uint64_t last_seq;  /* the last number that it has had; 0: none */
    uint64_t covered;   /* by the pings that it has read */
    uint64_t ponged;    /* by the pongs that it has written */
    uint32_t n_had;
    uint32_t n_covered; /* of had: those before the last ping */
    uint32_t n_ponged;  /* of had: those that it has acknowledged */
    bool has_pong_due;
    bool is_writing_ack; /* what it writes acknowledges `covered` */
    uint8_t n_pong;
    uint8_t pong[125];
    size_t n_in;
    size_t n_out;
    uint64_t *had;          /* numbers, in the order they came; SIM_NUMBERS_MAX */
    uint8_t *had_ephemeral; /* by push */
    uint8_t *hidden;        /* by number: a cancel was reported for it */
    uint8_t out[SIM_OUT_MAX_BYTES];
    uint8_t in[SIM_IN_MAX_BYTES];
};

/* ---- one run ---- */

struct sim_totals {
    uint64_t pushed, accepted, refused, stored, ephemeral, ephemeral_had;
    uint64_t had, repeated, acked, expired, overflow, cancelled, collapsed, duplicates, repeats;
    uint64_t v1_tabs, lazy_tabs, resumed, resets, hidden_told, gap_numbers[256];
    uint64_t connects, drops, goodbyes, torn_writes, silent_tabs, stuck_tabs, slow_tabs, kicks;
    uint64_t asked_cancels, asked_purges;
    uint64_t crashes, drains, fulls, aways, late_stores, late_workers, hidden, lost_requests,
        failed_acks, crash_lost_acks, lost_messages, heads_behind;
    uint64_t calms, devices, pages_at_once;
    uint64_t fleets, subscriptions, missed_reports, late_answers, links_away, blocks, blocked_found;
    uint64_t questions, answers_missing, asked_alone, sent, sent_in_calm, closed_by_kick, unwritten;
    uint64_t shortages, failed_allocations, not_entered;
    uint64_t shared_users; /* a notification came to a user with several sessions */
};

/* Drawn from the seed. */
struct sim_plan {
    unsigned n_nodes;
    unsigned n_users;
    unsigned n_workers;
    unsigned n_steps;
    unsigned tabs_max; /* at once, of a user */
    unsigned send_buffer;
    unsigned pages_at_once;
    unsigned push_per_mille, connect_per_mille, drop_per_mille, kick_per_mille;
    unsigned full_per_mille, away_per_mille, stall_per_mille, crash_per_mille, drain_per_mille,
        short_per_mille, link_per_mille;
    unsigned idle_per_mille;
    unsigned bad_tab_per_mille, v1_per_mille, device_per_mille, burst_per_mille, big_per_mille,
        short_ttl_per_mille, ephemeral_per_mille;
    unsigned collapse_per_mille, key_per_mille, cancel_per_mille;
    unsigned lost_per_mille; /* of what the store reports */
    unsigned mute_per_mille; /* of answers to questions */
};

struct sim_store; /* sim_store.c */
struct sim_link;  /* sim_link.c */

/* A node's subscription to a user. */
struct sim_channel {
    bool is_wanted;
    bool is_asking;     /* the store has not heard of it yet */
    bool is_subscribed; /* in the store: what is published is on its way */
    bool is_confirmed;  /* the node knows */
    bool is_missed;     /* the node must hear that something may be missing */
    uint64_t behind;    /* the head that the node did not know when it was last compared; 0: none */
    struct list messages;
    struct store_request *arrivals; /* pages that wait for the confirmation */
};

/* One node of the fleet. */
struct sim_node {
    struct sim *sim;
    unsigned index;
    struct node node;
    struct worker *workers[SIM_WORKERS_MAX];
    struct sim_link *link;
    struct sim_channel channels[SIM_USERS_MAX];
    int64_t wall_ahead_ms; /* of the store's clock */
    int64_t compared_ms;   /* when the heads were compared last */
    bool is_store_back;    /* the sessions must hear of it */
};

struct sim {
    uint64_t seed;
    uint64_t random;
    uint64_t trace; /* a hash of everything that happened */
    bool is_tracing;
    unsigned step;
    int64_t now_ms; /* since the run began */
    struct sim_plan plan;
    struct options options;
    struct sim_node nodes[SIM_NODES_MAX];
    struct sim_node *here; /* whose code runs; NULL: none's */
    struct sim_store *store;
    struct list tabs;
    unsigned n_tabs;
    struct list asks; /* questions of nodes, and the answers on their way */
    struct list answers;
    unsigned n_asks;
    bool is_calm;               /* nothing fails, until what must arrive has arrived */
    unsigned failing_per_mille; /* of the nodes' allocations; 0: there is memory */
    struct sim_user users[SIM_USERS_MAX];
    unsigned n_pushes;
    struct sim_push pushes[SIM_PUSHES_MAX];
    struct sim_totals totals;
};

/* sim_main.c. Ends the program and says how to see the run again. */
_Noreturn void sim_fail(const struct sim *sim, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void sim_trace(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
uint64_t sim_random(struct sim *sim);
uint64_t sim_below(struct sim *sim, uint64_t end);
bool sim_chance(struct sim *sim, unsigned per_mille);
int64_t sim_wall_ms(const struct sim *sim);

/* sim_run.c. Frees nothing of the struct itself. */
void sim_run(struct sim *sim);
void sim_step(struct sim *sim, bool is_smooth, unsigned late_worker, bool is_store_late);
unsigned sim_one_of(struct sim *sim, unsigned a, unsigned b, unsigned c);

/* sim_faults.c. Each lasts until its step. */
struct sim_faults {
    unsigned full_until;
    unsigned away_until;
    unsigned link_until;
    unsigned late_store_until;
    unsigned late_worker_until;
    unsigned late_worker;
    unsigned short_until;
    uint64_t n_failed; /* allocations, until the last step */
    unsigned drained_at[SIM_NODES_MAX];
};
void sim_faults_come(struct sim *sim, struct sim_faults *faults);
void sim_faults_end(struct sim *sim, struct sim_faults *faults); /* all but a drain */
void sim_restart(struct sim_node *node);

/* sim_node.c */
void sim_node_start(struct sim_node *node);
void sim_node_turn(struct sim_node *node, unsigned skip_per_mille, unsigned late_worker);
void sim_node_crash(struct sim_node *node); /* the node is gone; the store stays */
void sim_node_drain(struct sim_node *node);
bool sim_node_is_draining(const struct sim_node *node);
void sim_node_enter(struct sim_tab *tab); /* its socket goes to the user's home worker */
struct sim_node *sim_node_any(struct sim *sim);
struct sim_node *sim_node_of(const struct node *node);
/* Between these two the node's code runs. `user_id`: on the thread of the user's home, or with a
 * local store also on another one; empty: on none. */
void sim_node_begin(struct sim_node *node, struct span user_id);
void sim_node_end(struct sim_node *node);

/* sim_requests.c */
void sim_push_new(struct sim *sim, uint32_t ttl_s, size_t n_pad);
void sim_push_again(struct sim *sim, uint32_t number); /* with its idempotency key */
void sim_push_to(struct sim *sim, unsigned user);      /* with ttl 0, in a calm */
void sim_kick(struct sim *sim, unsigned user);
void sim_cancel(struct sim *sim, unsigned user, uint64_t seq);
void sim_purge(struct sim *sim, unsigned user);

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
void sim_link_set_away(struct sim_node *node, bool is_away);
bool sim_link_is_away(const struct sim_node *node);
/* The node dies: what is under way is lost, or was just carried out. */
void sim_link_die(struct sim_node *node);
size_t sim_link_lose(struct sim_node *node); /* answers what was lost, with errors; how many */
void sim_link_revive(struct sim_node *node);
bool sim_link_is_dead(const struct sim_node *node);
void sim_link_ask_page(struct sim_node *node, struct store_request *page); /* of an arrival */
/* The highest that any node has asked for; 0: none. */
uint64_t sim_link_ack_under_way(struct sim *sim, unsigned user);

/* sim_channel.c: of a shared store. */
void sim_channel_init(struct sim_node *node);
void sim_channel_arrive(struct sim_node *node, unsigned user, struct store_request *page);
void sim_channel_leave(struct sim_node *node, unsigned user);
void sim_channel_break(struct sim_node *node, unsigned user);
void sim_channel_mend(struct sim_node *node, unsigned user);
void sim_channel_die(struct sim_node *node);
void sim_channel_turn(struct sim_node *node, bool may_stop_early);
void sim_channel_compare(struct sim_node *node, unsigned user);
bool sim_channel_is_subscribed(const struct sim_node *node, unsigned user);
unsigned sim_channel_count(const struct sim *sim, unsigned user); /* nodes that are */
/* Is every node that has sessions of his, and has missed nothing? */
bool sim_channel_is_whole(const struct sim *sim, unsigned user);
/* To every node that is subscribed; answer how many these are. */
unsigned sim_channel_publish(struct sim *sim, unsigned user, struct inbox_event event);
unsigned sim_channel_publish_ask(struct sim *sim, unsigned user, unsigned number);

/* sim_ask.c: of a shared store. */
void sim_ask_begin(struct sim_node *node, struct store_ask *ask);
void sim_ask_turn(struct sim *sim);
void sim_ask_hear(struct sim_node *node, unsigned number); /* on the user's channel */
size_t sim_ask_lose(struct sim_node *node);                /* of a node that dies */

/* sim_memory.c. Around what a node does: between them allocations fail. */
void sim_memory_scarce(struct sim *sim);
void sim_memory_plenty(void);

/* sim_tab.c */
void sim_tab_connect(struct sim *sim, unsigned user, unsigned place, bool is_good);
void sim_tab_act(struct sim_tab *tab); /* writes, reads, drops; may free it */
void sim_tab_heal(struct sim_tab *tab);
void sim_tab_drop(struct sim_tab *tab); /* may free it */
void sim_tab_free_if_over(struct sim_tab *tab);
struct sim_tab *sim_tab_of(struct sim *sim, const struct session *session);

/* sim_frame.c. What stands at the start of the bytes; 0: not all of it yet. */
struct sim_frame {
    unsigned opcode;
    struct span payload;
};
size_t sim_frame_read(struct sim *sim, const uint8_t *bytes, size_t len, struct sim_frame *ret);
/* A whole masked frame; answers its length. */
size_t sim_frame_write(struct sim *sim, unsigned opcode, struct span payload,
                       uint8_t out[SIM_OUT_MAX_BYTES]);

/* sim_v1.c */
void sim_v1_read(struct sim_tab *tab, struct span text);
bool sim_v1_has_ack(const struct sim_tab *tab);
size_t sim_v1_ack(struct sim_tab *tab, char *out, size_t cap);
void sim_v1_remember(struct sim_tab *tab);
void sim_v1_resume(struct sim_tab *tab);

/* sim_model.c */
bool sim_model_is_waiting(const struct sim *sim, const struct sim_user *user, uint64_t seq);
uint64_t sim_model_count_waiting(const struct sim *sim, const struct sim_user *user);
struct sim_push *sim_model_push(struct sim *sim, struct payload *payload);
struct sim_user *sim_model_user(struct sim *sim, struct span user_id);
/* What the store reported and answered. */
void sim_model_told(struct sim *sim, struct span user_id, struct inbox_event event);
/* But this node does not hear it. */
void sim_model_untold(struct sim_node *node, struct span user_id, struct inbox_event event);
void sim_model_appended(struct sim_node *node, const struct store_append *append);
void sim_model_acking(struct sim_node *node, const struct store_ack *ack);
void sim_model_failed(struct sim_node *node, const struct store_ack *ack);
void sim_model_acked(struct sim_node *node, const struct store_ack *ack);
void sim_model_looked(struct sim *sim, const struct store_look *look);
void sim_model_withdrawn(struct sim *sim, const struct store_withdraw *withdraw);
void sim_model_paged(struct sim *sim, const struct store_page *page);
void sim_model_known(struct sim_node *node, struct sim_user *user,
                     const struct store_append *append, const struct store_target *target);
void sim_model_move_stored(struct sim *sim, struct sim_user *user, uint64_t position);
struct span sim_device_name(unsigned place);
/* What the node does with its sessions. */
void sim_model_entered(struct sim_tab *tab);
void sim_model_session_acked(struct sim_tab *tab, uint64_t acked);
void sim_model_left(struct sim_tab *tab);
void sim_model_check_written(struct sim_tab *tab); /* after the last has left */
void sim_model_ran_short(struct sim *sim);         /* an allocation failed */
void sim_model_crashed(struct sim_node *node);
unsigned sim_model_online(struct sim_node *node, unsigned user);
/* What a client has seen and said. */
void sim_model_had(struct sim_tab *tab, struct span data);
void sim_model_covered(struct sim_tab *tab, uint64_t number);
void sim_model_ponged(struct sim_tab *tab);
void sim_model_gap(struct sim_tab *tab, uint64_t seq, enum gap_cause cause);
void sim_model_hidden(struct sim_tab *tab, uint64_t seq);
void sim_model_resumed(struct sim_tab *tab, const uint64_t *had, uint32_t n_had);
/* The inbox is what it must be, and the same as the store's. */
void sim_model_compare(struct sim *sim);
void sim_model_check_calm(struct sim *sim);
void sim_model_check_end(struct sim *sim);
void sim_model_check_answers(struct sim *sim);

/* sim_fleet.c */
void sim_fleet_blocked(struct sim *sim, const struct store_block *block);
void sim_fleet_check_page(struct sim *sim, const struct store_page *page);
void sim_fleet_answered(struct sim *sim, const struct gateway_kick *kick);
/* A question is on its way to the nodes that are subscribed: those sessions of the user there that
 * have begun must be closed when all of them have answered a kick. */
void sim_fleet_kicking(struct sim *sim, unsigned user, unsigned number);
void sim_fleet_kicked(struct sim *sim, unsigned number);
void sim_fleet_asking(struct sim *sim, unsigned user, uint64_t seq); /* who has shown it */
void sim_fleet_cancelled(struct sim *sim, const struct gateway_cancel *cancel);
void sim_fleet_send_to_all(struct sim *sim); /* in a calm */
void sim_fleet_check_calm(struct sim *sim);

#endif
