/* A redis-server of a test's own: on a unix socket in a directory that goes with it, and gone when
 * the test's process is. Calls for tests that want it away, slow or emptied. */
#ifndef HERALD_TESTS_STORE_REDIS_SERVER_H
#define HERALD_TESTS_STORE_REDIS_SERVER_H

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct redis_server {
    char folder[64];
    char socket_path[96];
    char url[128];
    pid_t pid; /* 0: not running */
};

void pause_ms(long ms);

void redis_server_prepare(struct redis_server *server);

int redis_server_connect(const struct redis_server *server);

/* One command of plain words; the first line of its answer. */
void redis_server_ask(const struct redis_server *server, const char *line, char *answer,
                      size_t cap);

/* The same where the answer is a number. */
long redis_server_number(const struct redis_server *server, const char *line);

void redis_server_do(const struct redis_server *server, const char *line);

/* A user's packed record (scripts/record.lua), with another day of the last sign of life: the next
 * page of that user writes it down. */
void redis_server_set_day(const struct redis_server *server, const char *user, int day);

/* Empty: nothing is kept on disk. `option` and `value` may be NULL. */
void redis_server_start(struct redis_server *server, const char *option, const char *value);

void redis_server_stop(struct redis_server *server);

void redis_server_remove(struct redis_server *server);

#endif
