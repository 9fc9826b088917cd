/* Tickets (CONTRACT 2): a backend asks for one, and a page connects with it. The store gives each
 * to one taker only. */
#include "gateway/requests/requests.h"

#include "gateway/identity/auth.h"
#include "gateway/node/node.h"
#include "proto/bytes/hex.h"

#include <stdlib.h>
#include <sys/random.h>

enum { RANDOM_BYTES = TICKET_LEN / 2 };

struct ticket_work {
    struct store_ticket_give give;
    struct gateway_ticket *ticket;
};

static void refuse_ticket(struct gateway_ticket *ticket, enum err error)
{
    ticket->error = error;
    ticket->on_done(ticket);
}

static void on_ticket_given(struct store_request *request)
{
    struct ticket_work *work = CONTAINER_OF(request, struct ticket_work, give.request);
    struct gateway_ticket *ticket = work->ticket;
    ticket->error = work->give.error;
    free(work);
    ticket->on_done(ticket);
}

static bool draw_ticket(char text[TICKET_LEN + 1])
{
    unsigned char random[RANDOM_BYTES];
    if (getrandom(random, sizeof random, 0) != sizeof random)
        return false;
    *hex_put(text, random, sizeof random) = '\0';
    return true;
}

void gateway_ticket(struct node *node, struct gateway_ticket *ticket)
{
    if (auth_kind(node->auth) != AUTH_TICKET) {
        refuse_ticket(ticket, ERR_CONFLICT);
        return;
    }
    struct ticket_work *work = calloc(1, sizeof *work);
    if (work == NULL || !draw_ticket(ticket->text)) {
        refuse_ticket(ticket, work == NULL ? ERR_NO_MEMORY : ERR_SYSTEM);
        free(work);
        return;
    }
    ticket->expires_ms = store_now_ms(node->store) + TICKET_LIFE_S * 1000;
    work->ticket = ticket;
    work->give = (struct store_ticket_give){
        .request = {.on_done = on_ticket_given,
                    .lane = client_map_home(node->map, ticket->user_id)},
        .ticket = {ticket->text, TICKET_LEN},
        .user_id = ticket->user_id,
        .ttl_s = TICKET_LIFE_S,
    };
    store_ticket_give(node->store, &work->give);
}
