/* The happy path: a request that the gateway has not answered inside its call is suspended
 * (pending_wait), pending_done resumes its connection from any thread, and the daemon then answers.
 *
 * The failures: the thread of the registry resumes requests whose deadline has passed, and gives up
 * requests that wait on behalf of a client that has hung up. A stop first lets requests
 * finish, then makes the rest overdue, then waits until the clients have closed. */
#include "admin/pending.h"

#include "gateway/base/clock.h"
#include "gateway/requests/requests.h"

#include <poll.h>
#include <time.h>

enum {
    STOP_WAIT_MS = 5000,  /* a stop waits at most this long for the gateway, */
    STOP_FLUSH_MS = 2000, /* for answers to be written, */
    STOP_LEAVE_MS = 1000, /* for the clients to close their connections, */
    STOP_QUIET_MS = 250,  /* and for those while none of them sends anything */
    LOOK_EVERY_MS = 500,
};

void pending_request_init(struct pending_request *request, struct pending *pending,
                          const struct pending_owner *owner, int fd)
{
    *request = (struct pending_request){.pending = pending, .owner = owner, .fd = fd};
    atomic_init(&request->refs, 1);
    list_init(&request->link);
}

void pending_request_ref(struct pending_request *request)
{
    atomic_fetch_add_explicit(&request->refs, 1, memory_order_relaxed);
}

void pending_request_unref(struct pending_request *request)
{
    if (atomic_fetch_sub_explicit(&request->refs, 1, memory_order_acq_rel) == 1)
        request->owner->free(request);
}

void pending_working(struct pending_request *request)
{
    struct pending *pending = request->pending;
    pthread_mutex_lock(&pending->lock);
    request->state = PENDING_WORKING;
    pthread_mutex_unlock(&pending->lock);
}

bool pending_wait(struct pending_request *request)
{
    struct pending *pending = request->pending;
    if (pending_is_done(request))
        return true;
    /* An answer that comes before the connection is registered does not resume it. */
    request->owner->suspend(request);
    pthread_mutex_lock(&pending->lock);
    bool is_waiting = request->state != PENDING_DONE && !pending->has_given_up;
    if (is_waiting) {
        request->state = PENDING_SUSPENDED;
        request->deadline_ms = clock_monotonic_ms() + request->wait_ms + PENDING_DEADLINE_MS;
        list_append(&pending->suspended, &request->link);
    } else if (request->state != PENDING_DONE) {
        request->state = PENDING_OVERDUE;
    }
    pthread_mutex_unlock(&pending->lock);
    if (!is_waiting)
        request->owner->resume(request);
    return false;
}

void pending_done(struct pending_request *request)
{
    struct pending *pending = request->pending;
    pthread_mutex_lock(&pending->lock);
    bool was_suspended = request->state == PENDING_SUSPENDED;
    if (was_suspended)
        list_remove(&request->link);
    if (request->state != PENDING_OVERDUE)
        request->state = PENDING_DONE;
    pthread_mutex_unlock(&pending->lock);
    if (was_suspended)
        request->owner->resume(request);
}

bool pending_is_done(struct pending_request *request)
{
    struct pending *pending = request->pending;
    pthread_mutex_lock(&pending->lock);
    bool is_done = request->state == PENDING_DONE;
    pthread_mutex_unlock(&pending->lock);
    return is_done;
}

/* Under the lock: one of the numbers has changed. */
static void note_change(struct pending *pending)
{
    if (!pending->is_stopping)
        return;
    pending->active_ms = clock_monotonic_ms();
    pthread_cond_broadcast(&pending->changed);
}

void pending_hand_over(struct pending *pending)
{
    pthread_mutex_lock(&pending->lock);
    pending->n_connections++;
    pending->n_handed_over++;
    pthread_mutex_unlock(&pending->lock);
}

