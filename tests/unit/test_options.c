#include "gateway/base/options.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct options options;
static enum options_action action;
static char why[512];

/* Reads the flags and variables that are given, each a NULL-terminated list. */
static enum err read_both(char **flags, char **variables)
{
    char *argv[16] = {(char *)"herald"};
    int argc = 1;
    for (; *flags != NULL; flags++)
        argv[argc++] = *flags;
    return options_read(argc, argv, variables, &options, &action, why, sizeof why);
}

#define FLAGS(...)     ((char *[]){__VA_ARGS__, NULL})
#define READ(...)      read_both(FLAGS(__VA_ARGS__), NULL)
#define READ_NOTHING() read_both((char *[]){NULL}, NULL)

static void teardown(void)
{
    options_fini(&options);
}

TestSuite(options, .fini = teardown);

static char path[64];

static int open_temporary(void)
{
    snprintf(path, sizeof path, "/tmp/herald_options_XXXXXX");
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    return fd;
}

/* Reads with a configuration file of that text; the file is gone afterwards. */
static enum err read_file_text(const char *text, char *flag)
{
    int fd = open_temporary();
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    enum err error = READ((char *)"--config", path, flag);
    unlink(path);
    return error;
}

Test(options, has_the_defaults_of_the_contract)
{
    cr_assert_eq(READ_NOTHING(), ERR_OK);
    cr_assert_eq(action, OPTIONS_RUN);
    cr_assert_str_eq(options.listen, "127.0.0.1:8080");
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

Test(options, takes_a_value_behind_a_space_or_an_equals_sign)
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
    cr_assert_null(options.listen);
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
    cr_assert_str_eq(
        why, "--config /nonexistent/herald.ini cannot be opened: No such file or directory");
    cr_assert_eq(READ("--config=/tmp"), ERR_INVALID_FIELD);
    cr_assert_str_eq(why, "--config /tmp cannot be read; is it a file?");
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

Test(options, refuses_a_silence_that_ends_before_the_ping)
{
    cr_assert_eq(READ("--ping-interval=30s"), ERR_INVALID_FIELD);
    cr_assert_eq(strncmp(why, "--silence-timeout must be longer than --ping-interval", 53), 0, "%s",
                 why);
}

/* The option's entry in the help, which ends where the next begins, has its default. */
static void assert_listed(const char *help, const char *flag, const char *value)
{
    const char *at = strstr(help, flag);
    cr_assert_not_null(at, "%s", flag);
    const char *next = strstr(at + 1, "\n  --");
    const char *shown = strstr(at, strcmp(value, "[]") == 0 ? "[none]" : value);
    cr_assert(shown != NULL && shown < next, "%s", flag);
}

Test(options, lists_every_option_with_its_default_in_the_help)
{
    struct buf out;
    buf_init(&out, 1 << 16);
    cr_assert_eq(options_print_help(&out), ERR_OK);
    cr_assert_eq(buf_append(&out, "", 1), ERR_OK);
#define LISTED(name, value)                                 assert_listed(out.bytes, "\n  --" name " ", "[" value "]");
#define TEXT(member, name, value, when, help)               LISTED(name, value)
#define NUMBER(member, name, value, min, max, when, help)   LISTED(name, #value)
#define DURATION(member, name, value, min, max, when, help) LISTED(name, value)
#define SIZE(member, name, value, min, max, when, help)     LISTED(name, value)
#define SWITCH(member, name, when, help)                    LISTED(name, "off")
#define CHOICE(member, name, value, words, when, help)      LISTED(name, value)
#define LIST(member, name, when, help)                      LISTED(name, "")
#include "gateway/base/options.def"
    for (char *rest = out.bytes, *line = NULL; (line = strsep(&rest, "\n")) != NULL;)
        cr_assert_leq(strlen(line), 100, "%s", line);
    buf_fini(&out);
}

Test(options, prints_a_configuration_that_reads_back_the_same)
{
    cr_assert_eq(READ("--workers=9", "--ping-interval=1500ms", "--drain-time=auto", "--demo",
                      "--store=memory:", "--max-data=65537"),
                 ERR_OK);
    struct buf first;
    struct buf second;
    buf_init(&first, 1 << 16);
    buf_init(&second, 1 << 16);
    cr_assert_eq(options_print_config(&options, &first), ERR_OK);
    cr_assert_eq(buf_append(&first, "", 1), ERR_OK);
    cr_assert_not_null(strstr(first.bytes, "\nworkers = 9 ; flag\n"));
    cr_assert_not_null(strstr(first.bytes, "\nping-interval = 1500ms ; flag\n"));
    cr_assert_not_null(strstr(first.bytes, "\nsilence-timeout = 20s ; default\n"));
    options_fini(&options);

    cr_assert_eq(read_file_text(first.bytes, "--insecure=off"), ERR_OK, "%s", why);
    cr_assert_eq(options.workers, 9);
    cr_assert_eq(options.ping_interval, 1500);
    cr_assert_eq(options.drain_time, OPTION_AUTO);
    cr_assert_eq(options.max_data, 65537);
    cr_assert(options.demo);
    cr_assert_str_eq(options.store, "memory:");
    cr_assert_eq(options_print_config(&options, &second), ERR_OK);
    cr_assert_eq(buf_append(&second, "", 1), ERR_OK);
    cr_assert_not_null(strstr(second.bytes, "\nworkers = 9 ; file\n"));
    buf_fini(&first);
    buf_fini(&second);
}

/* A comment, or spaces, that the line was read without would make it too long to be read. */
Test(options, prints_a_line_of_198_bytes_so_that_it_reads_back)
{
    for (size_t len = 180; len <= 198; len++) {
        char text[256];
        char store[256];
        struct buf printed;
        memset(text, 'x', sizeof text);
        memcpy(text, "store=file:", 11);
        memcpy(text + len, "\n", 2);
        cr_assert_eq(read_file_text(text, "--insecure"), ERR_OK, "%s", why);
        snprintf(store, sizeof store, "%s", options.store);
        buf_init(&printed, 1 << 16);
        cr_assert_eq(options_print_config(&options, &printed), ERR_OK);
        cr_assert_eq(buf_append(&printed, "", 1), ERR_OK);
        options_fini(&options);
        cr_assert_eq(read_file_text(printed.bytes, "--insecure"), ERR_OK, "%s", why);
        cr_assert_str_eq(options.store, store);
        options_fini(&options);
        buf_fini(&printed);
    }
}

static void assert_origins(size_t n, const char *const *origins)
{
    cr_assert_eq(options.allowed_origin.n, n);
    for (size_t i = 0; i < n; i++)
        cr_assert_str_eq(options.allowed_origin.values[i], origins[i]);
}

#define ASSERT_ORIGINS(...)                                                                        \
    assert_origins(sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *),                    \
                   (const char *const[]){__VA_ARGS__})

