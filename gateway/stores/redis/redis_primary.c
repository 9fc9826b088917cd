/* The store is up while one primary is: every lane that has it can use it, no write was refused
 * since the last trial that passed, and every lane may send scripts. Lanes report on their own
 * threads; one of them calls on_state, in order, until what was reported is what is.
 *
 * What is wrong is logged at most once a minute for each kind of trouble, with advice, and kept for
 * store_describe until all primaries are up again.
 */
#include "gateway/stores/redis/redis_primary.h"

#include "gateway/base/log.h"

#include <stdlib.h>

/* ---- up and down ---- */

static bool is_up_now(const struct redis_primary *primary)
{
    return primary->n_up == primary->common->n_lanes && !primary->is_refusing &&
           primary->n_denied == 0;
}

struct tally {
    unsigned n;
    unsigned n_up;
    unsigned n_tried; /* up, or not for a reason that is known */
};

/* Under the lock. */
static struct tally count_primaries(const struct redis_common *common)
{
    struct tally tally = {0};
    for (const struct redis_primary *one = common->primaries; one != NULL; one = one->next) {
        if (one->n_used == 0)
            continue;
        tally.n++;
        tally.n_up += is_up_now(one);
        tally.n_tried += one->has_failed || is_up_now(one);
    }
    return tally;
}

/* Under the lock. A node that has just begun is not ready for a part while the others come up. */
static bool is_store_up(struct redis_common *common)
{
    struct tally tally = count_primaries(common);
    common->has_begun = common->has_begun || (tally.n > 0 && tally.n_tried == tally.n);
    return common->has_begun && tally.n_up > 0;
}

/* Under the lock. true: it is time to say that all is well. */
static bool note_whole(struct redis_common *common)
{
    struct tally tally = count_primaries(common);
    bool was_whole = common->is_whole;
    common->is_whole =
        tally.n > 0 && tally.n_up == tally.n && common->n_ownerless == 0 && !common->is_map_failed;
    if (was_whole || !common->is_whole)
        return false;
    redis_common_forget_problem(common);
    bool must_say = !common->is_said_up;
    common->is_said_up = true;
    return must_say;
}

/* Two lanes may come and go at the same time: one thread reports, in order and until it is right.
 */
static void report_state(struct redis_common *common)
{
    pthread_mutex_lock(&common->lock);
    bool is_mine = !common->is_reporting;
    common->is_reporting = true;
    bool must_say = is_mine && note_whole(common);
    while (is_mine && (must_say || common->is_reported_up != is_store_up(common))) {
        bool is_up = is_store_up(common);
        bool is_news = is_up != common->is_reported_up;
        common->is_reported_up = is_up;
        pthread_mutex_unlock(&common->lock);
        if (must_say)
            log_event(LOG_INFO, "redis is there", LOG_TEXT("address", common->url.shown));
        if (is_news && common->events.on_state != NULL)
            common->events.on_state(common->owner, is_up);
        pthread_mutex_lock(&common->lock);
        must_say = note_whole(common);
    }
    if (is_mine)
        common->is_reporting = false;
    pthread_mutex_unlock(&common->lock);
}

void redis_primary_shard(struct redis_primary *primary, bool is_up)
{
    struct redis_common *common = primary->common;
    pthread_mutex_lock(&common->lock);
    if (is_up)
        primary->n_up++;
    else
        primary->n_up--;
    pthread_mutex_unlock(&common->lock);
    report_state(common);
}

struct redis_refusals redis_primary_refusals(struct redis_primary *primary)
{
    struct redis_common *common = primary->common;
    pthread_mutex_lock(&common->lock);
    struct redis_refusals refusals = primary->refusals;
    pthread_mutex_unlock(&common->lock);
    return refusals;
}

void redis_primary_taken(struct redis_primary *primary, struct redis_refusals as_of)
{
    struct redis_common *common = primary->common;
    pthread_mutex_lock(&common->lock);
    if (primary->refusals.n == as_of.n)
        primary->is_refusing = false;
    pthread_mutex_unlock(&common->lock);
    report_state(common);
}

void redis_primary_denied(struct redis_primary *primary, bool is_denied)
{
    struct redis_common *common = primary->common;
    pthread_mutex_lock(&common->lock);
    primary->has_failed = primary->has_failed || is_denied;
    if (is_denied)
        primary->n_denied++;
    else
        primary->n_denied--;
    pthread_mutex_unlock(&common->lock);
    report_state(common);
}

/* ---- what is wrong ---- */

/* One that another has taken the place of is nobody's trouble. At the start the others are not kept
 * waiting for one that has failed. */
void redis_primary_away(struct redis_primary *primary, const char *words)
{
    struct redis_common *common = primary->common;
    pthread_mutex_lock(&common->lock);
    bool is_used = primary->n_used > 0;
    bool is_first = !primary->has_failed;
    primary->has_failed = true;
    pthread_mutex_unlock(&common->lock);
    if (is_used)
        redis_common_say_away(common, primary->shown, words);
    if (is_first)
        report_state(common);
}

