/* POST /tickets (CONTRACT section 3). */
#include "admin/request.h"
#include "admin/routes/actions.h"
#include "admin/service.h"
#include "proto/note/kick_json.h"

#include <inttypes.h>

struct ticket_call {
    struct request request;
    struct gateway_ticket op;
};

static void on_ticket_done(struct gateway_ticket *ticket)
{
    request_done(&CONTAINER_OF(ticket, struct ticket_call, op)->request);
}

static void run_ticket(struct request *request)
{
    struct gateway_ticket *op = &CONTAINER_OF(request, struct ticket_call, request)->op;
    struct json_problem bad;
    size_t len;
    if (ticket_request_parse(buf_span(&request->body), request->user_id, &len, &bad) != ERR_OK) {
        request_refuse_json(request, &bad);
        return;
    }
    op->on_done = on_ticket_done;
    op->user_id = (struct span){request->user_id, len};
    request_hand_over(request);
    gateway_ticket(request->service->node, op);
}

static void finish_ticket(struct request *request)
{
    const struct gateway_ticket *ticket = &CONTAINER_OF(request, struct ticket_call, request)->op;
    if (ticket->error == ERR_CONFLICT) {
        request_refuse_with(request, ERR_CONFLICT, NULL, "tickets are for --auth ticket");
        return;
    }
    if (ticket->error != ERR_OK) {
        request_refuse_with(request, ticket->error, NULL,
                            ticket->error == ERR_FULL ? "too many tickets are out" : NULL);
        return;
    }
    json_out_printf(&request->out, "{\"ticket\":\"%s\",\"expires\":%" PRId64 "}", ticket->text,
                    ticket->expires_ms);
    request_reply(request, 200);
}

const struct route_action ticket_action = {
    .request_bytes = sizeof(struct ticket_call), .run = run_ticket, .finish = finish_ticket};
