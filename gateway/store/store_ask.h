/* Questions about one user to every node that has sessions of his, and to one node about all of its
 * users.
 *
 * store_ask asks, and each node that is asked, the asker among them if it is about a user, hears of
 * it by on_question and answers once, with a count and perhaps a text. The asker's counts are added
 * up, and its texts kept apart.
 * Threads and memory: as store_request.h. */
#ifndef HERALD_STORE_STORE_ASK_H
#define HERALD_STORE_STORE_ASK_H

#include "gateway/store/store_request.h"
#include "proto/bytes/buf.h"

enum {
    STORE_REASON_MAX_BYTES = 64,
    STORE_ANSWER_MAX_BYTES = 64 * 1024,
    STORE_CLIENTS_MAX = 1000, /* users on a page */
};

enum store_ask_kind {
    STORE_ASK_KICK,       /* close his sessions; counts those that are closed by it */
    STORE_ASK_DESCRIBE,   /* counts his connections, and describes them in the text; his positions
                           * are written first, so that a request to the store made after the answer
                           * finds them */
    STORE_ASK_WRITTEN,    /* counts his sessions that were written the number */
    STORE_ASK_CONNECTION, /* counts his connections that have the number: 1 or 0 */
    STORE_ASK_CLIENTS,    /* of one node, and no user: counts the users on a page of those who are
                           * online there; the text is the page */
    STORE_ASK_KINDS
};

/* What is asked. */
struct store_asked {
    enum store_ask_kind kind;
    struct span reason;  /* KICK: at most STORE_REASON_MAX_BYTES of UTF-8; empty: none */
    int64_t until_ms;    /* KICK: until when he is blocked, by the store's clock; 0: he is not */
    uint64_t seq;        /* WRITTEN */
    struct epoch epoch;  /* WRITTEN; none: whatever it is */
    uint64_t connection; /* CONNECTION: proto/note/connection_id.h */
    struct epoch node;   /* CLIENTS: store_config.name of the node that is asked */
    uint64_t after;      /* CLIENTS: where that node's page begins; 0: at the start */
    uint32_t limit;      /* CLIENTS: 1..STORE_CLIENTS_MAX */
};

/* What on_question hands over, which answers it once, as a store_question. All of it is there until
 * then, so the callee needs no memory of its own. */
struct store_user_question {
    struct store_question question;
    void *owner;         /* of the events */
    struct span user_id; /* CLIENTS: empty */
    struct store_asked asked;
};

/* One node's text. */
struct store_text {
    struct store_text *next;
    size_t len;
    char bytes[];
};

/* With the local stores this node is asked. With redis those that are subscribed to the user's
 * channel; one that does not answer within STORE_REPLIES_MS is missing, and on_done runs. While
 * Redis is away this node alone is asked. CLIENTS is asked of the node that has the name, and of no
 * other: n_asked is 0 if it is not there or its version does not know the question, and while Redis
 * is away the error is ERR_STORE_UNAVAILABLE. */
struct store_ask {
    struct store_request request; /* any lane. With the local stores on_done may run inside the
                                   * call, if on_question's callee answers there */
    struct span user_id;          /* CLIENTS: empty */
    struct store_asked asked;
    enum err error;           /* out: ERR_OK, ERR_NO_MEMORY; at store_close ERR_STORE_UNAVAILABLE */
    bool is_alone;            /* out: the store is away: no other node was asked */
    uint64_t count;           /* out: the sum of the answers */
    unsigned n_asked;         /* out: nodes; one more than have answered if it is not known */
    unsigned n_answered;      /* out */
    struct store_text *texts; /* out: of the answers that had one; store_ask_clear frees them */
};

void store_ask_clear(struct store_ask *ask);

/* For a backend: takes note of an answer's text, a copy of it. Without memory the error is
 * ERR_NO_MEMORY. */
void store_ask_add_text(struct store_ask *ask, struct span text);

#endif
