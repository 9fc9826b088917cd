/* herald: reads the options, starts the gateway and then its admin API, and waits for signals. The
 * one file that includes both admin/ and gateway/. What becomes of the process is told to the
 * service manager that has started it, if there is one (service_report.h).
 *
 * SIGHUP reads the options and all files again; files of keys that have changed are also noticed
 * without it. SIGTERM and SIGINT drain: readiness fails; after --drain-delay nobody can connect any
 * more, and the sessions are closed over --drain-time; then the admin API and the gateway stop.
 * After a second signal nobody is waited for any more. Exit codes: 0
 * after a stop, 2 for options that are wrong, 1 for what cannot be done here and now, each with one
 * line that says what to do.
 *
 * SIGUSR2 starts the program anew as a child, which takes all connections over; then this process
 * drains what cannot be handed over, and ends (main_upgrade.h). */
#include "admin/admin.h"
#include "admin/routes/routes.h"
#include "gateway/base/clock.h"
#include "gateway/base/list.h"
#include "gateway/base/log.h"
#include "gateway/base/metrics.h"
#include "gateway/gateway.h"
#include "gateway/limits.h"
#include "gateway/main_upgrade.h"
#include "gateway/service_report.h"
#include "gateway/upgrade/upgrade_take.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_USAGE = 2, EXIT_FAILED = 1, GRACE_MS = 2500, POLL_MS = 20, LOOK_AT_FILES_MS = 2000 };

/* The options in force. A thread may still read earlier ones, so all of them stay until the end:
 * the first are the caller's, the others a list. */
struct configuration {
    int argc;
    char **argv;
    const struct options *now;
    struct list later; /* of struct later_options */
};

struct later_options {
    struct list link;
    struct options *options;
};

static int print_text(enum err (*fill)(const struct options *options, struct buf *out),
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

static enum log_level level_of(const struct options *options)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(options->log_level, names[i]) == 0)
            return (enum log_level)i;
    }
    return LOG_INFO;
}

static void set_up_log(const struct options *options)
{
    log_setup(level_of(options), strcmp(options->log_format, "json") == 0 ? LOG_JSON : LOG_LOGFMT);
}

/* ---- SIGHUP ---- */

static enum err take_options(struct configuration *configuration, struct node *node,
                             struct options *options)
{
    struct later_options *later = malloc(sizeof *later);
    if (later == NULL)
        return ERR_NO_MEMORY;
    later->options = options;
    list_append(&configuration->later, &later->link);
    configuration->now = options;
    gateway_set_options(node, options);
    log_set_level(level_of(options));
    return ERR_OK;
}

/* *why: why they stay as they were; empty if they do not. */
static void reread_options(struct configuration *configuration, struct node *node, char *why,
                           size_t why_cap)
{
    struct options_change change = {0};
    enum err error = options_reread(configuration->argc, configuration->argv, environ,
                                    configuration->now, &change, why, why_cap);
    if (error == ERR_OK && change.options != NULL) {
        error = take_options(configuration, node, change.options);
        snprintf(why, why_cap, "%s", error_title(error));
    }
    if (error != ERR_OK) {
        metrics_count(METRIC_OPTIONS_RELOADS_FAILED);
        log_event(LOG_ERROR, "the options stay as they were", LOG_TEXT("why", why));
        options_free(change.options);
        return;
    }
    why[0] = '\0';
    metrics_count(METRIC_OPTIONS_RELOADS);
    log_event(LOG_INFO, "options read again",
              LOG_TEXT("changed", change.live[0] != '\0' ? change.live : "none"));
    if (change.fixed[0] != '\0')
        log_event(LOG_WARN, "these options take a restart", LOG_TEXT("options", change.fixed));
}

static void free_later_options(struct configuration *configuration)
{
    LIST_FOR_EACH_SAFE(link, &configuration->later)
    {
        struct later_options *later = CONTAINER_OF(link, struct later_options, link);
        options_free(later->options);
        free(later);
    }
}

/* The next signal within that time; 0: none came. */
static int wait_for_signal(const sigset_t *signals, int timeout_ms)
{
    struct timespec timeout = {timeout_ms / 1000, (timeout_ms % 1000) * 1000000L};
    int number = sigtimedwait(signals, NULL, &timeout);
    return number > 0 ? number : 0;
}

/* What other programs do on it: a new log file. */
static void log_ignored_signal(int number)
{
    if (number == SIGUSR1)
        log_event(LOG_INFO, "SIGUSR1 is ignored: the log goes to standard error, there is no file",
                  LOG_INT("signal", number));
}

/* What SIGHUP asks for. */
static void reread_all(struct configuration *configuration, struct node *node, struct admin *admin,
                       struct service_report *report)
{
    char why[1024];
    service_report_reloading(report);
    reread_options(configuration, node, why, sizeof why);
    gateway_reload(node, true);
    admin_reload(admin, true);
    service_report_reloaded(report, why);
}

