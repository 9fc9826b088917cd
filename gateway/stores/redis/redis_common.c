/* What all lanes share is made whole before the first of them is: the settings, and the text of
 * each script, joined from its parts. What is wrong is logged at most once a minute for each kind
 * of trouble, with advice, and kept for store_describe. */
#include "gateway/stores/redis/redis_common.h"

#include "gateway/base/clock.h"
#include "gateway/base/log.h"

#include <stdio.h>
#include <stdlib.h>

static const char clock_text[] = {
#include "embedded/script_clock.inc"
};
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
static const char batch_open_text[] = {
#include "embedded/script_batch_open.inc"
};
static const char batch_close_text[] = {
#include "embedded/script_batch_close.inc"
};
static const char page_fast_text[] = {
#include "embedded/script_page_fast.inc"
};
static const char page_text[] = {
#include "embedded/script_page.inc"
};
static const char ack_fast_text[] = {
#include "embedded/script_ack_fast.inc"
};
static const char ack_text[] = {
#include "embedded/script_ack.inc"
};
static const char peek_text[] = {
#include "embedded/script_peek.inc"
};
static const char fate_text[] = {
#include "embedded/script_fate.inc"
};
static const char look_text[] = {
#include "embedded/script_look.inc"
};
static const char withdraw_text[] = {
#include "embedded/script_withdraw.inc"
};
static const char block_text[] = {
#include "embedded/script_block.inc"
};
static const char node_text[] = {
#include "embedded/script_node.inc"
};
static const char event_record_text[] = {
#include "embedded/script_event_record.inc"
};
static const char event_put_text[] = {
#include "embedded/script_event_put.inc"
};
static const char event_append_text[] = {
#include "embedded/script_event_append.inc"
};
static const char event_page_text[] = {
#include "embedded/script_event_page.inc"
};
static const char event_consumers_text[] = {
#include "embedded/script_event_consumers.inc"
};
static const char event_ack_text[] = {
#include "embedded/script_event_ack.inc"
};
static const char event_consume_text[] = {
#include "embedded/script_event_consume.inc"
};
static const char event_presence_text[] = {
#include "embedded/script_event_presence.inc"
};
static const char event_serve_text[] = {
#include "embedded/script_event_serve.inc"
};
static const char event_alerts_text[] = {
#include "embedded/script_event_alerts.inc"
};
static const char event_alert_end_text[] = {
#include "embedded/script_event_alert_end.inc"
};
static const char trial_text[] = {
#include "embedded/script_trial.inc"
};

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

enum { PARTS_MAX = 8 };

static enum err join_texts(const char *const parts[PARTS_MAX], struct span *ret_whole)
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
        [SCRIPT_PUSH] = {clock_text, record_text, push_fast_text, inbox_text, common_text,
                         push_text},
        [SCRIPT_PUSHES] = {clock_text, batch_open_text, record_text, push_fast_text, inbox_text,
                           common_text, push_text, batch_close_text},
        [SCRIPT_PAGE] = {clock_text, record_text, page_fast_text, inbox_text, common_text,
                         page_text},
        [SCRIPT_ACK] = {clock_text, record_text, ack_fast_text, inbox_text, common_text, ack_text},
        [SCRIPT_PEEK] = {clock_text, record_text, inbox_text, common_text, peek_text},
        [SCRIPT_LOOK] = {clock_text, record_text, inbox_text, common_text, fate_text, look_text},
        [SCRIPT_WITHDRAW] = {clock_text, record_text, inbox_text, common_text, fate_text,
                             withdraw_text},
        [SCRIPT_BLOCK] = {block_text},
        [SCRIPT_NODE] = {node_text},
        [SCRIPT_EVENT_APPEND] = {clock_text, event_record_text, event_consumers_text,
                                 event_put_text, event_append_text},
        [SCRIPT_EVENT_PAGE] = {clock_text, event_record_text, event_page_text},
        [SCRIPT_EVENT_ACK] = {clock_text, event_record_text, event_consumers_text, event_ack_text},
        [SCRIPT_EVENT_CONSUME] = {clock_text, event_record_text, event_consumers_text,
                                  event_consume_text},
        [SCRIPT_EVENT_PRESENCE] = {clock_text, event_record_text, event_put_text,
                                   event_presence_text},
        [SCRIPT_EVENT_SERVE] = {clock_text, event_record_text, event_put_text, event_serve_text},
        [SCRIPT_EVENT_ALERTS] = {clock_text, event_record_text, event_consumers_text,
                                 event_alerts_text},
        [SCRIPT_EVENT_ALERT_END] = {clock_text, event_record_text, event_put_text,
                                    event_alert_end_text},
        [SCRIPT_TRIAL] = {trial_text},
    };
    enum err error = ERR_OK;
    for (size_t i = 0; i < SCRIPTS && error == ERR_OK; i++)
        error = join_texts(texts[i], &common->scripts[i]);
    return error;
}

