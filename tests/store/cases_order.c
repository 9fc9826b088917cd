/* Order and answers: requests of one thread, requests of several, and a store that is closed. */
#include "tests/store/contract_fixture.h"

Test(store_contract, looks_and_peeks_keep_the_order_of_the_requests_of_one_thread)
{
    struct append_call append;
    struct look_call look;
    struct withdraw_call cancel;
    struct peek_call before;
    struct peek_call after;
    struct epoch epoch = append_one(store, "anna", "{}", 60).epoch;
    struct store_look asked = {.user_id = SPAN_LITERAL("anna"), .epoch = epoch};
    struct store_withdraw cancelled = {.user_id = SPAN_LITERAL("anna"), .epoch = epoch};
    for (uint64_t seq = 2; seq <= 60; seq++) {
        asked.seq = seq;
        cancelled.seq = seq;
        append_begin(store, &append, "anna", SPAN_LITERAL("{}"), 60);
        look_begin(store, &look, asked);
        peek_begin(store, &before, "anna");
        withdraw_begin(store, &cancel, cancelled);
        peek_begin(store, &after, "anna");
        append_end(&append);
        call_wait(&look.call);
        call_wait(&before.call);
        call_wait(&cancel.call);
        call_wait(&after.call);
        cr_assert_eq(append.target.seq, seq);
        expect_fate(look.look, FATE_PENDING, GAP_NONE);
        cr_assert_eq(before.peek.pending, 2);
        cr_assert_eq(cancel.withdraw.n_removed, 1);
        cr_assert_eq(after.peek.pending, 1);
        cr_assert_eq(after.peek.head, seq);
    }
}

/* ---- appends that are asked for together ---- */

enum { MANY = 60, MANY_USERS = 3 };

/* As the last of a call that came before, and before what comes after: in the order of the chain.
 */
Test(store_contract, many_appends_of_one_call_are_carried_out_in_their_order)
{
    static const char *const users[MANY_USERS] = {"anna", "bert", "cleo"};
    static struct append_call calls[MANY];
    struct append_call after;
    append_one(store, "anna", "{}", 60);
    for (unsigned i = 0; i < MANY; i++) {
        char text[32];
        snprintf(text, sizeof text, "{\"n\":%u}", i);
        append_prepare(&calls[i], users[i % MANY_USERS], span_of(text), 60);
        calls[i].append.request.next = i + 1 < MANY ? &calls[i + 1].append.request : NULL;
    }
    is_inside_a_call = true;
    store_append_many(store, &calls[0].append);
    is_inside_a_call = false;
    append_begin(store, &after, "anna", SPAN_LITERAL("{}"), 60);
    for (unsigned i = 0; i < MANY; i++) {
        append_end(&calls[i]);
        cr_assert_eq(calls[i].target.error, ERR_OK);
        cr_assert_eq(calls[i].target.seq, i / MANY_USERS + 1 + (i % MANY_USERS == 0));
    }
    append_end(&after);
    cr_assert_eq(after.target.seq, MANY / MANY_USERS + 2);
    struct store_page page = page_all(store, "bert");
    cr_assert_eq(page.n_notes, MANY / MANY_USERS);
    for (unsigned i = 0; i < page.n_notes; i++)
        expect_number(page.notes[i], (int)(i * MANY_USERS + 1));
    page_free(&page);
}

/* ---- withdrawals while others append ---- */

enum { RACED = 200 };

static void *append_raced(void *unused)
{
    for (int i = 0; i < RACED; i++)
        append_number(store, "anna", i, 60);
    return unused;
}

static void *cancel_raced(void *epoch)
{
    uint64_t seq = 1;
    while (seq <= RACED) {
        struct store_withdraw cancel = cancel_one(store, "anna", *(struct epoch *)epoch, seq);
        if (cancel.error == ERR_NOT_FOUND)
            continue; /* not given yet */
        expect_former_fate(cancel, FATE_PENDING, GAP_NONE);
        seq += 1;
    }
    return NULL;
}

Test(store_contract, each_withdrawal_follows_its_notification_while_others_append)
{
    arrive(store, "anna");
    struct store_page asked = page_asked("anna");
    asked.must_begin = true;
    struct store_page page = page_run(store, asked);
    struct epoch epoch = page.epoch;
    page_free(&page);
    pthread_t threads[2];
    cr_assert_eq(pthread_create(&threads[0], NULL, append_raced, NULL), 0);
    cr_assert_eq(pthread_create(&threads[1], NULL, cancel_raced, &epoch), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    uint64_t noted = 0;
    uint64_t withdrawn = 0;
    for (size_t i = 0; i < 2 * (size_t)RACED; i++) {
        struct recorded event = recorded_at("anna", i);
        if (event.is_withdrawal) {
            cr_assert_eq(event.replaces, withdrawn + 1);
            cr_assert_eq(event.seq, ++withdrawn);
            cr_assert(withdrawn <= noted, "withdrawn before it was told of");
        } else {
            cr_assert_eq(event.seq, ++noted);
        }
    }
    cr_assert_eq(peek_one(store, "anna").pending, 0);
}

/* ---- a store that is closed ---- */

struct every_call {
    struct append_call append;
    struct page_call page;
    struct ack_call ack;
    struct peek_call peek;
    struct look_call look;
    struct withdraw_call cancel;
    struct withdraw_call purge;
};

static void expect_one_answer(struct call *call)
{
    cr_assert_eq(atomic_load(&call->n_answers), 1);
}

Test(store_contract, answers_every_kind_of_request_once_when_it_is_closed)
{
    enum { COUNT = 100 };
    static struct every_call calls[COUNT];
    struct epoch epoch = append_one(store, "anna", "{}", 60).epoch;
    for (int i = 0; i < COUNT; i++) {
        struct store_look asked = {
            .user_id = SPAN_LITERAL("anna"), .epoch = epoch, .seq = (uint64_t)i + 1};
        struct store_withdraw cancelled = {
            .user_id = SPAN_LITERAL("anna"), .epoch = epoch, .seq = (uint64_t)i + 1};
        append_begin(store, &calls[i].append, "anna", SPAN_LITERAL("{}"), 60);
        page_begin(store, &calls[i].page, "anna");
        ack_begin(store, &calls[i].ack, "anna", epoch, 1);
        peek_begin(store, &calls[i].peek, "anna");
        look_begin(store, &calls[i].look, asked);
        withdraw_begin(store, &calls[i].cancel, cancelled);
        cancelled.is_all = true;
        withdraw_begin(store, &calls[i].purge, cancelled);
    }
    backend_close(store);
    for (int i = 0; i < COUNT; i++) {
        expect_one_answer(&calls[i].append.call);
        expect_one_answer(&calls[i].page.call);
        expect_one_answer(&calls[i].ack.call);
        expect_one_answer(&calls[i].peek.call);
        expect_one_answer(&calls[i].look.call);
        expect_one_answer(&calls[i].cancel.call);
        expect_one_answer(&calls[i].purge.call);
        append_end(&calls[i].append);
        page_free(&calls[i].page.page);
    }
    struct store_config config = contract_config(1000, 1 << 20);
    store = backend_open(&config);
}
