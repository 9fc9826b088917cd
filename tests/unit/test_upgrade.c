/* How an upgrade is: one at a time, and what is said of the last one. */
#include "gateway/base/log.h"
#include "gateway/base/metrics.h"
#include "gateway/upgrade/upgrade.h"
#include "tests/support/captured_log.h"

#include <criterion/criterion.h>
#include <string.h>

static struct upgrade *upgrade;

static void set_up(void)
{
    cr_assert_eq(upgrade_new(&upgrade), ERR_OK);
}

static void tear_down(void)
{
    upgrade_free(upgrade);
}

static struct upgrade_status status_now(void)
{
    struct upgrade_status status;
    upgrade_read_status(upgrade, &status);
    return status;
}

TestSuite(upgrade, .init = set_up, .fini = tear_down);

Test(upgrade, is_one_at_a_time)
{
    cr_expect_eq(status_now().state, UPGRADE_NONE);
    cr_expect_not(upgrade_take_claim(upgrade));
    cr_assert(upgrade_claim(upgrade));
    cr_expect_eq(status_now().state, UPGRADE_STARTING);
    cr_expect_not(upgrade_claim(upgrade));
    cr_assert(upgrade_take_claim(upgrade));
    cr_expect_not(upgrade_take_claim(upgrade), "whoever takes it up has it alone");
    upgrade_set_state(upgrade, UPGRADE_SETTLING);
    cr_expect_not(upgrade_claim(upgrade));
    upgrade_set_state(upgrade, UPGRADE_HANDING_OVER);
    cr_expect_not(upgrade_claim(upgrade));
    upgrade_give_up(upgrade, "it is over");
    cr_expect(upgrade_claim(upgrade));
}

Test(upgrade, is_refused_before_the_freeze_and_thawed_after_it)
{
    captured_log_begin();
    cr_assert(upgrade_claim(upgrade));
    upgrade_give_up(upgrade, "the new process ended with status 2");
    cr_expect_eq(status_now().state, UPGRADE_GIVEN_UP);
    cr_expect_str_eq(status_now().reason, "the new process ended with status 2");
    cr_expect_eq(metrics_read(METRIC_UPGRADES_REFUSED), 1);
    const char *said = captured_log_take();
    cr_expect_not_null(strstr(said, "level=error event=\"upgrade given up: the new process ended "
                                    "with status 2\""),
                       "%s", said);
    cr_assert(upgrade_claim(upgrade));
    upgrade_set_state(upgrade, UPGRADE_HANDING_OVER);
    upgrade_give_up(upgrade, "it was killed");
    cr_expect_eq(status_now().state, UPGRADE_THAWED);
    cr_expect_eq(metrics_read(METRIC_UPGRADES_THAWED), 1);
    cr_expect_eq(metrics_read(METRIC_UPGRADES_REFUSED), 1);
}

Test(upgrade, says_what_was_taken_over)
{
    upgrade_end(upgrade, "1.2.0", 19000, 412);
    cr_expect_eq(status_now().state, UPGRADE_ENDED);
    cr_expect_str_eq(status_now().version, "1.2.0");
    cr_expect_eq(status_now().n_sessions, 19000);
    cr_expect_eq(status_now().pause_ms, 412);
    cr_expect_str_eq(status_now().reason, "");
    cr_expect_eq(metrics_read(METRIC_UPGRADES_DONE), 1);
    cr_expect(upgrade_claim(upgrade), "the next one may come");
}

Test(upgrade, has_a_name_for_each_state)
{
    static const char *const names[] = {"none",    "starting", "settling", "handing-over",
                                        "refused", "thawed",   "done"};
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        cr_expect_str_eq(upgrade_state_name((enum upgrade_state)i), names[i]);
}
