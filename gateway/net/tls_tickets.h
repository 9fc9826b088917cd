/* The keys of session tickets (RFC 5077; RFC 8446, 4.6.1): made here, never stored, and changed
 * every TLS_TICKET_KEY_MS. Tickets of the previous key are still accepted. Any thread. */
#ifndef HERALD_NET_TLS_TICKETS_H
#define HERALD_NET_TLS_TICKETS_H

#include "proto/error.h"

#include <pthread.h>
#include <stdint.h>

struct ssl_ctx_st; /* OpenSSL's SSL_CTX */

/* A ticket is accepted while its key is the current one, and as long again while it is the previous
 * one. */
enum { TLS_TICKET_KEY_MS = 12 * 3600 * 1000, TLS_TICKET_LIFETIME_S = 12 * 3600 };

struct tls_ticket_key {
    uint8_t name[16];
    uint8_t cipher[32]; /* AES-256-CBC */
    uint8_t mac[32];    /* HMAC-SHA-256 */
};

struct tls_tickets {
    pthread_mutex_t lock;
    struct tls_ticket_key present;
    struct tls_ticket_key previous; /* random at first, so that it matches no ticket */
    int64_t changed_ms;
};

/* The keys on their way to another process. Whoever holds them wipes them (explicit_bzero). */
struct carried_ticket_keys {
    struct tls_ticket_key present;
    struct tls_ticket_key previous;
    uint32_t age_ms; /* of the present one */
};

MUST_CHECK enum err tls_tickets_init(struct tls_tickets *tickets);
void tls_tickets_fini(struct tls_tickets *tickets);

void tls_tickets_carry(struct tls_tickets *tickets, struct carried_ticket_keys *ret_carried);
/* These replace its own, so that tickets of the other process are accepted. */
void tls_tickets_adopt(struct tls_tickets *tickets, const struct carried_ticket_keys *carried);

/* Makes the connections of this SSL_CTX use the keys, which must outlive these connections. */
MUST_CHECK enum err tls_tickets_use(struct tls_tickets *tickets, struct ssl_ctx_st *ctx);

#endif
