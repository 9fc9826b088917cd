#include "gateway/net/bypass.h"

#include <unistd.h>

static void look_now(struct reactor_task *task)
{
    struct bypass *bypass = CONTAINER_OF(task, struct bypass, task);
    bypass->n_events = epoll_wait(bypass->epoll_fd, bypass->events, BYPASS_EVENTS, 0);
    for (int i = 0; i < bypass->n_events; i++) {
        struct reactor_watch *watch = bypass->events[i].data.ptr;
        if (watch != NULL)
            bypass->on_ready(watch);
    }
    bypass->n_events = 0;
}

enum err bypass_init(struct bypass *bypass, struct reactor *reactor,
                     void (*on_ready)(struct reactor_watch *watch))
{
    *bypass = (struct bypass){.reactor = reactor, .task.run = look_now, .on_ready = on_ready};
    list_init(&bypass->task.link);
    bypass->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    return bypass->epoll_fd < 0 ? ERR_SYSTEM : ERR_OK;
}

void bypass_fini(struct bypass *bypass)
{
    reactor_task_cancel(&bypass->task);
    close(bypass->epoll_fd);
}

void bypass_add(struct bypass *bypass, struct reactor_watch *watch)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = watch};
    epoll_ctl(bypass->epoll_fd, EPOLL_CTL_ADD, watch->fd, &event);
}

void bypass_remove(struct bypass *bypass, struct reactor_watch *watch)
{
    epoll_ctl(bypass->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
    for (int i = 0; i < bypass->n_events; i++) {
        if (bypass->events[i].data.ptr == watch)
            bypass->events[i].data.ptr = NULL;
    }
}

void bypass_look(struct bypass *bypass)
{
    reactor_at_turn_end(bypass->reactor, &bypass->task);
}
