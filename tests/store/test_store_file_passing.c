/* What passes with a file store from one process to the next: tickets; and how the next process
 * knows that it is the same store. */
#include "tests/store/block_calls.h"
#include "tests/store/file_twin.h"
#include "tests/store/upgrade_fixture.h"

#include <sys/stat.h>

TestSuite(store_file_passing, .init = upgrade_setup, .fini = upgrade_teardown,
          .timeout = STORE_TEST_TIMEOUT_S);

/* ---- tickets ---- */

enum { TICKETS_MAX = 10 };

struct taken_tickets {
    size_t n;
    struct store_ticket list[TICKETS_MAX];
    char texts[TICKETS_MAX][2][80];
};

static void keep_ticket(void *owner, const struct store_ticket *ticket)
{
    struct taken_tickets *tickets = owner;
    cr_assert_lt(tickets->n, TICKETS_MAX);
    struct store_ticket *kept = &tickets->list[tickets->n];
    char(*texts)[80] = tickets->texts[tickets->n++];
    memcpy(texts[0], ticket->ticket.bytes, ticket->ticket.len);
    memcpy(texts[1], ticket->user_id.bytes, ticket->user_id.len);
    *kept = (struct store_ticket){
        {texts[0], ticket->ticket.len}, {texts[1], ticket->user_id.len}, ticket->left_ms};
}

static void pass_tickets(struct store *from, struct store *to, enum err expected)
{
    static struct taken_tickets tickets;
    tickets.n = 0;
    store_each_ticket(from, keep_ticket, &tickets);
    cr_assert_eq(store_adopt_tickets(to, tickets.list, tickets.n), expected);
}

static void expect_ticket(struct store *of, const char *ticket, const char *user)
{
    struct store_ticket_take taken = ticket_take(of, ticket);
    cr_assert_eq(taken.error, ERR_OK);
    cr_assert(span_equal((struct span){taken.user_id, taken.user_id_len}, span_of(user)));
}

Test(store_file_passing, tickets_pass_and_can_be_taken_before_the_store_is_there)
{
    cr_assert_eq(ticket_give(store, "t-1", "anna", 60), ERR_OK);
    cr_assert_eq(ticket_give(store, "t-2", "bert", 60), ERR_OK);
    cr_assert_eq(ticket_give(store, "t-3", "carl", 60), ERR_OK);
    expect_ticket(store, "t-2", "bert");
    pass_tickets(store, next, ERR_OK);
    pass_tickets(store, next, ERR_OK);
    expect_ticket(next, "t-1", "anna");
    cr_assert_eq(ticket_take(next, "t-1").error, ERR_NOT_FOUND);
    cr_assert_eq(ticket_take(next, "t-2").error, ERR_NOT_FOUND);
    cr_assert_eq(ticket_give(next, "t-3", "dora", 60), ERR_CONFLICT);
    cr_assert_eq(ticket_give(next, "t-4", "dora", 60), ERR_OK);
    expect_ticket(store, "t-1", "anna"); /* the next process gives up: nothing has changed here */
    hand_over();
    expect_ticket(next, "t-3", "carl");
    expect_ticket(next, "t-4", "dora");
}

Test(store_file_passing, tickets_that_are_none_are_left_out)
{
    static const char long_text[USER_ID_MAX_BYTES + 1];
    const struct span anna = SPAN_LITERAL("anna");
    const struct store_ticket tickets[] = {
        {SPAN_LITERAL("over"), anna, 0},
        {SPAN_LITERAL(""), anna, 1000},
        {{long_text, STORE_TICKET_MAX_BYTES + 1}, anna, 1000},
        {SPAN_LITERAL("nobody's"), SPAN_LITERAL(""), 1000},
        {SPAN_LITERAL("too-long"), {long_text, USER_ID_MAX_BYTES + 1}, 1000},
        {SPAN_LITERAL("good"), anna, INT64_MAX},
    };
    static struct taken_tickets kept;
    cr_assert_eq(store_adopt_tickets(next, tickets, sizeof tickets / sizeof *tickets), ERR_OK);
    store_each_ticket(next, keep_ticket, &kept);
    cr_assert_eq(kept.n, 1);
    cr_assert(span_equal(kept.list[0].ticket, span_of("good")));
    cr_assert_leq(kept.list[0].left_ms, (int64_t)STORE_TICKET_MAX_TTL_S * 1000);
}

