/* POST /push with NDJSON over a socket (CONTRACT section 3), on a gateway that is played. */
#include "gateway/base/clock.h"
#include "tests/unit/admin_twin.h"

TestSuite(admin_ndjson_push, .init = twin_start, .fini = twin_stop, .timeout = 120);

#define NDJSON "application/x-ndjson"

enum { IN_FLIGHT_MAX = 512 };

/* A chunked body, so that the sender decides where it ends. */
static int begin_ndjson(void)
{
    int fd = client_open();
    client_head(fd, "/push", NDJSON, "Transfer-Encoding: chunked\r\n");
    return fd;
}

static void send_chunk(int fd, struct span text)
{
    char size[32];
    snprintf(size, sizeof size, "%zx\r\n", text.len);
    client_say(fd, size);
    client_send(fd, text.bytes, text.len);
    client_say(fd, "\r\n");
}

static void end_ndjson(int fd)
{
    client_say(fd, "0\r\n\r\n");
}

/* Lines and parts are found by their lengths (admin_client.h says why). */
static size_t count(const struct answer *answer, const char *part)
{
    size_t n = 0;
    const char *at = answer->body;
    const char *end = answer->body + answer->body_len;
    while ((at = memmem(at, (size_t)(end - at), part, strlen(part))) != NULL) {
        at += strlen(part);
        n++;
    }
    return n;
}

/* The answer's n-th line from 0 on contains `part`. */
static void expect_line(const struct answer *answer, size_t n, const char *part)
{
    const char *line = answer->body;
    const char *end = answer->body + answer->body_len;
    const char *line_end = NULL;
    for (size_t i = 0; i <= n; i++) {
        line = i == 0 ? line : line_end + 1;
        line_end = memchr(line, '\n', (size_t)(end - line));
        cr_assert_not_null(line_end, "there are %zu lines: %s", i, answer->body);
    }
    cr_expect(has_part(line, (size_t)(line_end - line), part), "%s is not in %.*s", part,
              (int)(line_end - line), line);
}

static void play_mismatch(struct gateway_push *push, uint64_t n)
{
    if (n == 2)
        push->targets[0].error = ERR_IDEMPOTENCY_MISMATCH;
}

Test(admin_ndjson_push, answers_each_line_in_order_and_continues_after_bad_ones)
{
    static const char body[] = "{\"userId\":\"a\",\"data\":1,\"ttl\":9}\r\n"
                               "\n"
                               "nonsense\n"
                               "{\"userId\":\"a\",\"data\":2,\"idempotencyKey\":\"k\"}\n"
                               "{\"userId\":\"a\",\"data\":3,\"ttl\":-1}\n"
                               "{\"userId\":\"a\",\"data\":4,\"ttl\":0}\n"
                               "{\"userIds\":[\"b\",\"c\\u0064\"],\"data\":5}\n"
                               "{\"userId\":\"a\",\"data\":6,\"wait\":1}\n"
                               "{\"userId\":\"z\",\"data\":7}";
    int fd = client_open();
    twin.play_push = play_mismatch;
    client_post(fd, "/push", NDJSON, "", SPAN_LITERAL(body));
    struct answer answer = client_answer(fd);
    cr_expect_eq(answer.status, 200);
    cr_expect_not_null(strstr(answer.text, "Content-Type: application/x-ndjson\r\n"));
    expect_line(&answer, 0, "{\"id\":\"k3f9a2qd-1\",\"seq\":1,\"status\":\"stored\"");
    expect_line(&answer, 1, "{\"type\":\"bad-json\"");
    expect_line(&answer, 1, "\"offset\":0,\"line\":3}");
    expect_line(&answer, 2, "\"type\":\"idempotency-mismatch\"");
    expect_line(&answer, 2, "\"line\":4}");
    expect_line(&answer, 3, "\"field\":\"ttl\",\"line\":5}");
    expect_line(&answer, 4, "{\"status\":\"dropped\",\"online\":0,\"nodes\":0}");
    expect_line(&answer, 5, "{\"results\":[{\"userId\":\"b\",\"id\":\"k3f9a2qd-4\",\"seq\":4,");
    expect_line(&answer, 5, "{\"userId\":\"cd\",\"id\":\"k3f9a2qd-5\",");
    expect_line(&answer, 6, "\"field\":\"wait\",\"line\":8}");
    expect_line(&answer, 7, "\"seq\":5,");
    cr_expect_eq(count(&answer, "\n"), 8);
    cr_expect_str_eq(twin.last_user, "z");
    cr_expect_str_eq(twin.last_data, "7");
    answer_free(&answer);
    /* The connection serves the next request. */
    client_post(fd, "/push", NDJSON, "", SPAN_LITERAL("x\n"));
    expect_answer(fd, 200, "\"line\":1}");
    client_post(fd, "/push", NDJSON, "", SPAN_LITERAL(""));
    answer = client_answer(fd);
    cr_expect_eq(answer.status, 200);
    cr_expect_eq(answer.body_len, 0);
    answer_free(&answer);
    close(fd);
}

