/* The users who are online: userId -> client, in locked shards.
 *
 * A user's home is hash(userId) % workers; all of that user's sessions live on that worker, and
 * only that worker's thread adds clients to its shards and removes them. Other threads look clients
 * up, queue in the channel and read presence, all under the shard's lock. No I/O, no callback and
 * no formatting happens under it, and no other lock is taken under it. */
#ifndef HERALD_CLIENT_MAP_H
#define HERALD_CLIENT_MAP_H

#include "gateway/node/client.h"

struct client_map;

/* on_letter runs on the home worker when a client has been offered something. */
MUST_CHECK enum err client_map_new(unsigned n_workers, uint32_t channel_max_bytes,
                                   void (*on_letter)(struct letter *letter),
                                   struct client_map **ret_map);
void client_map_free(struct client_map *map); /* must be empty */

unsigned client_map_home(const struct client_map *map, struct span user_id); /* any thread */

/* Any thread. Queues in the user's channel and returns the number of the user's sessions on this
 * node; 0: not present, nothing was queued. */
unsigned client_map_offer(struct client_map *map, struct span user_id, struct inbox_event event);
/* The thread of the worker `here`. The same, but if that is the user's home and nothing waits for
 * the user, nothing is queued: the head is raised, and the caller delivers the event to *ret_client
 * now. Otherwise *ret_client is NULL. */
unsigned client_map_offer_here(struct client_map *map, struct span user_id,
                               struct inbox_event event, unsigned here, struct client **ret_client);
/* Any thread. The number of the user's sessions on this node. */
unsigned client_map_count(struct client_map *map, struct span user_id);
/* Any thread. Records that events may have been missed; the next client_map_take reports it. Until
 * the client is sure again (client.h) the head stays as it is. */
void client_map_missed(struct client_map *map, struct span user_id, enum missed missed);

/* Any thread. The home of a user, and what this node knows of one who is present: the epoch, the
 * highest number, and how far the sessions without a device have acknowledged (0 for a user with
 * devices, whose position only the store knows). Otherwise no epoch and zeros. */
struct client_known {
    unsigned home;
    struct epoch epoch;
    uint64_t head;
    uint64_t acked;
    uint32_t head_time;
};
struct client_known client_map_known(struct client_map *map, struct span user_id);
/* Home worker. Sets the epoch, and raises the head unless the client is unsure; `time` is the
 * head's, 0 if it is not known. */
void client_map_learn(struct client_map *map, struct client *client, struct epoch epoch,
                      uint64_t head, uint32_t time);

/* Home worker. Counts one more session; finds or makes the client. NULL: out of memory. */
struct client *client_map_enter(struct client_map *map, struct span user_id, struct worker *home,
                                struct mailbox *mailbox);
/* Home worker. Counts one session less. true: it was the last one, and the client has left the
 * map. */
bool client_map_leave(struct client_map *map, struct client *client);
struct client *client_map_find(struct client_map *map, struct span user_id); /* home worker */

/* Home worker: takes the channel with all events that were offered since the last take, raises the
 * head accordingly, and reports what may have been missed. The caller frees the channel
 * (channel_free); NULL: nothing was offered. */
struct channel *client_map_take(struct client_map *map, struct client *client,
                                enum missed *ret_missed);

/* Home worker: visits about `n` of that worker's clients from *cursor on, which begins at 0 and is
 * UINT64_MAX at the end. A user who is present during the whole iteration is visited once. `visit`
 * may remove the client that it is given. */
void client_map_visit(struct client_map *map, unsigned worker, uint64_t *cursor, unsigned n,
                      void (*visit)(struct client *client, void *argument), void *argument);

/* Home worker: visits every client of that worker; `visit` may remove the client that it is
 * given. */
void client_map_each(struct client_map *map, unsigned worker,
                     void (*visit)(struct client *client, void *argument), void *argument);

/* Any thread: users and their sessions, in pages. `cursor` starts at 0; at the end it is
 * UINT64_MAX. */
struct client_map_row {
    char user_id[128];
    uint8_t user_id_len;
    uint32_t n_sessions;
};
size_t client_map_list(struct client_map *map, uint64_t *cursor, struct client_map_row *rows,
                       size_t cap);
size_t client_map_users(struct client_map *map); /* any thread: how many there are */

#endif
