#include "gateway/refused.h"

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
