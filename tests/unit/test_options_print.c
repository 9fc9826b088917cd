/* What --help and --print-config show. */
#include "tests/unit/options_calls.h"

TestSuite(options_print, .fini = teardown);

static void assert_listed(const char *help, const char *flag, const char *value)
{
    const char *at = strstr(help, flag);
    cr_assert_not_null(at, "%s", flag);
    const char *next = strstr(at + 1, "\n  --");
    const char *shown = strstr(at, strcmp(value, "[]") == 0 ? "[none]" : value);
    cr_assert(shown != NULL && shown < next, "%s", flag);
}

Test(options_print, lists_every_option_with_its_default_in_the_help)
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
#define LIST(member, name, value, when, help)               LISTED(name, value)
#define NAMES(member, name, when, help)                     LISTED(name, "none")
#define PATH(member, name, when, help)                      LISTED(name, "none")
#include "gateway/base/options.def"
    for (char *rest = out.bytes, *line = NULL; (line = strsep(&rest, "\n")) != NULL;)
        cr_assert_leq(strlen(line), 100, "%s", line);
    buf_fini(&out);
}

/* What --print-config shows; the caller frees it. */
static void print_config(struct buf *ret_out)
{
    buf_init(ret_out, 1 << 16);
    cr_assert_eq(options_print_config(&options, ret_out), ERR_OK);
    cr_assert_eq(buf_append(ret_out, "", 1), ERR_OK);
}

Test(options_print, prints_a_configuration_that_reads_back_the_same)
{
    cr_assert_eq(READ("--workers=9", "--ping-interval=1500ms", "--drain-time=auto", "--demo",
                      "--store=memory:", "--max-data=65537", "--max-session-age=off"),
                 ERR_OK);
    struct buf first;
    struct buf second;
    print_config(&first);
    cr_assert_not_null(strstr(first.bytes, "\nworkers = 9 ; flag\n"));
    cr_assert_not_null(strstr(first.bytes, "\nping-interval = 1500ms ; flag\n"));
    cr_assert_not_null(strstr(first.bytes, "\nsilence-timeout = 20s ; default\n"));
    options_fini(&options);

    cr_assert_eq(read_file_text(first.bytes, "--insecure=off"), ERR_OK, "%s", why);
    cr_assert_eq(options.workers, 9);
    cr_assert_eq(options.ping_interval, 1500);
    cr_assert_eq(options.drain_time, OPTION_AUTO);
    cr_assert_eq(options.max_session_age, OPTION_OFF);
    cr_assert_eq(options.max_data, 65537);
    cr_assert(options.demo);
    cr_assert_str_eq(options.store, "memory:");
    print_config(&second);
    cr_assert_not_null(strstr(second.bytes, "\nworkers = 9 ; file\n"));
    buf_fini(&first);
    buf_fini(&second);
}

/* A comment, or spaces, that the line was read without would make it too long to be read. */
Test(options_print, prints_a_line_of_198_bytes_so_that_it_reads_back)
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
        print_config(&printed);
        options_fini(&options);
        cr_assert_eq(read_file_text(printed.bytes, "--insecure"), ERR_OK, "%s", why);
        cr_assert_str_eq(options.store, store);
        options_fini(&options);
        buf_fini(&printed);
    }
}

Test(options_print, prints_a_list_that_reads_back_the_same)
{
    enum { N = 5 };
    char flags[N][128];
    for (size_t i = 0; i < N; i++)
        snprintf(flags[i], sizeof flags[i], "--allowed-origin=https://%zu%080d.example.com", i, 0);
    cr_assert_eq(READ(flags[0], flags[1], flags[2], flags[3], flags[4]), ERR_OK, "%s", why);
    struct buf out;
    print_config(&out);
    options_fini(&options);
    cr_assert_eq(read_file_text(out.bytes, "--insecure"), ERR_OK, "%s", why);
    cr_assert_eq(options.allowed_origin.n, N);
    for (size_t i = 0; i < N; i++)
        cr_assert_str_eq(options.allowed_origin.values[i], strchr(flags[i], '=') + 1);
    buf_fini(&out);
    options_fini(&options);

    cr_assert_eq(READ_NOTHING(), ERR_OK);
    print_config(&out);
    cr_assert_not_null(strstr(out.bytes, "\nallowed-origin =  ; default\n"));
    options_fini(&options);
    cr_assert_eq(read_file_text(out.bytes, "--insecure"), ERR_OK, "%s", why);
    cr_assert_eq(options.allowed_origin.n, 0);
    buf_fini(&out);
}

