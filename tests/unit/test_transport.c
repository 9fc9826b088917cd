/* What a write to a plain socket asks of the kernel. */
#include "gateway/net/transport.h"

#include <criterion/criterion.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MANY_BYTES = 300000 };

static unsigned n_sends, n_sendmsgs;

/* Both stand before libc's. */
ssize_t send(int fd, const void *bytes, size_t len, int flags)
{
    n_sends++;
    return sendto(fd, bytes, len, flags, NULL, 0);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    struct mmsghdr one = {.msg_hdr = *message};
    n_sendmsgs++;
    return sendmmsg(fd, &one, 1, flags) == 1 ? (ssize_t)one.msg_len : -1;
}

static int ends[2];

static void set_up(void)
{
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
}

static void take_down(void)
{
    close(ends[0]);
    close(ends[1]);
}

TestSuite(transport, .init = set_up, .fini = take_down);

static enum transport_state write_pieces(const struct iovec *iovecs, size_t n, size_t *ret_len)
{
    n_sends = 0;
    n_sendmsgs = 0;
    return transport_plain.ops->write(&transport_plain, ends[0], iovecs, n, ret_len);
}

static void expect_received(const void *bytes, size_t len)
{
    static uint8_t got[MANY_BYTES];
    cr_assert_eq(recvfrom(ends[1], got, sizeof got, 0, NULL, NULL), (ssize_t)len);
    cr_expect_arr_eq(got, bytes, len);
}

Test(transport, one_piece_is_sent_as_it_is)
{
    static uint8_t bytes[5000];
    size_t len;
    memset(bytes, 7, sizeof bytes);
    struct iovec iovec = {bytes, sizeof bytes};
    cr_expect_eq(write_pieces(&iovec, 1, &len), TRANSPORT_MOVED);
    cr_expect_eq(len, sizeof bytes);
    cr_expect_eq(n_sends, 1);
    cr_expect_eq(n_sendmsgs, 0);
    expect_received(bytes, sizeof bytes);
}

Test(transport, small_pieces_are_sent_as_one)
{
    char head[] = "HTTP/1.1 200 OK\r\n\r\n", body[] = "body", end[] = ".";
    struct iovec iovecs[] = {{head, strlen(head)}, {body, strlen(body)}, {end, 1}};
    size_t len;
    cr_expect_eq(write_pieces(iovecs, 3, &len), TRANSPORT_MOVED);
    cr_expect_eq(n_sends, 1);
    cr_expect_eq(n_sendmsgs, 0);
    expect_received("HTTP/1.1 200 OK\r\n\r\nbody.", len);
}

Test(transport, pieces_of_any_size_arrive_in_order)
{
    static uint8_t bytes[3000];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 256);
    for (size_t all = 2; all <= sizeof bytes; all += 11) {
        size_t third = all / 3;
        struct iovec iovecs[] = {
            {bytes, third}, {bytes + third, all / 2 - third}, {bytes + all / 2, all - all / 2}};
        size_t len;
        cr_assert_eq(write_pieces(iovecs, 3, &len), TRANSPORT_MOVED);
        cr_assert_eq(len, all);
        cr_assert_eq(n_sends + n_sendmsgs, 1);
        expect_received(bytes, all);
    }
    cr_expect_eq(n_sendmsgs, 1, "large ones are not copied");
}

Test(transport, what_the_kernel_does_not_take_is_told)
{
    static uint8_t bytes[MANY_BYTES];
    struct iovec iovecs[] = {{bytes, MANY_BYTES / 2}, {bytes, MANY_BYTES / 2}};
    struct iovec small[] = {{bytes, 1}, {bytes, 1}};
    size_t len;
    cr_expect_eq(write_pieces(iovecs, 2, &len), TRANSPORT_WANTS_WRITE);
    cr_expect_gt(len, 0);
    cr_expect_lt(len, MANY_BYTES);
    while (write_pieces(small, 2, &len) == TRANSPORT_MOVED)
        ;
    cr_expect_eq(len, 0);
    cr_expect_eq(write_pieces(small, 1, &len), TRANSPORT_WANTS_WRITE);
    cr_expect_eq(len, 0);
}

Test(transport, a_peer_that_has_gone_is_noticed)
{
    uint8_t bytes[2] = {0};
    struct iovec iovecs[] = {{bytes, 1}, {bytes, 1}};
    size_t len;
    close(ends[1]);
    ends[1] = -1;
    cr_expect_eq(write_pieces(iovecs, 2, &len), TRANSPORT_BROKEN);
    cr_expect_eq(write_pieces(iovecs, 1, &len), TRANSPORT_BROKEN);
}
