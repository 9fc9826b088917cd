#include "admin/access.h"

#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/base/metrics.h"
#include "gateway/base/rate.h"
#include "gateway/base/reread.h"
#include "gateway/base/watched_file.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct access {
    struct watched_file file; /* path empty: no keys; used by the reloading thread alone */
    int64_t max_per_second;
    pthread_mutex_t lock; /* for what follows; held while keys are compared */
    struct keys *keys;
    struct rate *rates; /* one per key; NULL: no limit */
};

static enum err make_rates(const struct access *access, const struct keys *keys,
                           struct rate **ret_rates)
{
    *ret_rates = NULL;
    if (access->max_per_second == 0)
        return ERR_OK;
    *ret_rates = calloc(keys->n, sizeof **ret_rates);
    return *ret_rates == NULL ? ERR_NO_MEMORY : ERR_OK;
}

static enum err read_keys(struct access *access, struct keys **ret_keys, struct rate **ret_rates,
                          char *why, size_t why_cap)
{
    struct buf text;
    char detail[200];
    buf_init(&text, WATCHED_FILE_MAX_BYTES);
    enum err error = watched_file_read(&access->file, &text, why, why_cap);
    if (error == ERR_OK) {
        error = keys_read(buf_span(&text), ret_keys, detail, sizeof detail);
        if (error != ERR_OK)
            snprintf(why, why_cap, "%s: %s", access->file.path, detail);
        else
            error = make_rates(access, *ret_keys, ret_rates);
        if (error == ERR_NO_MEMORY)
            snprintf(why, why_cap, "out of memory");
    }
    whole_file_wipe(&text);
    return error;
}

static void warn_if_public(const struct access *access)
{
    if (watched_file_is_public(&access->file))
        log_event(LOG_WARN, "everybody on this machine can read the admin keys: chmod 600",
                  LOG_TEXT("path", access->file.path));
}

enum err access_open(const char *path, int64_t max_per_second, struct access **ret_access,
                     char *why, size_t why_cap)
{
    char detail[600];
    if (path[0] == '\0' && max_per_second > 0) {
        snprintf(why, why_cap,
                 "--max-admin-requests-per-key needs --admin-keys: without keys nobody is counted");
        return ERR_INVALID_FIELD;
    }
    struct access *access = calloc(1, sizeof *access);
    if (access == NULL || pthread_mutex_init(&access->lock, NULL) != 0) {
        free(access);
        snprintf(why, why_cap, "out of memory");
        return ERR_NO_MEMORY;
    }
    access->file.path = path;
    access->max_per_second = max_per_second;
    if (path[0] != '\0') {
        enum err error = read_keys(access, &access->keys, &access->rates, detail, sizeof detail);
        if (error != ERR_OK) {
            snprintf(why, why_cap, "--admin-keys: %s", detail);
            access_close(access);
            return error == ERR_NO_MEMORY ? error : ERR_INVALID_FIELD;
        }
        (void)watched_file_take(&access->file);
        warn_if_public(access);
    }
    *ret_access = access;
    return ERR_OK;
}

void access_close(struct access *access)
{
    if (access == NULL)
        return;
    pthread_mutex_destroy(&access->lock);
    free(access->keys);
    free(access->rates);
    free(access);
}

/* Under the lock. At most the requests of one second may come in a burst. */
static enum err take_request(struct access *access, const struct key *key)
{
    int64_t max = access->max_per_second;
    if (access->rates == NULL ||
        rate_take(&access->rates[key - access->keys->keys], clock_monotonic_us(), max, max, 1))
        return ERR_OK;
    metrics_count(METRIC_LIMITED_ADMIN);
    return ERR_RATE;
}

enum err access_check(struct access *access, struct span authorization, unsigned role)
{
    if (role == 0 || access->file.path[0] == '\0')
        return ERR_OK;
    pthread_mutex_lock(&access->lock);
    const struct key *key = keys_find(access->keys, authorization);
    enum err error = key == NULL ? ERR_UNAUTHORIZED : take_request(access, key);
    if (error == ERR_OK && !key_may(key, (enum admin_role)role))
        error = ERR_FORBIDDEN;
    pthread_mutex_unlock(&access->lock);
    return error;
}

void access_reload(struct access *access, bool must)
{
    char why[600];
    struct keys *keys = NULL;
    struct rate *rates = NULL;
    if (access->file.path[0] == '\0' || (!must && !watched_file_has_changed(&access->file)))
        return;
    if (read_keys(access, &keys, &rates, why, sizeof why) != ERR_OK) {
        log_event(LOG_ERROR, "the admin keys stay as they were",
                  LOG_TEXT("result", reread_name(REREAD_REFUSED)), LOG_TEXT("why", why));
        free(keys);
        return;
    }
    pthread_mutex_lock(&access->lock);
    struct keys *old = access->keys;
    struct rate *old_rates = access->rates;
    access->keys = keys;
    access->rates = rates;
    pthread_mutex_unlock(&access->lock);
    free(old);
    free(old_rates);
    enum reread_result result =
        watched_file_take(&access->file) ? REREAD_REPLACED : REREAD_UNCHANGED;
    log_event(LOG_INFO, "admin keys read again", LOG_TEXT("result", reread_name(result)),
              LOG_INT("keys", keys->n));
    warn_if_public(access);
}
