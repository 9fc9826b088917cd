/* Accepted means kept, with replicas: --redis-wait-replicas on a Redis with a replica or without.
 */
#include "tests/store/block_calls.h"
#include "tests/store/fake_redis.h"
#include "tests/store/presence_calls.h"
#include "tests/store/redis_backend.h"
#include "tests/support/loopback.h"

#include "gateway/stores/redis/redis_replicas.h"

static struct redis_server replica;

/* The store anew, its Redis at a port; answers wait for so many replicas. */
static void open_waiting(int n_replicas, bool has_replica)
{
    char port[16];
    char line[64];
    char answer[2048] = "";
    snprintf(port, sizeof port, "%u", loopback_free_port());
    backend_close(store);
    redis_server_stop(&server);
    redis_server_start(&server, "--port", port);
    if (has_replica) {
        redis_server_prepare(&replica);
        redis_server_do(&server, "CONFIG SET repl-diskless-sync-delay 0");
        redis_server_start(&replica, NULL, NULL);
        snprintf(line, sizeof line, "REPLICAOF 127.0.0.1 %s", port);
        redis_server_do(&replica, line);
        /* online, and it has said once how far it is */
        for (int i = 0; i < 2 * SOON_MS / 10; i++) {
            redis_server_do(&server, "INCR written");
            redis_server_ask(&server, "INFO replication", answer, sizeof answer);
            if (strstr(answer, "state=online") != NULL && strstr(answer, "offset=0,") == NULL)
                break;
            pause_ms(10);
        }
        cr_assert_not_null(strstr(answer, "state=online"), "%s", answer);
        cr_assert_null(strstr(answer, "offset=0,"), "%s", answer);
    }
    struct store_config config = contract_config(1000, 1 << 20);
    config.redis_wait_replicas = n_replicas;
    store = open_on(&config, server.url);
    wait_for_state(true);
}

static void end_replica(void)
{
    char path[128];
    snprintf(path, sizeof path, "%s/dump.rdb", replica.folder);
    redis_server_stop(&replica);
    unlink(path);
    redis_server_remove(&replica);
}

/* The link of WAIT comes up beside the others. */
static void wait_for_first_push(void)
{
    enum err error = ERR_STORE_UNAVAILABLE;
    for (int i = 0; i < SOON_MS / 10 && error != ERR_OK; i++) {
        error = append_one(store, "first", "{}", 60).error;
        pause_ms(10);
    }
    cr_assert_eq(error, ERR_OK);
}

/* calls of WAIT, as Redis counts them */
static long count_waits(void)
{
    char answer[8192];
    redis_server_ask(&server, "INFO commandstats", answer, sizeof answer);
    const char *at = strstr(answer, "cmdstat_wait:calls=");
    return at == NULL ? 0 : strtol(at + strlen("cmdstat_wait:calls="), NULL, 10);
}

static void expect_at_replica(const char *question)
{
    char answer[64];
    redis_server_ask(&replica, question, answer, sizeof answer);
    cr_assert_str_eq(answer, ":1\r\n", "%s", question);
}

Test(store_redis, what_is_answered_is_at_a_replica)
{
    open_waiting(1, true);
    wait_for_first_push();
    int64_t short_before = metrics_read(METRIC_STORE_UNREPLICATED);
    char question[64];
    for (int i = 0; i < 50; i++) {
        char user[16];
        snprintf(user, sizeof user, "user%d", i);
        append_number(store, user, i, 60);
        snprintf(question, sizeof question, "EXISTS herald:{%s}:inbox", user);
        expect_at_replica(question);
    }
    cr_assert_gt(block_for(store, "anna", 60), 0);
    expect_at_replica("EXISTS herald:{anna}:block");
    cr_assert_eq(purge(store, "user1").n_removed, 1);
    redis_server_ask(&replica, "EXISTS herald:{user1}:inbox", question, sizeof question);
    cr_assert_str_eq(question, ":0\r\n");
    cr_assert_eq(metrics_read(METRIC_STORE_UNREPLICATED), short_before);
    end_replica();
}

static void expect_one_more_wait(long *n_waits, const char *what)
{
    long before = *n_waits;
    *n_waits = count_waits();
    cr_expect_eq(*n_waits, before + 1, "%s: %ld", what, *n_waits - before);
}

