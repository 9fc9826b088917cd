/* The parts of an address, and headers, as the routes ask for them (admin/request.h). */
#include "admin/request.h"

#include "proto/bytes/decimal.h"

#include <inttypes.h>
#include <stdio.h>

static struct span segment_of(const struct request *request, size_t i)
{
    struct span path = http_part_span(request->head_bytes, request->head->path);
    return http_part_span(path.bytes, request->match.segments[i]);
}

bool request_path_user(struct request *request, struct span *ret_user)
{
    size_t len;
    const char *detail = "userId must be 1 to 128 bytes";
    enum err error = percent_decode(segment_of(request, 0), false, request->user_id,
                                    sizeof request->user_id, &len);
    if (error == ERR_INVALID_FIELD)
        detail = "userId has a bad percent-escape";
    else if (error == ERR_OK)
        error = user_id_check((struct span){request->user_id, len}, &detail);
    if (error != ERR_OK) {
        request_refuse_with(request, ERR_INVALID_FIELD, "userId", detail);
        return false;
    }
    *ret_user = (struct span){request->user_id, len};
    return true;
}

bool request_path_message(struct request *request, struct epoch *ret_epoch, uint64_t *ret_seq)
{
    char id[MESSAGE_ID_MAX_BYTES];
    size_t len;
    if (percent_decode(segment_of(request, 1), false, id, sizeof id, &len) == ERR_OK &&
        message_id_parse((struct span){id, len}, ret_epoch, ret_seq) == ERR_OK)
        return true;
    request_refuse_with(request, ERR_INVALID_FIELD, "id", "a message id is EPOCH-SEQ");
    return false;
}

bool request_path_name(struct request *request, char *out, size_t cap, struct span *ret_name)
{
    size_t len = 0;
    bool is_name = percent_decode(segment_of(request, 0), false, out, cap, &len) == ERR_OK;
    *ret_name = (struct span){out, len};
    return is_name;
}

unsigned request_header(struct request *request, const char *name, struct span *ret_value)
{
    const struct http_head *head = request->head;
    struct span wanted = span_of(name);
    unsigned n = 0;
    for (unsigned i = 0; i < head->n_fields; i++) {
        struct http_part part = head->fields[i].name;
        if (part.len != wanted.len ||
            !span_equal_nocase(http_part_span(request->head_bytes, part), wanted))
            continue;
        *ret_value = http_part_span(request->head_bytes, head->fields[i].value);
        n++;
    }
    return n;
}

enum err request_query(struct request *request, const char *name, char *out, size_t cap)
{
    struct span raw;
    size_t len;
    enum err error =
        query_find(http_part_span(request->head_bytes, request->head->query), name, &raw);
    if (error != ERR_OK)
        return error;
    if (percent_decode(raw, true, out, cap - 1, &len) != ERR_OK || memchr(out, '\0', len) != NULL)
        return ERR_INVALID_FIELD;
    out[len] = '\0';
    return ERR_OK;
}

bool request_query_number(struct request *request, const char *name, uint64_t min, uint64_t max,
                          uint64_t *ret_number)
{
    char text[24];
    char detail[80];
    uint64_t number;
    enum err error = request_query(request, name, text, sizeof text);
    if (error == ERR_NOT_FOUND)
        return true;
    if (error == ERR_OK && decimal_read(span_of(text), max, &number) && number >= min) {
        *ret_number = number;
        return true;
    }
    snprintf(detail, sizeof detail, "%s must be a number, %" PRIu64 "..%" PRIu64, name, min, max);
    request_refuse_with(request, ERR_INVALID_FIELD, name, detail);
    return false;
}
