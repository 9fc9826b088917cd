/* Devices: each has a position of its own, and the inbox waits for all of them. */
#include "tests/store/contract_fixture.h"

static void append_numbers(const char *user, int n)
{
    for (int i = 1; i <= n; i++)
        append_number(store, user, i, 60);
}

static void device_arrives(const char *user, const char *device)
{
    struct store_page page = page_of_device(store, user, device, true);
    cr_assert_eq(page.error, ERR_OK);
    cr_assert(page.has_devices);
    page_free(&page);
}

/* An empty device: the shared position. */
static enum err ack_device(const char *user, const char *device, bool is_held, uint64_t seq)
{
    return ack_run(store, (struct store_ack){.user_id = span_of(user),
                                             .device = span_of(device),
                                             .is_held = is_held,
                                             .epoch = peek_one(store, user).epoch,
                                             .seq = seq});
}

/* Where a device stands, or the shared position. */
static uint64_t position_of(const char *user, const char *device)
{
    struct store_page page = page_of_device(store, user, device, false);
    cr_assert_eq(page.error, ERR_OK);
    uint64_t position = page.position;
    cr_assert_eq(page.start, position);
    page_free(&page);
    return position;
}

static uint64_t acked_of(const char *user)
{
    return peek_one(store, user).acked;
}

Test(store_contract, a_device_begins_at_the_acknowledged_position)
{
    append_numbers("anna", 5);
    cr_assert_eq(ack_device("anna", "", false, 2), ERR_OK);
    struct store_page page = page_of_device(store, "anna", "phone", true);
    cr_assert_eq(page.error, ERR_OK);
    cr_assert(page.has_devices);
    cr_assert_eq(page.position, 2);
    cr_assert_eq(page.start, 2);
    cr_assert_eq(page.acked, 2);
    cr_assert_eq(page.head, 5);
    cr_assert_eq(page.n_notes, 3);
    cr_assert_eq(page.notes[0]->seq, 3);
    page_free(&page);
}

Test(store_contract, only_an_arrival_makes_a_device)
{
    append_numbers("anna", 3);
    struct store_page page = page_of_device(store, "anna", "phone", false);
    cr_assert_eq(page.error, ERR_OK);
    cr_assert_not(page.has_devices);
    page_free(&page);
    page = arrive_and_read(store, "anna");
    cr_assert_not(page.has_devices, "an arrival without a device makes none");
    page_free(&page);
    device_arrives("anna", "phone");
    page = page_all(store, "anna");
    cr_assert(page.has_devices);
    page_free(&page);
}

Test(store_contract, the_inbox_waits_for_each_device_and_no_longer)
{
    append_numbers("anna", 6);
    device_arrives("anna", "phone");
    device_arrives("anna", "tablet");
    cr_assert_eq(ack_device("anna", "phone", false, 4), ERR_OK);
    cr_assert_eq(acked_of("anna"), 0);
    cr_assert_eq(peek_one(store, "anna").pending, 6);
    expect_inbox(store, "anna", "......");
    cr_assert_eq(ack_device("anna", "tablet", false, 3), ERR_OK);
    cr_assert_eq(acked_of("anna"), 3);
    expect_inbox(store, "anna", "aaa...");
    cr_assert_eq(ack_device("anna", "tablet", false, 6), ERR_OK);
    cr_assert_eq(acked_of("anna"), 4);
    cr_assert_eq(ack_device("anna", "phone", false, 6), ERR_OK);
    cr_assert_eq(acked_of("anna"), 6);
    cr_assert_eq(peek_one(store, "anna").pending, 0);
}

Test(store_contract, a_device_reads_after_its_own_position)
{
    append_numbers("anna", 5);
    device_arrives("anna", "phone");
    device_arrives("anna", "tablet");
    cr_assert_eq(ack_device("anna", "phone", false, 3), ERR_OK);
    struct store_page page = page_of_device(store, "anna", "phone", false);
    cr_assert_eq(page.position, 3);
    cr_assert_eq(page.start, 3);
    cr_assert_eq(page.acked, 0);
    cr_assert_eq(page.n_notes, 2);
    page_free(&page);
    page = page_of_device(store, "anna", "tablet", true);
    cr_assert_eq(page.position, 0, "an arrival moves no position");
    cr_assert_eq(page.n_notes, 5);
    page_free(&page);
    cr_assert_eq(position_of("anna", "phone"), 3);
}

