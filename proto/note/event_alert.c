#include "proto/note/event_alert.h"

#include "proto/json/json_text.h"

#include <inttypes.h>

static const char *const cause_texts[] = {
#define X(name, text) [ALERT_##name] = text,
    ALERT_CAUSES_LIST(X)
#undef X
};

const char *alert_cause_text(enum alert_cause cause)
{
    return cause_texts[cause];
}

static enum err write_members(struct buf *out, const struct event_alert *alert)
{
    char id[MESSAGE_ID_MAX_BYTES];
    int id_len = (int)message_id_write(alert->epoch, alert->seq, id);
    enum err error = buf_append_text(out, "{\"type\":\"notification.unacknowledged\",\"userId\":");
    if (error == ERR_OK)
        error = json_text_string(out, alert->user_id);
    if (error == ERR_OK)
        error = buf_printf(
            out, ",\"notification\":\"%.*s\",\"pushed\":%" PRId64 ",\"online\":%s,\"cause\":\"%s\"",
            id_len, id, alert->pushed_ms, alert->is_online ? "true" : "false",
            alert_cause_text(alert->cause));
    if (error == ERR_OK && alert->data.len > 0)
        error = buf_append_text(out, ",\"data\":");
    if (error == ERR_OK)
        error = buf_append_span(out, alert->data);
    if (error == ERR_OK)
        error = buf_append_text(out, "}");
    return error;
}

enum err event_write_alert(struct buf *out, const struct event_alert *alert)
{
    size_t len = out->len;
    enum err error = write_members(out, alert);
    if (error != ERR_OK)
        out->len = len;
    return error;
}
