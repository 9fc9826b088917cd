#include "gateway/http/early_refusal.h"

#include "proto/http/http_answer.h"

#include <sys/socket.h>
#include <unistd.h>

void early_refusal_send(struct worker *worker, const struct http_port *port, int fd, enum err error)
{
    struct http_terms terms = {.date = worker_date(worker)};
    struct buf answer;
    buf_init(&answer, 2048);
    if (port->tls == NULL &&
        http_refusal(&answer, error, NULL, NULL, NULL, &terms, worker_random(worker)) == ERR_OK) {
        ssize_t sent = send(fd, answer.bytes, answer.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        (void)sent; /* it is refused either way */
    }
    buf_fini(&answer);
    close(fd);
    port->count_refused(error_http_status(error));
}
