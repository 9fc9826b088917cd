#include "gateway/node/refusals.h"

#include "gateway/base/log_limit.h"
#include "gateway/base/metrics.h"

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

void refusals_count(unsigned status)
{
    metrics_count(metric_of(status));
}

static struct span user_of(const struct refusal_subject *subject)
{
    return (struct span){subject->user, subject->user_len};
}

void refusals_log_credentials(const struct refusal_subject *subject, const char *why)
{
    static struct log_limit limit = LOG_LIMIT(1000);
    log_limited(&limit, span_of(why), LOG_INFO, "credentials refused", LOG_TEXT("why", why),
                LOG_SPAN("place", subject->path), LOG_TEXT("address", subject->address),
                LOG_SPAN("user", user_of(subject)));
}

/* A limit for each cause: made-up origins use up the lines of their own cause alone. */
static struct refusal {
    const char *text;
    struct log_limit limit;
} refusals[REFUSAL_CAUSES] = {
    [REFUSAL_ORIGIN] = {"the Origin is not allowed", LOG_LIMIT(60000)},
    [REFUSAL_LOCAL_ORIGIN] = {"the Origin is not allowed", LOG_LIMIT(60000)},
    [REFUSAL_ODD_ORIGIN] = {"the Origin is not allowed, and none that --allowed-origin can name",
                            LOG_LIMIT(60000)},
    [REFUSAL_TWO_ORIGINS] = {"Origin stands twice", LOG_LIMIT(60000)},
    [REFUSAL_SITE] = {"the page of another site asks without an Origin", LOG_LIMIT(60000)},
    [REFUSAL_PROXY] = {"with --auth none or --demo a proxied request is refused", LOG_LIMIT(60000)},
    [REFUSAL_HOST] = {"with --auth none or --demo the Host must be a loopback name or address",
                      LOG_LIMIT(60000)},
    [REFUSAL_BLOCKED] = {"the user is blocked", LOG_LIMIT(60000)},
};

const char *refusal_cause_text(enum refusal_cause cause)
{
    return refusals[cause].text;
}

static void log_refused_request(struct log_limit *limit, struct span key, const char *why,
                                const struct refusal_subject *subject, const char *advice)
{
    log_limited(limit, key, LOG_INFO, "request refused", LOG_TEXT("why", why),
                LOG_SPAN("origin", subject->origin), LOG_SPAN("host", subject->host),
                LOG_SPAN("path", subject->path), LOG_TEXT("address", subject->address),
                LOG_SPAN("user", user_of(subject)), LOG_TEXT("advice", advice));
}

void refusals_log_request(enum refusal_cause cause, const struct refusal_subject *subject,
                          const char *advice)
{
    struct refusal *refusal = &refusals[cause];
    struct span key = subject->origin.len > 0 ? subject->origin : subject->host;
    log_refused_request(&refusal->limit, cause == REFUSAL_BLOCKED ? user_of(subject) : key,
                        refusal->text, subject, advice);
}

void refusals_log_unseen(const struct refusal_subject *subject, const char *why)
{
    static struct log_limit limit = LOG_LIMIT(60000);
    log_refused_request(&limit, span_of(why), why, subject, "");
}
