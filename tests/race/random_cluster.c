/* Each command is answered in its turn: by what a Redis says, or with a small probability by one of
 * the faults. A fault says whether the command was carried out before it, which is noted for
 * pushes; a second time ends the program. Between commands the cluster gives slots to other nodes,
 * and sends to subscribers what nobody asked for. */
#include "tests/race/random_cluster.h"

#include "gateway/stores/redis/redis_common.h"
#include "gateway/stores/redis/redis_slots.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { NODES = 4, PEERS = 128, WORDS = 160, IN_BYTES = 1 << 18, OUT_BYTES = 1 << 18, RANGES = 16 };

struct peer {
    int fd; /* -1: none */
    unsigned node;
    unsigned n_scripts; /* that it has loaded */
    bool is_subscribed;
    bool must_close;
    bool is_silent; /* it is never answered again */
    size_t n_in;
    char *in;
};

static struct {
    pthread_t thread;
    atomic_bool is_over;
    uint64_t random;
    int listen_fds[NODES];
    uint16_t ports[NODES];
    char url[96];
    uint8_t owners[RANGES]; /* of a sixteenth of the slots each; NODES: nobody */
    struct peer peers[PEERS];
    uint8_t kept[RANDOM_PUSHES];
    uint64_t seqs[RANDOM_PUSHES];
    uint64_t heads[RANDOM_USERS];
    unsigned n_refused;
    unsigned n_hung_up;
    size_t n_out; /* of the answer that is being written */
    char out[OUT_BYTES];
} cluster;

uint32_t random_next(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*state >> 33);
}

static uint32_t draw(uint32_t below)
{
    return random_next(&cluster.random) % below;
}

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(cluster.out + cluster.n_out, OUT_BYTES - cluster.n_out, format, args);
    va_end(args);
    CHECK(len >= 0 && (size_t)len < OUT_BYTES - cluster.n_out);
    cluster.n_out += (size_t)len;
}

/* ---- slots ---- */

static unsigned range_of(struct span key)
{
    return redis_slot_of(key) / (REDIS_SLOTS / RANGES);
}

static void move_slots(void)
{
    cluster.owners[draw(RANGES)] = (uint8_t)draw(draw(8) == 0 ? NODES + 1 : NODES - 1);
}

static void say_slots(void)
{
    unsigned n = 0;
    bool lies = draw(10) == 0;
    for (unsigned i = 0; i < RANGES; i++)
        n += cluster.owners[i] < NODES;
    say("*%u\r\n", n);
    for (unsigned i = 0; i < RANGES; i++) {
        unsigned owner = lies ? draw(NODES) : cluster.owners[i];
        const char *host = draw(4) == 0 ? "" : "127.0.0.1"; /* empty: the node that is asked */
        if (cluster.owners[i] < NODES)
            say("*3\r\n:%d\r\n:%d\r\n*3\r\n$%zu\r\n%s\r\n:%u\r\n$2\r\nid\r\n",
                (int)i * REDIS_SLOTS / RANGES, (int)(i + 1) * REDIS_SLOTS / RANGES - 1,
                strlen(host), host, (unsigned)cluster.ports[owner]);
    }
}

/* ---- what a Redis says ---- */

/* Which script a Redis is asked for, in the order in which they are loaded. */
enum { PUSH = SCRIPT_PUSH, PUSHES = SCRIPT_PUSHES, TRIAL = SCRIPT_TRIAL };

static unsigned user_of(const struct span *words, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char *at = memmem(words[i].bytes, words[i].len, "{u", 2);
        if (at != NULL)
            return (unsigned)strtoul(at + 2, NULL, 10) % RANDOM_USERS;
    }
    return 0;
}

/* One push: it is carried out now, and never was before. */
static void keep_push(struct span data, unsigned user)
{
    CHECK(data.len > 6 && memcmp(data.bytes, "{\"id\":", 6) == 0);
    unsigned long id = strtoul(data.bytes + 6, NULL, 10);
    char text[96];
    CHECK(id < RANDOM_PUSHES);
    CHECK(cluster.kept[id]++ == 0);
    cluster.seqs[id] = ++cluster.heads[user];
    int len = snprintf(text, sizeof text, "%llu:%lld:1:aaaaaaaa",
                       (unsigned long long)cluster.seqs[id], (long long)time(NULL) * 1000);
    say("$%d\r\n%s\r\n", len, text);
}

