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
 *   sim_link.c   between a node and the store: holds requests back, and shows every answer to the
 *                model; sim_link_ends.c breaks it
 *   sim_request.c  the kinds of requests
 *   sim_loss.c   a store that has lost its last writes
 *   sim_channel.c  a node's subscription to a user: messages come late, or not at all
 *   sim_ask.c    questions between nodes
 *   sim_watch.c  pushes that wait, and nodes that tell each other
 *   sim_memory.c allocations of the node that fail
 *   sim_tab.c    the client's end of a connection, and how it misbehaves
 *   sim_v1.c     what a herald.v1 client reads and says
 *   sim_frame.c  WebSocket frames as a client writes and reads them
 *   sim_model.c  what CONTRACT 5 promises, and the checks
 *   sim_gaps.c   the part of it that is about gaps
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
    SIM_PARTS = 2, /* of a shared store, which are away one by one; each has its users */
    SIM_ALL_PARTS = SIM_PARTS,
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
    int64_t time_ms; /* when it was given */
    int64_t expires_ms;
    int64_t left_ms; /* when it got its fate */
    enum sim_fate fate;
    bool had_left;         /* before the store lost that */
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
    char store_id[40];  /* in the store behind sim_link.c */
    struct list writes; /* sim_loss.c */
    unsigned n_losses;  /* and new epochs */
    bool is_moving;     /* his slot: nothing is done for him, and nothing fails */
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
    unsigned users[SIM_USERS_MAX];    /* of the targets */
    uint64_t seqs[SIM_USERS_MAX];     /* by user; 0: not accepted, or ttl 0 */
    unsigned n_losses[SIM_USERS_MAX]; /* of the user, when it was numbered */
    unsigned n_asked;
    unsigned n_answers;
    bool may_repeat;  /* ttl 0: the node does not know whether it was sent */
    bool was_refused; /* the last time, for one user at least */
    char collapse_key[8];
    char idempotency_key[16];
    struct sim_node *node; /* that was asked last */
    int64_t asked_ms;      /* then */
    uint64_t n_failed;     /* allocations, then */
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
    bool may_show;      /* something that was replaced, and it could not hear of that */
    bool is_doomed;     /* its node knows numbers that the store has lost */
    uint64_t common;    /* up to here they are those of the store */
    uint32_t doomed_at; /* pushes from this one on were made later */
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
    uint64_t waited, waited_gone, waited_delivered, watches, watch_answers;
    uint64_t moves, moved_too_long, parts_away, losses, lost_writes, epochs, doomed;
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
        short_per_mille, link_per_mille, part_per_mille, move_per_mille;
    bool may_lose; /* what a part has written last, when it goes */
    unsigned idle_per_mille;
    unsigned bad_tab_per_mille, v1_per_mille, device_per_mille, burst_per_mille, big_per_mille,
        short_ttl_per_mille, ephemeral_per_mille;
    unsigned collapse_per_mille, key_per_mille, cancel_per_mille;
    unsigned lost_per_mille; /* of what the store reports */
    unsigned mute_per_mille; /* of answers to questions */
    unsigned wait_per_mille; /* of pushes */
};

struct sim_store; /* sim_store.c */
struct sim_link;  /* sim_link.c */

enum sim_away { SIM_AWAY_ALL = 1, SIM_AWAY_LINK = 2, SIM_AWAY_PART = 4 };

/* A node's subscription to a user, and whether the store is there for him. */
struct sim_channel {
    bool is_wanted;
    bool is_asking;     /* the store has not heard of it yet */
    bool is_subscribed; /* in the store: what is published is on its way */
    bool is_confirmed;  /* the node knows */
    bool is_missed;     /* the node must hear that something may be missing */
    uint8_t away;       /* enum sim_away: why requests fail and nothing is heard */
    int64_t arrived_ms; /* the first of the arrivals */
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
    int64_t behind_ms;     /* of the store's clock: what it believes that to be */
    int64_t compared_ms;   /* when the heads were compared last */
    bool is_store_back;    /* the sessions must hear of it */
    unsigned n_starts;
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
    struct list told; /* sim_watch.c */
    unsigned n_asks;
    bool is_full;               /* the store takes no writes */
    bool is_replaying;          /* sim_loss.c writes again what was written before */
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
    unsigned part_until;
    unsigned part;
    unsigned move_until;
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
/* Nor is the node told that it may have missed something; it is a notification. */
void sim_model_lost(struct sim_node *node, struct span user_id, struct inbox_event event);
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
unsigned sim_place_index(struct span device); /* SIM_PLACES: there is none */
/* All that the store has of the user, before it is written again. */
void sim_model_forget(struct sim *sim, struct sim_user *user);
void sim_model_count_fate(struct sim *sim, const struct sim_entry *entry); /* has left */
/* What the node does with its sessions. */
void sim_model_entered(struct sim_tab *tab);
void sim_model_session_acked(struct sim_tab *tab, uint64_t acked);
void sim_model_unsure(struct sim_tab *tab); /* its position may stay unwritten */
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

/* sim_gaps.c */
enum gap_cause sim_gaps_cause(const struct sim *sim, const struct sim_user *user, uint64_t seq);
bool sim_gaps_are_merged(const struct sim *sim, const struct sim_user *user);
bool sim_gaps_must_be_known(const struct sim *sim, const struct sim_user *user);

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

#include "tests/sim/sim_store.h"

#endif
