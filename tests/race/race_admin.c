/* Clients of the admin port on all workers at once: pushes, bodies of lines, routes of the library,
 * requests sent ahead, and connections that go in the middle of one, while the keys are read again;
 * then a stop while all of them go on. For ThreadSanitizer. Each answer must be one that the route
 * gives, and the stop must come to its end. */
#include "admin/admin.h"
#include "admin/routes/routes.h"
#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "tests/race/host.h"
#include "tests/support/loopback.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CLIENTS = 4, USERS = 12, USUAL_MS = 4000 };

static unsigned port_of_admin;

static int write_post(char *text, size_t cap, const char *path, const char *type, const char *body)
{
    return snprintf(text, cap,
                    "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/%s\r\n"
                    "Authorization: Bearer the-key-of-the-race-%s\r\nContent-Length: %zu\r\n\r\n%s",
                    path, type, strcmp(type, "json") == 0 ? "one" : "two", strlen(body), body);
}

static int write_request(char *text, size_t cap, unsigned *seed)
{
    char body[200];
    int user = rand_r(seed) % USERS;
    switch (rand_r(seed) % 5) {
    case 0:
        snprintf(body, sizeof body, "{\"userId\":\"u%d\",\"data\":1,\"ttl\":0}", user);
        return write_post(text, cap, "/push", "json", body);
    case 1:
        snprintf(body, sizeof body, "{\"userId\":\"u%d\",\"data\":1,\"wait\":0.05}", user);
        return write_post(text, cap, "/push", "json", body);
    case 2:
        snprintf(body, sizeof body,
                 "{\"userId\":\"u%d\",\"data\":1}\n{\"userId\":\"u%d\",\"data\":2}\nx\n", user,
                 (user + 1) % USERS);
        return write_post(text, cap, "/push", "x-ndjson", body);
    case 3:
        return write_post(text, cap, "/online", "json", "{\"userIds\":[\"u1\",\"u2\"]}");
    default:
        return snprintf(text, cap,
                        "GET /users/u%d%s HTTP/1.1\r\nHost: localhost\r\n"
                        "Authorization: Bearer the-key-of-the-race-one\r\n\r\n",
                        user, rand_r(seed) % 2 == 0 ? "" : "/inbox");
    }
}

/* Some requests sent ahead on one connection, of which the client may read the answers, or not. */
static void *client(void *argument)
{
    unsigned seed = (unsigned)(size_t)argument;
    char text[4096];
    while (!atomic_load(&race.is_over)) {
        int fd = loopback_dial(port_of_admin);
        if (fd < 0)
            continue;
        int len = 0;
        for (int i = rand_r(&seed) % 4; i >= 0; i--)
            len += write_request(text + len, sizeof text - (size_t)len, &seed);
        if (rand_r(&seed) % 4 == 0)
            len -= rand_r(&seed) % 20; /* the last one breaks off */
        atomic_fetch_add(&race.n_asked, 1);
        struct timeval patience = {.tv_usec = 200000};
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        if (send(fd, text, (size_t)len, MSG_NOSIGNAL) == len && rand_r(&seed) % 4 != 0) {
            ssize_t n = recv(fd, text, sizeof text - 1, 0);
            text[n > 0 ? n : 0] = '\0';
            if (n > 12 && strncmp(text, "HTTP/1.1 20", 11) != 0 &&
                strncmp(text, "HTTP/1.1 503", 12) != 0) {
                fprintf(stderr, "race: an answer that no route gives: %s\n", text);
                abort();
            }
        }
        atomic_fetch_add(&race.n_answered, 1);
        loopback_leave(fd, rand_r(&seed) % 2 == 0);
    }
    return NULL;
}

static void write_keys(char path[40])
{
    static const char text[] =
        "one admin the-key-of-the-race-one\ntwo push the-key-of-the-race-two\n";
    snprintf(path, 40, "/tmp/herald-race-admin-XXXXXX");
    int fd = mkstemp(path);
    if (fd < 0 || write(fd, text, sizeof text - 1) != sizeof text - 1)
        abort();
    close(fd);
}

int main(int argc, char **argv)
{
    char why[1024];
    char path[40];
    char listen[40];
    struct admin *admin;
    int run_ms = race_run_ms(argc, argv, USUAL_MS);
    log_setup(LOG_ERROR, LOG_LOGFMT);
    port_of_admin = loopback_free_port();
    snprintf(listen, sizeof listen, "127.0.0.1:%u", port_of_admin);
    write_keys(path);
    if (!race_start((char *[]){"--admin-listen", listen, "--admin-keys", path, NULL}))
        return 1;
    if (admin_start(&race.options, &admin_routes, race.node, &admin, why, sizeof why) != ERR_OK) {
        fprintf(stderr, "race: %s\n", why);
        return 1;
    }
    for (size_t i = 0; i < CLIENTS; i++)
        race_thread(client, i + 1);
    for (int64_t end_ms = clock_monotonic_ms() + run_ms; clock_monotonic_ms() < end_ms;) {
        usleep(20000);
        admin_reload(admin, true);
    }
    int64_t begin_ms = clock_monotonic_ms();
    admin_stop(admin, NULL, NULL);
    bool is_in_time = clock_monotonic_ms() - begin_ms < 15000;
    race_join();
    unlink(path);
    return race_end() && is_in_time ? 0 : 1;
}
