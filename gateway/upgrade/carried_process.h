/* What travels beside the connections: the state of the process itself, as a record
 * (record_table.h). Times that are no difference are of the machine's clocks, which both processes
 * read. Pure. */
#ifndef HERALD_UPGRADE_CARRIED_PROCESS_H
#define HERALD_UPGRADE_CARRIED_PROCESS_H

#include "gateway/net/tls_tickets.h"
#include "gateway/store/store_request.h"
#include "gateway/upgrade/record_table.h"

struct carried_process {
    struct span version;
    uint64_t next_connection; /* the id of the next session's connection */
    int64_t frozen_ms;        /* monotonic: when it stopped reading */
    int64_t wall_ms;          /* its clocks when it was read out */
    int64_t monotonic_ms;
    bool has_ticket_keys; /* its subscriber port speaks TLS, with... */
    struct carried_ticket_keys ticket_keys;
    bool is_draining;          /* by POST /drain: all of its sessions are being closed, ... */
    int32_t drain_in_ms;       /* ...the last one then; negative: all should have been */
    struct span kicks;         /* kicked event streams (carried_kick_write), the oldest first */
    struct span presence_name; /* under which its users are on record; empty: it keeps no events */
    struct span tickets;       /* of a store that no other node knows (carried_ticket_write) */
};

/* The most that `kicks` and `tickets` may be long. Together with the rest they fit into one
 * message (upgrade_link.h). */
enum { CARRIED_KICKS_MAX_BYTES = 4 << 20, CARRIED_TICKETS_MAX_BYTES = 11 << 20 };

/* Writes the members that `format` has as items. */
void carried_process_write(struct record_writer *writer, const struct carried_process *process,
                           unsigned format);
/* The spans of *ret_process lie in `bytes`. Errors and `why` as of record_read. */
MUST_CHECK enum err carried_process_read(struct span bytes, struct carried_process *ret_process,
                                         char why[RECORD_WHY_MAX_BYTES]);

/* An event stream that was kicked (kicked_streams.h). */
struct carried_kick {
    struct span user_id; /* 1..USER_ID_MAX_BYTES */
    uint32_t left_ms;    /* it is remembered for so long */
};

void carried_kick_write(struct record_writer *writer, const struct carried_kick *kick,
                        unsigned format);
void carried_ticket_write(struct record_writer *writer, const struct store_ticket *ticket,
                          unsigned format);

/* Takes the next one off the front of such a list, and passes over those that are malformed. false:
 * there is none. Its spans lie in `list`. */
bool carried_kick_take(struct span *list, struct carried_kick *ret_kick);
bool carried_ticket_take(struct span *list, struct store_ticket *ret_ticket);

#endif
