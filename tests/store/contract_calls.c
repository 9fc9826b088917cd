/* Each call marks that it is inside the store while it asks, so that an answer inside is found. */
#include "tests/store/contract_calls.h"

_Thread_local bool is_inside_a_call;
atomic_int answers_inside_a_call;

/* ---- one request and its answer ---- */

void call_init(struct call *call)
{
    sem_init(&call->answered, 0, 0);
    atomic_init(&call->n_answers, 0);
}

void call_answer(struct call *call)
{
    if (is_inside_a_call)
        atomic_fetch_add(&answers_inside_a_call, 1);
    atomic_fetch_add(&call->n_answers, 1);
    sem_post(&call->answered);
}

void call_wait(struct call *call)
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

void on_peek(struct store_request *request)
{
    call_answer(&((struct peek_call *)(void *)request)->call);
}

static void on_look(struct store_request *request)
{
    call_answer(&((struct look_call *)(void *)request)->call);
}

static void on_withdraw(struct store_request *request)
{
    call_answer(&((struct withdraw_call *)(void *)request)->call);
}

/* ---- requests; _begin does not wait ---- */

void append_start(struct store *to, struct append_call *call, struct store_append asked)
{
    call_init(&call->call);
    call->append = asked;
    call->append.request.on_done = on_append;
    is_inside_a_call = true;
    store_append(to, &call->append);
    is_inside_a_call = false;
}

static void append_to_begin(struct store *to, struct append_call *call,
                            struct store_target *targets, size_t n, struct span data,
                            uint32_t ttl_s)
{
    append_start(
        to, call,
        (struct store_append){
            .payload = payload_new(data), .ttl_s = ttl_s, .n_targets = n, .targets = targets});
}

void append_begin(struct store *to, struct append_call *call, const char *user, struct span data,
                  uint32_t ttl_s)
{
    call->target = (struct store_target){.user_id = span_of(user)};
    append_to_begin(to, call, &call->target, 1, data, ttl_s);
}

void append_prepare(struct append_call *call, const char *user, struct span data, uint32_t ttl_s)
{
    call_init(&call->call);
    call->target = (struct store_target){.user_id = span_of(user)};
    call->append = (struct store_append){.request.on_done = on_append,
                                         .payload = payload_new(data),
                                         .ttl_s = ttl_s,
                                         .n_targets = 1,
                                         .targets = &call->target};
}

void append_end(struct append_call *call)
{
    call_wait(&call->call);
    payload_unref(call->append.payload);
}

void append_run(struct store *to, struct store_append asked)
{
    struct append_call call;
    append_start(to, &call, asked);
    append_end(&call);
}

void append_to(struct store *to, struct store_target *targets, size_t n, struct span data,
               uint32_t ttl_s)
{
    struct append_call call;
    append_to_begin(to, &call, targets, n, data, ttl_s);
    append_end(&call);
}

struct store_target append_span(struct store *to, const char *user, struct span data,
                                uint32_t ttl_s)
{
    struct store_target target = {.user_id = span_of(user)};
    append_to(to, &target, 1, data, ttl_s);
    return target;
}

struct store_target append_one(struct store *to, const char *user, const char *text, uint32_t ttl_s)
{
    return append_span(to, user, span_of(text), ttl_s);
}

struct store_target append_keyed(struct store *to, const char *user, const char *text,
                                 const char *collapse_key)
{
    struct store_target target = {.user_id = span_of(user)};
    struct payload *payload = payload_new_keyed(span_of(text), span_of(collapse_key));
    append_run(to, (struct store_append){
                       .payload = payload, .ttl_s = 60, .n_targets = 1, .targets = &target});
    return target;
}

struct store_target append_idempotent(struct store *to, const char *user,
                                      const char *idempotency_key)
{
    struct store_target target = {.user_id = span_of(user)};
    append_run(to, (struct store_append){.payload = payload_new(SPAN_LITERAL("{}")),
                                         .ttl_s = 60,
                                         .idempotency_key = span_of(idempotency_key),
                                         .n_targets = 1,
                                         .targets = &target});
    return target;
}

void append_number(struct store *to, const char *user, int number, uint32_t ttl_s)
{
    char text[32];
    snprintf(text, sizeof text, "{\"n\":%d}", number);
    cr_assert_eq(append_one(to, user, text, ttl_s).error, ERR_OK);
}

