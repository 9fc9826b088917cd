/* POST /push and POST /broadcast over a socket (CONTRACT section 3), on a gateway that is played.
 */
#include "gateway/base/clock.h"
#include "tests/unit/admin_twin.h"

#include <sys/syscall.h>
#include <time.h>

TestSuite(admin_push, .init = twin_start, .fini = twin_stop, .timeout = 60);

#define JSON "application/json"

static void expect_push(const char *body, unsigned status, const char *part)
{
    expect_post("/push", JSON, "", body, status, part);
}

Test(admin_push, hands_every_field_to_the_gateway)
{
    expect_push("{\"userId\":\"4\\u0032\",\"data\":[1.0],\"ttl\":60,\"collapseKey\":\"sc\","
                "\"idempotencyKey\":\"o-\\u0031\",\"wait\":0.5,\"alertAfter\":59}",
                202, "\"status\":\"stored\"");
    cr_expect_str_eq(twin.last_user, "42");
    cr_expect_str_eq(twin.last_data, "[1.0]");
    cr_expect_str_eq(twin.last_collapse_key, "sc");
    cr_expect_str_eq(twin.last_idempotency_key, "o-1");
    cr_expect_eq(twin.last_ttl_s, 60);
    cr_expect_eq(twin.last_wait_ms, 500);
    cr_expect_eq(twin.last_alert_after_s, 59);
}

Test(admin_push, takes_an_alert_that_can_be_kept)
{
    expect_push("{\"userIds\":[\"a\",\"b\"],\"data\":1,\"alertAfter\":30}", 200, "\"results\":");
    cr_expect_eq(twin.last_alert_after_s, 30);
    expect_post("/push", "application/x-ndjson", "",
                "{\"userId\":\"a\",\"data\":1,\"alertAfter\":31}\n", 200, "\"status\":\"stored\"");
    cr_expect_eq(twin.last_alert_after_s, 31);
    expect_push("{\"userId\":\"a\",\"data\":1,\"ttl\":30,\"alertAfter\":30}", 400,
                "\"field\":\"alertAfter\"");
}

Test(admin_push, answers_what_is_kept_with_202)
{
    expect_push("{\"userId\":\"a\",\"data\":1}", 202,
                "\r\n\r\n{\"id\":\"k3f9a2qd-1\",\"seq\":1,\"status\":\"stored\",\"online\":0,"
                "\"nodes\":0,\"expires\":1790000000001}");
}

static void play_online(struct gateway_push *push, uint64_t n)
{
    (void)n;
    push->targets[0].online = 2;
    push->targets[0].nodes = 1;
    push->targets[0].is_duplicate = push->idempotency_key.len > 0;
}

Test(admin_push, says_that_a_repeat_is_one)
{
    twin.play_push = play_online;
    expect_push("{\"userId\":\"a\",\"data\":1}", 202,
                "\"status\":\"sent\",\"online\":2,\"nodes\":1,\"expires\":1790000000001}");
    expect_push("{\"userId\":\"a\",\"data\":1,\"idempotencyKey\":\"k\"}", 202,
                "\"expires\":1790000000002,\"duplicate\":true}");
}

Test(admin_push, takes_the_key_of_the_head)
{
    expect_post("/push", JSON, "idempotency-key:  o-17 \r\n", "{\"userId\":\"a\",\"data\":1}", 202,
                "\"seq\":1");
    cr_expect_str_eq(twin.last_idempotency_key, "o-17");
    expect_post("/push", JSON, "Idempotency-Key: o-17\r\n",
                "{\"userId\":\"a\",\"data\":1,\"idempotencyKey\":\"o-17\"}", 202, "\"seq\":2");
    expect_post("/push", JSON, "Idempotency-Key: o-18\r\n",
                "{\"userId\":\"a\",\"data\":1,\"idempotencyKey\":\"o-17\"}", 400,
                "\"field\":\"idempotencyKey\"");
    expect_post("/push", JSON, "Idempotency-Key: a\r\nIdempotency-Key: a\r\n",
                "{\"userId\":\"a\",\"data\":1}", 400, "\"field\":\"idempotencyKey\"");
    expect_post("/push", JSON, "Idempotency-Key: a\r\n", "{\"userId\":\"a\",\"data\":1,\"ttl\":0}",
                400, "\"field\":\"idempotencyKey\"");
    cr_expect_eq(twin_pushes(), 2);
}

