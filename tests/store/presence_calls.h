/* Who is online, and what is due, as calls that wait for their answer, as event_calls.h. */
#ifndef HERALD_TESTS_STORE_PRESENCE_CALLS_H
#define HERALD_TESTS_STORE_PRESENCE_CALLS_H

#include "tests/store/event_calls.h"

enum { GRACE_MS = 1000 };

/* The event of a user who comes: {"type":"user.online","userId":"anna"}. */
#define ONLINE(user) "{\"type\":\"user.online\",\"userId\":\"" user "\"}"

struct presence_call {
    struct store_presence presence;
    struct call call;
};

void presence_begin(struct store *to, struct presence_call *call, struct store_presence asked);

struct store_presence presence_run(struct store *to, struct store_presence asked);

/* One change in the user's partition; it must be written. Answers is_new. */
bool user_comes(struct store *to, const char *node, const char *user, const char *event);
/* The same of whom it is known since when. */
bool user_returns(struct store *to, const char *node, const char *user, const char *event,
                  int64_t came_ms);
bool user_leaves(struct store *to, const char *node, const char *user, int64_t last_seen_ms,
                 enum offline_cause cause);

/* The users on record, a comma after each. The caller frees it. */
char *present_users(struct store *of, unsigned partition, const char *node);

void expect_present(struct store *of, unsigned partition, const char *node, const char *users);

struct store_present present_run(struct store *to, struct store_present asked);

/* By this node, with all rights; what it holds is the caller's to free. */
struct store_serve serve_run(struct store *to, struct store_serve asked);
struct store_serve serve_asked(unsigned partition, const char *node);

/* A renewal of the node's lease, without a change; who judges needs it in a shared store. */
void renew_lease(struct store *to, unsigned partition, const char *node);

/* Renews the node's lease and serves, until so many events were ever given in the partition. */
void serve_until_head(struct store *to, unsigned partition, const char *node, uint64_t head);

/* A push that asks for an alert; "": without an idempotency key. */
struct store_target push_with_alert(struct store *to, const char *user, uint32_t after_s,
                                    const char *key);
enum err alert_end(struct store *to, unsigned partition, struct store_alert alert,
                   const char *event);

/* The data of the event with this number. */
void expect_event(struct store *of, unsigned partition, uint64_t seq, const char *data);

/* A userId of the partition, the n-th in no order. */
void name_user(unsigned partition, int n, char out[32]);

#endif
