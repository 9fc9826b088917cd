/* The demo (--demo, loopback only): a page at `/` of the subscriber port, whose files
 * stand in demo/, `POST /demo/push`, and what the page shows of Herald (`GET /demo/facts`). */
#ifndef HERALD_DEMO_H
#define HERALD_DEMO_H

#include "gateway/http/http_conn.h"

/* Is this one of the demo's paths? Then it is answered here, now or later. */
bool demo_serve(struct http_conn *http_conn, const struct http_head *head, const char *bytes);

#endif
