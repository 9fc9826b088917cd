#include "gateway/stores/redis/redis_event.h"

#include "gateway/base/metrics.h"

void redis_event_keys(const struct redis_common *common, struct span user, struct redis_keys *keys)
{
    redis_keys_write(keys, common->prefix, user);
    redis_keys_write_channel(keys, common->channels);
}

void redis_event_count_left(uint64_t overflowed, uint64_t expired)
{
    if (overflowed > 0)
        metrics_add(METRIC_EVENTS_OVERFLOW, overflowed);
    if (expired > 0)
        metrics_add(METRIC_EVENTS_EXPIRED, expired);
}
