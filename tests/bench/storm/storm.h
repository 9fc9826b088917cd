/* Users who come back, and a publisher who does not give up (storm.c).
 *
 * storm.c             what happens when, and the result
 * storm_users.c       subscribers: handshakes, frames, pongs, and when they come back
 * storm_publishers.c  pushes, repeated until they are accepted
 *
 * One thread. A failure that leaves nothing to measure ends the process. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SECOND     1000000000ull
#define MS         1000000ull
#define USERS_MAX  19000
#define PUSHES_MAX 2000000
#define INPUT_MAX  2048

/* --- storm.c --- */

struct options {
    uint16_t from_port, to_port, admin_port;
    uint32_t first_user, n_users, rate, jitter_ms;
};
extern struct options options;

struct push {
    uint32_t user;
    bool is_accepted, is_received;
};
extern struct push pushes[PUSHES_MAX]; /* by their numbers */
extern uint32_t n_pushes;

_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));
uint64_t now_ns(void);
uint32_t draw(uint32_t below);
/* From 127.0.0.1 + source. -1: the kernel has no connection at the moment. */
int begin_connect(uint16_t port, uint32_t source);
void watch(int op, int fd, uint32_t events, uint32_t index); /* publishers: from USERS_MAX on */

/* --- storm_users.c --- */

struct user_totals {
    uint32_t open, under_way;
    uint64_t received, duplicated, misrouted; /* pushes */
    uint64_t refused, failed;                 /* attempts to connect */
    uint64_t killed_ns;                       /* when the first session ended; 0: none has */
    uint64_t last_received_ns;
    uint32_t n_back;
    uint64_t back_ns[USERS_MAX]; /* from killed_ns to the 101 */
};
extern struct user_totals totals;

void users_init(void);
void users_start(uint64_t now); /* those whose time has come */
void users_event(uint32_t index);

/* --- storm_publishers.c --- */

struct publish_totals {
    uint64_t accepted, repeated;
};
extern struct publish_totals published;

void publishers_init(void);
void publishers_begin(void);
void publishers_end(
    void); /* nothing new from now on; what is under way is repeated until it is accepted */
bool publishers_are_busy(void);
void publishers_go_on(uint64_t now); /* sends what is due */
void publishers_event(uint32_t index);
