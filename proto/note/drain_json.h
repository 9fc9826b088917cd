/* Parses the JSON body of POST /drain, as strictly as push_json.h. */
#ifndef HERALD_PROTO_DRAIN_JSON_H
#define HERALD_PROTO_DRAIN_JSON_H

#include "proto/json/json_scan.h"

enum { DRAIN_MAX_CONNECTIONS = 100000000, DRAIN_MAX_RATE = 1000000 };

/* {"connections"?,"rate"?,"cancel"?}; cancel stands alone. */
struct drain_request {
    uint32_t connections; /* 1..DRAIN_MAX_CONNECTIONS; 0: it is not there */
    uint32_t rate;        /* 1..DRAIN_MAX_RATE a second; 0: it is not there */
    bool is_cancel;
};

/* An empty body asks for nothing special. */
MUST_CHECK enum err drain_request_parse(struct span body, struct drain_request *ret_request,
                                        struct json_problem *ret_problem);

#endif
