#include "gateway/stores/redis/redis_sentinels.h"

#include <sys/random.h>

static void swap_addresses(struct redis_address *a, struct redis_address *b)
{
    struct redis_address kept = *a;
    *a = *b;
    *b = kept;
}

/* So that the nodes of a fleet do not all begin with the same one. */
static void shuffle_list(struct redis_sentinel_list *list)
{
    uint32_t random[REDIS_SENTINELS_MAX] = {0};
    if (getrandom(random, sizeof random, GRND_NONBLOCK) != (ssize_t)sizeof random)
        return;
    for (unsigned i = list->n; i > 1; i--)
        swap_addresses(&list->addresses[i - 1], &list->addresses[random[i - 1] % i]);
}

void redis_sentinels_init(struct redis_sentinels *sentinels, const struct redis_url *url)
{
    *sentinels = (struct redis_sentinels){.known.n = url->n_hosts};
    memcpy(sentinels->known.addresses, url->hosts, url->n_hosts * sizeof url->hosts[0]);
    shuffle_list(&sentinels->known);
    pthread_mutex_init(&sentinels->lock, NULL);
}

void redis_sentinels_fini(struct redis_sentinels *sentinels)
{
    pthread_mutex_destroy(&sentinels->lock);
}

void redis_sentinels_list(struct redis_sentinels *sentinels, struct redis_sentinel_list *ret_list)
{
    pthread_mutex_lock(&sentinels->lock);
    *ret_list = sentinels->known;
    pthread_mutex_unlock(&sentinels->lock);
}

/* Under the lock; the number of all: it is not there. */
static unsigned find_sentinel(const struct redis_sentinel_list *list,
                              const struct redis_address *address)
{
    unsigned i = 0;
    while (i < list->n && !redis_address_equal(&list->addresses[i], address))
        i++;
    return i;
}

void redis_sentinels_add(struct redis_sentinels *sentinels, const struct redis_address *address)
{
    struct redis_sentinel_list *known = &sentinels->known;
    pthread_mutex_lock(&sentinels->lock);
    if (known->n < REDIS_SENTINELS_MAX && find_sentinel(known, address) == known->n)
        known->addresses[known->n++] = *address;
    pthread_mutex_unlock(&sentinels->lock);
}

void redis_sentinels_answered(struct redis_sentinels *sentinels,
                              const struct redis_address *address)
{
    struct redis_sentinel_list *known = &sentinels->known;
    pthread_mutex_lock(&sentinels->lock);
    unsigned at = find_sentinel(known, address);
    if (at > 0 && at < known->n)
        swap_addresses(&known->addresses[0], &known->addresses[at]);
    pthread_mutex_unlock(&sentinels->lock);
}

/* ---- the primary ---- */

static size_t count_same(const struct redis_sentinel_says *says, size_t n,
                         const struct redis_sentinel_says *one)
{
    size_t same = 0;
    for (size_t i = 0; i < n; i++)
        same += says[i].epoch == one->epoch && redis_address_equal(&says[i].primary, &one->primary);
    return same;
}

const struct redis_sentinel_says *redis_sentinels_choose(const struct redis_sentinel_says *says,
                                                         size_t n)
{
    const struct redis_sentinel_says *best = says;
    for (size_t i = 1; i < n; i++) {
        bool is_newer = says[i].epoch > best->epoch;
        bool is_better = says[i].epoch == best->epoch &&
                         count_same(says, n, &says[i]) > count_same(says, n, best);
        if (is_newer || is_better)
            best = &says[i];
    }
    return best;
}

/* Under the lock. */
static enum redis_belief compare_latest(const struct redis_sentinels *sentinels,
                                        const struct redis_sentinel_says *says)
{
    const struct redis_sentinel_says *latest = &sentinels->latest;
    if (!sentinels->has_primary)
        return REDIS_BELIEF_SAME;
    if (says->epoch < latest->epoch)
        return REDIS_BELIEF_OLDER;
    return redis_address_equal(&says->primary, &latest->primary) ? REDIS_BELIEF_SAME
                                                                 : REDIS_BELIEF_OTHER;
}

enum redis_belief redis_sentinels_believe(struct redis_sentinels *sentinels,
                                          const struct redis_sentinel_says *says)
{
    pthread_mutex_lock(&sentinels->lock);
    enum redis_belief belief = compare_latest(sentinels, says);
    if (belief != REDIS_BELIEF_OLDER) {
        sentinels->has_primary = true;
        sentinels->latest = *says;
    }
    pthread_mutex_unlock(&sentinels->lock);
    return belief;
}

bool redis_sentinels_replace(struct redis_sentinels *sentinels, bool is_replaced, int64_t now_ms)
{
    pthread_mutex_lock(&sentinels->lock);
    if (!is_replaced)
        sentinels->replaced_ms = 0;
    else if (sentinels->replaced_ms == 0)
        sentinels->replaced_ms = now_ms;
    bool is_believed = is_replaced && now_ms - sentinels->replaced_ms < REDIS_REPLACED_MAX_MS;
    sentinels->is_replaced = is_believed;
    pthread_mutex_unlock(&sentinels->lock);
    return is_believed;
}

bool redis_sentinels_have_moved(struct redis_sentinels *sentinels,
                                const struct redis_address *address)
{
    pthread_mutex_lock(&sentinels->lock);
    bool have_moved =
        sentinels->is_replaced ||
        (sentinels->has_primary && !redis_address_equal(&sentinels->latest.primary, address));
    pthread_mutex_unlock(&sentinels->lock);
    return have_moved;
}
