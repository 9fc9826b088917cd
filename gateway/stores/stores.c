#include "gateway/stores/stores.h"

#include "gateway/stores/file/store_file.h"
#include "gateway/stores/memory/store_memory.h"
#include "gateway/stores/redis/redis_tls.h"
#include "gateway/stores/redis/redis_url.h"
#include "gateway/stores/redis/store_redis.h"

#include <stdio.h>
#include <string.h>

static bool has_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* What only a Redis heeds. */
static enum err check_unused(const struct store_config *config, char *why, size_t why_cap)
{
    const char *auth = config->redis_sentinel_auth;
    const char *set = config->redis_wait_replicas > 0   ? "--redis-wait-replicas"
                      : auth != NULL && auth[0] != '\0' ? "--redis-sentinel-auth"
                                                        : NULL;
    if (set == NULL)
        return redis_tls_check_unused(config, why, why_cap);
    snprintf(why, why_cap, "--store: %s is set, but the address is none of a Redis", set);
    return ERR_INVALID_FIELD;
}

enum err store_check(const struct store_config *config, char *why, size_t why_cap)
{
    const char *url = config->url;
    if (redis_url_is_one(url))
        return store_redis_check(config, why, why_cap);
    if (strcmp(url, "memory:") != 0 &&
        !(has_prefix(url, "file:") && url[strlen("file:")] != '\0')) {
        snprintf(why, why_cap,
                 "--store must be memory:, file:PATH or redis://[USER:PASSWORD@]HOST:PORT[/DB]");
        return ERR_INVALID_FIELD;
    }
    return check_unused(config, why, why_cap);
}

enum err store_open(const struct store_config *config, struct store **ret_store, char *why,
                    size_t why_cap)
{
    const char *url = config->url;
    enum err error = store_check(config, why, why_cap);
    if (error != ERR_OK)
        return error;
    if (strcmp(url, "memory:") == 0)
        return store_memory_open(config, ret_store, why, why_cap);
    if (redis_url_is_one(url))
        return store_redis_open(config, ret_store, why, why_cap);
    return store_file_open(config, url + strlen("file:"), ret_store, why, why_cap);
}

enum err store_name_place(const struct store_config *config, struct buf *out)
{
    const char *url = config->url;
    if (redis_url_is_one(url))
        return store_redis_name_place(config, out);
    if (has_prefix(url, "file:"))
        return store_file_name_place(url + strlen("file:"), out);
    return buf_append_text(out, url);
}

enum err store_name_own_place(const struct store *store, const struct store_config *config,
                              struct buf *out)
{
    int lock_fd = store_lock_fd(store);
    return lock_fd < 0 ? store_name_place(config, out) : store_file_name_lock(lock_fd, out);
}

bool store_is_at(const struct store_config *config, struct span place)
{
    struct buf here;
    buf_init(&here, STORE_PLACE_MAX_BYTES);
    bool is_same = store_name_place(config, &here) == ERR_OK && span_equal(buf_span(&here), place);
    buf_fini(&here);
    return is_same;
}