static void run_script(unsigned script, const struct span *words, size_t n)
{
    size_t n_keys = strtoul(words[2].bytes, NULL, 10);
    if (script == TRIAL) {
        say("*2\r\n$0\r\n\r\n:0\r\n");
    } else if (script == PUSH) {
        keep_push(words[3 + n_keys], user_of(words + 3, 1));
    } else if (script == PUSHES) {
        say("*%zu\r\n", n_keys / 5);
        for (size_t i = 0; i < n_keys / 5; i++)
            keep_push(words[3 + n_keys + 2 * i], user_of(words + 3 + 5 * i, 1));
    } else {
        static const char *const answers[] = {"-ERR no such thing\r\n", ":1\r\n", "$-1\r\n",
                                              "*2\r\n:0\r\n$8\r\naaaaaaaa\r\n", "*0\r\n"};
        (void)n;
        say("%s", answers[draw(5)]);
    }
}

static bool is_name(struct span word, const char *name)
{
    return span_equal(word, span_of(name));
}

static void say_subscribed(struct peer *peer, const struct span *words)
{
    peer->is_subscribed = true;
    say("*3\r\n$%zu\r\n%s\r\n$%zu\r\n%.*s\r\n:1\r\n", words[0].len - 0,
        is_name(words[0], "SSUBSCRIBE") ? "ssubscribe" : "sunsubscribe", words[1].len,
        (int)words[1].len, words[1].bytes);
}

static void say_info(const struct peer *peer)
{
    char text[200];
    int len = snprintf(text, sizeof text,
                       "redis_version:7.2.0\r\nredis_mode:cluster\r\nrun_id:%040u\r\n", peer->node);
    say("$%d\r\n%s\r\n", len, text);
}

static void answer_keyed(struct peer *peer, const struct span *words, size_t n)
{
    if (is_name(words[0], "EVALSHA") || is_name(words[0], "EVAL"))
        run_script(is_name(words[0], "EVAL") ? TRIAL : (unsigned)strtoul(words[1].bytes, NULL, 10),
                   words, n);
    else if (is_name(words[0], "SSUBSCRIBE") || is_name(words[0], "SUNSUBSCRIBE"))
        say_subscribed(peer, words);
    else if (is_name(words[0], "SPUBLISH"))
        say(":%u\r\n", draw(3));
    else if (is_name(words[0], "SET"))
        say("+OK\r\n");
    else
        say("$-1\r\n");
}

/* true: it has no key, and was answered. */
static bool answer_plain(struct peer *peer, const struct span *words, size_t n)
{
    if (is_name(words[0], "PING"))
        say("+PONG\r\n");
    else if (is_name(words[0], "ROLE"))
        say("*3\r\n$6\r\nmaster\r\n:0\r\n*1\r\n*3\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\n0\r\n");
    else if (is_name(words[0], "INFO"))
        say_info(peer);
    else if (is_name(words[0], "SCRIPT"))
        say("$40\r\n%040u\r\n", peer->n_scripts++ % (TRIAL + 1));
    else if (is_name(words[0], "TIME"))
        say("*2\r\n$10\r\n%lld\r\n$1\r\n0\r\n", (long long)time(NULL));
    else if (is_name(words[0], "CLUSTER"))
        say_slots();
    else if (is_name(words[0], "CONFIG") || is_name(words[0], "PUBSUB"))
        say("*0\r\n");
    else if (is_name(words[0], "WAIT"))
        say(":%u\r\n", draw(2));
    else if (is_name(words[0], "CLIENT") || is_name(words[0], "ASKING"))
        say("+OK\r\n");
    else
        return false;
    (void)n;
    return true;
}

/* ---- faults ---- */

static void refuse_at_random(struct span key)
{
    static const char *const refusals[] = {
        "TRYAGAIN Multiple keys request during rehashing of slot",
        "CLUSTERDOWN The cluster is down",
        "LOADING Redis is loading the dataset in memory",
        "READONLY You can't write against a read only replica.",
        "MASTERDOWN Link with MASTER is down",
        "NOSCRIPT No matching script. Please use EVAL.",
        "NOPERM this user has no permissions to run the 'evalsha' command",
        "OOM command not allowed when used memory > 'maxmemory'.",
        "MOVED 99999 nowhere",
        "ASK",
    };
    unsigned kind = draw(16);
    unsigned slot = redis_slot_of(key);
    cluster.n_refused++;
    if (kind < 10)
        say("-%s\r\n", refusals[kind]);
    else
        say("-%s %u 127.0.0.1:%u\r\n", kind < 13 ? "MOVED" : "ASK", slot,
            (unsigned)cluster.ports[draw(NODES)]);
}

