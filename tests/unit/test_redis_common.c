/* When the lanes of a node call their Redis up or down, and what they say then. */
#include "gateway/stores/redis/redis_primary.h"

#include "gateway/base/clock.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char denial[] =
    "ERR The user executing the script can't run this command or subcommand (HGET)";

static int reported_state = -1; /* by on_state */

static void record_state(void *owner, bool is_up)
{
    (void)owner;
    reported_state = is_up;
}

/* Both lanes have it, and can use it. */
static struct redis_primary *open_primary(struct redis_common *common,
                                          const struct redis_address *address)
{
    struct redis_primary *primary = redis_primary_open(common, address, NULL);
    cr_assert_eq(redis_primary_open(common, address, NULL), primary);
    redis_primary_use(primary, true);
    redis_primary_use(primary, true);
    redis_primary_shard(primary, true);
    redis_primary_shard(primary, true);
    return primary;
}

static struct redis_primary *begin(struct redis_common *common)
{
    char why[200];
    struct store_config config = {.url = "redis://127.0.0.1:6379",
                                  .redis_prefix = "herald",
                                  .n_lanes = 2,
                                  .events = {.on_state = record_state}};
    *common = (struct redis_common){0};
    cr_assert_eq(redis_common_init(common, &config, why, sizeof why), ERR_OK);
    struct redis_primary *primary = open_primary(common, NULL);
    cr_assert_eq(reported_state, 1);
    return primary;
}

static void end(struct redis_common *common)
{
    while (common->primaries != NULL)
        redis_primary_close(common->primaries);
    redis_common_fini(common);
}

Test(redis_common, it_is_up_only_when_each_lane_sends_scripts_again)
{
    struct redis_common common;
    char text[800];
    struct redis_primary *primary = begin(&common);
    for (int i = 0; i < 2; i++) {
        redis_primary_refused(primary, denial);
        redis_primary_denied(primary, true);
    }
    cr_assert_eq(reported_state, 0);
    redis_primary_denied(primary, false);
    redis_primary_taken(primary, redis_primary_refusals(primary));
    cr_assert_eq(reported_state, 0, "the trial of the other lane has not passed");
    redis_common_describe(&common, text, sizeof text);
    cr_assert_not_null(strstr(text, "lacks +hget"), "%s", text);
    redis_primary_denied(primary, false);
    cr_assert_eq(reported_state, 1);
    redis_common_describe(&common, text, sizeof text);
    cr_assert_str_empty(text);
    end(&common);
}

/* However the words came: as an answer, or as the reason for which a link was broken. */
Test(redis_common, of_what_redis_says_the_place_in_the_script_is_left_out)
{
    static const char words[] = "READONLY You can't write against a read only replica. script: "
                                "d8329bd5, on @user_script:118.";
    struct redis_common common;
    char text[800];
    struct redis_primary *primary = begin(&common);
    redis_primary_refused(primary, words);
    redis_common_describe(&common, text, sizeof text);
    cr_assert_null(strstr(text, "user_script"), "%s", text);
    redis_primary_away(primary, words);
    redis_common_describe(&common, text, sizeof text);
    cr_assert_not_null(strstr(text, "read only replica. (this Redis is a replica"), "%s", text);
    end(&common);
}

Test(redis_common, the_store_is_up_while_one_primary_is)
{
    static const struct redis_address address = {"10.0.0.2", 6379};
    struct redis_common common;
    char text[800];
    struct redis_primary *one = begin(&common);
    struct redis_primary *other = open_primary(&common, &address);
    redis_primary_shard(one, false);
    cr_assert_eq(reported_state, 1);
    redis_primary_away(one, "Connection refused");
    redis_primary_shard(other, false);
    cr_assert_eq(reported_state, 0);
    redis_primary_shard(other, true);
    cr_assert_eq(reported_state, 1);
    redis_common_describe(&common, text, sizeof text);
    cr_assert_not_null(strstr(text, "Connection refused"), "one is still away: %s", text);
    redis_primary_shard(one, true);
    redis_common_describe(&common, text, sizeof text);
    cr_assert_str_empty(text);
    end(&common);
}

