#include "gateway/limits.h"

#include "gateway/base/listen_address.h"
#include "gateway/base/log.h"

#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>

/* Descriptors that are not subscribers': 1200 connections of the admin port, with two more of each
 * whose request is on a bridge; the store, heads under way. */
enum { OTHER_FILES = 3900, FEW_CONNECTIONS = 4096 };

void limits_raise_files(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        log_event(LOG_WARN, "the limit of open files cannot be raised",
                  LOG_TEXT("error", strerror(errno)));
}

uint32_t limits_room_for_connections(void)
{
    struct rlimit limit = {.rlim_cur = 1024};
    getrlimit(RLIMIT_NOFILE, &limit);
    uint64_t files = limit.rlim_cur > 100000000 ? 100000000 : limit.rlim_cur;
    uint64_t others = files / 2 < OTHER_FILES ? files / 2 : OTHER_FILES;
    return (uint32_t)(files - others);
}

uint32_t limits_max_connections(const struct options *options)
{
    uint32_t room = limits_room_for_connections();
    if (options->max_connections > (int64_t)room) {
        log_event(LOG_WARN, "max-connections is more than the limit of open files allows",
                  LOG_INT("max_connections", options->max_connections), LOG_INT("used", room));
        return room;
    }
    if (options->max_connections > 0)
        return (uint32_t)options->max_connections;
    if (room < FEW_CONNECTIONS)
        log_event(LOG_WARN,
                  "the limit of open files is low: raise it (ulimit -n, LimitNOFILE) for more "
                  "connections",
                  LOG_INT("max_connections", room));
    return room;
}

static bool is_loopback(const char *text)
{
    struct listen_address address;
    return listen_address_parse(text, &address) == ERR_OK && listen_address_is_loopback(&address);
}

/* A unix socket of subscribers is for a proxy, which is not this machine's developer. */
static bool is_loopback_port(const char *text)
{
    struct listen_address address;
    return listen_address_parse(text, &address) == ERR_OK && !address.is_unix &&
           listen_address_is_loopback(&address);
}

/* Each of the --listen for itself. */
static enum err check_port(const struct options *options, const char *listen, char *why,
                           size_t why_cap)
{
    if (is_loopback_port(listen))
        return ERR_OK;
    if (options->demo) {
        snprintf(why, why_cap,
                 "--demo lets anybody push: it serves loopback only, and --listen is %s", listen);
        return ERR_INVALID_FIELD;
    }
    if (!options->insecure && strcmp(options->auth, "none") == 0) {
        snprintf(why, why_cap,
                 "--listen %s is not on loopback, and --auth none believes any userId: say --auth "
                 "jwt or ticket, listen on 127.0.0.1, or say --insecure",
                 listen);
        return ERR_INVALID_FIELD;
    }
    return ERR_OK;
}

enum err limits_check_exposure(const struct options *options, char *why, size_t why_cap)
{
    for (size_t i = 0; i < options->listen.n; i++) {
        enum err error = check_port(options, options->listen.values[i], why, why_cap);
        if (error != ERR_OK)
            return error;
    }
    if (options->insecure)
        return ERR_OK;
    if (!is_loopback(options->admin_listen) && options->admin_keys[0] == '\0') {
        snprintf(why, why_cap,
                 "--admin-listen %s is beyond loopback without --admin-keys: give it a key file, "
                 "listen on 127.0.0.1 or unix:PATH, or say --insecure",
                 options->admin_listen);
        return ERR_INVALID_FIELD;
    }
    return ERR_OK;
}
