/* Parses the JSON bodies of the admin API that name one user, as strictly as push_json.h. */
#ifndef HERALD_PROTO_KICK_JSON_H
#define HERALD_PROTO_KICK_JSON_H

#include "proto/bytes/user_id.h"
#include "proto/json/json_scan.h"

enum { KICK_REASON_MAX_BYTES = 64, KICK_MAX_BLOCK_S = 86400 };

/* POST /deleteClient: {"userId","reason"?,"purge"?,"blockFor"?} */
struct kick_request {
    char user_id[USER_ID_MAX_BYTES];
    size_t user_id_len;
    char reason[KICK_REASON_MAX_BYTES]; /* UTF-8, no control characters */
    size_t reason_len;
    bool is_purge;
    uint32_t block_s; /* at most KICK_MAX_BLOCK_S */
};

MUST_CHECK enum err kick_request_parse(struct span body, struct kick_request *ret_request,
                                       struct json_problem *ret_problem);

/* POST /tickets: {"userId"}, decoded into `user_id`. */
MUST_CHECK enum err ticket_request_parse(struct span body, char user_id[USER_ID_MAX_BYTES],
                                         size_t *ret_len, struct json_problem *ret_problem);

#endif