Test(redis_common, what_one_primary_refuses_another_may_take)
{
    static const struct redis_address address = {"10.0.0.2", 6379};
    struct redis_common common;
    struct redis_primary *one = begin(&common);
    struct redis_primary *other = open_primary(&common, &address);
    redis_primary_refused(one, "OOM command not allowed");
    cr_assert_eq(reported_state, 1);
    redis_primary_taken(other, redis_primary_refusals(other));
    cr_assert_not(redis_primary_is_up(&common, &(struct redis_address){.host = ""}));
    cr_assert(redis_primary_is_up(&common, &address));
    redis_primary_refused(other, "OOM command not allowed");
    cr_assert_eq(reported_state, 0);
    end(&common);
}

static void expect_problem(struct redis_common *common, const char *part)
{
    char text[800];
    redis_common_describe(common, text, sizeof text);
    if (part == NULL)
        cr_assert_str_empty(text);
    else
        cr_assert_not_null(strstr(text, part), "%s", text);
}

/* A primary whose place another has taken. */
Test(redis_common, one_that_no_slot_is_at_does_not_count)
{
    static const struct redis_address address = {"10.0.0.2", 6379};
    struct redis_common common;
    struct redis_primary *one = begin(&common);
    struct redis_primary *other = open_primary(&common, &address);
    redis_primary_shard(one, false);
    redis_primary_shard(one, false);
    redis_primary_away(one, "Connection refused");
    expect_problem(&common, "Connection refused");
    redis_primary_use(one, false);
    redis_primary_use(one, false);
    redis_primary_report(&common);
    expect_problem(&common, NULL);
    redis_primary_away(one, "Connection refused");
    expect_problem(&common, NULL);
    redis_primary_shard(other, false);
    cr_assert_eq(reported_state, 0);
    end(&common);
}

Test(redis_common, it_is_whole_when_every_slot_has_an_owner_and_nodes_say_so)
{
    struct redis_common common;
    begin(&common);
    redis_common_say_ownerless(&common, "the Cluster has no owner for slot 7");
    redis_primary_map_taken(&common, 1);
    expect_problem(&common, "slot 7 (see CLUSTER INFO");
    redis_primary_map_taken(&common, 0);
    expect_problem(&common, NULL);
    redis_common_away(&common, "the Cluster announces no address");
    redis_primary_map_failed(&common);
    expect_problem(&common, "announces no address");
    cr_assert_eq(reported_state, 1);
    redis_primary_map_taken(&common, 0);
    expect_problem(&common, NULL);
    end(&common);
}

Test(redis_common, at_the_start_it_is_up_when_each_primary_is_or_has_failed)
{
    static const struct redis_address address = {"10.0.0.2", 6379};
    struct redis_common common;
    char why[200];
    struct store_config config = {.url = "redis+cluster://10.0.0.1",
                                  .redis_prefix = "herald",
                                  .n_lanes = 1,
                                  .events = {.on_state = record_state}};
    common = (struct redis_common){0};
    cr_assert_eq(redis_common_init(&common, &config, why, sizeof why), ERR_OK);
    struct redis_primary *one = redis_primary_open(&common, NULL, NULL);
    struct redis_primary *other = redis_primary_open(&common, &address, NULL);
    redis_primary_use(one, true);
    redis_primary_use(other, true);
    redis_primary_shard(one, true);
    cr_assert_eq(reported_state, -1);
    redis_primary_away(other, "Connection refused");
    cr_assert_eq(reported_state, 1);
    expect_problem(&common, "Connection refused");
    end(&common);
}

