#include "gateway/stores/redis/redis_url.h"

#include <criterion/criterion.h>

static struct redis_url parse(const char *text)
{
    struct redis_url url;
    char why[200];
    cr_assert_eq(redis_url_parse(text, &url, why, sizeof why), ERR_OK, "%s: %s", text, why);
    return url;
}

Test(redis_url, reads_host_and_port)
{
    struct redis_url url = parse("redis://redis.example.com:7000");
    cr_assert_str_eq(url.host, "redis.example.com");
    cr_assert_str_eq(url.port, "7000");
    cr_assert_str_empty(url.user);
    cr_assert_str_empty(url.password);
    cr_assert_eq(url.db, 0);
    cr_assert_not(url.is_unix);
    cr_assert_str_eq(url.shown, "redis.example.com:7000");
}

Test(redis_url, takes_6379_when_no_port_is_given)
{
    cr_assert_str_eq(parse("redis://localhost").port, "6379");
    cr_assert_str_eq(parse("redis://localhost/3").port, "6379");
}

Test(redis_url, decodes_user_and_password_and_never_shows_them)
{
    struct redis_url url = parse("redis://me:p%40ss%3A%2F@10.0.0.1:6379/12");
    cr_assert_str_eq(url.user, "me");
    cr_assert_str_eq(url.password, "p@ss:/");
    cr_assert_eq(url.db, 12);
    cr_assert_str_eq(url.shown, "10.0.0.1:6379");
    url = parse("redis://:secret@h:1");
    cr_assert_str_empty(url.user);
    cr_assert_str_eq(url.password, "secret");
}

Test(redis_url, reads_ipv6_in_brackets)
{
    struct redis_url url = parse("redis://[::1]:6380/1");
    cr_assert_str_eq(url.host, "::1");
    cr_assert_str_eq(url.port, "6380");
    cr_assert_str_eq(url.shown, "[::1]:6380");
}

Test(redis_url, reads_a_unix_socket)
{
    struct redis_url url = parse("redis+unix:///tmp/a%20b/redis.sock");
    cr_assert(url.is_unix);
    cr_assert_str_eq(url.host, "/tmp/a b/redis.sock");
    cr_assert_str_eq(url.shown, "unix:/tmp/a b/redis.sock");
}

Test(redis_url, refuses_what_is_wrong_and_keeps_the_password_to_itself)
{
    static const char *const wrong[] = {
        "redis://",
        "redis://:6379",
        "redis://host:",
        "redis://host:0",
        "redis://host:65536",
        "redis://host:12a",
        "redis://host:6379/x",
        "redis://host:6379/-1",
        "redis://host:6379/99999999999",
        "redis://secret@host:6379",
        "redis://me:@host:6379",
        "redis://me:secret%zz@host:6379",
        "redis://me:secret%00x@host:6379",
        "redis://me:secret@",
        "redis://[::1:6379",
        "redis://[::1]6379",
        "redis+unix://",
        "redis+unix://relative/path",
        "redis+unix:///tmp/%zz",
        "http://host:6379",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct redis_url url;
        char why[200] = "";
        cr_assert_eq(redis_url_parse(wrong[i], &url, why, sizeof why), ERR_INVALID_FIELD, "%s",
                     wrong[i]);
        cr_assert(strncmp(why, "--store", 7) == 0, "%s: %s", wrong[i], why);
        cr_assert_null(strstr(why, "secret"));
    }
}

Test(redis_url, refuses_what_is_too_long)
{
    char text[1200] = "redis://";
    memset(text + 8, 'h', 300);
    memcpy(text + 308, ":1", 3);
    struct redis_url url;
    char why[200];
    cr_assert_eq(redis_url_parse(text, &url, why, sizeof why), ERR_INVALID_FIELD);
    memcpy(text, "redis+unix:///", 14);
    cr_assert_eq(redis_url_parse(text, &url, why, sizeof why), ERR_INVALID_FIELD);
    memset(text, 'p', sizeof text);
    memcpy(text, "redis://u:", 10);
    memcpy(text + 800, "@h:1", 5);
    cr_assert_eq(redis_url_parse(text, &url, why, sizeof why), ERR_INVALID_FIELD);
}
