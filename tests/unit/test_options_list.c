/* Options that are lists: how values are gathered and split, and what each kind of value must look
 * like. */
#include "tests/unit/options_calls.h"

TestSuite(options_list, .fini = teardown);

static void assert_origins(size_t n, const char *const *origins)
{
    cr_assert_eq(options.allowed_origin.n, n);
    for (size_t i = 0; i < n; i++)
        cr_assert_str_eq(options.allowed_origin.values[i], origins[i]);
}

#define ASSERT_ORIGINS(...)                                                                        \
    assert_origins(sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *),                    \
                   (const char *const[]){__VA_ARGS__})

Test(options_list, collects_the_values_of_a_repeated_list)
{
    cr_assert_eq(READ_NOTHING(), ERR_OK);
    cr_assert_eq(options.allowed_origin.n, 0);
    options_fini(&options);
    cr_assert_eq(READ("--allowed-origin", "https://a", "--allowed-origin=https://b,https://c"),
                 ERR_OK, "%s", why);
    ASSERT_ORIGINS("https://a", "https://b", "https://c");
}

Test(options_list, splits_a_list_in_a_variable_at_commas_and_spaces)
{
    char *variables[] = {"HERALD_ALLOWED_ORIGIN= https://a,https://b  https://c, https://d ,",
                         NULL};
    cr_assert_eq(read_both((char *[]){NULL}, variables), ERR_OK, "%s", why);
    ASSERT_ORIGINS("https://a", "https://b", "https://c", "https://d");
}

Test(options_list, collects_a_list_from_the_lines_of_a_file)
{
    cr_assert_eq(read_file_text("allowed-origin = https://a\nworkers = 1\n"
                                "allowed-origin = https://b, https://c ; two\n",
                                "--insecure"),
                 ERR_OK, "%s", why);
    ASSERT_ORIGINS("https://a", "https://b", "https://c");
    cr_assert_eq(options.sources[OPTION_allowed_origin], OPTION_FROM_FILE);
}

Test(options_list, replaces_a_list_of_a_weaker_source_as_a_whole)
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

/* "My API" is an audience (RFC 7519, 4.1.3, and RFC 7519, 2: any string), and API is another. */
Test(options_list, takes_the_names_of_audiences_and_issuers_whole)
{
    char *variables[] = {"HERALD_JWT_ISSUER=https://a, https://b", NULL};
    cr_assert_eq(read_both(FLAGS("--jwt-audience", "My API", "--jwt-audience=a,b"), variables),
                 ERR_OK, "%s", why);
    cr_assert_eq(options.jwt_audience.n, 2);
    cr_assert_str_eq(options.jwt_audience.values[0], "My API");
    cr_assert_str_eq(options.jwt_audience.values[1], "a,b");
    cr_assert_eq(options.jwt_issuer.n, 1);
    cr_assert_str_eq(options.jwt_issuer.values[0], "https://a, https://b");
    options_fini(&options);
    cr_assert_eq(read_file_text("jwt-audience = My API\njwt-audience = b, c ; two\n", "--insecure"),
                 ERR_OK, "%s", why);
    cr_assert_eq(options.jwt_audience.n, 2);
    cr_assert_str_eq(options.jwt_audience.values[0], "My API");
    cr_assert_str_eq(options.jwt_audience.values[1], "b, c");
}

Test(options_list, refuses_a_name_that_no_line_of_the_file_could_say)
{
    static const char *const wrong[] = {" a", "a ", "\ta", "a\nb", "a\tb", "a ;b"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        cr_assert_eq(READ("--jwt-issuer", (char *)wrong[i]), ERR_INVALID_FIELD, "%s", wrong[i]);
        cr_assert_eq(strncmp(why, "--jwt-issuer must be one name", 29), 0, "%s", why);
    }
}

/* --jwt-audience "$UNSET" would let in the token for any audience. */
Test(options_list, refuses_a_check_that_is_given_empty)
{
    static const char *const names[] = {"jwt-audience", "jwt-issuer",    "jwt-keys",
                                        "admin-keys",   "tls-client-ca", "tls-cert",
                                        "tls-key",      "admin-tls-key", "config"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char flag[64], expected[128];
        char variable[64] = "HERALD_";
        char *variables[] = {variable, NULL};
        snprintf(flag, sizeof flag, "--%s=", names[i]);
        snprintf(expected, sizeof expected,
                 "--%s must not be empty: leave it out where it is not "
                 "wanted",
                 names[i]);
        cr_assert_eq(READ(flag), ERR_INVALID_FIELD, "%s", flag);
        cr_assert_str_eq(why, expected);
        size_t len = strlen(variable);
        for (const char *c = names[i]; *c != '\0'; c++)
            variable[len++] = *c == '-' ? '_' : (char)(*c - ('a' - 'A'));
        variable[len] = '=';
        cr_assert_eq(read_both(FLAGS(NULL), variables), ERR_INVALID_FIELD, "%s", variable);
        variable[len] = '\0';
        cr_assert_eq(strncmp(why, variable, len), 0, "%s", why);
    }
    cr_assert_eq(read_file_text("jwt-audience =\n", "--insecure"), ERR_INVALID_FIELD);
    cr_assert_not_null(strstr(why, ":1: jwt-audience must not be empty"), "%s", why);
}

