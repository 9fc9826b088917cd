#include "tests/store/fake_cluster.h"

#include "gateway/stores/redis/redis_slots.h"

/* ---- what a node says ---- */

static size_t write_range(char *at, size_t room, unsigned first, unsigned last, unsigned short port)
{
    return (size_t)snprintf(at, room,
                            "*3\r\n:%u\r\n:%u\r\n*4\r\n$9\r\n127.0.0.1\r\n:%u\r\n$40\r\n"
                            "0123456789012345678901234567890123456789\r\n*0\r\n",
                            first, last, port);
}

enum fake_verdict fake_cluster_say_slots(struct fake_cluster *cluster, struct fake_command *command)
{
    static _Thread_local char ranges[FAKE_ANSWER - 32];
    size_t len = 0;
    unsigned n = 0;
    for (unsigned first = 0, last; first < FAKE_SLOTS; first = last + 1) {
        unsigned owner = cluster->owner[first];
        for (last = first; last + 1 < FAKE_SLOTS && cluster->owner[last + 1] == owner; last++)
            ;
        if (owner == FAKE_NOBODY)
            continue;
        len +=
            write_range(ranges + len, sizeof ranges - len, first, last, cluster->nodes[owner].port);
        cr_assert_lt(len, sizeof ranges);
        n++;
    }
    return fake_say(command, "*%u\r\n%.*s", n, (int)len, ranges);
}

static enum fake_verdict say_info(unsigned node, struct fake_command *command)
{
    char text[160];
    int len = snprintf(text, sizeof text,
                       "# Server\r\nredis_version:7.0.15\r\nredis_mode:cluster\r\n"
                       "run_id:%040u\r\n",
                       node);
    return fake_say(command, "$%d\r\n%s\r\n", len, text);
}

/* Of the first key or channel; -1: the command has none. */
static int slot_of_command(const struct fake_command *command)
{
    static const char *const keyed[] = {"SPUBLISH", "SSUBSCRIBE", "SUNSUBSCRIBE", "GET",
                                        "SET",      "GETDEL",     "HGET",         "HMGET"};
    size_t at = 0;
    for (size_t i = 0; i < sizeof keyed / sizeof keyed[0]; i++)
        if (fake_is(command, keyed[i]))
            at = 1;
    if (fake_is(command, "EVALSHA") || fake_is(command, "EVAL"))
        at = 3;
    return at > 0 && command->n_words > at ? (int)redis_slot_of(command->words[at]) : -1;
}

static enum fake_verdict follow_rules(void *owner, struct fake_command *command)
{
    struct fake_cluster *cluster = ((struct fake_node *)owner)->cluster;
    unsigned node = ((struct fake_node *)owner)->number;
    if (fake_is(command, "CLUSTER"))
        atomic_fetch_add(&cluster->n_asked_maps, 1);
    enum fake_verdict verdict =
        cluster->rule != NULL ? cluster->rule(cluster, node, command) : FAKE_PASS;
    if (verdict != FAKE_PASS)
        return verdict;
    if (fake_is(command, "CLUSTER"))
        return fake_cluster_say_slots(cluster, command);
    if (fake_is(command, "INFO"))
        return say_info(node, command);
    if (fake_is(command, "ASKING"))
        return fake_say(command, "+OK\r\n");
    int slot = slot_of_command(command);
    unsigned of = slot < 0 ? node : cluster->owner[slot];
    if (of == FAKE_NOBODY)
        return fake_say(command, "-CLUSTERDOWN Hash slot not served\r\n");
    return of == node
               ? FAKE_PASS
               : fake_say(command, "-MOVED %d 127.0.0.1:%u\r\n", slot, cluster->nodes[of].port);
}

/* ---- what tests call ---- */

unsigned fake_cluster_slot(const char *user)
{
    return redis_slot_of_user(span_of(user));
}

static unsigned first_owner(unsigned slot)
{
    return slot * FAKE_NODES / FAKE_SLOTS;
}

const char *fake_cluster_user(unsigned node, unsigned n)
{
    static char users[16][16];
    static unsigned next;
    char *user = users[next++ % 16];
    for (unsigned i = 0;; i++) {
        snprintf(user, sizeof users[0], "user%u", i);
        if (first_owner(fake_cluster_slot(user)) == node && n-- == 0)
            return user;
    }
}

void fake_cluster_move(struct fake_cluster *cluster, const char *user, unsigned to)
{
    char channel[64];
    unsigned slot = fake_cluster_slot(user);
    unsigned from = cluster->owner[slot];
    snprintf(channel, sizeof channel, "herald:{%s}", user);
    cluster->owner[slot] = (unsigned char)to;
    if (from != FAKE_NOBODY)
        fake_redis_end(&cluster->nodes[from], channel);
}

void fake_cluster_start(struct fake_cluster *cluster, const struct redis_server *behind,
                        fake_node_rule *rule)
{
    cluster->rule = rule;
    atomic_store(&cluster->n_asked_maps, 0);
    for (unsigned slot = 0; slot < FAKE_SLOTS; slot++)
        cluster->owner[slot] = (unsigned char)first_owner(slot);
    for (unsigned i = 0; i < FAKE_NODES; i++) {
        cluster->owners[i] = (struct fake_node){cluster, i};
        fake_redis_start_on_port(&cluster->nodes[i], behind, follow_rules, &cluster->owners[i]);
    }
    snprintf(cluster->url, sizeof cluster->url, "redis+cluster://127.0.0.1:%u",
             cluster->nodes[0].port);
}

void fake_cluster_stop(struct fake_cluster *cluster)
{
    for (unsigned i = 0; i < FAKE_NODES; i++)
        fake_redis_stop(&cluster->nodes[i]);
}
