#include "admin/pending.h"

#include "admin/request.h"
#include "admin/service.h"
#include "gateway/base/clock.h"

#include <microhttpd.h>
#include <poll.h>
#include <time.h>

/* How long a stop waits for the gateway, and for answers to be written; how long for the clients of
 * open connections in all, and while none of them asks for anything. */
enum {
    STOP_WAIT_MS = 5000,
    STOP_FLUSH_MS = 2000,
    STOP_LEAVE_MS = 1000,
    STOP_QUIET_MS = 250,
    LOOK_EVERY_MS = 500,
};

static struct pending *pending_of(struct request *request)
{
    return &request->service->pending;
}

void pending_working(struct request *request)
{
    struct pending *pending = pending_of(request);
    pthread_mutex_lock(&pending->lock);
    request->state = REQUEST_WORKING;
    pthread_mutex_unlock(&pending->lock);
}

bool pending_wait(struct request *request)
{
    struct pending *pending = pending_of(request);
    if (pending_is_done(request))
        return true;
    /* The answer may come before the connection is registered: then nobody else resumes it. */
    MHD_suspend_connection(request->connection);
    pthread_mutex_lock(&pending->lock);
    bool is_waiting = request->state != REQUEST_DONE && !pending->has_given_up;
    if (is_waiting) {
        request->state = REQUEST_SUSPENDED;
        request->deadline_ms = clock_monotonic_ms() + request->wait_ms + PENDING_DEADLINE_MS;
        list_append(&pending->suspended, &request->link);
    } else if (request->state != REQUEST_DONE) {
        request->state = REQUEST_OVERDUE;
    }
    pthread_mutex_unlock(&pending->lock);
    if (!is_waiting)
        MHD_resume_connection(request->connection);
    return false;
}

void pending_done(struct request *request)
{
    struct pending *pending = pending_of(request);
    pthread_mutex_lock(&pending->lock);
    bool was_suspended = request->state == REQUEST_SUSPENDED;
    if (was_suspended)
        list_remove(&request->link);
    if (request->state != REQUEST_OVERDUE)
        request->state = REQUEST_DONE;
    pthread_mutex_unlock(&pending->lock);
    if (was_suspended)
        MHD_resume_connection(request->connection);
}

bool pending_is_done(struct request *request)
{
    struct pending *pending = pending_of(request);
    pthread_mutex_lock(&pending->lock);
    bool is_done = request->state == REQUEST_DONE;
    pthread_mutex_unlock(&pending->lock);
    return is_done;
}

/* The numbers, under the lock. */
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

void pending_begin(struct request *request)
{
    struct pending *pending = pending_of(request);
    pthread_mutex_lock(&pending->lock);
    pending->n_requests++;
    note_change(pending);
    pthread_mutex_unlock(&pending->lock);
}

bool pending_enter(struct request *request)
{
    struct pending *pending = pending_of(request);
    pthread_mutex_lock(&pending->lock);
    pending->n_running++;
    bool may_run = !pending->is_stopping;
    pthread_mutex_unlock(&pending->lock);
    request->is_running = true;
    return may_run;
}