/* A consumer that is lost holds nothing back. */
Test(store_redis, what_the_event_log_has_kept_is_at_a_replica)
{
    unsigned partition = store_partition_of(SPAN_LITERAL("anna"));
    open_waiting(1, true);
    wait_for_first_push();
    long n_waits = count_waits();
    event_append(store, partition, "{}");
    expect_one_more_wait(&n_waits, "an event");
    cr_assert_eq(consumer_add(store, partition, "pa", true).error, ERR_OK);
    expect_one_more_wait(&n_waits, "a consumer");
    cr_assert_eq(consumer_remove(store, partition, "pa").error, ERR_OK);
    expect_one_more_wait(&n_waits, "a consumer that goes");
    cr_assert_eq(alert_end(store, partition, (struct store_alert){.user_id_len = 1}, "{}"), ERR_OK);
    expect_one_more_wait(&n_waits, "the end of an alert");

    consumers_list(store, partition);
    user_comes(store, "na", "anna", ONLINE("anna"));
    user_leaves(store, "na", "anna", clock_wall_ms(), OFFLINE_CLOSED);
    free(serve_run(store, serve_asked(partition, "na")).alerts);
    cr_expect_eq(count_waits(), n_waits, "these are shown, or done again");
    end_replica();
}

/* Else a node would repeat its first change until a replica is there, and write nothing more. */
Test(store_redis, who_comes_and_goes_is_written_without_a_replica)
{
    unsigned partition = store_partition_of(SPAN_LITERAL("anna"));
    open_waiting(1, false);
    user_comes(store, "na", "anna", ONLINE("anna"));
    expect_present(store, partition, "na", "anna,");
    user_leaves(store, "na", "anna", clock_wall_ms(), OFFLINE_CLOSED);
    expect_present(store, partition, "na", "");
    cr_assert_eq(consumer_add(store, partition, "pa", true).error, ERR_STORE_UNAVAILABLE);
}

Test(store_redis, pushes_that_are_answered_together_wait_together)
{
    enum { MANY = 300 };
    static struct append_call calls[MANY];
    open_waiting(1, true);
    wait_for_first_push();
    long before = count_waits();
    for (int i = 0; i < MANY; i++) {
        append_prepare(&calls[i], "anna", SPAN_LITERAL("{}"), 60);
        calls[i].append.request.next = i + 1 < MANY ? &calls[i + 1].append.request : NULL;
    }
    store_append_many(store, &calls[0].append);
    for (int i = 0; i < MANY; i++) {
        append_end(&calls[i]);
        cr_assert_eq(calls[i].target.error, ERR_OK);
    }
    cr_assert_gt(count_waits(), before);
    cr_assert_lt(count_waits() - before, MANY / 2);
    end_replica();
}

Test(store_redis, what_too_few_replicas_have_is_refused_and_may_be_kept)
{
    open_waiting(1, false);
    int64_t before = metrics_read(METRIC_STORE_UNREPLICATED);
    cr_assert_eq(append_one(store, "anna", "{}", 60).error, ERR_STORE_UNAVAILABLE);
    cr_assert_eq(metrics_read(METRIC_STORE_UNREPLICATED), before + 1);
    cr_assert_eq(peek_one(store, "anna").pending, 1);
    cr_assert_eq(purge(store, "anna").error, ERR_STORE_UNAVAILABLE);
    cr_assert_eq(peek_one(store, "anna").pending, 0);
}

/* Before its first map no slot of a Cluster has an owner. */
Test(store_redis, answers_of_a_cluster_that_is_away_wait_for_no_replica)
{
    struct store_config config = contract_config(1000, 1 << 20);
    config.redis_wait_replicas = 1;
    backend_close(store);
    store = open_on(&config, "redis+cluster://127.0.0.1:1");
    cr_assert_eq(append_one(store, "anna", "{}", 60).error, ERR_STORE_UNAVAILABLE);
}

Test(store_redis, a_replica_that_hangs_refuses_pushes_until_it_is_back)
{
    open_waiting(1, true);
    wait_for_first_push();
    kill(replica.pid, SIGSTOP);
    cr_assert_eq(append_one(store, "anna", "{}", 60).error, ERR_STORE_UNAVAILABLE);
    kill(replica.pid, SIGCONT);
    cr_assert_eq(append_one(store, "anna", "{}", 60).seq, 2);
    end_replica();
}

/* One Redis: nobody says that there is a replica. */
Test(store_redis, auto_waits_for_nobody_at_a_redis_that_stands_alone)
{
    open_waiting(-1, true);
    append_number(store, "anna", 0, 60);
    cr_assert_eq(count_waits(), 0);
    end_replica();
}

/* --- auto, where ROLE says which replicas are online --- */

static struct {
    int n_answers;
    enum err error;
} told;

static void on_kept(void *owner, void *arg, size_t index, enum err error)
{
    (void)owner;
    (void)arg;
    (void)index;
    told.n_answers++;
    told.error = error;
}

