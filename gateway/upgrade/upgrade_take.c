/* The variable is checked first: it may have been set by hand. Then messages come in their order,
 * BEGIN to END; each session is built on its home worker and held. What cannot be built is kept
 * with its record until the socket is ours, and is told 1012 then.
 *
 * ADOPTED is the last word of this process. After it there is no deadline: the other one has sent
 * COMMIT, or will, or has died, or has ended us. Its end of the link closes also when it dies, a
 * little before it is seen to be dead: so an end without COMMIT is waited out. */
#include "gateway/upgrade/upgrade_take.h"

#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/requests/nodes.h"
#include "gateway/upgrade/process_record.h"
#include "gateway/upgrade/record.h"
#include "gateway/upgrade/upgrade.h"
#include "gateway/upgrade/upgrade_adopt.h"
#include "gateway/upgrade/upgrade_link.h"
#include "gateway/upgrade/upgrade_spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    GREETING_MS = 5000,
    SEND_MS = 1000,   /* a few bytes */
    LOOK_MS = 250,    /* for signals, while nothing comes */
    DEATH_MS = 10000, /* from the end of the link to the end of the process that had it */
    DEATH_LOOK_US = 1000,
    NAMESAKE_MS = 15000, /* as long as nodes know one that has not said goodbye */
    GREETING_MAX_BYTES = 65536,
    SMALL_BYTES = 65536,
};

struct upgrade_take {
    struct upgrade_link *link;
    struct buf greeting_bytes;
    struct upgrade_greeting greeting;
    int lock_fd;
    bool has_begun; /* BEGIN has come */
    bool has_ports; /* LISTEN has come */
    bool has_ended; /* END has come */
    bool is_closed; /* the link: the other process says nothing more */
    int64_t frozen_ms;
    struct upgrade_adopted adopted;
};

/* ---- the variable ---- */

/* Why the variable does not lead to a running Herald; NULL: it does, as far as can be seen. */
static const char *what_is_wrong(int fd)
{
    int domain = 0;
    int type = 0;
    struct ucred peer = {0};
    socklen_t domain_len = sizeof domain;
    socklen_t type_len = sizeof type;
    socklen_t peer_len = sizeof peer;
    if (fcntl(fd, F_GETFD) < 0)
        return "is not open";
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &domain_len) != 0 ||
        getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_len) != 0)
        return "is no socket";
    if (domain != AF_UNIX || type != SOCK_STREAM ||
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_len) != 0)
        return "is no unix stream socket";
    if (peer.pid != getppid())
        return "is not a socket of the process that started this one";
    return NULL;
}

static enum err refuse_variable(const char *text, const char *what, char *why, size_t why_cap)
{
    snprintf(why, why_cap,
             UPGRADE_FD_VARIABLE "=%.32s: this descriptor %s. A running Herald sets the variable "
                                 "for its successor; unset it",
             text, what);
    return ERR_INVALID_FIELD;
}

static bool read_number(const char *text, int *ret_fd)
{
    char *end;
    errno = 0;
    long number = strtol(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || number <= STDERR_FILENO ||
        number > INT32_MAX)
        return false;
    *ret_fd = (int)number;
    return true;
}

/* NULL: it has come. */
static const char *await_greeting(struct upgrade_take *take)
{
    struct upgrade_message message;
    enum upgrade_receipt receipt =
        upgrade_link_receive(take->link, clock_monotonic_ms() + GREETING_MS, &message);
    if (receipt == UPGRADE_NOTHING || receipt == UPGRADE_CLOSED)
        return "brings no greeting";
    if (receipt != UPGRADE_MESSAGE || message.kind != UPGRADE_GREETING ||
        buf_append_span(&take->greeting_bytes, message.bytes) != ERR_OK ||
        upgrade_greeting_read(buf_span(&take->greeting_bytes), &take->greeting) != ERR_OK ||
        message.n_fds != take->greeting.has_lock || take->greeting.pid != (uint32_t)getppid())
        return "brings something else than a greeting";
    if (take->greeting.has_lock) {
        take->lock_fd = message.fds[0];
        message.fds[0] = -1;
    }
    return NULL;
}

