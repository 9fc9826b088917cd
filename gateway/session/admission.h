/* A subscriber whose request was accepted, on its way to becoming a session. port/subscribe.c fills
 * one in as the request is read, it travels to the user's home worker inside a handover, and
 * session_new begins a session of it. A session that waited for its token is turned back into one.
 * It is copied as a whole; what its spans point to belongs to its carrier (the HTTP
 * connection, then the handover). */
#ifndef HERALD_ADMISSION_H
#define HERALD_ADMISSION_H

#include "gateway/identity/identity.h"
#include "gateway/identity/peers.h"
#include "gateway/net/transport.h"
#include "proto/note/notification.h"
#include "proto/ws/extensions.h"
#include "proto/ws/handshake.h"

/* A position that the subscriber named to resume after. */
struct resume {
    struct epoch epoch; /* none: it named none */
    uint64_t seq;
};

/* The user and the device that a subscriber claims to be. */
struct claim {
    struct identity identity; /* while is_known is false: the query's userId, which may be empty */
    char device[DEVICE_MAX_BYTES];
    size_t device_len; /* 0: none */
    bool is_known;     /* it is true; otherwise its first message will bring the token */
};

static inline struct span claim_user(const struct claim *claim)
{
    return (struct span){claim->identity.user_id, claim->identity.user_id_len};
}

static inline struct span claim_device(const struct claim *claim)
{
    return (struct span){claim->device, claim->device_len};
}

struct admission {
    struct transport_socket socket;
    struct peer *peer; /* may be NULL; the session's once it is there */
    struct claim claim;
    struct resume resume;
    enum handshake_level level;
    char accept[HANDSHAKE_ACCEPT_LEN];
    struct deflate_terms deflate;
    bool is_explicit; /* SSE: ack=explicit */
    bool is_page;     /* WebSocket: its request had an Origin, so it sees no status */
    bool is_answered; /* its request, by a session that waited until its user was known */
    bool is_draining; /* is_answered: its drain had begun, and it is closed at drain_at_ms */
    uint32_t drain_at_ms;
    struct span user_agent;
    struct span origin; /* SSE: whose page may read the stream; empty: no CORS headers */
};

#endif