static void hang_up(struct peer *peer)
{
    peer->must_close = true;
    cluster.n_hung_up++;
}

/* Behind an answer that was written from `from` on: what the peer sees of it. Answers are never
 * missing between others, or more than was asked: then nobody could know whose they are. */
static void spoil_answer(struct peer *peer, size_t from)
{
    switch (draw(4)) {
    case 0: /* it is cut */
        cluster.n_out -= draw((uint32_t)(cluster.n_out - from)) + 1;
        hang_up(peer);
        break;
    case 1:
        say("!!!\r\n");
        break;
    case 2:
        peer->is_silent = draw(20) == 0;
        break;
    default:
        hang_up(peer);
    }
}

static void answer_command(struct peer *peer, const struct span *words, size_t n)
{
    size_t from = cluster.n_out;
    if (peer->is_silent)
        return;
    bool is_script = is_name(words[0], "EVALSHA") || is_name(words[0], "EVAL");
    struct span key = words[n > 3 && is_script ? 3 : n > 1 ? 1 : 0];
    bool is_plain = answer_plain(peer, words, n);
    unsigned owner = cluster.owners[range_of(key)];
    if (is_plain)
        ;
    else if (draw(12) == 0)
        refuse_at_random(key);
    else if (owner == NODES)
        say("-CLUSTERDOWN Hash slot not served\r\n");
    else if (owner != peer->node && draw(6) != 0) /* or it was ASKING */
        say("-MOVED %u 127.0.0.1:%u\r\n", (unsigned)redis_slot_of(key),
            (unsigned)cluster.ports[owner]);
    else
        answer_keyed(peer, words, n);
    if (draw(is_plain ? 600 : 300) == 0)
        spoil_answer(peer, from);
}

/* ---- bytes ---- */

/* One command of n_words; 0: not all of it is there. */
static size_t read_command(const struct peer *peer, size_t at, struct span words[WORDS], size_t *n)
{
    char *end;
    if (at >= peer->n_in || memchr(peer->in + at, '\n', peer->n_in - at) == NULL)
        return 0;
    CHECK(peer->in[at] == '*');
    *n = strtoul(peer->in + at + 1, &end, 10);
    CHECK(*n >= 1 && *n <= WORDS);
    size_t next = (size_t)(end - peer->in) + 2;
    for (size_t i = 0; i < *n; i++) {
        if (next >= peer->n_in || memchr(peer->in + next, '\n', peer->n_in - next) == NULL)
            return 0;
        size_t len = strtoul(peer->in + next + 1, &end, 10);
        next = (size_t)(end - peer->in) + 2;
        if (next + len + 2 > peer->n_in)
            return 0;
        words[i] = (struct span){peer->in + next, len};
        next += len + 2;
    }
    return next;
}

static void close_peer(struct peer *peer)
{
    close(peer->fd);
    peer->fd = -1;
}