void page_start(struct store *to, struct page_call *call)
{
    call->page.request.on_done = on_page;
    call_init(&call->call);
    is_inside_a_call = true;
    store_page(to, &call->page);
    is_inside_a_call = false;
}

struct store_page page_run(struct store *to, struct store_page asked)
{
    struct page_call call = {.page = asked};
    page_start(to, &call);
    call_wait(&call.call);
    return call.page;
}

struct store_page page_asked(const char *user)
{
    return (struct store_page){
        .user_id = span_of(user), .max_count = 100000, .max_bytes = UINT32_MAX};
}

void page_begin(struct store *to, struct page_call *call, const char *user)
{
    call->page = page_asked(user);
    page_start(to, call);
}

struct store_page page_all(struct store *to, const char *user)
{
    return page_run(to, page_asked(user));
}

struct store_page page_after(struct store *to, const char *user, uint64_t after, uint32_t max_count,
                             uint32_t max_bytes)
{
    struct store_page asked = page_asked(user);
    asked.after = after;
    asked.max_count = max_count;
    asked.max_bytes = max_bytes;
    return page_run(to, asked);
}

struct store_page page_from_acked(struct store *to, const char *user)
{
    struct store_page asked = page_asked(user);
    asked.from_acked = true;
    return page_run(to, asked);
}

struct store_page page_knowing(struct store *to, const char *user, struct epoch epoch,
                               uint64_t head)
{
    struct store_page asked = page_asked(user);
    asked.known_epoch = epoch;
    asked.known_head = head;
    return page_run(to, asked);
}

struct store_page arrive_and_read(struct store *to, const char *user)
{
    struct store_page asked = page_asked(user);
    asked.is_arrival = true;
    asked.from_acked = true;
    return page_run(to, asked);
}

struct store_page page_with_gaps(struct store *to, const char *user, uint64_t after)
{
    struct store_page asked = page_asked(user);
    asked.after = after;
    asked.wants_gaps = true;
    return page_run(to, asked);
}

struct store_page page_of_device(struct store *to, const char *user, const char *device,
                                 bool is_arrival)
{
    struct store_page asked = page_asked(user);
    asked.device = span_of(device);
    asked.is_arrival = is_arrival;
    asked.from_acked = true;
    return page_run(to, asked);
}

void page_free(struct store_page *page)
{
    store_page_clear(page);
}

void arrive(struct store *to, const char *user)
{
    struct store_page page = arrive_and_read(to, user);
    cr_assert_eq(page.error, ERR_OK);
    page_free(&page);
}

void ack_start(struct store *to, struct ack_call *call)
{
    call_init(&call->call);
    call->ack.request.on_done = on_ack;
    is_inside_a_call = true;
    store_ack(to, &call->ack);
    is_inside_a_call = false;
}

void ack_begin(struct store *to, struct ack_call *call, const char *user, struct epoch epoch,
               uint64_t seq)
{
    call->ack = (struct store_ack){.user_id = span_of(user), .epoch = epoch, .seq = seq};
    ack_start(to, call);
}

enum err ack_run(struct store *to, struct store_ack asked)
{
    struct ack_call call = {.ack = asked};
    ack_start(to, &call);
    call_wait(&call.call);
    return call.ack.error;
}

enum err ack_one(struct store *to, const char *user, struct epoch epoch, uint64_t seq)
{
    return ack_run(to, (struct store_ack){.user_id = span_of(user), .epoch = epoch, .seq = seq});
}

void peek_begin(struct store *to, struct peek_call *call, const char *user)
{
    call->peek = (struct store_peek){.request = {.on_done = on_peek}, .user_id = span_of(user)};
    call_init(&call->call);
    is_inside_a_call = true;
    store_peek(to, &call->peek);
    is_inside_a_call = false;
}

struct store_peek peek_one(struct store *to, const char *user)
{
    struct peek_call call;
    peek_begin(to, &call, user);
    call_wait(&call.call);
    return call.peek;
}

void look_begin(struct store *to, struct look_call *call, struct store_look asked)
{
    call->look = asked;
    call->look.request.on_done = on_look;
    call_init(&call->call);
    is_inside_a_call = true;
    store_look(to, &call->look);
    is_inside_a_call = false;
}

static struct store_look look_run(struct store *to, struct store_look asked)
{
    struct look_call call;
    look_begin(to, &call, asked);
    call_wait(&call.call);
    return call.look;
}

