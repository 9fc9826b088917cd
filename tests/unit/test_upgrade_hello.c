/* What two processes of a hand-over say of themselves: read as it was written, refused when it is
 * rubbish, and which format they agree on. */
#include "gateway/upgrade/upgrade_hello.h"

#include <criterion/criterion.h>
#include <string.h>

static struct buf out;

static void set_up(void)
{
    buf_init(&out, 65536);
}

static void tear_down(void)
{
    buf_fini(&out);
}

TestSuite(upgrade_hello, .init = set_up, .fini = tear_down);

Test(upgrade_hello, reads_a_greeting_as_it_was_written)
{
    struct upgrade_greeting read;
    const struct upgrade_greeting greeting = {.pid = 4711,
                                              .format = 2,
                                              .format_before = 1,
                                              .version = SPAN_LITERAL("0.1.0"),
                                              .place = SPAN_LITERAL("redis://127.0.0.1:6379/0"),
                                              .n_sessions = 19000,
                                              .has_lock = true};
    cr_assert_eq(upgrade_greeting_write(&greeting, &out), ERR_OK);
    cr_assert_eq(upgrade_greeting_read(buf_span(&out), &read), ERR_OK);
    cr_expect_eq(read.pid, 4711);
    cr_expect_eq(read.format, 2);
    cr_expect_eq(read.format_before, 1);
    cr_expect(span_equal(read.version, greeting.version));
    cr_expect(span_equal(read.place, greeting.place));
    cr_expect_eq(read.n_sessions, 19000);
    cr_expect(read.has_lock);
}

Test(upgrade_hello, reads_what_the_new_process_says)
{
    struct upgrade_ready ready;
    struct upgrade_counts counts;
    char why[UPGRADE_WHY_MAX_BYTES];
    cr_assert_eq(upgrade_ready_write(
                     &(struct upgrade_ready){
                         .pid = 7, .format = 3, .format_before = 2, .version = SPAN_LITERAL("9")},
                     &out),
                 ERR_OK);
    cr_assert_eq(upgrade_ready_read(buf_span(&out), &ready), ERR_OK);
    cr_expect_eq(ready.pid, 7);
    cr_expect_eq(ready.format, 3);
    buf_clear(&out);
    cr_assert_eq(upgrade_counts_write(&(struct upgrade_counts){.n_http = 3}, &out), ERR_OK);
    cr_assert_eq(upgrade_counts_read(buf_span(&out), &counts), ERR_OK);
    cr_expect_eq(counts.n_sessions, 0);
    cr_expect_eq(counts.n_http, 3);
    buf_clear(&out);
    cr_assert_eq(upgrade_refusal_write("the store is another one", &out), ERR_OK);
    upgrade_refusal_read(buf_span(&out), why);
    cr_expect_str_eq(why, "the store is another one");
}

Test(upgrade_hello, names_listening_sockets_in_their_order)
{
    bool is_admin;
    struct span text;
    cr_assert_eq(upgrade_listening_write(false, "127.0.0.1:0", &out), ERR_OK);
    cr_assert_eq(upgrade_listening_write(true, "unix:/run/admin", &out), ERR_OK);
    struct span rest = buf_span(&out);
    cr_assert(upgrade_listening_take(&rest, &is_admin, &text));
    cr_expect_not(is_admin);
    cr_expect(span_equal(text, SPAN_LITERAL("127.0.0.1:0")));
    cr_assert(upgrade_listening_take(&rest, &is_admin, &text));
    cr_expect(is_admin);
    cr_expect(span_equal(text, SPAN_LITERAL("unix:/run/admin")));
    cr_assert_not(upgrade_listening_take(&rest, &is_admin, &text));
}

Test(upgrade_hello, refuses_rubbish)
{
    const struct span rubbish[] = {
        SPAN_LITERAL(""),
        SPAN_LITERAL("x"),
        SPAN_LITERAL("HTTP/1.1 400 Bad Request\r\n"),
        SPAN_LITERAL("\1\1\0\0\0\7"), /* a pid, and no format */
        SPAN_LITERAL("\1\377\377\377\377"),
    };
    for (size_t i = 0; i < sizeof rubbish / sizeof rubbish[0]; i++) {
        struct upgrade_greeting greeting;
        struct upgrade_ready ready;
        char why[UPGRADE_WHY_MAX_BYTES];
        bool is_admin;
        struct span text;
        struct span rest = {rubbish[i].bytes, i < 3 ? rubbish[i].len : 3};
        cr_expect_neq(upgrade_greeting_read(rubbish[i], &greeting), ERR_OK);
        cr_expect_neq(upgrade_ready_read(rubbish[i], &ready), ERR_OK);
        cr_expect_not(upgrade_listening_take(&rest, &is_admin, &text));
        upgrade_refusal_read((struct span){rubbish[i].bytes, i < 3 ? rubbish[i].len : 3}, why);
        cr_expect_str_eq(why, "the new process refuses, and its reason is unclear");
    }
}

Test(upgrade_hello, agrees_on_the_highest_format_that_both_know)
{
    cr_expect_eq(upgrade_format_for(1, 1, 1, 1), 1);
    cr_expect_eq(upgrade_format_for(1, 1, 2, 1), 1);
    cr_expect_eq(upgrade_format_for(2, 1, 1, 1), 1);
    cr_expect_eq(upgrade_format_for(2, 1, 2, 1), 2);
    cr_expect_eq(upgrade_format_for(3, 2, 2, 1), 2);
    cr_expect_eq(upgrade_format_for(3, 2, 1, 1), 0);
    cr_expect_eq(upgrade_format_for(1, 1, 3, 2), 0);
}
