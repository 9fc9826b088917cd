/* A Redis that answers and does not store: full, a replica, alone, without a disk, or with a user
 * who lacks a right. What Herald says then, and what goes on. */
#include "tests/store/redis_backend.h"
#include "tests/support/loopback.h"

#include <sys/stat.h>

static bool is_told_up(void)
{
    pthread_mutex_lock(&recorder.lock);
    bool is_up = recorder.state == 1;
    pthread_mutex_unlock(&recorder.lock);
    return is_up;
}

static void expect_down(const char *words)
{
    char text[800] = "";
    for (int i = 0; i < SOON_MS / 5 && (is_told_up() || strstr(text, words) == NULL); i++) {
        store_describe(store, text, sizeof text);
        pause_ms(5);
    }
    cr_assert_not_null(strstr(text, words), "%s is not in %s", words, text);
    cr_assert_not(is_told_up());
}

static void expect_up(void)
{
    char text[800];
    wait_for_state(true);
    store_describe(store, text, sizeof text);
    cr_assert_str_empty(text);
}

/* Nobody pushes: a node of absent users knows as well. */
Test(store_redis, an_idle_node_notices_that_redis_is_full_and_that_it_no_longer_is)
{
    redis_server_do(&server, "CONFIG SET maxmemory 1");
    expect_down("OOM command not allowed");
    redis_server_do(&server, "CONFIG SET maxmemory 0");
    expect_up();
}

Test(store_redis, a_redis_without_enough_replicas_is_down_and_still_read)
{
    append_number(store, "anna", 0, 60);
    redis_server_do(&server, "CONFIG SET min-replicas-to-write 1");
    cr_assert_eq(append_one(store, "anna", "{}", 60).error, ERR_STORE_UNAVAILABLE);
    expect_down("NOREPLICAS Not enough good replicas");
    struct store_page page = arrive_and_read(store, "anna");
    cr_assert_eq(page.error, ERR_OK);
    cr_assert_eq(page.n_notes, 1);
    page_free(&page);
    redis_server_do(&server, "CONFIG SET min-replicas-to-write 0");
    expect_up();
    cr_assert_eq(append_one(store, "anna", "{}", 60).seq, 2);
    wait_for_notification("anna", 2);
}

static void break_disk(bool is_broken)
{
    char path[96];
    char answer[512];
    snprintf(path, sizeof path, "%s/dump.rdb", server.folder);
    if (is_broken)
        cr_assert_eq(mkdir(path, 0700), 0);
    else
        cr_assert_eq(rmdir(path), 0);
    redis_server_do(&server, is_broken ? "CONFIG SET save \"3600 1\"" : "CONFIG SET save \"\"");
    redis_server_do(&server, is_broken ? "BGSAVE" : "PING");
    for (int i = 0; i < SOON_MS / 10; i++) {
        redis_server_ask(&server, "PING", answer, sizeof answer);
        if ((strstr(answer, "MISCONF") != NULL) == is_broken)
            return;
        pause_ms(10);
    }
    cr_assert_fail("%s", answer);
}

/* The subscriptions' connection has said PING last. */
static void wait_for_ping(void)
{
    char answer[1024];
    for (int i = 0; i < SOON_MS / 20; i++) {
        int fd = redis_server_connect(&server);
        dprintf(fd, "CLIENT LIST TYPE pubsub\r\n");
        pause_ms(20);
        ssize_t len = read(fd, answer, sizeof answer - 1);
        close(fd);
        answer[len < 0 ? 0 : len] = '\0';
        if (strstr(answer, "cmd=ping") != NULL)
            return;
    }
    cr_assert_fail("no ping: %s", answer);
}

