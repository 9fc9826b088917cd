/* The options: defaults of the contract, flags, variables and files, which of them is stronger, and
 * what is refused. */
#include "tests/unit/options_calls.h"

#include <sys/stat.h>

TestSuite(options, .fini = teardown);

Test(options, has_the_defaults_of_the_contract)
{
    cr_assert_eq(READ_NOTHING(), ERR_OK);
    cr_assert_eq(action, OPTIONS_RUN);
    cr_assert_eq(options.listen.n, 1);
    cr_assert_str_eq(options.listen.values[0], "127.0.0.1:8080");
    cr_assert_str_eq(options.admin_listen, "127.0.0.1:8081");
    cr_assert_str_eq(options.store, "file:./herald-data");
    cr_assert_str_eq(options.auth, "none");
    cr_assert_eq(options.ping_interval, 10000);
    cr_assert_eq(options.silence_timeout, 20000);
    cr_assert_eq(options.drain_time, OPTION_AUTO);
    cr_assert_eq(options.max_connections_per_user, 16);
    cr_assert_eq(options.max_body, 2 << 20);
    cr_assert_eq(options.max_data, 64 << 10);
    cr_assert_eq(options.inbox_max, 1000);
    cr_assert_eq(options.session_max_bytes, 256 << 10);
    cr_assert_eq(options.store_max_bytes, 0);
    cr_assert_eq(options.default_ttl, INT64_C(604800000));
    cr_assert_not(options.demo);
    cr_assert_not(options.insecure);
}

Test(options, takes_a_value_after_a_space_or_an_equals_sign)
{
    cr_assert_eq(READ("--workers", "3", "--store=redis://a=b@c"), ERR_OK, "%s", why);
    cr_assert_eq(options.workers, 3);
    cr_assert_str_eq(options.store, "redis://a=b@c");
}

Test(options, takes_the_last_of_a_repeated_flag)
{
    cr_assert_eq(READ("--workers=3", "--workers=5", "--demo", "--demo=off"), ERR_OK);
    cr_assert_eq(options.workers, 5);
    cr_assert_not(options.demo);
}

Test(options, can_be_read_many_times_in_one_process)
{
    for (int i = 0; i < 100; i++) {
        cr_assert_neq(READ("--workers", "1", "--nonsense"), ERR_OK);
        cr_assert_eq(READ("--demo", "--workers", "7"), ERR_OK);
        cr_assert_eq(options.workers, 7);
        options_fini(&options);
    }
    cr_assert_eq(READ_NOTHING(), ERR_OK);
}

Test(options, writes_nothing_when_it_fails)
{
    memset(&options, 0, sizeof options);
    cr_assert_eq(READ("--workers=2", "--workers=many"), ERR_INVALID_FIELD);
    cr_assert_null(options.listen.values);
    cr_assert_eq(options.workers, 0);
}

Test(options, knows_every_unit_of_a_duration)
{
    static const struct {
        const char *text;
        int64_t ms;
    } cases[] = {{"0", 0},       {"0s", 0},      {"1ms", 1},     {"250ms", 250},
                 {"10s", 10000}, {"5m", 300000}, {"1h", 3600000}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_assert_eq(READ("--drain-time", (char *)cases[i].text), ERR_OK, "%s", why);
        cr_assert_eq(options.drain_time, cases[i].ms, "%s", cases[i].text);
        options_fini(&options);
    }
    cr_assert_eq(READ("--default-ttl=30d"), ERR_OK);
    cr_assert_eq(options.default_ttl, INT64_C(2592000000));
}

Test(options, knows_every_unit_of_a_size)
{
    static const struct {
        const char *text;
        int64_t bytes;
    } cases[] = {{"0", 0},
                 {"4097", 4097},
                 {"8KiB", 8192},
                 {"3MiB", 3 << 20},
                 {"2GiB", INT64_C(2) << 30},
                 {"1TiB", INT64_C(1) << 40}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_assert_eq(READ("--store-max-bytes", (char *)cases[i].text), ERR_OK, "%s", why);
        cr_assert_eq(options.store_max_bytes, cases[i].bytes, "%s", cases[i].text);
        options_fini(&options);
    }
}

