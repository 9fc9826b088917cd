/* What monitoring and operators read (CONTRACT section 3), on a gateway that is played. */
#include "tests/unit/admin_twin.h"

TestSuite(admin_ops, .init = twin_start, .fini = twin_stop, .timeout = 60);

/* Longer than one piece of an answer, with what JSON escapes. */
static const char why[] =
    "Redis at 127.0.0.1:6379: OOM command not allowed when used memory > \"maxmemory\". "
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb "
    "end";

Test(admin_ops, readyz_and_stats_say_why_the_store_is_away)
{
    twin.store_problem = why;
    twin.readiness = NODE_DEGRADED;
    expect_get("GET", "/readyz", 200,
               "{\"degraded\":[\"store\"],\"detail\":\"Redis at 127.0.0.1:6379: OOM command not "
               "allowed when used memory > \\\"maxmemory\\\". aaaa");
    expect_get("GET", "/readyz", 200, "bbb end\"}");
    twin.readiness = NODE_NO_STORE;
    expect_get("GET", "/readyz", 503, "\"detail\":\"Redis at 127.0.0.1:6379: OOM command");
    expect_get("GET", "/stats", 200, "\"up\":false,\"problem\":\"Redis at 127.0.0.1:6379: OOM");
}

Test(admin_ops, without_a_problem_none_is_said)
{
    expect_get("GET", "/readyz", 200, "{\"status\":\"ready\"}");
    expect_get("GET", "/stats", 200, "\"problem\":null},\"draining\"");
    twin.readiness = NODE_NO_STORE;
    expect_get("GET", "/readyz", 503, "the store has not answered yet");
    twin.readiness = NODE_DEGRADED; /* it came back between the two looks */
    expect_get("GET", "/readyz", 200, "{\"degraded\":[\"store\"],\"detail\":null}");
}

/* ---- the fleet ---- */

static void play_two_nodes(struct gateway_nodes *nodes)
{
    static const struct gateway_node rows[] = {
        {.said = {.name = {"k3f9a2qd"},
                  .node = "a-1",
                  .version = "1.2.0",
                  .connections = 4012,
                  .users = 3990,
                  .max_connections = 18500,
                  .pushes_per_second = 310,
                  .is_store_up = true},
         .is_self = true,
         .started_ago_ms = 812999,
         .seen_ago_ms = 2001},
        {.said = {.name = {"22222222"}, .node = "b", .version = "1.3", .connections = 7},
         .state = GATEWAY_NODE_SILENT,
         .seen_ago_ms = 15000},
    };
    nodes->nodes = calloc(2, sizeof rows[0]);
    cr_assert_not_null(nodes->nodes);
    memcpy(nodes->nodes, rows, sizeof rows);
    nodes->n = 2;
    nodes->connections = 4012;
    nodes->users = 3990;
}

Test(admin_ops, nodes_are_shown_with_their_sums)
{
    expect_get("GET", "/nodes", 200, "{\"nodes\":[],\"connections\":0,\"users\":0}");
    twin.play_nodes = play_two_nodes;
    expect_get("GET", "/nodes", 200,
               "{\"nodes\":[{\"node\":\"a-1\",\"name\":\"k3f9a2qd\",\"version\":\"1.2.0\","
               "\"self\":true,\"state\":\"up\",\"startedSeconds\":812,\"seenSecondsAgo\":2,"
               "\"connections\":4012,\"users\":3990,\"maxConnections\":18500,"
               "\"pushesPerSecond\":310,\"store\":\"up\"},{\"node\":\"b\",");
    expect_get("GET", "/nodes", 200,
               "\"self\":false,\"state\":\"silent\",\"startedSeconds\":0,\"seenSecondsAgo\":15,"
               "\"connections\":7,\"users\":0,\"maxConnections\":0,\"pushesPerSecond\":0,"
               "\"store\":\"down\"}],\"connections\":4012,\"users\":3990}");
}

Test(admin_ops, stats_have_the_sums_of_the_fleet_when_they_are_asked_for)
{
    twin.play_nodes = play_two_nodes;
    expect_get("GET", "/stats", 200,
               "\"draining\":false,\"closing\":0,\"upgrade\":{\"state\":\"none\"}}");
    expect_get("GET", "/stats?fleet=0", 200, "\"upgrade\":{\"state\":\"none\"}}");
    expect_get("GET", "/stats?fleet=1", 200,
               "\"upgrade\":{\"state\":\"none\"},\"fleet\":{\"nodes\":2,\"up\":1,\"draining\":0,"
               "\"silent\":1,"
               "\"connections\":4012,\"users\":3990,\"maxConnections\":18500,"
               "\"pushesPerSecond\":310}}");
    expect_get("GET", "/stats?fleet=2", 400, "\"field\":\"fleet\"");
}