Test(admin_ndjson_push, pushes_a_line_when_it_is_complete_not_when_the_body_is)
{
    int fd = begin_ndjson();
    send_chunk(fd, SPAN_LITERAL("{\"userId\":\"a\",\"data\":1}\n{\"userId\":\"b\",\"da"));
    cr_expect_eq(twin_await_pushes(1), 1);
    send_chunk(fd, SPAN_LITERAL("ta\":2}\n"));
    cr_expect_eq(twin_await_pushes(2), 2);
    cr_expect_str_eq(twin.last_user, "b");
    end_ndjson(fd);
    expect_answer(fd, 200, "\"seq\":2");
    close(fd);
}

static void send_many(int fd, size_t n)
{
    for (size_t i = 0; i < n; i++)
        client_say(fd, "{\"userId\":\"a\",\"data\":1}\n");
}

struct many {
    int fd;
    size_t n;
};

static void *send_in_thread(void *argument)
{
    const struct many *many = argument;
    char head[128];
    snprintf(head, sizeof head, "Content-Length: %zu\r\n",
             many->n * strlen("{\"userId\":\"a\",\"data\":1}\n"));
    client_head(many->fd, "/push", NDJSON, head);
    send_many(many->fd, many->n);
    return NULL;
}

/* Memory is bounded by what is in flight, not by what is sent. */
Test(admin_ndjson_push, slows_down_a_sender_that_is_faster_than_the_store)
{
    pthread_t thread;
    struct many many = {client_open(), 20000};
    twin_hold(true);
    cr_assert_eq(pthread_create(&thread, NULL, send_in_thread, &many), 0);
    cr_expect_eq(twin_await_pushes(IN_FLIGHT_MAX), IN_FLIGHT_MAX);
    usleep(200000);
    cr_expect_eq(twin_pushes(), IN_FLIGHT_MAX);
    expect_get("GET", "/livez", 200, "live");
    twin_hold(false);
    struct answer answer = client_answer(many.fd);
    pthread_join(thread, NULL);
    cr_expect_eq(answer.status, 200);
    cr_expect_eq(twin_pushes(), many.n);
    cr_expect_eq(count(&answer, "\"status\":\"stored\""), many.n);
    for (size_t i = 0; i < many.n; i += 1999) {
        char seq[32];
        snprintf(seq, sizeof seq, "\"seq\":%zu,", i + 1);
        expect_line(&answer, i, seq);
    }
    answer_free(&answer);
    close(many.fd);
}

static void *send_long_lines(void *argument)
{
    const struct many *many = argument;
    static char line[60000];
    int len = snprintf(line, sizeof line, "{\"userId\":\"a\",\"data\":\"%050000d\"}\n", 0);
    for (size_t i = 0; i < many->n; i++)
        send_chunk(many->fd, (struct span){line, (size_t)len});
    end_ndjson(many->fd);
    return NULL;
}

Test(admin_ndjson_push, counts_the_bytes_in_flight_as_well)
{
    pthread_t thread;
    struct many many = {begin_ndjson(), 200};
    twin_hold(true);
    cr_assert_eq(pthread_create(&thread, NULL, send_long_lines, &many), 0);
    twin_await_pushes(80);
    usleep(200000);
    uint64_t n = twin_pushes();
    cr_expect(n >= 80 && n <= 84, "%d lines of 50 KB are more than 4 MiB", (int)n);
    twin_hold(false);
    struct answer answer = client_answer(many.fd);
    pthread_join(thread, NULL);
    cr_expect_eq(count(&answer, "\"status\":\"stored\""), many.n);
    answer_free(&answer);
    close(many.fd);
}