Test(store_redis, a_redis_that_cannot_write_to_its_disk_keeps_its_links_and_is_read)
{
    arrive(store, "bert");
    append_number(store, "anna", 0, 60);
    append_number(store, "anna", 1, 60);
    redis_server_set_day(&server, "anna", 20000);
    int64_t reconnects = metrics_read(METRIC_STORE_RECONNECTS);
    break_disk(true);
    expect_down("MISCONF Redis is configured to save RDB snapshots");
    struct store_page page = arrive_and_read(store, "anna");
    cr_assert_eq(page.error, ERR_OK);
    cr_assert_eq(page.n_notes, 2);
    cr_assert_eq(page.head, 2);
    page_free(&page);
    cr_assert_eq(append_one(store, "anna", "{}", 60).error, ERR_STORE_UNAVAILABLE);
    wait_for_ping();
    redis_server_do(&server, "SPUBLISH herald:{bert} M:aaaaaaaa:7:1:9999999999999:0:0:0:{}");
    wait_for_notification("bert", 7);
    cr_assert_eq(metrics_read(METRIC_STORE_RECONNECTS), reconnects);
    break_disk(false);
    expect_up();
    cr_assert_eq(append_one(store, "anna", "{}", 60).seq, 3);
}

Test(store_redis, what_would_have_to_be_written_first_is_not_read_from_a_redis_that_refuses)
{
    redis_server_do(&server, "CONFIG SET min-replicas-to-write 1");
    struct store_page asked = page_asked("anna");
    asked.must_begin = true;
    cr_assert_eq(page_run(store, asked).error, ERR_STORE_UNAVAILABLE);
    struct store_page page = arrive_and_read(store, "anna"); /* the user needs no epoch */
    cr_assert_eq(page.error, ERR_OK);
    page_free(&page);
    redis_server_do(&server, "CONFIG SET min-replicas-to-write 0");
}

Test(store_redis, a_primary_that_becomes_a_replica_is_left_and_used_again_when_it_is_one)
{
    arrive(store, "anna");
    append_number(store, "anna", 0, 60);
    redis_server_do(&server, "REPLICAOF 127.0.0.1 1");
    cr_assert_eq(append_one(store, "anna", "{}", 60).error, ERR_STORE_UNAVAILABLE);
    expect_down("this Redis is a replica of 127.0.0.1:1");
    redis_server_do(&server, "REPLICAOF NO ONE");
    expect_up();
    wait_for_missed(1);
    cr_assert_eq(append_one(store, "anna", "{}", 60).seq, 2);
    wait_for_notification("anna", 2);
}

Test(store_redis, a_node_of_a_cluster_is_named_as_such)
{
    backend_close(store);
    redis_server_stop(&server);
    redis_server_start(&server, "--cluster-enabled", "yes");
    struct store_config config = contract_config(1000, 1 << 20);
    store = open_on(&config, server.url);
    expect_down("this is a node of a Redis Cluster (write redis+cluster://HOST:PORT in --store)");
}

/* --- a user with rights of its own --- */

/* Also in deploy/README.md; tests/lint/acl compares. */
#define ALL_RULES                                                                                  \
    "reset on >secret ~herald:* &herald:* +ping +select +client|setname +role +info "              \
    "+config|get +script|load +eval +evalsha +time +get +set +getdel +del +unlink +exists +pttl "  \
    "+pexpire "                                                                                    \
    "+pexpireat +pexpiretime +hget +hmget +hset +hdel +hgetall +zadd +zrem +zrange +zcount "       \
    "+spublish +ssubscribe +sunsubscribe +pubsub|shardnumsub +wait +asking"

static void allow(const char *rules)
{
    char line[1000];
    snprintf(line, sizeof line, "ACL SETUSER herald %s", rules);
    redis_server_do(&server, line);
}

/* The store anew, as this user. */
static void open_as(const char *rules)
{
    char port[16];
    char url[64];
    snprintf(port, sizeof port, "%u", loopback_free_port());
    snprintf(url, sizeof url, "redis://herald:secret@127.0.0.1:%s", port);
    backend_close(store);
    redis_server_stop(&server);
    redis_server_start(&server, "--port", port);
    allow(rules);
    struct store_config config = contract_config(1000, 1 << 20);
    store = open_on(&config, url);
}

