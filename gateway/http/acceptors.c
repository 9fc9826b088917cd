#include "gateway/http/acceptors.h"

#include "gateway/http/acceptor.h"
#include "gateway/http/listeners.h"

#include <stdlib.h>

enum err acceptors_new(struct http_port *port)
{
    struct node *node = port->node;
    port->acceptors = calloc(node->n_workers, sizeof(struct acceptor *));
    for (unsigned i = 0; port->acceptors != NULL && i < node->n_workers; i++) {
        port->acceptors[i] = acceptor_new(node->workers[i], port);
        if (port->acceptors[i] == NULL)
            acceptors_free(port);
    }
    return port->acceptors != NULL ? ERR_OK : ERR_NO_MEMORY;
}

/* What is done on each worker. */
struct port_task {
    struct http_port *port;
    enum err error; /* of the first that failed */
};

static void open_here(struct worker *worker, void *argument)
{
    struct port_task *task = argument;
    if (task->error == ERR_OK)
        task->error = acceptor_open(task->port->acceptors[worker->index]);
}

static void pause_here(struct worker *worker, void *argument)
{
    struct port_task *task = argument;
    acceptor_pause(task->port->acceptors[worker->index]);
}

static void resume_here(struct worker *worker, void *argument)
{
    struct port_task *task = argument;
    acceptor_resume(task->port->acceptors[worker->index]);
}

/* What comes between the last look and the end is reset, so the last worker ends the sockets. */
static void take_last_here(struct worker *worker, void *argument)
{
    struct port_task *task = argument;
    acceptor_take_last(task->port->acceptors[worker->index]);
    if (worker->index + 1 == worker->node->n_workers)
        listeners_end(task->port->listeners);
}

static void close_here(struct worker *worker, void *argument)
{
    struct port_task *task = argument;
    acceptor_close(task->port->acceptors[worker->index]);
}

/* Once all are closed, so that none asks another one for room any more. */
static void free_here(struct worker *worker, void *argument)
{
    struct port_task *task = argument;
    acceptor_free(task->port->acceptors[worker->index]);
}

static void forget_acceptors(struct http_port *port)
{
    free(port->acceptors);
    port->acceptors = NULL;
}

enum err acceptors_open(struct http_port *port)
{
    struct port_task task = {.port = port};
    for (unsigned i = 0; i < port->node->n_workers; i++)
        open_here(port->node->workers[i], &task);
    return task.error;
}

enum err acceptors_open_running(struct http_port *port)
{
    struct port_task task = {.port = port};
    worker_run_on_all(port->node, open_here, &task);
    if (task.error != ERR_OK)
        worker_run_on_all(port->node, close_here, &task);
    return task.error;
}

void acceptors_pause(struct http_port *port)
{
    worker_run_on_all(port->node, pause_here, &(struct port_task){.port = port});
}

void acceptors_resume(struct http_port *port)
{
    worker_run_on_all(port->node, resume_here, &(struct port_task){.port = port});
}

void acceptors_let_go(struct http_port *port)
{
    for (unsigned i = 0; i < port->node->n_workers; i++)
        acceptor_let_go(port->acceptors[i]);
    listeners_let_go(port->listeners);
    port->listeners = NULL;
}

void acceptors_end(struct http_port *port)
{
    listeners_hide(port->listeners);
    worker_run_on_all(port->node, take_last_here, &(struct port_task){.port = port});
}

void acceptors_close(struct http_port *port)
{
    worker_run_on_all(port->node, close_here, &(struct port_task){.port = port});
}

void acceptors_free_running(struct http_port *port)
{
    struct port_task task = {.port = port};
    if (!acceptors_are_made(port))
        return;
    worker_run_on_all(port->node, close_here, &task);
    worker_run_on_all(port->node, free_here, &task);
    forget_acceptors(port);
}

void acceptors_free(struct http_port *port)
{
    if (!acceptors_are_made(port))
        return;
    for (unsigned i = 0; i < port->node->n_workers; i++)
        acceptor_free(port->acceptors[i]);
    forget_acceptors(port);
}
