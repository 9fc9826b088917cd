/* herald-echo --listen HOST:PORT [--compress] [--chop N]
 *
 * Says "listening HOST:PORT" on stdout (port 0 chooses one) and echoes until SIGTERM or SIGINT.
 * --compress agrees to permessage-deflate. --chop N shows the decoder N bytes at a time, however
 * they came in. */
#include "gateway/net/listener.h"
#include "tests/conformance/echo.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

struct program {
    struct echo_server server;
    struct reactor *reactor;
    struct reactor_watch listening;
    struct reactor_watch signals;
};

static void on_connections(struct reactor_watch *watch, uint32_t events)
{
    struct program *program = CONTAINER_OF(watch, struct program, listening);
    (void)events;
    int fd = accept4(watch->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0)
        echo_open(&program->server, fd);
}

static void on_signal(struct reactor_watch *watch, uint32_t events)
{
    (void)events;
    reactor_stop(CONTAINER_OF(watch, struct program, signals)->reactor);
}

static int watch_signals(void)
{
    sigset_t stops;
    sigemptyset(&stops);
    sigaddset(&stops, SIGTERM);
    sigaddset(&stops, SIGINT);
    sigprocmask(SIG_BLOCK, &stops, NULL);
    return signalfd(-1, &stops, SFD_NONBLOCK | SFD_CLOEXEC);
}

static bool run(struct program *program, int listen_fd, int signal_fd)
{
    char where[300];
    int one = 1;
    setsockopt(listen_fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    program->listening = (struct reactor_watch){.on_ready = on_connections, .fd = listen_fd};
    program->signals = (struct reactor_watch){.on_ready = on_signal, .fd = signal_fd};
    if (reactor_watch_add(program->reactor, &program->listening, EPOLLIN) != ERR_OK ||
        reactor_watch_add(program->reactor, &program->signals, EPOLLIN) != ERR_OK)
        return false;
    listener_describe(listen_fd, where, sizeof where);
    printf("listening %s\n", where);
    fflush(stdout);
    reactor_run(program->reactor);
    reactor_watch_remove(program->reactor, &program->listening);
    reactor_watch_remove(program->reactor, &program->signals);
    return true;
}

struct arguments {
    const char *listen;
    bool compress;
    size_t chop;
};

static bool read_arguments(int argc, char **argv, struct arguments *arguments)
{
    for (int i = 1; i < argc; i++) {
        bool has_value = i + 1 < argc;
        if (strcmp(argv[i], "--compress") == 0)
            arguments->compress = true;
        else if (strcmp(argv[i], "--listen") == 0 && has_value)
            arguments->listen = argv[++i];
        else if (strcmp(argv[i], "--chop") == 0 && has_value)
            arguments->chop = (size_t)strtoull(argv[++i], NULL, 10);
        else
            return false;
    }
    return arguments->listen != NULL && arguments->chop > 0;
}

int main(int argc, char **argv)
{
    static struct program program;
    struct listen_address address;
    struct arguments arguments = {.chop = SIZE_MAX};
    char why[300];
    int listen_fd;
    if (!read_arguments(argc, argv, &arguments) ||
        listen_address_parse(arguments.listen, &address) != ERR_OK) {
        fprintf(stderr, "usage: herald-echo --listen HOST:PORT [--compress] [--chop N]\n");
        return 2;
    }
    if (listener_open(&address, NULL, "listen", &listen_fd, why, sizeof why) != ERR_OK) {
        fprintf(stderr, "%s\n", why);
        return 1;
    }
    int signal_fd = watch_signals();
    bool has_run = false;
    if (signal_fd >= 0 && reactor_new(NULL, &program.reactor) == ERR_OK) {
        if (echo_server_init(&program.server, program.reactor) == ERR_OK) {
            program.server.compress = arguments.compress;
            program.server.chop = arguments.chop;
            has_run = run(&program, listen_fd, signal_fd);
            echo_server_fini(&program.server);
        }
        reactor_free(program.reactor);
    }
    if (signal_fd >= 0)
        close(signal_fd);
    listener_close(listen_fd, &address);
    return has_run ? 0 : 1;
}
