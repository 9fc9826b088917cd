/* The address of a Redis and the user that Herald is there:
 * redis://[USER:PASSWORD@]HOST[:PORT][/DB] or redis+unix:///path/to/socket. User, password and path
 * are percent-decoded. Pure. */
#ifndef HERALD_STORE_REDIS_URL_H
#define HERALD_STORE_REDIS_URL_H

#include "proto/bytes/span.h"
#include "proto/error.h"

#include <stdbool.h>
#include <stddef.h>

enum { REDIS_DB_MAX = 1000000 };

struct redis_url {
    bool is_unix;
    char host[256]; /* or the socket's path */
    char port[6];   /* 6379 when none is given */
    char user[128]; /* empty: the default user */
    char password[512];
    unsigned db;
    char shown[288]; /* for people: the address without the password */
};

/* ERR_INVALID_FIELD: *why is a sentence that says what is wrong; it never holds the password. */
MUST_CHECK enum err redis_url_parse(const char *text, struct redis_url *ret_url, char *why,
                                    size_t why_cap);

struct redis_greeting_command {
    struct span args[3];
    size_t n_args;
    bool is_courtesy; /* may be forbidden */
};

/* What a new connection says first: AUTH, SELECT, CLIENT SETNAME. The spans point into the url and
 * into the greeting itself. */
struct redis_greeting {
    struct redis_greeting_command commands[3];
    size_t n_commands;
    char db[16];
};
void redis_url_greeting(const struct redis_url *url, struct redis_greeting *ret_greeting);

#endif
