#include "admin/routes/routes.h"

#include <stdio.h>

static const struct route_body json = {.media = GUARD_JSON};
static const struct route_body lines = {GUARD_NDJSON, lines_begin, lines_take};

static const struct route routes[] = {
    {"POST", "/push", push_run, push_finish, push_end, &json, ROLE_PUSH},
    {"POST", "/push", lines_run, lines_finish, lines_end, &lines, ROLE_PUSH},
    {"POST", "/broadcast", broadcast_run, broadcast_finish, NULL, &json, ROLE_PUSH},
    {"POST", "/deleteClient", kick_run_body, kick_finish, NULL, &json, ROLE_ADMIN},
    {"DELETE", "/users/*/connections", kick_run_path, kick_finish, NULL, NULL, ROLE_ADMIN},
    {"GET", "/users/*/inbox", inbox_run, inbox_finish, inbox_end, NULL, ROLE_READ},
    {"DELETE", "/users/*/inbox", purge_run, purge_finish, NULL, NULL, ROLE_ADMIN},
    {"GET", "/users/*/messages/*", message_run, message_finish, NULL, NULL, ROLE_READ},
    {"DELETE", "/users/*/messages/*", cancel_run, cancel_finish, NULL, NULL, ROLE_ADMIN},
    {"GET", "/users/*", user_run, user_finish, user_end, NULL, ROLE_READ},
    {"POST", "/online", online_run, NULL, NULL, &json, ROLE_READ},
    {"POST", "/tickets", ticket_run, ticket_finish, NULL, &json, ROLE_PUSH},
    {"POST", "/drain", drain_run, NULL, NULL, &json, ROLE_ADMIN},
    {"GET", "/clients", clients_run, NULL, NULL, NULL, ROLE_READ},
    {"GET", "/stats", stats_run, NULL, NULL, NULL, ROLE_READ},
    {"GET", "/metrics", metrics_run, NULL, NULL, NULL, ROLE_READ},
    {"GET", "/livez", livez_run, NULL, NULL, NULL, 0},
    {"GET", "/readyz", readyz_run, NULL, NULL, NULL, 0},
};

enum { N_ROUTES = sizeof routes / sizeof routes[0] };

/* The segment behind the slash that `path` begins with; the rest stays in `path`. */
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

static bool matches(const char *pattern, struct span path, struct span segments[ROUTE_SEGMENTS_MAX])
{
    struct span wanted = span_of(pattern);
    size_t n = 0;
    while (wanted.len > 0 && path.len > 0 && path.bytes[0] == '/') {
        struct span want = take_segment(&wanted);
        struct span have = take_segment(&path);
        if (n < ROUTE_SEGMENTS_MAX && span_equal(want, SPAN_LITERAL("*")))
            segments[n++] = have;
        else if (!span_equal(want, have))
            return false;
    }
    return wanted.len == 0 && path.len == 0;
}

/* The rows of one path stand together, those of one method first. */
static void add_allowed(char allow[ROUTE_ALLOW_MAX_BYTES], const struct route *route)
{
    const char *text = strcmp(route->method, "GET") == 0 ? "GET, HEAD" : route->method;
    size_t len = strlen(allow);
    if (strstr(allow, text) == NULL)
        snprintf(allow + len, ROUTE_ALLOW_MAX_BYTES - len, "%s%s", len > 0 ? ", " : "", text);
}

enum err route_find(const char *method, struct span path, enum guard_media media,
                    struct route_match *ret_match)
{
    const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;
    bool is_post = strcmp(method, "POST") == 0;
    enum err error = ERR_NOT_FOUND;
    *ret_match = (struct route_match){0};
    for (size_t i = 0; i < N_ROUTES; i++) {
        struct span segments[ROUTE_SEGMENTS_MAX] = {{0}};
        if (!matches(routes[i].path, path, segments))
            continue;
        if (strcmp(routes[i].method, wanted) != 0) {
            add_allowed(ret_match->allow, &routes[i]);
            if (error == ERR_NOT_FOUND)
                error = ERR_METHOD_NOT_ALLOWED;
        } else if (is_post && routes[i].body->media != media) {
            error = ERR_UNSUPPORTED_MEDIA_TYPE;
        } else {
            ret_match->route = &routes[i];
            memcpy(ret_match->segments, segments, sizeof segments);
            return ERR_OK;
        }
    }
    return error;
}
