/* Opening takes the addresses one by one, and undoes what it opened when one fails. Sockets that
 * another process has given are looked through first: by what named them there, which tells sockets
 * of port 0 apart, and then by where they listen. Those that nobody asks for are kept until the
 * other process is gone: it may have to go on with them. */
#include "gateway/http/listeners.h"

#include "gateway/base/listen_address.h"
#include "gateway/base/log.h"
#include "gateway/net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

struct one_listener {
    struct listen_address address;
    const char *text; /* the options' */
    int fd;
    bool is_given; /* its file is not ours to remove: another process has it, too, or it is gone */
};

struct listeners {
    const char *option;
    struct socket_rights rights;
    bool has_rights;
    size_t n; /* that are open */
    size_t n_unnamed;
    struct one_listener *unnamed; /* given, and at no address of ours; behind `all` */
    struct one_listener all[];
};

static bool is_v6(const struct listen_address *address)
{
    return !address->is_unix && strchr(address->host, ':') != NULL;
}

/* Has another one, which is not IPv6, the same port? Then this one must not take IPv4 as well.
 */
static bool shares_port(const struct option_list *texts, const struct listen_address *address)
{
    struct listen_address other;
    for (size_t i = 0; i < texts->n; i++) {
        if (listen_address_parse(texts->values[i], &other) == ERR_OK && !other.is_unix &&
            !is_v6(&other) && strtol(other.port, NULL, 10) != 0 &&
            strtol(other.port, NULL, 10) == strtol(address->port, NULL, 10))
            return true;
    }
    return false;
}

/* ---- sockets of another process ---- */

/* Takes one of those that nobody has asked for yet. */
static bool take_given(struct listeners *listeners, struct one_listener *one)
{
    struct one_listener *found = NULL;
    for (size_t i = 0; i < listeners->n_unnamed && found == NULL; i++) {
        if (strcmp(listeners->unnamed[i].text, one->text) == 0)
            found = &listeners->unnamed[i];
    }
    for (size_t i = 0; i < listeners->n_unnamed && found == NULL; i++) {
        if (listener_is_at(listeners->unnamed[i].fd, &one->address))
            found = &listeners->unnamed[i];
    }
    if (found == NULL)
        return false;
    one->fd = found->fd;
    one->is_given = true;
    *found = listeners->unnamed[--listeners->n_unnamed];
    return true;
}

static void close_listener(const struct one_listener *one)
{
    if (one->is_given)
        close(one->fd);
    else
        listener_close(one->fd, &one->address);
}

static void close_unnamed(struct listeners *listeners)
{
    for (size_t i = 0; i < listeners->n_unnamed; i++)
        close_listener(&listeners->unnamed[i]);
    listeners->n_unnamed = 0;
}

/* ---- opening ---- */

static enum err open_listener(const struct option_list *texts, size_t i, const char *option,
                              struct listeners *listeners, char *why, size_t why_cap)
{
    struct one_listener *one = &listeners->all[i];
    const struct socket_rights *rights = listeners->has_rights ? &listeners->rights : NULL;
    one->text = texts->values[i];
    if (listen_address_parse(one->text, &one->address) != ERR_OK) {
        snprintf(why, why_cap, "--%s must be HOST:PORT, [V6]:PORT or unix:PATH", option);
        return ERR_INVALID_FIELD;
    }
    one->address.is_v6_only = is_v6(&one->address) && shares_port(texts, &one->address);
    if (take_given(listeners, one))
        return ERR_OK;
    return listener_open(&one->address, rights, option, &one->fd, why, why_cap);
}

static struct listeners *new_listeners(size_t room, const char *option,
                                       const struct socket_rights *rights,
                                       const struct given_listener *given, size_t n_given)
{
    struct listeners *listeners =
        calloc(1, sizeof *listeners + (room + n_given) * sizeof listeners->all[0]);
    if (listeners == NULL)
        return NULL;
    listeners->option = option;
    listeners->has_rights = rights != NULL;
    if (rights != NULL)
        listeners->rights = *rights;
    listeners->n_unnamed = n_given;
    listeners->unnamed = listeners->all + room;
    for (size_t i = 0; i < n_given; i++) {
        struct one_listener *one = &listeners->unnamed[i];
        *one = (struct one_listener){.text = given[i].text, .fd = given[i].fd, .is_given = true};
        /* It was an option's value, so it can be parsed; its path is removed if it is not named. */
        if (listen_address_parse(one->text, &one->address) != ERR_OK)
            one->address = (struct listen_address){0};
    }
    return listeners;
}

enum err listeners_adopt(const struct option_list *addresses, const char *option,
                         const struct socket_rights *rights, const struct given_listener *given,
                         size_t n_given, struct listeners **ret_listeners, char *why,
                         size_t why_cap)
{
    struct listeners *listeners = new_listeners(addresses->n, option, rights, given, n_given);
    if (listeners == NULL) {
        for (size_t i = 0; i < n_given; i++)
            close(given[i].fd);
        return ERR_NO_MEMORY;
    }
    for (; listeners->n < addresses->n; listeners->n++) {
        enum err error = open_listener(addresses, listeners->n, option, listeners, why, why_cap);
        if (error != ERR_OK) {
            listeners_close(listeners);
            return error;
        }
    }
    *ret_listeners = listeners;
    return ERR_OK;
}