struct store_look look_at(struct store *to, const char *user, struct epoch epoch, uint64_t seq)
{
    return look_run(to, (struct store_look){.user_id = span_of(user), .epoch = epoch, .seq = seq});
}

void withdraw_begin(struct store *to, struct withdraw_call *call, struct store_withdraw asked)
{
    call->withdraw = asked;
    call->withdraw.request.on_done = on_withdraw;
    call_init(&call->call);
    is_inside_a_call = true;
    store_withdraw(to, &call->withdraw);
    is_inside_a_call = false;
}

static struct store_withdraw withdraw_run(struct store *to, struct store_withdraw asked)
{
    struct withdraw_call call;
    withdraw_begin(to, &call, asked);
    call_wait(&call.call);
    return call.withdraw;
}

struct store_withdraw cancel_one(struct store *to, const char *user, struct epoch epoch,
                                 uint64_t seq)
{
    return withdraw_run(
        to, (struct store_withdraw){.user_id = span_of(user), .epoch = epoch, .seq = seq});
}

struct store_withdraw purge(struct store *to, const char *user)
{
    return withdraw_run(to, (struct store_withdraw){.user_id = span_of(user), .is_all = true});
}

/* ---- what is expected of an answer ---- */

static void expect_found(uint64_t seq, struct store_found found, enum store_fate fate,
                         enum gap_cause cause)
{
    cr_assert_eq(found.fate, fate, "number %llu: fate %d instead of %d", (unsigned long long)seq,
                 found.fate, fate);
    if (fate == FATE_GONE)
        cr_assert_eq(found.cause, cause, "number %llu: %s instead of %s", (unsigned long long)seq,
                     gap_cause_text(found.cause), gap_cause_text(cause));
}

void expect_fate(struct store_look look, enum store_fate fate, enum gap_cause cause)
{
    cr_assert_eq(look.error, ERR_OK);
    expect_found(look.seq, look.found, fate, cause);
}

void expect_former_fate(struct store_withdraw cancel, enum store_fate fate, enum gap_cause cause)
{
    cr_assert_eq(cancel.error, ERR_OK);
    expect_found(cancel.seq, cancel.found, fate, cause);
}

void expect_numbers(const struct store_page *page, const char *letters)
{
    char got[400] = "";
    size_t n = 0;
    size_t gap = 0;
    size_t note = 0;
    cr_assert_eq(page->error, ERR_OK);
    cr_assert(page->last >= page->start && page->last - page->start < sizeof got);
    for (uint64_t seq = page->start + 1; seq <= page->last; seq++) {
        char letter = '?'; /* neither shown nor missing */
        if (note < page->n_notes && page->notes[note]->seq == seq) {
            letter = '.';
            note++;
        }
        if (gap < page->n_gaps && page->gaps[gap].from <= seq && seq <= page->gaps[gap].to) {
            letter = letter == '.' ? '!' : (char)page->gaps[gap].cause; /* !: both */
            gap += page->gaps[gap].to == seq;
        }
        got[n++] = letter;
    }
    cr_assert_str_eq(got, letters, "got \"%s\" instead of \"%s\"", got, letters);
    cr_assert_eq(note, page->n_notes, "the page shows what it does not cover, or not in order");
    cr_assert_eq(gap, page->n_gaps, "the page misses what it does not cover, or not in order");
}

void expect_inbox(struct store *of, const char *user, const char *letters)
{
    struct store_page page = page_with_gaps(of, user, 0);
    cr_assert_eq(page.last, page.head);
    expect_numbers(&page, letters);
    store_page_clear(&page);
}

void expect_text(const struct notification *note, const char *text)
{
    struct span got = payload_data(note->payload);
    cr_assert(span_equal(got, span_of(text)), "got %.*s instead of %s", (int)got.len, got.bytes,
              text);
}

void expect_number(const struct notification *note, int number)
{
    char text[32];
    snprintf(text, sizeof text, "{\"n\":%d}", number);
    expect_text(note, text);
}

void sleep_until_wall_ms(int64_t until_ms)
{
    while (clock_wall_ms() < until_ms)
        nanosleep(&(struct timespec){0, 1000000}, NULL);
}

#if defined(__SANITIZE_ADDRESS__)
int __lsan_do_recoverable_leak_check(void);
void contract_check_leaks(void)
{
    cr_assert_eq(__lsan_do_recoverable_leak_check(), 0, "memory was leaked");
}
#else
void contract_check_leaks(void)
{
}
#endif