Test(options, reads_the_word_that_may_stand_in_place_of_a_number)
{
    cr_assert_eq(READ("--drain-delay=auto", "--max-session-age=off"), ERR_OK, "%s", why);
    cr_expect_eq(options.drain_delay, OPTION_AUTO);
    cr_expect_eq(options.max_session_age, OPTION_OFF);
    options_fini(&options);
    cr_assert_eq(READ("--drain-delay=0", "--max-session-age=1m"), ERR_OK, "%s", why);
    cr_expect_eq(options.drain_delay, 0);
    cr_expect_eq(options.max_session_age, 60000);
    options_fini(&options);
    cr_assert_eq(READ("--demo"), ERR_OK, "%s", why);
    cr_expect_eq(options.drain_delay, OPTION_AUTO);
    cr_expect_eq(options.max_session_age, OPTION_OFF, "no session ends because of its age");
    options_fini(&options);
    cr_assert_eq(READ("--drain-delay=off"), ERR_INVALID_FIELD);
    cr_assert_str_eq(why,
                     "--drain-delay must be a duration like 100ms, 10s, 5m, 2h or 7d (or auto), "
                     "not \"off\"");
    static const char *const ages[] = {"59999ms", "0", "31d"};
    for (size_t i = 0; i < sizeof ages / sizeof ages[0]; i++) {
        char text[100];
        snprintf(text, sizeof text, "--max-session-age must be from 1m to 30d (or off), not \"%s\"",
                 ages[i]);
        cr_assert_eq(READ("--max-session-age", (char *)ages[i]), ERR_INVALID_FIELD, "%s", ages[i]);
        cr_assert_str_eq(why, text);
    }
}

Test(options, refuses_values_of_another_form_and_shows_the_right_one)
{
    static const char *const durations[] = {"",     "10",  "s",   "-1s", "1.5s",
                                            "10 s", "10S", "ten", " 1s", "auto"};
    for (size_t i = 0; i < sizeof durations / sizeof durations[0]; i++) {
        cr_assert_eq(READ("--ping-interval", (char *)durations[i]), ERR_INVALID_FIELD, "%s",
                     durations[i]);
        cr_assert_eq(strncmp(why, "--ping-interval must be a duration like 100ms", 45), 0, "%s",
                     why);
    }
    static const char *const sizes[] = {"", "64kb", "64K", "KiB", "1e6", "-1", "0x10"};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        cr_assert_eq(READ("--max-data", (char *)sizes[i]), ERR_INVALID_FIELD, "%s", sizes[i]);
        cr_assert_eq(strncmp(why, "--max-data must be a size like 65536", 36), 0, "%s", why);
    }
    cr_assert_eq(READ("--workers=2x"), ERR_INVALID_FIELD);
    cr_assert_str_eq(why, "--workers must be a whole number, not \"2x\"");
}

Test(options, names_the_option_and_its_range_when_a_number_is_out_of_it)
{
    cr_assert_eq(READ("--workers", "257"), ERR_INVALID_FIELD);
    cr_assert_str_eq(why, "--workers must be from 0 to 256, not \"257\"");
    cr_assert_eq(READ("--ping-interval=99ms"), ERR_INVALID_FIELD);
    cr_assert_str_eq(why, "--ping-interval must be from 100ms to 1h, not \"99ms\"");
    cr_assert_eq(READ("--max-data=1GiB"), ERR_INVALID_FIELD);
    cr_assert_str_eq(why, "--max-data must be from 1 to 16MiB, not \"1GiB\"");
    static const char *const huge[] = {"9223372036854775808", "99999999999999999999999999999"};
    for (size_t i = 0; i < 2; i++) {
        cr_assert_eq(READ("--inbox-max", (char *)huge[i]), ERR_INVALID_FIELD);
        cr_assert_eq(strncmp(why, "--inbox-max must be from 1 to 1000000", 37), 0, "%s", why);
    }
    cr_assert_eq(READ("--default-ttl=9223372036854775807d"), ERR_INVALID_FIELD);
    cr_assert_eq(READ("--store-max-bytes=18446744073709551616"), ERR_INVALID_FIELD);
}

Test(options, takes_only_the_words_of_a_choice)
{
    cr_assert_eq(READ("--log-format=json"), ERR_OK);
    cr_assert_str_eq(options.log_format, "json");
    static const char *const wrong[] = {"", "js", "jsonx", "logfmt|json", "JSON"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        cr_assert_eq(READ("--log-format", (char *)wrong[i]), ERR_INVALID_FIELD);
        cr_assert_eq(strncmp(why, "--log-format must be one of logfmt|json", 39), 0, "%s", why);
    }
}

Test(options, takes_on_and_off_for_a_switch)
{
    cr_assert_eq(READ("--demo=on"), ERR_OK);
    cr_assert(options.demo);
    cr_assert_eq(READ("--demo=yes"), ERR_INVALID_FIELD);
    cr_assert_str_eq(why, "--demo must be on or off, not \"yes\"");
}

