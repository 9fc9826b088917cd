/* Between the files of a link (redis_link.h); for redis_link*.c alone. */
#ifndef HERALD_STORE_REDIS_LINK_PARTS_H
#define HERALD_STORE_REDIS_LINK_PARTS_H

#include "gateway/stores/redis/redis_link.h"
#include "gateway/stores/redis/redis_pipeline.h"

enum { REDIS_LINK_READ_BYTES = 64 << 10 }; /* at a time */

enum redis_link_state {
    REDIS_LINK_WAITING,
    REDIS_LINK_ASKING,
    REDIS_LINK_LOOKING_UP,
    REDIS_LINK_CONNECTING,
    REDIS_LINK_SHAKING, /* over TLS */
    REDIS_LINK_GREETING,
    REDIS_LINK_UP,
    REDIS_LINK_STATES,
};

struct redis_link {
    struct redis_link_config config;
    enum redis_link_state state;
    struct redis_asker asker;
    struct redis_address target; /* of this attempt, or of the last; unused for a unix socket */
    struct reactor_watch watch;  /* the connection or the look-up; fd -1: none */
    uint32_t watched_events;
    struct transport *transport; /* over TLS; else NULL */
    bool has_heard;              /* something has come on this connection */
    unsigned silent_ends;        /* connections that were reset before anything came */
    struct reactor_task turn_end;
    struct reactor_task read_on; /* TLS has bytes that epoll does not tell of */
    struct timer timer;          /* WAITING: the next attempt; else a tick */
    int64_t progress_ms;         /* when something last came, or began to be waited for */
    int64_t ping_ms;             /* when the last PING was sent */
    int64_t asked_ms;            /* when what was answered last was given */
    bool was_replica;            /* what the resolver named; it will name another soon */
    unsigned attempts;           /* since redis_link_accept */
    unsigned tries;              /* ever; chooses among a name's addresses */
    struct redis_reader *reader;
    struct redis_pipeline pipeline;
    bool is_failing;
    bool is_leaving; /* takes no more, and breaks when all is answered; failure says why */
    char failure[200];
    char parting[200]; /* an error of the greeting that was let pass; empty: none */
};

/* redis_link.c */

void redis_link_move(struct redis_link *link, enum redis_link_state next);
/* As redis_link_command, in any state that has a connection. */
MUST_CHECK enum err redis_link_give(struct redis_link *link, const struct span *args, size_t n_args,
                                    redis_reply_fn on_reply, void *arg, size_t index);
/* MISCONF: a Redis that cannot write to its disk says so in place of a pong. It still reads. */
bool redis_link_is_misconf(const struct redis_value *reply);
/* To be run again after a tick. */
void redis_link_set_tick(struct redis_link *link);
void redis_link_watch_for(struct redis_link *link, uint32_t events);
/* The connection has ended. A Redis that refuses it says why in place of the first answer: then
 * that is why. */
void redis_link_end(struct redis_link *link, const char *why);
void redis_link_ignore_reply(void *owner, void *arg, size_t index, const struct redis_value *reply);

/* redis_link_up.c: from WAITING to UP */

void redis_link_try(struct redis_link *link);
void redis_link_on_address(struct redis_asker *asker, const struct redis_address *address,
                           const char *why);
void redis_link_on_looked_up(struct redis_link *link);
void redis_link_on_connect_ready(struct redis_link *link);
/* Connected, and the handshake is over where there is one. */
void redis_link_greet(struct redis_link *link);
/* The connection or the look-up, if there is one, is closed. */
void redis_link_stop_watching(struct redis_link *link);

/* redis_link_tls.c */

MUST_CHECK enum err redis_link_begin_tls(struct redis_link *link);
/* The next step of the handshake. */
void redis_link_shake(struct redis_link *link);
/* It took too long: the link breaks. */
void redis_link_end_shaking(struct redis_link *link);
/* Bytes that have come, at most REDIS_LINK_READ_BYTES. false: there are none, and if that is the
 * end, the link breaks. */
bool redis_link_read_tls(struct redis_link *link, char *bytes, size_t *ret_len);
/* false: no more can be written now; or the link breaks. */
bool redis_link_write_tls(struct redis_link *link, struct span bytes, size_t *ret_len);
void redis_link_end_tls(struct redis_link *link);
/* Each time something has come. true: a plain link got an alert of TLS, and breaks. */
bool redis_link_heard_tls(struct redis_link *link, const char *bytes, size_t len);
/* The connection was reset. true: for the second time before anything came; the link breaks. */
bool redis_link_was_reset_by_tls(struct redis_link *link);

#endif
