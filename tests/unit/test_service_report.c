/* FLEET 4.1: what the service manager is told of a node, and how often. */
#include "gateway/service_report.h"

#include "tests/support/node_fixture.h"
#include "tests/support/notify_socket.h"

static struct service_manager manager;
static struct service_report report;

static void begin(void)
{
    node_fixture_start();
    notify_socket_begin();
    atomic_store(&fixture.node.is_store_up, true);
    atomic_store(&fixture.node.was_store_up, true);
    service_manager_init(&manager);
    service_report_init(&report, &manager, &fixture.node);
}

static void end(void)
{
    service_manager_fini(&manager);
    notify_socket_end();
    node_fixture_stop();
}

TestSuite(service_report, .init = begin, .fini = end);

static void expect_heard(const char *text)
{
    cr_assert_str_eq(notify_socket_heard(), text);
}

/* Time passes, with a turn of the report each 500 ms. */
static void pass_ms(int64_t ms)
{
    for (int64_t passed = 0; passed < ms; passed += 500) {
        node_fixture_wait_ms(500);
        service_report_turn(&report, 2000);
    }
}

Test(service_report, says_that_it_serves_with_its_connections_and_users)
{
    service_report_ready(&report);
    expect_heard("READY=1\nSTATUS=serving; 0 connections, 0 users\n");
    node_fixture_enter_clients(1);
    atomic_store(&fixture.node.n_sessions, 1);
    service_report_ready(&report);
    expect_heard("READY=1\nSTATUS=serving; 1 connection, 1 user\n");
    atomic_store(&fixture.node.n_sessions, 0);
    node_fixture_leave_clients();
}

Test(service_report, says_other_numbers_each_five_seconds_and_the_same_ones_never)
{
    service_report_ready(&report);
    notify_socket_empty();
    pass_ms(20000);
    expect_heard("");
    atomic_store(&fixture.node.n_sessions, 2);
    cr_assert_leq(service_report_turn(&report, 2000), 1000, "it looks each second");
    pass_ms(1000);
    expect_heard("STATUS=serving; 2 connections, 0 users\n");
    atomic_store(&fixture.node.n_sessions, 3);
    pass_ms(4000);
    expect_heard("");
    pass_ms(1000);
    expect_heard("STATUS=serving; 3 connections, 0 users\n");
    atomic_store(&fixture.node.n_sessions, 0);
}

Test(service_report, says_within_a_second_that_the_store_is_away_and_back)
{
    service_report_ready(&report);
    notify_socket_empty();
    atomic_store(&fixture.node.is_store_up, false);
    pass_ms(1000);
    expect_heard("STATUS=serving; 0 connections, 0 users; the store takes no writes: it has not "
                 "answered yet\n");
    atomic_store(&fixture.node.is_store_up, true);
    pass_ms(1000);
    expect_heard("STATUS=serving; 0 connections, 0 users\n");
}

Test(service_report, is_ready_although_the_store_has_never_answered)
{
    atomic_store(&fixture.node.is_store_up, false);
    atomic_store(&fixture.node.was_store_up, false);
    service_report_ready(&report);
    cr_assert_eq(strncmp(notify_socket_heard(), "READY=1\n", 8), 0);
}

Test(service_report, frames_a_reload_and_keeps_its_problem_until_the_next)
{
    service_report_ready(&report);
    notify_socket_empty();
    service_report_reloading(&report);
    cr_assert_eq(strncmp(notify_socket_heard(), "RELOADING=1\nMONOTONIC_USEC=", 27), 0);
    service_report_reloaded(&report, "herald.ini:2: ping-interval must be a time");
    expect_heard("READY=1\nSTATUS=serving; 0 connections, 0 users; the last SIGHUP changed no "
                 "option: herald.ini:2: ping-interval must be a time\n");
    service_report_reloaded(&report, "");
    expect_heard("READY=1\nSTATUS=serving; 0 connections, 0 users\n");
}

Test(service_report, counts_down_a_drain_and_asks_for_its_time)
{
    atomic_store(&fixture.node.n_sessions, 2);
    service_report_stopping(&report);
    expect_heard("STOPPING=1\nSTATUS=draining, 2 connections left\n");
    expect_heard("EXTEND_TIMEOUT_USEC=10000000\n");
    pass_ms(500);
    expect_heard("");
    atomic_store(&fixture.node.n_sessions, 1);
    pass_ms(500);
    expect_heard("EXTEND_TIMEOUT_USEC=10000000\n");
    expect_heard("STATUS=draining, 1 connection left\n");
    atomic_store(&fixture.node.n_sessions, 0);
    service_report_urgent(&report);
    expect_heard("STATUS=a second signal: stopping at once\n");
}

Test(service_report, asks_for_no_time_while_a_worker_hangs)
{
    service_report_stopping(&report);
    notify_socket_empty();
    for (int i = 0; i < 4; i++) {
        node_fixture_wait_ms(500);
        atomic_store(&fixture.worker->seen_ms, node_fixture_now_ms() - 60000);
        service_report_turn(&report, 2000);
    }
    expect_heard("");
    pass_ms(1500);
    expect_heard("EXTEND_TIMEOUT_USEC=10000000\n");
}

Test(service_report, says_that_a_node_drains_which_goes_on)
{
    service_report_ready(&report);
    notify_socket_empty();
    atomic_store(&fixture.node.is_draining, true);
    pass_ms(1000);
    expect_heard("STATUS=draining, 0 connections left\n");
    pass_ms(10000);
    expect_heard("");
    atomic_store(&fixture.node.is_draining, false);
    pass_ms(1000);
    expect_heard("STATUS=serving; 0 connections, 0 users\n");
}

Test(service_report, gives_signs_of_life_only_while_every_worker_turns)
{
    setenv("WATCHDOG_USEC", "2000000", 1);
    service_manager_fini(&manager);
    service_manager_init(&manager);
    service_report_ready(&report);
    pass_ms(1000);
    notify_socket_empty();
    pass_ms(1000);
    expect_heard("WATCHDOG=1\n");
    for (int i = 0; i < 10; i++) {
        node_fixture_wait_ms(500);
        atomic_store(&fixture.worker->seen_ms, node_fixture_now_ms() - 60000);
        cr_assert_gt(service_report_turn(&report, 2000), 0);
    }
    expect_heard("");
    pass_ms(1500);
    expect_heard("WATCHDOG=1\n");
}

Test(service_report, finds_nothing_out_that_nobody_hears)
{
    service_manager_mute(&manager);
    cr_assert_eq(service_report_turn(&report, 1234), 1234);
    service_report_stopping(&report);
    pass_ms(3000);
    expect_heard("");
}
