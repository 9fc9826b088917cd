/* A connection whose socket was just accepted: what has come already is read at once, and epoll
 * comes to know the socket only if it is needed after that (conn_begin). */
#include "gateway/base/hash.h"
#include "gateway/net/conn.h"

#include <criterion/criterion.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static struct reactor *reactor;
static struct conn_loop loop;
static struct conn conn;
static int theirs;

static char taken[64];
static size_t n_taken;
static bool is_gone;
static bool must_release;
static bool must_pause;
static struct transport_socket released;

static size_t on_bytes(struct conn *of, uint8_t *bytes, size_t len)
{
    cr_assert_leq(n_taken + len, sizeof taken);
    memcpy(taken + n_taken, bytes, len);
    n_taken += len;
    if (must_release) {
        uint8_t *rest;
        size_t n_rest;
        released = conn_release(of, &rest, &n_rest);
        cr_expect_eq(n_rest, 0);
    }
    if (must_pause)
        conn_pause(of);
    return len;
}

static void on_gone(struct conn *of, bool is_clean)
{
    (void)is_clean;
    is_gone = true;
    conn_abandon(of);
}

static const struct conn_ops ops = {.on_bytes = on_bytes, .on_gone = on_gone};

static void set_up(void)
{
    int ends[2];
    cr_assert_eq(hash_init(), ERR_OK);
    cr_assert_eq(reactor_new(NULL, &reactor), ERR_OK);
    cr_assert_eq(conn_loop_init(&loop, reactor), ERR_OK);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    struct transport_socket socket = {ends[0], &transport_plain};
    theirs = ends[1];
    cr_assert_eq(conn_accept(&conn, &loop, &ops, socket, &(struct ip){0}), ERR_OK);
}

static void tear_down(void)
{
    if (conn.watch.fd >= 0)
        conn_abandon(&conn);
    if (theirs >= 0)
        close(theirs);
    conn_loop_fini(&loop);
    reactor_free(reactor);
}

TestSuite(conn_begin, .init = set_up, .fini = tear_down);

static void send_text(const char *text)
{
    cr_assert_eq(send(theirs, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static void expect_taken(const char *text)
{
    cr_expect(span_equal((struct span){taken, n_taken}, span_of(text)), "%.*s", (int)n_taken,
              taken);
}

Test(conn_begin, reads_what_has_come_already)
{
    send_text("one");
    reactor_turn(reactor, 0);
    expect_taken("");
    conn_begin(&conn);
    expect_taken("one");
    send_text(" two");
    reactor_turn(reactor, 0);
    expect_taken("one two");
}

Test(conn_begin, waits_for_what_comes_later)
{
    conn_begin(&conn);
    expect_taken("");
    send_text("one");
    reactor_turn(reactor, 0);
    expect_taken("one");
}

/* Adding the socket would fail if epoll knew it: then it would cost three calls and not one. */
Test(conn_begin, gives_a_socket_away_that_epoll_does_not_know)
{
    struct conn next;
    must_release = true;
    send_text("one");
    conn_begin(&conn);
    expect_taken("one");
    struct reactor_watch other = {.fd = released.fd};
    cr_assert_eq(reactor_watch_change(reactor, &other, EPOLLIN), ERR_SYSTEM, "it was added");
    cr_assert_eq(conn_open(&next, &loop, &ops, released), ERR_OK);
    must_release = false;
    send_text(" two");
    reactor_turn(reactor, 0);
    expect_taken("one two");
    conn_abandon(&next);
}

Test(conn_begin, notices_a_peer_that_has_gone_already)
{
    close(theirs);
    theirs = -1;
    conn_begin(&conn);
    cr_expect(is_gone);
}

Test(conn_begin, does_not_read_on_when_its_first_bytes_have_paused_it)
{
    must_pause = true;
    send_text("one");
    conn_begin(&conn);
    send_text(" two");
    reactor_turn(reactor, 0);
    expect_taken("one");
    must_pause = false;
    conn_resume(&conn);
    for (int i = 0; i < 10 && n_taken == 3; i++)
        reactor_turn(reactor, 10);
    expect_taken("one two");
}
