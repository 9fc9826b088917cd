/* Each request is recorded in `twin`, under its lock, and its results are written by the test's
 * play function; then it is queued. The twin's thread takes one after the other, as long as the
 * test does not hold it, and calls on_done without the lock, as a worker would. At the end
 * everything that is queued is answered. */
#include "tests/twin/gateway_twin.h"

#include "gateway/base/clock.h"
#include "gateway/events/online_list.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct twin_task {
    struct twin_task *next;
    void (*answer)(void *op);
    void *op;
};

struct gateway_twin twin = {
    .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER, .store_problem = ""};

static void *run_answers(void *nothing)
{
    (void)nothing;
    pthread_mutex_lock(&twin.lock);
    while (!twin.is_over || twin.first != NULL) {
        if (twin.first == NULL || (twin.is_held && !twin.is_over)) {
            pthread_cond_wait(&twin.changed, &twin.lock);
            continue;
        }
        struct twin_task *task = twin.first;
        twin.first = task->next;
        if (twin.first == NULL)
            twin.end = &twin.first;
        twin.n_answered++;
        pthread_mutex_unlock(&twin.lock);
        task->answer(task->op);
        free(task);
        pthread_mutex_lock(&twin.lock);
    }
    pthread_mutex_unlock(&twin.lock);
    return nothing;
}

/* Under the lock. */
static void queue_answer(void (*answer)(void *op), void *op)
{
    struct twin_task *task = malloc(sizeof *task);
    cr_assert_not_null(task);
    *task = (struct twin_task){NULL, answer, op};
    *twin.end = task;
    twin.end = &task->next;
    pthread_cond_broadcast(&twin.changed);
}

void twin_hold(bool is_held)
{
    pthread_mutex_lock(&twin.lock);
    twin.is_held = is_held;
    pthread_cond_broadcast(&twin.changed);
    pthread_mutex_unlock(&twin.lock);
}

static void copy_text(char *out, size_t cap, struct span text)
{
    snprintf(out, cap, "%.*s", (int)text.len, text.len > 0 ? text.bytes : "");
}

static void answer_push(void *op)
{
    struct gateway_push *push = op;
    push->on_done(push);
}

/* What became of a push is decided when it comes; the answer may wait. */
void gateway_push(struct node *node, struct gateway_push *push)
{
    (void)node;
    pthread_mutex_lock(&twin.lock);
    uint64_t n = ++twin.n_pushes;
    copy_text(twin.last_data, sizeof twin.last_data, push->data);
    copy_text(twin.last_user, sizeof twin.last_user, push->targets[0].user_id);
    copy_text(twin.last_collapse_key, sizeof twin.last_collapse_key, push->collapse_key);
    copy_text(twin.last_idempotency_key, sizeof twin.last_idempotency_key, push->idempotency_key);
    twin.last_ttl_s = push->ttl_s;
    twin.last_wait_ms = push->wait_ms;
    twin.last_alert_after_s = push->alert_after_s;
    for (size_t i = 0; i < push->n_targets && push->ttl_s > 0; i++) {
        memcpy(push->targets[i].epoch.text, "k3f9a2qd", EPOCH_LEN);
        push->targets[i].seq = n + i;
        push->targets[i].expires_ms = 1790000000000 + (int64_t)(n + i);
    }
    if (twin.play_push != NULL)
        twin.play_push(push, n);
    queue_answer(answer_push, push);
    pthread_mutex_unlock(&twin.lock);
}

void gateway_push_many(struct node *node, struct gateway_push *first)
{
    struct gateway_push *next;
    for (struct gateway_push *push = first; push != NULL; push = next) {
        next = push->next; /* its caller frees it when it is answered */
        gateway_push(node, push);
    }
}

/* Answers all that wait: a test has one. */
void gateway_end_wait(struct node *node, struct gateway_push *push)
{
    (void)node, (void)push;
    pthread_mutex_lock(&twin.lock);
    twin.n_ended_waits++;
    twin.is_held = false;
    pthread_cond_broadcast(&twin.changed);
    pthread_mutex_unlock(&twin.lock);
}

