/* One datagram of lines NAME=VALUE for each call. libsystemd would send the same, but its sd_notify
 * waits for ever where the manager does not read, and here the thread would wait that takes the
 * signals; sd_watchdog_enabled says no to a process that takes a service over; and it brings six
 * libraries into a process that strangers talk to. The protocol itself is the stable interface
 * (sd_notify(3), notes).
 *
 * The socket is opened once: where descriptors have run out, the signs of life must still go out.
 * It is not connected, so that a manager that makes its socket anew is found there. */
#include "gateway/base/service_manager.h"

#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "proto/bytes/decimal.h"
#include "proto/bytes/utf8.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MESSAGE_MAX_BYTES = SERVICE_STATUS_MAX_BYTES + 256, MAX_WATCHDOG_MS = 24 * 3600 * 1000 };

static const char *variable_of(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

/* ---- what is said ---- */

/* The value of NOTIFY_SOCKET is not shown: it is what somebody has set by mistake. */
static void warn_unheard(struct service_manager *manager, const char *why)
{
    if (manager->is_heard)
        log_event(LOG_WARN, "the service manager at NOTIFY_SOCKET hears nothing",
                  LOG_TEXT("why", why));
    manager->is_heard = false;
}

bool service_manager_is_told(const struct service_manager *manager)
{
    return manager->fd >= 0 && !manager->is_mute;
}

/* false: it was not taken. */
static bool send_lines(struct service_manager *manager, const char *lines)
{
    if (!service_manager_is_told(manager))
        return true;
    ssize_t sent;
    do {
        sent = sendto(manager->fd, lines, strlen(lines), MSG_NOSIGNAL | MSG_DONTWAIT,
                      (const struct sockaddr *)&manager->address, manager->address_len);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0) {
        warn_unheard(manager,
                     errno == EAGAIN ? "it does not read, and its queue is full" : strerror(errno));
        return false;
    }
    manager->is_heard = true;
    return true;
}

/* A character that was cut in two is left out; of a text that is not UTF-8, all bytes that are not
 * ASCII are replaced. */
static void clean_line(char *line, size_t len)
{
    for (int i = 0; i < 3 && len > 0 && !utf8_is_valid((struct span){line, len}); i++)
        len -= (line[len - 1] & 0x80) != 0;
    line[len] = '\0';
    bool is_valid = utf8_is_valid((struct span){line, len});
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
            line[i] = ' ';
        else if (!is_valid && (line[i] & 0x80) != 0)
            line[i] = '?';
    }
}

/* true: it is another one than before. */
static bool set_status(struct service_manager *manager, const char *status)
{
    char line[SERVICE_STATUS_MAX_BYTES];
    size_t len = strnlen(status, sizeof line - 1);
    memcpy(line, status, len);
    clean_line(line, len);
    if (strcmp(manager->status, line) == 0)
        return false;
    memcpy(manager->status, line, sizeof line);
    return true;
}

static void say_state(struct service_manager *manager)
{
    static const char *const states[] = {
        [SERVICE_STARTING] = "",
        [SERVICE_READY] = "READY=1\n",
        [SERVICE_RELOADING] = "RELOADING=1\n",
        [SERVICE_STOPPING] = "STOPPING=1\n",
    };
    char main_pid[32] = "", since[48] = "", lines[MESSAGE_MAX_BYTES];
    if (manager->is_main)
        snprintf(main_pid, sizeof main_pid, "MAINPID=%ld\n", (long)getpid());
    if (manager->state == SERVICE_RELOADING)
        snprintf(since, sizeof since, "MONOTONIC_USEC=%" PRId64 "\n", clock_monotonic_us());
    snprintf(lines, sizeof lines, "%s%s%sSTATUS=%s\n", main_pid, states[manager->state], since,
             manager->status);
    manager->is_owed = !send_lines(manager, lines);
}

static void enter_state(struct service_manager *manager, enum service_state state,
                        const char *status)
{
    manager->state = state;
    set_status(manager, status);
    say_state(manager);
}

void service_manager_ready(struct service_manager *manager, const char *status)
{
    enter_state(manager, SERVICE_READY, status);
}

void service_manager_reloading(struct service_manager *manager, const char *status)
{
    enter_state(manager, SERVICE_RELOADING, status);
}

void service_manager_stopping(struct service_manager *manager, const char *status)
{
    enter_state(manager, SERVICE_STOPPING, status);
}