/* A name with spaces, and options that may not be empty in the file. */
Test(options_print, prints_names_and_files_so_that_they_read_back)
{
    struct buf first, second;
    cr_assert_eq(READ("--jwt-audience=My API", "--jwt-audience=;b, c", "--jwt-keys=my keys"),
                 ERR_OK, "%s", why);
    print_config(&first);
    options_fini(&options);
    cr_assert_not_null(strstr(first.bytes, "\njwt-audience = My API ; flag\n"));
    cr_assert_not_null(strstr(first.bytes, "\njwt-audience=;b, c ; flag\n"));
    cr_assert_not_null(strstr(first.bytes, "\n; admin-keys =  ; default\n"));
    cr_assert_not_null(strstr(first.bytes, "\n; jwt-issuer =  ; default\n"));
    cr_assert_eq(read_file_text(first.bytes, "--insecure"), ERR_OK, "%s", why);
    cr_assert_eq(options.jwt_audience.n, 2);
    cr_assert_str_eq(options.jwt_audience.values[0], "My API");
    cr_assert_str_eq(options.jwt_audience.values[1], ";b, c");
    cr_assert_str_eq(options.jwt_keys, "my keys");
    print_config(&second);
    cr_assert_not_null(strstr(second.bytes, "\njwt-audience = My API ; file\n"));
    buf_fini(&first);
    buf_fini(&second);
}

Test(options_print, hides_the_password_of_the_store)
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
        print_config(&out);
        cr_assert_not_null(strstr(out.bytes, cases[i].shown), "%s", out.bytes);
        buf_fini(&out);
        options_fini(&options);
    }
}

Test(options_print, hides_the_credentials_of_the_sentinels)
{
    struct buf out;
    cr_assert_eq(READ("--redis-sentinel-auth", "herald:swordfish"), ERR_OK);
    print_config(&out);
    cr_assert_not_null(strstr(out.bytes, "\nredis-sentinel-auth = *** ;"), "%s", out.bytes);
    cr_assert_null(strstr(out.bytes, "swordfish"));
    buf_fini(&out);
    options_fini(&options);
}

/* After a space, a semicolon begins a comment in the file. */
Test(options_print, prints_a_value_that_begins_with_a_semicolon_so_that_it_reads_back)
{
    struct buf out;
    cr_assert_eq(READ("--token-cookie=;a"), ERR_OK);
    print_config(&out);
    cr_assert_not_null(strstr(out.bytes, "\ntoken-cookie=;a ; flag\n"));
    options_fini(&options);
    cr_assert_eq(read_file_text(out.bytes, "--insecure=off"), ERR_OK, "%s", why);
    cr_assert_str_eq(options.token_cookie, ";a");
    buf_fini(&out);
}

/* ---- what --demo implies ---- */

static void expect_printed(const char *line)
{
    struct buf out;
    print_config(&out);
    cr_expect_not_null(strstr(out.bytes, line), "%s", line);
    buf_fini(&out);
}

Test(options_print, shows_what_the_demo_switches_on)
{
    cr_assert_eq(READ("--demo"), ERR_OK);
    cr_expect_eq(options.events.n, 4);
    cr_expect_str_eq(options.client_messages, "v1");
    expect_printed("\nevents = client.message ; demo\n");
    expect_printed("\nclient-messages = v1 ; demo\n");
}

Test(options_print, lets_what_is_said_go_before_the_demo)
{
    cr_assert_eq(READ("--demo", "--events=client.message", "--client-messages=all"), ERR_OK);
    cr_expect_eq(options.events.n, 1);
    cr_expect_str_eq(options.client_messages, "all");
    options_fini(&options);
    cr_assert_eq(READ("--demo", "--client-messages=off"), ERR_OK);
    cr_expect_eq(options.events.n, 4);
    expect_printed("\nclient-messages = off ; flag\n");
    options_fini(&options);
    cr_assert_eq(READ("--demo", "--events=user.online"), ERR_OK);
    cr_expect_eq(options.events.n, 1);
    expect_printed("\nclient-messages = off ; default\n");
    options_fini(&options);
    cr_assert_eq(READ("--demo", "--events="), ERR_OK);
    cr_expect_eq(options.events.n, 0);
    options_fini(&options);
    cr_assert_eq(READ_NOTHING(), ERR_OK);
    cr_expect_eq(options.events.n, 0);
    cr_expect_str_eq(options.client_messages, "off");
}
