/* A socket that goes from one process to another: two loops, each with a descriptor of its own for
 * it. The new one holds its connection until the old one has closed. */
#include "gateway/base/hash.h"
#include "gateway/net/conn.h"
#include "tests/support/fake_clock.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ROOM = 1 << 20, LONG_BYTES = 100000 };

/* One of the two. */
struct side {
    struct reactor *reactor;
    struct conn_loop loop;
    struct conn conn;
    struct buf taken; /* of what came in, in lines */
    unsigned n_offers;
    unsigned n_flushes;
    unsigned n_drained;
    bool is_open;
    bool asks_for_work; /* before each line */
};

static struct side old, new;
static int theirs; /* the client's end */
static struct buf unwritten;
static char came[ROOM]; /* to the client */
static size_t n_came;

/* Takes whole lines. */
static size_t on_bytes(struct conn *conn, uint8_t *bytes, size_t len)
{
    struct side *side = CONTAINER_OF(conn, struct side, conn);
    side->n_offers++;
    size_t taken = 0;
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] != '\n')
            continue;
        if (side->asks_for_work && !conn_take_turn(conn))
            break;
        cr_assert_eq(buf_append(&side->taken, bytes + taken, i + 1 - taken), ERR_OK);
        taken = i + 1;
    }
    return taken;
}

static void on_flush(struct conn *conn)
{
    CONTAINER_OF(conn, struct side, conn)->n_flushes++;
}

static void on_drained(struct conn *conn)
{
    CONTAINER_OF(conn, struct side, conn)->n_drained++;
}

static void on_gone(struct conn *conn, bool is_clean)
{
    (void)is_clean;
    CONTAINER_OF(conn, struct side, conn)->is_open = false;
    conn_abandon(conn);
}

static const struct conn_ops ops = {on_bytes, on_flush, on_drained, on_gone, NULL};

static void make_side(struct side *side)
{
    *side = (struct side){.is_open = false};
    buf_init(&side->taken, ROOM);
    cr_assert_eq(reactor_new(NULL, &side->reactor), ERR_OK);
    cr_assert_eq(conn_loop_init(&side->loop, side->reactor), ERR_OK);
}

static void end_side(struct side *side)
{
    if (side->is_open)
        conn_abandon(&side->conn);
    buf_fini(&side->taken);
    conn_loop_fini(&side->loop);
    reactor_free(side->reactor);
}

static void set_up(void)
{
    int ends[2];
    stop_the_clock();
    cr_assert_eq(hash_init(), ERR_OK);
    make_side(&old);
    make_side(&new);
    buf_init(&unwritten, ROOM);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    theirs = ends[1];
    struct transport_socket socket = {ends[0], &transport_plain};
    cr_assert_eq(conn_open(&old.conn, &old.loop, &ops, socket), ERR_OK);
    old.is_open = true;
}

static void tear_down(void)
{
    end_side(&old);
    end_side(&new);
    buf_fini(&unwritten);
    close(theirs);
    let_the_clock_go();
}

TestSuite(conn_held, .init = set_up, .fini = tear_down);

static void turn(struct side *side)
{
    for (int i = 0; i < 3; i++) {
        fake_us += 1000;
        reactor_turn(side->reactor, 0);
    }
}