Test(store_file_passing, so_many_tickets_pass_and_no_more)
{
    static char texts[STORE_MAX_TICKETS + 1][8];
    static struct store_ticket tickets[STORE_MAX_TICKETS + 1];
    for (size_t i = 0; i <= STORE_MAX_TICKETS; i++) {
        snprintf(texts[i], sizeof texts[i], "%zu", i);
        tickets[i] = (struct store_ticket){span_of(texts[i]), SPAN_LITERAL("anna"), 60000};
    }
    cr_assert_eq(store_adopt_tickets(next, tickets, STORE_MAX_TICKETS + 1), ERR_FULL);
    expect_ticket(next, texts[STORE_MAX_TICKETS - 1], "anna");
    cr_assert_eq(ticket_take(next, texts[STORE_MAX_TICKETS]).error, ERR_NOT_FOUND);
}

/* ---- what is the same place ---- */

static struct buf place_of(const char *url, const char *prefix)
{
    struct buf place;
    struct store_config config = {.url = url, .redis_prefix = prefix};
    buf_init(&place, STORE_PLACE_MAX_BYTES);
    cr_assert_eq(store_name_place(&config, &place), ERR_OK, "%s", url);
    return place;
}

static void expect_place(const char *url, const char *prefix, const char *other,
                         const char *other_prefix, bool is_same)
{
    struct buf place = place_of(url, prefix);
    struct store_config config = {.url = other, .redis_prefix = other_prefix};
    cr_assert_eq(store_is_at(&config, buf_span(&place)), is_same, "%s and %s", url, other);
    buf_fini(&place);
}

Test(store_file_passing, a_directory_is_the_same_by_whatever_path)
{
    char url[100];
    char roundabout[120];
    char relative[100];
    char linked[100];
    char link_url[120];
    snprintf(url, sizeof url, "file:%s", directory);
    snprintf(roundabout, sizeof roundabout, "file:/tmp/./../%s/", directory);
    snprintf(relative, sizeof relative, "file:%s", directory + strlen("/tmp/"));
    snprintf(linked, sizeof linked, "%s.link", directory);
    snprintf(link_url, sizeof link_url, "file:%s", linked);
    cr_assert_eq(symlink(directory, linked), 0);
    cr_assert_eq(chdir("/tmp"), 0);
    expect_place(url, "herald", url, "other", true);
    expect_place(url, "herald", roundabout, "herald", true);
    expect_place(url, "herald", relative, "herald", true);
    expect_place(url, "herald", link_url, "herald", true);
    expect_place(url, "herald", "memory:", "herald", false);
    expect_place(url, "herald", "redis://127.0.0.1", "herald", false);
    expect_place(url, "herald", "file:/tmp/there-is-no-such-directory", "herald", false);
    char other[64];
    file_twin_copy(directory, other);
    file_twin_ms = clock_wall_ms();
    struct store *copy = file_twin_open(other, (struct store_config){.inbox_max = 10});
    snprintf(link_url, sizeof link_url, "file:%s", other);
    expect_place(url, "herald", link_url, "herald", false);
    store_close(copy);
    file_twin_remove(other);
    unlink(linked);
}

/* The directory was moved, or the link that led there: the store goes on where it is, and whoever
 * follows the path gets elsewhere. */
