/* The benchmark's load generator: subscribers and publishers on one thread and one epoll set, so
 * that it takes as little as it can of the cores it shares with the program under test. It talks to
 * 127.0.0.0/8 alone.
 *
 * load.c          what happens when
 * load_options.c  what was asked for
 * load_result.c   the result as one line of JSON
 * load_net.c      connections, with or without TLS
 * load_ws.c       subscribers: handshake, frames, events, pongs, acknowledgements
 * load_ping.c     subscribers who ask with herald.v1 whether the line is there
 * load_plan.c     who is pushed to next, and when
 * load_request.c  what publishers send
 * load_http.c     publishers: keep-alive connections, one request under way on each
 * load_answer.c   what publishers are answered
 * load_tally.c    marks in payloads: what was lost, repeated, out of order, and how late
 * load_hist.c, load_proc.c  latencies; what processes have used
 *
 * Memory: everything lives until the process ends. A failure that leaves nothing to measure ends
 * the process. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SECOND      1000000000ull
#define USER_ALL    UINT32_MAX /* the user in the mark of a push to everyone */
#define USER_LENGTH 7          /* "u000042" */
#define NODES_MAX   8
#define MARK_LENGTH                                                                                \
    40 /* of a data string: quote, "bench ", 8 hex user, 8 hex number, 16 hex time */

/* --- load_options.c: constant once they were read --- */

enum mode { MODE_IDLE, MODE_PUSH, MODE_LINES, MODE_FANOUT, MODE_FLUSH, MODE_PING, N_MODES };
enum level { LEVEL_PLAIN, LEVEL_V1, LEVEL_SSE, N_LEVELS };

struct options {
    enum mode mode;
    struct sockaddr_in ws[NODES_MAX], admin[NODES_MAX]; /* subscribers and publishers in turn */
    uint32_t n_ws, n_admin;
    enum level level;
    long subscribers;
    long first_user; /* the number in the first subscriber's userId */
    long stuck;      /* the last of the subscribers, who read nothing once they are open */
    long publishers;
    long lines; /* of a request of mode lines */
    long size;  /* of the data, with both quotes */
    long per_user;
    long rate;    /* a second; 0: the next follows the answer */
    long ttl;     /* below 0: pushes name none */
    long wait;    /* seconds until a push is acknowledged; below 0: pushes name none */
    long keys;    /* 1: each push has an idempotency key of its own */
    long in_turn; /* 1: users are pushed to one after the other, so each at equal intervals */
    long tls;     /* 1: on both ports */
    long warmup_ms, window_ms, settle_ms;
    long pid, redis_pid; /* whose CPU and memory are measured */
};
extern struct options options;
void options_take(int count, char **words);

/* --- load.c: for all modules --- */

uint64_t now_ns(void);
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));
void *allocate(size_t count, size_t size);
enum { TAG_SUBSCRIBER, TAG_PUBLISHER };
void watch(int op, int fd, uint32_t events, uint32_t tag, uint32_t index);
/* What has been accepted and must arrive. */
uint64_t owed(void);

/* --- load_net.c --- */

struct conn {
    int fd;
    struct ssl_st *tls; /* NULL: plain */
};
/* Begins to connect; true: it is connected already. It comes from 127.0.0.1 + source: one address
 * has 28 000 ports, and the kernel searches ever longer once half of them are taken. */
bool conn_start(struct conn *conn, const struct sockaddr_in *to, uint32_t source);
/* Shakes hands if there is TLS. False: call it again when there is something to read. */
bool conn_secure(const struct conn *conn);
/* As send(2) and recv(2). */
ssize_t conn_send(const struct conn *conn, const void *bytes, size_t length);
ssize_t conn_recv(const struct conn *conn, void *bytes, size_t cap);
/* There is more to read, of which the kernel knows nothing. */
bool conn_has_more(const struct conn *conn);
void conn_close(struct conn *conn);

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

/* --- load_result.c --- */