void pending_connected(struct pending *pending)
{
    pthread_mutex_lock(&pending->lock);
    if (pending->n_handed_over > 0)
        pending->n_handed_over--;
    else
        pending->n_connections++;
    note_change(pending);
    pthread_mutex_unlock(&pending->lock);
}

void pending_disconnected(struct pending *pending)
{
    pthread_mutex_lock(&pending->lock);
    pending->n_connections--;
    note_change(pending);
    pthread_mutex_unlock(&pending->lock);
}

void pending_begin(struct pending_request *request)
{
    struct pending *pending = request->pending;
    pthread_mutex_lock(&pending->lock);
    pending->n_requests++;
    note_change(pending);
    pthread_mutex_unlock(&pending->lock);
}

bool pending_enter(struct pending_request *request)
{
    struct pending *pending = request->pending;
    pthread_mutex_lock(&pending->lock);
    pending->n_running++;
    bool may_run = !pending->is_stopping;
    pthread_mutex_unlock(&pending->lock);
    request->is_running = true;
    return may_run;
}

void pending_leave(struct pending_request *request)
{
    struct pending *pending = request->pending;
    pthread_mutex_lock(&pending->lock);
    pending->n_requests--;
    if (request->is_running)
        pending->n_running--;
    note_change(pending);
    pthread_mutex_unlock(&pending->lock);
    request->is_running = false;
}

bool pending_is_stopping(struct pending *pending)
{
    pthread_mutex_lock(&pending->lock);
    bool is_stopping = pending->is_stopping;
    pthread_mutex_unlock(&pending->lock);
    return is_stopping;
}

/* An overdue request is this function's alone until it is resumed. From then on it is the daemon's
 * thread's again, which may end it at once. */
static void resume_overdue(struct pending *pending, int64_t now_ms)
{
    struct list overdue;
    list_init(&overdue);
    pthread_mutex_lock(&pending->lock);
    LIST_FOR_EACH_SAFE(link, &pending->suspended)
    {
        struct pending_request *request = CONTAINER_OF(link, struct pending_request, link);
        if (request->deadline_ms > now_ms)
            continue;
        request->state = PENDING_OVERDUE;
        list_remove(link);
        list_append(&overdue, link);
    }
    pthread_mutex_unlock(&pending->lock);
    LIST_FOR_EACH_SAFE(due, &overdue)
    {
        struct pending_request *request = CONTAINER_OF(due, struct pending_request, link);
        request->owner->resume(request);
    }
}

/* The suspended requests that can be given up, at most `cap`, each with a reference. */
static size_t find_waiting(struct pending *pending, struct pending_request **found, size_t cap)
{
    size_t n = 0;
    pthread_mutex_lock(&pending->lock);
    LIST_FOR_EACH(link, &pending->suspended)
    {
        struct pending_request *request = CONTAINER_OF(link, struct pending_request, link);
        if (n == cap)
            break;
        if (request->give_up == NULL || request->is_given_up)
            continue;
        pending_request_ref(request);
        found[n++] = request;
    }
    pthread_mutex_unlock(&pending->lock);
    return n;
}

/* The library does not look at a suspended connection, so the push of a client that hangs up would
 * wait until its time is over. A client that has only closed its own half is treated in the same
 * way: it gets its answer earlier. A descriptor may belong to another connection by now. Then the
 * request is answered already, and giving it up changes nothing. */
static void give_up_gone(struct pending *pending)
{
    struct pending_request *waiting[WAITS_MAX];
    struct pollfd fds[WAITS_MAX];
    size_t n = find_waiting(pending, waiting, WAITS_MAX);
    for (size_t i = 0; i < n; i++)
        fds[i] = (struct pollfd){.fd = waiting[i]->fd, .events = POLLRDHUP};
    bool is_any_gone = n > 0 && poll(fds, n, 0) > 0;
    for (size_t i = 0; i < n; i++) {
        if (is_any_gone && (fds[i].revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0) {
            waiting[i]->is_given_up = true;
            waiting[i]->give_up(waiting[i]);
        }
        pending_request_unref(waiting[i]);
    }
}

static struct timespec monotonic_after(int64_t ms)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    int64_t ns = at.tv_nsec + ms % 1000 * 1000000;
    at.tv_sec += (time_t)(ms / 1000 + ns / 1000000000);
    at.tv_nsec = (long)(ns % 1000000000);
    return at;
}

