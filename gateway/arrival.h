/* An arrival: a connection of the subscriber port until its request head is complete and is
 * answered: with a refusal, with the demo's page, or by becoming a session on the user's home
 * worker. */
#ifndef HERALD_ARRIVAL_H
#define HERALD_ARRIVAL_H

#include "gateway/worker.h"
#include "proto/http_head.h"
#include "proto/user_id.h"

struct arrival;

/* Takes over the socket. On error it is still the caller's. `all` is the front's list. */
MUST_CHECK enum err arrival_new(struct worker *worker, int fd, struct list *all);

/* Drops those that have not sent a whole request yet; the others are being answered. */
void arrival_drop_unfinished(struct list *all);
void arrival_drop_all(struct list *all);

/* For demo.c: answers and closes. `detail` and the others as in http_answer.h. */
void arrival_refuse(struct arrival *arrival, enum err error, const char *detail, const char *field,
                    const char *allow);
void arrival_answer(struct arrival *arrival, unsigned status, const char *content_type,
                    struct span body);
struct worker *arrival_worker(struct arrival *arrival);

/* Demo only: from now on bytes go to on_body, until the arrival is answered; `body` grows in place.
 */
void arrival_want_body(struct arrival *arrival, size_t len,
                       void (*on_body)(struct arrival *arrival, struct span body));

/* While a request is under way elsewhere (a push): the arrival stays until arrival_unpin, whatever
 * the peer does. arrival_is_gone tells whether there is somebody left to answer. */
void arrival_pin(struct arrival *arrival);
void arrival_unpin(struct arrival *arrival);
bool arrival_is_gone(const struct arrival *arrival);

#endif