struct usage {
    double cpu, redis_cpu, own_cpu;
    struct proc_machine machine;
    uint64_t at_ns;
};
struct usage usage_now(void);
struct result {
    double connect_seconds, connect_cpu, store_seconds, flush_seconds;
    struct proc_memory before, after;
    struct usage from, to; /* the measured window */
};
void result_print(const struct result *result);

/* --- load_tally.c --- */

struct tally {
    uint64_t from_ns, to_ns; /* the measured window */
    uint64_t received;       /* each notification, or pong, once */
    uint64_t duplicated, disordered, misrouted, damaged;
    uint64_t window_received; /* received within the window */
    uint64_t window_casts;    /* the same, of broadcasts that somebody else makes */
    uint64_t last_ns;         /* when something was received last */
    struct hist latency;      /* of those pushed, or asked for, within the window */
};
extern struct tally tally;

void tally_init(void);
/* Writes the data of the next notification of user (or of all) to at, --size bytes. */
void tally_mark(char *at, uint32_t user, uint64_t stamp);
/* What arrived at a user. */
void tally_receive(uint32_t user, const uint8_t *payload, size_t length, uint64_t now);
/* Counts one that is new, and that was begun at stamp. */
void tally_count(uint64_t stamp, uint64_t now);

/* --- load_ws.c --- */

struct ws_totals {
    uint32_t started, open, under_way;
    uint64_t closed; /* by the other side, once open */
    uint64_t pings;
    struct hist handshake;
};
extern struct ws_totals ws;

void ws_init(void);
/* Starts connections while fewer than limit are under way. */
void ws_connect_more(uint32_t limit);
void ws_event(uint32_t index);
/* A text of at most 125 bytes. */
void ws_send_text(uint32_t index, const char *text, size_t length);

/* --- load_ping.c --- */

struct ping_totals {
    uint64_t sent;
    uint32_t idle; /* sessions */
};
extern struct ping_totals pings;
void ping_init(void);
/* Lets idle sessions ask as long as there is a plan. */
void ping_more(void);
void ping_answered(uint32_t index, uint64_t now);

/* --- load_plan.c --- */

/* Pushes, or pings, are made from now on: --rate a second, or as fast as answers come. */
void plan_start(void);
void plan_stop(void);
bool plan_is_late(void); /* in the open loop: something that was due in the window is not sent */
/* What is done next, and the time at which it was due; false: nothing now. */
bool plan_next(uint64_t now, uint32_t *ret_user, uint64_t *ret_stamp);
/* Who gets a line of this publisher's, whose users nobody else pushes to. */
uint32_t plan_user_of(uint32_t publisher);
/* When something is due, if that is before until. */
uint64_t plan_due(uint64_t until);

/* --- load_request.c --- */

extern size_t request_length; /* of every request */
void request_init(void);
char *request_new(void);
/* Makes it the next request to user, or to all; in mode lines to the users of this publisher.
 * Returns the number of pushes in it. */
uint32_t request_fill(char *request, uint32_t publisher, uint32_t user, uint64_t stamp);

/* --- load_answer.c --- */

struct answer; /* one under way a publisher */
struct answer *answer_new(void);
/* Takes bytes up to the end of the answer. Returns how many. */
size_t answer_take(struct answer *answer, const char *bytes, size_t length, bool *ret_is_whole);
/* Of a whole one: how many of the pushes were accepted. It is ready for the next one then. */
uint32_t answer_count(struct answer *answer, uint32_t pushes);

/* --- load_http.c --- */

struct http_totals {
    uint64_t sent, accepted, failed; /* pushes */
    uint64_t window_accepted;
    uint32_t idle;
    struct hist answer;
    char first_failure[160];
};
extern struct http_totals http;

void http_init(void);
/* Gives work to the idle publishers as long as there is a plan. */
void http_publish(void);
void http_event(uint32_t index, uint32_t events);
/* A push to this user is under way: another now could overtake it. */
bool http_is_busy(uint32_t user);