Test(options, collects_the_values_of_a_repeated_list)
{
    cr_assert_eq(READ_NOTHING(), ERR_OK);
    cr_assert_eq(options.allowed_origin.n, 0);
    options_fini(&options);
    cr_assert_eq(READ("--allowed-origin", "https://a", "--allowed-origin=https://b,https://c"),
                 ERR_OK, "%s", why);
    ASSERT_ORIGINS("https://a", "https://b", "https://c");
}

Test(options, splits_a_list_in_a_variable_at_commas_and_spaces)
{
    char *variables[] = {"HERALD_ALLOWED_ORIGIN= https://a,https://b  https://c, https://d ,",
                         NULL};
    cr_assert_eq(read_both((char *[]){NULL}, variables), ERR_OK, "%s", why);
    ASSERT_ORIGINS("https://a", "https://b", "https://c", "https://d");
}

Test(options, collects_a_list_from_the_lines_of_a_file)
{
    cr_assert_eq(read_file_text("allowed-origin = https://a\nworkers = 1\n"
                                "allowed-origin = https://b, https://c ; two\n",
                                "--insecure"),
                 ERR_OK, "%s", why);
    ASSERT_ORIGINS("https://a", "https://b", "https://c");
    cr_assert_eq(options.sources[OPTION_allowed_origin], OPTION_FROM_FILE);
}

