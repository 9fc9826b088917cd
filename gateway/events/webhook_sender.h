/* Sends webhook requests: a thread of its own with libcurl's multi interface, which no other file
 * knows. All of webhooks lives on this thread: letters bring work to it, and its timers wait there.
 *
 * What goes out is HTTP/1.1 over connections that are kept. Nothing of the environment counts
 * (proxies, .netrc), except SSL_CERT_FILE and SSL_CERT_DIR as OpenSSL means them; else the system's
 * CAs are trusted. No redirect is followed. Of an answer at most WEBHOOK_BODY_MAX_BYTES of body are
 * taken: the status counts as soon as the head is complete, whatever becomes of the body.
 *
 * The descriptors that libcurl opens for itself are not marked close-on-exec; the one process that
 * Herald starts (upgrade_spawn.h) closes all that it does not inherit. */
#ifndef HERALD_EVENTS_WEBHOOK_SENDER_H
#define HERALD_EVENTS_WEBHOOK_SENDER_H

#include "gateway/net/mailbox.h"
#include "gateway/net/timers.h"
#include "proto/bytes/span.h"
#include "proto/error.h"
#include "proto/note/webhook_signature.h"

#include <stdbool.h>

enum {
    WEBHOOK_BODY_MAX_BYTES = 4096,
    WEBHOOK_HEAD_MAX_BYTES = 16384, /* of an answer; a longer one is a failure */
    WEBHOOK_ID_MAX_BYTES = 80,
    WEBHOOK_ERROR_MAX_BYTES = 256,
};

/* What came back. */
struct webhook_answer {
    int status;             /* of a complete head; 0: there was none */
    int64_t retry_after_ms; /* Retry-After, from now; -1: it was not there */
    int64_t took_ms;
    char error[WEBHOOK_ERROR_MAX_BYTES]; /* printable ASCII; empty: none. It is there with status 0,
                                          * and says of a redirect that it was not followed */
    size_t body_len;
    char *body; /* in: room for WEBHOOK_BODY_MAX_BYTES; NULL: it is not wanted */
};

/* A request belongs to its caller, and stays with all it points to until on_done has run. */
struct webhook_request {
    void (*on_done)(struct webhook_request *request); /* the sender's thread; never inside a call */
    const char *url;
    const struct webhook_secrets *secrets;
    struct span body;
    char id[WEBHOOK_ID_MAX_BYTES]; /* webhook-id: A-Za-z0-9_ */
    uint32_t timeout_ms;           /* for all of it */
    bool must_be_loopback; /* the address that it connects to is looked at; it uses no proxy */
    struct webhook_answer answer;
    struct webhook_transfer *transfer; /* the sender's own; NULL: it is not under way */
};

struct webhook_sender;

/* `proxy`: http://HOST:PORT; empty: none. Call it before threads start that use OpenSSL or libcurl.
 * ERR_SYSTEM, ERR_NO_MEMORY. */
MUST_CHECK enum err webhook_sender_new(const char *proxy, struct webhook_sender **ret_sender);
MUST_CHECK enum err webhook_sender_start(struct webhook_sender *sender);

/* Cuts what is under way (on_done runs, on the sender's thread if there is one), and joins the
 * thread. Letters that come later wait for webhook_sender_deliver; nothing is sent any more. */
void webhook_sender_stop(struct webhook_sender *sender);
void webhook_sender_deliver(struct webhook_sender *sender); /* after the stop, on this thread */
void webhook_sender_free(struct webhook_sender *sender);    /* NULL is fine */

/* Any thread. */
struct mailbox *webhook_sender_mailbox(struct webhook_sender *sender);

/* The sender's thread, or before its start. */
struct timers *webhook_sender_timers(struct webhook_sender *sender);

/* The sender's thread. ERR_NO_MEMORY, ERR_DRAINING (it is stopping): on_done is not called. */
MUST_CHECK enum err webhook_sender_send(struct webhook_sender *sender,
                                        struct webhook_request *request);
/* Ends it without an answer if it is under way: on_done runs soon. */
void webhook_sender_cut(struct webhook_sender *sender, struct webhook_request *request);

#endif