void pending_leave(struct request *request)
{
    struct pending *pending = pending_of(request);
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

/* Resumes what is due at `now_ms`. An overdue request is nobody else's until it is resumed; then it
 * is the daemon's thread's again, which may end it at once. */
static void expire(struct pending *pending, int64_t now_ms)
{
    struct list overdue;
    list_init(&overdue);
    pthread_mutex_lock(&pending->lock);
    LIST_FOR_EACH_SAFE(link, &pending->suspended)
    {
        struct request *request = CONTAINER_OF(link, struct request, link);
        if (request->deadline_ms > now_ms)
            continue;
        request->state = REQUEST_OVERDUE;
        list_remove(link);
        list_append(&overdue, link);
    }
    pthread_mutex_unlock(&pending->lock);
    LIST_FOR_EACH_SAFE(due, &overdue)
    MHD_resume_connection(CONTAINER_OF(due, struct request, link)->connection);
}

/* What waits for its client's sake: up to `cap` of the requests, each with a reference. */
static size_t find_waiting(struct pending *pending, struct request **found, size_t cap)
{
    size_t n = 0;
    pthread_mutex_lock(&pending->lock);
    LIST_FOR_EACH(link, &pending->suspended)
    {
        struct request *request = CONTAINER_OF(link, struct request, link);
        if (n == cap)
            break;
        if (request->give_up == NULL || request->is_given_up)
            continue;
        request_ref(request);
        found[n++] = request;
    }
    pthread_mutex_unlock(&pending->lock);
    return n;
}

/* The library does not look at a suspended connection, so a client that hangs up would keep its
 * place until its time is over. One that has only ended its own half is taken for gone as well; it
 * gets its answer earlier. A descriptor may be another connection's by now: then its request is
 * answered, and giving it up changes nothing. */
static void give_up_gone(struct pending *pending)
{
    struct request *waiting[WAITS_MAX];
    struct pollfd fds[WAITS_MAX];
    size_t n = find_waiting(pending, waiting, WAITS_MAX);
    for (size_t i = 0; i < n; i++)
        fds[i] = (struct pollfd){.fd = waiting[i]->fd, .events = POLLRDHUP};
    bool is_told = n > 0 && poll(fds, n, 0) > 0;
    for (size_t i = 0; i < n; i++) {
        if (is_told && (fds[i].revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0) {
            waiting[i]->is_given_up = true;
            waiting[i]->give_up(waiting[i]);
        }
        request_unref(waiting[i]);
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

static void *run(void *argument)
{
    struct pending *pending = argument;
    for (bool is_ended = false; !is_ended;) {
        struct timespec until = monotonic_after(LOOK_EVERY_MS);
        pthread_mutex_lock(&pending->lock);
        if (!pending->is_ended)
            pthread_cond_timedwait(&pending->changed, &pending->lock, &until);
        is_ended = pending->is_ended;
        pthread_mutex_unlock(&pending->lock);
        expire(pending, clock_monotonic_ms());
        give_up_gone(pending);
    }
    return NULL;
}

enum err pending_start(struct pending *pending)
{
    pthread_condattr_t monotonic;
    *pending = (struct pending){.n_running = 0};
    list_init(&pending->suspended);
    pthread_mutex_init(&pending->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&pending->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (pthread_create(&pending->thread, NULL, run, pending) == 0)
        return ERR_OK;
    pending_fini(pending);
    return ERR_SYSTEM;
}

void pending_fini(struct pending *pending)
{
    pthread_cond_destroy(&pending->changed);
    pthread_mutex_destroy(&pending->lock);
}

/* Until nothing runs, or the time is over. */
static void wait_idle(struct pending *pending, int64_t ms)
{
    struct timespec until = monotonic_after(ms);
    pthread_mutex_lock(&pending->lock);
    while (pending->n_running > 0 &&
           pthread_cond_timedwait(&pending->changed, &pending->lock, &until) == 0) {
    }
    pthread_mutex_unlock(&pending->lock);
}

/* Until nobody is connected, or those who are want nothing, or the time is over. A client between
 * two requests sends the next one to the connection that it has: it is to get its answer. */
static void wait_left(struct pending *pending, int64_t end_ms)
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
    expire(pending, INT64_MAX);
    wait_idle(pending, STOP_FLUSH_MS);
    wait_left(pending, begin_ms + STOP_LEAVE_MS);
    wait_idle(pending, STOP_FLUSH_MS); /* what was refused at the last moment */
    pthread_mutex_lock(&pending->lock);
    pending->is_ended = true;
    pthread_cond_broadcast(&pending->changed);
    pthread_mutex_unlock(&pending->lock);
    pthread_join(pending->thread, NULL);
}
