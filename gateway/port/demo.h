/* The demo's routes on the subscriber port (--demo, loopback only): a page at `/`, whose files are
 * in demo/, `POST /demo/push`, and the options that the page shows (`GET /demo/facts`). All on the
 * HTTP connection's worker; a wrong method is 405. */
#ifndef HERALD_DEMO_H
#define HERALD_DEMO_H

#include "gateway/http/http_conn.h"

/* GET: the page, and what it loads. */
void demo_serve_page(struct http_conn *http_conn, struct span method);
void demo_serve_style(struct http_conn *http_conn, struct span method);
void demo_serve_script(struct http_conn *http_conn, struct span method);
/* GET: where backends push to this Herald, and what they need for it. */
void demo_serve_facts(struct http_conn *http_conn, struct span method);
/* POST: one push to one user, as the page's button asks for it. */
void demo_serve_push(struct http_conn *http_conn, struct span method);

#endif
