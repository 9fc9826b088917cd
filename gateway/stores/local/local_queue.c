#include "gateway/stores/local/local_queue.h"

enum err local_queue_init(struct local_queue *queue)
{
    pthread_condattr_t attributes;
    if (pthread_mutex_init(&queue->lock, NULL) != 0)
        return ERR_SYSTEM;
    if (pthread_cond_init(&queue->call_done, NULL) != 0)
        goto undo_lock;
    if (pthread_condattr_init(&attributes) != 0)
        goto undo_call_done;
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    int failed = pthread_cond_init(&queue->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    if (failed == 0)
        return ERR_OK;
undo_call_done:
    pthread_cond_destroy(&queue->call_done);
undo_lock:
    pthread_mutex_destroy(&queue->lock);
    return ERR_SYSTEM;
}

void local_queue_fini(struct local_queue *queue)
{
    pthread_cond_destroy(&queue->wake);
    pthread_cond_destroy(&queue->call_done);
    pthread_mutex_destroy(&queue->lock);
}

/* ---- asking ---- */

/* Marks the requests of a chain; answers the last of them. */
static struct store_request *mark_chain(struct store_request *first, enum store_op op)
{
    struct store_request *last = first;
    for (struct store_request *request = first; request != NULL; request = request->next) {
        request->op = (int)op;
        last = request;
    }
    return last;
}

/* The thread is woken once a batch: by the caller that finds it asleep. */
static void unlock_and_wake(struct local_queue *queue)
{
    bool must_wake = queue->is_asleep;
    queue->is_asleep = false;
    pthread_mutex_unlock(&queue->lock);
    if (must_wake)
        pthread_cond_signal(&queue->wake);
}

void local_queue_submit(struct local_queue *queue, struct store_request *first, enum store_op op)
{
    struct store_request *last = mark_chain(first, op);
    pthread_mutex_lock(&queue->lock);
    if (queue->first == NULL)
        queue->first = first;
    else
        queue->last->next = first;
    queue->last = last;
    unlock_and_wake(queue);
}

void local_queue_call(struct local_queue *queue, struct local_call *call)
{
    call->next = NULL;
    call->is_done = false;
    pthread_mutex_lock(&queue->lock);
    struct local_call **last = &queue->first_call;
    while (*last != NULL)
        last = &(*last)->next;
    *last = call;
    unlock_and_wake(queue);
}

void local_queue_wait_done(struct local_queue *queue, struct local_call *call)
{
    pthread_mutex_lock(&queue->lock);
    while (!call->is_done)
        pthread_cond_wait(&queue->call_done, &queue->lock);
    pthread_mutex_unlock(&queue->lock);
}

void local_queue_close(struct local_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->is_closing = true;
    unlock_and_wake(queue);
}

/* ---- taking ---- */

static bool has_work(const struct local_queue *queue)
{
    return queue->first != NULL || queue->first_call != NULL;
}

bool local_queue_sleep(struct local_queue *queue, const struct timespec *until)
{
    pthread_mutex_lock(&queue->lock);
    int got = 0;
    while (!has_work(queue) && !queue->is_closing && got == 0) {
        queue->is_asleep = true;
        got = until != NULL ? pthread_cond_timedwait(&queue->wake, &queue->lock, until)
                            : pthread_cond_wait(&queue->wake, &queue->lock);
    }
    queue->is_asleep = false;
    bool has_requests = queue->first != NULL && !queue->is_closing;
    pthread_mutex_unlock(&queue->lock);
    return has_requests;
}

static struct store_request *take_batch(struct local_queue *queue)
{
    struct store_request *batch = queue->first;
    queue->first = NULL;
    queue->last = NULL;
    queue->is_asleep = false;
    return batch;
}

bool local_queue_take(struct local_queue *queue, struct local_work *ret_work)
{
    pthread_mutex_lock(&queue->lock);
    bool is_over = queue->is_closing && !has_work(queue);
    ret_work->batch = take_batch(queue);
    ret_work->calls = queue->first_call;
    queue->first_call = NULL;
    pthread_mutex_unlock(&queue->lock);
    return !is_over;
}

struct store_request *local_queue_take_requests(struct local_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    struct store_request *batch = take_batch(queue);
    pthread_mutex_unlock(&queue->lock);
    return batch;
}

void local_queue_finish(struct local_queue *queue, struct local_call *call)
{
    pthread_mutex_lock(&queue->lock);
    call->is_done = true;
    pthread_cond_broadcast(&queue->call_done);
    pthread_mutex_unlock(&queue->lock);
}

void local_queue_rest(struct local_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->is_asleep = !has_work(queue);
    pthread_mutex_unlock(&queue->lock);
}
