#include "gateway/events/webhook_parts.h"

#include <stdlib.h>

uint64_t webhooks_random(struct webhooks *webhooks)
{
    uint64_t x = webhooks->random; /* xorshift */
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    webhooks->random = x;
    return x >> 8;
}

void webhooks_begin_work(struct webhooks *webhooks)
{
    webhooks->n_busy++;
}

void webhooks_end_work(struct webhooks *webhooks)
{
    webhooks->n_busy--;
    if (webhooks->n_busy > 0 || !webhooks->is_stopping)
        return;
    pthread_mutex_lock(&webhooks->lock);
    webhooks->is_quiet = true;
    pthread_cond_broadcast(&webhooks->changed);
    pthread_mutex_unlock(&webhooks->lock);
}

struct webhook_config *webhook_config_ref(struct webhook_config *config)
{
    config->refs++;
    return config;
}

void webhook_config_unref(struct webhook_config *config)
{
    if (config == NULL || --config->refs > 0)
        return;
    explicit_bzero(&config->line.secrets, sizeof config->line.secrets);
    free(config);
}

struct webhook *webhooks_find(struct webhooks *webhooks, struct span name)
{
    LIST_FOR_EACH(link, &webhooks->list)
    {
        struct webhook *webhook = CONTAINER_OF(link, struct webhook, link);
        if (!webhook->is_leaving && span_equal(span_of(webhook->config->line.name), name))
            return webhook;
    }
    return NULL;
}

void webhook_fill_request(const struct webhooks *webhooks, const struct webhook_config *config,
                          struct webhook_request *request)
{
    request->url = config->line.url;
    request->secrets = &config->line.secrets;
    request->timeout_ms = config->line.timeout_ms;
    request->must_be_loopback = config->line.is_plain && !webhooks->allows_plain;
}
