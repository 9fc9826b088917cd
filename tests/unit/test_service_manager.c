/* FLEET 4.1: what the service manager is told, at a socket of the test. */
#include "gateway/base/service_manager.h"

#include "tests/support/captured_log.h"
#include "tests/support/fake_clock.h"
#include "tests/support/notify_socket.h"

static struct service_manager manager;

static void begin(void)
{
    notify_socket_begin();
    stop_the_clock();
    captured_log_begin();
}

static void end(void)
{
    service_manager_fini(&manager);
    notify_socket_end();
}

TestSuite(service_manager, .init = begin, .fini = end);

static void set_watchdog(const char *usec, long pid)
{
    char text[24];
    snprintf(text, sizeof text, "%ld", pid);
    setenv("WATCHDOG_USEC", usec, 1);
    setenv("WATCHDOG_PID", text, 1);
    service_manager_init(&manager);
}

static void pass_ms(int64_t ms)
{
    fake_us += ms * 1000;
}

static void expect_one_warning(const char *part)
{
    const char *log = captured_log_take();
    cr_assert_eq(captured_log_count_lines(log), 1, "%s", log);
    cr_assert_not_null(strstr(log, "level=warn"), "%s", log);
    cr_assert_not_null(strstr(log, part), "%s", log);
}

/* Nobody reads: the queue of the socket is full. */
static void fill_the_queue(void)
{
    char status[32];
    for (int i = 0; !manager.is_owed; i++) {
        cr_assert_lt(i, 100000);
        snprintf(status, sizeof status, "status %d", i);
        service_manager_status(&manager, status);
    }
}

Test(service_manager, hears_each_state_with_its_status)
{
    service_manager_init(&manager);
    cr_assert_str_eq(notify_socket_heard(), "");
    service_manager_status(&manager, "opening the store");
    cr_assert_str_eq(notify_socket_heard(), "STATUS=opening the store\n");
    service_manager_ready(&manager, "serving");
    cr_assert_str_eq(notify_socket_heard(), "READY=1\nSTATUS=serving\n");
    service_manager_reloading(&manager, "reading the options again");
    cr_assert_str_eq(notify_socket_heard(),
                     "RELOADING=1\nMONOTONIC_USEC=5000000\nSTATUS=reading the options again\n");
    service_manager_ready(&manager, "serving");
    cr_assert_str_eq(notify_socket_heard(), "READY=1\nSTATUS=serving\n");
    service_manager_stopping(&manager, "draining");
    cr_assert_str_eq(notify_socket_heard(), "STOPPING=1\nSTATUS=draining\n");
    service_manager_extend(&manager, 1500);
    cr_assert_str_eq(notify_socket_heard(), "EXTEND_TIMEOUT_USEC=1500000\n");
    cr_assert_str_eq(captured_log_take(), "");
}

Test(service_manager, leaves_the_environment_to_a_child)
{
    set_watchdog("2000000", getpid());
    service_manager_ready(&manager, "serving");
    service_manager_fini(&manager);
    cr_assert_str_eq(getenv("NOTIFY_SOCKET"), notify_socket_path);
    cr_assert_str_eq(getenv("WATCHDOG_USEC"), "2000000");
    cr_assert_not_null(getenv("WATCHDOG_PID"));
}

Test(service_manager, says_a_status_once)
{
    service_manager_init(&manager);
    service_manager_status(&manager, "one");
    service_manager_status(&manager, "one");
    service_manager_status(&manager, "two");
    cr_assert_str_eq(notify_socket_heard(), "STATUS=one\n");
    cr_assert_str_eq(notify_socket_heard(), "STATUS=two\n");
    cr_assert_str_eq(notify_socket_heard(), "");
}

Test(service_manager, takes_nothing_in_a_status_for_another_line_or_another_encoding)
{
    service_manager_init(&manager);
    service_manager_status(&manager, "a\nREADY=1\r\x01\x7f.");
    cr_assert_str_eq(notify_socket_heard(), "STATUS=a READY=1   .\n");
    service_manager_status(&manager, "gr\xc3\xbc\xc3\x9f");
    cr_assert_str_eq(notify_socket_heard(), "STATUS=gr\xc3\xbc\xc3\x9f\n");
    service_manager_status(&manager, "a\xff"
                                     "b");
    cr_assert_str_eq(notify_socket_heard(), "STATUS=a?b\n");
}

