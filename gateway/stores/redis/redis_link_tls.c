/* A link over TLS: the handshake between the connection and the greeting, and what is written and
 * read. A plain link finds out here that what answers it speaks TLS. */
#include "gateway/stores/redis/redis_link_parts.h"

#include "gateway/net/tls.h"
#include "gateway/stores/redis/redis_troubles.h"

#include <stdio.h>
#include <sys/epoll.h>

_Static_assert((int)REDIS_LINK_READ_BYTES >= (int)TRANSPORT_ROOM_BYTES, "a read has room");

/* A record of TLS that is an alert begins with these. */
enum { ALERT = 0x15, MAJOR_VERSION = 0x03 };
/* A server that wants TLS hangs up on the first command; so may any server, once. */
enum { SILENT_ENDS_OF_TLS = 2 };

static void break_with_address(struct redis_link *link, const char *before, const char *after)
{
    char address[REDIS_ADDRESS_TEXT_BYTES];
    char why[sizeof link->failure];
    redis_address_write(&link->target, address);
    snprintf(why, sizeof why, "%.20s%.90s%.88s", before, address, after);
    redis_link_break(link, why);
}

static void break_by_problem(struct redis_link *link)
{
    const char *text;
    char after[128];
    switch (tls_outgoing_problem(link->transport, &text)) {
    case TLS_UNTRUSTED:
        snprintf(after, sizeof after, " is not good: %.70s", text);
        break_with_address(link, REDIS_WHY_CERTIFICATE " ", after);
        break;
    case TLS_NOT_SPOKEN:
        break_with_address(link, "", REDIS_WHY_NO_TLS);
        break;
    case TLS_BROKEN:
        snprintf(after, sizeof after, " failed: %.70s", text);
        break_with_address(link, "TLS with ", after);
        break;
    }
}

enum err redis_link_begin_tls(struct redis_link *link)
{
    const struct redis_link_config *config = &link->config;
    const char *name = config->tls_name != NULL ? config->tls_name : link->target.host;
    return tls_new_outgoing(config->tls, name, &link->transport);
}

void redis_link_shake(struct redis_link *link)
{
    switch (link->transport->ops->shake(link->transport, link->watch.fd)) {
    case TRANSPORT_MOVED:
        redis_link_watch_for(link, EPOLLIN);
        redis_link_greet(link);
        break;
    case TRANSPORT_WANTS_READ:
        redis_link_watch_for(link, EPOLLIN);
        break;
    case TRANSPORT_WANTS_WRITE:
        redis_link_watch_for(link, EPOLLIN | EPOLLOUT);
        break;
    case TRANSPORT_CLOSED:
    case TRANSPORT_BROKEN:
        break_by_problem(link);
        break;
    }
}

/* A Redis without TLS takes what we say for the beginning of a line, and waits for its end. */
void redis_link_end_shaking(struct redis_link *link)
{
    break_with_address(link, "", REDIS_WHY_NO_SHAKE);
}

bool redis_link_read_tls(struct redis_link *link, char *bytes, size_t *ret_len)
{
    struct transport_read read;
    switch (link->transport->ops->read(link->transport, link->watch.fd, (uint8_t *)bytes, &read)) {
    case TRANSPORT_MOVED:
        *ret_len = read.len;
        return true;
    case TRANSPORT_WANTS_READ:
    case TRANSPORT_WANTS_WRITE:
        break;
    case TRANSPORT_CLOSED:
        if (link->has_heard)
            redis_link_end(link, "Redis closed the connection");
        else /* with TLS 1.3 a server refuses our certificate behind the handshake */
            break_with_address(link, "TLS with ", " failed: the connection ended");
        break;
    case TRANSPORT_BROKEN:
        break_by_problem(link);
        break;
    }
    return false;
}

bool redis_link_write_tls(struct redis_link *link, struct span bytes, size_t *ret_len)
{
    struct iovec iovec = {(void *)(uintptr_t)bytes.bytes, bytes.len};
    switch (link->transport->ops->write(link->transport, link->watch.fd, &iovec, 1, ret_len)) {
    case TRANSPORT_MOVED:
        return true;
    case TRANSPORT_WANTS_READ:
    case TRANSPORT_WANTS_WRITE:
        return false;
    case TRANSPORT_CLOSED:
    case TRANSPORT_BROKEN:
        break;
    }
    break_by_problem(link);
    return false;
}

void redis_link_end_tls(struct redis_link *link)
{
    if (link->transport == NULL)
        return;
    link->transport->ops->finish(link->transport, link->watch.fd);
    link->transport->ops->free(link->transport);
    link->transport = NULL;
}

static bool is_plain(const struct redis_link *link)
{
    return link->transport == NULL && !link->config.url->is_unix;
}

bool redis_link_heard_tls(struct redis_link *link, const char *bytes, size_t len)
{
    bool is_first = !link->has_heard;
    link->has_heard = true;
    link->silent_ends = 0;
    if (!is_first || !is_plain(link) || len < 2 || bytes[0] != ALERT || bytes[1] != MAJOR_VERSION)
        return false;
    break_with_address(link, "", REDIS_WHY_SPEAKS_TLS);
    return true;
}

bool redis_link_may_meet_tls(const struct redis_link *link)
{
    return link->silent_ends > 0 && link->silent_ends < SILENT_ENDS_OF_TLS;
}

bool redis_link_is_shaking(const struct redis_link *link)
{
    return link->state == REDIS_LINK_SHAKING && !link->is_failing;
}

bool redis_link_was_reset_by_tls(struct redis_link *link)
{
    if (link->is_failing || link->has_heard || !is_plain(link) ||
        link->state != REDIS_LINK_GREETING || ++link->silent_ends < SILENT_ENDS_OF_TLS)
        return false;
    break_with_address(link, "", REDIS_WHY_SPEAKS_TLS);
    return true;
}