Test(options, suggests_the_nearest_name_for_an_unknown_flag)
{
    cr_assert_eq(READ("--lisen=1.2.3.4:5"), ERR_INVALID_FIELD);
    cr_assert_str_eq(why, "--lisen is not known; did you mean --listen?");
    cr_assert_eq(READ("--max-connection-per-user", "3"), ERR_INVALID_FIELD);
    cr_assert_str_eq(
        why, "--max-connection-per-user is not known; did you mean --max-connections-per-user?");
    cr_assert_eq(READ("--hlep"), ERR_INVALID_FIELD);
    cr_assert_str_eq(why, "--hlep is not known; did you mean --help?");
    cr_assert_eq(READ("--qqqqqqqq"), ERR_INVALID_FIELD);
    cr_assert_str_eq(why, "--qqqqqqqq is not known; herald --help lists all options");
}

Test(options, does_not_guess_from_the_beginning_of_a_name)
{
    cr_assert_eq(READ("--max-conn=3"), ERR_INVALID_FIELD);
    cr_assert_eq(READ("--dem"), ERR_INVALID_FIELD);
}

Test(options, refuses_a_flag_without_its_value)
{
    cr_assert_eq(READ("--listen"), ERR_INVALID_FIELD);
    cr_assert_str_eq(why, "--listen needs a value");
    cr_assert_eq(READ("--listen", "--demo"), ERR_INVALID_FIELD);
    cr_assert_str_eq(why, "--listen needs a value");
}

Test(options, refuses_what_is_no_option)
{
    static const char *const wrong[] = {"start", "-x", "--", "-", ""};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        cr_assert_eq(READ((char *)wrong[i]), ERR_INVALID_FIELD, "%s", wrong[i]);
}

Test(options, reads_variables_below_flags)
{
    char *variables[] = {"HERALD_WORKERS=4",
                         "HERALD_PING_INTERVAL=5s",
                         "HERALD_DEMO=on",
                         "PATH=/bin",
                         "HERALD_STORE=",
                         "HERALD_PORT=1",
                         NULL};
    cr_assert_eq(read_both(FLAGS("--workers=2"), variables), ERR_OK, "%s", why);
    cr_assert_eq(options.workers, 2);
    cr_assert_eq(options.ping_interval, 5000);
    cr_assert(options.demo);
    cr_assert_str_eq(options.store, "file:./herald-data", "an empty variable counts as unset");
}

Test(options, names_the_variable_that_is_wrong_even_where_a_flag_overrides_it)
{
    char *variables[] = {"HERALD_WORKERS=many", NULL};
    cr_assert_eq(read_both(FLAGS("--workers=2"), variables), ERR_INVALID_FIELD);
    cr_assert_str_eq(why, "HERALD_WORKERS must be a whole number, not \"many\"");
}

Test(options, reads_the_file_below_variables)
{
    int fd = open_temporary();
    const char text[] = "# Herald\nworkers = 8\nping-interval=2s\n\n  ; a comment\n"
                        "   log-level = debug   ; another\ndemo = on\n";
    cr_assert_eq(write(fd, text, sizeof text - 1), (ssize_t)sizeof text - 1);
    close(fd);
    char config[128];
    snprintf(config, sizeof config, "HERALD_CONFIG=%s", path);
    char *variables[] = {config, "HERALD_WORKERS=4", NULL};
    enum err error = read_both(FLAGS("--demo=off"), variables);
    unlink(path);
    cr_assert_eq(error, ERR_OK, "%s", why);
    cr_assert_eq(options.workers, 4);
    cr_assert_eq(options.ping_interval, 2000);
    cr_assert_str_eq(options.log_level, "debug", "an indented line is a line of its own");
    cr_assert_not(options.demo);
}

