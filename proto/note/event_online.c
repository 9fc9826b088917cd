#include "proto/note/event_online.h"

#include "proto/json/json_text.h"

static enum err put_member(struct buf *out, const char *before, struct span text)
{
    enum err error = buf_append_text(out, before);
    return error == ERR_OK ? json_text_string(out, text) : error;
}

static enum err put_session(struct buf *out, const struct event_online *online)
{
    enum err error = put_member(out, ",\"connection\":", online->connection);
    if (error == ERR_OK)
        error = put_member(out, ",\"level\":", online->level);
    if (error == ERR_OK && online->device.len > 0)
        error = put_member(out, ",\"device\":", online->device);
    else if (error == ERR_OK)
        error = buf_append_text(out, ",\"device\":null");
    if (error == ERR_OK && online->address.len > 0)
        error = put_member(out, ",\"address\":", online->address);
    return error == ERR_OK ? buf_append_text(out, "}") : error;
}

enum err event_write_online(struct buf *out, const struct event_online *online)
{
    size_t len = out->len;
    enum err error = put_member(out, "{\"type\":\"user.online\",\"userId\":", online->user_id);
    if (error == ERR_OK)
        error = put_member(out, ",\"node\":", online->node);
    if (error == ERR_OK)
        error = put_session(out, online);
    if (error != ERR_OK)
        out->len = len;
    return error;
}
