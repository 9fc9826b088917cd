/* Answers of Redis that say that nothing was done: the request is sent again. In front of the
 * link's commands stands a function that has Redis answer such an error in place of what was asked;
 * everything else is a real Redis. */
#include "tests/store/block_calls.h"
#include "tests/store/redis_backend.h"
#include "tests/support/skipped_clock.h"

#include "gateway/stores/redis/redis_link.h"
#include "gateway/stores/redis/redis_repeats.h"

/* What is refused: commands in which this text stands. Changed while nothing is asked. */
static struct {
    const char *word; /* the error; NULL: nothing is refused */
    const char *once; /* another error in its place, when so many are left */
    int once_at;
    const char *of;
    atomic_int n_left; /* so many times */
    atomic_int n_refused;
} plan;

static bool is_planned(const struct span *args, size_t n_args)
{
    bool is_one = false;
    for (size_t i = 0; i < n_args; i++) {
        if (args[i].len == 0)
            continue;
        is_one = is_one || memmem(args[i].bytes, args[i].len, plan.of, strlen(plan.of)) != NULL;
        if (memmem(args[i].bytes, args[i].len, "{%}", 3) != NULL)
            return false; /* a trial */
    }
    return is_one && atomic_load(&plan.n_left) > 0;
}

enum err __real_redis_link_command(struct redis_link *link, const struct span *args, size_t n_args,
                                   redis_reply_fn on_reply, void *arg, size_t index);
enum err __wrap_redis_link_command(struct redis_link *link, const struct span *args, size_t n_args,
                                   redis_reply_fn on_reply, void *arg, size_t index);

enum err __wrap_redis_link_command(struct redis_link *link, const struct span *args, size_t n_args,
                                   redis_reply_fn on_reply, void *arg, size_t index)
{
    if (!redis_link_is_up(link) || plan.word == NULL ||
        span_equal(args[0], SPAN_LITERAL("SCRIPT")) ||
        span_equal(args[0], SPAN_LITERAL("SSUBSCRIBE")) || !is_planned(args, n_args))
        return __real_redis_link_command(link, args, n_args, on_reply, arg, index);
    int n_left = atomic_fetch_sub(&plan.n_left, 1);
    atomic_fetch_add(&plan.n_refused, 1);
    const char *word = plan.once != NULL && n_left == plan.once_at ? plan.once : plan.word;
    struct span refusal[] = {SPAN_LITERAL("EVAL"), SPAN_LITERAL("return {err = ARGV[1]}"),
                             SPAN_LITERAL("0"), span_of(word)};
    return __real_redis_link_command(link, refusal, 4, on_reply, arg, index);
}

enum { ALWAYS = 1 << 30 };

static void refuse(const char *word, const char *of, int n)
{
    plan.word = word;
    plan.once = NULL;
    plan.of = of;
    atomic_store(&plan.n_refused, 0);
    atomic_store(&plan.n_left, n);
}

static void wait_for_refusals(int wanted)
{
    for (int i = 0; i < SOON_MS && atomic_load(&plan.n_refused) < wanted; i++)
        pause_ms(1);
    cr_assert_geq(atomic_load(&plan.n_refused), wanted);
}

static void begin_push(struct append_call *call, const char *user)
{
    append_begin(store, call, user, SPAN_LITERAL("{}"), 60);
}

static void expect_seq(struct append_call *call, uint64_t seq)
{
    append_end(call);
    cr_assert_eq(call->target.error, ERR_OK);
    cr_assert_eq(call->target.seq, seq);
}

/* --- each answer --- */

static const struct {
    const char *error;
    enum metric metric;
    bool is_counted;
} answers[] = {
    {"MOVED 1234 127.0.0.1:7001", METRIC_REDIRECTS_MOVED, true},
    {"ASK 1234 127.0.0.1:7001", METRIC_REDIRECTS_ASK, true},
    {"TRYAGAIN Multiple keys request during rehashing of slot", METRIC_REDIRECTS_TRYAGAIN, true},
    {"CLUSTERDOWN The cluster is down", METRIC_REDIRECTS_CLUSTERDOWN, true},
    {"LOADING Redis is loading the dataset in memory", METRIC_STORE_ERRORS, false},
    {"READONLY You can't write against a read only replica.", METRIC_REDIRECTS_READONLY, true},
    {"MASTERDOWN Link with MASTER is down", METRIC_REDIRECTS_READONLY, true},
    {"NOSCRIPT No matching script. Please use EVAL.", METRIC_STORE_ERRORS, false},
};
enum { ANSWERS = sizeof answers / sizeof answers[0] };

