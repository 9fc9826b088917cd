/* The admin API as it is, on a gateway that the test plays: what is asked of it waits in a queue,
 * and a thread of its own answers, at once or when the test says so. For one test file each;
 * criterion runs every test in a process of its own. */
#ifndef HERALD_TESTS_ADMIN_TWIN_H
#define HERALD_TESTS_ADMIN_TWIN_H

#include "admin/admin.h"
#include "admin/routes/routes.h"
#include "gateway/base/clock.h"
#include "tests/unit/admin_client.h"

#include <pthread.h>

/* The gateway */

struct twin_task {
    struct twin_task *next;
    void (*answer)(void *op);
    void *op;
};

/* `lock` guards it. The last push is copied, since its texts end with it. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t thread;
    struct twin_task *first, **end;
    bool is_held; /* nothing is answered until twin_release */
    bool is_over;
    bool has_stuck;    /* gateway_end_waits releases nothing */
    bool has_no_waits; /* gateway_end_waits was called */
    uint64_t n_pushes;
    uint64_t n_answered;
    uint64_t n_ended_waits; /* gateway_end_wait was called */
    char last_data[256], last_user[256], last_collapse_key[128], last_idempotency_key[128];
    uint32_t last_ttl_s, last_wait_ms;
    struct gateway_message asked_message;
    struct gateway_cancel asked_cancel;
    struct gateway_inbox asked_inbox;
    struct gateway_purge asked_purge;
    void (*play_push)(struct gateway_push *push, uint64_t n); /* NULL: kept for nobody */
    void (*play_message)(struct gateway_message *message);
    void (*play_cancel)(struct gateway_cancel *cancel);
    void (*play_inbox)(struct gateway_inbox *inbox);
    void (*play_purge)(struct gateway_purge *purge);
    enum node_readiness readiness;
    const char *store_problem;
    int64_t blocked_until_ms;
} twin = {
    .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER, .store_problem = ""};

static void *twin_run(void *nothing)
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
static inline void twin_queue(void (*answer)(void *op), void *op)
{
    struct twin_task *task = malloc(sizeof *task);
    cr_assert_not_null(task);
    *task = (struct twin_task){NULL, answer, op};
    *twin.end = task;
    twin.end = &task->next;
    pthread_cond_broadcast(&twin.changed);
}

static inline void twin_hold(bool is_held)
{
    pthread_mutex_lock(&twin.lock);
    twin.is_held = is_held;
    pthread_cond_broadcast(&twin.changed);
    pthread_mutex_unlock(&twin.lock);
}

static inline void twin_copy(char *out, size_t cap, struct span text)
{
    snprintf(out, cap, "%.*s", (int)text.len, text.len > 0 ? text.bytes : "");
}

static inline void twin_answer_push(void *op)
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
    twin_copy(twin.last_data, sizeof twin.last_data, push->data);
    twin_copy(twin.last_user, sizeof twin.last_user, push->targets[0].user_id);
    twin_copy(twin.last_collapse_key, sizeof twin.last_collapse_key, push->collapse_key);
    twin_copy(twin.last_idempotency_key, sizeof twin.last_idempotency_key, push->idempotency_key);
    twin.last_ttl_s = push->ttl_s;
    twin.last_wait_ms = push->wait_ms;
    for (size_t i = 0; i < push->n_targets && push->ttl_s > 0; i++) {
        memcpy(push->targets[i].epoch.text, "k3f9a2qd", EPOCH_LEN);
        push->targets[i].seq = n + i;
        push->targets[i].expires_ms = 1790000000000 + (int64_t)(n + i);
    }
    if (twin.play_push != NULL)
        twin.play_push(push, n);
    twin_queue(twin_answer_push, push);
    pthread_mutex_unlock(&twin.lock);
}

/* Whoever is gone, all are answered: a test has one. */
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

static inline void twin_answer_broadcast(void *op)
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
    twin_copy(twin.last_data, sizeof twin.last_data, broadcast->data);
    twin_queue(twin_answer_broadcast, broadcast);
    pthread_mutex_unlock(&twin.lock);
}

static inline void twin_answer_message(void *op)
{
    struct gateway_message *message = op;
    message->on_done(message);
}

void gateway_message(struct node *node, struct gateway_message *message)
{
    (void)node;
    pthread_mutex_lock(&twin.lock);
    twin.asked_message = *message;
    twin_copy(twin.last_user, sizeof twin.last_user, message->user_id);
    twin.play_message(message);
    twin_queue(twin_answer_message, message);
    pthread_mutex_unlock(&twin.lock);
}

static inline void twin_answer_cancel(void *op)
{
    struct gateway_cancel *cancel = op;
    cancel->on_done(cancel);
}

