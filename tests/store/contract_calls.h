/* What the store's contract cases are written with: requests that wait for their answer, and a
 * record of the events. Any thread may make a call; a call's struct stays until it was waited for.
 */
#ifndef HERALD_TESTS_STORE_CONTRACT_CALLS_H
#define HERALD_TESTS_STORE_CONTRACT_CALLS_H

#include "gateway/base/clock.h"
#include "gateway/base/hash.h"
#include "gateway/store/store.h"
#include "proto/user_id.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Some test binaries use only a part of these. */
#define MAYBE_UNUSED __attribute__((unused))

enum { ANSWER_MAX_S = 20 };

/* ---- one request and its answer ---- */

struct call {
    sem_t answered;
    atomic_int n_answers;
};

struct append_call {
    struct store_append append; /* first: on_done gets its address */
    struct call call;
    struct store_target target;
};

struct page_call {
    struct store_page page;
    struct call call;
};

struct ack_call {
    struct store_ack ack;
    struct call call;
};

struct peek_call {
    struct store_peek peek;
    struct call call;
};

static _Thread_local bool is_inside_a_call;
static atomic_int answers_inside_a_call;

static void call_init(struct call *call)
{
    sem_init(&call->answered, 0, 0);
    atomic_init(&call->n_answers, 0);
}

static void call_answer(struct call *call)
{
    if (is_inside_a_call)
        atomic_fetch_add(&answers_inside_a_call, 1);
    atomic_fetch_add(&call->n_answers, 1);
    sem_post(&call->answered);
}

static void call_wait(struct call *call)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += ANSWER_MAX_S;
    int got;
    do {
        got = sem_timedwait(&call->answered, &until);
    } while (got != 0 && errno == EINTR);
    cr_assert_eq(got, 0, "a request was not answered in %d s", ANSWER_MAX_S);
    cr_assert_eq(atomic_load(&call->n_answers), 1, "a request was answered more than once");
}

static void on_append(struct store_request *request)
{
    call_answer(&((struct append_call *)(void *)request)->call);
}

static void on_page(struct store_request *request)
{
    call_answer(&((struct page_call *)(void *)request)->call);
}

static void on_ack(struct store_request *request)
{
    call_answer(&((struct ack_call *)(void *)request)->call);
}

static void on_peek(struct store_request *request)
{
    call_answer(&((struct peek_call *)(void *)request)->call);
}

/* ---- requests; _begin does not wait ---- */

static void append_to_begin(struct store *to, struct append_call *call,
                            struct store_target *targets, size_t n, struct span data,
                            uint32_t ttl_s)
{
    call_init(&call->call);
    call->append = (struct store_append){
        .request = {.on_done = on_append},
        .payload = payload_new(data),
        .ttl_s = ttl_s,
        .n_targets = n,
        .targets = targets,
    };
    is_inside_a_call = true;
    store_append(to, &call->append);
    is_inside_a_call = false;
}

MAYBE_UNUSED static void append_begin(struct store *to, struct append_call *call, const char *user,
                                      struct span data, uint32_t ttl_s)
{
    call->target = (struct store_target){.user_id = span_of(user)};
    append_to_begin(to, call, &call->target, 1, data, ttl_s);
}

static void append_end(struct append_call *call)
{
    call_wait(&call->call);
    payload_unref(call->append.payload);
}

static void append_to(struct store *to, struct store_target *targets, size_t n, struct span data,
                      uint32_t ttl_s)
{
    struct append_call call;
    append_to_begin(to, &call, targets, n, data, ttl_s);
    append_end(&call);
}

static struct store_target append_span(struct store *to, const char *user, struct span data,
                                       uint32_t ttl_s)
{
    struct store_target target = {.user_id = span_of(user)};
    append_to(to, &target, 1, data, ttl_s);
    return target;
}

MAYBE_UNUSED static struct store_target append_one(struct store *to, const char *user,
                                                   const char *text, uint32_t ttl_s)
{
    return append_span(to, user, span_of(text), ttl_s);
}

/* Data by which expect_number knows it again. */
MAYBE_UNUSED static void append_number(struct store *to, const char *user, int number,
                                       uint32_t ttl_s)
{
    char text[32];
    snprintf(text, sizeof text, "{\"n\":%d}", number);
    cr_assert_eq(append_one(to, user, text, ttl_s).error, ERR_OK);
}

