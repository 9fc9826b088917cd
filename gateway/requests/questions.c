/* A question about a user is answered on the user's home worker, by a letter that is the question's
 * own: behind the notifications and withdrawals that the store reported before it, which go the
 * same way. For a user who has no session here it is answered at once, and so is a question about
 * all users.
 *
 * What comes about a user while the sessions stand still waits like any letter. When they have gone
 * to another process, which may not have heard the question, it is not answered: that nobody is
 * there would be wrong. */
#include "gateway/requests/questions.h"

#include "gateway/delivery/kicks.h"
#include "gateway/delivery/position_writer.h"
#include "gateway/requests/clients_json.h"
#include "gateway/requests/connections_json.h"
#include "gateway/session/session.h"

static void kick_client(struct client *client, struct store_user_question *question)
{
    uint64_t closed = client->n_sessions;
    kicks_close(client, question->asked.reason);
    store_answer(&question->question, closed);
}

/* The answer goes out behind the positions. */
static void describe_client(struct client *client, struct store_user_question *question)
{
    struct buf text;
    buf_init(&text, STORE_ANSWER_MAX_BYTES);
    position_writer_flush(client);
    connections_json_write(client, &text);
    store_answer_text(&question->question, client->n_sessions, &text);
}

static void count_written(const struct client *client, struct store_user_question *question)
{
    const struct store_asked *asked = &question->asked;
    uint64_t n = 0;
    bool is_epoch = epoch_is_none(asked->epoch) || epoch_equal(asked->epoch, client->epoch);
    LIST_FOR_EACH(link, &client->sessions)
    {
        n += is_epoch && session_sent(CONTAINER_OF(link, struct session, link)) >= asked->seq;
    }
    store_answer(&question->question, n);
}

static void count_connection(const struct client *client, struct store_user_question *question)
{
    uint64_t n = 0;
    LIST_FOR_EACH(link, &client->sessions)
    {
        n += CONTAINER_OF(link, struct session, link)->id == question->asked.connection;
    }
    store_answer(&question->question, n);
}

static void on_asked_letter(struct letter *letter)
{
    struct store_question *asked = CONTAINER_OF(letter, struct store_question, letter);
    struct store_user_question *question =
        CONTAINER_OF(asked, struct store_user_question, question);
    struct node *node = question->owner;
    struct client *client = client_map_find(node->map, question->user_id);
    if (atomic_load(&node->is_frozen)) { /* the user's sessions have left; some may have stayed */
        if (client != NULL && question->asked.kind == STORE_ASK_KICK)
            kicks_close(client, question->asked.reason);
        store_answer_not(asked);
        return;
    }
    if (client == NULL) {
        store_answer(asked, 0);
        return;
    }
    switch (question->asked.kind) {
    case STORE_ASK_KICK:
        kick_client(client, question);
        break;
    case STORE_ASK_DESCRIBE:
        describe_client(client, question);
        break;
    case STORE_ASK_WRITTEN:
        count_written(client, question);
        break;
    case STORE_ASK_CONNECTION:
        count_connection(client, question);
        break;
    case STORE_ASK_CLIENTS: /* of no user */
    case STORE_ASK_KINDS:
        break;
    }
}

/* Without an answer in the text the asker takes it for none. */
static void list_clients(struct node *node, struct store_user_question *question)
{
    const struct store_asked *asked = &question->asked;
    struct buf text;
    size_t n = 0;
    buf_init(&text, STORE_ANSWER_MAX_BYTES);
    if (clients_json_write(node->map, asked->after, asked->limit, &text, &n) != ERR_OK)
        buf_clear(&text);
    store_answer_text(&question->question, n, &text);
}

void questions_on_asked(struct store_user_question *question)
{
    struct node *node = question->owner;
    if (question->asked.kind == STORE_ASK_CLIENTS)
        list_clients(node, question);
    else if (!atomic_load(&node->is_frozen) && client_map_count(node->map, question->user_id) == 0)
        store_answer(&question->question, 0);
    else
        node_ask_home(node, question->user_id, &question->question.letter, on_asked_letter);
}
