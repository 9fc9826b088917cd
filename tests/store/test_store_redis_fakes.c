/* A server that is too old, or no Redis at all: what it says is never trusted. */
#include "tests/store/redis_backend.h"

#include <poll.h>

/* --- what is no Redis --- */

struct fake {
    int listen_fd;
    const char *says;
    size_t len;
    bool must_hang_up; /* with what was asked unread, so that a reset follows */
    atomic_bool is_over;
};

static void hang_up(int fd)
{
    struct pollfd asked = {.fd = fd, .events = POLLIN};
    poll(&asked, 1, SOON_MS);
    close(fd);
}

/* Sends the same text to every client, whatever it requests. */
static void *run_fake(void *argument)
{
    struct fake *fake = argument;
    int fds[256];
    size_t n = 0;
    while (!atomic_load(&fake->is_over)) {
        int fd = accept4(fake->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            pause_ms(2);
            continue;
        }
        ssize_t said = send(fd, fake->says, fake->len, MSG_NOSIGNAL);
        (void)said;
        if (fake->must_hang_up)
            hang_up(fd);
        else if (n < sizeof fds / sizeof fds[0])
            fds[n++] = fd;
        else
            close(fd);
    }
    while (n > 0)
        close(fds[--n]);
    return NULL;
}

static void talk_to(struct fake fake, const char *expected)
{
    backend_close(store);
    redis_server_stop(&server);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, server.socket_path, strlen(server.socket_path));
    fake.listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    unlink(server.socket_path);
    cr_assert_eq(bind(fake.listen_fd, (struct sockaddr *)&address, sizeof address), 0);
    cr_assert_eq(listen(fake.listen_fd, 16), 0);
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, run_fake, &fake), 0);

    struct store_config config = contract_config(1000, 1 << 20);
    store = open_on(&config, server.url);
    pause_ms(300);
    struct store_page page = arrive_and_read(store, "anna");
    cr_assert_eq(page.error, ERR_STORE_UNAVAILABLE);
    cr_assert_eq(append_one(store, "anna", "{}", 60).error, ERR_STORE_UNAVAILABLE);
    char text[600] = "";
    for (int i = 0; i < SOON_MS / 2 && strstr(text, expected) == NULL; i++) {
        store_describe(store, text, sizeof text); /* the two links take turns */
        pause_ms(2);
    }
    cr_assert_not_null(strstr(text, expected), "%s", text);

    atomic_store(&fake.is_over, true);
    pthread_join(thread, NULL);
    close(fake.listen_fd);
}

#define FAKE(name, text, expected)                                                                 \
    Test(store_redis, name)                                                                        \
    {                                                                                              \
        talk_to((struct fake){.says = text, .len = sizeof(text) - 1}, expected);                   \
    }

/* As a Redis does that turns a client away: the reason, and then a reset. */
#define TURNS_AWAY(name, text, expected)                                                           \
    Test(store_redis, name)                                                                        \
    {                                                                                              \
        talk_to((struct fake){.says = text, .len = sizeof(text) - 1, .must_hang_up = true},        \
                expected);                                                                         \
    }

#define MASTER  "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"
#define GREETED "+OK\r\n" MASTER "+PONG\r\n"
#define SHA     "$40\r\n0123456789012345678901234567890123456789\r\n"

FAKE(garbage_is_no_redis, "HTTP/1.1 400 Bad Request\r\n\r\n", "no Redis (see which host and port")
FAKE(bytes_at_random_are_no_redis, "\0\xff\x01*$:\r\n\r\n", "no Redis")
FAKE(an_endless_array_is_refused, "*2000000000\r\n", "no Redis")
FAKE(deep_nesting_is_refused, "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n",
     "no Redis")
FAKE(an_array_is_no_pong, "+OK\r\n" MASTER "*-1\r\n", "no Redis")
FAKE(a_redis_without_a_role_is_no_redis, "+OK\r\n+PONG\r\n+PONG\r\n", "no Redis")
FAKE(answers_that_nobody_asked_for_break_the_link, GREETED GREETED GREETED GREETED GREETED GREETED,
     "Redis at")
FAKE(a_redis_that_still_loads_is_waited_for,
     "+OK\r\n" MASTER "-LOADING Redis is loading the dataset\r\n", "still loading")
FAKE(bytes_that_are_no_text_are_not_shown, "+OK\r\n" MASTER "-\xff\x1b[1m of\xe4\r\n",
     ": ??[1m of?")
TURNS_AWAY(a_redis_in_protected_mode_is_said_as_such,
           "-DENIED Redis is running in protected mode because protected mode is enabled\r\n",
           "protected mode")
TURNS_AWAY(a_redis_with_too_many_clients_is_said_as_such, "-ERR max number of clients reached\r\n",
           "raise maxclients")
FAKE(a_redis_that_cannot_write_to_its_disk_is_connected_all_the_same,
     "+OK\r\n" MASTER "-MISCONF Redis is configured to save RDB snapshots\r\n"
     "$21\r\nredis_version:6.2.14\n\r\n",
     "7.0 or later")
FAKE(a_redis_before_7_is_refused, GREETED "$21\r\nredis_version:6.2.14\n\r\n", "7.0 or later")
FAKE(a_script_name_of_the_wrong_length_is_refused,
     GREETED "$21\r\nredis_version:7.0.15\n\r\n*0\r\n*0\r\n$3\r\nabc\r\n$3\r\nabc\r\n", "Redis at")
FAKE(a_subscription_side_that_talks_nonsense_never_crashes,
     GREETED "$21\r\nredis_version:7.0.15\n\r\n*0\r\n*0\r\n" SHA SHA SHA SHA SHA
             "*3\r\n$8\r\nsmessage\r\n:1\r\n*-1\r\n*3\r\n$8\r\nsmessage\r\n$13\r\nherald:{anna}\r\n"
             "*0\r\n*1\r\n$8\r\nsmessage\r\n*-1\r\n",
     "Redis at")