Test(options, replaces_a_list_of_a_weaker_source_as_a_whole)
{
    static const char text[] = "allowed-origin = https://a\nallowed-origin = https://b\n";
    char *variables[] = {"HERALD_ALLOWED_ORIGIN=https://c https://d", NULL};
    cr_assert_eq(read_both(FLAGS("--allowed-origin=https://e"), variables), ERR_OK, "%s", why);
    ASSERT_ORIGINS("https://e");
    options_fini(&options);
    cr_assert_eq(read_file_text(text, "--allowed-origin=https://e"), ERR_OK, "%s", why);
    ASSERT_ORIGINS("https://e");
    options_fini(&options);
    cr_assert_eq(read_file_text(text, "--allowed-origin="), ERR_OK, "%s", why);
    cr_assert_eq(options.allowed_origin.n, 0, "an empty list is a value");
}

Test(options, takes_every_form_of_an_origin)
{
    static const char *const right[] = {
        "https://example.com",
        "http://localhost:3000",
        "HTTPS://Example.COM:65535",
        "https://*.example.com",
        "https://*.example.com:8443",
        "http://127.0.0.1:1",
        "https://[::1]",
        "https://[2001:db8::1]:8443",
        "chrome-extension://abcdefghijklmnop",
        "moz-extension://0f-1",
        "app://.",
        "null",
    };
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++) {
        cr_assert_eq(READ("--allowed-origin", (char *)right[i]), ERR_OK, "%s", why);
        ASSERT_ORIGINS(right[i]);
        options_fini(&options);
    }
}

Test(options, refuses_what_no_origin_can_be_and_names_the_option)
{
    static const char *const wrong[] = {
        "example.com",
        "*",
        "NULL",
        "://example.com",
        "https:/example.com",
        "https://",
        "https://*",
        "https://*.",
        "https://*example.com",
        "https://a.*.example.com",
        "https://*.*.example.com",
        "https://*.[::1]",
        "*://example.com",
        "https://example.com/",
        "https://example.com/path",
        "https://example.com?",
        "https://example.com#x",
        "https://user@example.com",
        "https://example.com:",
        "https://example.com:0",
        "https://example.com:080",
        "https://example.com:65536",
        "https://example.com:999999",
        "https://example.com:+80",
        "https://example.com:80/",
        "https://[::1",
        "https://[]",
        "https://[::1]x",
        "https://b\xc3\xbc"
        "cher.example",
        "https://example.com;https://example.org",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        cr_assert_eq(READ("--allowed-origin=https://a", "--allowed-origin", (char *)wrong[i]),
                     ERR_INVALID_FIELD, "%s", wrong[i]);
        cr_assert_eq(strncmp(why, "--allowed-origin must be SCHEME://HOST[:PORT]", 45), 0, "%s",
                     why);
        cr_assert_not_null(strstr(why, wrong[i]), "%s", why);
    }
    cr_assert_eq(READ("--allowed-origin"), ERR_INVALID_FIELD);
    cr_assert_str_eq(why, "--allowed-origin needs a value");
    cr_assert_eq(READ("--allowed-origins=https://a"), ERR_INVALID_FIELD);
    cr_assert_str_eq(why, "--allowed-origins is not known; did you mean --allowed-origin?");
}

/* More than fits into one line of the file. */
Test(options, prints_a_list_that_reads_back_the_same)
{
    enum { N = 5 };
    char flags[N][128];
    for (size_t i = 0; i < N; i++)
        snprintf(flags[i], sizeof flags[i], "--allowed-origin=https://%zu%080d.example.com", i, 0);
    cr_assert_eq(READ(flags[0], flags[1], flags[2], flags[3], flags[4]), ERR_OK, "%s", why);
    struct buf out;
    buf_init(&out, 1 << 16);
    cr_assert_eq(options_print_config(&options, &out), ERR_OK);
    cr_assert_eq(buf_append(&out, "", 1), ERR_OK);
    options_fini(&options);
    cr_assert_eq(read_file_text(out.bytes, "--insecure"), ERR_OK, "%s", why);
    cr_assert_eq(options.allowed_origin.n, N);
    for (size_t i = 0; i < N; i++)
        cr_assert_str_eq(options.allowed_origin.values[i], strchr(flags[i], '=') + 1);
    buf_fini(&out);
    options_fini(&options);

    buf_init(&out, 1 << 16);
    cr_assert_eq(READ_NOTHING(), ERR_OK);
    cr_assert_eq(options_print_config(&options, &out), ERR_OK);
    cr_assert_eq(buf_append(&out, "", 1), ERR_OK);
    cr_assert_not_null(strstr(out.bytes, "\nallowed-origin =  ; default\n"));
    options_fini(&options);
    cr_assert_eq(read_file_text(out.bytes, "--insecure"), ERR_OK, "%s", why);
    cr_assert_eq(options.allowed_origin.n, 0);
    buf_fini(&out);
}