static void tell_role(struct redis_replicas *replicas, size_t n_online)
{
    struct redis_value words = {.type = REDIS_TEXT, .n = 6, .bytes = "master"};
    struct redis_value offset = {.type = REDIS_INTEGER, .integer = 7};
    struct redis_value one = {.type = REDIS_ARRAY};
    struct redis_value *ones[] = {&one};
    struct redis_value online = {.type = REDIS_ARRAY, .n = n_online, .items = ones};
    struct redis_value *items[] = {&words, &offset, &online};
    struct redis_value role = {.type = REDIS_ARRAY, .n = 3, .items = items};
    redis_replicas_take_role(replicas, &role);
}

/* The waiting alone, with `auto` and a replica that is said to be online. */
struct waiting {
    struct redis_common common;
    struct redis_replicas replicas;
    struct reactor *turns;
};

static void wait_for_link(struct waiting *waiting)
{
    for (int i = 0; i < SOON_MS && !redis_link_is_up(waiting->replicas.link); i++)
        reactor_turn(waiting->turns, 1);
    cr_assert(redis_link_is_up(waiting->replicas.link));
}

static void begin_waiting(struct waiting *waiting, const char *url)
{
    char why[300];
    struct store_config config = contract_config(1000, 1 << 20);
    config.url = url;
    config.n_lanes = 1;
    config.redis_wait_replicas = -1;
    memset(waiting, 0, sizeof *waiting);
    cr_assert_eq(redis_common_init(&waiting->common, &config, why, sizeof why), ERR_OK, "%s", why);
    cr_assert_eq(reactor_new(NULL, &waiting->turns), ERR_OK);
    waiting->replicas.primary = redis_primary_open(&waiting->common, NULL, NULL);
    cr_assert_not_null(waiting->replicas.primary);
    cr_assert_eq(redis_replicas_init(&waiting->replicas, &waiting->common, waiting->turns), ERR_OK);
    cr_assert_not(redis_replicas_are_wanted(&waiting->replicas));
    tell_role(&waiting->replicas, 0);
    cr_assert_not(redis_replicas_are_wanted(&waiting->replicas));
    tell_role(&waiting->replicas, 1);
    cr_assert(redis_replicas_are_wanted(&waiting->replicas));
    wait_for_link(waiting);
}

static void end_waiting(struct waiting *waiting)
{
    redis_replicas_fini(&waiting->replicas);
    redis_primary_close(waiting->replicas.primary);
    redis_common_fini(&waiting->common);
    reactor_free(waiting->turns);
}

static void expect_told(struct waiting *waiting, enum err error)
{
    told.n_answers = 0;
    redis_replicas_hold(&waiting->replicas, on_kept, NULL, 0);
    cr_assert_eq(told.n_answers, 0);
    for (int i = 0; i < SOON_MS && told.n_answers == 0; i++)
        reactor_turn(waiting->turns, 1);
    cr_assert_eq(told.n_answers, 1);
    cr_assert_eq(told.error, error);
}

Test(store_redis, auto_waits_for_a_replica_that_is_online_and_refuses_nothing)
{
    static struct waiting waiting;
    open_waiting(0, true);
    begin_waiting(&waiting, server.url);
    int64_t before = metrics_read(METRIC_STORE_UNREPLICATED);
    expect_told(&waiting, ERR_OK);
    cr_assert_eq(metrics_read(METRIC_STORE_UNREPLICATED), before);
    tell_role(&waiting.replicas, 0);
    cr_assert_not(redis_replicas_are_wanted(&waiting.replicas), "the last one has gone");
    tell_role(&waiting.replicas, 1);
    cr_assert(redis_replicas_are_wanted(&waiting.replicas));
    kill(replica.pid, SIGSTOP);
    redis_server_do(&server, "SET x 1");
    expect_told(&waiting, ERR_OK);
    cr_assert_eq(metrics_read(METRIC_STORE_UNREPLICATED), before + 1);
    cr_assert_not(redis_replicas_are_wanted(&waiting.replicas), "it rests");
    end_waiting(&waiting);
    end_replica();
}

/* What the fake answers to WAIT; NULL: it hangs up. */
static enum fake_verdict answer_wait(void *owner, struct fake_command *command)
{
    const char *answer = *(const char **)owner;
    if (!fake_is(command, "WAIT"))
        return FAKE_PASS;
    return answer != NULL ? fake_say(command, "%s", answer) : FAKE_HANG_UP;
}

