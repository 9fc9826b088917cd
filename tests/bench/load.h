/* The benchmark's load generator: subscribers and publishers on one thread and one epoll set, so
 * that it takes as little as it can of the cores it shares with the program under test. It talks to
 * 127.0.0.0/8 alone.
 *
 * load.c      options, what happens when, the result as one line of JSON
 * load_ws.c   subscribers: handshake, frames, events, pongs, acknowledgements
 * load_http.c publishers: keep-alive connections, one request under way on each
 * load_tally.c  marks in payloads: what was lost, repeated, out of order, and how late
 * load_hist.c, load_proc.c  latencies; what processes have used
 *
 * Memory: everything lives until the process ends. A failure that leaves nothing to measure ends
 * the process. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define USER_ALL    UINT32_MAX /* the user in the mark of a push to everyone */
#define USER_LENGTH 7          /* "u000042" */
#define MARK_LENGTH                                                                                \
    40 /* of a data string: quote, "bench ", 8 hex user, 8 hex number, 16 hex time */

/* --- load.c: for all modules --- */

uint64_t now_ns(void);
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));
void *allocate(size_t count, size_t size);
/* A connection that is under way or, with *ret_done, there already. It comes from 127.0.0.1 +
 * source: one address has 28 000 ports, and the kernel searches ever longer once half of them are
 * taken. */
int tcp_connect(const struct sockaddr_in *to, uint32_t source, bool *ret_done);
enum { TAG_SUBSCRIBER, TAG_PUBLISHER };
void watch(int op, int fd, uint32_t events, uint32_t tag, uint32_t index);
/* What the free publishers do next: false, nothing now. */
bool plan_next(uint64_t now, uint32_t *ret_user, uint64_t *ret_stamp);

/* --- load_hist.c: values in nanoseconds, to 1.6 % --- */

struct hist {
    uint64_t count;
    uint64_t max;
    uint32_t slots[59 * 64];
};
void hist_add(struct hist *hist, uint64_t value);
double hist_quantile_us(const struct hist *hist, double quantile);

/* --- load_proc.c: pid 0 is nobody --- */

struct proc_memory {
    long rss_kib;
    long dirty_kib; /* private and written: what the process alone is the reason for */
};
double proc_cpu_seconds(int pid);
struct proc_memory proc_memory(int pid);
/* Seconds of all cores together since the machine started. */
struct proc_machine {
    double busy, steal;
};
struct proc_machine proc_machine(void);

/* --- load_tally.c --- */

struct tally {
    uint64_t from_ns, to_ns; /* the measured window */
    uint64_t received;       /* each notification once */
    uint64_t duplicated, disordered, misrouted, damaged;
    uint64_t window_received; /* received within the window */
    uint64_t window_casts;    /* the same, of broadcasts that somebody else makes */
    uint64_t last_ns;         /* when something was received last */
    struct hist latency;      /* of those pushed within the window */
};
extern struct tally tally;

/* data_length: of the JSON string that is pushed, both quotes included. */
void tally_init(uint32_t users, size_t data_length);
/* Writes the data of the next notification of user (or of all) to at, data_length bytes. */
void tally_mark(char *at, uint32_t user, uint64_t stamp);
void tally_receive(uint32_t user, const uint8_t *payload, size_t length, uint64_t now);

/* --- load_ws.c --- */

struct ws_totals {
    uint32_t started, open, under_way;
    uint64_t closed; /* by the other side, once open */
    uint64_t pings;
    struct hist handshake;
};
extern struct ws_totals ws;

enum ws_level { LEVEL_PLAIN, LEVEL_V1, LEVEL_SSE };

/* The last `stuck` of the users read nothing once they are open. */
void ws_init(const struct sockaddr_in *to, uint32_t users, uint32_t stuck, enum ws_level level);
/* Starts connections while fewer than limit are under way. */
void ws_connect_more(uint32_t limit);
void ws_event(uint32_t index);

/* --- load_http.c --- */

struct http_totals {
    uint64_t sent, accepted, failed;
    uint64_t window_accepted;
    uint32_t idle;
    struct hist answer;
    char first_failure[160];
};
extern struct http_totals http;

/* ttl < 0: the pushes name none. to_all: each push is for all users. */
void http_init(const struct sockaddr_in *to, uint32_t publishers, uint32_t users,
               size_t data_length, long ttl, bool to_all);
/* Gives work to the idle publishers as long as there is a plan. */
void http_publish(void);
void http_event(uint32_t index, uint32_t events);
/* A push to this user is under way: another now could overtake it. */
bool http_is_busy(uint32_t user);