enum err upgrade_take_open(struct upgrade_take **ret_take, char *why, size_t why_cap)
{
    const char *value = getenv(UPGRADE_FD_VARIABLE);
    char text[40];
    int fd = -1;
    *ret_take = NULL;
    if (value == NULL)
        return ERR_OK;
    snprintf(text, sizeof text, "%s", value);
    unsetenv(UPGRADE_FD_VARIABLE);
    if (!read_number(text, &fd))
        return refuse_variable(text, "is no number above 2", why, why_cap);
    const char *what = what_is_wrong(fd);
    if (what != NULL)
        return refuse_variable(text, what, why, why_cap);

    struct upgrade_take *take = calloc(1, sizeof *take);
    snprintf(why, why_cap, "out of memory");
    if (take == NULL)
        return ERR_NO_MEMORY;
    take->lock_fd = -1;
    buf_init(&take->greeting_bytes, GREETING_MAX_BYTES);
    enum err error = upgrade_link_new(fd, &take->link);
    if (error == ERR_OK) {
        what = await_greeting(take);
        if (what != NULL)
            error = refuse_variable(text, what, why, why_cap);
    }
    if (error == ERR_OK)
        *ret_take = take;
    else
        upgrade_take_free(take);
    return error;
}

void upgrade_take_free(struct upgrade_take *take)
{
    if (take == NULL)
        return;
    if (take->lock_fd >= 0)
        close(take->lock_fd);
    buf_fini(&take->greeting_bytes);
    upgrade_link_free(take->link);
    free(take);
}

const struct upgrade_greeting *upgrade_take_greeting(const struct upgrade_take *take)
{
    return &take->greeting;
}

int upgrade_take_lock(const struct upgrade_take *take)
{
    return take->lock_fd;
}

enum err upgrade_take_check(const struct upgrade_take *take, uint32_t room, char *why,
                            size_t why_cap)
{
    const struct upgrade_greeting *greeting = &take->greeting;
    if (upgrade_format_for(greeting->format, greeting->format_before, UPGRADE_FORMAT,
                           UPGRADE_FORMAT_BEFORE) == 0) {
        snprintf(why, why_cap, "the running Herald hands over format %u, this one takes %u",
                 greeting->format, UPGRADE_FORMAT);
        return ERR_INVALID_FIELD;
    }
    if (room < greeting->n_sessions) {
        snprintf(
            why, why_cap,
            "the limit of open files leaves room for %u connections, and %u sessions are to be "
            "handed over: raise it (ulimit -n, LimitNOFILE)",
            room, greeting->n_sessions);
        return ERR_INVALID_FIELD;
    }
    return ERR_OK;
}

/* ---- messages to the running process ---- */

static enum err send_bytes(struct upgrade_take *take, enum upgrade_kind kind, struct buf *bytes,
                           enum err error)
{
    if (error == ERR_OK)
        error = upgrade_link_send(take->link, kind, buf_span(bytes), NULL, 0,
                                  clock_monotonic_ms() + SEND_MS);
    buf_fini(bytes);
    return error;
}

void upgrade_take_refuse(struct upgrade_take *take, const char *why)
{
    struct buf bytes;
    if (take == NULL)
        return;
    buf_init(&bytes, SMALL_BYTES);
    if (send_bytes(take, UPGRADE_REFUSED, &bytes, upgrade_refusal_write(why, &bytes)) != ERR_OK)
        log_event(LOG_WARN, "the running Herald takes no message",
                  LOG_INT("pid", take->greeting.pid));
}

static enum err send_ready(struct upgrade_take *take)
{
    struct buf bytes;
    const struct upgrade_ready ready = {
        .pid = (uint32_t)getpid(),
        .format = UPGRADE_FORMAT,
        .format_before = UPGRADE_FORMAT_BEFORE,
        .version = SPAN_LITERAL(HERALD_VERSION),
    };
    buf_init(&bytes, SMALL_BYTES);
    return send_bytes(take, UPGRADE_READY, &bytes, upgrade_ready_write(&ready, &bytes));
}

static enum err send_counts(struct upgrade_take *take, enum upgrade_kind kind,
                            struct upgrade_counts counts)
{
    struct buf bytes;
    buf_init(&bytes, SMALL_BYTES);
    return send_bytes(take, kind, &bytes, upgrade_counts_write(&counts, &bytes));
}

/* ---- messages from it ---- */

static enum err take_begin(struct upgrade_take *take, struct span bytes)
{
    uint8_t tag;
    uint64_t format;
    struct span number;
    if (take->has_begun || record_take(&bytes, &tag, &number) != RECORD_ITEM ||
        !record_unsigned(number, UINT32_MAX, &format) || format < UPGRADE_FORMAT_BEFORE ||
        format > UPGRADE_FORMAT)
        return ERR_INVALID_FIELD;
    take->has_begun = true;
    return ERR_OK;
}

