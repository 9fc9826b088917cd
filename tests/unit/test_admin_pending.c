/* The registry of waiting requests (admin/pending.h) without the daemon and without its thread: the
 * tests own the requests, count what the registry does with them, and say what time it is. */
#include "admin/pending.h"

#include "gateway/base/clock.h"

#include <criterion/criterion.h>
#include <sys/socket.h>
#include <unistd.h>

struct owned {
    struct pending_request request;
    unsigned n_suspended, n_resumed, n_given_up, n_freed;
};

static struct pending pending;
static struct owned owned;

static struct owned *owned_of(struct pending_request *request)
{
    return CONTAINER_OF(request, struct owned, request);
}

static void count_suspend(struct pending_request *request)
{
    owned_of(request)->n_suspended++;
}

static void count_resume(struct pending_request *request)
{
    owned_of(request)->n_resumed++;
}

static void count_free(struct pending_request *request)
{
    owned_of(request)->n_freed++;
}

static void count_give_up(struct pending_request *request)
{
    owned_of(request)->n_given_up++;
}

static void set_up(void)
{
    static const struct pending_owner owner = {count_suspend, count_resume, count_free};
    pending_init(&pending);
    pending_request_init(&owned.request, &pending, &owner, -1);
}

static void tear_down(void)
{
    pending_fini(&pending);
}

TestSuite(pending, .init = set_up, .fini = tear_down);

/* The request is with the gateway, and its connection is suspended. */
static void suspend(void)
{
    pending_working(&owned.request);
    cr_assert_not(pending_wait(&owned.request));
    cr_assert_eq(owned.n_suspended, 1);
    cr_assert_eq(owned.n_resumed, 0);
}

Test(pending, does_not_suspend_a_request_that_was_answered_inside_the_call)
{
    pending_working(&owned.request);
    pending_done(&owned.request);
    cr_expect(pending_wait(&owned.request));
    cr_expect(pending_is_done(&owned.request));
    cr_expect_eq(owned.n_suspended, 0);
    cr_expect_eq(owned.n_resumed, 0);
}

Test(pending, resumes_a_suspended_request_when_it_is_answered)
{
    suspend();
    cr_expect_not(pending_is_done(&owned.request));
    pending_done(&owned.request);
    cr_expect_eq(owned.n_resumed, 1);
    cr_expect(pending_is_done(&owned.request));
    cr_expect(list_is_empty(&pending.suspended));
}

/* CONTRACT 3: a request that the gateway does not answer is answered 503 after its deadline. */
Test(pending, resumes_a_request_at_its_deadline_and_not_before)
{
    suspend();
    int64_t deadline_ms = owned.request.deadline_ms;
    cr_expect_leq(deadline_ms, clock_monotonic_ms() + PENDING_DEADLINE_MS);
    pending_look(&pending, deadline_ms - 1);
    cr_expect_eq(owned.n_resumed, 0);
    pending_look(&pending, deadline_ms);
    cr_expect_eq(owned.n_resumed, 1);
    cr_expect_not(pending_is_done(&owned.request));
}

Test(pending, resumes_an_overdue_request_once_whatever_the_gateway_answers_later)
{
    suspend();
    pending_look(&pending, INT64_MAX);
    pending_done(&owned.request);
    pending_look(&pending, INT64_MAX);
    cr_expect_eq(owned.n_resumed, 1);
    cr_expect_not(pending_is_done(&owned.request), "it was answered as overdue");
}

Test(pending, adds_the_time_that_a_push_waits_to_its_deadline)
{
    owned.request.wait_ms = 20000;
    int64_t before_ms = clock_monotonic_ms();
    suspend();
    cr_expect_geq(owned.request.deadline_ms, before_ms + PENDING_DEADLINE_MS + 20000);
}

/* A push that waits for an acknowledgement makes room for another when its client hangs up. */
Test(pending, gives_up_a_request_once_when_its_client_has_hung_up)
{
    int fds[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    owned.request.fd = fds[0];
    owned.request.give_up = count_give_up;
    suspend();
    pending_look(&pending, 0);
    cr_expect_eq(owned.n_given_up, 0, "the client is there");
    close(fds[1]);
    pending_look(&pending, 0);
    pending_look(&pending, 0);
    cr_expect_eq(owned.n_given_up, 1);
    cr_expect_eq(atomic_load(&owned.request.refs), 1, "each look has given back its reference");
    cr_expect_eq(owned.n_resumed, 0, "the gateway answers it");
    close(fds[0]);
}

Test(pending, leaves_a_request_alone_that_nothing_waits_for_when_its_client_hangs_up)
{
    int fds[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    owned.request.fd = fds[0];
    suspend();
    close(fds[1]);
    pending_look(&pending, 0);
    cr_expect_eq(owned.n_resumed, 0);
    cr_expect_not(owned.request.is_given_up);
    close(fds[0]);
}

Test(pending, frees_a_request_with_its_last_reference)
{
    pending_request_ref(&owned.request);
    pending_request_unref(&owned.request);
    cr_expect_eq(owned.n_freed, 0);
    pending_request_unref(&owned.request);
    cr_expect_eq(owned.n_freed, 1);
}

/* The stop: what is complete before it runs, what becomes complete after it is refused. */
Test(pending, lets_no_request_run_once_it_stops)
{
    cr_assert(pending_enter(&owned.request));
    cr_expect_eq(pending.n_running, 1);
    pending.is_stopping = true;
    pending_begin(&owned.request);
    pending_leave(&owned.request);
    cr_expect_eq(pending.n_running, 0);
    cr_expect_not(pending_enter(&owned.request));
    cr_expect(pending_is_stopping(&pending));
}

Test(pending, makes_a_request_overdue_at_once_when_a_stop_waits_no_longer)
{
    pending.has_given_up = true;
    pending_working(&owned.request);
    cr_expect_not(pending_wait(&owned.request));
    cr_expect_eq(owned.n_resumed, 1);
    cr_expect_not(pending_is_done(&owned.request));
    cr_expect(list_is_empty(&pending.suspended));
}

Test(pending, counts_a_connection_once_that_was_handed_over)
{
    pending_hand_over(&pending);
    pending_connected(&pending);
    cr_expect_eq(pending.n_connections, 1);
    pending_connected(&pending);
    cr_expect_eq(pending.n_connections, 2);
    pending_disconnected(&pending);
    pending_disconnected(&pending);
    cr_expect_eq(pending.n_connections, 0);
}
