/* The admin REST API, served on the workers' threads (CONTRACT section 3). */
#ifndef HERALD_ADMIN_ADMIN_H
#define HERALD_ADMIN_ADMIN_H

#include "admin/route.h"
#include "gateway/gateway.h"

struct admin;

/* The node's workers run. Binds options->admin_listen (HOST:PORT, [V6]:PORT or unix:PATH) and
 * serves `routes`, which must outlive it. On error *why says what to do. ERR_INVALID_FIELD,
 * ERR_SYSTEM (the port is in use...).
 */
MUST_CHECK enum err admin_start(const struct options *options, const struct route_table *routes,
                                struct node *node, struct admin **ret_admin, char *why,
                                size_t why_cap);

/* The same in three steps, for a process that takes the sockets of a running one over.
 * admin_prepare: all but the listening sockets. admin_listen: takes those of the other process
 * (listeners_adopt), also on an error, and opens what it does not have. admin_accept: this process
 * owns them, and serves. Errors as admin_start. */
struct given_listener;
MUST_CHECK enum err admin_prepare(const struct options *options, const struct route_table *routes,
                                  struct node *node, struct admin **ret_admin, char *why,
                                  size_t why_cap);
MUST_CHECK enum err admin_listen(struct admin *admin, const struct options *options,
                                 const struct given_listener *given, size_t n_given, char *why,
                                 size_t why_cap);
MUST_CHECK enum err admin_accept(struct admin *admin);

struct http_port;
struct http_port *admin_port(struct admin *admin);

/* Another process is about to take over. Requests are served, but each answer ends its connection,
 * and pushes do not wait any more. true: no request is under way; call it again until then. From a
 * thread that is no worker's. */
bool admin_quiesce(struct admin *admin);
/* It does not: all goes on as before. */
void admin_resume(struct admin *admin);

/* Are the files that the options name as they must be? ERR_INVALID_FIELD: *why says what to do. Not
 * while an admin API runs. */
MUST_CHECK enum err admin_check(const struct options *options, char *why, size_t why_cap);

/* Reads the certificate and the admin keys again, the keys if their file has changed or `must`, the
 * certificate if `must`. A wrong one is logged, and the old one stays. One thread at a time. */
void admin_reload(struct admin *admin, bool must);

/* Answers every request that is under way, then ends. The gateway must still run. `is_urgent` is
 * asked every few milliseconds, on this thread: once it says true, nothing is waited for any more.
 * NULL: it is not asked. */
void admin_stop(struct admin *admin, bool (*is_urgent)(void *owner), void *owner);

#endif
