/* The addresses that --store takes, and what is said about wrong ones. */
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
    cr_assert_str_eq(url.hosts[0].host, "redis.example.com");
    cr_assert_eq(url.hosts[0].port, 7000);
    cr_assert_str_empty(url.user);
    cr_assert_str_empty(url.password);
    cr_assert_eq(url.db, 0);
    cr_assert_not(url.is_unix);
    cr_assert_str_eq(url.shown, "redis.example.com:7000");
}

Test(redis_url, takes_6379_when_no_port_is_given)
{
    cr_assert_eq(parse("redis://localhost").hosts[0].port, 6379);
    cr_assert_eq(parse("redis://localhost/3").hosts[0].port, 6379);
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
    cr_assert_str_eq(url.hosts[0].host, "::1");
    cr_assert_eq(url.hosts[0].port, 6380);
    cr_assert_str_eq(url.shown, "[::1]:6380");
}

Test(redis_url, reads_a_unix_socket)
{
    struct redis_url url = parse("redis+unix:///tmp/a%20b/redis.sock");
    cr_assert(url.is_unix);
    cr_assert_str_eq(url.path, "/tmp/a b/redis.sock");
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
        "redis",
        "redis:/host",
        "redisx://host",
        "redis://a,b",
        "rediss+unix:///tmp/s",
        "redis+unix://me:secret@relative",
        "redis+unix:///tmp/s?db=x",
        "redis+unix:///tmp/s?x=1",
        "redis+unix:///tmp/s?db=",
        "redis+sentinel://me:secret@a",
        "redis+sentinel://me:secret@a/",
        "redis+sentinel://a/my%20name",
        "redis+sentinel://a/name/x",
        "redis+sentinel://a,,b/name",
        "redis+sentinel://,a/name",
        "redis+cluster://",
        "redis+cluster://a,",
        "redis+cluster://me:secret@a/0",
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

static void expect_refused(const char *text, const char *wanted)
{
    struct redis_url url;
    char why[300] = "";
    cr_expect_eq(redis_url_parse(text, &url, why, sizeof why), ERR_INVALID_FIELD, "%s", text);
    cr_expect_str_eq(why, wanted);
}

Test(redis_url, reads_sentinels_and_the_name_of_the_primary)
{
    struct redis_url url = parse("redis+sentinel://me:pw@a,b:5000,[::1]/my-master.1/7");
    cr_assert_eq(url.topology, REDIS_SENTINEL);
    cr_assert_eq(url.n_hosts, 3);
    cr_assert_str_eq(url.hosts[0].host, "a");
    cr_assert_eq(url.hosts[0].port, 26379);
    cr_assert_eq(url.hosts[1].port, 5000);
    cr_assert_str_eq(url.hosts[2].host, "::1");
    cr_assert_str_eq(url.master_name, "my-master.1");
    cr_assert_eq(url.db, 7);
    cr_assert_str_eq(url.user, "me");
    cr_assert_str_eq(url.shown, "my-master.1 of Sentinel a:26379,b:5000,[::1]:26379");
}

Test(redis_url, reads_the_seeds_of_a_cluster)
{
    struct redis_url url = parse("rediss+cluster://:pw@a:7000,b");
    cr_assert_eq(url.topology, REDIS_CLUSTER);
    cr_assert(url.is_tls);
    cr_assert_eq(url.n_hosts, 2);
    cr_assert_eq(url.hosts[1].port, 6379);
    cr_assert_str_eq(url.shown, "a:7000,b:6379 (Cluster)");
    cr_assert_eq(parse("redis+cluster://a/").db, 0);
}

Test(redis_url, reads_valkey_as_redis)
{
    cr_assert_eq(parse("valkey://a/3").db, 3);
    cr_assert(parse("valkeys://a").is_tls);
    cr_assert_eq(parse("valkey+cluster://a").topology, REDIS_CLUSTER);
    cr_assert_eq(parse("valkeys+sentinel://a/m").topology, REDIS_SENTINEL);
    cr_assert(parse("valkey+unix:///tmp/s").is_unix);
    cr_assert(redis_url_is_one("valkey://"));
    cr_assert_not(redis_url_is_one("valley://a"));
}

Test(redis_url, a_unix_socket_has_a_user_and_a_database_too)
{
    struct redis_url url = parse("redis+unix://me:p%40ss@/tmp/a@b.sock?db=4");
    cr_assert_str_eq(url.path, "/tmp/a@b.sock");
    cr_assert_str_eq(url.user, "me");
    cr_assert_str_eq(url.password, "p@ss");
    cr_assert_eq(url.db, 4);
    url = parse("redis+unix:///tmp/a@b");
    cr_assert_str_eq(url.path, "/tmp/a@b");
    cr_assert_str_empty(url.user);
}

Test(redis_url, says_what_is_wrong_with_several_hosts)
{
    expect_refused("redis+sentinel://a,b", "--store: redis+sentinel:// needs the name of the "
                                           "primary: write "
                                           "redis+sentinel://HOST:26379,HOST:26379/NAME");
    expect_refused("redis+cluster://a/3",
                   "--store: a Redis Cluster has no databases: leave out /3");
    expect_refused("redis+cluster://a,b:1,a:6379", "--store: a:6379 stands twice");
    expect_refused("redis+cluster://[::1]:7,[::1]:7", "--store: [::1]:7 stands twice");
    char text[200] = "redis+cluster://h0";
    for (int i = 1; i < REDIS_HOSTS_MAX; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), ",h%d", i);
    cr_assert_eq(parse(text).n_hosts, REDIS_HOSTS_MAX);
    snprintf(text + strlen(text), sizeof text - strlen(text), ",h%d", REDIS_HOSTS_MAX);
    expect_refused(text, "--store: more than 16 hosts");
    expect_refused("redis://a?db=3", "--store: only redis+unix:// has a part that begins with ?; "
                                     "write redis://[USER:PASSWORD@]HOST:PORT[/DB]");
    expect_refused("redis://a:1?db=3", "--store: only redis+unix:// has a part that begins with ?; "
                                       "write redis://[USER:PASSWORD@]HOST:PORT[/DB]");
    expect_refused("redis://a,b", "--store: several hosts need redis+sentinel:// or "
                                  "redis+cluster://; write redis://[USER:PASSWORD@]HOST:PORT[/DB]");
}