static void page_start(struct store *to, struct page_call *call)
{
    call->page.request.on_done = on_page;
    call_init(&call->call);
    is_inside_a_call = true;
    store_page(to, &call->page);
    is_inside_a_call = false;
}

static struct store_page page_run(struct store *to, struct store_page asked)
{
    struct page_call call = {.page = asked};
    page_start(to, &call);
    call_wait(&call.call);
    return call.page;
}

static struct store_page page_asked(const char *user)
{
    return (struct store_page){
        .user_id = span_of(user), .max_count = 100000, .max_bytes = UINT32_MAX};
}

MAYBE_UNUSED static void page_begin(struct store *to, struct page_call *call, const char *user)
{
    call->page = page_asked(user);
    page_start(to, call);
}

MAYBE_UNUSED static struct store_page page_all(struct store *to, const char *user)
{
    return page_run(to, page_asked(user));
}

MAYBE_UNUSED static struct store_page page_after(struct store *to, const char *user, uint64_t after,
                                                 uint32_t max_count, uint32_t max_bytes)
{
    struct store_page asked = page_asked(user);
    asked.after = after;
    asked.max_count = max_count;
    asked.max_bytes = max_bytes;
    return page_run(to, asked);
}

MAYBE_UNUSED static struct store_page page_from_acked(struct store *to, const char *user)
{
    struct store_page asked = page_asked(user);
    asked.from_acked = true;
    return page_run(to, asked);
}

MAYBE_UNUSED static struct store_page page_knowing(struct store *to, const char *user,
                                                   struct epoch epoch, uint64_t head)
{
    struct store_page asked = page_asked(user);
    asked.known_epoch = epoch;
    asked.known_head = head;
    return page_run(to, asked);
}

MAYBE_UNUSED static struct store_page arrive_and_read(struct store *to, const char *user)
{
    struct store_page asked = page_asked(user);
    asked.is_arrival = true;
    asked.from_acked = true;
    return page_run(to, asked);
}

static void page_free(struct store_page *page)
{
    for (size_t i = 0; i < page->n_notes; i++)
        notification_unref(page->notes[i]);
    free(page->notes);
}

MAYBE_UNUSED static void arrive(struct store *to, const char *user)
{
    struct store_page page = arrive_and_read(to, user);
    cr_assert_eq(page.error, ERR_OK);
    page_free(&page);
}

MAYBE_UNUSED static void ack_begin(struct store *to, struct ack_call *call, const char *user,
                                   struct epoch epoch, uint64_t seq)
{
    call_init(&call->call);
    call->ack = (struct store_ack){
        .request = {.on_done = on_ack}, .user_id = span_of(user), .epoch = epoch, .seq = seq};
    is_inside_a_call = true;
    store_ack(to, &call->ack);
    is_inside_a_call = false;
}

MAYBE_UNUSED static enum err ack_one(struct store *to, const char *user, struct epoch epoch,
                                     uint64_t seq)
{
    struct ack_call call;
    ack_begin(to, &call, user, epoch, seq);
    call_wait(&call.call);
    return call.ack.error;
}

MAYBE_UNUSED static struct store_peek peek_one(struct store *to, const char *user)
{
    struct peek_call call = {.peek = {.request = {.on_done = on_peek}, .user_id = span_of(user)}};
    call_init(&call.call);
    is_inside_a_call = true;
    store_peek(to, &call.peek);
    is_inside_a_call = false;
    call_wait(&call.call);
    return call.peek;
}

MAYBE_UNUSED static void expect_text(const struct notification *note, const char *text)
{
    struct span got = payload_data(note->payload);
    cr_assert(span_equal(got, span_of(text)), "got %.*s instead of %s", (int)got.len, got.bytes,
              text);
}

MAYBE_UNUSED static void expect_number(const struct notification *note, int number)
{
    char text[32];
    snprintf(text, sizeof text, "{\"n\":%d}", number);
    expect_text(note, text);
}

MAYBE_UNUSED static void sleep_until_wall_ms(int64_t until_ms)
{
    while (clock_wall_ms() < until_ms)
        nanosleep(&(struct timespec){0, 1000000}, NULL);
}

/* ---- the events, as they came ---- */

enum { RECORDED_MAX = 100000 };

struct recorded {
    char user[USER_ID_MAX_BYTES];
    size_t user_len;
    uint64_t seq;
};

