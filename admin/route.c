#include "admin/route.h"

#include <stdio.h>

/* The segment after the slash that `path` begins with; the rest stays in `path`. */
static struct span take_segment(struct span *path)
{
    const char *begin = path->bytes + 1;
    size_t left = path->len - 1;
    const char *slash = memchr(begin, '/', left);
    struct span segment = {begin, slash == NULL ? left : (size_t)(slash - begin)};
    path->bytes = begin + segment.len;
    path->len = left - segment.len;
    return segment;
}

static bool path_matches(const char *pattern, struct span path,
                         struct http_part segments[ROUTE_SEGMENTS_MAX])
{
    const char *begin = path.bytes;
    struct span wanted = span_of(pattern);
    size_t n = 0;
    while (wanted.len > 0 && path.len > 0 && path.bytes[0] == '/') {
        struct span want = take_segment(&wanted);
        struct span have = take_segment(&path);
        if (n < ROUTE_SEGMENTS_MAX && span_equal(want, SPAN_LITERAL("*")))
            segments[n++] = (struct http_part){(uint16_t)(have.bytes - begin), (uint16_t)have.len};
        else if (!span_equal(want, have))
            return false;
    }
    return wanted.len == 0 && path.len == 0;
}

/* Several rows of one path may have the same method. */
static void add_allowed_method(char allow[ROUTE_ALLOW_MAX_BYTES], const struct route *route)
{
    const char *text = strcmp(route->method, "GET") == 0 ? "GET, HEAD" : route->method;
    size_t len = strlen(allow);
    if (strstr(allow, text) == NULL)
        snprintf(allow + len, ROUTE_ALLOW_MAX_BYTES - len, "%s%s", len > 0 ? ", " : "", text);
}

enum err route_find(const struct route_table *table, struct span method, struct span path,
                    enum guard_media media, struct route_match *ret_match)
{
    struct span wanted = span_equal(method, SPAN_LITERAL("HEAD")) ? SPAN_LITERAL("GET") : method;
    bool is_post = span_equal(method, SPAN_LITERAL("POST"));
    enum err error = ERR_NOT_FOUND;
    *ret_match = (struct route_match){0};
    for (size_t i = 0; i < table->n; i++) {
        const struct route *route = &table->routes[i];
        struct http_part segments[ROUTE_SEGMENTS_MAX] = {{0}};
        if (!path_matches(route->path, path, segments))
            continue;
        if (!span_equal(wanted, span_of(route->method))) {
            add_allowed_method(ret_match->allow, route);
            if (error == ERR_NOT_FOUND)
                error = ERR_METHOD_NOT_ALLOWED;
        } else if (is_post && route->media != media) {
            error = ERR_UNSUPPORTED_MEDIA_TYPE;
        } else {
            ret_match->route = route;
            memcpy(ret_match->segments, segments, sizeof segments);
            return ERR_OK;
        }
    }
    return error;
}

size_t route_request_bytes(const struct route_table *table)
{
    size_t most = 0;
    for (size_t i = 0; i < table->n; i++) {
        size_t bytes = table->routes[i].action->request_bytes;
        if (bytes > most)
            most = bytes;
    }
    return most;
}
