/* GET /clients: the users of this node, or of another one, in pages (CONTRACT section 3). */
#include "admin/request.h"
#include "admin/routes/actions.h"
#include "admin/service.h"
#include "gateway/base/node_name.h"

enum { CLIENTS_DEFAULT = 100, CURSOR_MAX_BYTES = 32 };

struct clients_call {
    struct request request;
    struct gateway_clients op;
    char node[NODE_NAME_MAX_BYTES + 1];
    char name[NODE_NAME_MAX_BYTES + 1];
    char after[CURSOR_MAX_BYTES];
};

static struct clients_call *call_of(struct request *request)
{
    return CONTAINER_OF(request, struct clients_call, request);
}

static void on_clients_done(struct gateway_clients *clients)
{
    request_done(&CONTAINER_OF(clients, struct clients_call, op)->request);
}

/* Absent: *ret_name is empty. false: the request is refused. */
static bool read_name(struct request *request, const char *field, char *out, struct span *ret_name)
{
    enum err error = request_query(request, field, out, NODE_NAME_MAX_BYTES + 1);
    if (error == ERR_NOT_FOUND)
        out[0] = '\0';
    else if (error != ERR_OK || !node_name_is_valid(out)) {
        request_refuse_with(request, ERR_INVALID_FIELD, field,
                            "a node's name is 1 to 64 of A-Z, a-z, 0-9, dot, _ and -");
        return false;
    }
    *ret_name = span_of(out);
    return true;
}

static bool read_after(struct request *request, struct span *ret_after)
{
    char *after = call_of(request)->after;
    enum err error = request_query(request, "after", after, CURSOR_MAX_BYTES);
    *ret_after = error == ERR_OK ? span_of(after) : SPAN_NONE;
    if (error == ERR_OK || error == ERR_NOT_FOUND)
        return true;
    request_refuse_with(request, ERR_INVALID_FIELD, "after",
                        "after must be the next of an earlier page");
    return false;
}

static void run_clients(struct request *request)
{
    struct clients_call *call = call_of(request);
    struct gateway_clients *op = &call->op;
    uint64_t limit = CLIENTS_DEFAULT;
    if (!request_query_number(request, "limit", 1, STORE_CLIENTS_MAX, &limit) ||
        !read_after(request, &op->after) || !read_name(request, "node", call->node, &op->node) ||
        !read_name(request, "name", call->name, &op->name))
        return;
    op->limit = (uint32_t)limit;
    op->on_done = on_clients_done;
    request_hand_over(request);
    gateway_clients(request->service->node, op);
}

static void refuse_clients(struct request *request, const struct gateway_clients *op)
{
    const char *field = op->node.len > 0 ? "node" : "name";
    const char *detail = NULL;
    switch (op->error) {
    case ERR_INVALID_FIELD:
        field = "after";
        detail = "after must be the next of an earlier page";
        break;
    case ERR_NOT_FOUND:
        detail = "no node is called so: see GET /nodes";
        break;
    case ERR_CONFLICT:
        detail = "several nodes are called so: say the name, too, that GET /nodes lists";
        break;
    case ERR_NODE_SILENT:
        detail = op->is_unheard ? "the node has gone, or its version does not know this question"
                                : "the node has not answered within 250 ms";
        break;
    default:
        field = NULL;
        break;
    }
    request_refuse_with(request, op->error, field, detail);
}

static void finish_clients(struct request *request)
{
    const struct gateway_clients *op = &call_of(request)->op;
    if (op->error != ERR_OK) {
        refuse_clients(request, op);
        return;
    }
    json_out_raw(&request->out, buf_span(&op->page));
    request_reply(request, 200);
}

static void end_clients(struct request *request)
{
    gateway_clients_clear(&call_of(request)->op);
}

const struct route_action clients_action = {.request_bytes = sizeof(struct clients_call),
                                            .run = run_clients,
                                            .finish = finish_clients,
                                            .end = end_clients};