static struct recorder {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct recorded *list;
    size_t n;
    int state; /* -1: never told */
} recorder;

static void recorder_init(void)
{
    pthread_mutex_init(&recorder.lock, NULL);
    pthread_cond_init(&recorder.changed, NULL);
    recorder.list = malloc(RECORDED_MAX * sizeof *recorder.list);
    recorder.n = 0;
    recorder.state = -1;
}

static void recorder_fini(void)
{
    free(recorder.list);
    recorder.list = NULL;
}

static void record_notification(void *owner, struct span user_id, struct notification *note)
{
    (void)owner;
    pthread_mutex_lock(&recorder.lock);
    if (recorder.n < RECORDED_MAX) {
        struct recorded *entry = &recorder.list[recorder.n++];
        memcpy(entry->user, user_id.bytes, user_id.len);
        entry->user_len = user_id.len;
        entry->seq = note->seq;
    }
    pthread_cond_broadcast(&recorder.changed);
    pthread_mutex_unlock(&recorder.lock);
}

static void record_state(void *owner, bool is_up)
{
    (void)owner;
    pthread_mutex_lock(&recorder.lock);
    recorder.state = is_up;
    pthread_cond_broadcast(&recorder.changed);
    pthread_mutex_unlock(&recorder.lock);
}

static bool is_recorded_for(const struct recorded *entry, const char *user)
{
    return span_equal((struct span){entry->user, entry->user_len}, span_of(user));
}

/* Under the lock: how many were recorded for the user, and the highest number. */
static size_t count_recorded(const char *user, uint64_t *ret_highest)
{
    size_t count = 0;
    *ret_highest = 0;
    for (size_t i = 0; i < recorder.n; i++) {
        if (!is_recorded_for(&recorder.list[i], user))
            continue;
        count++;
        if (recorder.list[i].seq > *ret_highest)
            *ret_highest = recorder.list[i].seq;
    }
    return count;
}

static void wait_for_recorded(const char *user, size_t wanted, uint64_t wanted_highest)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += ANSWER_MAX_S;
    int timed_out = 0;
    uint64_t highest = 0;
    pthread_mutex_lock(&recorder.lock);
    size_t count = count_recorded(user, &highest);
    while ((count < wanted || highest < wanted_highest) && timed_out == 0) {
        timed_out = pthread_cond_timedwait(&recorder.changed, &recorder.lock, &until);
        count = count_recorded(user, &highest);
    }
    pthread_mutex_unlock(&recorder.lock);
    cr_assert_eq(timed_out, 0, "told of %zu notifications, up to number %llu", count,
                 (unsigned long long)highest);
}

MAYBE_UNUSED static void wait_for_notifications(const char *user, size_t wanted)
{
    wait_for_recorded(user, wanted, 0);
}

MAYBE_UNUSED static void wait_for_notification(const char *user, uint64_t seq)
{
    wait_for_recorded(user, 0, seq);
}

MAYBE_UNUSED static bool are_recorded_in_order(const char *user)
{
    bool is_in_order = true;
    uint64_t seq = 0;
    pthread_mutex_lock(&recorder.lock);
    for (size_t i = 0; i < recorder.n; i++)
        if (is_recorded_for(&recorder.list[i], user))
            is_in_order = is_in_order && recorder.list[i].seq == ++seq;
    pthread_mutex_unlock(&recorder.lock);
    return is_in_order;
}

MAYBE_UNUSED static void wait_for_state(bool is_up)
{
    for (int i = 0; i < ANSWER_MAX_S * 100; i++) {
        pthread_mutex_lock(&recorder.lock);
        int state = recorder.state;
        pthread_mutex_unlock(&recorder.lock);
        if (state == (int)is_up)
            return;
        nanosleep(&(struct timespec){0, 10000000}, NULL);
    }
    cr_assert_fail("on_state did not say %s", is_up ? "up" : "down");
}

/* Criterion passes a test that LeakSanitizer complains of, so the check is made inside the test. */
#if defined(__SANITIZE_ADDRESS__)
int __lsan_do_recoverable_leak_check(void);
static void contract_check_leaks(void)
{
    cr_assert_eq(__lsan_do_recoverable_leak_check(), 0, "memory was leaked");
}
#else
static void contract_check_leaks(void)
{
}
#endif

#endif
