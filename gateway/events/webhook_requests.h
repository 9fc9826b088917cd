/* What operators ask of the webhooks (admin/routes). The caller fills a struct in and keeps it
 * until on_done has run, once, on any thread; possibly inside the call where there are no webhooks.
 */
#ifndef HERALD_EVENTS_WEBHOOK_REQUESTS_H
#define HERALD_EVENTS_WEBHOOK_REQUESTS_H

#include "gateway/net/mailbox.h"
#include "proto/bytes/span.h"

#include <stdint.h>

struct node;

enum {
    WEBHOOK_SHOWN_NAME_BYTES = 65,
    WEBHOOK_SHOWN_ORIGIN_BYTES = 300,
    WEBHOOK_SHOWN_ERROR_BYTES = 256,
    WEBHOOK_SHOWN_BODY_BYTES = 4096,
    WEBHOOKS_SHOWN_MAX = 15,
    WEBHOOK_TEST_MAX_MS =
        25 * 1000, /* a test waits no longer, whatever its endpoint's timeout is */
};

/* STARTING: its consumers are being added. IDLE: nothing was sent yet. OK, FAILING: by the last
 * answer. OFF: it has answered 410. REFUSED: there are too many consumers. */
#define WEBHOOK_STATES_LIST(X)                                                                     \
    X(STARTING, "starting")                                                                        \
    X(IDLE, "idle")                                                                                \
    X(OK, "ok")                                                                                    \
    X(FAILING, "failing")                                                                          \
    X(OFF, "off")                                                                                  \
    X(REFUSED, "refused")

enum webhook_state {
#define X(name, text) WEBHOOK_STATE_##name,
    WEBHOOK_STATES_LIST(X)
#undef X
        WEBHOOK_STATES
};
const char *webhook_state_text(enum webhook_state state);

/* One endpoint, as this node knows it. Times are milliseconds since 1970. */
struct webhook_shown {
    char name[WEBHOOK_SHOWN_NAME_BYTES];
    char origin[WEBHOOK_SHOWN_ORIGIN_BYTES]; /* of its URL, whose path may be a secret */
    enum webhook_state state;
    int last_status;                            /* 0: no request was answered yet, or the last one
                                                 * was not */
    char last_error[WEBHOOK_SHOWN_ERROR_BYTES]; /* of the last request; empty: none */
    int64_t last_ms;                            /* of the last request's end; 0: none */
    unsigned failures;                          /* in a row: the most of its partitions */
    int64_t next_attempt_ms; /* the earliest of what is repeated; 0: nothing is */
    uint64_t lag;            /* events that it has not acknowledged, in all partitions */
    int64_t lag_ms;          /* how old the oldest of them is */
    unsigned partitions;     /* that this node serves */
};

struct webhooks_list {
    void (*on_done)(struct webhooks_list *list);
    enum err error; /* out: ERR_OK, ERR_DRAINING, ERR_NO_MEMORY */
    size_t n;       /* out, in the order in which files brought them */
    bool has_lags;  /* out: the store has said what `lag` and `lag_ms` are */
    struct webhook_shown shown[WEBHOOKS_SHOWN_MAX];
    struct letter letter; /* the callee's own, as is what follows */
    struct webhooks *webhooks;
    struct webhook_lags *lags;
};
void webhooks_list(struct node *node, struct webhooks_list *list);

/* Sends one event of the type `test`, whatever the endpoint's state is. */
struct webhook_test {
    void (*on_done)(struct webhook_test *test);
    struct span name;
    enum err error;  /* out: ERR_OK: a request was made; ERR_NOT_FOUND; ERR_NO_MEMORY,
                      * ERR_DRAINING */
    int status;      /* out: 0: there was no answer */
    int64_t took_ms; /* out */
    char failure[WEBHOOK_SHOWN_ERROR_BYTES]; /* out: why it failed; empty: it did not */
    size_t body_len; /* out: what the endpoint has answered, cut, any bytes */
    char body[WEBHOOK_SHOWN_BODY_BYTES];
    struct letter letter; /* the callee's own, as is what follows */
    struct webhooks *webhooks;
    struct webhook_test_call *call;
};
void webhooks_test(struct node *node, struct webhook_test *test);

#endif
