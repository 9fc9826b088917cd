#include "gateway/stores/stores.h"

#include "gateway/stores/file/store_file.h"
#include "gateway/stores/memory/store_memory.h"
#include "gateway/stores/redis/redis_url.h"
#include "gateway/stores/redis/store_redis.h"

#include <stdio.h>
#include <string.h>

static bool has_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static enum err check_redis(const char *text, char *why, size_t why_cap)
{
    struct redis_url url;
    enum err error = redis_url_parse(text, &url, why, why_cap);
    if (error != ERR_OK)
        return error;
    if (url.topology == REDIS_SINGLE && !url.is_tls)
        return ERR_OK;
    snprintf(why, why_cap,
             "--store: this version serves one Redis without TLS: write redis://HOST:PORT");
    return ERR_INVALID_FIELD;
}

enum err store_check(const char *url, char *why, size_t why_cap)
{
    if (redis_url_is_one(url))
        return check_redis(url, why, why_cap);
    if (strcmp(url, "memory:") == 0 || (has_prefix(url, "file:") && url[strlen("file:")] != '\0'))
        return ERR_OK;
    snprintf(why, why_cap,
             "--store must be memory:, file:PATH or redis://[USER:PASSWORD@]HOST:PORT[/DB]");
    return ERR_INVALID_FIELD;
}

enum err store_open(const struct store_config *config, struct store **ret_store, char *why,
                    size_t why_cap)
{
    const char *url = config->url;
    enum err error = store_check(url, why, why_cap);
    if (error != ERR_OK)
        return error;
    if (strcmp(url, "memory:") == 0)
        return store_memory_open(config, ret_store, why, why_cap);
    if (redis_url_is_one(url))
        return store_redis_open(config, ret_store, why, why_cap);
    return store_file_open(config, url + strlen("file:"), ret_store, why, why_cap);
}
