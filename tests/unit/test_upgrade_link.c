/* The link between a running Herald and its successor: messages with bytes and descriptors, time
 * that ends, and peers that send what is no message. */
#include "gateway/base/clock.h"
#include "gateway/upgrade/upgrade_link.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LONG_BYTES = 3 * 1024 * 1024, SOON_MS = 20, LATE_MS = 20000 };

static struct upgrade_link *ours;
static struct upgrade_link *theirs;
static int raw; /* the peer's end, for what no link of ours would send */

static int64_t in_ms(int ms)
{
    return clock_monotonic_ms() + ms;
}

static void open_raw(void)
{
    int ends[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    cr_assert_eq(upgrade_link_new(ends[0], &ours), ERR_OK);
    raw = ends[1];
}

static void open_both(void)
{
    open_raw();
    cr_assert_eq(upgrade_link_new(raw, &theirs), ERR_OK);
}

static void close_both(void)
{
    upgrade_link_free(ours);
    upgrade_link_free(theirs);
}

static void expect(enum upgrade_receipt receipt)
{
    struct upgrade_message message;
    cr_assert_eq(upgrade_link_receive(ours, in_ms(SOON_MS), &message), receipt);
}

static int count_fds(void)
{
    int n = 0;
    for (int fd = 0; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static ino_t inode_of(int fd)
{
    struct stat found;
    cr_assert_eq(fstat(fd, &found), 0);
    return found.st_ino;
}

Test(upgrade_link, gives_messages_in_their_order)
{
    struct upgrade_message message;
    open_both();
    cr_assert_eq(upgrade_link_send(theirs, UPGRADE_READY, SPAN_LITERAL("abc"), NULL, 0, in_ms(0)),
                 ERR_OK);
    cr_assert_eq(upgrade_link_send(theirs, UPGRADE_ADOPTED, SPAN_NONE, NULL, 0, in_ms(0)), ERR_OK);
    cr_assert_eq(upgrade_link_receive(ours, 0, &message), UPGRADE_MESSAGE);
    cr_assert_eq(message.kind, UPGRADE_READY);
    cr_assert(span_equal(message.bytes, SPAN_LITERAL("abc")));
    cr_assert_eq(message.n_fds, 0);
    cr_assert_eq(upgrade_link_receive(ours, 0, &message), UPGRADE_MESSAGE);
    cr_assert_eq(message.kind, UPGRADE_ADOPTED);
    cr_assert_eq(message.bytes.len, 0);
    expect(UPGRADE_NOTHING);
    close_both();
}

Test(upgrade_link, passes_as_many_descriptors_as_the_kernel_takes)
{
    int fds[UPGRADE_MAX_FDS];
    struct upgrade_message message;
    int pipe_fds[2];
    open_both();
    cr_assert_eq(pipe(pipe_fds), 0);
    for (unsigned i = 0; i < UPGRADE_MAX_FDS; i++)
        fds[i] = pipe_fds[i % 2];
    int before = count_fds();
    cr_assert_eq(upgrade_link_send(theirs, UPGRADE_SESSIONS, SPAN_LITERAL("two of them"), fds,
                                   UPGRADE_MAX_FDS, in_ms(0)),
                 ERR_OK);
    cr_assert_eq(upgrade_link_receive(ours, 0, &message), UPGRADE_MESSAGE);
    cr_assert_eq(message.n_fds, UPGRADE_MAX_FDS);
    for (unsigned i = 0; i < UPGRADE_MAX_FDS; i++) {
        cr_assert_eq(inode_of(message.fds[i]), inode_of(pipe_fds[i % 2]));
        cr_assert_eq(fcntl(message.fds[i], F_GETFD), FD_CLOEXEC);
    }
    int kept = message.fds[7];
    message.fds[7] = -1;
    expect(UPGRADE_NOTHING); /* closes those that nobody has kept */
    cr_assert_eq(count_fds(), before + 1);
    cr_assert_eq(inode_of(kept), inode_of(pipe_fds[1]));
    close_both();
}

static void *send_long(void *argument)
{
    (void)argument;
    char *bytes = malloc(LONG_BYTES);
    memset(bytes, 'x', LONG_BYTES);
    cr_assert_eq(upgrade_link_send(theirs, UPGRADE_SESSIONS, (struct span){bytes, LONG_BYTES}, NULL,
                                   0, in_ms(LATE_MS)),
                 ERR_OK);
    free(bytes);
    return NULL;
}

/* More than a socket holds: the sender waits for the reader. */
Test(upgrade_link, passes_a_message_in_pieces, .timeout = 30)
{
    pthread_t thread;
    struct upgrade_message message;
    open_both();
    pthread_create(&thread, NULL, send_long, NULL);
    cr_assert_eq(upgrade_link_receive(ours, in_ms(LATE_MS), &message), UPGRADE_MESSAGE);
    pthread_join(thread, NULL);
    cr_assert_eq(message.bytes.len, LONG_BYTES);
    for (size_t i = 0; i < LONG_BYTES; i++)
        cr_assert_eq(message.bytes.bytes[i], 'x');
    close_both();
}

Test(upgrade_link, does_not_wait_for_ever_for_a_reader, .timeout = 30)
{
    open_both();
    char *bytes = calloc(1, LONG_BYTES);
    cr_assert_eq(upgrade_link_send(theirs, UPGRADE_SESSIONS, (struct span){bytes, LONG_BYTES}, NULL,
                                   0, in_ms(SOON_MS)),
                 ERR_BUSY);
    free(bytes);
    close_both();
}

Test(upgrade_link, tells_a_reader_that_has_gone_from_a_full_socket)
{
    open_raw();
    close(raw);
    cr_assert_eq(upgrade_link_send(ours, UPGRADE_BEGIN, SPAN_LITERAL("x"), NULL, 0, in_ms(SOON_MS)),
                 ERR_SYSTEM);
    cr_assert_eq(errno, EPIPE);
    close_both();
}

Test(upgrade_link, refuses_to_send_what_no_reader_takes)
{
    int fds[UPGRADE_MAX_FDS + 1] = {0};
    open_both();
    char *bytes = calloc(1, UPGRADE_MAX_BYTES + 1);
    cr_assert_eq(upgrade_link_send(ours, UPGRADE_SESSIONS, SPAN_NONE, fds, UPGRADE_MAX_FDS + 1,
                                   in_ms(SOON_MS)),
                 ERR_SYSTEM);
    cr_assert_eq(upgrade_link_send(ours, UPGRADE_SESSIONS,
                                   (struct span){bytes, UPGRADE_MAX_BYTES + 1}, NULL, 0,
                                   in_ms(SOON_MS)),
                 ERR_SYSTEM);
    free(bytes);
    close_both();
}

/* One byte at a time, with a look at the link after each. */
Test(upgrade_link, waits_for_the_rest_of_a_message)
{
    static const char bytes[] = {3, 0, 0, 0, 65, 0, 0, 0, 'a', 'b', 'c'};
    struct upgrade_message message;
    open_raw();
    for (size_t i = 0; i < sizeof bytes; i++) {
        cr_assert_eq(upgrade_link_receive(ours, 0, &message), UPGRADE_NOTHING);
        cr_assert_eq(write(raw, &bytes[i], 1), 1);
    }
    cr_assert_eq(upgrade_link_receive(ours, 0, &message), UPGRADE_MESSAGE);
    cr_assert_eq(message.kind, UPGRADE_READY);
    cr_assert(span_equal(message.bytes, SPAN_LITERAL("abc")));
    close(raw);
    close_both();
}

Test(upgrade_link, says_when_the_peer_has_closed_its_end)
{
    open_raw();
    cr_assert_eq(write(raw, "\3\0\0", 3), 3); /* in the midst of a header, too */
    close(raw);
    expect(UPGRADE_CLOSED);
    close_both();
}

static void expect_malformed(const char *bytes, size_t len)
{
    open_raw();
    cr_assert_eq(write(raw, bytes, len), (ssize_t)len);
    expect(UPGRADE_MALFORMED);
    close(raw);
    close_both();
    theirs = NULL;
}

Test(upgrade_link, refuses_what_is_no_message)
{
    expect_malformed("GET / HTTP/1.1\r\n\r\n", 18); /* 0x20544547 bytes */
    expect_malformed("\1\0\0\0\0\0\0\0x", 9);       /* no kind */
    expect_malformed("\1\0\0\1\101\0\0\0x", 9);     /* 16 MiB and a byte */
    expect_malformed("\1\0\0\0\101\0\1\0x", 9);     /* a descriptor that has not come */
    expect_malformed("\1\0\0\0\101\0\377\377x", 9); /* more than there can be */
}

/* Descriptors that the header does not name. */
static void send_fd(const char *bytes, size_t len)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec part = {(char *)bytes, len};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(rights), &(int){STDIN_FILENO}, sizeof(int));
    cr_assert_eq(sendmsg(raw, &message, 0), (ssize_t)len);
}

Test(upgrade_link, refuses_descriptors_that_nobody_has_announced)
{
    open_raw();
    int before = count_fds();
    send_fd("\1\0\0\0\101\0\0\0x", 9);
    expect(UPGRADE_MALFORMED);
    upgrade_link_free(ours);
    cr_assert_eq(count_fds(), before - 1); /* the link, and nothing that came over it */
    open_raw();
    cr_assert_eq(write(raw, "\1\0\0\0\101\0\0\0", 8), 8);
    expect(UPGRADE_NOTHING);
    send_fd("x", 1); /* with the bytes, in place of the header */
    expect(UPGRADE_MALFORMED);
    close(raw);
    close_both();
}