Test(store_redis, a_push_that_redis_refused_without_doing_anything_is_sent_again)
{
    int64_t errors = metrics_read(METRIC_STORE_ERRORS);
    for (uint64_t i = 0; i < ANSWERS; i++) {
        int64_t before = metrics_read(answers[i].metric);
        refuse(answers[i].error, "{anna}", 2);
        struct store_target target = append_one(store, "anna", "{}", 60);
        cr_assert_eq(target.error, ERR_OK, "%s", answers[i].error);
        cr_assert_eq(target.seq, i + 1, "%s", answers[i].error);
        cr_assert_eq(atomic_load(&plan.n_refused), 2);
        cr_assert_eq(metrics_read(answers[i].metric), before + (answers[i].is_counted ? 2 : 0));
        wait_for_state(true);
    }
    cr_assert_eq(metrics_read(METRIC_STORE_ERRORS), errors);
}

Test(store_redis, an_error_that_only_begins_like_one_of_these_is_not_repeated)
{
    refuse("MOVEDON 1", "{anna}", 1);
    cr_assert_eq(append_one(store, "anna", "{}", 60).error, ERR_STORE_UNAVAILABLE);
    refuse("ERR MOVED", "{anna}", 1);
    cr_assert_eq(append_one(store, "anna", "{}", 60).error, ERR_STORE_UNAVAILABLE);
    cr_assert_eq(append_one(store, "anna", "{}", 60).seq, 1);
}

static void refuse_next(const char *of)
{
    cr_assert_eq(atomic_load(&plan.n_left), 0, "the one before was not sent again");
    refuse("TRYAGAIN", of, 1);
}

Test(store_redis, every_kind_of_request_is_sent_again)
{
    refuse_next("{anna}");
    arrive(store, "anna");
    struct store_target target = append_one(store, "anna", "{}", 60);
    append_number(store, "anna", 0, 60);
    refuse_next("{anna}");
    struct store_page page = page_all(store, "anna");
    cr_assert_eq(page.error, ERR_OK);
    cr_assert_eq(page.n_notes, 2);
    page_free(&page);
    refuse_next("{anna}");
    cr_assert_eq(peek_one(store, "anna").pending, 2);
    refuse_next("{anna}");
    cr_assert_eq(ack_one(store, "anna", target.epoch, 1), ERR_OK);
    refuse_next("{anna}");
    cr_assert_eq(look_at(store, "anna", target.epoch, 2).error, ERR_OK);
    refuse_next("{anna}");
    cr_assert_eq(cancel_one(store, "anna", target.epoch, 2).n_removed, 1);
    refuse_next("{anna}");
    cr_assert_gt(block_for(store, "anna", 60), 0);
    refuse_next("ticket:abc");
    cr_assert_eq(ticket_give(store, "abc", "anna", 60), ERR_OK);
    refuse_next("ticket:abc");
    struct store_ticket_take take = ticket_take(store, "abc");
    cr_assert_eq(take.error, ERR_OK);
    cr_assert_eq(atomic_load(&plan.n_left), 0);
}

/* --- limits --- */

Test(store_redis, what_is_refused_for_three_seconds_is_refused_for_good)
{
    int64_t began_ms = clock_monotonic_ms();
    refuse("TRYAGAIN", "{anna}", ALWAYS);
    cr_assert_eq(append_one(store, "anna", "{}", 60).error, ERR_STORE_UNAVAILABLE);
    cr_assert_geq(clock_monotonic_ms() - began_ms, REDIS_REPEAT_MS - 100);
    cr_assert_gt(atomic_load(&plan.n_refused), 10);
    cr_assert_lt(atomic_load(&plan.n_refused), 120, "the pauses grow");
    refuse(NULL, "", 0);
    cr_assert_eq(append_one(store, "anna", "{}", 60).seq, 1);
}

/* --- by a clock that the test moves --- */

