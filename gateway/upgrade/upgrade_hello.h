/* What the two processes of a hand-over say of themselves, and what they count: the bytes of the
 * messages GREETING, READY, REFUSED, LISTEN and END (upgrade_link.h). They are records to which
 * members may be added. Of the first three no member ever changes its meaning, so that processes of
 * any two versions understand why they do not go together. Pure. */
#ifndef HERALD_UPGRADE_HELLO_H
#define HERALD_UPGRADE_HELLO_H

#include "proto/bytes/buf.h"

#include <stdint.h>

/* The format of everything between BEGIN and END. A process gives and takes its own and the one
 * before, so that neither an upgrade nor its way back needs a version in between. */
#ifndef HERALD_UPGRADE_FORMAT
#define HERALD_UPGRADE_FORMAT 1
#endif
enum {
    UPGRADE_FORMAT = HERALD_UPGRADE_FORMAT,
    UPGRADE_FORMAT_BEFORE = HERALD_UPGRADE_FORMAT > 1 ? HERALD_UPGRADE_FORMAT - 1 : 1,
    UPGRADE_WHY_MAX_BYTES = 1024,
};

/* The running process. Its store's lock is the message's descriptor, if there is one. */
struct upgrade_greeting {
    uint32_t pid;
    uint32_t format; /* the highest that it gives */
    uint32_t format_before;
    struct span version;
    struct span place;   /* which store it has, without user and password */
    uint32_t n_sessions; /* to be handed over, about */
    bool has_lock;       /* of the file store */
};

/* The new one: it could go on. */
struct upgrade_ready {
    uint32_t pid;
    uint32_t format; /* the highest that it takes */
    uint32_t format_before;
    struct span version;
};

/* How much was given between BEGIN and END. */
struct upgrade_counts {
    uint32_t n_sessions;
    uint32_t n_http;
};

/* Each appends to `out`. ERR_FULL, ERR_NO_MEMORY. */
MUST_CHECK enum err upgrade_greeting_write(const struct upgrade_greeting *greeting,
                                           struct buf *out);
MUST_CHECK enum err upgrade_ready_write(const struct upgrade_ready *ready, struct buf *out);
MUST_CHECK enum err upgrade_refusal_write(const char *why, struct buf *out);
MUST_CHECK enum err upgrade_counts_write(const struct upgrade_counts *counts, struct buf *out);
/* A listening socket, for each descriptor of LISTEN in turn. */
MUST_CHECK enum err upgrade_listening_write(bool is_admin, const char *text, struct buf *out);

/* Spans lie in `bytes`. ERR_INVALID_FIELD, ERR_UNKNOWN_FIELD: it is no such record. */
MUST_CHECK enum err upgrade_greeting_read(struct span bytes, struct upgrade_greeting *ret_greeting);
MUST_CHECK enum err upgrade_ready_read(struct span bytes, struct upgrade_ready *ret_ready);
MUST_CHECK enum err upgrade_counts_read(struct span bytes, struct upgrade_counts *ret_counts);
/* Copies the reason; one that cannot be read says so. */
void upgrade_refusal_read(struct span bytes, char why[UPGRADE_WHY_MAX_BYTES]);
/* Takes the next one off the front. false: there is none, or it is no such record. *ret_text lies
 * in `rest`. */
bool upgrade_listening_take(struct span *rest, bool *ret_is_admin, struct span *ret_text);

/* The format that a process gives whose highest is `given` to one whose highest is `taken`, each
 * with the one before: the highest that both know; 0: there is none. */
uint32_t upgrade_format_for(uint32_t given, uint32_t given_before, uint32_t taken,
                            uint32_t taken_before);

#endif