/* After the url. */
static enum err read_settings(struct redis_common *common, const struct store_config *config,
                              char *why, size_t why_cap)
{
    const char *name = config->redis_tls_name != NULL ? config->redis_tls_name : "";
    common->tls = NULL;
    if (!prefix_is_fine(config->redis_prefix)) {
        snprintf(why, why_cap,
                 "--redis-prefix must be 1 to 64 printable characters without spaces, { and }");
        return ERR_INVALID_FIELD;
    }
    if (strlen(name) >= sizeof common->tls_name) {
        snprintf(why, why_cap, "--redis-tls-name is longer than a host name");
        return ERR_INVALID_FIELD;
    }
    memcpy(common->tls_name, name, strlen(name) + 1);
    enum err error = redis_url_of_sentinels(&common->url, config->redis_sentinel_auth,
                                            &common->sentinel_url, why, why_cap);
    if (error != ERR_OK)
        return error;
    return common->url.is_tls ? redis_tls_open(config, &common->tls, why, why_cap)
                              : redis_tls_check_unused(config, why, why_cap);
}

static enum err read_config(struct redis_common *common, const struct store_config *config,
                            char *why, size_t why_cap)
{
    enum err error = redis_url_parse(config->url, &common->url, why, why_cap);
    return error == ERR_OK ? read_settings(common, config, why, why_cap) : error;
}

enum err redis_common_check(const struct store_config *config, char *why, size_t why_cap)
{
    struct redis_common *common = calloc(1, sizeof *common);
    if (common == NULL) {
        snprintf(why, why_cap, "out of memory");
        return ERR_NO_MEMORY;
    }
    enum err error = read_config(common, config, why, why_cap);
    tls_client_free(common->tls);
    free(common);
    return error;
}

enum err redis_common_init(struct redis_common *common, const struct store_config *config,
                           char *why, size_t why_cap)
{
    enum err error = read_config(common, config, why, why_cap);
    if (error != ERR_OK)
        return error;
    common->name = config->name;
    if (epoch_is_none(common->name) && (error = epoch_random(&common->name)) != ERR_OK)
        return error;
    snprintf(common->prefix, sizeof common->prefix, "%s", config->redis_prefix);
    redis_sentinels_init(&common->sentinels, &common->url);
    redis_channels_write(common->channels, common->prefix, common->url.db);
    snprintf(common->client_name, sizeof common->client_name, "herald%s%s",
             config->node_name != NULL ? ":" : "",
             config->node_name != NULL ? config->node_name : "");
    common->n_lanes = config->n_lanes;
    common->inbox_max = config->inbox_max;
    common->inbox_max_bytes = config->inbox_max_bytes;
    common->idempotency_window_s =
        config->idempotency_window_s > 0 ? config->idempotency_window_s : 1;
    common->events_max = config->events_max;
    common->events_max_bytes = config->events_max_bytes;
    common->event_ttl_s = config->event_ttl_s;
    common->alerts_max = config->alerts_max;
    common->wait_replicas = config->redis_wait_replicas;
    common->events = config->events;
    common->owner = config->owner;
    snprintf(common->problem, sizeof common->problem, "not connected to Redis at %s yet",
             common->url.shown);
    pthread_mutex_init(&common->lock, NULL);
    redis_clock_init(&common->clock, common->url.shown);
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
    tls_client_free(common->tls);
    pthread_mutex_destroy(&common->lock);
    redis_clock_fini(&common->clock);
    redis_sentinels_fini(&common->sentinels);
}

/* ---- what is wrong ---- */