struct posted {
    struct letter letter;
    sem_t done;
};

static void deliver_posted(struct letter *letter)
{
    sem_post(&CONTAINER_OF(letter, struct posted, letter)->done);
}

/* Of the clock that stands still; the lane has done what is due by then. */
static void skip_ms(int64_t ms)
{
    atomic_fetch_add(&stopped_us, ms * 1000);
    for (int i = 0; i < 5; i++) {
        struct posted posted = {.letter.deliver = deliver_posted};
        sem_init(&posted.done, 0, 0);
        mailbox_post(reactor_mailbox(lane), &posted.letter);
        sem_wait(&posted.done);
    }
}

/* Redis is stopped, so the answer to the first sending comes late, but in time for the link. */
Test(store_redis, the_three_seconds_begin_when_a_request_is_sent_first)
{
    struct append_call call;
    int64_t refused = metrics_read(METRIC_REDIRECTS_TRYAGAIN);
    refuse("TRYAGAIN", "{anna}", ALWAYS);
    kill(server.pid, SIGSTOP);
    stop_time();
    begin_push(&call, "anna");
    wait_for_refusals(1);
    skip_ms(1500);
    kill(server.pid, SIGCONT);
    for (int i = 0; i < SOON_MS && metrics_read(METRIC_REDIRECTS_TRYAGAIN) == refused; i++)
        pause_ms(1);
    skip_ms(REDIS_REPEAT_MS - 1500 + 100);
    cr_assert_eq(atomic_load(&call.call.n_answers), 1);
    append_end(&call);
    cr_assert_eq(call.target.error, ERR_STORE_UNAVAILABLE);
    let_time_go();
}

Test(store_redis, what_waits_behind_a_refused_request_has_three_seconds_of_its_own)
{
    struct append_call calls[2];
    refuse("TRYAGAIN", "{anna}", ALWAYS);
    begin_push(&calls[0], "anna");
    wait_for_refusals(2);
    stop_time();
    skip_ms(1500);
    begin_push(&calls[1], "anna");
    skip_ms(0); /* the lane has it */
    skip_ms(REDIS_REPEAT_MS - 1500 + 100);
    append_end(&calls[0]);
    cr_assert_eq(calls[0].target.error, ERR_STORE_UNAVAILABLE);
    cr_assert_eq(atomic_load(&calls[1].call.n_answers), 0);
    atomic_store(&plan.n_left, 0);
    let_time_go();
    expect_seq(&calls[1], 1);
}

/* While no link is up nothing of a queue is sent: its timer alone ends what waits in it. */
Test(store_redis, what_waits_for_a_link_is_answered_when_its_time_is_over)
{
    struct append_call calls[2];
    int64_t heard = metrics_read(METRIC_REDIRECTS_TRYAGAIN);
    refuse("TRYAGAIN", "{anna}", ALWAYS);
    begin_push(&calls[0], "anna");
    wait_for_refusals(2);
    stop_time(); /* and when it has heard the last refusal, it pauses for ever */
    skip_ms(0);
    while (metrics_read(METRIC_REDIRECTS_TRYAGAIN) - heard < atomic_load(&plan.n_refused))
        pause_ms(1);
    redis_server_stop(&server);
    wait_for_state(false);
    skip_ms(REDIS_REPEAT_MS / 2);
    begin_push(&calls[1], "anna");
    skip_ms(0); /* the lane has it */
    skip_ms(REDIS_REPEAT_MS / 2 + 100);
    append_end(&calls[0]);
    cr_assert_eq(calls[0].target.error, ERR_STORE_UNAVAILABLE);
    cr_assert_eq(atomic_load(&calls[1].call.n_answers), 0);
    skip_ms(REDIS_REPEAT_MS / 2);
    append_end(&calls[1]);
    cr_assert_eq(calls[1].target.error, ERR_STORE_UNAVAILABLE);
    let_time_go();
}

/* --- redirects --- */

Test(store_redis, redirects_are_counted_in_a_row)
{
    refuse("MOVED 1234 127.0.0.1:7001", "{anna}", 2 * REDIS_REDIRECTS_MAX + 1);
    plan.once = "TRYAGAIN Multiple keys request during rehashing of slot";
    plan.once_at = REDIS_REDIRECTS_MAX + 1;
    cr_assert_eq(append_one(store, "anna", "{}", 60).error, ERR_OK);
    cr_assert_eq(atomic_load(&plan.n_left), 0);
}