void gateway_end_waits(struct node *node)
{
    (void)node;
    pthread_mutex_lock(&twin.lock);
    twin.has_no_waits = true;
    twin.is_held = twin.is_held && twin.has_stuck;
    pthread_cond_broadcast(&twin.changed);
    pthread_mutex_unlock(&twin.lock);
}

static void answer_broadcast(void *op)
{
    struct gateway_broadcast *broadcast = op;
    broadcast->online = UINT64_C(5000000000);
    broadcast->nodes = 2;
    broadcast->on_done(broadcast);
}

void gateway_broadcast(struct node *node, struct gateway_broadcast *broadcast)
{
    (void)node;
    pthread_mutex_lock(&twin.lock);
    copy_text(twin.last_data, sizeof twin.last_data, broadcast->data);
    queue_answer(answer_broadcast, broadcast);
    pthread_mutex_unlock(&twin.lock);
}

static void answer_message(void *op)
{
    struct gateway_message *message = op;
    message->on_done(message);
}

void gateway_message(struct node *node, struct gateway_message *message)
{
    (void)node;
    pthread_mutex_lock(&twin.lock);
    twin.asked_message = *message;
    copy_text(twin.last_user, sizeof twin.last_user, message->user_id);
    twin.play_message(message);
    queue_answer(answer_message, message);
    pthread_mutex_unlock(&twin.lock);
}

static void answer_cancel(void *op)
{
    struct gateway_cancel *cancel = op;
    cancel->on_done(cancel);
}

void gateway_cancel(struct node *node, struct gateway_cancel *cancel)
{
    (void)node;
    pthread_mutex_lock(&twin.lock);
    twin.asked_cancel = *cancel;
    copy_text(twin.last_user, sizeof twin.last_user, cancel->user_id);
    twin.play_cancel(cancel);
    queue_answer(answer_cancel, cancel);
    pthread_mutex_unlock(&twin.lock);
}

static void answer_inbox(void *op)
{
    struct gateway_inbox *inbox = op;
    inbox->on_done(inbox);
}

void gateway_inbox(struct node *node, struct gateway_inbox *inbox)
{
    (void)node;
    pthread_mutex_lock(&twin.lock);
    twin.asked_inbox = *inbox;
    copy_text(twin.last_user, sizeof twin.last_user, inbox->user_id);
    twin.play_inbox(inbox);
    queue_answer(answer_inbox, inbox);
    pthread_mutex_unlock(&twin.lock);
}

static void answer_purge(void *op)
{
    struct gateway_purge *purge = op;
    purge->on_done(purge);
}

void gateway_purge(struct node *node, struct gateway_purge *purge)
{
    (void)node;
    pthread_mutex_lock(&twin.lock);
    twin.asked_purge = *purge;
    copy_text(twin.last_user, sizeof twin.last_user, purge->user_id);
    twin.play_purge(purge);
    queue_answer(answer_purge, purge);
    pthread_mutex_unlock(&twin.lock);
}

void gateway_inbox_clear(struct gateway_inbox *inbox)
{
    for (size_t i = 0; i < inbox->n_notes; i++)
        notification_unref(inbox->notes[i]);
    free(inbox->notes);
    inbox->notes = NULL;
    inbox->n_notes = 0;
}

/* These are answered inside the call. */
void gateway_kick(struct node *node, struct gateway_kick *kick)
{
    (void)node;
    kick->on_done(kick);
}

void gateway_user(struct node *node, struct gateway_user *user)
{
    (void)node;
    user->blocked_until_ms = twin.blocked_until_ms;
    user->n_asked = 1;
    user->n_answered = 1;
    user->on_done(user);
}

void gateway_ticket(struct node *node, struct gateway_ticket *ticket)
{
    (void)node;
    ticket->error = ERR_OK;
    memcpy(ticket->text, "0123456789abcdef0123456789abcdef", TICKET_LEN + 1);
    ticket->expires_ms = 1790000000123;
    ticket->on_done(ticket);
}

void gateway_user_clear(struct gateway_user *user)
{
    (void)user;
}