/* The texts end with a NUL here, because the options' do. */
static enum err sort_listeners(struct upgrade_message *message, char *texts,
                               struct given_listener *given[2], size_t n_given[2])
{
    struct span rest = message->bytes;
    for (unsigned i = 0; i < message->n_fds; i++) {
        bool is_admin;
        struct span text;
        if (!upgrade_listening_take(&rest, &is_admin, &text))
            return ERR_INVALID_FIELD;
        memcpy(texts, text.bytes, text.len);
        texts[text.len] = '\0';
        given[is_admin][n_given[is_admin]++] = (struct given_listener){message->fds[i], texts};
        texts += text.len + 1;
    }
    return rest.len == 0 ? ERR_OK : ERR_INVALID_FIELD;
}

static enum err take_listen(struct upgrade_take *take, const struct upgrade_new *new,
                            struct upgrade_message *message, char *why, size_t why_cap)
{
    struct given_listener subscribers[UPGRADE_MAX_FDS];
    struct given_listener admin[UPGRADE_MAX_FDS];
    struct given_listener *given[2] = {subscribers, admin};
    size_t n_given[2] = {0, 0};
    char *texts = malloc(message->bytes.len + message->n_fds + 1);
    if (texts == NULL)
        return ERR_NO_MEMORY;
    enum err error =
        take->has_ports ? ERR_INVALID_FIELD : sort_listeners(message, texts, given, n_given);
    if (error == ERR_OK) {
        for (unsigned i = 0; i < message->n_fds; i++)
            message->fds[i] = -1; /* `listen` has them */
        error = new->listen(new->owner, subscribers, n_given[false], admin, n_given[true], why,
                            why_cap);
        take->has_ports = error == ERR_OK;
    }
    free(texts);
    return error;
}

static enum err take_end(struct upgrade_take *take, struct span bytes)
{
    struct upgrade_counts counts;
    if (upgrade_counts_read(bytes, &counts) != ERR_OK ||
        counts.n_sessions != take->adopted.n_sessions || counts.n_http != take->adopted.n_http)
        return ERR_INVALID_FIELD;
    take->has_ended = true;
    return ERR_OK;
}

static enum err take_message(struct upgrade_take *take, const struct upgrade_new *new,
                             struct upgrade_message *message, char *why, size_t why_cap)
{
    char record_why[RECORD_WHY_MAX_BYTES] = "";
    enum err error;
    if (message->kind == UPGRADE_BEGIN)
        return take_begin(take, message->bytes);
    if (!take->has_begun)
        return ERR_INVALID_FIELD;
    if (message->kind == UPGRADE_LISTEN)
        return take_listen(take, new, message, why, why_cap);
    if (!take->has_ports)
        return ERR_INVALID_FIELD;
    switch (message->kind) {
    case UPGRADE_PROCESS:
        error = process_record_read(message->bytes, new->node, &take->frozen_ms, record_why);
        if (error != ERR_OK)
            snprintf(why, why_cap, "what the running Herald says of itself: %s", record_why);
        return error;
    case UPGRADE_SESSIONS:
        return upgrade_adopt_sessions(&take->adopted, message);
    case UPGRADE_HTTP:
        return upgrade_adopt_http(&take->adopted, message);
    case UPGRADE_END:
        return take_end(take, message->bytes);
    default:
        return ERR_INVALID_FIELD;
    }
}

static bool has_signal_to_stop(void)
{
    sigset_t pending;
    return sigpending(&pending) == 0 &&
           (sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1);
}

/* Who hears nothing of it any more may have said everything before: END tells. */
static void say_taken(struct upgrade_take *take, unsigned n_fds)
{
    if (send_counts(take, UPGRADE_TAKEN, (struct upgrade_counts){.n_sessions = n_fds}) != ERR_OK)
        log_event(LOG_DEBUG, "the running Herald takes no message",
                  LOG_INT("pid", take->greeting.pid));
}