Test(service_manager, cuts_a_long_status_between_two_characters)
{
    char status[SERVICE_STATUS_MAX_BYTES + 100];
    memset(status, 'a', sizeof status);
    memcpy(status + SERVICE_STATUS_MAX_BYTES - 3, "\xe2\x82\xac", 3); /* one byte too many */
    status[sizeof status - 1] = '\0';
    service_manager_init(&manager);
    service_manager_status(&manager, status);
    const char *text = notify_socket_heard();
    cr_assert_eq(strlen(text), strlen("STATUS=\n") + SERVICE_STATUS_MAX_BYTES - 3);
    cr_assert_null(strchr(text, '\xe2'));
}

Test(service_manager, is_heard_at_an_abstract_socket)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int len =
        snprintf(address.sun_path, sizeof address.sun_path, "@herald-test-%ld", (long)getpid());
    setenv("NOTIFY_SOCKET", address.sun_path, 1);
    address.sun_path[0] = '\0';
    close(notify_socket_fd);
    notify_socket_fd = notify_socket_bind(
        &address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)len));
    service_manager_init(&manager);
    service_manager_ready(&manager, "serving");
    cr_assert_str_eq(notify_socket_heard(), "READY=1\nSTATUS=serving\n");
}

Test(service_manager, needs_no_service_manager)
{
    for (int i = 0; i < 2; i++) {
        set_watchdog("2000000", getpid());
        setenv("NOTIFY_SOCKET", "", 1);
        service_manager_init(&manager);
        service_manager_ready(&manager, "serving");
        cr_assert_eq(service_manager_turn(&manager, true, 777), 777);
        service_manager_take_over(&manager, "serving");
        cr_assert_eq(service_manager_turn(&manager, true, 777), 777);
        service_manager_fini(&manager);
        unsetenv("NOTIFY_SOCKET");
    }
    cr_assert_str_eq(captured_log_take(), "");
}

Test(service_manager, warns_once_of_an_address_that_is_none_and_does_not_show_it)
{
    char too_long[sizeof manager.address.sun_path + 1];
    memset(too_long, '/', sizeof too_long);
    too_long[sizeof too_long - 1] = '\0';
    const char *const wrong[] = {"secret", "vsock:2:1234", "@", "/", too_long};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        setenv("NOTIFY_SOCKET", wrong[i], 1);
        service_manager_init(&manager);
        service_manager_ready(&manager, "serving");
        service_manager_turn(&manager, true, 1000);
        const char *log = captured_log_take();
        cr_assert_eq(captured_log_count_lines(log), 1, "%s: %s", wrong[i], log);
        cr_assert_not_null(strstr(log, "neither the whole path of a unix socket nor @NAME"));
        cr_assert_null(strstr(log, "secret"));
    }
}

Test(service_manager, warns_once_of_a_dead_socket_and_says_the_state_when_it_is_back)
{
    close(notify_socket_fd);
    service_manager_init(&manager);
    service_manager_ready(&manager, "serving");
    for (int i = 0; i < 10; i++)
        service_manager_turn(&manager, true, 1000);
    expect_one_warning("Connection refused");
    unlink(notify_socket_path);
    service_manager_turn(&manager, true, 1000);
    notify_socket_listen();
    service_manager_status(&manager, "serving; 1 connection");
    service_manager_turn(&manager, true, 1000);
    cr_assert_str_eq(notify_socket_heard(), "READY=1\nSTATUS=serving; 1 connection\n");
    service_manager_turn(&manager, true, 1000);
    cr_assert_str_eq(notify_socket_heard(), "");
    cr_assert_str_eq(captured_log_take(), "");

    close(notify_socket_fd);
    unlink(notify_socket_path);
    service_manager_status(&manager, "serving; 2 connections");
    expect_one_warning("No such file or directory");
}

Test(service_manager, waits_for_nobody_who_does_not_read)
{
    service_manager_init(&manager);
    service_manager_ready(&manager, "serving");
    fill_the_queue();
    expect_one_warning("it does not read");
    service_manager_stopping(&manager, "draining");
    notify_socket_empty();
    service_manager_turn(&manager, true, 1000);
    cr_assert_str_eq(notify_socket_heard(), "STOPPING=1\nSTATUS=draining\n");
}

