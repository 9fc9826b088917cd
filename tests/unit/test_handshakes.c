/* Which handshake has its step in which turn, and which callback reports the outcome; with a
 * transport that answers as the test says, and no connection. */
#include "gateway/net/handshakes.h"

#include "gateway/base/hash.h"
#include "gateway/net/transport.h"

#include <criterion/criterion.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CLIENTS = 3 * HANDSHAKE_STEPS };

struct client {
    struct transport transport; /* first: shake finds the client by it */
    struct reactor_watch watch;
    struct handshake *handshake;
    enum transport_state answer;
    int far_end;
    uint32_t events; /* of the last report */
    unsigned n_steps;
    bool is_shaken, has_failed;
};

static struct reactor *reactor;
static struct handshakes handshakes;
static struct client clients[CLIENTS];

static enum transport_state shake(struct transport *transport, int fd)
{
    struct client *client = CONTAINER_OF(transport, struct client, transport);
    char byte;
    client->n_steps++;
    if (client->answer != TRANSPORT_WANTS_WRITE)
        (void)!read(fd, &byte, 1);
    return client->answer;
}

static const struct transport_ops shaking = {.shake = shake};

static void on_ready(struct reactor_watch *watch, uint32_t events)
{
    struct client *client = CONTAINER_OF(watch, struct client, watch);
    client->events = events;
    if (client->handshake != NULL && !handshake_is_waiting(client->handshake))
        handshake_ready(&handshakes, client->handshake);
}

static void free_handshake(struct client *client)
{
    handshake_free(&handshakes, client->handshake);
    client->handshake = NULL;
}

static void on_shaken(struct reactor_watch *watch)
{
    struct client *client = CONTAINER_OF(watch, struct client, watch);
    client->is_shaken = true;
    free_handshake(client);
}

static void on_failed(struct reactor_watch *watch)
{
    struct client *client = CONTAINER_OF(watch, struct client, watch);
    client->has_failed = true;
    reactor_watch_remove(reactor, watch);
    free_handshake(client);
}

static void set_up(void)
{
    static const struct handshake_ops ops = {on_shaken, on_failed};
    cr_assert_eq(hash_init(), ERR_OK);
    cr_assert_eq(reactor_new(NULL, &reactor), ERR_OK);
    cr_assert_eq(handshakes_init(&handshakes, reactor, &ops), ERR_OK);
}

static void tear_down(void)
{
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct client *client = &clients[i];
        if (client->transport.ops == NULL)
            continue;
        if (client->handshake != NULL)
            free_handshake(client);
        if (!client->has_failed)
            reactor_watch_remove(reactor, &client->watch);
        close(client->watch.fd);
        close(client->far_end);
    }
    handshakes_fini(&handshakes);
    reactor_free(reactor);
}

TestSuite(handshakes, .init = set_up, .fini = tear_down);

static struct client *connect_client(unsigned i, enum transport_state answer)
{
    struct client *client = &clients[i];
    struct ip ip = ip_from_v4((const uint8_t[]){192, 0, 2, (uint8_t)i});
    int fds[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    *client = (struct client){.transport = {&shaking}, .answer = answer, .far_end = fds[1]};
    client->watch = (struct reactor_watch){.on_ready = on_ready, .fd = fds[0]};
    cr_assert_eq(reactor_watch_add(reactor, &client->watch, EPOLLIN), ERR_OK);
    cr_assert_eq(
        handshake_new(&handshakes, &client->watch, &client->transport, &ip, &client->handshake),
        ERR_OK);
    return client;
}

static void say_hello(struct client *client)
{
    cr_assert_eq(write(client->far_end, "h", 1), 1);
}

static unsigned count_steps(void)
{
    unsigned n = 0;
    for (unsigned i = 0; i < CLIENTS; i++)
        n += clients[i].n_steps;
    return n;
}

Test(handshakes, report_that_one_is_complete)
{
    struct client *client = connect_client(0, TRANSPORT_WANTS_READ);
    cr_expect_not(handshake_has_spoken(client->handshake));
    say_hello(client);
    reactor_turn(reactor, 0);
    cr_assert_eq(client->n_steps, 1);
    cr_expect(handshake_has_spoken(client->handshake));
    cr_expect_not(client->is_shaken);
    client->answer = TRANSPORT_MOVED;
    say_hello(client);
    reactor_turn(reactor, 0);
    cr_assert(client->is_shaken);
    cr_expect_not(client->has_failed);
}

Test(handshakes, report_that_one_has_failed)
{
    static const enum transport_state answers[] = {TRANSPORT_BROKEN, TRANSPORT_CLOSED};
    for (unsigned i = 0; i < 2; i++)
        say_hello(connect_client(i, answers[i]));
    reactor_turn(reactor, 0);
    for (unsigned i = 0; i < 2; i++)
        cr_expect(clients[i].has_failed && !clients[i].is_shaken);
}

/* A worker is not held up by a storm of hellos: the rest have their steps in the turns after. */
Test(handshakes, take_a_bounded_number_of_steps_in_a_turn_until_all_had_theirs)
{
    for (unsigned i = 0; i < CLIENTS; i++)
        say_hello(connect_client(i, TRANSPORT_MOVED));
    for (unsigned turn = 1; turn <= CLIENTS / HANDSHAKE_STEPS; turn++) {
        reactor_turn(reactor, 0);
        cr_assert_eq(count_steps(), turn * HANDSHAKE_STEPS);
    }
    for (unsigned i = 0; i < CLIENTS; i++)
        cr_expect(clients[i].is_shaken, "client %u", i);
}

Test(handshakes, wait_for_the_socket_to_take_what_is_written)
{
    struct client *client = connect_client(0, TRANSPORT_WANTS_WRITE);
    say_hello(client);
    reactor_turn(reactor, 0);
    cr_assert_eq(client->n_steps, 1);
    client->answer = TRANSPORT_MOVED;
    reactor_turn(reactor, 0);
    cr_expect(client->events & EPOLLOUT);
    cr_assert(client->is_shaken);
    reactor_turn(reactor, 0); /* watched for reading again: nothing else is reported */
    cr_expect_eq(client->n_steps, 2);
}

/* Nothing is freed twice, and no step runs for a client that its owner has released. */
Test(handshakes, forget_one_that_is_freed_while_it_waits)
{
    for (unsigned i = 0; i < 2 * HANDSHAKE_STEPS; i++)
        say_hello(connect_client(i, TRANSPORT_MOVED));
    reactor_turn(reactor, 0);
    for (unsigned i = 0; i < 2 * HANDSHAKE_STEPS; i++) {
        if (clients[i].handshake == NULL)
            continue;
        cr_expect(handshake_is_waiting(clients[i].handshake));
        free_handshake(&clients[i]);
    }
    reactor_turn(reactor, 0);
    cr_expect_eq(count_steps(), HANDSHAKE_STEPS);
}
