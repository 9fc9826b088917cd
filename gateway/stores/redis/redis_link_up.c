/* A link goes up: an address, fixed or asked of a resolver; a look-up when it is a name; a
 * connection, with TLS a handshake; the greeting (AUTH, SELECT, CLIENT SETNAME, ROLE, PING). The
 * first pong is the sign that a Redis is there and takes commands; one that is no primary is left.
 * Each failure breaks the link, and its next attempt begins here again. */
#include "gateway/stores/redis/redis_link_parts.h"

#include "gateway/net/tcp.h"
#include "gateway/stores/redis/redis_troubles.h"

#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

static enum err watch_new(struct redis_link *link, int fd, uint32_t events, char *why,
                          size_t why_cap)
{
    link->watch.fd = fd;
    link->watched_events = events;
    enum err error = reactor_watch_add(link->config.reactor, &link->watch, events);
    if (error != ERR_OK) {
        close(fd);
        link->watch.fd = -1;
        snprintf(why, why_cap, "out of memory");
    }
    return error;
}

void redis_link_stop_watching(struct redis_link *link)
{
    if (link->watch.fd < 0)
        return;
    reactor_watch_remove(link->config.reactor, &link->watch);
    close(link->watch.fd);
    link->watch.fd = -1;
}

static enum err look_up_target(struct redis_link *link, const char *port, char *why, size_t why_cap)
{
    int fd = -1;
    redis_link_move(link, REDIS_LINK_LOOKING_UP);
    enum err error = tcp_look_up(link->target.host, port, link->tries++, &fd, why, why_cap);
    if (error != ERR_OK)
        return error;
    return watch_new(link, fd, EPOLLIN, why, why_cap);
}

/* address: not for a unix socket */
static enum err begin_to_connect(struct redis_link *link, const struct tcp_address *address,
                                 char *why, size_t why_cap)
{
    const struct redis_url *url = link->config.url;
    int fd = -1;
    redis_link_move(link, REDIS_LINK_CONNECTING);
    link->progress_ms = reactor_now_ms(link->config.reactor);
    link->reader = redis_reader_new();
    if (link->reader == NULL) {
        snprintf(why, why_cap, "out of memory");
        return ERR_NO_MEMORY;
    }
    enum err error = url->is_unix ? tcp_connect_unix(url->path, &fd, why, why_cap)
                                  : tcp_connect(address, &fd, why, why_cap);
    if (error != ERR_OK)
        return error;
    return watch_new(link, fd, EPOLLIN | EPOLLOUT, why, why_cap);
}

void redis_link_on_looked_up(struct redis_link *link)
{
    char why[sizeof link->failure] = "";
    struct tcp_address address;
    enum err error = tcp_looked_up(link->watch.fd, &address, why, sizeof why);
    redis_link_stop_watching(link);
    if (error == ERR_OK)
        error = begin_to_connect(link, &address, why, sizeof why);
    if (error != ERR_OK)
        redis_link_break(link, why);
}

static void try_target(struct redis_link *link)
{
    char why[sizeof link->failure] = "";
    struct tcp_address address = {0};
    char port[6];
    snprintf(port, sizeof port, "%u", (unsigned)link->target.port);
    bool is_name = !link->config.url->is_unix && !tcp_address_of(link->target.host, port, &address);
    enum err error = is_name ? look_up_target(link, port, why, sizeof why)
                             : begin_to_connect(link, &address, why, sizeof why);
    if (error != ERR_OK)
        redis_link_break(link, why);
}

void redis_link_on_address(struct redis_asker *asker, const struct redis_address *address,
                           const char *why)
{
    struct redis_link *link = CONTAINER_OF(asker, struct redis_link, asker);
    if (link->is_failing || link->state != REDIS_LINK_ASKING)
        return;
    if (address == NULL) {
        redis_link_break(link, why);
        return;
    }
    link->target = *address;
    try_target(link);
}

void redis_link_try(struct redis_link *link)
{
    const struct redis_link_config *config = &link->config;
    redis_link_set_tick(link);
    if (config->resolver != NULL) {
        redis_link_move(link, REDIS_LINK_ASKING);
        config->resolver->ask(config->resolver, &link->asker);
        return;
    }
    link->target = config->address != NULL ? *config->address : config->url->hosts[0];
    try_target(link);
}

/* An error is the end. */
static void on_greeting_reply(void *owner, void *arg, size_t index, const struct redis_value *reply)
{
    (void)owner;
    (void)index;
    if (redis_value_is(reply, REDIS_ERROR))
        redis_link_break(arg, reply->bytes);
}