/* Up to END. On an error *why says what the other process is told; empty: there is nobody. */
static enum err take_everything(struct upgrade_take *take, const struct upgrade_new *new, char *why,
                                size_t why_cap)
{
    while (!take->has_ended) {
        struct upgrade_message message;
        enum upgrade_receipt receipt =
            upgrade_link_receive(take->link, clock_monotonic_ms() + LOOK_MS, &message);
        snprintf(why, why_cap, "a signal to stop has come");
        if (receipt == UPGRADE_NOTHING && has_signal_to_stop())
            return ERR_SYSTEM;
        if (receipt == UPGRADE_NOTHING)
            continue;
        why[0] = '\0';
        if (receipt != UPGRADE_MESSAGE && receipt != UPGRADE_MALFORMED)
            return ERR_SYSTEM;
        snprintf(why, why_cap, "the running Herald has sent what cannot be read");
        if (receipt == UPGRADE_MALFORMED)
            return ERR_INVALID_FIELD;
        unsigned n_fds = message.n_fds;
        enum err error = take_message(take, new, &message, why, why_cap);
        if (error == ERR_NO_MEMORY)
            snprintf(why, why_cap, "out of memory");
        if (error != ERR_OK)
            return error;
        if (n_fds > 0)
            say_taken(take, n_fds);
    }
    return ERR_OK;
}

/* Its end of the link is closed. */
static bool parent_is_dead(const struct upgrade_take *take)
{
    int64_t end_ms = clock_monotonic_ms() + DEATH_MS;
    while ((uint32_t)getppid() == take->greeting.pid) {
        if (clock_monotonic_ms() >= end_ms)
            return false;
        usleep(DEATH_LOOK_US);
    }
    return true;
}

/* After ADOPTED. */
static bool await_commit(struct upgrade_take *take)
{
    for (;;) {
        struct upgrade_message message;
        enum upgrade_receipt receipt =
            upgrade_link_receive(take->link, clock_monotonic_ms() + LOOK_MS, &message);
        if (receipt == UPGRADE_NOTHING)
            continue;
        if (receipt == UPGRADE_MESSAGE && message.kind == UPGRADE_COMMIT)
            return true;
        take->is_closed = receipt == UPGRADE_CLOSED;
        return take->is_closed && parent_is_dead(take);
    }
}

bool upgrade_take_all(struct upgrade_take *take, const struct upgrade_new *new, char *why,
                      size_t why_cap)
{
    take->adopted.node = new->node;
    take->adopted.ports[false] = new->node->port;
    take->adopted.ports[true] = new->admin_port;
    enum err error = send_ready(take);
    why[0] = '\0';
    if (error == ERR_OK)
        error = take_everything(take, new, why, why_cap);
    if (error != ERR_OK) {
        if (why[0] != '\0')
            upgrade_take_refuse(take, why);
        else
            snprintf(why, why_cap, "the running Herald has closed the link");
        return false;
    }
    nodes_arrive(new->node);
    new->on_adopted(new->owner);
    struct upgrade_counts counts = {take->adopted.n_sessions, take->adopted.n_http};
    if (send_counts(take, UPGRADE_ADOPTED, counts) != ERR_OK)
        log_event(LOG_WARN, "the running Herald takes no message",
                  LOG_INT("pid", take->greeting.pid)); /* it may be dead: await_commit knows */
    if (await_commit(take))
        return true;
    snprintf(why, why_cap, "the running Herald goes on by itself");
    return false;
}

/* ---- GO ---- */

void upgrade_take_go(struct upgrade_take *take, const struct upgrade_new *new)
{
    char version[UPGRADE_VERSION_MAX_BYTES];
    upgrade_adopt_go(&take->adopted);
    atomic_store(&new->node->has_namesake_until_ms, clock_monotonic_ms() + NAMESAKE_MS);
    int64_t pause_ms = clock_monotonic_ms() - take->frozen_ms;
    snprintf(version, sizeof version, "%.*s", (int)take->greeting.version.len,
             take->greeting.version.bytes);
    upgrade_end(new->node->upgrade, version, take->adopted.n_sessions, pause_ms);
    log_event(LOG_INFO, "sessions taken over", LOG_INT("from_pid", take->greeting.pid),
              LOG_TEXT("from_version", version), LOG_INT("sessions", take->adopted.n_sessions),
              LOG_INT("http_connections", take->adopted.n_http), LOG_INT("pause_ms", pause_ms));
}

bool upgrade_take_is_let_go(struct upgrade_take *take, int64_t end_ms)
{
    struct upgrade_message message;
    while (!take->is_closed) {
        enum upgrade_receipt receipt = upgrade_link_receive(take->link, end_ms, &message);
        if (receipt == UPGRADE_NOTHING)
            return false;
        take->is_closed = receipt != UPGRADE_MESSAGE || message.kind == UPGRADE_DONE;
    }
    return true;
}