/* ---- credentials ---- */

/* The last @ ends them, so the first host would be a part of the password. */
Test(redis_url, takes_no_credentials_for_each_host)
{
    static const char why[] =
        "--store: USER:PASSWORD stands once, before all hosts (a password has %2C for , and %40 "
        "for @); write redis+cluster://[USER:PASSWORD@]HOST:6379,HOST:6379";
    expect_refused("redis+cluster://me:swordfish@a:1,me:swordfish@b:2", why);
    cr_assert_str_eq(parse("redis+cluster://me:sword,fish@a:1,b:2").password, "sword,fish");
    cr_assert_str_eq(parse("redis+cluster://me:sword%2Cfi%40sh@a:1,b:2").password, "sword,fi@sh");
    cr_assert_str_eq(parse("redis://me:sword,fi@sh@a:1").password, "sword,fi@sh");
}

Test(redis_url, decodes_the_credentials_of_every_form)
{
    static const char *const texts[] = {
        "redis://m%65%3A:p%40ss%25%2B+@host",
        "rediss://m%65%3a:p%40ss%25%2b+@host/3",
        "redis+unix://m%65%3A:p%40ss%25%2B+@/socket",
        "redis+sentinel://m%65%3A:p%40ss%25%2B+@a,b/mymaster",
        "valkeys+cluster://m%65%3A:p%40ss%25%2B+@a,b",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct redis_url url = parse(texts[i]);
        cr_expect_str_eq(url.user, "me:", "%s", texts[i]);
        cr_expect_str_eq(url.password, "p@ss%++", "%s", texts[i]);
    }
}

static struct redis_url of_sentinels(const char *auth)
{
    struct redis_url url = parse("redis+sentinel://me:secret@a:1,b/mymaster/3");
    struct redis_url sentinels;
    char why[200] = "";
    cr_assert_eq(redis_url_of_sentinels(&url, auth, &sentinels, why, sizeof why), ERR_OK, "%s",
                 why);
    cr_expect_eq(sentinels.n_hosts, 2);
    cr_expect_eq(sentinels.db, 0, "Sentinels have no databases");
    return sentinels;
}

Test(redis_url, gives_the_sentinels_no_credentials_of_the_redis_servers)
{
    cr_expect_str_empty(of_sentinels(NULL).user);
    cr_expect_str_empty(of_sentinels(NULL).password);
    cr_expect_str_empty(of_sentinels("").password);
}

Test(redis_url, takes_credentials_of_sentinels_only_where_there_are_some)
{
    struct redis_url url = parse("redis://a");
    struct redis_url sentinels;
    char why[200] = "";
    cr_assert_eq(redis_url_of_sentinels(&url, NULL, &sentinels, why, sizeof why), ERR_OK);
    cr_assert_eq(redis_url_of_sentinels(&url, "me:swordfish", &sentinels, why, sizeof why),
                 ERR_INVALID_FIELD);
    cr_assert_str_eq(why, "--store: --redis-sentinel-auth is set, but the address does not begin "
                          "with redis+sentinel");
}

/* What a store of secrets holds can be passed on as it is. */
Test(redis_url, takes_the_credentials_of_the_sentinels_as_they_are)
{
    struct redis_url url = of_sentinels("herald:a%41:b@c/%zz");
    cr_expect_str_eq(url.user, "herald");
    cr_expect_str_eq(url.password, "a%41:b@c/%zz");
    url = of_sentinels(":secret");
    cr_expect_str_empty(url.user);
    cr_expect_str_eq(url.password, "secret");
}

Test(redis_url, refuses_credentials_of_the_sentinels_that_are_none_and_does_not_repeat_them)
{
    char long_user[140];
    memset(long_user, 'u', sizeof long_user);
    memcpy(long_user + 130, ":swordfish", 11 - 1);
    long_user[139] = '\0';
    const char *const wrong[] = {"swordfish", "me:", ":", long_user};
    struct redis_url url = parse("redis+sentinel://a/mymaster");
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct redis_url sentinels;
        char why[200] = "";
        cr_expect_eq(redis_url_of_sentinels(&url, wrong[i], &sentinels, why, sizeof why),
                     ERR_INVALID_FIELD, "%s", wrong[i]);
        cr_expect_str_eq(why, "--redis-sentinel-auth must be USER:PASSWORD, or :PASSWORD where "
                              "there is no user");
    }
}
