/* What SIGHUP may change (CONTRACT 7): the options marked live, from the file. */
#include "gateway/base/options.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct options running;
static struct options_change change;
static char path[64];
static char why[512];
static char *argv[] = {"herald", "--config", path, "--slow-timeout=30s", NULL};

enum { ARGC = 4 };

static void write_file(const char *text)
{
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    cr_assert_geq(fputs(text, file), 0);
    cr_assert_eq(fclose(file), 0);
}

static void setup(void)
{
    enum options_action action;
    snprintf(path, sizeof path, "/tmp/herald_reread_XXXXXX");
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    close(fd);
    write_file("workers = 3\nping-interval = 5s\nallowed-origin = https://a.example\n");
    cr_assert_eq(options_read(ARGC, argv, NULL, &running, &action, why, sizeof why), ERR_OK);
}

static void teardown(void)
{
    options_free(change.options);
    options_fini(&running);
    unlink(path);
}

static enum err reread(const char *text)
{
    write_file(text);
    return options_reread(ARGC, argv, NULL, &running, &change, why, sizeof why);
}

TestSuite(options_reread, .init = setup, .fini = teardown);

Test(options_reread, takes_new_values_of_what_is_live)
{
    cr_assert_eq(reread("workers = 3\nping-interval = 1s\nallowed-origin = https://b.example\n"
                        "allowed-origin = https://c.example\nlog-level = debug\n"),
                 ERR_OK, "%s", why);
    cr_assert_eq(change.options->ping_interval, 1000);
    cr_assert_eq(change.options->allowed_origin.n, 2);
    cr_assert_str_eq(change.options->allowed_origin.values[1], "https://c.example");
    cr_assert_str_eq(change.options->log_level, "debug");
    cr_assert_str_eq(change.live, "allowed-origin,ping-interval,log-level");
    cr_assert_str_eq(change.fixed, "");
}

Test(options_reread, keeps_what_runs_of_what_takes_a_restart_and_names_it)
{
    cr_assert_eq(reread("workers = 9\nping-interval = 1s\nstore = memory:\ncompress = on\n"
                        "trusted-proxy = 10.0.0.0/8\ndrain-time = 7s\nmax-data = 1KiB\n"),
                 ERR_OK, "%s", why);
    cr_assert_eq(change.options->ping_interval, 1000);
    cr_assert_eq(change.options->drain_time, 7000);
    cr_assert_eq(change.options->workers, 3);
    cr_assert_str_eq(change.options->store, "file:./herald-data");
    cr_assert_not(change.options->compress);
    cr_assert_eq(change.options->trusted_proxy.n, 0);
    cr_assert_eq(change.options->max_data, 65536);
    cr_assert_eq(change.options->allowed_origin.n, 0, "the default again");
    cr_assert_str_eq(change.fixed, "store,workers,compress,trusted-proxy,max-data");
}

Test(options_reread, changes_nothing_where_only_a_restart_would_help)
{
    cr_assert_eq(reread("workers = 9\nping-interval = 5s\nallowed-origin = https://a.example\n"),
                 ERR_OK);
    cr_assert_null(change.options);
    cr_assert_str_eq(change.live, "");
    cr_assert_str_eq(change.fixed, "workers");
}

Test(options_reread, changes_nothing_when_nothing_has_changed)
{
    cr_assert_eq(reread("; moved\nallowed-origin = https://a.example\n\nworkers = 3\n"
                        "ping-interval = 5000ms\n"),
                 ERR_OK);
    cr_assert_null(change.options);
    cr_assert_str_eq(change.fixed, "");
}

Test(options_reread, leaves_to_a_flag_what_a_flag_has_set)
{
    cr_assert_eq(reread("workers = 3\nping-interval = 5s\nallowed-origin = https://a.example\n"
                        "slow-timeout = 2s\n"),
                 ERR_OK);
    cr_assert_null(change.options);
    cr_assert_eq(running.slow_timeout, 30000);
}

Test(options_reread, refuses_a_wrong_file_whole_and_says_where)
{
    static const struct {
        const char *text;
        const char *said;
    } rows[] = {
        {"ping-interval = 1s\nping-intervall = 1s\n", ":2: ping-intervall is not known"},
        {"ping-interval = soon\n", ":1: ping-interval must be"},
        {"allowed-origin = example.com\n", "--allowed-origin must be"},
        {"ping-interval = 1m\n", "--silence-timeout must be longer"},
        {"workers = many\n", ":1: workers must be"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cr_assert_eq(reread(rows[i].text), ERR_INVALID_FIELD, "%s", rows[i].text);
        cr_expect_not_null(strstr(why, rows[i].said), "%s: %s", rows[i].text, why);
        cr_assert_null(change.options);
    }
    unlink(path);
    cr_assert_eq(options_reread(ARGC, argv, NULL, &running, &change, why, sizeof why),
                 ERR_INVALID_FIELD);
    cr_expect_not_null(strstr(why, "cannot be read"), "%s", why);
}
