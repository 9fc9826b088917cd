/* What the store's contract cases are written with: requests that wait for their answer. Any thread
 * may make a call; a call's struct stays until it was waited for. */
#ifndef HERALD_TESTS_STORE_CONTRACT_CALLS_H
#define HERALD_TESTS_STORE_CONTRACT_CALLS_H

#include "gateway/base/clock.h"
#include "gateway/base/hash.h"
#include "tests/store/contract_events.h"

#include <semaphore.h>

/* The one timeout of all suites of a store. Several tests of a binary run at the same time, and
 * criterion 2.4.1 keeps their deadlines in a sorted list: putting an earlier one before a later one
 * drops the later one and all after it. Those tests then have no timeout, and LeakSanitizer reports
 * the dropped entries (48 bytes each, allocated in libcriterion). */
enum { STORE_TEST_TIMEOUT_S = 120 };

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

struct look_call {
    struct store_look look;
    struct call call;
};

struct withdraw_call {
    struct store_withdraw withdraw;
    struct call call;
};

extern _Thread_local bool is_inside_a_call; /* set by each call while it asks */
extern atomic_int answers_inside_a_call;

void call_init(struct call *call);

void call_answer(struct call *call);

void call_wait(struct call *call);

void on_peek(struct store_request *request);

/* ---- requests; _begin does not wait ---- */

/* `asked` says all but the request itself; its payload becomes the call's. */
void append_start(struct store *to, struct append_call *call, struct store_append asked);

/* A call that the case asks for itself, with store_append_many. */
void append_prepare(struct append_call *call, const char *user, struct span data, uint32_t ttl_s);

void append_begin(struct store *to, struct append_call *call, const char *user, struct span data,
                  uint32_t ttl_s);

void append_end(struct append_call *call);

void append_run(struct store *to, struct store_append asked);

void append_to(struct store *to, struct store_target *targets, size_t n, struct span data,
               uint32_t ttl_s);

struct store_target append_span(struct store *to, const char *user, struct span data,
                                uint32_t ttl_s);

struct store_target append_one(struct store *to, const char *user, const char *text,
                               uint32_t ttl_s);

struct store_target append_keyed(struct store *to, const char *user, const char *text,
                                 const char *collapse_key);

struct store_target append_idempotent(struct store *to, const char *user,
                                      const char *idempotency_key);

/* Data by which expect_number knows it again. */
void append_number(struct store *to, const char *user, int number, uint32_t ttl_s);

void page_start(struct store *to, struct page_call *call);

struct store_page page_run(struct store *to, struct store_page asked);

struct store_page page_asked(const char *user);

void page_begin(struct store *to, struct page_call *call, const char *user);

struct store_page page_all(struct store *to, const char *user);

struct store_page page_after(struct store *to, const char *user, uint64_t after, uint32_t max_count,
                             uint32_t max_bytes);

struct store_page page_from_acked(struct store *to, const char *user);

struct store_page page_knowing(struct store *to, const char *user, struct epoch epoch,
                               uint64_t head);

struct store_page arrive_and_read(struct store *to, const char *user);

struct store_page page_with_gaps(struct store *to, const char *user, uint64_t after);

/* Of a user's device, after its position. */
struct store_page page_of_device(struct store *to, const char *user, const char *device,
                                 bool is_arrival);

void page_free(struct store_page *page);

void arrive(struct store *to, const char *user);

void ack_start(struct store *to, struct ack_call *call);

void ack_begin(struct store *to, struct ack_call *call, const char *user, struct epoch epoch,
               uint64_t seq);

enum err ack_run(struct store *to, struct store_ack asked);

enum err ack_one(struct store *to, const char *user, struct epoch epoch, uint64_t seq);

void peek_begin(struct store *to, struct peek_call *call, const char *user);

struct store_peek peek_one(struct store *to, const char *user);

void look_begin(struct store *to, struct look_call *call, struct store_look asked);

struct store_look look_at(struct store *to, const char *user, struct epoch epoch, uint64_t seq);

void withdraw_begin(struct store *to, struct withdraw_call *call, struct store_withdraw asked);

struct store_withdraw cancel_one(struct store *to, const char *user, struct epoch epoch,
                                 uint64_t seq);

struct store_withdraw purge(struct store *to, const char *user);

/* ---- what is expected of an answer ---- */

void expect_fate(struct store_look look, enum store_fate fate, enum gap_cause cause);

/* What a number was before it was to be cancelled. */
void expect_former_fate(struct store_withdraw cancel, enum store_fate fate, enum gap_cause cause);

/* The numbers after the page's start, one letter each: "." is in the page, else its cause as in
 * enum gap_cause. Each number stands once, and what it covers rises. */
void expect_numbers(const struct store_page *page, const char *letters);

/* The whole of a user's numbers. */
void expect_inbox(struct store *of, const char *user, const char *letters);

void expect_text(const struct notification *note, const char *text);

void expect_number(const struct notification *note, int number);

void sleep_until_wall_ms(int64_t until_ms);

/* Criterion passes a test that LeakSanitizer complains of, so the check is made inside the test. */
void contract_check_leaks(void);

#endif
