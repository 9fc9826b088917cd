#include "tests/store/redis_server.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

void pause_ms(long ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

void redis_server_prepare(struct redis_server *server)
{
    snprintf(server->folder, sizeof server->folder, "/tmp/herald-redis-XXXXXX");
    cr_assert_not_null(mkdtemp(server->folder));
    snprintf(server->socket_path, sizeof server->socket_path, "%s/socket", server->folder);
    snprintf(server->url, sizeof server->url, "redis+unix://%s", server->socket_path);
    server->pid = 0;
}

int redis_server_connect(const struct redis_server *server)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, server->socket_path, strlen(server->socket_path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    close(fd);
    return -1;
}

void redis_server_ask(const struct redis_server *server, const char *line, char *answer, size_t cap)
{
    int fd = redis_server_connect(server);
    cr_assert_geq(fd, 0, "the redis-server of this test does not answer");
    dprintf(fd, "%s\r\n", line);
    size_t len = 0;
    while (len + 1 < cap) {
        ssize_t got = read(fd, answer + len, cap - 1 - len);
        if (got <= 0)
            break;
        len += (size_t)got;
        if (answer[0] != '*' && memchr(answer, '\n', len) != NULL)
            break;
        if (answer[0] == '*')
            break;
    }
    answer[len] = '\0';
    close(fd);
}

long redis_server_number(const struct redis_server *server, const char *line)
{
    char answer[256];
    redis_server_ask(server, line, answer, sizeof answer);
    cr_assert_eq(answer[0], ':', "%s: %s", line, answer);
    return strtol(answer + 1, NULL, 10);
}

void redis_server_do(const struct redis_server *server, const char *line)
{
    char answer[256];
    redis_server_ask(server, line, answer, sizeof answer);
    cr_assert_neq(answer[0], '-', "%s: %s", line, answer);
}

void redis_server_set_day(const struct redis_server *server, const char *user, int day)
{
    char line[300];
    snprintf(line, sizeof line,
             "EVAL \"local r = redis.call('HGET', KEYS[1], 'r') return redis.call('HSET', KEYS[1], "
             "'r', string.sub(r, 1, 56) .. struct.pack('<I2', %d) .. string.sub(r, 59))\" 1 "
             "herald:{%s}:meta",
             day, user);
    redis_server_do(server, line);
}

void redis_server_start(struct redis_server *server, const char *option, const char *value)
{
    pid_t parent = getpid();
    server->pid = fork();
    cr_assert_geq(server->pid, 0);
    if (server->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", server->socket_path,
               "--dir", server->folder, "--save", "", "--appendonly", "no", "--logfile",
               "/dev/null", option, value, (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < 500; i++) {
        int fd = redis_server_connect(server);
        if (fd >= 0) {
            close(fd);
            return;
        }
        cr_assert_eq(waitpid(server->pid, NULL, WNOHANG), 0,
                     "redis-server does not start: is the package redis-server installed?");
        pause_ms(10);
    }
    cr_assert_fail("redis-server did not start in 5 s");
}

void redis_server_stop(struct redis_server *server)
{
    if (server->pid <= 0)
        return;
    kill(server->pid, SIGKILL);
    waitpid(server->pid, NULL, 0);
    server->pid = 0;
    unlink(server->socket_path);
}

void redis_server_remove(struct redis_server *server)
{
    redis_server_stop(server);
    unlink(server->socket_path);
    rmdir(server->folder);
}
