/* What Herald says about an error of Redis; the words differ between its versions. */
#include "gateway/stores/redis/redis_troubles.h"

#include <criterion/criterion.h>
#include <string.h>

static void expect_advice(const char *error, const char *advice)
{
    char out[REDIS_ADVICE_MAX_BYTES];
    bool is_clear = redis_trouble_advise(error, "pigeon", out);
    cr_expect_eq(is_clear, strstr(out, "lacks a command") == NULL, "%s: %s", error, out);
    cr_expect_not_null(strstr(out, advice), "%s: %s", error, out);
}

Test(redis_troubles, a_missing_right_is_named_as_the_rule_that_gives_it)
{
    static const struct {
        const char *error;
        const char *advice;
    } rows[] = {
        {"NOPERM this user has no permissions to run the 'ssubscribe' command",
         "lacks +ssubscribe:"},
        {"NOPERM this user has no permissions to run the 'script|load' command", "+script|load:"},
        {"NOPERM this user has no permissions to access one of the channels used as arguments",
         "lacks &pigeon:*:"},
        {"NOPERM this user has no permissions to access one of the keys used as arguments",
         "lacks ~pigeon:*:"},
        {"ERR The user executing the script can't run this command or subcommand (HKEYS)",
         "lacks +hkeys:"},
        {"ERR The user executing the script can't run this command or subcommand",
         "lacks a command:"},
        {"ERR The user executing the script can't access at least one of the keys mentioned in the "
         "command arguments (HSET)",
         "lacks ~pigeon:*:"},
        {"ERR The user executing the script can't publish to the channel mentioned in the command "
         "(SPUBLISH)",
         "lacks &pigeon:*:"},
        {"NOPERM ACL failure in script: User herald has no permissions to run the 'hkeys' command "
         "(HKEYS)",
         "lacks +hkeys:"},
        {"NOPERM User herald has no permissions to access the 'pigeon:{%}' channel",
         "lacks &pigeon:*:"},
        {"NOPERM User herald has no permissions to access the 'pigeon:{%}:meta' key",
         "lacks ~pigeon:*:"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        expect_advice(rows[i].error, rows[i].advice);
        cr_expect(redis_trouble_at(redis_trouble_find(rows[i].error))->is_refusal);
        cr_expect(redis_trouble_at(redis_trouble_find(rows[i].error))->is_denial);
    }
}

Test(redis_troubles, an_address_that_stands_first_does_not_hide_what_is_said_of_it)
{
    expect_advice("10.0.0.1:6379 speaks TLS", "write rediss:// in --store");
    expect_advice("[::1]:6379 does not speak TLS", "write redis:// in --store");
    expect_advice("the certificate of h:1 is not good: certificate has expired",
                  "see --redis-tls-ca and --redis-tls-name");
    expect_advice("TLS with h:1 failed: certificate required", "see --redis-tls-cert");
    expect_advice("TLS", "see that Redis runs there");
    expect_advice("h:1 does not answer TLS", "write redis:// in --store if it is without TLS");
    expect_advice("h:1 is no Sentinel", "name Sentinels in --store");
}

Test(redis_troubles, a_command_that_only_a_newer_redis_has_is_not_called_renamed)
{
    expect_advice("ERR unknown command `SSUBSCRIBE`", "Herald needs Redis 7.0 or later");
    expect_advice("ERR unknown command 'SSUBSCRIBE'", "take its rename-command out");
}

Test(redis_troubles, what_cannot_store_is_distinguished_from_what_concerns_one_user)
{
    static const char *const refusals[] = {"OOM x",
                                           "READONLY x",
                                           "MISCONF x",
                                           "NOREPLICAS x",
                                           "NOPERM x",
                                           "CLUSTERDOWN x",
                                           "LOADING x",
                                           "BUSY x",
                                           "MASTERDOWN x",
                                           "ERR unknown command 'EVALSHA'",
                                           "ERR Unknown Redis command called from script"};
    static const char *const others[] = {"SCHEMA x", "WRONGTYPE x", "ERR x", "MOVED 7 x", ""};
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++)
        cr_expect(redis_trouble_at(redis_trouble_find(refusals[i]))->is_refusal, "%s", refusals[i]);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        cr_expect_not(redis_trouble_at(redis_trouble_find(others[i]))->is_refusal, "%s", others[i]);
    cr_expect(redis_trouble_at(redis_trouble_find("READONLY x"))->is_replica);
    cr_expect_not(redis_trouble_at(redis_trouble_find("OOM x"))->is_replica);
}

Test(redis_troubles, a_script_that_was_denied_a_command_may_have_broken_off)
{
    cr_expect(redis_trouble_breaks_off("ERR The user executing the script can't run this command"));
    cr_expect(redis_trouble_breaks_off("NOPERM ACL failure in script: User herald has no "
                                       "permissions to run the 'pexpireat' command"));
    cr_expect_not(redis_trouble_breaks_off("NOPERM this user has no permissions to run the "
                                           "'getdel' command"));
    cr_expect_not(redis_trouble_breaks_off("ERR The user executing the script can't access at "
                                           "least one of the keys"));
    cr_expect_not(redis_trouble_breaks_off("OOM command not allowed. script: run th"));
}

Test(redis_troubles, every_text_has_an_advice_and_a_place_of_its_kind)
{
    expect_advice("", "see that Redis runs there");
    expect_advice("DENIED Redis is running in protected mode", "protected mode");
    cr_expect_eq(redis_trouble_find("OOM a"), redis_trouble_find("OOM b"));
    cr_expect_lt(redis_trouble_find("no such word"), REDIS_TROUBLES_MAX - 1);
}
