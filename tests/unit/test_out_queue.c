#include "gateway/net/out_queue.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct out_queue *queue;

static void set_up(void)
{
    cr_assert_eq(out_queue_new(&queue), ERR_OK);
}

static void tear_down(void)
{
    out_queue_free(queue);
}

static void put(const char *text)
{
    cr_assert_eq(out_queue_bytes(queue, text, strlen(text)), ERR_OK);
}

/* All that waits, as one text. */
static size_t read_all(char *text)
{
    struct iovec iovecs[OUT_IOVECS];
    size_t len = 0;
    int n = out_queue_iovecs(queue, iovecs);
    for (int i = 0; i < n; i++) {
        memcpy(text + len, iovecs[i].iov_base, iovecs[i].iov_len);
        len += iovecs[i].iov_len;
    }
    text[len] = '\0';
    return len;
}

TestSuite(out_queue, .init = set_up, .fini = tear_down);

Test(out_queue, small_bytes_share_a_piece)
{
    for (int i = 0; i < 12000; i++)
        put("\x8a");
    cr_expect_eq(queue->bytes, 12000);
    cr_expect_eq(queue->n, 12000 / OUT_INLINE_BYTES);
}

Test(out_queue, keeps_the_order_when_pieces_are_shared)
{
    char text[256];
    put("one ");
    put("two ");
    put("a piece that is too long to lie in the queue itself ");
    put("three ");
    put("four");
    cr_expect_eq(queue->n, 3);
    cr_expect_eq(read_all(text), queue->bytes);
    cr_expect_str_eq(text,
                     "one two a piece that is too long to lie in the queue itself three four");
}

Test(out_queue, adds_to_a_piece_of_which_a_part_is_written)
{
    char text[256];
    put("abc");
    out_queue_written(queue, 2);
    put("def");
    cr_expect_eq(queue->n, 1);
    cr_expect_eq(read_all(text), 4);
    cr_expect_str_eq(text, "cdef");
    out_queue_written(queue, 4);
    cr_expect_eq(queue->bytes, 0);
    cr_expect_eq(queue->n, 0);
}

Test(out_queue, begins_a_piece_when_the_last_one_is_full)
{
    char text[256];
    put("0123456789abcdefghijklm"); /* one byte less than a piece takes */
    put("no");
    put("pq");
    cr_expect_eq(queue->n, 2);
    read_all(text);
    cr_expect_str_eq(text, "0123456789abcdefghijklmnopq");
}