Test(store_contract, a_lower_acknowledgement_of_a_device_changes_nothing)
{
    append_numbers("anna", 5);
    device_arrives("anna", "phone");
    cr_assert_eq(ack_device("anna", "phone", false, 4), ERR_OK);
    cr_assert_eq(ack_device("anna", "phone", false, 2), ERR_OK);
    cr_assert_eq(position_of("anna", "phone"), 4);
    cr_assert_eq(acked_of("anna"), 4);
    cr_assert_eq(ack_device("anna", "phone", false, 6), ERR_STALE_EPOCH);
    cr_assert_eq(ack_run(store, (struct store_ack){.user_id = SPAN_LITERAL("anna"),
                                                   .device = SPAN_LITERAL("phone"),
                                                   .epoch = {"zzzzzzzz"},
                                                   .seq = 5}),
                 ERR_STALE_EPOCH);
    cr_assert_eq(position_of("anna", "phone"), 4);
}

Test(store_contract, the_shared_position_does_not_count_beside_devices)
{
    append_numbers("anna", 6);
    cr_assert_eq(ack_device("anna", "", false, 1), ERR_OK);
    device_arrives("anna", "phone");
    cr_assert_eq(ack_device("anna", "", false, 5), ERR_OK);
    cr_assert_eq(acked_of("anna"), 1, "the phone has not had them");
    cr_assert_eq(position_of("anna", ""), 5);
    cr_assert_eq(position_of("anna", "phone"), 1);
    cr_assert_eq(ack_device("anna", "phone", false, 6), ERR_OK);
    cr_assert_eq(acked_of("anna"), 6, "no session without a device is open");
    cr_assert_eq(position_of("anna", ""), 6, "it never stands below what is acknowledged");
}

Test(store_contract, the_shared_position_counts_beside_devices_while_it_is_held)
{
    append_numbers("anna", 6);
    device_arrives("anna", "phone");
    cr_assert_eq(ack_device("anna", "", true, 2), ERR_OK);
    cr_assert_eq(acked_of("anna"), 0);
    cr_assert_eq(ack_device("anna", "phone", true, 5), ERR_OK);
    cr_assert_eq(acked_of("anna"), 2);
    expect_inbox(store, "anna", "aa....");
    cr_assert_eq(ack_device("anna", "", true, 4), ERR_OK);
    cr_assert_eq(acked_of("anna"), 4);
    cr_assert_eq(position_of("anna", ""), 4);
    cr_assert_eq(ack_device("anna", "", false, 4), ERR_OK);
    cr_assert_eq(acked_of("anna"), 5, "it is held no longer");
    cr_assert_eq(position_of("anna", ""), 5);
    cr_assert_eq(ack_device("anna", "phone", true, 5), ERR_OK);
    cr_assert_eq(acked_of("anna"), 5, "it never falls");
}

Test(store_contract, without_a_device_the_shared_position_is_the_acknowledged_one)
{
    append_numbers("anna", 4);
    cr_assert_eq(ack_device("anna", "", false, 2), ERR_OK);
    cr_assert_eq(acked_of("anna"), 2);
    cr_assert_eq(ack_device("anna", "", true, 3), ERR_OK);
    cr_assert_eq(acked_of("anna"), 3);
    cr_assert_eq(position_of("anna", ""), 3);
}

Test(store_contract, a_device_that_a_full_inbox_overtook_misses_what_was_pushed_out)
{
    contract_open_with(3, 1 << 20);
    append_numbers("anna", 3);
    device_arrives("anna", "phone");
    append_numbers("anna", 2);
    struct store_page asked = page_asked("anna");
    asked.device = SPAN_LITERAL("phone");
    asked.from_acked = true;
    asked.wants_gaps = true;
    struct store_page page = page_run(store, asked);
    cr_assert_eq(page.position, 0);
    expect_numbers(&page, "oo...");
    page_free(&page);
}

static const char *const eight[] = {"d1", "d2", "d3", "d4", "d5", "d6", "d7", "d8"};

static void pause_briefly(void)
{
    sleep_until_wall_ms(clock_wall_ms() + 3); /* so that no two are seen at one moment */
}

static void eight_arrive(const char *user)
{
    for (int i = 0; i < STORE_MAX_DEVICES; i++) {
        device_arrives(user, eight[i]);
        pause_briefly();
    }
}

Test(store_contract, eight_devices_are_waited_for)
{
    append_numbers("anna", 3);
    eight_arrive("anna");
    for (int i = 0; i < STORE_MAX_DEVICES; i++) {
        cr_assert_eq(acked_of("anna"), 0, "%s was not waited for", eight[i]);
        cr_assert_eq(ack_device("anna", eight[i], false, 3), ERR_OK);
    }
    cr_assert_eq(acked_of("anna"), 3);
}