bool service_manager_status(struct service_manager *manager, const char *status)
{
    char lines[MESSAGE_MAX_BYTES];
    if (!set_status(manager, status))
        return false;
    if (manager->is_owed)
        return true; /* the state that is owed brings it */
    snprintf(lines, sizeof lines, "STATUS=%s\n", manager->status);
    manager->is_owed = !send_lines(manager, lines);
    return true;
}

void service_manager_extend(struct service_manager *manager, int64_t ms)
{
    char lines[64];
    snprintf(lines, sizeof lines, "EXTEND_TIMEOUT_USEC=%" PRId64 "\n", ms * 1000);
    (void)send_lines(manager, lines); /* the next one stands for it */
}

int service_manager_turn(struct service_manager *manager, bool is_alive, int at_most_ms)
{
    if (!service_manager_is_told(manager))
        return at_most_ms;
    if (manager->is_owed)
        say_state(manager);
    if (!manager->has_watchdog)
        return at_most_ms;
    int64_t now_ms = clock_monotonic_ms();
    if (now_ms >= manager->due_ms) {
        bool is_said = is_alive && send_lines(manager, "WATCHDOG=1\n");
        /* One that was not said is tried again long before the manager's patience ends. */
        manager->due_ms = now_ms + manager->keep_alive_ms / (is_said ? 1 : 8) + !is_said;
    }
    int64_t left_ms = manager->due_ms - now_ms;
    return left_ms < at_most_ms ? (int)left_ms : at_most_ms;
}

/* ---- a hand-over ---- */

void service_manager_mute(struct service_manager *manager)
{
    manager->is_mute = true;
    manager->is_owed = false;
}

void service_manager_take_over(struct service_manager *manager, const char *status)
{
    manager->is_mute = false;
    manager->is_main = true;
    manager->has_watchdog = manager->keep_alive_ms > 0;
    manager->due_ms = clock_monotonic_ms();
    enter_state(manager, SERVICE_READY, status);
}

/* ---- the environment ---- */

static bool read_address(struct service_manager *manager, const char *text)
{
    struct sockaddr_un *address = &manager->address;
    size_t len = strlen(text);
    bool is_abstract = text[0] == '@';
    if ((text[0] != '/' && !is_abstract) || len < 2 || len >= sizeof address->sun_path)
        return false;
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, text, len + 1);
    if (is_abstract)
        address->sun_path[0] = '\0';
    /* The name of an abstract socket ends with the address, a path with its null byte. */
    manager->address_len =
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (is_abstract ? 0 : 1));
    return true;
}

static void open_socket(struct service_manager *manager)
{
    const char *where = variable_of("NOTIFY_SOCKET");
    if (where == NULL)
        return;
    manager->is_heard = true;
    if (!read_address(manager, where)) {
        warn_unheard(manager, "it is neither the whole path of a unix socket nor @NAME");
        return;
    }
    manager->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (manager->fd < 0)
        warn_unheard(manager, strerror(errno));
}

/* WATCHDOG_PID is the process that the manager has started: that is not this one if a program
 * between them has, or the process whose service this one is to take over. */
static void read_watchdog(struct service_manager *manager)
{
    const char *text = variable_of("WATCHDOG_USEC");
    const char *pid_text = variable_of("WATCHDOG_PID");
    uint64_t usec = 0, pid = (uint64_t)getpid();
    if (text == NULL || manager->fd < 0)
        return;
    if (!decimal_read(span_of(text), UINT64_MAX / 2, &usec) ||
        (pid_text != NULL && !decimal_read(span_of(pid_text), INT32_MAX, &pid))) {
        log_event(LOG_WARN,
                  "WATCHDOG_USEC and WATCHDOG_PID must be whole numbers: no sign of life "
                  "is given to the service manager",
                  LOG_INT("pid", getpid()));
        return;
    }
    if (usec == 0)
        return;
    int64_t half_ms = (int64_t)(usec / 2000);
    manager->keep_alive_ms = half_ms < 1                 ? 1
                             : half_ms > MAX_WATCHDOG_MS ? MAX_WATCHDOG_MS
                                                         : half_ms;
    manager->has_watchdog = pid == (uint64_t)getpid();
    manager->due_ms = clock_monotonic_ms();
}

void service_manager_init(struct service_manager *manager)
{
    *manager = (struct service_manager){.fd = -1};
    open_socket(manager);
    read_watchdog(manager);
}

void service_manager_fini(struct service_manager *manager)
{
    if (manager->fd >= 0)
        close(manager->fd);
    manager->fd = -1;
}
