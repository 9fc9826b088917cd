#include "gateway/http/http_carry.h"

#include "gateway/http/acceptor.h"

struct busy_task {
    struct http_port *port;
    unsigned n;
};

static void count_here(struct worker *worker, void *argument)
{
    struct busy_task *task = argument;
    task->n += acceptor_under_way(task->port->acceptors[worker->index]);
}

unsigned http_carry_busy(struct http_port *port)
{
    struct busy_task task = {.port = port};
    worker_run_on_all(port->node, count_here, &task);
    return task.n;
}

void http_carry_each(struct http_port *port, carried_http_fn *visit, void *closure)
{
    for (unsigned i = 0; i < port->node->n_workers; i++)
        acceptor_carry(port->acceptors[i], visit, closure);
}

void http_carry_let_go(struct http_port *port)
{
    for (unsigned i = 0; i < port->node->n_workers; i++)
        acceptor_drop_carried(port->acceptors[i]);
}

enum err http_adopt(struct http_port *port, struct worker *worker, int fd,
                    const struct carried_http *carried)
{
    return acceptor_adopt(port->acceptors[worker->index], fd, carried);
}

void http_adopt_go(struct http_port *port, struct worker *worker)
{
    acceptor_go_on(port->acceptors[worker->index]);
}
