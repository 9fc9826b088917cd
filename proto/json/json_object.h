/* Finds members of one JSON object by name. Other members are allowed, a repeated name is not: so
 * are the objects of JOSE (RFC 7515, section 4; RFC 7519, section 4). Pure. */
#ifndef HERALD_PROTO_JSON_OBJECT_H
#define HERALD_PROTO_JSON_OBJECT_H

#include "proto/json/json_scan.h"

enum {
    JSON_OBJECT_MEMBERS_MAX = 128,
    JSON_OBJECT_ESCAPED_MAX_BYTES = 1024, /* of all names that are written with escapes */
};

/* The whole of `text` must be one object, with white space around it at most. raw[i] becomes the
 * undecoded value of names[i], with the quotes of a string; no bytes (NULL): absent. Names are
 * compared decoded, at the top level only. false: *ret_why is a constant sentence. */
bool json_object_scan(struct span text, const char *const *names, size_t n_names, struct span *raw,
                      const char **ret_why);

/* The same for an object whose members are objects that the caller reads one by one. A member that
 * is nested too deep must not make the others unreadable, so it is skipped here (skips_deep in
 * json_scan.h); json_object_scan on that member reports it. */
bool json_object_scan_set(struct span text, const char *const *names, size_t n_names,
                          struct span *raw, const char **ret_why);

/* Decodes a string that json_object_scan found. Writes at most `cap` bytes; *ret_len is the length
 * of the whole text. false: absent, not a string, or with a lone surrogate in it. */
bool json_object_string(struct span raw, char *out, size_t cap, size_t *ret_len);

/* Is the value a string with this text (of at most 1024 bytes)? */
bool json_object_string_is(struct span raw, struct span text);

/* Iterates over the elements of an array that json_object_scan found. */
struct json_array {
    struct json_scan scan;
    bool is_closed;
};

bool json_array_open(struct json_array *array,
                     struct span raw); /* false: absent, or not an array */
bool json_array_next(struct json_array *array, struct span *ret_element); /* false: no more */

#endif
