/* What the running process learns of the new one over the link. */
#include "gateway/upgrade/upgrade_old.h"

#include "gateway/base/clock.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct upgrade_give give;
static struct upgrade_link *peer;

static void on_wait(void *owner)
{
    (void)owner;
}

static void set_up(void)
{
    int ends[2];
    signal(SIGPIPE, SIG_IGN);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    give = (struct upgrade_give){.end_ms = clock_monotonic_ms() + 10000, .old.on_wait = on_wait};
    cr_assert_eq(upgrade_link_new(ends[0], &give.link), ERR_OK);
    cr_assert_eq(upgrade_link_new(ends[1], &peer), ERR_OK);
}

static void tear_down(void)
{
    upgrade_link_free(give.link);
    upgrade_link_free(peer);
}

TestSuite(upgrade_old, .init = set_up, .fini = tear_down, .timeout = 60);

static void say(enum upgrade_kind kind, struct span bytes)
{
    cr_assert_eq(upgrade_link_send(peer, kind, bytes, NULL, 0, clock_monotonic_ms() + 10000),
                 ERR_OK);
}

static void refuse(const char *why)
{
    struct buf bytes;
    buf_init(&bytes, 65536);
    cr_assert_eq(upgrade_refusal_write(why, &bytes), ERR_OK);
    say(UPGRADE_REFUSED, buf_span(&bytes));
    buf_fini(&bytes);
}

static void say_taken(uint32_t n_fds)
{
    struct buf bytes;
    const struct upgrade_counts counts = {.n_sessions = n_fds};
    buf_init(&bytes, 65536);
    cr_assert_eq(upgrade_counts_write(&counts, &bytes), ERR_OK);
    say(UPGRADE_TAKEN, buf_span(&bytes));
    buf_fini(&bytes);
}

static void leave(void)
{
    upgrade_link_free(peer);
    peer = NULL;
}

Test(upgrade_old, sends_what_the_new_process_takes)
{
    struct upgrade_message message;
    cr_assert(upgrade_send(&give, UPGRADE_END, SPAN_LITERAL("bytes"), NULL, 0));
    cr_assert_eq(upgrade_link_receive(peer, clock_monotonic_ms() + 10000, &message),
                 UPGRADE_MESSAGE);
    cr_assert_eq(message.kind, UPGRADE_END);
    cr_assert(span_equal(message.bytes, SPAN_LITERAL("bytes")));
}

/* Each message is answered, and the link has room for some hundreds of answers. */
Test(upgrade_old, hears_the_new_process_while_it_sends)
{
    struct upgrade_message message;
    for (int i = 0; i < 2000; i++) {
        int fd = STDIN_FILENO;
        cr_assert(upgrade_send(&give, UPGRADE_SESSIONS, SPAN_LITERAL("bytes"), &fd, 1), "%s",
                  give.why);
        cr_assert_eq(give.in_flight, 1);
        cr_assert_eq(upgrade_link_receive(peer, clock_monotonic_ms() + 10000, &message),
                     UPGRADE_MESSAGE);
        say_taken(1);
    }
}

Test(upgrade_old, believes_no_more_than_was_sent)
{
    say_taken(1);
    cr_assert_not(upgrade_send(&give, UPGRADE_SESSIONS, SPAN_LITERAL("bytes"), NULL, 0));
    cr_assert_str_eq(give.why, "the new process has sent what cannot be read");
}

/* It refuses and ends while there is more to be sent. */
Test(upgrade_old, learns_why_a_new_process_has_gone)
{
    say_taken(0);
    refuse("--listen: cannot listen");
    leave();
    cr_assert_not(upgrade_send(&give, UPGRADE_SESSIONS, SPAN_LITERAL("bytes"), NULL, 0));
    cr_assert_str_eq(give.why, "--listen: cannot listen");
}

Test(upgrade_old, says_that_one_has_gone_without_a_word)
{
    leave();
    cr_assert_not(upgrade_send(&give, UPGRADE_SESSIONS, SPAN_LITERAL("bytes"), NULL, 0));
    cr_assert_str_eq(give.why, "the new process has closed the link");
}

Test(upgrade_old, waits_no_longer_than_it_has_time)
{
    static char many[1 << 20];
    bool is_sent = true;
    give.end_ms = clock_monotonic_ms() + 50;
    while (is_sent)
        is_sent = upgrade_send(&give, UPGRADE_SESSIONS, (struct span){many, sizeof many}, NULL, 0);
    cr_assert_str_eq(give.why, "the new process has not taken everything in time");
}

/* As after this process was stopped: the answer is there, and the time is over. */
Test(upgrade_old, takes_no_answer_that_is_late)
{
    struct upgrade_message message;
    say_taken(0);
    cr_assert_not(upgrade_await(&give, clock_monotonic_ms() - 1, &message));
    cr_assert_str_eq(give.why, "the new process has not answered in time");
}

Test(upgrade_old, hears_a_refusal_while_it_waits)
{
    struct upgrade_message message;
    refuse("no store");
    cr_assert_not(upgrade_await(&give, give.end_ms, &message));
    cr_assert_str_eq(give.why, "no store");
}