Test(store_redis, redirects_that_lead_nowhere_are_followed_five_times)
{
    refuse("MOVED 1234 127.0.0.1:7001", "{anna}", ALWAYS);
    cr_assert_eq(append_one(store, "anna", "{}", 60).error, ERR_STORE_UNAVAILABLE);
    cr_assert_eq(atomic_load(&plan.n_refused), REDIS_REDIRECTS_MAX + 1);
}

Test(store_redis, no_more_than_a_thousand_of_a_slot_wait_behind_one_that_was_refused)
{
    static struct append_call calls[REDIS_REPEAT_WAITING_MAX + 2];
    refuse("TRYAGAIN", "{anna}", ALWAYS);
    begin_push(&calls[0], "anna");
    wait_for_refusals(2);
    for (int i = 1; i <= REDIS_REPEAT_WAITING_MAX + 1; i++)
        begin_push(&calls[i], "anna");
    append_end(&calls[REDIS_REPEAT_WAITING_MAX + 1]);
    cr_assert_eq(calls[REDIS_REPEAT_WAITING_MAX + 1].target.error, ERR_STORE_UNAVAILABLE);
    atomic_store(&plan.n_left, 0);
    for (int i = 0; i <= REDIS_REPEAT_WAITING_MAX; i++)
        expect_seq(&calls[i], (uint64_t)i + 1);
}

/* --- order --- */

Test(store_redis, what_is_asked_after_a_refusal_waits_behind_it)
{
    struct append_call calls[4];
    struct peek_call peek;
    refuse("TRYAGAIN", "{anna}", ALWAYS);
    begin_push(&calls[0], "anna");
    wait_for_refusals(2);
    begin_push(&calls[1], "anna");
    begin_push(&calls[2], "anna");
    peek_begin(store, &peek, "anna");
    begin_push(&calls[3], "anna");
    cr_assert_eq(append_one(store, "bert", "{}", 60).seq, 1, "another slot");
    atomic_store(&plan.n_left, 0);
    for (uint64_t i = 0; i < 4; i++)
        expect_seq(&calls[i], i + 1);
    call_wait(&peek.call);
    cr_assert_eq(peek.peek.head, 3);
}

/* Sent as one call, and repeated one by one. */
Test(store_redis, the_lines_of_a_body_keep_their_order)
{
    enum { LINES = 12 };
    static struct append_call calls[LINES];
    static const char *const users[] = {"anna", "bert", "anna", "carl"};
    for (int i = 0; i < LINES; i++) {
        append_prepare(&calls[i], users[i % 4], SPAN_LITERAL("{}"), 60);
        calls[i].append.request.next = i + 1 < LINES ? &calls[i + 1].append.request : NULL;
    }
    refuse("LOADING", "{anna}", 4);
    store_append_many(store, &calls[0].append);
    for (uint64_t i = 0; i < LINES; i++)
        expect_seq(&calls[i], users[i % 4][0] == 'a' ? i / 2 + 1 : i / 4 + 1);
    cr_assert_eq(atomic_load(&plan.n_left), 0);
}

/* --- links --- */

static void push_two(struct append_call calls[2], const char *first, const char *second)
{
    append_prepare(&calls[0], first, SPAN_LITERAL("{}"), 60);
    append_prepare(&calls[1], second, SPAN_LITERAL("{}"), 60);
    calls[0].append.idempotency_key = SPAN_LITERAL("a"); /* so each is a call of its own */
    calls[1].append.idempotency_key = SPAN_LITERAL("b");
    calls[0].append.request.next = &calls[1].append.request;
    calls[1].append.request.next = NULL;
    store_append_many(store, &calls[0].append);
}

Test(store_redis, a_link_to_a_replica_answers_what_is_under_way_before_it_breaks)
{
    struct append_call calls[2];
    int64_t reconnects = metrics_read(METRIC_STORE_RECONNECTS);
    refuse("READONLY You can't write against a read only replica.", "{anna}", 1);
    push_two(calls, "anna", "bert");
    expect_seq(&calls[1], 1);
    expect_seq(&calls[0], 1);
    wait_for_state(true);
    cr_assert_gt(metrics_read(METRIC_STORE_RECONNECTS), reconnects);
}