Test(service_manager, hears_a_sign_of_life_each_half_of_its_patience_while_it_is_alive)
{
    set_watchdog("2000000", getpid());
    cr_assert_eq(service_manager_turn(&manager, true, 5000), 1000);
    cr_assert_str_eq(notify_socket_heard(), "WATCHDOG=1\n");
    pass_ms(999);
    cr_assert_eq(service_manager_turn(&manager, true, 5000), 1);
    cr_assert_str_eq(notify_socket_heard(), "");
    pass_ms(1);
    cr_assert_eq(service_manager_turn(&manager, true, 300), 300);
    cr_assert_str_eq(notify_socket_heard(), "WATCHDOG=1\n");

    pass_ms(1000);
    int next_ms = service_manager_turn(&manager, false, 5000);
    cr_assert(next_ms > 0 && next_ms <= 250, "it looks again in %d ms", next_ms);
    pass_ms(next_ms);
    service_manager_turn(&manager, false, 5000);
    cr_assert_str_eq(notify_socket_heard(), "");
    pass_ms(next_ms);
    service_manager_turn(&manager, true, 5000);
    cr_assert_str_eq(notify_socket_heard(), "WATCHDOG=1\n");
}

Test(service_manager, repeats_a_sign_of_life_that_found_no_room)
{
    set_watchdog("2000000", getpid());
    fill_the_queue();
    int next_ms = service_manager_turn(&manager, true, 5000);
    cr_assert(next_ms > 0 && next_ms <= 250, "it tries again in %d ms", next_ms);
    notify_socket_empty();
    pass_ms(next_ms);
    service_manager_turn(&manager, true, 5000);
    cr_assert_eq(strncmp(notify_socket_heard(), "STATUS=status ", 14), 0,
                 "the status that is owed");
    cr_assert_str_eq(notify_socket_heard(), "WATCHDOG=1\n");
}

Test(service_manager, gives_no_sign_of_life_for_another_process)
{
    set_watchdog("2000000", getppid());
    cr_assert_eq(service_manager_turn(&manager, true, 5000), 5000);
    cr_assert_str_eq(notify_socket_heard(), "");
    unsetenv("WATCHDOG_PID");
    service_manager_init(&manager);
    cr_assert_eq(service_manager_turn(&manager, true, 5000), 1000);
}

Test(service_manager, warns_of_a_watchdog_that_is_no_number)
{
    static const char *const wrong[] = {"", "soon", "-1", "1s", "99999999999999999999"};
    for (size_t i = 1; i < sizeof wrong / sizeof wrong[0]; i++) {
        set_watchdog(wrong[i], getpid());
        expect_one_warning("WATCHDOG_USEC");
        cr_assert_eq(service_manager_turn(&manager, true, 5000), 5000);
    }
    set_watchdog(wrong[0], getpid());
    set_watchdog("0", getpid());
    cr_assert_eq(service_manager_turn(&manager, true, 5000), 5000);
    cr_assert_str_eq(captured_log_take(), "");
}

Test(service_manager, hears_of_the_process_that_takes_the_service_over)
{
    char expected[128];
    set_watchdog("2000000", getppid());
    service_manager_mute(&manager);
    service_manager_ready(&manager, "not yet");
    service_manager_turn(&manager, true, 5000);
    cr_assert_str_eq(notify_socket_heard(), "");

    service_manager_take_over(&manager, "serving");
    snprintf(expected, sizeof expected, "MAINPID=%ld\nREADY=1\nSTATUS=serving\n", (long)getpid());
    cr_assert_str_eq(notify_socket_heard(), expected);
    cr_assert_eq(service_manager_turn(&manager, true, 5000), 1000);
    cr_assert_str_eq(notify_socket_heard(), "WATCHDOG=1\n");
}

Test(service_manager,
     hears_nothing_of_a_process_that_has_given_the_service_away_until_it_takes_it_back)
{
    char expected[128];
    set_watchdog("2000000", getpid());
    service_manager_ready(&manager, "serving");
    service_manager_turn(&manager, true, 5000);
    notify_socket_empty();
    service_manager_mute(&manager);
    service_manager_status(&manager, "handed over");
    service_manager_stopping(&manager, "draining");
    service_manager_extend(&manager, 1000);
    pass_ms(5000);
    cr_assert_eq(service_manager_turn(&manager, true, 5000), 5000);
    cr_assert_str_eq(notify_socket_heard(), "");

    service_manager_take_over(&manager, "serving again");
    snprintf(expected, sizeof expected, "MAINPID=%ld\nREADY=1\nSTATUS=serving again\n",
             (long)getpid());
    cr_assert_str_eq(notify_socket_heard(), expected);
    service_manager_turn(&manager, true, 5000);
    cr_assert_str_eq(notify_socket_heard(), "WATCHDOG=1\n");
}
