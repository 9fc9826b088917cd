/* A whole JSON text at once, for tests of what is read or written. */
#ifndef HERALD_TESTS_JSON_VALID_H
#define HERALD_TESTS_JSON_VALID_H

#include "proto/json/json_scan.h"

/* Is this one complete, valid JSON value with nothing but white space around it? false: *ret_offset
 * is that of the first byte that is wrong. */
static inline bool json_is_valid(struct span text, size_t *ret_offset)
{
    struct json_scan scan;
    struct span raw;
    json_scan_init(&scan, text);
    json_scan_space(&scan);
    if (json_scan_value(&scan, &raw) && json_scan_end(&scan))
        return true;
    *ret_offset = (size_t)(scan.at - scan.begin);
    return false;
}

#endif