/* What a waiting push learns; latency and cause by the number of the push. */
static void play_fates(struct gateway_push *push, uint64_t n)
{
    push->has_waited = n != 4;
    if (n == 1) {
        push->fate = GATEWAY_DELIVERED;
        push->latency_ms = 38;
    } else if (n == 2) {
        push->fate = GATEWAY_GONE;
        push->cause = GAP_CANCELLED;
    } else if (n == 5) {
        push->targets[0].error = ERR_IDEMPOTENCY_MISMATCH;
    }
}

Test(admin_push, answers_what_became_of_a_push_that_waited)
{
    static const char body[] = "{\"userId\":\"a\",\"data\":1,\"wait\":1}";
    twin.play_push = play_fates;
    expect_push(body, 200,
                "\r\n\r\n{\"id\":\"k3f9a2qd-1\",\"seq\":1,\"status\":\"delivered\",\"online\":0,"
                "\"nodes\":0,\"expires\":1790000000001,\"latencyMs\":38}");
    expect_push(body, 200,
                "\"status\":\"gone\",\"online\":0,\"nodes\":0,"
                "\"expires\":1790000000002,\"cause\":\"cancelled\"}");
    expect_push(body, 202,
                "\"status\":\"stored\",\"online\":0,\"nodes\":0,"
                "\"expires\":1790000000003}");
    expect_push(body, 202, "\"expires\":1790000000004,\"waited\":false}");
    expect_push(body, 422, "\"type\":\"idempotency-mismatch\"");
}

static void play_list(struct gateway_push *push, uint64_t n)
{
    (void)n;
    push->targets[1].error = ERR_IDEMPOTENCY_MISMATCH;
    push->targets[2].error = ERR_STORE_UNAVAILABLE;
}

Test(admin_push, answers_each_user_of_a_list)
{
    twin.play_push = play_list;
    expect_push("{\"userIds\":[\"a\",\"b\",\"c\",\"d\"],\"data\":1}", 200,
                "\r\n\r\n{\"results\":[{\"userId\":\"a\",\"id\":\"k3f9a2qd-1\",\"seq\":1,");
    struct answer answer;
    int fd = client_open();
    client_post(fd, "/push", JSON, "",
                SPAN_LITERAL("{\"userIds\":[\"a\",\"b\",\"c\",\"d\"],\"data\":1}"));
    answer = client_answer(fd);
    cr_expect_not_null(strstr(answer.body, "{\"userId\":\"b\",\"status\":\"failed\",\"error\":{"
                                           "\"type\":\"idempotency-mismatch\""));
    cr_expect_not_null(strstr(answer.body, "{\"userId\":\"c\",\"status\":\"failed\",\"error\":{"
                                           "\"type\":\"store-unavailable\""));
    cr_expect_not_null(strstr(answer.body, "\"seq\":5,\"status\":\"stored\",\"online\":0,"
                                           "\"nodes\":0,\"expires\":1790000000005}]}"),
                       "%s", answer.body);
    answer_free(&answer);
    close(fd);
}

Test(admin_push, answers_a_ttl_0_with_200)
{
    expect_push("{\"userId\":\"a\",\"data\":1,\"ttl\":0}", 200,
                "\r\n\r\n{\"status\":\"dropped\",\"online\":0,\"nodes\":0}");
    twin.play_push = play_online;
    expect_push("{\"userId\":\"a\",\"data\":1,\"ttl\":0}", 200,
                "\r\n\r\n{\"status\":\"sent\",\"online\":2,\"nodes\":1}");
}

/* CONTRACT 5.10: its waiter gone, a push is still a push, and the daemon goes on. */
Test(admin_push, keeps_the_push_of_a_client_that_did_not_wait_for_its_answer)
{
    twin_hold(true);
    int fd = client_open();
    client_post(fd, "/push", JSON, "", SPAN_LITERAL("{\"userId\":\"a\",\"data\":1,\"wait\":30}"));
    cr_assert_eq(twin_await_pushes(1), 1);
    close(fd);
    usleep(50000);
    expect_get("GET", "/livez", 200, "live");
    twin_hold(false);
    expect_push("{\"userId\":\"b\",\"data\":2}", 202, "\"seq\":2");
    cr_expect_eq(twin.n_answered, 2);
}

