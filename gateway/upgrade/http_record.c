#include "gateway/upgrade/http_record.h"

#include "proto/http/http_head.h"

/* A head, and what one or two reads bring behind it (http_conn_parts.h). */
enum { HEAD_MAX_BYTES = 128 * 1024 };

struct port_http {
    struct carried_http carried;
    bool is_admin;
};

#define ROW(tag, kind, is_required, member, max, name)                                             \
    {                                                                                              \
        tag, kind, 1, is_required, RECORD_MEMBER(struct port_http, member), max, name              \
    }

/* As in session_record.c: from 128 on is what cannot be left out, and no row ever changes. */
static const struct record_row http_rows[] = {
    ROW(128, RECORD_UNSIGNED, true, carried.state, CARRIED_HTTP_STATES - 1, "state"),
    ROW(129, RECORD_BOOL, true, is_admin, 0, "isAdmin"),
    ROW(130, RECORD_BOOL, false, carried.peer.is_proxied, 0, "isProxied"),
    ROW(131, RECORD_ARRAY, false, carried.peer.address, 0, "address"),
    ROW(132, RECORD_BOOL, false, carried.peer.is_unresolved, 0, "isUnresolved"),
    ROW(133, RECORD_UNSIGNED, false, carried.n_skipped, UINT32_MAX, "skipped"),
    ROW(134, RECORD_SPAN, false, carried.bytes, HEAD_MAX_BYTES, "bytes"),
    ROW(1, RECORD_UNSIGNED, false, carried.waited_ms, UINT32_MAX, "waited"),
};

static const struct record_table http_table = {http_rows, sizeof http_rows / sizeof http_rows[0]};

void http_record_write(struct record_writer *writer, const struct carried_http *carried,
                       bool is_admin, unsigned format)
{
    const struct port_http http = {*carried, is_admin};
    record_write(writer, &http_table, &http, format);
}

enum err http_record_read(struct span bytes, struct carried_http *ret_carried, bool *ret_is_admin,
                          char why[RECORD_WHY_MAX_BYTES])
{
    struct port_http http = {0};
    enum err error = record_read(bytes, &http_table, &http, why);
    if (error != ERR_OK)
        return error;
    *ret_carried = http.carried;
    *ret_is_admin = http.is_admin;
    return ERR_OK;
}
