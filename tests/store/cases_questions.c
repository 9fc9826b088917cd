/* Questions about a user, and about the users of a node (store_ask.h), on one node: it is asked,
 * and answers. */
#include "tests/store/ask_calls.h"
#include "tests/store/contract_fixture.h"

static const struct store_asked describe = {.kind = STORE_ASK_DESCRIBE};

Test(store_contract, a_question_is_answered_with_what_the_node_says)
{
    arrive(store, "anna");
    questions.count = 3;
    questions.text = "[{}]";
    struct ask_call call;
    ask_begin(store, &call, "anna", describe);
    ask_end(&call);
    cr_assert_eq(call.ask.error, ERR_OK);
    cr_assert_eq(call.ask.count, 3);
    cr_assert_eq(call.ask.n_asked, 1);
    cr_assert_eq(call.ask.n_answered, 1);
    cr_assert_not(call.ask.is_alone);
    cr_assert_not_null(call.ask.texts);
    cr_assert(span_equal((struct span){call.ask.texts->bytes, call.ask.texts->len},
                         SPAN_LITERAL("[{}]")));
    cr_assert_null(call.ask.texts->next);
    store_ask_clear(&call.ask);
    cr_assert_null(call.ask.texts);
    cr_assert_eq(count_questions(NULL), 1);
    cr_assert_eq(recorded_question(0).asked.kind, STORE_ASK_DESCRIBE);
    cr_assert_str_eq(recorded_question(0).user, "anna");
}

Test(store_contract, a_question_says_all_that_it_is_about)
{
    struct epoch epoch = {"abcdefgh"};
    arrive(store, "{an%na}");
    ask_one(store, "{an%na}",
            (struct store_asked){.kind = STORE_ASK_KICK,
                                 .until_ms = 1700000000123,
                                 .reason = SPAN_LITERAL("moved: \xc3\xa4")});
    ask_one(store, "{an%na}", (struct store_asked){.kind = STORE_ASK_KICK});
    ask_one(store, "{an%na}",
            (struct store_asked){.kind = STORE_ASK_WRITTEN, .seq = 1234567, .epoch = epoch});
    cr_assert_eq(count_questions(NULL), 3);
    struct recorded_question heard = recorded_question(0);
    cr_assert_eq(heard.asked.kind, STORE_ASK_KICK);
    cr_assert_str_eq(heard.user, "{an%na}");
    cr_assert_str_eq(heard.reason, "moved: \xc3\xa4");
    cr_assert_eq(heard.asked.until_ms, 1700000000123);
    heard = recorded_question(1);
    cr_assert_str_eq(heard.reason, "");
    cr_assert_eq(heard.asked.until_ms, 0);
    heard = recorded_question(2);
    cr_assert_eq(heard.asked.kind, STORE_ASK_WRITTEN);
    cr_assert_eq(heard.asked.seq, 1234567);
    cr_assert(epoch_equal(heard.asked.epoch, epoch));
}

Test(store_contract, a_question_comes_behind_what_was_committed_before_it)
{
    enum { ROUNDS = 50 };
    arrive(store, "anna");
    for (size_t i = 0; i < ROUNDS; i++) {
        append_number(store, "anna", (int)i, 60);
        ask_one(store, "anna", describe);
        cr_assert_eq(recorded_question(i).n_events, i + 1);
    }
}

Test(store_contract, questions_under_way_at_the_same_time_have_an_answer_each)
{
    struct ask_call first;
    struct ask_call second;
    arrive(store, "anna");
    arrive(store, "bert");
    questions.must_hold = true;
    ask_begin(store, &first, "anna", describe);
    struct store_user_question *held = wait_for_held_user_question();
    questions.count = 2;
    ask_begin(store, &second, "bert", describe);
    ask_end(&second);
    cr_assert_eq(second.ask.count, 2);
    cr_assert_eq(atomic_load(&first.call.n_answers), 0);
    store_answer(&held->question, 5);
    ask_end(&first);
    cr_assert_eq(first.ask.count, 5);
}

Test(store_contract, a_question_about_all_users_is_answered_by_the_node_that_has_the_name)
{
    struct store_config config = contract_config(1000, 1 << 20);
    struct ask_call call;
    backend_close(store);
    config.name = (struct epoch){"abcdefgh"};
    store = backend_open(&config);
    questions.count = 2;
    questions.text = "{}";
    ask_begin(store, &call, "",
              (struct store_asked){.kind = STORE_ASK_CLIENTS,
                                   .node = config.name,
                                   .after = 0x0123456789abcdef,
                                   .limit = STORE_CLIENTS_MAX});
    ask_end(&call);
    cr_assert_eq(call.ask.error, ERR_OK);
    cr_assert_eq(call.ask.count, 2);
    cr_assert_eq(call.ask.n_asked, 1);
    cr_assert_eq(call.ask.n_answered, 1);
    cr_assert_not_null(call.ask.texts);
    store_ask_clear(&call.ask);
    cr_assert_eq(count_questions(NULL), 1);
    struct recorded_question heard = recorded_question(0);
    cr_assert_eq(heard.asked.kind, STORE_ASK_CLIENTS);
    cr_assert_str_eq(heard.user, "");
    cr_assert_eq(heard.asked.after, 0x0123456789abcdef);
    cr_assert_eq(heard.asked.limit, STORE_CLIENTS_MAX);
}
