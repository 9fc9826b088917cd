/* When the lanes of a node call their Redis up or down, and what they say then. */
#include "gateway/stores/redis/redis_common.h"

#include <criterion/criterion.h>
#include <string.h>

static const char denial[] =
    "ERR The user executing the script can't run this command or subcommand (HGET)";

static int reported_state = -1; /* by on_state */

static void record_state(void *owner, bool is_up)
{
    (void)owner;
    reported_state = is_up;
}

static void begin(struct redis_common *common)
{
    char why[200];
    struct store_config config = {.url = "redis://127.0.0.1:6379",
                                  .redis_prefix = "herald",
                                  .n_lanes = 2,
                                  .events = {.on_state = record_state}};
    *common = (struct redis_common){0};
    cr_assert_eq(redis_common_init(common, &config, why, sizeof why), ERR_OK);
    redis_common_lane(common, true);
    redis_common_lane(common, true);
    cr_assert_eq(reported_state, 1);
}

Test(redis_common, it_is_up_only_when_each_lane_sends_scripts_again)
{
    struct redis_common common;
    char text[800];
    begin(&common);
    for (int i = 0; i < 2; i++) {
        redis_common_refused(&common, denial);
        redis_common_denied(&common, true);
    }
    cr_assert_eq(reported_state, 0);
    redis_common_denied(&common, false);
    redis_common_taken(&common, redis_common_refusals(&common));
    cr_assert_eq(reported_state, 0, "the trial of the other lane has not passed");
    redis_common_describe(&common, text, sizeof text);
    cr_assert_not_null(strstr(text, "lacks +hget"), "%s", text);
    redis_common_denied(&common, false);
    cr_assert_eq(reported_state, 1);
    redis_common_describe(&common, text, sizeof text);
    cr_assert_str_empty(text);
    redis_common_fini(&common);
}

/* However the words came: as an answer, or as the reason for which a link was broken. */
Test(redis_common, of_what_redis_says_the_place_in_the_script_is_left_out)
{
    static const char words[] = "READONLY You can't write against a read only replica. script: "
                                "d8329bd5, on @user_script:118.";
    struct redis_common common;
    char text[800];
    begin(&common);
    redis_common_refused(&common, words);
    redis_common_describe(&common, text, sizeof text);
    cr_assert_null(strstr(text, "user_script"), "%s", text);
    redis_common_away(&common, words);
    redis_common_describe(&common, text, sizeof text);
    cr_assert_not_null(strstr(text, "read only replica. (this Redis is a replica"), "%s", text);
    redis_common_fini(&common);
}