Test(store_redis, a_user_with_the_rules_of_the_readme_can_do_all)
{
    open_as(ALL_RULES);
    expect_up();
    arrive(store, "anna");
    append_number(store, "anna", 0, 60);
    wait_for_notification("anna", 1);
    cr_assert_eq(metrics_read(METRIC_STORE_ERRORS), 0);
}

Test(store_redis, a_user_who_may_not_ask_for_the_role_is_let_in)
{
    open_as(ALL_RULES " -role");
    expect_up();
    append_number(store, "anna", 0, 60);
}

/* Like a user of Redis 7 that has rights to keys and commands only. */
Test(store_redis, without_its_channels_it_is_down_and_what_is_pushed_is_kept_once)
{
    open_as(ALL_RULES " resetchannels");
    struct store_page page = arrive_and_read(store, "anna");
    cr_assert_eq(page.error, ERR_STORE_UNAVAILABLE); /* and remembered */
    for (int i = 0; i < SOON_MS / 10; i++) {
        if (append_one(store, "bert", "{}", 60).error == ERR_OK)
            break; /* the commands' link is up */
        pause_ms(10);
    }
    struct store_target first = append_one(store, "anna", "{}", 60);
    cr_assert_eq(first.error, ERR_OK);
    cr_assert_eq(first.seq, 1);
    cr_assert_eq(first.nodes, 0);
    cr_assert_eq(append_one(store, "anna", "{}", 60).seq, 2);
    cr_assert_gt(metrics_read(METRIC_STORE_UNPUBLISHED), 0);
    expect_down("lacks &herald:*");
    allow("&herald:*");
    expect_up();
    wait_for_missed(1);
    cr_assert_eq(append_one(store, "anna", "{}", 60).seq, 3);
    wait_for_notification("anna", 3);
}

/* Large ones are announced, withdrawals reported, repeats counted: all after they were kept. */
Test(store_redis, what_is_kept_and_not_published_is_accepted_and_read_when_that_is_lifted)
{
    open_as(ALL_RULES);
    expect_up();
    arrive(store, "anna");
    allow("-spublish -pubsub|shardnumsub");
    struct store_target kept = append_keyed(store, "anna", "{}", "score");
    cr_assert_eq(kept.error, ERR_OK);
    cr_assert_eq(append_keyed(store, "anna", "{}", "score").seq, 2);
    expect_down("lacks +spublish");
    struct store_target once = append_idempotent(store, "anna", "order-17");
    cr_assert_eq(once.error, ERR_OK);
    struct store_target again = append_idempotent(store, "anna", "order-17");
    cr_assert_eq(again.error, ERR_OK);
    cr_assert(again.is_duplicate);
    cr_assert_eq(again.seq, once.seq);
    cr_assert_eq(cancel_one(store, "anna", kept.epoch, 2).n_removed, 1);
    int missed = atomic_load(&n_missed);
    allow("+spublish +pubsub|shardnumsub");
    expect_up();
    wait_for_missed(missed + 1);
    struct store_page page = page_all(store, "anna");
    cr_assert_eq(page.n_notes, 1);
    page_free(&page);
    append_number(store, "anna", 1, 60);
    wait_for_notification("anna", once.seq + 1);
}

/* Its own sessions are not all who did not hear it: the node of others notices, and they read too.
 */
Test(store_redis, a_node_that_pushes_nothing_notices_that_others_are_not_heard)
{
    open_as(ALL_RULES);
    expect_up();
    arrive(store, "anna");
    allow("-spublish");
    expect_down("lacks +spublish");
    int missed = atomic_load(&n_missed);
    allow("+spublish");
    expect_up();
    wait_for_missed(missed + 1);
}

/* --- one user's channel is refused --- */