static void expect_of_wait(const char *answer, enum err error)
{
    static struct fake_redis fake;
    static struct waiting waiting;
    fake_redis_start(&fake, &server, answer_wait, &answer);
    begin_waiting(&waiting, fake.url);
    expect_told(&waiting, error);
    end_waiting(&waiting);
    fake_redis_stop(&fake);
}

/* It was one when it wrote what is waited for; its replica, which may lack that, is one now. */
Test(store_redis, auto_refuses_what_a_primary_wrote_that_is_none_any_more)
{
    expect_of_wait("-UNBLOCKED force unblock from blocking operation, instance state changed\r\n",
                   ERR_STORE_UNAVAILABLE);
    expect_of_wait("-ERR WAIT cannot be used with replica instances.\r\n", ERR_STORE_UNAVAILABLE);
    expect_of_wait(NULL, ERR_STORE_UNAVAILABLE);
}

Test(store_redis, auto_refuses_nothing_where_waiting_is_forbidden)
{
    expect_of_wait("-NOPERM this user has no permissions to run the 'wait' command\r\n", ERR_OK);
    expect_of_wait("-ERR unknown command 'WAIT'\r\n", ERR_OK);
}

/* A real one, in the middle of a WAIT. */
Test(store_redis, auto_refuses_what_waits_when_its_primary_becomes_a_replica)
{
    static struct waiting waiting;
    open_waiting(0, true);
    begin_waiting(&waiting, server.url);
    kill(replica.pid, SIGSTOP);
    redis_server_do(&server, "SET x 1");
    told.n_answers = 0;
    redis_replicas_hold(&waiting.replicas, on_kept, NULL, 0);
    while (!waiting.replicas.is_asking)
        reactor_turn(waiting.turns, 1);
    reactor_turn(waiting.turns, 1); /* it is on its way */
    redis_server_do(&server, "REPLICAOF 127.0.0.1 1");
    for (int i = 0; i < SOON_MS && told.n_answers == 0; i++)
        reactor_turn(waiting.turns, 1);
    cr_assert_eq(told.n_answers, 1);
    cr_assert_eq(told.error, ERR_STORE_UNAVAILABLE);
    end_waiting(&waiting);
    end_replica();
}

/* Links move one after the other: WAIT at the new primary says nothing of what the old one wrote.
 */
Test(store_redis, waiting_at_another_redis_is_no_answer)
{
    static struct waiting waiting;
    struct redis_run_id there, other = {"0123456789012345678901234567890123456789"};
    open_waiting(0, true);
    begin_waiting(&waiting, server.url);
    expect_told(&waiting, ERR_OK);
    there = waiting.replicas.run_id;
    cr_assert_neq(there.text[0], '\0');
    waiting.replicas.written_at = &other;
    expect_told(&waiting, ERR_STORE_UNAVAILABLE);
    waiting.replicas.written_at = &there;
    reactor_turn(waiting.turns, 1);
    cr_assert_not(redis_link_is_up(waiting.replicas.link));
    wait_for_link(&waiting);
    expect_told(&waiting, ERR_OK);
    end_waiting(&waiting);
    end_replica();
}

Test(store_redis, what_is_held_when_the_primary_may_be_another_is_refused)
{
    static struct waiting waiting;
    open_waiting(0, true);
    begin_waiting(&waiting, server.url);
    told.n_answers = 0;
    redis_replicas_hold(&waiting.replicas, on_kept, NULL, 0);
    redis_replicas_restart(&waiting.replicas, "the primary may be another now");
    cr_assert_eq(told.n_answers, 1);
    cr_assert_eq(told.error, ERR_STORE_UNAVAILABLE);
    wait_for_link(&waiting);
    expect_told(&waiting, ERR_OK);
    cr_assert_eq(told.n_answers, 1);
    end_waiting(&waiting);
    end_replica();
}

Test(store_redis, what_waits_for_a_replica_when_the_store_is_closed_is_answered_once)
{
    enum { CALLS = 5 };
    static struct append_call calls[CALLS];
    open_waiting(1, true);
    wait_for_first_push();
    kill(replica.pid, SIGSTOP);
    for (int i = 0; i < CALLS; i++)
        append_begin(store, &calls[i], "anna", SPAN_LITERAL("{}"), 60);
    pause_ms(50);
    backend_close(store);
    for (int i = 0; i < CALLS; i++) {
        append_end(&calls[i]);
        cr_assert_eq(calls[i].target.error, ERR_STORE_UNAVAILABLE);
        cr_assert_eq(atomic_load(&calls[i].call.n_answers), 1);
    }
    end_replica();
    struct store_config config = contract_config(1000, 1 << 20);
    store = open_on(&config, server.url);
}
