#include "tests/support/successor.h"

#include "gateway/delivery/delivery_carry.h"
#include "gateway/session/session_carry.h"
#include "gateway/session/session_close.h"
#include "gateway/upgrade/session_record.h"
#include "tests/support/bare_node.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <unistd.h>

struct successor successor;

void successor_start(void)
{
    successor = (struct successor){0};
    bare_node_init(&successor.node, &successor.options, &successor.worker);
    successor.options = fixture.options;
    successor.node.store = fixture.node.store;
    cr_assert_eq(bare_node_open(&successor.node), ERR_OK);
    successor.worker->random = 2;
    cr_assert_eq(peers_new(&successor.options, &successor.peers), ERR_OK);
    fixture.successor = &successor.node;
}

/* ---- from one to the other ---- */

static void adopt_one(const struct carried_session *carried, int fd)
{
    cr_assert_eq(delivery_carried_home(&successor.node, carried, 0), successor.worker);
    enum err error = delivery_adopt(successor.worker, successor.peers, carried, fd);
    successor.n_adopted += error == ERR_OK;
    successor.n_refused += error != ERR_OK;
    if (error != ERR_OK)
        close(fd);
    node_fixture_turn(); /* the next one comes later */
}

/* As the bytes of a record, which are gone when it is adopted. */
static void send_carried(const struct carried_session *carried, int fd)
{
    struct buf bytes;
    char why[RECORD_WHY_MAX_BYTES];
    struct carried_session received;
    buf_init(&bytes, SIZE_MAX);
    struct record_writer writer = {.out = &bytes};
    session_record_write(&writer, carried, 1);
    cr_assert_eq(writer.error, ERR_OK);
    cr_assert_eq(session_record_read(buf_span(&bytes), &received, why), ERR_OK, "%s", why);
    adopt_one(&received, fd);
    buf_fini(&bytes);
}

static void take_one(struct session *session, void *scratch)
{
    struct carried_session carried;
    cr_assert_eq(session_carry(session, scratch, &carried), ERR_OK);
    int fd = dup(session->conn.watch.fd);
    cr_assert_geq(fd, 0);
    send_carried(&carried, fd);
}

void successor_take(void)
{
    struct buf scratch;
    buf_init(&scratch, SIZE_MAX);
    fixture.is_parked = true;
    while (mailbox_deliver(worker_mailbox(fixture.worker)) > 0) {
    }
    delivery_each_carried(fixture.worker, take_one, &scratch);
    buf_fini(&scratch);
    node_fixture_turn();
}

static void let_one_go(struct session *session, void *unused)
{
    (void)unused;
    delivery_let_go(session);
}

void successor_go(void)
{
    delivery_each_carried(fixture.worker, let_one_go, NULL);
    fixture.is_parked = false;
    reactor_turn(fixture.worker->reactor, 0);
    delivery_go(successor.worker);
    node_fixture_turn();
}

void successor_take_over(void)
{
    successor_take();
    successor_go();
}

/* ---- its end ---- */

static void close_client(struct client *client, void *unused)
{
    (void)unused;
    session_close_all(client, ERR_RESTART, SPAN_NONE);
}

static void close_all(struct worker *worker)
{
    while (!list_is_empty(&worker->unauthenticated))
        session_close(CONTAINER_OF(worker->unauthenticated.next, struct session, link),
                      ERR_RESTART);
    client_map_each(worker->node->map, 0, close_client, NULL);
    node_fixture_turn();
    session_abandon_closing(worker);
    node_fixture_turn();
}

static void end_successor(void)
{
    close_all(successor.worker);
    fixture.successor = NULL;
    cr_expect_eq(successor.node.n_sessions, 0, "%u sessions left", successor.node.n_sessions);
    cr_expect_eq(successor.node.n_sockets, 0, "%u sockets left", successor.node.n_sockets);
    cr_expect_eq(client_map_users(successor.node.map), 0);
    bare_node_close(&successor.node);
    peers_free(successor.peers);
}

void successor_give_up(void)
{
    end_successor();
    fixture.is_parked = false;
    node_fixture_turn();
}

void successor_stop(void)
{
    if (fixture.successor != NULL)
        end_successor();
    fixture.is_parked = false;
    node_fixture_stop();
}

struct session *successor_session(const char *user_id)
{
    struct list *sessions = &successor.worker->unauthenticated;
    if (user_id != NULL) {
        struct client *client = client_map_find(successor.node.map, span_of(user_id));
        cr_assert_not_null(client, "%s has no session", user_id);
        sessions = &client->sessions;
    }
    cr_assert_not(list_is_empty(sessions));
    return CONTAINER_OF(sessions->next, struct session, link);
}
