/* The address of the store in `--store`, and the user that Herald is there. Pure.
 *
 *     redis://[USER:PASSWORD@]HOST[:6379][/DB]                   one Redis
 *     redis+unix://[USER:PASSWORD@]/PATH[?db=N]                  the same at a unix socket
 *     redis+sentinel://[USER:PASSWORD@]HOST[:26379][,...]/NAME[/DB]
 *     redis+cluster://[USER:PASSWORD@]HOST[:6379][,...]
 *
 * `rediss` in place of `redis` is TLS, except at a unix socket; `valkey` and `valkeys` mean the
 * same. User, password and path are percent-decoded. The order of the hosts does not matter. */
#ifndef HERALD_STORE_REDIS_URL_H
#define HERALD_STORE_REDIS_URL_H

#include "gateway/stores/redis/redis_address.h"
#include "proto/bytes/span.h"
#include "proto/error.h"

enum {
    REDIS_DB_MAX = 1000000,
    REDIS_HOSTS_MAX = 16,
    REDIS_MASTER_NAME_MAX_BYTES = 127,
    REDIS_SHOWN_MAX_BYTES = 288,
};

enum redis_topology { REDIS_SINGLE, REDIS_SENTINEL, REDIS_CLUSTER };

struct redis_url {
    enum redis_topology topology;
    bool is_unix;
    bool is_tls;
    char path[108]; /* of a unix socket */
    unsigned n_hosts;
    struct redis_address hosts[REDIS_HOSTS_MAX];       /* REDIS_SENTINEL: the Sentinels */
    char master_name[REDIS_MASTER_NAME_MAX_BYTES + 1]; /* REDIS_SENTINEL */
    char user[128];                                    /* empty: the default user */
    char password[512];
    unsigned db;
    char shown[REDIS_SHOWN_MAX_BYTES]; /* for people: without the password */
};

/* Is it an address of this kind, right or wrong? */
bool redis_url_is_one(const char *text);

/* ERR_INVALID_FIELD: *why is a sentence that says what is wrong; it never holds the password. */
MUST_CHECK enum err redis_url_parse(const char *text, struct redis_url *ret_url, char *why,
                                    size_t why_cap);

/* Who we are at the Sentinels of the url: `auth` is USER:PASSWORD as it is, NULL or empty for
 * nobody. ERR_INVALID_FIELD, as above. */
MUST_CHECK enum err redis_url_of_sentinels(const struct redis_url *url, const char *auth,
                                           struct redis_url *ret_url, char *why, size_t why_cap);

struct redis_greeting_command {
    struct span args[3];
    size_t n_args;
    bool is_courtesy; /* may be forbidden */
};

/* What a new connection says first: AUTH, SELECT, CLIENT SETNAME. The spans point into the url, the
 * name and the greeting itself. */
struct redis_greeting {
    struct redis_greeting_command commands[3];
    size_t n_commands;
    char db[16];
};
void redis_url_greeting(const struct redis_url *url, const char *client_name,
                        struct redis_greeting *ret_greeting);

#endif
