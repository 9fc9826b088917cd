#include "proto/note/message_id.h"

#include "tests/unit/written.h"

#include <criterion/criterion.h>

static enum err parse(const char *id)
{
    struct epoch epoch;
    uint64_t seq;
    return message_id_parse(span_of(id), &epoch, &seq);
}

Test(epoch, is_8_characters_of_a_to_z_and_0_to_9)
{
    bool is_seen[256] = {false};
    unsigned n_seen = 0;
    for (int i = 0; i < 1000; i++) {
        struct epoch epoch;
        cr_assert_eq(epoch_random(&epoch), ERR_OK);
        for (size_t k = 0; k < EPOCH_LEN; k++) {
            unsigned char c = (unsigned char)epoch.text[k];
            cr_assert((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'));
            n_seen += !is_seen[c];
            is_seen[c] = true;
        }
    }
    cr_assert_eq(n_seen, 36);
}

Test(epoch, is_another_one_each_time)
{
    struct epoch a;
    struct epoch b;
    cr_assert_eq(epoch_random(&a), ERR_OK);
    cr_assert_eq(epoch_random(&b), ERR_OK);
    cr_assert_not(epoch_equal(a, b));
    cr_assert(epoch_equal(a, a));
}

Test(epoch, is_none_when_it_is_all_nul)
{
    cr_assert(epoch_is_none((struct epoch){0}));
    cr_assert_not(epoch_is_none(epoch_of("k3f9a2qd")));
}

Test(message_id, is_epoch_and_number)
{
    char out[MESSAGE_ID_MAX_BYTES];
    cr_assert_eq(message_id_write(epoch_of("k3f9a2qd"), 118, out), 12);
    cr_assert_str_eq(out, "k3f9a2qd-118");
    cr_assert_eq(message_id_write(epoch_of("k3f9a2qd"), UINT64_MAX, out), 29);
    cr_assert_str_eq(out, "k3f9a2qd-18446744073709551615");
}

Test(message_id, is_read_as_it_was_written)
{
    static const uint64_t numbers[] = {1, 9, 10, 118, UINT32_MAX, UINT64_MAX - 1, UINT64_MAX};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        char out[MESSAGE_ID_MAX_BYTES];
        struct epoch epoch;
        uint64_t seq;
        size_t len = message_id_write(epoch_of("0a9z0a9z"), numbers[i], out);
        cr_assert_eq(message_id_parse((struct span){out, len}, &epoch, &seq), ERR_OK);
        cr_assert_eq(seq, numbers[i]);
        cr_assert(epoch_equal(epoch, epoch_of("0a9z0a9z")));
    }
}

Test(message_id, refuses_any_other_form)
{
    static const char *const bad[] = {
        "",
        "k3f9a2qd",
        "k3f9a2qd-",
        "k3f9a2qd-0",
        "k3f9a2qd-01",
        "k3f9a2qd-+1",
        "k3f9a2qd--1",
        "k3f9a2qd- 1",
        "k3f9a2qd-1 ",
        "k3f9a2qd-1a",
        "k3f9a2qd_1",
        "k3f9a2q-1",
        "k3f9a2qde-1",
        "K3f9a2qd-1",
        "k3f9a2q.-1",
        "k3f9a2qd-18446744073709551616",
        "k3f9a2qd-99999999999999999999",
        "k3f9a2qd-100000000000000000000",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_eq(parse(bad[i]), ERR_INVALID_FIELD, "%s", bad[i]);
    struct epoch epoch;
    uint64_t seq;
    cr_assert_eq(message_id_parse(SPAN_LITERAL("k3f9a2qd-1\0"), &epoch, &seq), ERR_INVALID_FIELD);
}

static enum err parse_position(const char *id, uint64_t *ret_seq)
{
    struct epoch epoch;
    enum err error = message_position_parse(span_of(id), &epoch, ret_seq);
    if (error == ERR_OK)
        cr_assert_eq(memcmp(epoch.text, id, EPOCH_LEN), 0, "%s", id);
    return error;
}

/* To resume after 0 is to resume from the beginning of the epoch. */
Test(message_position, is_a_message_id_or_the_beginning)
{
    uint64_t seq = 99;
    cr_assert_eq(parse_position("k3f9a2qd-0", &seq), ERR_OK);
    cr_assert_eq(seq, 0);
    cr_assert_eq(parse_position("k3f9a2qd-118", &seq), ERR_OK);
    cr_assert_eq(seq, 118);
    cr_assert_eq(parse_position("00000000-18446744073709551615", &seq), ERR_OK);
    cr_assert_eq(seq, UINT64_MAX);
}

Test(message_position, refuses_any_other_form_and_changes_nothing_then)
{
    static const char *const bad[] = {"",
                                      "0",
                                      "k3f9a2qd-",
                                      "k3f9a2qd-00",
                                      "k3f9a2qd-01",
                                      "k3f9a2qd--0",
                                      "k3f9a2qd-+0",
                                      "k3f9a2qd0",
                                      "K3f9a2qd-0",
                                      "k3f9a2q-0",
                                      "k3f9a2qd-0 ",
                                      "k3f9a2qd-18446744073709551616"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint64_t seq = 99;
        cr_assert_eq(parse_position(bad[i], &seq), ERR_INVALID_FIELD, "%s", bad[i]);
        cr_assert_eq(seq, 99);
    }
}
