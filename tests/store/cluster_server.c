/* Each node gets a third of the slots and a configuration epoch of its own, and the first one meets
 * the others. It is there when each of them says that the Cluster is well. */
#include "tests/store/cluster_server.h"

#include "tests/store/redis_server.h"
#include "tests/support/loopback.h"

#include <arpa/inet.h>
#include <netinet/in.h>

static struct sockaddr_in address_of(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

/* All stay bound until the last is chosen. */
static void choose_ports(struct cluster_server *cluster)
{
    int fds[2 * CLUSTER_NODES];
    for (unsigned i = 0; i < CLUSTER_NODES; i++) {
        fds[2 * i] = loopback_bind_free(&cluster->nodes[i].port);
        fds[2 * i + 1] = loopback_bind_free(&cluster->nodes[i].bus_port);
    }
    for (unsigned i = 0; i < 2 * CLUSTER_NODES; i++)
        close(fds[i]);
}

static void write_url(struct cluster_server *cluster)
{
    snprintf(cluster->url, sizeof cluster->url,
             "redis+cluster://127.0.0.1:%d,127.0.0.1:%d,127.0.0.1:%d", cluster->nodes[0].port,
             cluster->nodes[1].port, cluster->nodes[2].port);
}

/* ---- asking ---- */

static int connect_node(const struct cluster_server *cluster, unsigned node)
{
    struct sockaddr_in address = address_of(cluster->nodes[node].port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    close(fd);
    return -1;
}

void cluster_server_ask(const struct cluster_server *cluster, unsigned node, const char *line,
                        char *answer, size_t cap)
{
    int fd = connect_node(cluster, node);
    cr_assert_geq(fd, 0, "node %u of the Cluster does not answer", node);
    dprintf(fd, "%s\r\nPING\r\n", line);
    size_t len = 0;
    answer[0] = '\0';
    while (len + 1 < cap && strstr(answer, "+PONG\r\n") == NULL) {
        ssize_t got = read(fd, answer + len, cap - 1 - len);
        if (got <= 0)
            break;
        len += (size_t)got;
        answer[len] = '\0';
    }
    close(fd);
}

void cluster_server_do(const struct cluster_server *cluster, unsigned node, const char *line)
{
    char answer[4096];
    cluster_server_ask(cluster, node, line, answer, sizeof answer);
    cr_assert_neq(answer[0], '-', "%s: %s", line, answer);
}

unsigned cluster_server_slot(const struct cluster_server *cluster, const char *user)
{
    char line[300], answer[64];
    snprintf(line, sizeof line, "CLUSTER KEYSLOT {%s}", user);
    for (unsigned i = 0; i < CLUSTER_NODES; i++) {
        if (cluster->nodes[i].port == 0)
            continue;
        cluster_server_ask(cluster, i, line, answer, sizeof answer);
        break;
    }
    cr_assert_eq(answer[0], ':', "%s", answer);
    return (unsigned)strtoul(answer + 1, NULL, 10);
}

/* The first slot of a node. */
static unsigned first_slot(unsigned node)
{
    return node * CLUSTER_SLOTS / CLUSTER_NODES;
}

unsigned cluster_server_owner(unsigned slot)
{
    unsigned node = CLUSTER_NODES - 1;
    while (slot < first_slot(node))
        node--;
    return node;
}

/* ---- starting ---- */

void cluster_server_start_node(struct cluster_server *cluster, unsigned node)
{
    char port[8], bus_port[8], config[32];
    pid_t parent = getpid();
    snprintf(port, sizeof port, "%d", cluster->nodes[node].port);
    snprintf(bus_port, sizeof bus_port, "%d", cluster->nodes[node].bus_port);
    snprintf(config, sizeof config, "nodes-%u.conf", node);
    pid_t pid = fork();
    cr_assert_geq(pid, 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        execlp("redis-server", "redis-server", "--bind", "127.0.0.1", "--port", port, "--dir",
               cluster->folder, "--save", "", "--appendonly", "no", "--logfile", "/dev/null",
               "--cluster-enabled", "yes", "--cluster-port", bus_port, "--cluster-config-file",
               config, "--cluster-node-timeout", "1000", "--cluster-require-full-coverage", "no",
               (char *)NULL);
        _exit(127);
    }
    cluster->nodes[node].pid = pid;
    for (int i = 0; i < 500; i++) {
        int fd = connect_node(cluster, node);
        if (fd >= 0) {
            close(fd);
            return;
        }
        cr_assert_eq(waitpid(pid, NULL, WNOHANG), 0,
                     "redis-server does not start: is the package redis-server installed?");
        pause_ms(10);
    }
    cr_assert_fail("redis-server did not start in 5 s");
}

static void read_id(struct cluster_server *cluster, unsigned node)
{
    char answer[128];
    cluster_server_ask(cluster, node, "CLUSTER MYID", answer, sizeof answer);
    cr_assert_eq(strncmp(answer, "$40\r\n", 5), 0, "%s", answer);
    snprintf(cluster->nodes[node].id, sizeof cluster->nodes[node].id, "%.40s", answer + 5);
}

static void wait_until_well(const struct cluster_server *cluster, unsigned node)
{
    char answer[4096];
    for (int i = 0; i < 1000; i++) {
        cluster_server_ask(cluster, node, "CLUSTER INFO", answer, sizeof answer);
        if (strstr(answer, "cluster_state:ok") != NULL &&
            strstr(answer, "cluster_slots_ok:16384") != NULL)
            return;
        pause_ms(10);
    }
    cr_assert_fail("the Cluster is not well after 10 s: %s", answer);
}

void cluster_server_start(struct cluster_server *cluster)
{
    char line[128];
    *cluster = (struct cluster_server){.folder = "/tmp/herald-cluster-XXXXXX"};
    cr_assert_not_null(mkdtemp(cluster->folder));
    choose_ports(cluster);
    write_url(cluster);
    for (unsigned i = 0; i < CLUSTER_NODES; i++) {
        cluster_server_start_node(cluster, i);
        snprintf(line, sizeof line, "CLUSTER ADDSLOTSRANGE %u %u", first_slot(i),
                 first_slot(i + 1) - 1);
        cluster_server_do(cluster, i, line);
        snprintf(line, sizeof line, "CLUSTER SET-CONFIG-EPOCH %u", i + 1);
        cluster_server_do(cluster, i, line);
    }
    for (unsigned i = 1; i < CLUSTER_NODES; i++) {
        snprintf(line, sizeof line, "CLUSTER MEET 127.0.0.1 %d %d", cluster->nodes[i].port,
                 cluster->nodes[i].bus_port);
        cluster_server_do(cluster, 0, line);
    }
    for (unsigned i = 0; i < CLUSTER_NODES; i++) {
        wait_until_well(cluster, i);
        read_id(cluster, i);
    }
}

void cluster_server_kill(struct cluster_server *cluster, unsigned node)
{
    pid_t pid = cluster->nodes[node].pid;
    if (pid <= 0)
        return;
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    cluster->nodes[node].pid = 0;
}

void cluster_server_stop(struct cluster_server *cluster)
{
    char path[128];
    for (unsigned i = 0; i < CLUSTER_NODES; i++) {
        cluster_server_kill(cluster, i);
        snprintf(path, sizeof path, "%s/nodes-%u.conf", cluster->folder, i);
        unlink(path);
    }
    rmdir(cluster->folder);
}

/* ---- found by the tests ---- */

static const char variable[] = "HERALD_TEST_CLUSTER";

void cluster_server_announce(const struct cluster_server *cluster)
{
    char ports[64];
    snprintf(ports, sizeof ports, "%d,%d,%d", cluster->nodes[0].port, cluster->nodes[1].port,
             cluster->nodes[2].port);
    cr_assert_eq(setenv(variable, ports, 1), 0);
}

bool cluster_server_is_there(void)
{
    return getenv(variable) != NULL;
}

void cluster_server_find(struct cluster_server *cluster)
{
    const char *ports = getenv(variable);
    cr_assert_not_null(ports, "the tests' Cluster was not started");
    *cluster = (struct cluster_server){0};
    char *at = (char *)ports;
    for (unsigned i = 0; i < CLUSTER_NODES; i++) {
        cluster->nodes[i].port = (int)strtol(at, &at, 10);
        at += *at == ',';
        read_id(cluster, i);
    }
    write_url(cluster);
}

/* ---- moving a slot ---- */

/* The keys of an array of texts, one behind the other, with a blank before each. */
static void join_keys(const char *answer, char *out, size_t cap)
{
    size_t len = 0;
    out[0] = '\0';
    for (const char *at = strchr(answer, '$'); at != NULL; at = strchr(at + 1, '$')) {
        const char *key = strstr(at, "\r\n") + 2;
        len += (size_t)snprintf(out + len, cap - len, " %.*s", (int)strtol(at + 1, NULL, 10), key);
    }
}

static void move_keys(const struct cluster_server *cluster, unsigned slot, unsigned from,
                      unsigned to)
{
    static char answer[16 << 10], keys[8 << 10], line[9 << 10];
    for (;;) {
        snprintf(line, sizeof line, "CLUSTER GETKEYSINSLOT %u 20", slot);
        cluster_server_ask(cluster, from, line, answer, sizeof answer);
        join_keys(answer, keys, sizeof keys);
        if (keys[0] == '\0')
            return;
        snprintf(line, sizeof line, "MIGRATE 127.0.0.1 %d \"\" 0 5000 REPLACE KEYS%s",
                 cluster->nodes[to].port, keys);
        cluster_server_do(cluster, from, line);
    }
}

void cluster_server_move(const struct cluster_server *cluster, unsigned slot, unsigned from,
                         unsigned to)
{
    char line[128];
    snprintf(line, sizeof line, "CLUSTER SETSLOT %u IMPORTING %s", slot, cluster->nodes[from].id);
    cluster_server_do(cluster, to, line);
    snprintf(line, sizeof line, "CLUSTER SETSLOT %u MIGRATING %s", slot, cluster->nodes[to].id);
    cluster_server_do(cluster, from, line);
    move_keys(cluster, slot, from, to);
    snprintf(line, sizeof line, "CLUSTER SETSLOT %u NODE %s", slot, cluster->nodes[to].id);
    cluster_server_do(cluster, to, line);
    cluster_server_do(cluster, from, line);
}
