#include "gateway/http/listeners.h"

#include "gateway/base/listen_address.h"
#include "gateway/net/listener.h"

#include <stdio.h>
#include <stdlib.h>

struct listeners {
    size_t n; /* that are open */
    struct {
        struct listen_address address;
        int fd;
    } all[];
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

static enum err open_listener(const struct option_list *texts, size_t i, const char *option,
                              const struct socket_rights *rights, struct listeners *listeners,
                              char *why, size_t why_cap)
{
    struct listen_address *address = &listeners->all[i].address;
    if (listen_address_parse(texts->values[i], address) != ERR_OK) {
        snprintf(why, why_cap, "--%s must be HOST:PORT, [V6]:PORT or unix:PATH", option);
        return ERR_INVALID_FIELD;
    }
    address->is_v6_only = is_v6(address) && shares_port(texts, address);
    return listener_open(address, rights, option, &listeners->all[i].fd, why, why_cap);
}

enum err listeners_open(const struct option_list *addresses, const char *option,
                        const struct socket_rights *rights, struct listeners **ret_listeners,
                        char *why, size_t why_cap)
{
    struct listeners *listeners =
        calloc(1, sizeof *listeners + addresses->n * sizeof listeners->all[0]);
    if (listeners == NULL)
        return ERR_NO_MEMORY;
    for (; listeners->n < addresses->n; listeners->n++) {
        enum err error =
            open_listener(addresses, listeners->n, option, rights, listeners, why, why_cap);
        if (error != ERR_OK) {
            listeners_close(listeners);
            return error;
        }
    }
    *ret_listeners = listeners;
    return ERR_OK;
}

void listeners_close(struct listeners *listeners)
{
    if (listeners == NULL)
        return;
    for (size_t i = 0; i < listeners->n; i++)
        listener_close(listeners->all[i].fd, &listeners->all[i].address);
    free(listeners);
}

size_t listeners_count(const struct listeners *listeners)
{
    return listeners->n;
}

int listeners_fd(const struct listeners *listeners, size_t i)
{
    return listeners->all[i].fd;
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