#define CHANNELS_BUT_BERT                                                                          \
    " resetchannels &herald:{%} &herald:all &herald:reply:* &herald:node:* &herald:{anna} "        \
    "&herald:{carl}"

Test(store_redis, a_refused_subscription_breaks_nobody_elses_link)
{
    open_as(ALL_RULES CHANNELS_BUT_BERT);
    expect_up();
    arrive(store, "anna");
    int64_t reconnects = metrics_read(METRIC_STORE_RECONNECTS);
    int missed = atomic_load(&n_missed);

    struct store_page page = arrive_and_read(store, "bert"); /* waits for the deadline */
    cr_assert_eq(page.error, ERR_STORE_UNAVAILABLE);
    page = arrive_and_read(store, "bert"); /* and does not any more */
    cr_assert_eq(page.error, ERR_STORE_UNAVAILABLE);
    arrive(store, "carl");
    append_number(store, "anna", 0, 60);
    wait_for_notification("anna", 1);
    cr_assert_eq(metrics_read(METRIC_STORE_RECONNECTS), reconnects);
    cr_assert_eq(atomic_load(&n_missed), missed);
    expect_up();

    allow("&herald:*");
    wait_for_missed(missed + 1); /* bert's, subscribed at last */
    append_number(store, "bert", 0, 60);
    wait_for_notification("bert", 1);
    cr_assert_eq(metrics_read(METRIC_STORE_RECONNECTS), reconnects);
}

Test(store_redis, a_refused_user_may_leave_and_come_again)
{
    open_as(ALL_RULES CHANNELS_BUT_BERT);
    expect_up();
    struct store_page page = arrive_and_read(store, "bert");
    cr_assert_eq(page.error, ERR_STORE_UNAVAILABLE);
    backend_leave(store, 0, SPAN_LITERAL("bert"));
    int missed = atomic_load(&n_missed);
    allow("&herald:*");
    for (int i = 0; i < SOON_MS / 10; i++) {
        page = arrive_and_read(store, "bert");
        if (page.error == ERR_OK)
            break;
        pause_ms(10);
    }
    cr_assert_eq(page.error, ERR_OK);
    page_free(&page);
    append_number(store, "bert", 0, 60);
    wait_for_notification("bert", 1);
    cr_assert_leq(atomic_load(&n_missed), missed + 1);
}

/* A script that may not do its last write would leave half of what it does. */
Test(store_redis, nothing_is_sent_that_would_break_off_in_the_middle)
{
    open_as(ALL_RULES " -pexpireat");
    expect_down("lacks +pexpireat");
    cr_assert_eq(append_one(store, "anna", "{}", 60).error, ERR_STORE_UNAVAILABLE);
    char answer[64];
    redis_server_ask(&server, "EXISTS herald:{anna}:inbox", answer, sizeof answer);
    cr_assert_eq(strncmp(answer, ":0", 2), 0, "%s", answer);
    allow("+pexpireat");
    expect_up();
    cr_assert_eq(append_one(store, "anna", "{}", 60).seq, 1);
}

Test(store_redis, what_breaks_off_once_is_not_sent_again_before_a_trial_has_passed)
{
    open_as(ALL_RULES);
    expect_up();
    allow("-pexpireat");
    for (int i = 0; i < 10; i++)
        cr_assert_eq(append_one(store, "anna", "{}", 60).error, ERR_STORE_UNAVAILABLE);
    expect_down("lacks +pexpireat");
    char answer[64];
    redis_server_ask(&server, "HLEN herald:{anna}:inbox", answer, sizeof answer);
    cr_assert_eq(strncmp(answer, ":1", 2), 0, "%s", answer);
    allow("+pexpireat");
    expect_up();
    cr_assert_eq(append_one(store, "anna", "{}", 60).seq, 2);
}

