/* What came of a push, as JSON (CONTRACT section 3). */
#include "admin/routes/push_results.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* `members` are those of the object. */
static void expect_result(const struct gateway_push *push, const struct gateway_target *target,
                          const char *members)
{
    struct json_out out;
    char wanted[512];
    snprintf(wanted, sizeof wanted, "{%s}", members);
    json_out_init(&out, 4096);
    push_results_write_one(&out, push, target);
    cr_expect_not(out.has_failed);
    cr_expect(span_equal(buf_span(&out.buf), span_of(wanted)), "%.*s", (int)out.buf.len,
              out.buf.bytes);
    json_out_fini(&out);
}

Test(push_result, writes_the_largest_numbers_and_every_member)
{
    struct gateway_push push = {.ttl_s = 1,
                                .wait_ms = 1,
                                .fate = GATEWAY_DELIVERED,
                                .latency_ms = INT64_MIN,
                                .has_waited = false};
    struct gateway_target target = {.is_duplicate = true,
                                    .epoch = {"k3f9a2qd"},
                                    .seq = UINT64_MAX,
                                    .expires_ms = INT64_MIN,
                                    .online = UINT32_MAX,
                                    .nodes = UINT32_MAX};
    expect_result(&push, &target,
                  "\"id\":\"k3f9a2qd-18446744073709551615\",\"seq\":18446744073709551615,"
                  "\"status\":\"delivered\",\"online\":4294967295,\"nodes\":4294967295,"
                  "\"expires\":-9223372036854775808,\"duplicate\":true,"
                  "\"latencyMs\":-9223372036854775808,\"waited\":false");
}

Test(push_result, names_the_cause_of_what_is_gone)
{
    struct gateway_push push = {
        .ttl_s = 1, .wait_ms = 1, .fate = GATEWAY_GONE, .cause = GAP_COLLAPSED, .has_waited = true};
    struct gateway_target target = {.epoch = {"k3f9a2qd"}, .seq = 7, .expires_ms = 9};
    expect_result(&push, &target,
                  "\"id\":\"k3f9a2qd-7\",\"seq\":7,\"status\":\"gone\",\"online\":0,\"nodes\":0,"
                  "\"expires\":9,\"cause\":\"collapsed\"");
}

Test(push_result, has_no_id_and_no_end_with_ttl_0)
{
    struct gateway_push push = {.ttl_s = 0};
    struct gateway_target target = {.online = 2, .nodes = 1};
    expect_result(&push, &target, "\"status\":\"sent\",\"online\":2,\"nodes\":1");
    target = (struct gateway_target){.online = 0};
    expect_result(&push, &target, "\"status\":\"dropped\",\"online\":0,\"nodes\":0");
}