Test(options, names_the_line_of_the_file_that_is_wrong)
{
    static const struct {
        const char *text;
        const char *says;
    } cases[] = {
        {"\nworkrs = 3\n", ":2: workrs is not known; did you mean workers?"},
        {"workers = 3\nworkers = -3\n", ":2: workers must be a whole number, not \"-3\""},
        {"workers = 3\nworkers\n", ":2: a line must be NAME = VALUE"},
        {"[herald]\nworkers = 3\n", ":2: sections like [herald] are not used here"},
        {"config = x\n", ":1: config cannot stand in the file itself"},
        {"inbox-max = 0", ":1: inbox-max must be from 1 to 1000000, not \"0\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_assert_eq(read_file_text(cases[i].text, "--insecure"), ERR_INVALID_FIELD);
        cr_assert_eq(strncmp(why, path, strlen(path)), 0, "%s", why);
        cr_assert_str_eq(why + strlen(path), cases[i].says);
    }
}

Test(options, checks_the_file_even_where_a_flag_overrides_it)
{
    cr_assert_eq(read_file_text("workers = many\n", "--workers=3"), ERR_INVALID_FIELD);
}

Test(options, takes_a_line_of_198_bytes_and_refuses_a_longer_one)
{
    char text[256];
    memset(text, 'x', sizeof text);
    memcpy(text, "store = file:", 13);
    memcpy(text + 198, "\n", 2);
    cr_assert_eq(read_file_text(text, "--insecure"), ERR_OK, "%s", why);
    cr_assert_eq(strlen(options.store), 190);
    options_fini(&options);
    memcpy(text + 198, "x\n", 3);
    cr_assert_eq(read_file_text(text, "--insecure"), ERR_INVALID_FIELD);
    cr_assert_str_eq(why + strlen(path), ":1: the line is too long (at most 198 bytes)");
}

Test(options, says_which_file_cannot_be_opened)
{
    cr_assert_eq(READ("--config=/nonexistent/herald.ini"), ERR_INVALID_FIELD);
    cr_assert_str_eq(why,
                     "--config /nonexistent/herald.ini cannot be read: No such file or directory");
    cr_assert_eq(READ("--config=/tmp"), ERR_INVALID_FIELD);
    cr_assert_str_eq(why, "--config /tmp cannot be read: Is a directory");
}

/* The first has no end, the second none until somebody writes into it. */
Test(options, reads_no_configuration_without_an_end, .timeout = 10)
{
    cr_assert_eq(READ("--config=/dev/zero"), ERR_INVALID_FIELD);
    cr_assert_str_eq(why, "--config /dev/zero cannot be read: it is not a regular file, but a pipe "
                          "or a device");
    close(open_temporary());
    unlink(path);
    cr_assert_eq(mkfifo(path, 0600), 0);
    cr_assert_eq(READ("--config", path), ERR_INVALID_FIELD);
    cr_assert_not_null(strstr(why, "it is not a regular file"), "%s", why);
    unlink(path);

    close(open_temporary());
    cr_assert_eq(truncate(path, (1 << 20) + 1), 0);
    cr_assert_eq(READ("--config", path), ERR_INVALID_FIELD);
    cr_assert_not_null(strstr(why, "it is larger than 1 MiB"), "%s", why);
    unlink(path);
}

Test(options, refuses_a_line_of_the_file_with_a_nul)
{
    static const char text[] = "workers = 1\nstore = memory:\0x\n";
    int fd = open_temporary();
    cr_assert_eq(write(fd, text, sizeof text - 1), (ssize_t)sizeof text - 1);
    close(fd);
    cr_assert_eq(READ("--config", path), ERR_INVALID_FIELD);
    cr_assert_str_eq(why + strlen(path), ":2: there is a NUL in the line");
    unlink(path);
}

Test(options, answers_what_else_is_asked_for)
{
    cr_assert_eq(READ("--help", "--nonsense"), ERR_OK);
    cr_assert_eq(action, OPTIONS_HELP);
    options_fini(&options);
    cr_assert_eq(READ("-h"), ERR_OK);
    cr_assert_eq(action, OPTIONS_HELP);
    options_fini(&options);
    cr_assert_eq(READ("--version"), ERR_OK);
    cr_assert_eq(action, OPTIONS_VERSION);
    options_fini(&options);
    cr_assert_eq(READ("--print-config", "--workers=9"), ERR_OK);
    cr_assert_eq(action, OPTIONS_PRINT_CONFIG);
    cr_assert_eq(options.workers, 9);
    options_fini(&options);
    cr_assert_eq(READ("--check-config"), ERR_OK);
    cr_assert_eq(action, OPTIONS_CHECK_CONFIG);
    cr_assert_eq(READ("--help=me"), ERR_INVALID_FIELD);
}

Test(options, refuses_a_node_name_of_other_bytes)
{
    cr_assert_eq(READ("--node-name", "a b"), ERR_INVALID_FIELD);
    cr_assert_str_eq(why, "--node-name must be 1 to 64 of A-Z a-z 0-9 . _ -");
    cr_assert_eq(READ("--node-name", "a-1.example_2"), ERR_OK);
    cr_assert_str_eq(options.node_name, "a-1.example_2");
}

Test(options, refuses_a_silence_that_ends_before_the_ping)
{
    cr_assert_eq(READ("--ping-interval=30s"), ERR_INVALID_FIELD);
    cr_assert_eq(strncmp(why, "--silence-timeout must be longer than --ping-interval", 53), 0, "%s",
                 why);
}

/* The option's entry in the help, which ends where the next begins, has its default. */

Test(options, refuses_an_address_of_another_form)
{
    cr_assert_eq(READ("--listen=8080"), ERR_INVALID_FIELD);
    cr_assert_str_eq(why, "--listen must be HOST:PORT, [V6]:PORT or unix:PATH, not \"8080\"");
}
