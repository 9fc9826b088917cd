/* The gateway: start, stop, and how it is. The requests to it are in requests.h. `struct node` is
 * this process's gateway; several nodes may serve the same users. Code outside gateway/ sees no
 * members of it. Threads: gateway_start, gateway_stop and those that say so are for one thread at a
 * time, the others for any. */
#ifndef HERALD_GATEWAY_H
#define HERALD_GATEWAY_H

#include "gateway/base/options.h"
#include "gateway/node/health.h"
#include "gateway/requests/requests.h"
#include "gateway/upgrade/upgrade.h"

/* Opens the store, binds the listener, starts the workers. On error *why is a sentence that says
 * what to do: ERR_INVALID_FIELD (an option), ERR_STORE_UNAVAILABLE, ERR_SYSTEM (the port is in
 * use...). */
MUST_CHECK enum err gateway_start(const struct options *options, struct node **ret_node, char *why,
                                  size_t why_cap);

/* The same in three steps, for a process that takes the sockets of a running one over.
 * gateway_prepare: all but the listening sockets; the file store is awaited, whose lock is
 * `lock_fd`
 * (-1: the store has none). gateway_listen: takes the sockets of the other process
 * (listeners_adopt), also on an error, and opens what it does not have. gateway_accept: this
 * process owns them, and serves. Errors as gateway_start. */
struct given_listener;
MUST_CHECK enum err gateway_prepare(const struct options *options, int lock_fd,
                                    struct node **ret_node, char *why, size_t why_cap);
MUST_CHECK enum err gateway_listen(struct node *node, const struct given_listener *given,
                                   size_t n_given, char *why, size_t why_cap);
MUST_CHECK enum err gateway_accept(struct node *node);

/* Where the store is, without user and password, and whether the options name the place which
 * another process has named so (stores.h). The second answers before the store is opened. */
MUST_CHECK enum err gateway_name_place(const struct node *node, struct buf *out);
MUST_CHECK bool gateway_is_at_place(const struct options *options, struct span place);

/* Asks for an upgrade to a new process, which the main thread begins at once. ERR_CONFLICT: *why is
 * a sentence: one is under way, or there can be none. Any thread. */
MUST_CHECK enum err gateway_ask_for_upgrade(struct node *node, char *why, size_t why_cap);
/* How that is. Any thread. */
void gateway_upgrade_status(struct node *node, struct upgrade_status *ret_status);

/* Are the files that the options name as they must be, and is the store's URL one? The store itself
 * is not opened. ERR_INVALID_FIELD: *why says what to do. */
MUST_CHECK enum err gateway_check(const struct options *options, char *why, size_t why_cap);

/* The steps of a stop. First: readiness fails, and new sessions are still taken, for so many ms as
 * it answers. Second: nobody can connect any more (a unix socket's file is removed), and the open
 * sessions are closed with 1012 within so many ms as it answers. Both return at once. Then it is
 * drained when no session is left, and gateway_stop ends it. Any of them may be left out. */
uint32_t gateway_begin_drain(struct node *node);
uint32_t gateway_end_listening(struct node *node);
unsigned gateway_count_sessions(const struct node *node);
bool gateway_is_drained(const struct node *node);

/* Reads the files again: the keys for tokens, if they have changed or `must`, and the certificates,
 * if `must`. What cannot be read stays as it was, and the log says why. One thread at a time. */
void gateway_reload(struct node *node, bool must);

/* From now on these options are in force. The earlier ones may still be read, so they must stay
 * until gateway_stop has returned. One thread at a time, as gateway_reload. */
void gateway_set_options(struct node *node, const struct options *options);

/* Closes what is open, answers what is under way, joins the workers, closes the store, frees. */
void gateway_stop(struct node *node);

struct gateway_stats {
    uint64_t connections;
    uint64_t users;
    unsigned workers;
    int64_t uptime_ms;
    const char *store; /* "file" */
    bool is_store_up;
    bool is_draining;
    uint64_t closing; /* sessions that a drain or --max-session-age has set a moment for */
};
void gateway_stats(struct node *node, struct gateway_stats *ret_stats);

/* Why the store, or a part of it, is away: one line of UTF-8 for an operator; empty while it is up.
 * Any thread. */
enum { STORE_PROBLEM_MAX_BYTES = 736 };
void gateway_store_problem(struct node *node, char out[STORE_PROBLEM_MAX_BYTES]);
/* The same, and also why a store that is up may refuse a push: it is at its ceiling. */
void gateway_store_refusal(struct node *node, char out[STORE_PROBLEM_MAX_BYTES]);

#endif
