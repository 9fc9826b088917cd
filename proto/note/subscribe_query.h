/* Parses and checks the query of a subscriber's request (CONTRACT 2). Names and values are
 * percent-decoded, `+` is a space; unknown parameters are ignored. Pure, no allocation. */
#ifndef HERALD_PROTO_SUBSCRIBE_QUERY_H
#define HERALD_PROTO_SUBSCRIBE_QUERY_H

#include "proto/bytes/user_id.h"
#include "proto/note/event_message.h"
#include "proto/note/message_id.h"

/* A device's name: 1 to 64 of A-Za-z0-9._- */
bool device_is_valid(struct span device);

/* GET /ws and GET /sse, all optional (the caller decides whether the userId may be left out):
 * `userId`, `after` (a position, EPOCH-SEQ with seq from 0), `device` and `ack`. */
struct subscribe_query {
    char user_id[USER_ID_MAX_BYTES];
    size_t user_id_len; /* 0: it is left out */
    bool has_after;
    struct epoch after_epoch;
    uint64_t after_seq;
    char device[DEVICE_MAX_BYTES];
    size_t device_len;    /* 0: none */
    bool is_ack_explicit; /* `ack=explicit`; only SSE uses it */
};

/* ERR_INVALID_FIELD: *ret_field is the parameter ("after") and *ret_detail a sentence that names it
 * ("after must be EPOCH-SEQ"), both constants; a known parameter that is given twice is such an
 * error. Then *ret_query must not be read. */
MUST_CHECK enum err subscribe_query_parse(struct span query, struct subscribe_query *ret_query,
                                          const char **ret_field, const char **ret_detail);

/* `lastEventId`: a position like the header Last-Event-ID, from EventSource polyfills that cannot
 * set headers. ERR_NOT_FOUND: absent, or empty as it is before the first event. Otherwise as
 * subscribe_query_parse. */
MUST_CHECK enum err last_event_id_parse(struct span query, struct epoch *ret_epoch,
                                        uint64_t *ret_seq, const char **ret_field,
                                        const char **ret_detail);

/* POST /ack: `id` (a message id), and optionally `userId` and `device`. */
struct ack_query {
    char user_id[USER_ID_MAX_BYTES];
    size_t user_id_len; /* 0: it is left out */
    struct epoch epoch;
    uint64_t seq; /* from 1 */
    char device[DEVICE_MAX_BYTES];
    size_t device_len; /* 0: none */
};

/* POST /message: `id`, the client's own id of its message, and optionally `userId`. */
struct message_query {
    char user_id[USER_ID_MAX_BYTES];
    size_t user_id_len; /* 0: it is left out */
    char id[CLIENT_ID_MAX_BYTES];
    size_t id_len; /* from 1 */
};

/* As subscribe_query_parse. */
MUST_CHECK enum err message_query_parse(struct span query, struct message_query *ret_query,
                                        const char **ret_field, const char **ret_detail);

/* As subscribe_query_parse. */
MUST_CHECK enum err ack_query_parse(struct span query, struct ack_query *ret_query,
                                    const char **ret_field, const char **ret_detail);

#endif