/* Under the lock. Is it time to log it? */
static bool is_due(struct redis_common *common, int64_t *said_ms)
{
    int64_t now_ms = clock_monotonic_ms();
    if (*said_ms != 0 && now_ms - *said_ms < REDIS_SAY_AGAIN_MS)
        return false;
    *said_ms = now_ms;
    common->is_said_up = false;
    return true;
}

/* Under the lock. */
static void set_problem(struct redis_common *common, const char *where, const char *text,
                        const char *advice)
{
    snprintf(common->problem, sizeof common->problem, "Redis at %s: %.255s (%s)", where, text,
             advice);
}

void redis_common_forget_problem(struct redis_common *common)
{
    common->problem[0] = '\0';
    memset(common->said_away_ms, 0, sizeof common->said_away_ms); /* the next loss is news */
}

/* After its words Redis names the script and the line, which do not help an operator, or the
 * arguments of a command that it does not know, which name users. */
static void cut_script(const char *words, char error[REDIS_WORDS_MAX_BYTES])
{
    const char *rest = strstr(words, " script: ");
    if (rest == NULL)
        rest = strstr(words, ", with args ");
    size_t len = rest != NULL ? (size_t)(rest - words) : strlen(words);
    snprintf(error, REDIS_WORDS_MAX_BYTES, "%.*s", (int)len, words);
}

/* What it says to write has the form of the address that was written. false: as
 * redis_trouble_advise. */
static bool advise(const struct redis_common *common, const char *why,
                   char advice[REDIS_ADVICE_MAX_BYTES])
{
    static const char *const forms[] = {
        [REDIS_SINGLE] = "", [REDIS_SENTINEL] = "+sentinel", [REDIS_CLUSTER] = "+cluster"};
    char rest[REDIS_ADVICE_MAX_BYTES];
    bool is_clear = redis_trouble_advise(why, common->prefix, advice);
    char *at = strstr(advice, "://");
    if (at == NULL || !redis_trouble_at(redis_trouble_find(why))->is_of_tls)
        return is_clear;
    snprintf(rest, sizeof rest, "%s", at);
    snprintf(at, REDIS_ADVICE_MAX_BYTES - (size_t)(at - advice), "%s%s",
             forms[common->url.topology], rest);
    return is_clear;
}

static void say_trouble(struct redis_common *common, const char *event, const char *where,
                        const char *words)
{
    char why[REDIS_WORDS_MAX_BYTES];
    cut_script(words, why);
    char advice[REDIS_ADVICE_MAX_BYTES];
    advise(common, why, advice);
    pthread_mutex_lock(&common->lock);
    set_problem(common, where, why, advice);
    bool must_say = is_due(common, &common->said_away_ms[redis_trouble_find(why)]);
    pthread_mutex_unlock(&common->lock);
    if (must_say)
        log_event(LOG_WARN, event, LOG_TEXT("address", where), LOG_TEXT("why", why),
                  LOG_TEXT("advice", advice));
}

void redis_common_say_away(struct redis_common *common, const char *where, const char *words)
{
    say_trouble(common, "cannot reach Redis, trying again", where, words);
}

void redis_common_say_ownerless(struct redis_common *common, const char *words)
{
    say_trouble(common, "a part of the Cluster is missing", common->url.shown, words);
}

void redis_common_away(struct redis_common *common, const char *words)
{
    redis_common_say_away(common, common->url.shown, words);
}

void redis_common_say_refused(struct redis_common *common, const char *where, const char *words,
                              bool is_problem)
{
    char error[REDIS_WORDS_MAX_BYTES];
    cut_script(words, error);
    char advice[REDIS_ADVICE_MAX_BYTES];
    size_t row = redis_trouble_find(error);
    bool is_clear = advise(common, error, advice);
    pthread_mutex_lock(&common->lock);
    if (is_problem)
        set_problem(common, where, error, advice);
    bool must_say = is_clear && is_due(common, &common->said_ms[row]);
    pthread_mutex_unlock(&common->lock);
    if (must_say)
        log_event(LOG_ERROR, "Redis refused a command", LOG_TEXT("address", where),
                  LOG_TEXT("error", error), LOG_TEXT("advice", advice));
}

void redis_common_describe(struct redis_common *common, char *out, size_t cap)
{
    pthread_mutex_lock(&common->lock);
    snprintf(out, cap, "%s", common->problem);
    pthread_mutex_unlock(&common->lock);
}