enum err listeners_open(const struct option_list *addresses, const char *option,
                        const struct socket_rights *rights, struct listeners **ret_listeners,
                        char *why, size_t why_cap)
{
    return listeners_adopt(addresses, option, rights, NULL, 0, ret_listeners, why, why_cap);
}

/* ---- the end of the other process's part ---- */

static void apply_rights(const struct listeners *listeners, const struct one_listener *one)
{
    const char *what = NULL;
    if (!listeners->has_rights || !one->address.is_unix ||
        socket_rights_apply(&listeners->rights, one->address.host, &what) == ERR_OK)
        return;
    log_event(LOG_WARN, "a socket's file has the rights that it had before",
              LOG_TEXT("path", one->address.host), LOG_TEXT("why", what),
              LOG_TEXT("error", strerrordesc_np(errno)));
}

static bool has_lost_its_file(const struct one_listener *one)
{
    struct stat found;
    if (!one->address.is_unix)
        return false;
    return lstat(one->address.host, &found) == 0 ? !S_ISSOCK(found.st_mode) : errno == ENOENT;
}

/* Somebody has removed the file of a given socket, so nobody can find it. If its name is free, a
 * new socket takes it. Not before the other process has let go: it would leave a file of its own if
 * it had to end without having taken over. false: it cannot be. */
static bool is_made_anew(const struct listeners *listeners, const struct one_listener *one)
{
    const struct socket_rights *rights = listeners->has_rights ? &listeners->rights : NULL;
    char why[1024];
    int fd;
    enum err error = listener_open(&one->address, rights, listeners->option, &fd, why, sizeof why);
    if (error == ERR_OK) {
        if (dup3(fd, one->fd, O_CLOEXEC) != one->fd) { /* acceptors know it by its number */
            snprintf(why, sizeof why, "%s", strerrordesc_np(errno));
            error = ERR_SYSTEM;
        }
        close(fd);
    }
    if (error == ERR_OK)
        log_event(LOG_WARN, "a socket's file was gone, and is made anew",
                  LOG_TEXT("path", one->address.host));
    else
        log_event(LOG_ERROR,
                  "a socket's file is gone, and nobody can connect there: upgrade again, or "
                  "restart, when it can be made",
                  LOG_TEXT("path", one->address.host), LOG_TEXT("why", why));
    return error == ERR_OK;
}

void listeners_settle(struct listeners *listeners)
{
    for (size_t i = 0; i < listeners->n_unnamed; i++)
        listeners->unnamed[i].is_given = false;
    close_unnamed(listeners);
    for (size_t i = 0; i < listeners->n; i++) {
        struct one_listener *one = &listeners->all[i];
        if (one->is_given && has_lost_its_file(one)) {
            one->is_given = !is_made_anew(listeners, one); /* what is there now is not ours */
        } else {
            one->is_given = false;
            apply_rights(listeners, one);
        }
    }
}

void listeners_let_go(struct listeners *listeners)
{
    if (listeners == NULL)
        return;
    for (size_t i = 0; i < listeners->n; i++)
        listeners->all[i].is_given = true;
    listeners_close(listeners);
}

void listeners_close(struct listeners *listeners)
{
    if (listeners == NULL)
        return;
    for (size_t i = 0; i < listeners->n; i++)
        close_listener(&listeners->all[i]);
    close_unnamed(listeners);
    free(listeners);
}

void listeners_await_nothing(const struct listeners *listeners)
{
    int no = 0;
    for (size_t i = 0; i < listeners_count(listeners); i++)
        setsockopt(listeners->all[i].fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &no, sizeof no);
}

void listeners_hide(struct listeners *listeners)
{
    for (size_t i = 0; i < listeners_count(listeners); i++) {
        if (!listeners->all[i].is_given)
            listener_hide(&listeners->all[i].address);
        listeners->all[i].is_given = true; /* the path may be another program's by now */
    }
}

void listeners_end(const struct listeners *listeners)
{
    for (size_t i = 0; i < listeners_count(listeners); i++)
        shutdown(listeners->all[i].fd, SHUT_RDWR);
}

size_t listeners_count(const struct listeners *listeners)
{
    return listeners == NULL ? 0 : listeners->n;
}

int listeners_fd(const struct listeners *listeners, size_t i)
{
    return listeners->all[i].fd;
}

const char *listeners_text(const struct listeners *listeners, size_t i)
{
    return listeners->all[i].text;
}

void listeners_describe(const struct listeners *listeners, char *out, size_t cap)
{
    size_t len = 0;
    out[0] = '\0';
    for (size_t i = 0; i < listeners->n && len + 1 < cap; i++) {
        char where[300];
        listener_describe(listeners->all[i].fd, where, sizeof where);
        snprintf(out + len, cap - len, "%s%s", i > 0 ? "," : "", where);
        len += strlen(out + len);
    }
}