Test(store_file_passing, a_store_is_where_its_lock_is_whatever_its_path_leads_to)
{
    char url[100];
    char moved[100];
    struct buf place;
    struct buf own;
    snprintf(url, sizeof url, "file:%s", directory);
    snprintf(moved, sizeof moved, "%s.moved", directory);
    struct store_config config = {.url = url, .redis_prefix = "herald"};
    place = place_of(url, "herald");
    cr_assert_eq(rename(directory, moved), 0);
    buf_init(&own, STORE_PLACE_MAX_BYTES);
    cr_assert_eq(store_name_own_place(store, &config, &own), ERR_OK);
    cr_assert(span_equal(buf_span(&own), buf_span(&place)));
    cr_assert_not(store_is_at(&config, buf_span(&own)), "nothing is there");
    cr_assert_eq(mkdir(directory, 0700), 0);
    cr_assert_not(store_is_at(&config, buf_span(&own)), "nor is it this one");
    cr_assert_eq(rmdir(directory), 0);
    cr_assert_eq(rename(moved, directory), 0);
    cr_assert(store_is_at(&config, buf_span(&own)));
    buf_fini(&own);
    buf_fini(&place);
}

Test(store_file_passing, a_redis_is_the_same_whoever_logs_in)
{
    static const char one[] = "redis://anna:secret@127.0.0.1/2";
    struct buf place = place_of(one, "herald");
    cr_assert_eq(buf_append(&place, "", 1), ERR_OK);
    cr_assert_null(strstr(place.bytes, "secret"));
    cr_assert_null(strstr(place.bytes, "anna"));
    buf_fini(&place);
    expect_place(one, "herald", "redis://bert:other@127.0.0.1:6379/2", "herald", true);
    expect_place(one, "herald", "rediss://127.0.0.1/2", "herald", true);
    expect_place(one, "herald", one, "other", false);
    expect_place(one, "herald", "redis://127.0.0.1/3", "herald", false);
    expect_place(one, "herald", "redis://127.0.0.1:6380/2", "herald", false);
    expect_place(one, "herald", "redis+cluster://127.0.0.1", "herald", false);
    expect_place("redis+unix:///tmp/a", "herald", "redis+unix:///tmp/a", "herald", true);
    expect_place("redis+unix:///tmp/a", "herald", "redis+unix:///tmp/b", "herald", false);
    expect_place("redis+sentinel://a,b:5/one", "herald", "redis+sentinel://b:5,a/one", "herald",
                 true);
    expect_place("redis+sentinel://a/one", "herald", "redis+sentinel://a/two", "herald", false);
    expect_place("redis+cluster://a,b", "herald", "redis+cluster://a", "herald", false);
}

/* Else the one that has it and the one after the next would both have it. */
Test(store_file_passing, a_store_that_is_awaited_cannot_be_handed_over_yet)
{
    char why[400] = "";
    cr_assert_not(store_can_be_handed_over(next, why, sizeof why));
    cr_assert_str_eq(why, "the process before this one has not let the store go yet");
    hand_over();
    cr_assert(store_can_be_handed_over(next, why, sizeof why));
}

Test(store_file_passing, only_the_memory_store_cannot_be_handed_over)
{
    char why[400] = "";
    struct store *memory;
    struct store_config config = contract_config(1000, 1 << 20);
    config.url = "memory:";
    cr_assert_eq(store_open(&config, &memory, why, sizeof why), ERR_OK);
    cr_assert(store_can_be_handed_over(store, why, sizeof why));
    cr_assert_not(store_can_be_handed_over(memory, why, sizeof why));
    cr_assert_str_eq(why, "the memory store cannot be handed over");
    cr_assert_eq(store_lock_fd(memory), -1);
    store_let_go(memory);
    store_take_over(memory);
    cr_assert_eq(append_one(memory, "anna", "\"first\"", 60).error, ERR_OK, "no step is for it");
    store_close(memory);
    config.is_awaited = true;
    cr_assert_eq(store_open(&config, &memory, why, sizeof why), ERR_STORE_UNAVAILABLE);
    cr_assert_str_eq(why, "the memory store cannot be handed over");
}