/* What may be forbidden; and what is said first, so that a refusal of the connection answers this.
 */
static void on_courtesy_reply(void *owner, void *arg, size_t index, const struct redis_value *reply)
{
    (void)owner;
    (void)index;
    struct redis_link *link = arg;
    if (redis_value_is(reply, REDIS_ERROR))
        snprintf(link->parting, sizeof link->parting, "%s", reply->bytes);
}

/* It is no primary. */
static void break_by_role(struct redis_link *link, const struct redis_value *role)
{
    struct span host;
    int64_t port;
    char why[sizeof link->failure];
    link->was_replica = true;
    if (redis_value_text(redis_value_item(role, 1), &host) &&
        redis_value_integer(redis_value_item(role, 2), &port))
        snprintf(why, sizeof why, "this Redis is a replica of %.*s:%d",
                 (int)(host.len < 100 ? host.len : 100), host.bytes, (int)port);
    else
        snprintf(why, sizeof why, "this Redis is no primary");
    redis_link_break(link, why);
}

/* [role, ...]; of a replica [slave, host of the primary, port, ...]. Who may not ask is let in, and
 * learns it from READONLY. */
static void on_role(void *owner, void *arg, size_t index, const struct redis_value *reply)
{
    struct redis_link *link = arg;
    struct span role = {NULL, 0};
    if (reply == NULL || link->is_failing)
        return;
    bool has_role = redis_value_text(redis_value_item(reply, 0), &role);
    if (has_role && span_equal(role, SPAN_LITERAL("sentinel"))) {
        redis_link_break(link, REDIS_WHY_SENTINEL);
        return;
    }
    if (link->config.takes_replicas)
        return;
    if (redis_value_is(reply, REDIS_ERROR)) {
        const struct redis_trouble *trouble = redis_trouble_at(redis_trouble_find(reply->bytes));
        if (!trouble->is_denial && !trouble->is_missing)
            on_greeting_reply(owner, arg, index, reply);
    } else if (!has_role) {
        redis_link_break(link, REDIS_WHY_NO_REDIS);
    } else if (!span_equal(role, SPAN_LITERAL("master"))) {
        break_by_role(link, reply);
    }
}

static void on_first_pong(void *owner, void *arg, size_t index, const struct redis_value *reply)
{
    struct redis_link *link = arg;
    if (reply == NULL || link->is_failing)
        return;
    bool is_misconf = redis_link_is_misconf(reply);
    if (!is_misconf)
        on_greeting_reply(owner, arg, index, reply);
    if (link->is_failing)
        return;
    if (!is_misconf && !redis_value_is(reply, REDIS_STATUS)) {
        redis_link_break(link, REDIS_WHY_NO_REDIS);
        return;
    }
    redis_link_move(link, REDIS_LINK_UP);
    link->parting[0] = '\0';
    link->ping_ms = reactor_now_ms(link->config.reactor);
    link->config.on_up(owner);
}

static void greet_with(struct redis_link *link, const struct span *args, size_t n_args,
                       redis_reply_fn on_reply)
{
    if (redis_link_give(link, args, n_args, on_reply, link, 0) != ERR_OK)
        redis_link_break(link, "out of memory");
}

void redis_link_greet(struct redis_link *link)
{
    struct redis_greeting greeting;
    redis_link_move(link, REDIS_LINK_GREETING);
    redis_url_greeting(link->config.url, link->config.client_name, &greeting);
    for (size_t i = 0; i < greeting.n_commands; i++) {
        const struct redis_greeting_command *command = &greeting.commands[i];
        greet_with(link, command->args, command->n_args,
                   command->is_courtesy ? on_courtesy_reply : on_greeting_reply);
    }
    struct span role[] = {SPAN_LITERAL("ROLE")};
    struct span ping[] = {SPAN_LITERAL("PING")};
    if (!link->config.is_sentinel)
        greet_with(link, role, 1, on_role);
    greet_with(link, ping, 1, on_first_pong);
}

void redis_link_on_connect_ready(struct redis_link *link)
{
    int failure = tcp_connect_error(link->watch.fd);
    if (failure == EINPROGRESS)
        return;
    if (failure != 0) {
        redis_link_break(link, strerrordesc_np(failure));
        return;
    }
    if (link->config.tls == NULL) {
        redis_link_greet(link);
        return;
    }
    redis_link_move(link, REDIS_LINK_SHAKING);
    if (redis_link_begin_tls(link) == ERR_OK)
        redis_link_shake(link);
    else
        redis_link_break(link, "out of memory");
}
