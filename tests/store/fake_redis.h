/* A Redis that says what a test wants: a rule sees each command, and answers it or lets it pass to
 * the redis-server behind. It listens on a unix socket, or on a port of 127.0.0.1, and runs on a
 * thread of its own, which is also where the rule is called. One command at a time, so answers have
 * the order of their commands. */
#ifndef HERALD_TESTS_STORE_FAKE_REDIS_H
#define HERALD_TESTS_STORE_FAKE_REDIS_H

#include "proto/bytes/span.h"
#include "tests/store/redis_server.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

enum { FAKE_WORDS = 64, FAKE_LINKS = 32, FAKE_ANSWER = 16384 };

enum fake_verdict {
    FAKE_PASS,    /* the redis-server answers; without one the answer is an error */
    FAKE_SAY,     /* the rule wrote the answer with fake_say */
    FAKE_SILENCE, /* this command is never answered */
    FAKE_HANG_UP,
};

struct fake_command {
    size_t n_words; /* those after FAKE_WORDS are not shown */
    struct span words[FAKE_WORDS];
    unsigned link; /* 0, 1, ... in the order in which they came */
    char *answer;  /* FAKE_ANSWER bytes, for fake_say */
    size_t answer_len;
};

typedef enum fake_verdict fake_rule(void *owner, struct fake_command *command);

struct fake_link {
    int client_fd; /* -1: closed */
    int redis_fd;  /* -1: nothing is behind */
    unsigned number;
    bool is_subscribed;
    unsigned char *asked; /* what came and is no whole command yet */
    size_t n_asked;
    unsigned char *replied;
    size_t n_replied;
};

struct fake_redis {
    char socket_path[108]; /* empty: it listens on the port */
    unsigned short port;
    char url[128];
    const struct redis_server *behind;
    fake_rule *rule;
    void *owner;
    int listen_fd;
    atomic_uint n_came; /* links that ever came */
    struct fake_link links[FAKE_LINKS];
    char answer[FAKE_ANSWER];
    pthread_mutex_t lock; /* of what follows */
    char unasked[1024];   /* goes to every link with subscriptions */
    char ended[256];      /* a channel: Redis ends its subscriptions on every link */
    bool must_drop;
    atomic_bool is_over;
    pthread_t thread;
};

/* behind may be NULL; its folder holds the socket of the fake, otherwise /tmp does. */
void fake_redis_start(struct fake_redis *fake, const struct redis_server *behind, fake_rule *rule,
                      void *owner);
/* On a port that is free. */
void fake_redis_start_on_port(struct fake_redis *fake, const struct redis_server *behind,
                              fake_rule *rule, void *owner);
void fake_redis_stop(struct fake_redis *fake);
/* At the same port as before. */
void fake_redis_start_again(struct fake_redis *fake);

/* For rules: the answer, as printf makes it. */
enum fake_verdict fake_say(struct fake_command *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* For rules: is it this command, whatever the case; does one of its words hold this text? */
bool fake_is(const struct fake_command *command, const char *name);
bool fake_names(const struct fake_command *command, const char *text);

/* From any thread: bytes that nobody asked for to each link with subscriptions; the end of a
 * channel's subscriptions, which nobody asked for either: Redis says `sunsubscribe`; and the end of
 * all links. They have happened when these return. */
void fake_redis_tell(struct fake_redis *fake, const char *bytes);
void fake_redis_end(struct fake_redis *fake, const char *channel);
void fake_redis_drop(struct fake_redis *fake);

#endif