Test(options, hides_the_password_of_the_store)
{
    static const struct {
        const char *url;
        const char *shown;
    } cases[] = {
        {"redis://u:pa@s:s/w@host:1/2", "\nstore = redis://u:***@host:1/2 ;"},
        {"redis://:secret@host:1", "\nstore = redis://:***@host:1 ;"},
        {"redis://host:6379", "\nstore = redis://host:6379 ;"},
        {"redis://user@host:6379", "\nstore = redis://user@host:6379 ;"},
        {"file:./a@b:c", "\nstore = file:./a@b:c ;"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_assert_eq(READ("--store", (char *)cases[i].url), ERR_OK);
        struct buf out;
        buf_init(&out, 1 << 16);
        cr_assert_eq(options_print_config(&options, &out), ERR_OK);
        cr_assert_eq(buf_append(&out, "", 1), ERR_OK);
        cr_assert_not_null(strstr(out.bytes, cases[i].shown), "%s", out.bytes);
        buf_fini(&out);
        options_fini(&options);
    }
}

Test(options, splits_listen_addresses)
{
    struct listen_address address;
    cr_assert_eq(listen_address_parse("127.0.0.1:8080", &address), ERR_OK);
    cr_assert_str_eq(address.host, "127.0.0.1");
    cr_assert_str_eq(address.port, "8080");
    cr_assert_eq(listen_address_parse("[::1]:0", &address), ERR_OK);
    cr_assert_str_eq(address.host, "::1");
    cr_assert_str_eq(address.port, "0");
    cr_assert_eq(listen_address_parse("push.example.com:65535", &address), ERR_OK);
    cr_assert_eq(listen_address_parse("unix:/run/herald.sock", &address), ERR_OK);
    cr_assert(address.is_unix);
    cr_assert_str_eq(address.host, "/run/herald.sock");
}

Test(options, refuses_listen_addresses_of_another_form)
{
    static const char *const wrong[] = {
        "",      "8080",   ":8080", "host",  "host:",  "host:65536",     "host:80a", "::1:80",
        "[::1]", "[x]:80", "[]:80", "unix:", "a b:80", "http://host:80", "host:-1",  "host:000080"};
    struct listen_address address;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        cr_assert_eq(listen_address_parse(wrong[i], &address), ERR_INVALID_FIELD, "%s", wrong[i]);
    char long_path[256] = "unix:";
    memset(long_path + 5, 'p', 108);
    cr_assert_eq(listen_address_parse(long_path, &address), ERR_INVALID_FIELD);
    cr_assert_eq(READ("--listen=8080"), ERR_INVALID_FIELD);
    cr_assert_str_eq(why, "--listen must be HOST:PORT, [V6]:PORT or unix:PATH, not \"8080\"");
}

Test(options, knows_a_loopback_address)
{
    static const char *const near[] = {"127.0.0.1:1", "127.9.9.9:1", "localhost:1",
                                       "[::1]:1",     "unix:/x",     "[::ffff:127.0.0.1]:1"};
    static const char *const far[] = {"0.0.0.0:1",
                                      "10.0.0.1:1",
                                      "[::]:1",
                                      "example.com:1",
                                      "128.0.0.1:1",
                                      "localhost.example.com:1",
                                      "127.0.0.1.example.com:1"};
    struct listen_address address;
    for (size_t i = 0; i < sizeof near / sizeof near[0]; i++) {
        cr_assert_eq(listen_address_parse(near[i], &address), ERR_OK);
        cr_assert(listen_address_is_loopback(&address), "%s", near[i]);
    }
    for (size_t i = 0; i < sizeof far / sizeof far[0]; i++) {
        cr_assert_eq(listen_address_parse(far[i], &address), ERR_OK);
        cr_assert_not(listen_address_is_loopback(&address), "%s", far[i]);
    }
}
