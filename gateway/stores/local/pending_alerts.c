#include "gateway/stores/local/pending_alerts.h"

#include "gateway/base/hash.h"
#include "gateway/base/list.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static struct alert *alert_of(const struct hash_link *link)
{
    return CONTAINER_OF(link, struct alert, link);
}

static struct alert *alert_of_due(struct due *due)
{
    return CONTAINER_OF(due, struct alert, due);
}

static uint64_t alert_hash(const struct hash_link *link)
{
    return alert_of(link)->hash;
}

/* Of one user's numbers, which follow each other. */
static uint64_t hash_of(struct span user_id, uint64_t seq)
{
    return hash_bytes(user_id) ^ seq * UINT64_C(0x9e3779b97f4a7c15);
}

enum err pending_alerts_new(struct pending_alerts **ret_alerts)
{
    struct pending_alerts *alerts = calloc(1, sizeof *alerts);
    if (alerts == NULL)
        return ERR_NO_MEMORY;
    enum err error = hash_table_init(&alerts->entries, alert_hash);
    if (error != ERR_OK) {
        free(alerts);
        return error;
    }
    *ret_alerts = alerts;
    return ERR_OK;
}

static void free_alert(struct hash_link *link)
{
    free(alert_of(link));
}

void pending_alerts_free(struct pending_alerts *alerts)
{
    if (alerts == NULL)
        return;
    hash_table_clear(&alerts->entries, free_alert);
    hash_table_fini(&alerts->entries);
    due_heap_clear(&alerts->due);
    free(alerts);
}

struct alert *pending_alerts_find(const struct pending_alerts *alerts, struct span user_id,
                                  struct epoch epoch, uint64_t seq)
{
    uint64_t hash = hash_of(user_id, seq);
    HASH_TABLE_FOR_EACH_IN(link, &alerts->entries, hash_table_bucket(&alerts->entries, hash))
    {
        struct alert *alert = alert_of(link);
        if (alert->hash == hash && alert->seq == seq && epoch_equal(alert->epoch, epoch) &&
            span_equal(alert_user(alert), user_id))
            return alert;
    }
    return NULL;
}

struct alert *alert_new(struct span user_id)
{
    assert(user_id.len > 0 && user_id.len <= USER_ID_MAX_BYTES);
    struct alert *alert = calloc(1, sizeof *alert + user_id.len);
    if (alert == NULL)
        return NULL;
    alert->user_id_len = (uint8_t)user_id.len;
    memcpy(alert->user_id, user_id.bytes, user_id.len);
    return alert;
}

enum err pending_alerts_reserve(struct pending_alerts *alerts)
{
    return due_heap_reserve(&alerts->due, alerts->due.n + 1);
}

void pending_alerts_add(struct pending_alerts *alerts, struct alert *alert)
{
    alert->hash = hash_of(alert_user(alert), alert->seq);
    hash_table_add(&alerts->entries, &alert->link);
    due_heap_add(&alerts->due, &alert->due);
}

void pending_alerts_remove(struct pending_alerts *alerts, struct alert *alert)
{
    hash_table_remove(&alerts->entries, &alert->link);
    due_heap_remove(&alerts->due, &alert->due);
}

static struct store_alert shown_alert(const struct alert *alert)
{
    struct store_alert shown = {
        .user_id_len = alert->user_id_len,
        .epoch = alert->epoch,
        .seq = alert->seq,
        .pushed_ms = alert->pushed_ms,
        .due_ms = alert->due.at_ms,
    };
    memcpy(shown.user_id, alert->user_id, alert->user_id_len);
    return shown;
}

/* They are taken out of the heap one after the other, and put back. */
enum err pending_alerts_show_due(struct pending_alerts *alerts, int64_t now_ms, size_t skip,
                                 struct store_alert *out, size_t max, size_t *ret_n,
                                 int64_t *ret_next_ms)
{
    struct due *first;
    size_t n_taken = 0;
    size_t most = alerts->due.n < skip + max ? alerts->due.n : skip + max;
    struct due **taken = malloc((most + 1) * sizeof(struct due *));
    *ret_n = 0;
    if (taken == NULL)
        return ERR_NO_MEMORY;
    while (n_taken < most && (first = due_heap_first(&alerts->due))->at_ms <= now_ms) {
        due_heap_remove(&alerts->due, first);
        taken[n_taken++] = first;
        if (n_taken > skip)
            out[(*ret_n)++] = shown_alert(alert_of_due(first));
    }
    first = due_heap_first(&alerts->due);
    *ret_next_ms = first == NULL ? 0 : first->at_ms;
    for (size_t i = 0; i < n_taken; i++)
        due_heap_add(&alerts->due, taken[i]);
    free(taken);
    return ERR_OK;
}
