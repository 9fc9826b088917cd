/* Parses the JSON bodies of the admin API strictly (RFC 8259), in one pass that checks every byte
 * and copies none. `data` stays a slice of the request, so it reaches the browser as it was POSTed.
 *
 * Refused as ERR_BAD_JSON, with the offset of the offending byte: anything RFC 8259 does not allow
 * (a byte order mark, trailing bytes, control characters in strings, lone surrogates in escapes of
 * the request's own strings), invalid UTF-8, NUL, nesting over 64, a member that is repeated in the
 * request itself. The value of `data` must be valid JSON and is not checked further. */
#ifndef HERALD_PROTO_PUSH_JSON_H
#define HERALD_PROTO_PUSH_JSON_H

#include "proto/bytes/span.h"
#include "proto/error.h"
#include "proto/json/json_scan.h"

#include <stdint.h>

enum {
    PUSH_MAX_USERS = 10000,
    PUSH_MAX_TTL_S = 2592000,
    PUSH_MAX_WAIT_S = 30,
    PUSH_MAX_ALERT_S = 2592000,
};

struct push_limits {
    size_t max_data_bytes;
    uint32_t default_ttl_s;
    bool keeps_alerts; /* notification.unacknowledged is an event that is kept (--events) */
};

struct push_request {
    struct span data; /* inside the body */
    uint32_t ttl_s;
    uint32_t wait_ms;
    uint32_t alert_after_s;      /* 0: none */
    struct span collapse_key;    /* decoded; empty: none */
    struct span idempotency_key; /* decoded; empty: none */
    bool is_to_connection;       /* connection was given: one of the user's... */
    uint64_t connection;         /* ...this one; 0: what was given is no connection's name */
    bool is_list;                /* userIds was given, not userId */
    size_t n_users;
    struct span user;   /* of userId: decoded and checked; inside `memory` or the body */
    struct span *users; /* of userIds: the same, inside `memory` */
    char *memory; /* NULL: nothing had to be decoded; else one block; push_request_fini frees it */
};

/* The i-th of n_users. */
static inline struct span push_request_user(const struct push_request *request, size_t i)
{
    return request->is_list ? request->users[i] : request->user;
}

/* Fields: userId or userIds (1 to 10 000), data, ttl (whole seconds, 0..2592000), collapseKey and
 * idempotencyKey (1 to 64 bytes of UTF-8 without control characters), wait (seconds, 0..30, with
 * fractions; kept to the millisecond), connection (1 to 64 bytes, with ttl 0), alertAfter (whole
 * seconds, 1..2592000, less than ttl; only where keeps_alerts). With ttl 0 no key, no wait and no
 * alertAfter are allowed, with userIds no wait and no connection. ERR_OK: *ret_request is set, and
 * the caller calls push_request_fini while the body is still valid. Otherwise *ret_problem is set
 * and *ret_request is empty. Over max_data_bytes, or userIds x data over 64 MiB: ERR_TOO_LARGE,
 * field data. */
MUST_CHECK enum err push_request_parse(struct span body, const struct push_limits *limits,
                                       struct push_request *ret_request,
                                       struct json_problem *ret_problem);
/* Parses a line of NDJSON, which may not have wait. */
MUST_CHECK enum err push_line_parse(struct span line, const struct push_limits *limits,
                                    struct push_request *ret_request,
                                    struct json_problem *ret_problem);
void push_request_fini(struct push_request *request);

/* Sets the key of the header Idempotency-Key; its bytes must be valid as long as the request.
 * ERR_INVALID_FIELD: not a valid key, different from the body's key, or ttl is 0. */
MUST_CHECK enum err push_request_set_key(struct push_request *request, struct span key,
                                         struct json_problem *ret_problem);

/* POST /online: {"userIds"}, 1 to 10 000. Only the users are set; free it with
 * push_request_fini. */
MUST_CHECK enum err users_request_parse(struct span body, struct push_request *ret_request,
                                        struct json_problem *ret_problem);

/* POST /broadcast: {"data"}. *ret_data is a slice of the body. */
MUST_CHECK enum err broadcast_request_parse(struct span body, const struct push_limits *limits,
                                            struct span *ret_data,
                                            struct json_problem *ret_problem);

#endif
