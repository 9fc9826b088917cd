#include "gateway/store/redis_common.h"

#include "gateway/base/clock.h"
#include "gateway/base/log.h"

#include <stdio.h>
#include <stdlib.h>

static const char record_text[] = {
#include "embedded/script_record.inc"
};
static const char inbox_text[] = {
#include "embedded/script_inbox.inc"
};
static const char common_text[] = {
#include "embedded/script_common.inc"
};
static const char push_fast_text[] = {
#include "embedded/script_push_fast.inc"
};
static const char push_text[] = {
#include "embedded/script_push.inc"
};
static const char page_text[] = {
#include "embedded/script_page.inc"
};
static const char ack_text[] = {
#include "embedded/script_ack.inc"
};
static const char peek_text[] = {
#include "embedded/script_peek.inc"
};
static const char look_text[] = {
#include "embedded/script_look.inc"
};
static const char block_text[] = {
#include "embedded/script_block.inc"
};

/* What an operator can do about an error that begins with the word. The last row is for all others.
 */
static const struct {
    const char *word;
    const char *advice;
} troubles[] = {
    {"OOM", "Redis is out of memory: raise its maxmemory"},
    {"READONLY", "this Redis is a replica: point --store at the primary"},
    {"LOADING", "Redis is still loading its data; Herald waits"},
    {"MISCONF", "Redis cannot write to its disk: see its log and free space there"},
    {"MASTERDOWN", "this Redis is a replica without its primary: point --store at the primary"},
    {"NOREPLICAS", "Redis has too few replicas to take writes (min-replicas-to-write)"},
    {"NOAUTH", "Redis asks for a password: write redis://[USER:PASSWORD@]HOST:PORT in --store"},
    {"WRONGPASS", "the user or the password in --store is wrong"},
    {"ERR AUTH", "Redis has no password: take the one out of --store"},
    {"ERR max number of clients",
     "raise maxclients in redis.conf: a node takes two connections for each of its --workers"},
    {"DENIED", "Redis takes connections of its own machine alone (protected mode): give it a "
               "password and write it in --store"},
    {"NOPERM", "give the Redis user +@all on the keys and channels of --redis-prefix"},
    {"BUSY", "another script blocks Redis: see SLOWLOG GET, end it with SCRIPT KILL"},
    {"MOVED", "this is a Redis Cluster node; Herald needs a single Redis"},
    {"CLUSTERDOWN", "this is a Redis Cluster node; Herald needs a single Redis"},
    {"SCHEMA", "another version of Herald wrote this user's keys: update this one"},
    {"VERSION", "Herald needs Redis 7.0 or later"},
    {"Connection refused", "start Redis there, or change --store"},
    {"", "see that Redis runs there and answers, or change --store"},
};
enum { TROUBLE_AWAY = REDIS_TROUBLES_MAX - 1 }; /* its place in said_ms; the rows have the others */
_Static_assert(sizeof troubles / sizeof troubles[0] < REDIS_TROUBLES_MAX, "a place for each");

static bool prefix_is_fine(const char *prefix)
{
    size_t len = strlen(prefix);
    if (len == 0 || len > REDIS_PREFIX_MAX_BYTES)
        return false;
    for (size_t i = 0; i < len; i++)
        if (prefix[i] <= ' ' || prefix[i] > '~' || prefix[i] == '{' || prefix[i] == '}')
            return false;
    return true;
}

enum { PARTS_MAX = 5 };

static enum err join(const char *const parts[PARTS_MAX], struct span *ret_whole)
{
    size_t len = 0;
    for (size_t i = 0; i < PARTS_MAX && parts[i] != NULL; i++)
        len += strlen(parts[i]);
    char *whole = malloc(len);
    if (whole == NULL)
        return ERR_NO_MEMORY;
    size_t at = 0;
    for (size_t i = 0; i < PARTS_MAX && parts[i] != NULL; i++) {
        size_t part_len = strlen(parts[i]);
        memcpy(whole + at, parts[i], part_len);
        at += part_len;
    }
    *ret_whole = (struct span){whole, len};
    return ERR_OK;
}

static enum err join_scripts(struct redis_common *common)
{
    static const char *const texts[SCRIPTS][PARTS_MAX] = {
        [SCRIPT_PUSH] = {record_text, push_fast_text, inbox_text, common_text, push_text},
        [SCRIPT_PAGE] = {record_text, inbox_text, common_text, page_text},
        [SCRIPT_ACK] = {record_text, inbox_text, common_text, ack_text},
        [SCRIPT_PEEK] = {record_text, inbox_text, common_text, peek_text},
        [SCRIPT_LOOK] = {record_text, inbox_text, common_text, look_text},
        [SCRIPT_BLOCK] = {block_text},
    };
    enum err error = ERR_OK;
    for (size_t i = 0; i < SCRIPTS && error == ERR_OK; i++)
        error = join(texts[i], &common->scripts[i]);
    return error;
}

