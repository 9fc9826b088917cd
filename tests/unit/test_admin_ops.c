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

Test(admin_ops, a_user_shows_until_when_it_is_blocked)
{
    expect_get("GET", "/users/a", 200, "\"acked\":0,\"blockedUntil\":null,\"connections\":[]");
    twin.blocked_until_ms = 1790000000123;
    expect_get("GET", "/users/a", 200, "\"blockedUntil\":1790000000123,\"connections\":[]");
}