static void say(const char *text)
{
    cr_assert_eq(send(theirs, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static void hear(void)
{
    ssize_t n;
    while ((n = recv(theirs, came + n_came, sizeof came - n_came, 0)) > 0)
        n_came += (size_t)n;
}

static bool has_ended(void)
{
    char byte;
    return recv(theirs, &byte, 1, MSG_PEEK) == 0;
}

static void write_text(struct side *side, const char *text)
{
    cr_assert_eq(conn_write_bytes(&side->conn, text, strlen(text)), ERR_OK);
}

/* The new one holds what the old one has. */
static void take_over(void)
{
    cr_assert(conn_may_be_left(&old.conn));
    cr_assert_eq(conn_copy_unwritten(&old.conn, &unwritten), ERR_OK);
    struct conn_left left = {.rest = conn_rest(&old.conn), .unwritten = buf_span(&unwritten)};
    if (conn_moved_ms(&old.conn) != 0)
        left.moved_ago_ms = fake_us / 1000 - conn_moved_ms(&old.conn);
    int fd = dup(old.conn.watch.fd);
    cr_assert_eq(conn_open_held(&new.conn, &new.loop, &ops, fd, &left), ERR_OK);
    new.is_open = true;
}

static void let_go(void)
{
    conn_abandon(&old.conn);
    old.is_open = false;
}

static void expect_taken(const struct side *side, const char *text)
{
    cr_expect(span_equal(buf_span(&side->taken), span_of(text)), "\"%.*s\", not \"%s\"",
              (int)side->taken.len, side->taken.bytes, text);
}

/* ---- what goes out ---- */

/* Lines of rising numbers, so that a byte that is missing or comes twice shows; in one piece, of
 * which the kernel takes a part. */
static size_t write_numbers(struct side *side, size_t from, size_t n_bytes)
{
    struct buf lines;
    size_t n = from;
    buf_init(&lines, ROOM);
    for (; lines.len < n_bytes; n++)
        cr_assert_eq(buf_printf(&lines, "%zu\n", n), ERR_OK);
    cr_assert_eq(conn_write_bytes(&side->conn, lines.bytes, lines.len), ERR_OK);
    buf_fini(&lines);
    return n;
}

static void expect_numbers(size_t n)
{
    char line[32];
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        size_t len = (size_t)snprintf(line, sizeof line, "%zu\n", i);
        cr_assert(at + len <= n_came && memcmp(came + at, line, len) == 0, "at byte %zu of %zu: %s",
                  at, n_came, line);
        at += len;
    }
    cr_assert_eq(at, n_came);
}

static void narrow_socket(void)
{
    int bytes = 4096;
    cr_assert_eq(setsockopt(old.conn.watch.fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes), 0);
}

Test(conn_held, what_the_kernel_has_not_taken_goes_on_exactly_behind_what_it_has)
{
    narrow_socket();
    size_t n = write_numbers(&old, 0, LONG_BYTES);
    turn(&old);
    size_t left = conn_queued_bytes(&old.conn);
    cr_assert(left > 0 && left < LONG_BYTES, "%zu", left);
    take_over();
    cr_assert_eq(conn_queued_bytes(&new.conn), left);
    let_go();
    conn_go(&new.conn);
    for (int i = 0; i < 1000 && conn_queued_bytes(&new.conn) > 0; i++) {
        hear();
        turn(&new);
    }
    n = write_numbers(&new, n, 100);
    turn(&new);
    hear();
    expect_numbers(n);
}

Test(conn_held, nothing_is_written_before_it_goes)
{
    write_text(&old, "0\n1\n");
    take_over();
    let_go();
    write_text(&new, "2\n");
    conn_mark(&new.conn);
    turn(&new);
    hear();
    cr_expect_eq(n_came, 0);
    cr_expect_eq(new.n_flushes, 0);
    conn_go(&new.conn);
    turn(&new);
    hear();
    expect_numbers(3);
    cr_expect_eq(new.n_drained, 1);
    cr_expect_eq(conn_queued_bytes(&new.conn), 0);
}

Test(conn_held, the_kernel_has_taken_nothing_for_as_long_as_before_however_long_it_was_held)
{
    narrow_socket();
    write_numbers(&old, 0, LONG_BYTES);
    turn(&old);
    int64_t moved_ms = conn_moved_ms(&old.conn);
    fake_us += 7000 * 1000;
    int64_t ago_ms = fake_us / 1000 - moved_ms;
    take_over();
    fake_us += 60000 * 1000;
    reactor_turn(new.reactor, 0);
    let_go();
    conn_go(&new.conn);
    cr_expect_eq(conn_moved_ms(&new.conn), reactor_now_ms(new.reactor) - ago_ms);
}

Test(conn_held, an_idle_one_has_no_queue)
{
    take_over();
    let_go();
    conn_go(&new.conn);
    turn(&new);
    cr_expect_null(new.conn.out);
    cr_expect_eq(conn_moved_ms(&new.conn), 0);
    cr_expect_eq(new.n_flushes, 0);
}

/* ---- what comes in ---- */

Test(conn_held, half_of_a_message_is_continued_with_what_comes)
{
    say("one\ntw");
    turn(&old);
    expect_taken(&old, "one\n");
    take_over();
    let_go();
    say("o\nthree\n");
    turn(&new);
    cr_expect_eq(new.n_offers, 0, "it was read before it went");
    conn_go(&new.conn);
    turn(&new);
    expect_taken(&new, "two\nthree\n");
}

Test(conn_held, what_has_begun_is_not_offered_again_before_more_has_come)
{
    say("tw");
    turn(&old);
    take_over();
    let_go();
    conn_go(&new.conn);
    turn(&new);
    cr_expect_eq(new.n_offers, 0);
    cr_expect(span_equal(conn_rest(&new.conn), SPAN_LITERAL("tw")));
}

Test(conn_held, a_paused_one_reads_when_it_is_resumed)
{
    say("one\n");
    take_over();
    let_go();
    conn_pause(&new.conn);
    conn_go(&new.conn);
    turn(&new);
    expect_taken(&new, "");
    conn_resume(&new.conn);
    turn(&new);
    expect_taken(&new, "one\n");
}

/* It waits in the throttle for its turn, with bytes that nobody sends again. */
Test(conn_held, one_that_was_deferred_continues_in_its_turn_with_what_it_has)
{
    old.asks_for_work = new.asks_for_work = true;
    conn_loop_count_work(&old.loop, 100 * CONN_WORK_US_PER_MS);
    say("one\n");
    reactor_turn(old.reactor, 0);
    expect_taken(&old, "");
    cr_assert(span_equal(conn_rest(&old.conn), SPAN_LITERAL("one\n")));
    take_over();
    let_go();
    conn_pause(&new.conn);
    conn_resume(&new.conn);
    turn(&new);
    expect_taken(&new, "");
    conn_go(&new.conn);
    turn(&new);
    expect_taken(&new, "one\n");
    say("two\n");
    turn(&new);
    expect_taken(&new, "one\ntwo\n");
}

/* epoll does not watch it for reading meanwhile, and the new one knows nothing of that. */
Test(conn_held, one_that_was_throttled_is_read)
{
    static char many[CONN_READ_BYTES + 1];
    memset(many, 'x', sizeof many - 1);
    many[sizeof many - 2] = '\n';
    conn_loop_count_work(&old.loop, 100 * CONN_WORK_US_PER_MS);
    say(many);
    reactor_turn(old.reactor, 0);
    say("two\n");
    reactor_turn(old.reactor, 0);
    cr_assert_eq(old.taken.len, sizeof many - 1, "it is not throttled");
    take_over();
    let_go();
    conn_go(&new.conn);
    turn(&new);
    expect_taken(&new, "two\n");
}

/* ---- the end ---- */

Test(conn_held, its_peer_hears_of_an_end_when_it_goes)
{
    take_over();
    write_text(&new, "bye\n");
    conn_shutdown(&new.conn);
    turn(&new);
    cr_expect_not(has_ended());
    let_go();
    conn_go(&new.conn);
    turn(&new);
    hear();
    cr_expect(n_came == 4 && memcmp(came, "bye\n", 4) == 0);
    cr_expect(has_ended());
}

Test(conn_held, an_end_without_a_last_word_waits_as_well)
{
    take_over();
    conn_shutdown(&new.conn);
    turn(&new);
    char byte;
    cr_assert_eq(recv(theirs, &byte, 1, 0), -1, "it has ended");
    let_go();
    conn_go(&new.conn);
    turn(&new);
    cr_expect(has_ended());
}

Test(conn_held, one_that_breaks_is_no_end_to_its_peer_while_the_old_one_has_it)
{
    take_over();
    conn_break(&new.conn);
    turn(&new);
    cr_expect_not(new.is_open);
    char byte;
    cr_expect_eq(recv(theirs, &byte, 1, 0), -1, "it has ended");
    write_text(&old, "0\n");
    turn(&old);
    hear();
    expect_numbers(1);
    say("one\n");
    turn(&old);
    expect_taken(&old, "one\n");
}

/* There is no memory for it, or epoll watches as many as it may. */
Test(conn_held, one_that_cannot_be_watched_ends_when_it_goes)
{
    take_over();
    let_go();
    struct reactor_watch other = {.fd = new.conn.watch.fd};
    cr_assert_eq(reactor_watch_add(new.reactor, &other, EPOLLIN), ERR_OK);
    conn_go(&new.conn);
    cr_expect(new.is_open, "at the end of the turn");
    turn(&new);
    cr_expect_not(new.is_open);
    cr_expect(has_ended());
}

Test(conn_held, the_old_one_goes_on_when_the_new_one_gives_up)
{
    narrow_socket();
    size_t n = write_numbers(&old, 0, LONG_BYTES);
    turn(&old);
    take_over();
    conn_abandon(&new.conn);
    new.is_open = false;
    for (int i = 0; i < 1000 && conn_queued_bytes(&old.conn) > 0; i++) {
        hear();
        turn(&old);
    }
    hear();
    expect_numbers(n);
}

Test(conn_held, is_not_left_once_it_is_broken)
{
    conn_break(&old.conn);
    cr_expect_not(conn_may_be_left(&old.conn));
}