/* Until a signal to stop; true: until another process has taken over. */
static bool serve(struct configuration *configuration, struct node *node, struct admin *admin,
                  const sigset_t *signals, struct service_report *report,
                  struct main_upgrade *upgrade)
{
    for (;;) {
        int wait_ms = main_upgrade_turn(upgrade, service_report_turn(report, LOOK_AT_FILES_MS));
        if (wait_ms < 0)
            return true;
        int number = wait_for_signal(signals, wait_ms);
        if (number == SIGTERM || number == SIGINT) {
            main_upgrade_cancel(upgrade);
            return false;
        }
        log_ignored_signal(number);
        if (number == SIGUSR2)
            main_upgrade_ask(upgrade);
        if (number == SIGHUP) {
            reread_all(configuration, node, admin, report);
        } else {
            gateway_reload(node, false);
            admin_reload(admin, false);
        }
    }
}

/* ---- the stop ---- */

struct stopping {
    const sigset_t *signals;
    struct service_report *report;
    bool is_urgent; /* a second signal has come */
};

/* Waits for one, and answers whether a second signal to stop has come by now. */
static bool take_signal(struct stopping *stopping, int timeout_ms)
{
    int number = stopping->is_urgent ? 0 : wait_for_signal(stopping->signals, timeout_ms);
    if (number == SIGTERM || number == SIGINT) {
        log_event(LOG_WARN, "a second signal: stopping at once", LOG_INT("signal", number));
        stopping->is_urgent = true;
        service_report_urgent(stopping->report);
    }
    service_report_turn(stopping->report, 0);
    log_ignored_signal(number);
    if (number == SIGUSR2)
        log_event(LOG_WARN, "SIGUSR2 is ignored: Herald is draining", LOG_INT("signal", number));
    if (number == SIGHUP)
        log_event(LOG_WARN, "SIGHUP is ignored: Herald is draining, and reads nothing again",
                  LOG_INT("signal", number));
    return stopping->is_urgent;
}

/* false: a second signal has come first. */
static bool wait_ms(struct stopping *stopping, uint32_t ms)
{
    int64_t end_ms = clock_monotonic_ms() + ms;
    while (clock_monotonic_ms() < end_ms && !take_signal(stopping, POLL_MS)) {
    }
    return !stopping->is_urgent;
}

/* Balancers have --drain-delay to notice that readiness fails, and those who are just connecting
 * have POLL_MS to come in. has_left: another process has the ports, and nobody has to notice. */
static void drain_sessions(struct node *node, struct stopping *stopping, bool has_left)
{
    uint32_t delay_ms = has_left ? 0 : gateway_begin_drain(node);
    if (!has_left && !wait_ms(stopping, delay_ms > POLL_MS ? delay_ms : POLL_MS))
        return;
    uint32_t drain_ms = gateway_end_listening(node);
    if (has_left && gateway_count_sessions(node) > 0)
        log_event(LOG_INFO, "what cannot be handed over is closed",
                  LOG_INT("sessions", gateway_count_sessions(node)), LOG_INT("drain_ms", drain_ms));
    int64_t end_ms = clock_monotonic_ms() + drain_ms + GRACE_MS;
    while (!gateway_is_drained(node) && clock_monotonic_ms() < end_ms) {
        if (take_signal(stopping, POLL_MS))
            return;
    }
}

static bool is_urgent(void *owner)
{
    return take_signal(owner, 0);
}

/* has_left: another process has the ports, and all connections that can be handed over. */
static void stop_serving(struct node *node, struct admin *admin, const sigset_t *signals,
                         struct service_report *report, bool has_left)
{
    struct stopping stopping = {.signals = signals, .report = report};
    if (!has_left)
        service_report_stopping(report);
    drain_sessions(node, &stopping, has_left);
    admin_stop(admin, is_urgent, &stopping);
}

/* ---- the process ---- */

/* A descriptor below 3 that is closed would be given to the next file that is opened, and what is
 * meant for standard error would be written into the store. */
static bool open_standard_files(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
            return false;
    }
    return true;
}

/* Before any thread starts: signals that are blocked are taken by sigtimedwait alone. SIGUSR1,
 * SIGUSR2 and SIGHUP would otherwise end the process until then. */
