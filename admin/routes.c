#include "admin/routes.h"

static const struct route routes[] = {
    {"POST", "/push", push_run, push_finish, push_end},
    {"POST", "/deleteClient", kick_run_body, kick_finish, NULL},
    {"DELETE", "/users/*/connections", kick_run_path, kick_finish, NULL},
    {"GET", "/users/*", user_run, user_finish, user_end},
    {"GET", "/clients", clients_run, NULL, NULL},
    {"GET", "/stats", stats_run, NULL, NULL},
    {"GET", "/metrics", metrics_run, NULL, NULL},
    {"GET", "/livez", livez_run, NULL, NULL},
    {"GET", "/readyz", readyz_run, NULL, NULL},
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

static bool matches(const char *pattern, struct span path, struct span *ret_segment)
{
    struct span wanted = span_of(pattern);
    while (wanted.len > 0 && path.len > 0 && path.bytes[0] == '/') {
        struct span want = take_segment(&wanted);
        struct span have = take_segment(&path);
        if (span_equal(want, SPAN_LITERAL("*")))
            *ret_segment = have;
        else if (!span_equal(want, have))
            return false;
    }
    return wanted.len == 0 && path.len == 0;
}

/* No path has rows of two methods. */
static const char *allow_of(const struct route *route)
{
    return strcmp(route->method, "GET") == 0 ? "GET, HEAD" : route->method;
}

enum err route_find(const char *method, struct span path, const struct route **ret_route,
                    struct span *ret_segment, const char **ret_allow)
{
    const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;
    for (size_t i = 0; i < N_ROUTES; i++) {
        struct span segment = {0};
        if (!matches(routes[i].path, path, &segment))
            continue;
        *ret_allow = allow_of(&routes[i]);
        if (strcmp(routes[i].method, wanted) != 0)
            return ERR_METHOD_NOT_ALLOWED;
        *ret_route = &routes[i];
        *ret_segment = segment;
        return ERR_OK;
    }
    return ERR_NOT_FOUND;
}