static void send_out(struct peer *peer)
{
    ssize_t sent = send(peer->fd, cluster.out, cluster.n_out, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (peer->must_close || sent != (ssize_t)cluster.n_out)
        close_peer(peer);
    cluster.n_out = 0;
}

static void serve_peer(struct peer *peer)
{
    static struct span words[WORDS];
    ssize_t got = recv(peer->fd, peer->in + peer->n_in, IN_BYTES - 1 - peer->n_in, MSG_DONTWAIT);
    if (got <= 0) {
        close_peer(peer);
        return;
    }
    peer->n_in += (size_t)got;
    peer->in[peer->n_in] = '\0';
    size_t at = 0;
    size_t n;
    size_t next;
    while (!peer->must_close && cluster.n_out < OUT_BYTES / 2 &&
           (next = read_command(peer, at, words, &n)) > 0) {
        answer_command(peer, words, n);
        at = next;
    }
    memmove(peer->in, peer->in + at, peer->n_in - at);
    peer->n_in -= at;
    send_out(peer);
}

static void accept_peer(unsigned node)
{
    int fd = accept(cluster.listen_fds[node], NULL, NULL);
    unsigned i = 0;
    while (i < PEERS && cluster.peers[i].fd >= 0)
        i++;
    if (i == PEERS) {
        close(fd);
        return;
    }
    char *in = cluster.peers[i].in;
    cluster.peers[i] = (struct peer){.fd = fd, .node = node, .in = in};
}

/* What comes by itself. */
static void tell_somebody(void)
{
    struct peer *peer = &cluster.peers[draw(PEERS)];
    char channel[32];
    int len = snprintf(channel, sizeof channel, "herald:{u%u}", (unsigned)draw(RANDOM_USERS));
    if (peer->fd < 0 || !peer->is_subscribed)
        return;
    if (draw(2) == 0)
        say("*3\r\n$12\r\nsunsubscribe\r\n$%d\r\n%s\r\n:0\r\n", len, channel);
    else
        say("*3\r\n$8\r\nsmessage\r\n$%d\r\n%s\r\n$37\r\nM:aaaaaaaa:7:1:9999999999999:0:0:0:{}\r\n",
            len, channel);
    send_out(peer);
}

static void *run_cluster(void *unused)
{
    struct pollfd fds[NODES + PEERS];
    while (!atomic_load(&cluster.is_over)) {
        for (unsigned i = 0; i < NODES + PEERS; i++)
            fds[i] = (struct pollfd){.fd = i < NODES ? cluster.listen_fds[i]
                                                     : cluster.peers[i - NODES].fd,
                                     .events = POLLIN};
        poll(fds, NODES + PEERS, 5);
        for (unsigned i = 0; i < NODES + PEERS; i++) {
            if (fds[i].fd < 0 || fds[i].revents == 0)
                continue;
            if (i < NODES)
                accept_peer(i);
            else
                serve_peer(&cluster.peers[i - NODES]);
        }
        if (draw(50) == 0)
            move_slots();
        if (draw(20) == 0)
            tell_somebody();
    }
    return unused;
}

/* ---- for the test ---- */

void random_cluster_start(uint64_t seed)
{
    memset(&cluster, 0, sizeof cluster);
    cluster.random = seed;
    for (unsigned i = 0; i < NODES; i++) {
        struct sockaddr_in address = {.sin_family = AF_INET,
                                      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t len = sizeof address;
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        CHECK(bind(fd, (struct sockaddr *)&address, len) == 0 && listen(fd, 64) == 0);
        CHECK(getsockname(fd, (struct sockaddr *)&address, &len) == 0);
        cluster.listen_fds[i] = fd;
        cluster.ports[i] = ntohs(address.sin_port);
    }
    for (unsigned i = 0; i < RANGES; i++)
        cluster.owners[i] = (uint8_t)(i % (NODES - 1));
    for (unsigned i = 0; i < PEERS; i++) {
        cluster.peers[i].fd = -1;
        cluster.peers[i].in = malloc(IN_BYTES);
        CHECK(cluster.peers[i].in != NULL);
    }
    snprintf(cluster.url, sizeof cluster.url, "redis+cluster://127.0.0.1:%u,127.0.0.1:%u",
             (unsigned)cluster.ports[0], (unsigned)cluster.ports[1]);
    CHECK(pthread_create(&cluster.thread, NULL, run_cluster, NULL) == 0);
}

void random_cluster_stop(void)
{
    atomic_store(&cluster.is_over, true);
    pthread_join(cluster.thread, NULL);
    for (unsigned i = 0; i < PEERS; i++) {
        if (cluster.peers[i].fd >= 0)
            close(cluster.peers[i].fd);
        free(cluster.peers[i].in);
    }
    for (unsigned i = 0; i < NODES; i++)
        close(cluster.listen_fds[i]);
}

const char *random_cluster_url(void)
{
    return cluster.url;
}

unsigned random_cluster_kept(unsigned id, uint64_t *ret_seq)
{
    *ret_seq = cluster.seqs[id];
    return cluster.kept[id];
}

void random_cluster_counts(unsigned *ret_refused, unsigned *ret_hung_up)
{
    *ret_refused = cluster.n_refused;
    *ret_hung_up = cluster.n_hung_up;
}
