/* A shared store of presence on one thread, played: the record of who is online as
 * store_event_request.h describes it, with the events that are appended. Each node of a test has a
 * link to it, a store of its own, which can be cut, and can lose answers. What is asked is done in
 * presence_link_turn. Failures end the test (criterion). */
#ifndef HERALD_TESTS_PRESENCE_RECORD_H
#define HERALD_TESTS_PRESENCE_RECORD_H

#include "gateway/store/store_backend.h"
#include "gateway/store/store_event_request.h"

enum { RECORD_NODES_OF_USER = 32, RECORD_NAME_BYTES = 65, RECORD_CHAINS = 256 };

struct record_event {
    char user_id[32];
    bool is_online;
    int64_t time_ms;
    int64_t last_seen_ms;     /* offline */
    enum offline_cause cause; /* offline */
    char data[320];           /* online */
};

struct record_user {
    char user_id[32];
    char nodes[RECORD_NODES_OF_USER][RECORD_NAME_BYTES];
    unsigned n_nodes;
    int64_t due_ms; /* without a node */
    int64_t last_seen_ms;
    enum offline_cause cause;
    unsigned next; /* of its chain */
};

struct record_lease {
    char node[RECORD_NAME_BYTES];
    int64_t renewed_ms;
    int64_t since_ms; /* each renewal since then came in time */
};

struct record_partition {
    struct record_user *users;
    size_t n_users, room;
    unsigned chains[RECORD_CHAINS]; /* of users by hash: their places from 1 on; 0: the end */
    struct record_lease leases[16];
    unsigned n_leases;
    char server[RECORD_NAME_BYTES]; /* empty: nobody serves it */
    int64_t served_until_ms;
};

struct presence_record {
    int64_t (*now_ms)(void);
    int64_t began_ms; /* its epoch */
    bool is_local;    /* one process has it */
    struct record_partition partitions[STORE_PARTITIONS];
    struct record_event *events;
    size_t n_events, events_room;
    unsigned n_written;  /* changes, also those that changed nothing */
    unsigned n_requests; /* of presence */
    unsigned most_changes;
};

struct presence_link {
    struct store store;
    struct presence_record *record;
    struct store *other; /* has the requests of other kinds; NULL: there are none */
    bool is_cut;         /* what is asked fails */
    bool loses_answers;  /* what is asked is done, and fails */
    bool holds;          /* what is asked waits */
    int64_t up_ms;       /* since when it is not cut */
    struct store_request *first;
    struct store_request **last;
    struct store_alert alert; /* due in partition `alert_of` from alert_ms on, if that is not 0 */
    unsigned alert_of;
    int64_t alert_ms;
};

void presence_record_init(struct presence_record *record, int64_t (*now_ms)(void));
void presence_record_fini(struct presence_record *record);
/* It has lost everything, its events as well: readers begin anew. */
void presence_record_lose(struct presence_record *record);

void presence_link_init(struct presence_link *link, struct presence_record *record);
void presence_link_cut(struct presence_link *link, bool is_cut);
/* Does what was asked, and answers it. */
void presence_link_turn(struct presence_link *link);
/* Answers what waits, without doing it. */
void presence_link_drop(struct presence_link *link);

/* NULL: the user is not on record. */
const struct record_user *presence_record_find(struct presence_record *record, const char *user_id);
/* Has that node the user? */
bool presence_record_has(struct presence_record *record, const char *user_id, struct span node);
size_t presence_record_count(const struct presence_record *record);
/* What the events of the user end in. */
bool presence_record_told(const struct presence_record *record, const char *user_id);
/* Events of that user. */
unsigned presence_record_events(const struct presence_record *record, const char *user_id);

#endif