void gateway_drain(struct node *node, struct gateway_drain *drain)
{
    (void)node;
    if (twin.play_drain != NULL)
        twin.play_drain(drain);
    else
        drain->error = ERR_OK;
    drain->on_done(drain);
}

enum err gateway_ask_for_upgrade(struct node *node, char *why, size_t why_cap)
{
    (void)node;
    if (twin.upgrade_refusal == NULL)
        return ERR_OK;
    snprintf(why, why_cap, "%s", twin.upgrade_refusal);
    return ERR_CONFLICT;
}

void gateway_upgrade_status(struct node *node, struct upgrade_status *ret_status)
{
    (void)node;
    *ret_status = twin.upgrade;
}

void gateway_resume_waits(struct node *node)
{
    (void)node;
}

void gateway_clients(struct node *node, struct gateway_clients *clients)
{
    (void)node;
    buf_init(&clients->page, GATEWAY_CLIENTS_MAX_BYTES);
    if (twin.play_clients != NULL)
        twin.play_clients(clients);
    else
        clients->error = buf_append_text(&clients->page, "{\"clients\":[],\"next\":null}");
    clients->on_done(clients);
}

void gateway_clients_clear(struct gateway_clients *clients)
{
    buf_fini(&clients->page);
}

void gateway_online(struct node *node, struct gateway_online *online)
{
    (void)node;
    for (size_t i = 0; i < online->n_users; i++)
        online->is_online[i] =
            online->users[i].len >= 2 && memcmp(online->users[i].bytes, "on", 2) == 0;
    online->on_done(online);
}

/* Five users are online: a to e. */
void gateway_online_page(struct node *node, struct gateway_online_page *page)
{
    static const char names[] = "abcde";
    (void)node;
    char first = page->after.len > 0 ? (char)(page->after.bytes[0] + 1) : 'a';
    page->users = calloc(sizeof names, sizeof(struct span));
    page->error = twin.online_error;
    for (const char *name = names; *name != '\0'; name++) {
        if (*name < first)
            continue;
        page->has_more = page->n == page->limit;
        if (page->has_more)
            break;
        page->users[page->n++] = (struct span){name, 1};
    }
    page->on_done(page);
}

void gateway_stats(struct node *node, struct gateway_stats *ret_stats)
{
    (void)node;
    *ret_stats = (struct gateway_stats){.store = "twin"};
}

void gateway_nodes(struct node *node, struct gateway_nodes *nodes)
{
    (void)node;
    nodes->error = ERR_OK;
    nodes->n = 0;
    nodes->nodes = NULL;
    if (twin.play_nodes != NULL)
        twin.play_nodes(nodes);
    nodes->on_done(nodes);
}

bool node_is_live(const struct node *node)
{
    (void)node;
    return true;
}

enum node_readiness node_readiness(const struct node *node)
{
    (void)node;
    return twin.readiness;
}

unsigned node_slots_missing(const struct node *node)
{
    (void)node;
    return 0;
}

void gateway_store_problem(struct node *node, char out[STORE_PROBLEM_MAX_BYTES])
{
    (void)node;
    snprintf(out, STORE_PROBLEM_MAX_BYTES, "%s", twin.store_problem);
}

void gateway_store_refusal(struct node *node, char out[STORE_PROBLEM_MAX_BYTES])
{
    gateway_store_problem(node, out);
}

uint64_t twin_pushes(void)
{
    pthread_mutex_lock(&twin.lock);
    uint64_t n = twin.n_pushes;
    pthread_mutex_unlock(&twin.lock);
    return n;
}

uint64_t twin_await_pushes(uint64_t n)
{
    int64_t end_ms = clock_monotonic_ms() + 10000;
    while (twin_pushes() < n && clock_monotonic_ms() < end_ms)
        usleep(2000);
    return twin_pushes();
}

void twin_begin(void)
{
    twin.end = &twin.first;
    cr_assert_eq(pthread_create(&twin.thread, NULL, run_answers, NULL), 0);
}

void twin_end(void)
{
    pthread_mutex_lock(&twin.lock);
    twin.is_over = true;
    pthread_cond_broadcast(&twin.changed);
    pthread_mutex_unlock(&twin.lock);
    pthread_join(twin.thread, NULL);
}
