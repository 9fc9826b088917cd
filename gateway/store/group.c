#include "gateway/store/group.h"

#include <stdlib.h>

static enum err reserve(void **list, size_t *cap, size_t needed, size_t item_bytes)
{
    if (needed <= *cap)
        return ERR_OK;
    size_t more_cap = *cap < 64 ? 64 : *cap * 2;
    if (more_cap < needed)
        more_cap = needed;
    void *more = realloc(*list, more_cap * item_bytes);
    if (more == NULL)
        return ERR_NO_MEMORY;
    *list = more;
    *cap = more_cap;
    return ERR_OK;
}

enum err group_reserve(struct group *group, size_t n_puts, size_t n_dels)
{
    void *puts = group->puts;
    void *dels = group->dels;
    void *users = group->users;
    enum err error = reserve(&puts, &group->cap_puts, group->n_puts + n_puts, sizeof *group->puts);
    if (error == ERR_OK)
        error = reserve(&dels, &group->cap_dels, group->n_dels + n_dels, sizeof *group->dels);
    if (error == ERR_OK)
        error = reserve(&users, &group->cap_users, group->n_users + 1, sizeof *group->users);
    group->puts = puts;
    group->dels = dels;
    group->users = users;
    return error;
}

void group_put(struct group *group, struct group_put put)
{
    group->puts[group->n_puts++] = put;
    uint64_t payload_key = put.key - put.distance;
    bool is_repeated = put.distance != 0 && payload_key == group->shared_key;
    group->bytes += GROUP_PUT_OVERHEAD_BYTES + (is_repeated ? 0 : put.note->payload->len);
    if (put.distance != 0)
        group->shared_key = payload_key;
}

void group_del(struct group *group, const struct inbox_entry *entry)
{
    group->dels[group->n_dels++] =
        (struct group_del){.key = entry->key, .distance = entry->distance, .bytes = entry->bytes};
}

void group_del_user(struct group *group, const struct inbox *inbox)
{
    if (inbox->record_key != 0)
        group->dels[group->n_dels++] =
            (struct group_del){.key = inbox->record_key, .is_user = true};
}

void group_write_user(struct group *group, struct inbox *inbox)
{
    if (inbox->is_dirty)
        return;
    inbox->is_dirty = true;
    group->users[group->n_users++] = (struct group_user){.inbox = inbox};
}

bool group_is_empty(const struct group *group)
{
    return group->n_puts == 0 && group->n_dels == 0 && group->n_users == 0;
}

void group_reset(struct group *group)
{
    for (size_t i = 0; i < group->n_puts; i++)
        notification_unref(group->puts[i].note);
    group->n_puts = 0;
    group->n_dels = 0;
    group->n_users = 0;
    group->bytes = 0;
    group->shared_key = 0;
    group->n_expired = 0;
    group->n_overflow = 0;
    group->n_resyncs = 0;
}

void group_fini(struct group *group)
{
    group_reset(group);
    free(group->puts);
    free(group->dels);
    free(group->users);
}