enum refused { REFUSED_BY_ITS_ERROR, REFUSED_UNHEARD, REFUSED_FOR_ONE };

static void take_refusal(struct redis_primary *primary, const char *error, enum refused refused)
{
    struct redis_common *common = primary->common;
    bool is_refusal =
        refused == REFUSED_UNHEARD || (refused == REFUSED_BY_ITS_ERROR &&
                                       redis_trouble_at(redis_trouble_find(error))->is_refusal);
    if (is_refusal) {
        pthread_mutex_lock(&common->lock);
        primary->is_refusing = true;
        primary->has_failed = true;
        primary->refusals.n++;
        primary->refusals.n_unheard += refused == REFUSED_UNHEARD;
        pthread_mutex_unlock(&common->lock);
    }
    redis_common_say_refused(common, primary->shown, error, is_refusal);
    if (is_refusal)
        report_state(common);
}

void redis_primary_refused(struct redis_primary *primary, const char *error)
{
    take_refusal(primary, error, REFUSED_BY_ITS_ERROR);
}

void redis_primary_unheard(struct redis_primary *primary, const char *error)
{
    take_refusal(primary, error, REFUSED_UNHEARD);
}

void redis_primary_refused_one(struct redis_primary *primary, const char *error)
{
    take_refusal(primary, error, REFUSED_FOR_ONE);
}

/* ---- opened and closed ---- */

/* Under the lock. */
static struct redis_primary *find_primary(struct redis_common *common,
                                          const struct redis_address *address)
{
    for (struct redis_primary *one = common->primaries; one != NULL; one = one->next)
        if (redis_address_equal(&one->address, address))
            return one;
    return NULL;
}

/* Under the lock. */
static struct redis_primary *add_primary(struct redis_common *common,
                                         const struct redis_address *address,
                                         struct redis_clock *clock)
{
    struct redis_primary *primary = calloc(1, sizeof *primary);
    if (primary == NULL)
        return NULL;
    primary->common = common;
    primary->clock = clock;
    primary->address = *address;
    if (address->host[0] != '\0')
        redis_address_write(address, primary->shown);
    else
        memcpy(primary->shown, common->url.shown, sizeof primary->shown);
    primary->next = common->primaries;
    common->primaries = primary;
    return primary;
}

struct redis_primary *redis_primary_open(struct redis_common *common,
                                         const struct redis_address *address,
                                         struct redis_clock *clock)
{
    static const struct redis_address of_url = {.host = ""};
    if (address == NULL)
        address = &of_url;
    if (clock == NULL)
        clock = &common->clock;
    pthread_mutex_lock(&common->lock);
    struct redis_primary *primary = find_primary(common, address);
    if (primary == NULL)
        primary = add_primary(common, address, clock);
    if (primary != NULL)
        primary->n_shards++;
    pthread_mutex_unlock(&common->lock);
    return primary;
}

/* Under the lock. */
static void remove_primary(struct redis_common *common, const struct redis_primary *primary)
{
    struct redis_primary **at = &common->primaries;
    while (*at != primary)
        at = &(*at)->next;
    *at = primary->next;
}

void redis_primary_close(struct redis_primary *primary)
{
    struct redis_common *common = primary->common;
    pthread_mutex_lock(&common->lock);
    bool is_last = --primary->n_shards == 0;
    if (is_last)
        remove_primary(common, primary);
    pthread_mutex_unlock(&common->lock);
    if (is_last)
        free(primary);
}

void redis_primary_use(struct redis_primary *primary, bool is_used)
{
    struct redis_common *common = primary->common;
    pthread_mutex_lock(&common->lock);
    if (is_used)
        primary->n_used++;
    else
        primary->n_used--;
    pthread_mutex_unlock(&common->lock);
}

void redis_primary_map_taken(struct redis_common *common, unsigned n_ownerless)
{
    pthread_mutex_lock(&common->lock);
    common->n_ownerless = n_ownerless;
    common->is_map_failed = false;
    pthread_mutex_unlock(&common->lock);
    report_state(common);
}

void redis_primary_map_failed(struct redis_common *common)
{
    pthread_mutex_lock(&common->lock);
    common->is_map_failed = true;
    pthread_mutex_unlock(&common->lock);
    report_state(common);
}

void redis_primary_report(struct redis_common *common)
{
    report_state(common);
}

bool redis_primary_is_up(struct redis_common *common, const struct redis_address *address)
{
    pthread_mutex_lock(&common->lock);
    const struct redis_primary *primary = find_primary(common, address);
    bool is_up = primary != NULL && is_up_now(primary);
    pthread_mutex_unlock(&common->lock);
    return is_up;
}