/* The place of a waiter that has gone is another's. */
Test(admin_push, ends_the_wait_of_a_client_that_has_hung_up_and_of_no_other)
{
    twin_hold(true);
    int stays = client_open();
    int goes = client_open();
    client_post(stays, "/push", JSON, "",
                SPAN_LITERAL("{\"userId\":\"a\",\"data\":1,\"wait\":30}"));
    client_post(goes, "/push", JSON, "", SPAN_LITERAL("{\"userId\":\"b\",\"data\":1,\"wait\":30}"));
    cr_assert_eq(twin_await_pushes(2), 2);
    usleep(1200000); /* longer than the registry looks away */
    cr_expect_eq(twin.n_ended_waits, 0);
    close(goes);
    expect_answer(stays, 202, "\"id\"");
    cr_expect_eq(twin.n_ended_waits, 1);
    close(stays);
}

/* A stop must not make a kept push look as if it were not: what is known is answered at once. */
Test(admin_push, answers_the_pushes_that_wait_at_a_stop_with_202)
{
    struct answer answer;
    twin_hold(true);
    int fd = client_open();
    client_post(fd, "/push", JSON, "", SPAN_LITERAL("{\"userId\":\"a\",\"data\":1,\"wait\":30}"));
    cr_assert_eq(twin_await_pushes(1), 1);
    int64_t begin_ms = clock_monotonic_ms();
    admin_stop(twin_admin, NULL, NULL);
    twin_admin = NULL;
    cr_expect_lt(clock_monotonic_ms() - begin_ms, 4500); /* STOP_WAIT_MS is 5000 */
    cr_expect(twin.has_no_waits);
    answer = client_answer(fd);
    cr_expect_eq(answer.status, 202, "%s", answer.text);
    answer_free(&answer);
    close(fd);
}

/* The monotonic clock of this process, pending's included, can be set forward. */
static _Atomic time_t clock_ahead_s;

int clock_gettime(clockid_t id, struct timespec *at)
{
    long result = syscall(SYS_clock_gettime, id, at);
    if (id == CLOCK_MONOTONIC)
        at->tv_sec += clock_ahead_s;
    return (int)result;
}

Test(admin_push, gives_a_push_that_waits_its_time_on_top_of_the_deadline)
{
    twin_hold(true);
    int waiting = client_open();
    client_post(waiting, "/push", JSON, "",
                SPAN_LITERAL("{\"userId\":\"a\",\"data\":1,\"wait\":30}"));
    cr_assert_eq(twin_await_pushes(1), 1);
    int plain = client_open();
    client_post(plain, "/push", JSON, "", SPAN_LITERAL("{\"userId\":\"b\",\"data\":1}"));
    cr_assert_eq(twin_await_pushes(2), 2);
    usleep(100000);
    clock_ahead_s = 40;
    expect_answer(plain, 503, "no answer in time");
    twin_hold(false);
    expect_answer(waiting, 202, "\"seq\":1");
    close(waiting);
    close(plain);
}

Test(admin_push, broadcasts_data_and_counts_beyond_32_bits)
{
    expect_post("/broadcast", JSON, "", "{\"data\":{\"a\":1.0}}", 200,
                "\r\n\r\n{\"online\":5000000000,\"nodes\":2}");
    cr_expect_str_eq(twin.last_data, "{\"a\":1.0}");
    expect_post("/broadcast", JSON, "", "{\"data\":1,\"ttl\":0}", 400, "\"field\":\"ttl\"");
    expect_post("/broadcast", JSON, "", "{}", 400, "\"field\":\"data\"");
    expect_get("GET", "/broadcast", 405, "Allow: POST");
}

Test(admin_push, takes_lines_on_push_alone)
{
    expect_post("/broadcast", "application/x-ndjson", "", "{\"data\":1}", 415,
                "unsupported-media-type");
    expect_post("/deleteClient", "application/x-ndjson", "", "{\"userId\":\"a\"}", 415,
                "unsupported-media-type");
    expect_post("/push", "text/plain", "", "{}", 415, "application/x-ndjson");
}
