/* The new process's side of a hand-over: it was started by a running Herald, takes everything from
 * it, touches nothing of it, and owns it when the other one says COMMIT, or is dead. On the main
 * thread.
 *
 * Whoever leaves before that leaves with _exit (after upgrade_take_refuse), which closes copies of
 * sockets, and nothing else. */
#ifndef HERALD_UPGRADE_TAKE_H
#define HERALD_UPGRADE_TAKE_H

#include "gateway/http/listeners.h"
#include "gateway/node/node.h"
#include "gateway/upgrade/upgrade_hello.h"

struct upgrade_take;

/* Was this process started by a running Herald? Then its greeting is awaited for some seconds. The
 * variable is taken out of the environment, so call it before any thread reads that. ERR_OK with
 * *ret_take NULL: it was not. ERR_INVALID_FIELD: the variable does not lead to a running Herald;
 * *why is a sentence that names it. ERR_NO_MEMORY. */
MUST_CHECK enum err upgrade_take_open(struct upgrade_take **ret_take, char *why, size_t why_cap);
void upgrade_take_free(struct upgrade_take *take); /* NULL is fine */

/* What the running process said; until upgrade_take_free. */
const struct upgrade_greeting *upgrade_take_greeting(const struct upgrade_take *take);
/* The lock of its file store; -1: it has none. It is closed by upgrade_take_free. */
int upgrade_take_lock(const struct upgrade_take *take);

/* Can the two go together, as far as their formats are concerned, and the `room` for connections
 * that the limit of open files leaves here? ERR_INVALID_FIELD: *why is a sentence. */
MUST_CHECK enum err upgrade_take_check(const struct upgrade_take *take, uint32_t room, char *why,
                                       size_t why_cap);

/* Tells the running process why this one does not start. NULL is fine: nobody is told. */
void upgrade_take_refuse(struct upgrade_take *take, const char *why);

/* What the program does on the way. */
struct upgrade_new {
    struct node *node;
    struct http_port *admin_port;
    void *owner;
    /* Takes the listening sockets of both ports, also on an error, and makes what accepts; nothing
     * is accepted yet. On an error *why is a sentence. The texts are valid within the call. */
    enum err (*listen)(void *owner, const struct given_listener *subscribers, size_t n_subscribers,
                       const struct given_listener *admin, size_t n_admin, char *why,
                       size_t why_cap);
    /* Everything is built, and the running process is about to be told. */
    void (*on_adopted)(void *owner);
};

/* READY, and everything up to COMMIT. It takes as long as the other process wants. true: all of it
 * is this process's. false: leave, *why says why; the other process goes on, or is dead and had not
 * given everything. */
MUST_CHECK bool upgrade_take_all(struct upgrade_take *take, const struct upgrade_new *new,
                                 char *why, size_t why_cap);

/* GO: sessions and HTTP connections go on. The ports are the caller's to open. */
void upgrade_take_go(struct upgrade_take *take, const struct upgrade_new *new);

/* Has the other process closed its files? Waits until `end_ms` (monotonic) for that. */
MUST_CHECK bool upgrade_take_is_let_go(struct upgrade_take *take, int64_t end_ms);

#endif