Test(redis_common, what_to_write_has_the_form_of_the_address)
{
    static const struct {
        const char *url, *words, *advice;
    } cases[] = {
        {"redis://h", "h:1 speaks TLS", "(write rediss:// in --store)"},
        {"redis+cluster://h", "h:1 speaks TLS", "(write rediss+cluster:// in --store)"},
        {"redis+sentinel://h/n", "h:1 speaks TLS", "(write rediss+sentinel:// in --store)"},
        {"rediss+cluster://h", "h:1 does not speak TLS", "(write redis+cluster:// in --store)"},
        {"redis+cluster://h", "this Redis is not in cluster mode", "(write redis:// in --store)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct redis_common common = {0};
        char why[200];
        struct store_config config = {.url = cases[i].url, .redis_prefix = "herald", .n_lanes = 1};
        cr_assert_eq(redis_common_init(&common, &config, why, sizeof why), ERR_OK, "%s", why);
        redis_common_away(&common, cases[i].words);
        expect_problem(&common, cases[i].advice);
        redis_common_fini(&common);
    }
}

/* Between the question and the answer of a trial another lane was refused. */
Test(redis_common, a_trial_does_not_speak_for_a_refusal_that_came_after_it)
{
    struct redis_common common;
    struct redis_primary *primary = begin(&common);
    redis_primary_refused(primary, "OOM command not allowed");
    struct redis_refusals asked = redis_primary_refusals(primary);
    redis_primary_refused(primary, "OOM command not allowed");
    redis_primary_taken(primary, asked);
    cr_assert_eq(reported_state, 0);
    redis_primary_taken(primary, redis_primary_refusals(primary));
    cr_assert_eq(reported_state, 1);
    end(&common);
}

/* --- what is logged --- */

static int64_t now_us = INT64_C(3600) * 1000000;

static int64_t wall_ms(void)
{
    return INT64_C(1700000000000) + now_us / 1000;
}

static int64_t monotonic_us(void)
{
    return now_us;
}

static int log_fd;

static void read_log_from_here(void)
{
    char path[] = "/tmp/herald-common-XXXXXX";
    clock_replace(wall_ms, monotonic_us);
    log_fd = mkstemp(path);
    cr_assert_geq(log_fd, 0);
    unlink(path);
    cr_assert_eq(dup2(log_fd, STDERR_FILENO), STDERR_FILENO);
}

/* Lines with this text since the last call. */
static unsigned count_lines(const char *text)
{
    static char bytes[1 << 16];
    static off_t from;
    unsigned n = 0;
    ssize_t len = pread(log_fd, bytes, sizeof bytes - 1, from);
    cr_assert_geq(len, 0);
    bytes[len] = '\0';
    from += len;
    for (const char *at = bytes; (at = strstr(at, text)) != NULL; at += strlen(text))
        n++;
    return n;
}

Test(redis_common, each_kind_of_trouble_is_logged_once_a_minute)
{
    struct redis_common common;
    read_log_from_here();
    struct redis_primary *primary = begin(&common);
    for (int i = 0; i < 3; i++) {
        redis_primary_away(primary, "Connection refused");
        redis_primary_away(primary, "Redis did not answer in time");
        redis_primary_refused(primary, "OOM command not allowed");
        now_us += 19 * 1000000;
    }
    cr_assert_eq(count_lines("\n"), 4, "that it is there, and three");
    now_us += 4 * 1000000;
    redis_primary_away(primary, "Connection refused");
    redis_primary_refused(primary, "OOM command not allowed");
    cr_assert_eq(count_lines("\n"), 2);
    end(&common);
}

Test(redis_common, the_next_loss_is_news_when_all_was_well_between)
{
    struct redis_common common;
    read_log_from_here();
    struct redis_primary *primary = begin(&common);
    cr_assert_eq(count_lines("redis is there"), 1);
    for (int i = 0; i < 2; i++) {
        redis_primary_shard(primary, false);
        redis_primary_away(primary, "Connection refused");
        redis_primary_away(primary, "Connection refused");
        cr_assert_eq(count_lines("Connection refused"), 1);
        redis_primary_shard(primary, true);
        cr_assert_eq(count_lines("redis is there"), 1);
    }
    end(&common);
}