void pending_look(struct pending *pending, int64_t now_ms)
{
    resume_overdue(pending, now_ms);
    give_up_gone(pending);
}

static void *run_registry(void *argument)
{
    struct pending *pending = argument;
    for (bool is_ended = false; !is_ended;) {
        struct timespec until = monotonic_after(LOOK_EVERY_MS);
        pthread_mutex_lock(&pending->lock);
        if (!pending->is_ended)
            pthread_cond_timedwait(&pending->changed, &pending->lock, &until);
        is_ended = pending->is_ended;
        pthread_mutex_unlock(&pending->lock);
        pending_look(pending, clock_monotonic_ms());
    }
    return NULL;
}

void pending_init(struct pending *pending)
{
    pthread_condattr_t monotonic;
    *pending = (struct pending){.n_running = 0};
    list_init(&pending->suspended);
    pthread_mutex_init(&pending->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&pending->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

enum err pending_start(struct pending *pending)
{
    pending_init(pending);
    if (pthread_create(&pending->thread, NULL, run_registry, pending) == 0)
        return ERR_OK;
    pending_fini(pending);
    return ERR_SYSTEM;
}

void pending_fini(struct pending *pending)
{
    pthread_cond_destroy(&pending->changed);
    pthread_mutex_destroy(&pending->lock);
}

/* Waits until no request runs, at most `ms`. */
static void wait_idle(struct pending *pending, int64_t ms)
{
    struct timespec until = monotonic_after(ms);
    pthread_mutex_lock(&pending->lock);
    while (pending->n_running > 0 &&
           pthread_cond_timedwait(&pending->changed, &pending->lock, &until) == 0) {
    }
    pthread_mutex_unlock(&pending->lock);
}

/* Waits until no connection is open, or the open ones have been silent for STOP_QUIET_MS, at most
 * until `end_ms`. A client between two requests sends the next one over the connection that it has,
 * and must get an answer that says `Connection: close`. */
static void wait_disconnected(struct pending *pending, int64_t end_ms)
{
    pthread_mutex_lock(&pending->lock);
    while (pending->n_connections > 0) {
        int64_t now_ms = clock_monotonic_ms();
        int64_t until_ms = pending->active_ms + STOP_QUIET_MS;
        if (pending->n_requests > 0 || until_ms > end_ms)
            until_ms = end_ms;
        if (now_ms >= until_ms)
            break;
        struct timespec until = monotonic_after(until_ms - now_ms);
        pthread_cond_timedwait(&pending->changed, &pending->lock, &until);
    }
    pthread_mutex_unlock(&pending->lock);
}

void pending_stop(struct pending *pending)
{
    int64_t begin_ms = clock_monotonic_ms();
    pthread_mutex_lock(&pending->lock);
    pending->is_stopping = true;
    pending->active_ms = begin_ms;
    pthread_mutex_unlock(&pending->lock);
    wait_idle(pending, STOP_WAIT_MS);
    pthread_mutex_lock(&pending->lock);
    pending->has_given_up = true;
    pthread_mutex_unlock(&pending->lock);
    resume_overdue(pending, INT64_MAX);
    wait_idle(pending, STOP_FLUSH_MS);
    wait_disconnected(pending, begin_ms + STOP_LEAVE_MS);
    wait_idle(pending, STOP_FLUSH_MS); /* for the answers to requests refused at the last moment */
    pthread_mutex_lock(&pending->lock);
    pending->is_ended = true;
    pthread_cond_broadcast(&pending->changed);
    pthread_mutex_unlock(&pending->lock);
    pthread_join(pending->thread, NULL);
}
