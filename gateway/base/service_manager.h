/* The service manager that started this process: systemd, or another that speaks its protocol
 * (sd_notify(3)). At NOTIFY_SOCKET it is told when this process serves, reads its options again
 * and stops, which process is the main one of the service, one line for operators, and, if it has
 * set WATCHDOG_USEC, that the process is alive. Without NOTIFY_SOCKET nobody is told, and every
 * call returns at once. The environment is only read, so that a child inherits it.
 *
 * Nothing here waits, and nothing fails: what the manager has no room for is said again by
 * service_manager_turn. A socket that nobody listens at is one warning, until somebody does.
 *
 * A hand-over between two processes of one service:
 *
 *     the new process   service_manager_init; service_manager_mute; when it has everything:
 *                       service_manager_take_over
 *     the old process   before it ends: service_manager_mute. Or, if the new process has failed:
 *                       service_manager_take_over
 *
 * Threads: one at a time (main). */
#ifndef HERALD_BASE_SERVICE_MANAGER_H
#define HERALD_BASE_SERVICE_MANAGER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { SERVICE_STATUS_MAX_BYTES = 1024 };

enum service_state { SERVICE_STARTING, SERVICE_READY, SERVICE_RELOADING, SERVICE_STOPPING };

/* Its members are for service_manager.c. */
struct service_manager {
    int fd; /* -1: nobody is told */
    struct sockaddr_un address;
    socklen_t address_len;
    bool is_mute;
    bool is_main;  /* it has said MAINPID, and says so again with each state */
    bool is_owed;  /* the state was not taken */
    bool is_heard; /* the last datagram was taken */
    enum service_state state;
    char status[SERVICE_STATUS_MAX_BYTES]; /* that was said last */
    int64_t keep_alive_ms;                 /* between two signs of life; 0: none is wanted */
    bool has_watchdog;                     /* the signs of life are due from this process */
    int64_t due_ms;                        /* monotonic: the next one */
};

/* Reads NOTIFY_SOCKET (a path, or @NAME in the abstract namespace), WATCHDOG_USEC and WATCHDOG_PID.
 * What is wrong in them is one warning, and is then as if it were not set. */
void service_manager_init(struct service_manager *manager);
void service_manager_fini(struct service_manager *manager);

/* READY=1 with the status: it serves, for the first time or after service_manager_reloading. */
void service_manager_ready(struct service_manager *manager, const char *status);

/* RELOADING=1: the options are being read again. service_manager_ready ends it. */
void service_manager_reloading(struct service_manager *manager, const char *status);

/* STOPPING=1: the process is on its way to its end; the watchdog has no say from now on. */
void service_manager_stopping(struct service_manager *manager, const char *status);

/* STATUS: one line of UTF-8, of which SERVICE_STATUS_MAX_BYTES - 1 bytes at most are said. Control
 * characters become spaces. false: nothing is sent, because it is what was said last. */
bool service_manager_status(struct service_manager *manager, const char *status);

/* EXTEND_TIMEOUT_USEC: a start or a stop may take that long from now, if the unit's timeout would
 * end it earlier. */
void service_manager_extend(struct service_manager *manager, int64_t ms);

/* Call it again and again: it says what is owed, and WATCHDOG=1 each half of WATCHDOG_USEC while
 * `is_alive`, which must be a judgement about the threads that serve, not about the caller.
 * Returns in how many ms it must be called again, at most `at_most_ms`. */
int service_manager_turn(struct service_manager *manager, bool is_alive, int at_most_ms);

/* false: nobody would hear what is said, so it need not be found out. */
bool service_manager_is_told(const struct service_manager *manager);

/* From now on this process says nothing, and owes nothing: another one of the service speaks. */
void service_manager_mute(struct service_manager *manager);

/* MAINPID of this process, READY=1 and the status. From now on this process speaks, and the signs
 * of life are due from it, whatever WATCHDOG_PID says. */
void service_manager_take_over(struct service_manager *manager, const char *status);

#endif