void gateway_cancel(struct node *node, struct gateway_cancel *cancel)
{
    (void)node;
    pthread_mutex_lock(&twin.lock);
    twin.asked_cancel = *cancel;
    twin_copy(twin.last_user, sizeof twin.last_user, cancel->user_id);
    twin.play_cancel(cancel);
    twin_queue(twin_answer_cancel, cancel);
    pthread_mutex_unlock(&twin.lock);
}

static inline void twin_answer_inbox(void *op)
{
    struct gateway_inbox *inbox = op;
    inbox->on_done(inbox);
}

void gateway_inbox(struct node *node, struct gateway_inbox *inbox)
{
    (void)node;
    pthread_mutex_lock(&twin.lock);
    twin.asked_inbox = *inbox;
    twin_copy(twin.last_user, sizeof twin.last_user, inbox->user_id);
    twin.play_inbox(inbox);
    twin_queue(twin_answer_inbox, inbox);
    pthread_mutex_unlock(&twin.lock);
}

static inline void twin_answer_purge(void *op)
{
    struct gateway_purge *purge = op;
    purge->on_done(purge);
}

void gateway_purge(struct node *node, struct gateway_purge *purge)
{
    (void)node;
    pthread_mutex_lock(&twin.lock);
    twin.asked_purge = *purge;
    twin_copy(twin.last_user, sizeof twin.last_user, purge->user_id);
    twin.play_purge(purge);
    twin_queue(twin_answer_purge, purge);
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

/* Nothing of these is asked for here. */
void gateway_kick(struct node *node, struct gateway_kick *kick)
{
    (void)node;
    kick->on_done(kick);
}

void gateway_user(struct node *node, struct gateway_user *user)
{
    (void)node;
    user->blocked_until_ms = twin.blocked_until_ms;
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

uint32_t gateway_drain(struct node *node)
{
    (void)node;
    return 0;
}

enum err gateway_clients(struct node *node, struct span after, struct gateway_client *clients,
                         size_t cap, size_t *ret_n, char ret_next[32])
{
    (void)node, (void)after, (void)clients, (void)cap;
    *ret_n = 0;
    ret_next[0] = '\0';
    return ERR_OK;
}

bool gateway_is_online(struct node *node, struct span user_id)
{
    (void)node;
    return user_id.len >= 2 && memcmp(user_id.bytes, "on", 2) == 0;
}

void gateway_stats(struct node *node, struct gateway_stats *ret_stats)
{
    (void)node;
    *ret_stats = (struct gateway_stats){.store = "twin"};
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

void gateway_store_problem(struct node *node, char out[STORE_PROBLEM_MAX_BYTES])
{
    (void)node;
    snprintf(out, STORE_PROBLEM_MAX_BYTES, "%s", twin.store_problem);
}

void gateway_store_refusal(struct node *node, char out[STORE_PROBLEM_MAX_BYTES])
{
    gateway_store_problem(node, out);
}

static inline uint64_t twin_pushes(void)
{
    pthread_mutex_lock(&twin.lock);
    uint64_t n = twin.n_pushes;
    pthread_mutex_unlock(&twin.lock);
    return n;
}

/* Waits until so many pushes came, at most 10 s; answers how many did. */
static inline uint64_t twin_await_pushes(uint64_t n)
{
    int64_t end_ms = clock_monotonic_ms() + 10000;
    while (twin_pushes() < n && clock_monotonic_ms() < end_ms)
        usleep(2000);
    return twin_pushes();
}

/* The daemon */

static struct admin *twin_admin;

static inline void twin_start(void)
{
    char why[256];
    char listen[80];
    snprintf(client_path, sizeof client_path, "/tmp/herald-admin-twin.%ld", (long)getpid());
    snprintf(listen, sizeof listen, "unix:%s", client_path);
    static char no_file[] = "";
    static char mode[] = "0660";
    const struct options options = {.admin_listen = listen,
                                    .socket_mode = mode,
                                    .socket_group = no_file,
                                    .admin_keys = no_file,
                                    .admin_tls_cert = no_file,
                                    .admin_tls_key = no_file,
                                    .max_body = 1 << 20,
                                    .max_data = 65536,
                                    .default_ttl = 604800000};
    twin.end = &twin.first;
    cr_assert_eq(pthread_create(&twin.thread, NULL, twin_run, NULL), 0);
    cr_assert_eq(admin_start(&options, &admin_routes, NULL, &twin_admin, why, sizeof why), ERR_OK,
                 "%s", why);
}

static inline void twin_stop(void)
{
    admin_stop(twin_admin);
    pthread_mutex_lock(&twin.lock);
    twin.is_over = true;
    pthread_cond_broadcast(&twin.changed);
    pthread_mutex_unlock(&twin.lock);
    pthread_join(twin.thread, NULL);
}

#endif
