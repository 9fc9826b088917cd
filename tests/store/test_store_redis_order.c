/* What a thread asks of a lane and then answers leaves in that order, wherever other threads are
 * that ask the same lane. */
#include "tests/store/redis_backend.h"

#include "gateway/stores/redis/redis_link.h"
#include "tests/store/ask_calls.h"

/* ---- a thread that stands still before it posts a letter ---- */

static _Thread_local bool must_stand_still;
static sem_t has_come; /* so far, or to its answer */
static sem_t may_go_on;

void __real_mailbox_post(struct mailbox *mailbox, struct letter *letter);
void __wrap_mailbox_post(struct mailbox *mailbox, struct letter *letter);

void __wrap_mailbox_post(struct mailbox *mailbox, struct letter *letter)
{
    if (must_stand_still) {
        sem_post(&has_come);
        sem_wait(&may_go_on);
    }
    __real_mailbox_post(mailbox, letter);
}

static void *ask_and_stand_still(void *unused)
{
    (void)unused;
    must_stand_still = true;
    peek_one(store, "bert");
    sem_post(&has_come);
    return NULL;
}

/* ---- what leaves ---- */

static atomic_bool is_watched;
static atomic_int n_left;
static atomic_int ack_at, answer_at; /* 0: has not left */

enum err __real_redis_link_command(struct redis_link *link, const struct span *args, size_t n_args,
                                   redis_reply_fn on_reply, void *arg, size_t index);
enum err __wrap_redis_link_command(struct redis_link *link, const struct span *args, size_t n_args,
                                   redis_reply_fn on_reply, void *arg, size_t index);

static bool names(struct span arg, const char *what)
{
    return memmem(arg.bytes, arg.len, what, strlen(what)) != NULL;
}

enum err __wrap_redis_link_command(struct redis_link *link, const struct span *args, size_t n_args,
                                   redis_reply_fn on_reply, void *arg, size_t index)
{
    if (atomic_load(&is_watched) && span_equal(args[0], SPAN_LITERAL("SPUBLISH")) &&
        names(args[1], ":reply:"))
        atomic_store(&answer_at, atomic_fetch_add(&n_left, 1) + 1);
    if (atomic_load(&is_watched) && n_args > 4 && names(args[4], "{anna}:meta"))
        atomic_store(&ack_at, atomic_fetch_add(&n_left, 1) + 1);
    return __real_redis_link_command(link, args, n_args, on_reply, arg, index);
}

/* ---- on the lane's thread ---- */

struct answer_letter {
    struct letter letter;
    struct store_user_question *question;
    struct ack_call ack;
    struct epoch epoch;
    sem_t done;
};

static void write_and_answer(struct letter *letter)
{
    struct answer_letter *answer = CONTAINER_OF(letter, struct answer_letter, letter);
    ack_begin(store, &answer->ack, "anna", answer->epoch, 1);
    store_answer(&answer->question->question, 1);
    sem_post(&answer->done);
}

struct passing_letter {
    struct letter letter;
    sem_t done;
};

static void tell_passed(struct letter *letter)
{
    sem_post(&CONTAINER_OF(letter, struct passing_letter, letter)->done);
}

static void pass_lane(void)
{
    struct passing_letter passing = {.letter = {.deliver = tell_passed}};
    sem_init(&passing.done, 0, 0);
    mailbox_post(reactor_mailbox(lane), &passing.letter);
    sem_wait(&passing.done);
}

static void wait_until_both_have_left(void)
{
    for (int i = 0; i < SOON_MS && (atomic_load(&ack_at) == 0 || atomic_load(&answer_at) == 0); i++)
        pause_ms(1);
    cr_assert_gt(atomic_load(&ack_at), 0);
    cr_assert_gt(atomic_load(&answer_at), 0);
}

/* So who asked about a user finds there what was acknowledged, and not written before. */
Test(store_redis, an_answer_goes_out_behind_the_positions_that_were_written_for_it)
{
    struct other_node asker;
    struct ask_call asked;
    pthread_t thread;
    sem_init(&has_come, 0, 0);
    sem_init(&may_go_on, 0, 0);
    other_open(&asker);
    arrive(store, "anna");
    struct answer_letter answer = {.letter = {.deliver = write_and_answer},
                                   .epoch = append_one(store, "anna", "{}", 60).epoch};
    sem_init(&answer.done, 0, 0);
    questions.must_hold = true;
    ask_begin(asker.store, &asked, "anna", (struct store_asked){.kind = STORE_ASK_DESCRIBE});
    answer.question = wait_for_held_user_question();

    cr_assert_eq(pthread_create(&thread, NULL, ask_and_stand_still, NULL), 0);
    sem_wait(&has_come);
    atomic_store(&is_watched, true);
    mailbox_post(reactor_mailbox(lane), &answer.letter);
    sem_wait(&answer.done);
    pass_lane(); /* an answer that did not wait has left */
    sem_post(&may_go_on);
    pthread_join(thread, NULL);
    wait_until_both_have_left();
    cr_expect_lt(atomic_load(&ack_at), atomic_load(&answer_at));
    call_wait(&answer.ack.call);
    cr_expect_eq(answer.ack.ack.error, ERR_OK);
    ask_end(&asked);
    store_ask_clear(&asked.ask);
    other_close(&asker);
}