/* Rights that no script needs in its middle. */
Test(store_redis, without_the_right_to_take_tickets_pushes_go_on)
{
    open_as(ALL_RULES " -getdel");
    expect_down("lacks +getdel");
    cr_assert_eq(append_one(store, "anna", "{}", 60).seq, 1);
    allow("+getdel");
    expect_up();
}

/* Whose absence is not named at once: the first four are asked for as a courtesy, the others need a
 * database, a script that Redis has lost, replicas, or a slot on the move. */
static bool is_named_when_missing(const char *right)
{
    static const char *const others[] = {"+client|setname", "+role", "+info", "+config|get",
                                         "+select",         "+eval", "+wait", "+asking"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (strcmp(right, others[i]) == 0)
            return false;
    return right[0] == '+';
}

static void open_again_as(const char *rules)
{
    char url[160];
    snprintf(url, sizeof url, "redis+unix://herald:secret@%s",
             server.url + strlen("redis+unix://"));
    backend_close(store);
    allow(rules);
    struct store_config config = contract_config(1000, 1 << 20);
    store = open_on(&config, url);
}

/* No right is there for nothing. */
Test(store_redis, each_right_of_the_readme_is_needed_and_named_while_it_is_missing)
{
    static char all[] = ALL_RULES;
    char *rest = all;
    int n_rights = 0;
    for (char *right; (right = strsep(&rest, " ")) != NULL;) {
        char rules[900];
        char words[96];
        if (!is_named_when_missing(right))
            continue;
        snprintf(rules, sizeof rules, ALL_RULES " -%s", right + 1);
        snprintf(words, sizeof words, "lacks %s", right);
        open_again_as(rules);
        expect_down(words);
        n_rights++;
    }
    cr_assert_gt(n_rights, 20);
    open_again_as(ALL_RULES);
    expect_up();
}

Test(store_redis, a_missing_right_to_a_key_or_to_scripts_is_named)
{
    open_as(ALL_RULES " resetkeys ~other:*");
    expect_down("lacks ~herald:*");
    allow("allkeys -evalsha");
    expect_down("lacks +evalsha");
    allow("+evalsha");
    expect_up();
}

/* The store anew, on a Redis that does not know this command. */
static void open_without(const char *command)
{
    char path[128];
    snprintf(path, sizeof path, "%s/renamed.conf", server.folder);
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    fprintf(file, "rename-command %s \"\"\n", command);
    cr_assert_eq(fclose(file), 0);
    backend_close(store);
    redis_server_stop(&server);
    redis_server_start(&server, "--include", path);
    cr_assert_eq(unlink(path), 0);
    struct store_config config = contract_config(1000, 1 << 20);
    store = open_on(&config, server.url);
}

Test(store_redis, a_command_that_was_renamed_away_is_named)
{
    open_without("EVALSHA");
    expect_down("unknown command 'EVALSHA' (");
    cr_assert_eq(append_one(store, "anna", "{}", 60).error, ERR_STORE_UNAVAILABLE);
    open_without("PEXPIREAT");
    expect_down("Unknown Redis command called from script");
    cr_assert_eq(append_one(store, "anna", "{}", 60).error, ERR_STORE_UNAVAILABLE);
    char answer[64];
    redis_server_ask(&server, "EXISTS herald:{anna}:inbox", answer, sizeof answer);
    cr_assert_str_eq(answer, ":0\r\n", "nothing is left half done");
}

/* Nothing of the trial remains. */
Test(store_redis, nothing_remains_of_a_trial)
{
    char answer[64];
    pause_ms(1200); /* it has looked as well */
    redis_server_ask(&server, "DBSIZE", answer, sizeof answer);
    cr_assert_eq(strncmp(answer, ":0", 2), 0, "%s", answer);
    redis_server_ask(&server, "PUBSUB SHARDCHANNELS herald:{*", answer, sizeof answer);
    cr_assert_eq(strncmp(answer, "*0", 2), 0, "%s", answer);
}