/* false: the probe of each second noticed it first, and the push found no link. */
static bool push_while_a_replica(struct append_call *call)
{
    int64_t refused = metrics_read(METRIC_REDIRECTS_READONLY);
    redis_server_do(&server, "REPLICAOF 127.0.0.1 1");
    begin_push(call, "anna");
    while (metrics_read(METRIC_REDIRECTS_READONLY) == refused &&
           atomic_load(&call->call.n_answers) == 0)
        pause_ms(1);
    redis_server_do(&server, "REPLICAOF NO ONE");
    append_end(call);
    return metrics_read(METRIC_REDIRECTS_READONLY) > refused;
}

Test(store_redis, a_replica_that_becomes_the_primary_in_time_refuses_no_push)
{
    struct append_call call;
    append_number(store, "anna", 0, 60);
    for (int i = 0; i < 10 && !push_while_a_replica(&call); i++)
        wait_for_state(true);
    cr_assert_eq(call.target.error, ERR_OK);
    cr_assert_eq(call.target.seq, 2);
}

/* DEBUG RELOAD keeps Redis loading for a while, and it answers meanwhile. */
Test(store_redis, a_redis_that_loads_is_waited_for)
{
    backend_close(store);
    redis_server_stop(&server);
    redis_server_start(&server, "--enable-debug-command", "yes");
    struct store_config config = contract_config(1000, 1 << 20);
    store = open_on(&config, server.url);
    wait_for_state(true);
    redis_server_do(&server, "DEBUG POPULATE 3000");
    redis_server_do(&server, "CONFIG SET key-load-delay 100");
    redis_server_do(&server, "CONFIG SET loading-process-events-interval-bytes 1024");
    int fd = redis_server_connect(&server);
    dprintf(fd, "DEBUG RELOAD\r\n");
    char text[800] = "";
    for (int i = 0; i < SOON_MS && strstr(text, "LOADING") == NULL; i++) {
        redis_server_ask(&server, "GET x", text, sizeof text);
        pause_ms(1);
    }
    cr_assert_not_null(strstr(text, "LOADING"), "%s", text);
    struct store_target target = append_one(store, "anna", "{}", 60);
    cr_assert_eq(target.error, ERR_OK);
    cr_assert_eq(target.seq, 1);
    close(fd);
}

Test(store_redis, lost_scripts_are_loaded_again_and_the_next_batch_finds_them)
{
    struct append_call calls[3];
    redis_server_do(&server, "SCRIPT FLUSH");
    cr_assert_eq(append_one(store, "anna", "{}", 60).seq, 1);
    redis_server_do(&server, "CONFIG RESETSTAT");
    for (int i = 0; i < 3; i++) {
        append_prepare(&calls[i], "anna", SPAN_LITERAL("{}"), 60);
        calls[i].append.request.next = i < 2 ? &calls[i + 1].append.request : NULL;
    }
    store_append_many(store, &calls[0].append);
    for (uint64_t i = 0; i < 3; i++)
        expect_seq(&calls[i], i + 2);
    char answer[1024];
    redis_server_ask(&server, "INFO errorstats", answer, sizeof answer);
    cr_assert_null(strstr(answer, "NOSCRIPT"), "%s", answer);
}

Test(store_redis, what_waits_to_be_repeated_when_the_store_is_closed_is_answered_once)
{
    enum { CALLS = 6 };
    static struct append_call calls[CALLS];
    refuse("TRYAGAIN", "{anna}", ALWAYS);
    begin_push(&calls[0], "anna");
    wait_for_refusals(2);
    for (int i = 1; i < CALLS; i++)
        begin_push(&calls[i], "anna");
    backend_close(store);
    for (int i = 0; i < CALLS; i++) {
        append_end(&calls[i]);
        cr_assert_eq(calls[i].target.error, ERR_STORE_UNAVAILABLE);
        cr_assert_eq(atomic_load(&calls[i].call.n_answers), 1);
    }
    refuse(NULL, "", 0);
    struct store_config config = contract_config(1000, 1 << 20);
    store = backend_open(&config);
}
