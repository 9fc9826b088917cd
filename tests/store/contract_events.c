/* Events are recorded under one lock, on any thread; a test waits until enough are recorded. */
#include "tests/store/contract_events.h"

struct recorder recorder;

struct broadcasts broadcasts;

struct questions questions;

void recorder_init(void)
{
    broadcasts = (struct broadcasts){0};
    questions = (struct questions){.absent = &questions};
    pthread_mutex_init(&recorder.lock, NULL);
    pthread_cond_init(&recorder.changed, NULL);
    recorder.list = malloc(RECORDED_MAX * sizeof *recorder.list);
    recorder.n = 0;
    recorder.state = -1;
}

void recorder_fini(void)
{
    free(recorder.list);
    recorder.list = NULL;
}

static void record_note(struct recorded *entry, const struct notification *note)
{
    entry->is_replay = note->is_replay;
    entry->epoch = note->epoch;
    entry->seq = note->seq;
    entry->replaces = note->replaces;
    entry->acked = note->acked;
    entry->time_ms = note->time_ms;
    entry->expires_ms = note->expires_ms;
    struct span data = payload_data(note->payload);
    size_t len = data.len < sizeof entry->text ? data.len : sizeof entry->text - 1;
    if (len > 0)
        memcpy(entry->text, data.bytes, len);
    entry->text[len] = '\0';
}

/* The range of a withdrawal is recorded as replaces..seq. */
static void record_withdrawal(struct recorded *entry, const struct withdrawal *withdrawal)
{
    entry->is_withdrawal = true;
    entry->epoch = withdrawal->epoch;
    entry->replaces = withdrawal->from;
    entry->seq = withdrawal->to;
}

void record_inbox_event(void *owner, struct span user_id, struct inbox_event event)
{
    (void)owner;
    pthread_mutex_lock(&recorder.lock);
    if (recorder.n < RECORDED_MAX) {
        struct recorded *entry = &recorder.list[recorder.n++];
        *entry = (struct recorded){0};
        memcpy(entry->user, user_id.bytes, user_id.len);
        entry->user_len = user_id.len;
        if (event.kind == INBOX_NOTIFICATION)
            record_note(entry, event.note);
        else
            record_withdrawal(entry, event.withdrawal);
    }
    pthread_cond_broadcast(&recorder.changed);
    pthread_mutex_unlock(&recorder.lock);
}

void record_broadcast(void *owner, struct notification *note, struct store_question *question)
{
    pthread_mutex_lock(&recorder.lock);
    if (broadcasts.n < TOLD_MAX) {
        broadcasts.owners[broadcasts.n] = owner;
        record_note(&broadcasts.list[broadcasts.n++], note);
    }
    bool is_held = broadcasts.must_hold;
    broadcasts.must_hold = false;
    if (is_held)
        broadcasts.held = question;
    pthread_cond_broadcast(&recorder.changed);
    pthread_mutex_unlock(&recorder.lock);
    if (!is_held)
        store_answer(question, broadcasts.online);
}

size_t count_told_broadcasts(const void *owner)
{
    size_t n = 0;
    pthread_mutex_lock(&recorder.lock);
    for (size_t i = 0; i < broadcasts.n; i++)
        n += owner == NULL || broadcasts.owners[i] == owner;
    pthread_mutex_unlock(&recorder.lock);
    return n;
}

struct recorded recorded_broadcast(size_t at)
{
    pthread_mutex_lock(&recorder.lock);
    struct recorded found = broadcasts.list[at];
    pthread_mutex_unlock(&recorder.lock);
    return found;
}

struct store_question *wait_for_held_question(void)
{
    pthread_mutex_lock(&recorder.lock);
    while (broadcasts.held == NULL)
        pthread_cond_wait(&recorder.changed, &recorder.lock);
    struct store_question *question = broadcasts.held;
    broadcasts.held = NULL;
    pthread_mutex_unlock(&recorder.lock);
    return question;
}

static void copy_span(char *out, size_t cap, struct span text)
{
    size_t len = text.len < cap ? text.len : cap - 1;
    if (len > 0)
        memcpy(out, text.bytes, len);
    out[len] = '\0';
}

static void answer_question(struct store_user_question *question)
{
    struct buf text;
    buf_init(&text, STORE_ANSWER_MAX_BYTES);
    if (questions.text == NULL || question->owner == questions.absent) {
        store_answer(&question->question,
                     question->owner == questions.absent ? 0 : questions.count);
        return;
    }
    cr_assert_eq(buf_append_text(&text, questions.text), ERR_OK);
    store_answer_text(&question->question, questions.count, &text);
}

void record_question(struct store_user_question *question)
{
    pthread_mutex_lock(&recorder.lock);
    if (questions.n < QUESTIONS_MAX) {
        struct recorded_question *entry = &questions.list[questions.n++];
        entry->asked = question->asked;
        entry->owner = question->owner;
        entry->n_events = recorder.n;
        copy_span(entry->user, sizeof entry->user, question->user_id);
        copy_span(entry->reason, sizeof entry->reason, question->asked.reason);
    }
    bool is_held = questions.must_hold;
    questions.must_hold = false;
    if (is_held)
        questions.held = question;
    pthread_cond_broadcast(&recorder.changed);
    pthread_mutex_unlock(&recorder.lock);
    if (!is_held)
        answer_question(question);
}

size_t count_questions(const void *owner)
{
    size_t n = 0;
    pthread_mutex_lock(&recorder.lock);
    for (size_t i = 0; i < questions.n; i++)
        n += owner == NULL || questions.list[i].owner == owner;
    pthread_mutex_unlock(&recorder.lock);
    return n;
}

struct recorded_question recorded_question(size_t at)
{
    pthread_mutex_lock(&recorder.lock);
    struct recorded_question found = questions.list[at];
    pthread_mutex_unlock(&recorder.lock);
    return found;
}

struct store_user_question *wait_for_held_user_question(void)
{
    pthread_mutex_lock(&recorder.lock);
    while (questions.held == NULL)
        pthread_cond_wait(&recorder.changed, &recorder.lock);
    struct store_user_question *question = questions.held;
    questions.held = NULL;
    pthread_mutex_unlock(&recorder.lock);
    return question;
}

void record_state(void *owner, bool is_up)
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

size_t count_recorded(const char *user, uint64_t *ret_highest)
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

void wait_for_notifications(const char *user, size_t wanted)
{
    wait_for_recorded(user, wanted, 0);
}

void wait_for_notification(const char *user, uint64_t seq)
{
    wait_for_recorded(user, 0, seq);
}

bool are_recorded_in_order(const char *user)
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

struct recorded recorded_at(const char *user, size_t n)
{
    struct recorded found = {0};
    size_t count = 0;
    wait_for_recorded(user, n + 1, 0);
    pthread_mutex_lock(&recorder.lock);
    for (size_t i = 0; i < recorder.n; i++)
        if (is_recorded_for(&recorder.list[i], user) && count++ == n)
            found = recorder.list[i];
    pthread_mutex_unlock(&recorder.lock);
    return found;
}

size_t count_told(const char *user)
{
    uint64_t highest;
    pthread_mutex_lock(&recorder.lock);
    size_t count = count_recorded(user, &highest);
    pthread_mutex_unlock(&recorder.lock);
    return count;
}

void wait_for_state(bool is_up)
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