enum err redis_common_init(struct redis_common *common, const struct store_config *config,
                           char *why, size_t why_cap)
{
    enum err error = redis_url_parse(config->url, &common->url, why, why_cap);
    if (error != ERR_OK)
        return error;
    if (!prefix_is_fine(config->redis_prefix)) {
        snprintf(why, why_cap,
                 "--redis-prefix must be 1 to 64 printable characters without spaces, { and }");
        return ERR_INVALID_FIELD;
    }
    snprintf(common->prefix, sizeof common->prefix, "%s", config->redis_prefix);
    redis_channels_write(common->channels, common->prefix, common->url.db);
    common->n_lanes = config->n_lanes;
    common->inbox_max = config->inbox_max;
    common->inbox_max_bytes = config->inbox_max_bytes;
    common->idempotency_window_s =
        config->idempotency_window_s > 0 ? config->idempotency_window_s : 1;
    common->events = config->events;
    common->owner = config->owner;
    snprintf(common->problem, sizeof common->problem, "not connected to Redis at %s yet",
             common->url.shown);
    pthread_mutex_init(&common->lock, NULL);
    redis_clock_init(&common->clock);
    error = join_scripts(common);
    if (error != ERR_OK) {
        snprintf(why, why_cap, "out of memory");
        redis_common_fini(common);
    }
    return error;
}

void redis_common_fini(struct redis_common *common)
{
    for (size_t i = 0; i < SCRIPTS; i++)
        free((char *)common->scripts[i].bytes);
    pthread_mutex_destroy(&common->lock);
    redis_clock_fini(&common->clock);
}

/* Two lanes may come and go at the same time: one thread reports, in order and until it is right.
 */
static void report(struct redis_common *common)
{
    pthread_mutex_lock(&common->lock);
    bool is_mine = !common->is_reporting;
    common->is_reporting = true;
    while (is_mine && common->is_reported_up != (common->n_up == common->n_lanes)) {
        bool is_up = common->n_up == common->n_lanes;
        common->is_reported_up = is_up;
        pthread_mutex_unlock(&common->lock);
        if (is_up)
            log_event(LOG_INFO, "redis is there", LOG_TEXT("address", common->url.shown));
        if (common->events.on_state != NULL)
            common->events.on_state(common->owner, is_up);
        pthread_mutex_lock(&common->lock);
    }
    if (is_mine)
        common->is_reporting = false;
    pthread_mutex_unlock(&common->lock);
}

void redis_common_lane(struct redis_common *common, bool is_up)
{
    pthread_mutex_lock(&common->lock);
    if (is_up) {
        common->n_up++;
        common->problem[0] = '\0';
        common->said_ms[TROUBLE_AWAY] = 0; /* the next loss is news */
    } else {
        common->n_up--;
    }
    pthread_mutex_unlock(&common->lock);
    report(common);
}

static size_t find_trouble(const char *text)
{
    size_t i = 0;
    while (strncmp(text, troubles[i].word, strlen(troubles[i].word)) != 0)
        i++;
    return i;
}

/* Keeps the trouble for redis_common_describe; answers whether it is time to log it. */
static bool note_trouble(struct redis_common *common, size_t row, const char *text,
                         const char *advice)
{
    int64_t now_ms = clock_monotonic_ms();
    pthread_mutex_lock(&common->lock);
    snprintf(common->problem, sizeof common->problem, "Redis at %s: %.200s (%s)", common->url.shown,
             text, advice);
    int64_t *said_ms = &common->said_ms[row];
    bool is_due = *said_ms == 0 || now_ms - *said_ms >= REDIS_SAY_AGAIN_MS;
    if (is_due)
        *said_ms = now_ms;
    pthread_mutex_unlock(&common->lock);
    return is_due;
}

void redis_common_away(struct redis_common *common, const char *why)
{
    const char *advice = troubles[find_trouble(why)].advice;
    if (note_trouble(common, TROUBLE_AWAY, why, advice))
        log_event(LOG_WARN, "cannot reach Redis, trying again",
                  LOG_TEXT("address", common->url.shown), LOG_TEXT("why", why),
                  LOG_TEXT("advice", advice));
}

void redis_common_refused(struct redis_common *common, const char *error)
{
    size_t row = find_trouble(error);
    if (note_trouble(common, row, error, troubles[row].advice))
        log_event(LOG_ERROR, "Redis refused a command", LOG_TEXT("address", common->url.shown),
                  LOG_TEXT("error", error), LOG_TEXT("advice", troubles[row].advice));
}

void redis_common_describe(struct redis_common *common, char *out, size_t cap)
{
    pthread_mutex_lock(&common->lock);
    snprintf(out, cap, "%s", common->problem);
    pthread_mutex_unlock(&common->lock);
}