Test(store_contract, a_ninth_device_forgets_the_longest_unseen)
{
    append_numbers("anna", 3);
    eight_arrive("anna");
    device_arrives("anna", "d1"); /* seen again by an HTTP connection... */
    pause_briefly();
    cr_assert_eq(ack_device("anna", "d2", false, 1), ERR_OK); /* ...and by an acknowledgement */
    pause_briefly();
    device_arrives("anna", "d9"); /* in the place of d3 */
    static const char *const others[] = {"d9", "d8", "d7", "d6", "d5", "d4", "d2"};
    for (int i = 0; i < 7; i++)
        cr_assert_eq(ack_device("anna", others[i], false, 3), ERR_OK);
    cr_assert_eq(acked_of("anna"), 0, "d1 is still waited for");
    cr_assert_eq(ack_device("anna", "d1", false, 2), ERR_OK);
    cr_assert_eq(acked_of("anna"), 2, "d3 is not");
    pause_briefly();
    struct store_page page = page_of_device(store, "anna", "d3", true);
    cr_assert_eq(page.position, 2, "who was forgotten begins anew");
    page_free(&page);
}

Test(store_contract, forgetting_a_device_frees_what_waited_for_it_alone)
{
    append_numbers("anna", 3);
    eight_arrive("anna");
    for (int i = 1; i < STORE_MAX_DEVICES; i++)
        cr_assert_eq(ack_device("anna", eight[i], false, 3), ERR_OK);
    cr_assert_eq(acked_of("anna"), 0);
    pause_briefly();
    device_arrives("anna", "d9");
    cr_assert_eq(ack_device("anna", "d9", false, 3), ERR_OK);
    cr_assert_eq(acked_of("anna"), 3);
    cr_assert_eq(peek_one(store, "anna").pending, 0);
}

Test(store_contract, each_user_has_devices_of_their_own)
{
    append_numbers("anna", 2);
    append_numbers("bert", 2);
    device_arrives("anna", "phone");
    device_arrives("bert", "phone");
    cr_assert_eq(ack_device("anna", "phone", false, 2), ERR_OK);
    cr_assert_eq(acked_of("anna"), 2);
    cr_assert_eq(acked_of("bert"), 0);
}

Test(store_contract, takes_devices_of_every_form)
{
    char longest[DEVICE_MAX_BYTES + 1];
    memset(longest, 'd', DEVICE_MAX_BYTES);
    longest[DEVICE_MAX_BYTES] = '\0';
    const char *const devices[] = {longest, "a", "A", "0.9_-", "epoch", "head", "acked", "v"};
    append_numbers("anna", 8);
    for (int i = 0; i < 8; i++)
        device_arrives("anna", devices[i]);
    for (int i = 0; i < 8; i++)
        cr_assert_eq(ack_device("anna", devices[i], false, (uint64_t)i + 1), ERR_OK);
    cr_assert_eq(acked_of("anna"), 1);
    for (int i = 0; i < 8; i++)
        cr_assert_eq(position_of("anna", devices[i]), (uint64_t)i + 1);
}

Test(store_contract, a_device_may_arrive_before_the_first_push)
{
    struct store_page asked = page_asked("anna");
    asked.device = SPAN_LITERAL("phone");
    asked.is_arrival = true;
    asked.must_begin = true;
    asked.from_acked = true;
    struct store_page page = page_run(store, asked);
    cr_assert_eq(page.error, ERR_OK);
    cr_assert_not(epoch_is_none(page.epoch));
    cr_assert(page.has_devices);
    cr_assert_eq(page.position, 0);
    page_free(&page);
    append_numbers("anna", 2);
    cr_assert_eq(ack_device("anna", "", false, 2), ERR_OK);
    cr_assert_eq(acked_of("anna"), 0, "the phone is waited for");
    cr_assert_eq(ack_device("anna", "phone", false, 2), ERR_OK);
    cr_assert_eq(acked_of("anna"), 2);
}

Test(store_contract, what_is_known_to_be_acknowledged_does_not_pass_a_device)
{
    append_numbers("anna", 3);
    device_arrives("anna", "phone");
    struct store_target target = {.user_id = SPAN_LITERAL("anna"),
                                  .known_epoch = peek_one(store, "anna").epoch,
                                  .known_head = 3,
                                  .known_acked = 2};
    append_to(store, &target, 1, SPAN_LITERAL("{}"), 60);
    cr_assert_eq(target.seq, 4);
    cr_assert_eq(acked_of("anna"), 0, "the phone has not had them");
    cr_assert_eq(position_of("anna", "phone"), 0);
    expect_inbox(store, "anna", "....");
}