Test(admin_ops, a_user_shows_until_when_it_is_blocked)
{
    expect_get("GET", "/users/a", 200, "\"acked\":0,\"blockedUntil\":null,\"connections\":[]");
    twin.blocked_until_ms = 1790000000123;
    expect_get("GET", "/users/a", 200, "\"blockedUntil\":1790000000123,\"connections\":[]");
}

/* The head of a request is at most 8 KiB; whatever of it is the path or the query, the answer is
 * ours. */
Test(admin_ops, answers_a_request_whose_target_takes_all_of_its_head)
{
    static const struct {
        const char *begin, *more;
        unsigned status;
        const char *part;
    } rows[] = {
        {"/users/", "x", 400, "userId must be 1 to 128 bytes"},
        {"/clients?a=1", "&a", 200, "\"clients\":[]"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char head[8192];
        int len = snprintf(head, sizeof head, "GET %s", rows[i].begin);
        while (len < 8100)
            len += snprintf(head + len, sizeof head - (size_t)len, "%s", rows[i].more);
        snprintf(head + len, sizeof head - (size_t)len, " HTTP/1.1\r\nHost: localhost\r\n\r\n");
        int fd = client_open();
        client_say(fd, head);
        expect_answer(fd, rows[i].status, rows[i].part);
        close(fd);
    }
}

/* ---- the upgrade ---- */

static void post_upgrade(const char *body, unsigned status, const char *part)
{
    expect_post("/upgrade", "application/json", "", body, status, part);
}

Test(admin_ops, an_upgrade_is_asked_for_with_nothing)
{
    post_upgrade("", 202, "{\"state\":\"starting\"}");
    post_upgrade("{}", 202, "{\"state\":\"starting\"}");
    post_upgrade("{\"now\":true}", 400, "\"now\"");
    twin.upgrade_refusal = "another upgrade is under way";
    post_upgrade("{}", 409, "another upgrade is under way");
}

Test(admin_ops, stats_say_how_an_upgrade_is)
{
    twin.upgrade = (struct upgrade_status){.state = UPGRADE_HANDING_OVER};
    expect_get("GET", "/stats", 200, "\"upgrade\":{\"state\":\"handing-over\",\"secondsAgo\":");
    twin.upgrade = (struct upgrade_status){.state = UPGRADE_THAWED, .reason = "it \"died\""};
    expect_get("GET", "/stats", 200,
               "\"upgrade\":{\"state\":\"thawed\",\"reason\":\"it \\\"died\\\"\",");
    twin.upgrade = (struct upgrade_status){
        .state = UPGRADE_ENDED, .version = "1.2.0", .n_sessions = 19000, .pause_ms = 412};
    expect_get("GET", "/stats", 200,
               "\"upgrade\":{\"state\":\"done\",\"from\":\"1.2.0\",\"sessions\":19000,"
               "\"pauseMs\":412,\"secondsAgo\":");
}

/* ---- the drain ---- */

static struct gateway_drain asked_drain;

static void play_drain(struct gateway_drain *drain)
{
    asked_drain = *drain;
    drain->error = ERR_OK;
    drain->closing = 250;
    drain->ms = 2500;
}

static void play_late_drain(struct gateway_drain *drain)
{
    drain->error = ERR_CONFLICT;
}

static void play_last_drain(struct gateway_drain *drain)
{
    drain->error = ERR_CONFLICT;
    drain->is_ending = true;
}

static void play_long_drain(struct gateway_drain *drain)
{
    drain->error = ERR_INVALID_FIELD;
}

static void expect_drain(const char *body, unsigned status, const char *part)
{
    expect_post("/drain", "application/json", "", body, status, part);
}

Test(admin_ops, a_drain_says_how_many_are_closed_and_within_which_time)
{
    twin.play_drain = play_drain;
    expect_drain("{\"connections\":300,\"rate\":100}", 202, "{\"closing\":250,\"seconds\":2.5}");
    cr_expect_eq(asked_drain.connections, 300);
    cr_expect_eq(asked_drain.rate, 100);
    expect_drain("", 202, "{\"closing\":250,\"seconds\":2.5}");
    cr_expect(asked_drain.connections == 0 && asked_drain.rate == 0 && !asked_drain.is_cancel);
    expect_drain("{\"cancel\":true}", 202, "\"closing\":250");
    cr_expect(asked_drain.is_cancel);
}

Test(admin_ops, a_drain_that_cannot_be_is_refused_with_the_reason)
{
    expect_drain("{\"rate\":0}", 400, "\"field\":\"rate\"");
    expect_drain("{\"drain\":1}", 400, "\"type\":\"unknown-field\"");
    twin.play_drain = play_late_drain;
    expect_drain("{}", 409, "all connections are being closed: cancel that first");
    twin.play_drain = play_last_drain;
    expect_drain("{}", 409, "Herald is ending");
    twin.play_drain = play_long_drain;
    expect_drain("{}", 400, "rate must close them within 7 days");
}