static void set_up_signals(sigset_t *ret_signals)
{
    static const int waited_for[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2};
    sigset_t now;
    sigemptyset(ret_signals);
    sigemptyset(&now);
    for (size_t i = 0; i < sizeof waited_for / sizeof waited_for[0]; i++) {
        bool ends_us = waited_for[i] == SIGTERM || waited_for[i] == SIGINT;
        sigaddset(ret_signals, waited_for[i]);
        if (!ends_us)
            sigaddset(&now, waited_for[i]);
    }
    sigprocmask(SIG_BLOCK, &now, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a write beyond the limit fails, and says so */
}

/* What the program is made of while it serves. */
struct program {
    const struct options *options;
    struct node *node;
    struct admin *admin;
    struct service_manager manager;
    struct service_report report;
};

static enum err start_alone(struct program *program, char *why, size_t why_cap)
{
    service_manager_status(&program->manager, "opening the store");
    enum err error = gateway_start(program->options, &program->node, why, why_cap);
    if (error != ERR_OK)
        return error;
    error =
        admin_start(program->options, &admin_routes, program->node, &program->admin, why, why_cap);
    if (error != ERR_OK) {
        gateway_stop(program->node);
        return error;
    }
    service_report_init(&program->report, &program->manager, program->node);
    service_report_ready(&program->report);
    return ERR_OK;
}

/* Whatever a process that was to take over has of the running one, the end of this process must not
 * touch. */
_Noreturn static void leave(enum err error, const char *why)
{
    log_failure(why);
    log_flush();
    _exit(error == ERR_INVALID_FIELD ? EXIT_USAGE : EXIT_FAILED);
}

static enum err start_after(struct program *program, struct upgrade_take *take, char *why,
                            size_t why_cap)
{
    service_manager_mute(&program->manager);
    enum err error = main_upgrade_take(take, program->options, &program->manager, &program->report,
                                       &program->node, &program->admin, why, why_cap);
    if (error != ERR_OK)
        leave(error, why);
    return ERR_OK;
}

static int run_gateway(const struct options *options, int argc, char **argv,
                       const sigset_t *signals, struct upgrade_take *take)
{
    char why[1024] = "";
    struct program program = {.options = options};
    struct configuration configuration = {.argc = argc, .argv = argv, .now = options};
    struct main_upgrade upgrade;
    list_init(&configuration.later);
    sigprocmask(SIG_BLOCK, signals, NULL);
    service_manager_init(&program.manager);

    limits_raise_files();
    enum err error = limits_check_exposure(options, why, sizeof why);
    if (error != ERR_OK)
        upgrade_take_refuse(take, why);
    else if (take != NULL)
        error = start_after(&program, take, why, sizeof why);
    else
        error = start_alone(&program, why, sizeof why);
    if (error == ERR_OK) {
        main_upgrade_init(&upgrade, program.node, program.admin, argv, &program.manager,
                          &program.report, take);
        bool has_left =
            serve(&configuration, program.node, program.admin, signals, &program.report, &upgrade);
        main_upgrade_fini(&upgrade);
        stop_serving(program.node, program.admin, signals, &program.report, has_left);
        gateway_stop(program.node);
        log_event(LOG_INFO, "stopped", LOG_INT("code", 0));
    } else {
        log_failure(why);
        upgrade_take_free(take);
    }
    free_later_options(&configuration);
    service_manager_fini(&program.manager);
    return error == ERR_OK ? 0 : error == ERR_INVALID_FIELD ? EXIT_USAGE : EXIT_FAILED;
}

static int check_configuration(const struct options *options)
{
    char why[1024];
    if (limits_check_exposure(options, why, sizeof why) != ERR_OK ||
        gateway_check(options, why, sizeof why) != ERR_OK ||
        admin_check(options, why, sizeof why) != ERR_OK) {
        log_failure(why);
        return EXIT_USAGE;
    }
    puts("The configuration is valid.");
    return 0;
}

static int carry_out(int argc, char **argv, const sigset_t *signals, struct upgrade_take *take)
{
    struct options options;
    enum options_action action;
    char why[1024];
    if (options_read(argc, argv, environ, &options, &action, why, sizeof why) != ERR_OK) {
        upgrade_take_refuse(take, why);
        upgrade_take_free(take);
        log_failure(why);
        return EXIT_USAGE;
    }
    set_up_log(&options);
    if (action != OPTIONS_RUN)
        upgrade_take_free(take);
    int code = 0;
    switch (action) {
    case OPTIONS_HELP:
        code = print_text(fill_help, &options);
        break;
    case OPTIONS_VERSION:
        puts("herald " HERALD_VERSION);
        break;
    case OPTIONS_PRINT_CONFIG:
        code = print_text(options_print_config, &options);
        break;
    case OPTIONS_CHECK_CONFIG:
        code = check_configuration(&options);
        break;
    case OPTIONS_RUN:
        code = run_gateway(&options, argc, argv, signals, take);
        break;
    }
    options_fini(&options);
    return code;
}

int main(int argc, char **argv)
{
    static const char no_thread[] = "no thread can be started: raise the limit of processes, or of "
                                    "memory (ulimit -u, ulimit -v)";
    sigset_t signals;
    if (!open_standard_files())
        return EXIT_FAILED; /* there is nowhere to say it */
    set_up_signals(&signals);
    char why[1024];
    struct upgrade_take *take;
    if (upgrade_take_open(&take, why, sizeof why) != ERR_OK) {
        log_failure(why);
        return EXIT_USAGE;
    }
    if (log_start() != ERR_OK) {
        upgrade_take_refuse(take, no_thread);
        upgrade_take_free(take);
        log_failure(no_thread);
        return EXIT_FAILED;
    }
    int code = carry_out(argc, argv, &signals, take);
    log_stop();
    return code;
}