/* What was not sent whole must not be applied. */
Test(admin_ndjson_push, takes_the_complete_lines_of_a_body_that_breaks_off_and_no_more)
{
    int fd = begin_ndjson();
    send_chunk(fd, SPAN_LITERAL("{\"userId\":\"a\",\"data\":1}\n{\"userId\":\"b\",\"data\":2}"));
    cr_expect_eq(twin_await_pushes(1), 1);
    close(fd);
    fd = client_open();
    client_head(fd, "/push", NDJSON, "Content-Length: 1000\r\n");
    client_say(fd, "{\"userId\":\"a\",\"data\":1}\n{\"userId\":\"b\",\"data\":2}");
    shutdown(fd, SHUT_WR);
    cr_expect_eq(twin_await_pushes(2), 2);
    usleep(100000);
    close(fd);
    expect_get("GET", "/livez", 200, "live");
    cr_expect_eq(twin_pushes(), 2);
    cr_expect_str_eq(twin.last_user, "a");
}

Test(admin_ndjson_push, takes_a_line_up_to_max_body_and_refuses_a_longer_one)
{
    size_t cap = (1 << 20) + 1;
    char *line = malloc(cap + 1);
    memset(line, ' ', cap);
    memcpy(line, "{\"userId\":\"a\",\"data\":1}", 23);
    line[cap] = '\n';
    int fd = begin_ndjson();
    send_chunk(fd, (struct span){line, cap + 1});
    line[cap - 1] = '\n';
    send_chunk(fd, (struct span){line, cap});
    end_ndjson(fd);
    struct answer answer = client_answer(fd);
    expect_line(&answer, 0, "\"type\":\"too-large\"");
    expect_line(&answer, 0, "\"line\":1}");
    expect_line(&answer, 1, "\"seq\":1,");
    answer_free(&answer);
    close(fd);
    free(line);
}

Test(admin_ndjson_push, takes_100000_lines_and_refuses_the_first_one_beyond)
{
    pthread_t thread;
    struct many many = {client_open(), 100005};
    cr_assert_eq(pthread_create(&thread, NULL, send_in_thread, &many), 0);
    struct answer answer = client_answer(many.fd);
    pthread_join(thread, NULL);
    cr_expect_eq(answer.status, 200);
    cr_expect_eq(twin_pushes(), 100000);
    cr_expect_eq(count(&answer, "\n"), 100001);
    cr_expect_eq(count(&answer, "\"status\":\"stored\""), 100000);
    cr_expect_eq(count(&answer, "\"type\":\"too-large\""), 1);
    cr_expect_not_null(strstr(answer.body + answer.body_len - 32, "\"line\":100001}\n"));
    answer_free(&answer);
    close(many.fd);
}

Test(admin_ndjson_push, refuses_a_key_for_all_of_them)
{
    expect_post("/push", NDJSON, "Idempotency-Key: k\r\n", "{\"userId\":\"a\",\"data\":1}\n", 400,
                "\"field\":\"idempotencyKey\"");
    cr_expect_eq(twin_pushes(), 0);
}

static void *stop_in_thread(void *nothing)
{
    admin_stop(twin_admin, NULL, NULL);
    twin_admin = NULL;
    return nothing;
}

/* CONTRACT 5.10: every request is answered, at a stop too; lines that were not begun say so. */
Test(admin_ndjson_push, answers_a_body_that_a_stop_comes_into)
{
    pthread_t thread;
    int fd = begin_ndjson();
    send_chunk(fd, SPAN_LITERAL("{\"userId\":\"a\",\"data\":1}\n"));
    cr_assert_eq(twin_await_pushes(1), 1);
    cr_assert_eq(pthread_create(&thread, NULL, stop_in_thread, NULL), 0);
    usleep(300000);
    send_chunk(fd, SPAN_LITERAL("{\"userId\":\"a\",\"data\":2}\n"));
    end_ndjson(fd);
    struct answer answer = client_answer(fd);
    pthread_join(thread, NULL);
    cr_expect_eq(answer.status, 200, "%s", answer.text);
    expect_line(&answer, 0, "\"seq\":1,");
    expect_line(&answer, 1, "\"type\":\"draining\"");
    expect_line(&answer, 1, "\"line\":2}");
    cr_expect_eq(twin_pushes(), 1);
    answer_free(&answer);
    close(fd);
}

