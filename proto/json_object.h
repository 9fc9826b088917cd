/* One JSON object whose members are wanted by name, where others may stand beside them and no name
 * may stand twice: the objects of JOSE (RFC 7515, section 4; RFC 7519, section 4). Pure. */
#ifndef HERALD_PROTO_JSON_OBJECT_H
#define HERALD_PROTO_JSON_OBJECT_H

#include "proto/span.h"

enum {
    JSON_OBJECT_MEMBERS_MAX = 128,
    JSON_OBJECT_ESCAPED_MAX_BYTES = 1024, /* of all names that are written with escapes */
};

/* The whole of `text` must be one object, with white space around it at most. raw[i] becomes the
 * value of names[i] as it stands, the quotes of a string included; no bytes (NULL): absent. Names
 * are compared decoded, at the top level only. false: *ret_why is a constant sentence. */
bool json_object_scan(struct span text, const char *const *names, size_t n_names, struct span *raw,
                      const char **ret_why);

/* The text of a value that json_object_scan found. Writes at most `cap` bytes and answers the whole
 * decoded length. false: absent, not a string, or with a lone surrogate in it. */
bool json_object_string(struct span raw, char *out, size_t cap, size_t *ret_len);

/* Is the value a string with this text (of at most 1024 bytes)? */
bool json_object_string_is(struct span raw, struct span text);

#endif
