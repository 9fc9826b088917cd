#include "gateway/node/refusals.h"

#include "gateway/base/log_limit.h"

#include <sys/socket.h>
#include <unistd.h>

static enum metric metric_of(unsigned status)
{
    switch (status) {
    case 400:
        return METRIC_REFUSED_400;
    case 401:
        return METRIC_REFUSED_401;
    case 403:
        return METRIC_REFUSED_403;
    case 404:
        return METRIC_REFUSED_404;
    case 405:
        return METRIC_REFUSED_405;
    case 408:
        return METRIC_REFUSED_408;
    case 426:
        return METRIC_REFUSED_426;
    case 429:
        return METRIC_REFUSED_429;
    case 431:
        return METRIC_REFUSED_431;
    case 503:
        return METRIC_REFUSED_503;
    default:
        return METRIC_REFUSED_OTHER;
    }
}

void refused_count(unsigned status)
{
    metrics_count(metric_of(status));
}

void refused_close(struct worker *worker, int fd, enum err error)
{
    struct http_terms terms = {.date = worker_date(worker)};
    struct buf answer;
    buf_init(&answer, 2048);
    if (worker->node->tls == NULL &&
        http_refusal(&answer, error, NULL, NULL, NULL, &terms, worker_random(worker)) == ERR_OK) {
        ssize_t sent = send(fd, answer.bytes, answer.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        (void)sent; /* it is refused either way */
    }
    buf_fini(&answer);
    close(fd);
    refused_count(error_http_status(error));
}

static struct span user_of(const struct refused_who *who)
{
    return (struct span){who->user, who->user_len};
}

void refused_credentials(const struct refused_who *who, const char *why)
{
    static struct log_limit limit = LOG_LIMIT(1000);
    log_limited(&limit, span_of(why), LOG_INFO, "credentials refused", LOG_TEXT("why", why),
                LOG_SPAN("place", who->place), LOG_TEXT("address", who->address),
                LOG_SPAN("user", user_of(who)));
}

/* Those who make up origins use up the lines of that cause alone. */
static struct refusal {
    const char *text;
    struct log_limit limit;
} refusals[REFUSED_CAUSES] = {
    [REFUSED_ORIGIN] = {"the Origin is not allowed", LOG_LIMIT(60000)},
    [REFUSED_LOCAL_ORIGIN] = {"the Origin is not allowed", LOG_LIMIT(60000)},
    [REFUSED_ODD_ORIGIN] = {"the Origin is not allowed, and none that --allowed-origin can name",
                            LOG_LIMIT(60000)},
    [REFUSED_TWO_ORIGINS] = {"Origin stands twice", LOG_LIMIT(60000)},
    [REFUSED_SITE] = {"the page of another site asks without an Origin", LOG_LIMIT(60000)},
    [REFUSED_PROXY] = {"with --auth none or --demo a proxied request is refused", LOG_LIMIT(60000)},
    [REFUSED_HOST] = {"with --auth none or --demo the Host must be a loopback name or address",
                      LOG_LIMIT(60000)},
    [REFUSED_BLOCKED] = {"the user is blocked", LOG_LIMIT(60000)},
};

const char *refused_cause_text(enum refused_cause cause)
{
    return refusals[cause].text;
}

static void tell(struct log_limit *limit, struct span key, const char *why,
                 const struct refused_who *who, const char *advice)
{
    log_limited(limit, key, LOG_INFO, "request refused", LOG_TEXT("why", why),
                LOG_SPAN("origin", who->origin), LOG_SPAN("host", who->host),
                LOG_SPAN("path", who->place), LOG_TEXT("address", who->address),
                LOG_SPAN("user", user_of(who)), LOG_TEXT("advice", advice));
}

void refused_request(enum refused_cause cause, const struct refused_who *who, const char *advice)
{
    struct refusal *refusal = &refusals[cause];
    struct span key = who->origin.len > 0 ? who->origin : who->host;
    tell(&refusal->limit, cause == REFUSED_BLOCKED ? user_of(who) : key, refusal->text, who,
         advice);
}

void refused_unseen(const struct refused_who *who, const char *why)
{
    static struct log_limit limit = LOG_LIMIT(60000);
    tell(&limit, span_of(why), why, who, "");
}