/* A gateway that never answers holds up neither the sender nor the stop for good. */
Test(admin_ndjson_push, gives_up_on_lines_that_are_not_answered_at_a_stop)
{
    pthread_t sender;
    struct many many = {client_open(), 2000};
    twin_hold(true);
    twin.has_stuck = true;
    cr_assert_eq(pthread_create(&sender, NULL, send_in_thread, &many), 0);
    cr_expect_eq(twin_await_pushes(IN_FLIGHT_MAX), IN_FLIGHT_MAX);
    int64_t begin_ms = clock_monotonic_ms();
    pthread_t stopper;
    cr_assert_eq(pthread_create(&stopper, NULL, stop_in_thread, NULL), 0);
    struct answer answer = client_answer(many.fd);
    close(many.fd);
    pthread_join(sender, NULL);
    pthread_join(stopper, NULL);
    cr_expect_lt(clock_monotonic_ms() - begin_ms, 12000);
    cr_expect_eq(answer.status, 200);
    cr_expect_eq(count(&answer, "\"type\":\"store-unavailable\""), IN_FLIGHT_MAX);
    cr_expect_eq(count(&answer, "\"type\":\"draining\""), many.n - IN_FLIGHT_MAX);
    cr_expect_eq(twin_pushes(), IN_FLIGHT_MAX);
    answer_free(&answer);
}

/* ---- lists with ttl 0 ---- */

/* A line with that many userIds. */
static void say_list(int fd, unsigned n_users)
{
    char user[32];
    client_say(fd, "{\"ttl\":0,\"data\":1,\"userIds\":[\"a\"");
    for (unsigned i = 1; i < n_users; i++) {
        snprintf(user, sizeof user, ",\"%u\"", i);
        client_say(fd, user);
    }
    client_say(fd, "]}\n");
}

/* The length of what say_list writes. */
static size_t list_len(unsigned n_users)
{
    size_t len = strlen("{\"ttl\":0,\"data\":1,\"userIds\":[\"a\"]}\n");
    for (unsigned i = 1; i < n_users; i++)
        len += (size_t)snprintf(NULL, 0, ",\"%u\"", i);
    return len;
}

static int begin_lists(unsigned n_lists, unsigned n_users, const char *last)
{
    int fd = client_open();
    char head[64];
    snprintf(head, sizeof head, "Content-Length: %zu\r\n",
             n_lists * list_len(n_users) + strlen(last));
    client_head(fd, "/push", NDJSON, head);
    for (unsigned i = 0; i < n_lists; i++)
        say_list(fd, n_users);
    client_say(fd, last);
    return fd;
}

/* The gateway sends them on in slices, and a later push would come first. */
Test(admin_ndjson_push, gives_the_line_after_a_long_list_of_ttl_0_when_that_is_answered)
{
    twin_hold(true);
    int fd = begin_lists(1, GATEWAY_AT_ONCE + 1, "{\"userId\":\"z\",\"data\":2,\"ttl\":0}\n");
    cr_expect_eq(twin_await_pushes(1), 1);
    usleep(100 * 1000);
    cr_expect_eq(twin_pushes(), 1, "the next line did not wait");
    twin_hold(false);
    struct answer answer = client_answer(fd);
    cr_expect_eq(answer.status, 200);
    cr_expect_eq(count(&answer, "\n"), 2);
    cr_expect_str_eq(twin.last_user, "z");
    answer_free(&answer);
    close(fd);
}

/* They are answered at once, so it is the next turn that resumes the body. */
Test(admin_ndjson_push, goes_on_after_many_short_lists_of_ttl_0)
{
    enum { LISTS = 50, USERS = 60 };
    int fd = begin_lists(LISTS, USERS, "{\"userId\":\"z\",\"data\":2,\"ttl\":0}");
    struct answer answer = client_answer(fd);
    cr_expect_eq(answer.status, 200);
    cr_expect_eq(count(&answer, "\n"), LISTS + 1);
    cr_expect_eq(twin_pushes(), LISTS + 1);
    cr_expect_str_eq(twin.last_user, "z");
    answer_free(&answer);
    close(fd);
}
