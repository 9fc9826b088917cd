/* herald: reads the options, starts the gateway and its admin API, waits for a signal, drains,
 * stops. The one file that sees both admin and gateway. */
#include "admin/admin.h"
#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/gateway.h"
#include "gateway/limits.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

/* 2: what was asked for is wrong; 1: it cannot be done here and now. */
enum { EXIT_USAGE = 2, EXIT_FAILED = 1, GRACE_MS = 2500, POLL_MS = 20, LOOK_AT_FILES_MS = 2000 };

static int print(enum err (*fill)(const struct options *options, struct buf *out),
                 const struct options *options)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    int code = EXIT_FAILED;
    if (fill(options, &out) == ERR_OK && fwrite(out.bytes, 1, out.len, stdout) == out.len)
        code = 0;
    buf_fini(&out);
    return fflush(stdout) == 0 ? code : EXIT_FAILED;
}

static enum err fill_help(const struct options *options, struct buf *out)
{
    (void)options;
    return options_print_help(out);
}

static void set_up_log(const struct options *options)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    enum log_level level = LOG_INFO;
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(options->log_level, names[i]) == 0)
            level = (enum log_level)i;
    }
    log_setup(level, strcmp(options->log_format, "json") == 0 ? LOG_JSON : LOG_LOGFMT);
}

/* The next signal within that time; 0: none came. */
static int wait_for_signal(const sigset_t *signals, int timeout_ms)
{
    struct timespec timeout = {timeout_ms / 1000, (timeout_ms % 1000) * 1000000L};
    int number = sigtimedwait(signals, NULL, &timeout);
    return number > 0 ? number : 0;
}

static void drain(struct gateway *gateway, const sigset_t *signals)
{
    uint32_t drain_ms = gateway_drain(gateway);
    int64_t end_ms = clock_monotonic_ms() + drain_ms + GRACE_MS;
    while (!gateway_is_drained(gateway) && clock_monotonic_ms() < end_ms) {
        int number = wait_for_signal(signals, POLL_MS);
        if (number == SIGTERM || number == SIGINT) {
            log_event(LOG_WARN, "a second signal: stopping at once", LOG_INT("signal", number));
            return;
        }
    }
}

/* Files that have changed are read again by themselves, and all of them on SIGHUP. */
static void serve(struct gateway *gateway, struct admin *admin, const sigset_t *signals)
{
    for (;;) {
        int number = wait_for_signal(signals, LOOK_AT_FILES_MS);
        if (number == SIGTERM || number == SIGINT)
            break;
        gateway_reload(gateway, number == SIGHUP);
        admin_reload(admin, number == SIGHUP);
    }
    drain(gateway, signals);
}

static int run(const struct options *options)
{
    char why[1024] = "";
    int code = EXIT_FAILED;
    struct gateway *gateway = NULL;
    struct admin *admin = NULL;
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    sigprocmask(SIG_BLOCK, &signals,
                NULL); /* before any thread starts: taken by sigtimedwait alone */
    signal(SIGPIPE, SIG_IGN);

    limits_raise_files();
    enum err error = limits_check_exposure(options, why, sizeof why);
    if (error != ERR_OK)
        goto out;
    error = gateway_start(options, &gateway, why, sizeof why);
    if (error != ERR_OK)
        goto out;
    error = admin_start(options, gateway, &admin, why, sizeof why);
    if (error != ERR_OK)
        goto stop_gateway;
    serve(gateway, admin, &signals);
    code = 0;
    admin_stop(admin);
stop_gateway:
    gateway_stop(gateway);
out:
    if (error == ERR_OK)
        log_event(LOG_INFO, "stopped", LOG_INT("code", code));
    else
        fprintf(stderr, "herald: %s\n", why);
    return error == ERR_INVALID_FIELD ? EXIT_USAGE : code;
}

static int check(const struct options *options)
{
    char why[1024];
    if (limits_check_exposure(options, why, sizeof why) != ERR_OK ||
        gateway_check(options, why, sizeof why) != ERR_OK ||
        admin_check(options, why, sizeof why) != ERR_OK) {
        fprintf(stderr, "herald: %s\n", why);
        return EXIT_USAGE;
    }
    puts("The configuration is valid.");
    return 0;
}

int main(int argc, char **argv)
{
    struct options options;
    enum options_action action;
    char why[1024];
    if (options_read(argc, argv, environ, &options, &action, why, sizeof why) != ERR_OK) {
        fprintf(stderr, "herald: %s\n", why);
        return EXIT_USAGE;
    }
    set_up_log(&options);
    int code = 0;
    switch (action) {
    case OPTIONS_HELP:
        code = print(fill_help, &options);
        break;
    case OPTIONS_VERSION:
        puts("herald " HERALD_VERSION);
        break;
    case OPTIONS_PRINT_CONFIG:
        code = print(options_print_config, &options);
        break;
    case OPTIONS_CHECK_CONFIG:
        code = check(&options);
        break;
    case OPTIONS_RUN:
        code = run(&options);
        break;
    }
    options_fini(&options);
    return code;
}
