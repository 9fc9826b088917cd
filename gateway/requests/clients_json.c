/* The map says where the next page begins when it is asked for a number of users. So if not all of
 * them fit, the page is written again with as many as did. */
#include "gateway/requests/clients_json.h"

#include "proto/json/json_scan.h"
#include "proto/json/json_text.h"

#include <inttypes.h>
#include <stdlib.h>

enum { TAIL_MAX_BYTES = 32 };

static enum err put_row(struct buf *out, const struct client_map_row *row, bool is_first)
{
    struct span user_id = {row->user_id, row->user_id_len};
    enum err error = buf_append_text(out, is_first ? "{\"userId\":" : ",{\"userId\":");
    if (error == ERR_OK)
        error = json_text_string(out, user_id);
    if (error == ERR_OK)
        error = buf_printf(out, ",\"connections\":%" PRIu32 "}", row->n_sessions);
    if (error == ERR_OK && out->max - out->len < TAIL_MAX_BYTES)
        error = ERR_FULL;
    return error;
}

/* Without the tail. *ret_n_fit: the first of them, as many as fit. */
static enum err put_rows(struct buf *out, const struct client_map_row *rows, size_t n,
                         size_t *ret_n_fit)
{
    *ret_n_fit = 0;
    out->len = 0;
    enum err error = buf_append_text(out, "{\"clients\":[");
    for (size_t i = 0; error == ERR_OK && i < n; i++) {
        size_t whole = out->len;
        error = put_row(out, &rows[i], i == 0);
        if (error == ERR_OK)
            ++*ret_n_fit;
        else
            out->len = whole;
    }
    return error == ERR_FULL ? ERR_OK : error;
}

static enum err put_tail(struct buf *out, uint64_t cursor)
{
    if (cursor == UINT64_MAX)
        return buf_append_text(out, "],\"next\":null}");
    return buf_printf(out, "],\"next\":\"%016" PRIx64 "\"}", cursor);
}

enum err clients_json_write(struct client_map *map, uint64_t after, uint32_t limit, struct buf *out,
                            size_t *ret_n)
{
    struct client_map_row *rows = calloc(limit, sizeof *rows);
    if (rows == NULL)
        return ERR_NO_MEMORY;
    enum err error;
    uint64_t cursor;
    size_t n;
    size_t n_fit = limit;
    do {
        cursor = after;
        n = client_map_list(map, &cursor, rows, n_fit);
        error = put_rows(out, rows, n, &n_fit);
    } while (error == ERR_OK && n_fit < n && n_fit > 0);
    free(rows);
    if (error == ERR_OK)
        error = put_tail(out, cursor);
    *ret_n = n_fit;
    return error == ERR_FULL ? ERR_NO_MEMORY : error;
}

bool clients_json_check(struct span page)
{
    struct json_scan scan;
    struct span object;
    json_scan_init(&scan, page);
    return json_scan_peek(&scan) == '{' && json_scan_value(&scan, &object) && json_scan_end(&scan);
}
