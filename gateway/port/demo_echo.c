/* A message that came by HTTP has no connection: its answer goes to all sessions of the user. The
 * push is not kept (ttl 0), because nobody waits for it but the page that is open. */
#include "gateway/port/demo_echo.h"

#include "gateway/base/list.h"
#include "gateway/base/log.h"
#include "gateway/requests/requests.h"
#include "proto/note/connection_id.h"
#include "proto/note/event_message.h"

#include <stdlib.h>

enum { ECHO_EXTRA_MAX_BYTES = 1024 };

struct demo_echo {
    struct gateway_push push;
    struct gateway_target target;
    char user_id[USER_ID_MAX_BYTES];
};

static void on_pushed(struct gateway_push *push)
{
    free(CONTAINER_OF(push, struct demo_echo, push));
}

static enum err write_echo(struct buf *out, const struct event_message *said)
{
    char id[CONNECTION_ID_MAX_BYTES];
    enum err error =
        buf_append_text(out, "{\"title\":\"Herald heard you\",\"text\":\"This is an echo: "
                             "your backend answers by pushing.\"");
    if (error == ERR_OK && said->connection != 0)
        error = buf_printf(out, ",\"connection\":\"%.*s\"",
                           (int)connection_id_write(said->connection, id), id);
    if (error == ERR_OK && said->client_id.len > 0)
        error = buf_printf(out, ",\"clientId\":\"%.*s\"", (int)said->client_id.len,
                           said->client_id.bytes);
    if (error == ERR_OK)
        error = buf_append_text(out, ",\"data\":");
    if (error == ERR_OK)
        error = buf_append_span(out, said->data);
    if (error == ERR_OK)
        error = buf_append_text(out, "}");
    return error;
}

/* node->on_message_kept. Without memory there is no echo. */
static void answer_message(struct node *node, const struct event_message *said)
{
    struct buf data;
    struct demo_echo *echo = calloc(1, sizeof *echo);
    buf_init(&data, said->data.len + ECHO_EXTRA_MAX_BYTES);
    if (echo == NULL || write_echo(&data, said) != ERR_OK) {
        free(echo);
        buf_fini(&data);
        return;
    }
    memcpy(echo->user_id, said->user_id.bytes, said->user_id.len);
    echo->target.user_id = (struct span){echo->user_id, said->user_id.len};
    echo->push = (struct gateway_push){
        .on_done = on_pushed,
        .data = buf_span(&data), /* copied before the call returns */
        .is_to_connection = said->connection != 0,
        .connection = said->connection,
        .n_targets = 1,
        .targets = &echo->target,
    };
    gateway_push(node, &echo->push);
    buf_fini(&data);
}

void demo_echo_begin(struct node *node)
{
    const struct options *options = node->options;
    if (strcmp(options->client_messages, "off") == 0)
        return;
    node->on_message_kept = answer_message;
    log_event(LOG_INFO, "the demo answers what clients say with an echo",
              LOG_TEXT("client_messages", options->client_messages));
}