Test(options_list, takes_every_form_of_an_origin)
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

Test(options_list, refuses_what_no_origin_can_be_and_names_the_option)
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
    cr_assert_eq(READ("--allowed-origin=https://a", "--allowed-origin=WSS://a.example"),
                 ERR_INVALID_FIELD);
    cr_expect_not_null(strstr(why, "--allowed-origin must be the origin of the page, which begins "
                                   "with http:// or https://"),
                       "%s", why);
    cr_assert_eq(READ("--allowed-origin=ws://*.example.com"), ERR_INVALID_FIELD);
    cr_expect_not_null(strstr(why, "\"ws://*.example.com\""), "%s", why);
    cr_assert_eq(READ("--allowed-origin"), ERR_INVALID_FIELD);
    cr_assert_str_eq(why, "--allowed-origin needs a value");
    cr_assert_eq(READ("--allowed-origins=https://a"), ERR_INVALID_FIELD);
    cr_assert_str_eq(why, "--allowed-origins is not known; did you mean --allowed-origin?");
}

Test(options_list, takes_several_addresses_to_listen_on_instead_of_the_default)
{
    char *variables[] = {"HERALD_LISTEN=127.0.0.1:1, unix:/run/x", NULL};
    cr_assert_eq(READ("--listen=127.0.0.1:1", "--listen", "[::1]:1,unix:/run/x"), ERR_OK, "%s",
                 why);
    cr_assert_eq(options.listen.n, 3);
    cr_assert_str_eq(options.listen.values[0], "127.0.0.1:1");
    cr_assert_str_eq(options.listen.values[2], "unix:/run/x");
    options_fini(&options);
    cr_assert_eq(read_both(FLAGS(NULL), variables), ERR_OK, "%s", why);
    cr_assert_eq(options.listen.n, 2);
    options_fini(&options);
    cr_assert_eq(read_file_text("listen = 127.0.0.1:1\nlisten = 127.0.0.1:2\n", "--insecure"),
                 ERR_OK, "%s", why);
    cr_assert_eq(options.listen.n, 2);
}

Test(options_list, refuses_an_address_to_listen_on_that_is_invalid_or_repeated)
{
    cr_assert_eq(READ("--listen=127.0.0.1:1,8080"), ERR_INVALID_FIELD);
    cr_assert_str_eq(why, "--listen must be HOST:PORT, [V6]:PORT or unix:PATH, not \"8080\"");
    cr_assert_eq(READ("--listen="), ERR_INVALID_FIELD);
    cr_assert_str_eq(why, "--listen must be HOST:PORT, [V6]:PORT or unix:PATH, not \"\"");
    cr_assert_eq(READ("--listen=unix:/x", "--listen=127.0.0.1:1", "--listen=unix:/x"),
                 ERR_INVALID_FIELD);
    cr_assert_str_eq(why, "--listen names unix:/x twice");
}

Test(options_list, takes_unix_sockets_for_trusted_proxies)
{
    cr_assert_eq(READ("--trusted-proxy=unix:,10.0.0.0/8"), ERR_OK, "%s", why);
    options_fini(&options);
    cr_assert_eq(READ("--trusted-proxy=unix:/run/x"), ERR_INVALID_FIELD);
    cr_assert_eq(READ("--trusted-proxy=unix"), ERR_INVALID_FIELD);
}

/* More than fits into one line of the file. */

Test(options_list, takes_the_names_of_headers_that_pages_may_send)
{
    cr_assert_eq(READ("--cors-header", "traceparent", "--cors-header=sentry-trace,baggage"), ERR_OK,
                 "%s", why);
    cr_assert_eq(options.cors_header.n, 3);
    cr_assert_str_eq(options.cors_header.values[2], "baggage");
    static const char *const wrong[] = {"*", "a:b", "a\r\nb", "\xc3\xa4", "a\"b", "a/b"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        cr_assert_eq(READ("--cors-header", (char *)wrong[i]), ERR_INVALID_FIELD, "%s", wrong[i]);
        cr_assert_eq(strncmp(why, "--cors-header must be", 21), 0, "%s", why);
    }
}

Test(options_list, takes_heads_from_4_to_32_kib)
{
    cr_assert_eq(READ("--max-head", "32KiB"), ERR_OK, "%s", why);
    cr_assert_eq(options.max_head, 32768);
    cr_assert_eq(READ("--max-head", "4095"), ERR_INVALID_FIELD);
    cr_assert_eq(READ("--max-head", "33KiB"), ERR_INVALID_FIELD);
}
