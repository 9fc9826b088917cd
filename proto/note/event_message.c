#include "proto/note/event_message.h"

#include "proto/json/json_text.h"
#include "proto/note/connection_id.h"

/* Of these texts nothing has to be escaped. Empty: null. */
static enum err put_member(struct buf *out, const char *before, struct span text)
{
    enum err error = buf_append_text(out, before);
    if (error == ERR_OK)
        error = buf_append_text(out, text.len > 0 ? "\"" : "null");
    if (error == ERR_OK)
        error = buf_append_span(out, text);
    return error == ERR_OK && text.len > 0 ? buf_append_text(out, "\"") : error;
}

static enum err put_connection(struct buf *out, uint64_t connection)
{
    char name[CONNECTION_ID_MAX_BYTES];
    if (connection == 0)
        return ERR_OK;
    size_t len = connection_id_write(connection, name);
    return put_member(out, ",\"connection\":", (struct span){name, len});
}

static enum err put_who(struct buf *out, const struct event_message *message)
{
    enum err error = buf_append_text(out, "{\"type\":\"client.message\",\"userId\":");
    if (error == ERR_OK)
        error = json_text_string(out, message->user_id);
    if (error == ERR_OK)
        error = put_connection(out, message->connection);
    if (error == ERR_OK)
        error = put_member(out, ",\"level\":", span_of(message->level));
    if (error == ERR_OK)
        error = put_member(out, ",\"device\":", message->device);
    if (error == ERR_OK)
        error = put_member(out, ",\"clientId\":", message->client_id);
    return error;
}

enum err event_write_message(struct buf *out, const struct event_message *message)
{
    size_t before = out->len;
    enum err error = put_who(out, message);
    if (error == ERR_OK)
        error = buf_append_text(out, ",\"data\":");
    if (error == ERR_OK)
        error = buf_append_span(out, message->data);
    if (error == ERR_OK)
        error = buf_append(out, "}", 1);
    if (error != ERR_OK)
        out->len = before;
    return error;
}
