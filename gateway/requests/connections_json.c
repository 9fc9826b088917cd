#include "gateway/requests/connections_json.h"

#include "gateway/delivery/positions.h"
#include "gateway/net/listener.h"
#include "gateway/session/session_say.h"
#include "proto/json/json_scan.h"
#include "proto/json/json_text.h"

#include <inttypes.h>

static enum err put_string(struct buf *out, const char *before, struct span text)
{
    enum err error = buf_append_text(out, before);
    return error == ERR_OK ? json_text_string(out, text) : error;
}

static enum err put_string_or_null(struct buf *out, const char *before, struct span text)
{
    if (text.len > 0)
        return put_string(out, before, text);
    enum err error = buf_append_text(out, before);
    return error == ERR_OK ? buf_append_text(out, "null") : error;
}

static enum err put_round_trip(struct buf *out, const struct session *session)
{
    if (session->round_trip_ms == UINT16_MAX)
        return buf_append_text(out, ",\"roundTripMs\":null");
    return buf_printf(out, ",\"roundTripMs\":%u", (unsigned)session->round_trip_ms);
}

static enum err put_names(struct buf *out, const struct session *session)
{
    char name[SESSION_NAME_MAX_BYTES];
    char address[ADDRESS_MAX_BYTES];
    struct span agent = SPAN_NONE;
    session_name(session, name);
    if (!peer_describe(session->peer, address, sizeof address))
        listener_peer(session->conn.watch.fd, address, sizeof address);
    if (session->agent != NULL)
        agent = (struct span){session->agent->text, session->agent->len};
    enum err error = put_string(out, "{\"connection\":", span_of(name));
    if (error == ERR_OK)
        error = put_string(out, ",\"node\":", span_of(session_worker(session)->node->name));
    if (error == ERR_OK)
        error = put_string(out, ",\"address\":", span_of(address));
    if (error == ERR_OK)
        error = put_string_or_null(out, ",\"userAgent\":", agent);
    return error;
}

static enum err put_connection(struct buf *out, const struct session *session)
{
    enum err error = put_names(out, session);
    if (error == ERR_OK)
        error = put_string(out, ",\"level\":",
                           span_of(handshake_level_word((enum handshake_level)session->level)));
    if (error == ERR_OK)
        error = put_string_or_null(out, ",\"device\":", position_device(positions_of(session)));
    if (error == ERR_OK)
        error = buf_printf(out, ",\"since\":%" PRId64, (int64_t)session_since_s(session) * 1000);
    if (error == ERR_OK)
        error = put_round_trip(out, session);
    if (error == ERR_OK)
        error = buf_printf(out, ",\"queuedBytes\":%zu,\"acked\":%" PRIu64 "}",
                           session_queued_bytes(session), session->acked);
    return error;
}

void connections_json_write(const struct client *client, struct buf *out)
{
    size_t whole = 0; /* up to the end of the last one that fits */
    if (buf_append_text(out, "[") != ERR_OK)
        return;
    LIST_FOR_EACH(link, &client->sessions)
    {
        bool is_first = whole == 0;
        whole = out->len;
        if ((!is_first && buf_append_text(out, ",") != ERR_OK) ||
            put_connection(out, CONTAINER_OF(link, struct session, link)) != ERR_OK ||
            out->len == out->max)
            break; /* and the closing bracket must fit, too */
        whole = out->len;
    }
    out->len = whole > 0 ? whole : out->len;
    if (buf_append_text(out, "]") != ERR_OK)
        buf_clear(out);
}

/* The elements of an array of objects, without its brackets, and their number. */
static size_t scan_objects(struct span array, struct span *ret_elements)
{
    struct json_scan scan;
    struct span element;
    size_t n = 0;
    bool is_over;
    json_scan_init(&scan, array);
    if (json_scan_peek(&scan) != '[' || !json_scan_open(&scan, &is_over))
        return 0;
    while (!is_over) {
        if (json_scan_peek(&scan) != '{' || !json_scan_value(&scan, &element) ||
            !json_scan_next(&scan, &is_over))
            return 0;
        n++;
    }
    *ret_elements = (struct span){array.bytes + 1, array.len - 2};
    return json_scan_end(&scan) && array.bytes[array.len - 1] == ']' ? n : 0;
}

size_t connections_json_append(struct span array, struct buf *out)
{
    struct span elements;
    size_t n = scan_objects(array, &elements);
    if (n == 0 || buf_reserve(out, elements.len + 1) != ERR_OK)
        return 0;
    if (out->len > 0)
        out->bytes[out->len++] = ',';
    return buf_append_span(out, elements) == ERR_OK ? n : 0;
}
