/* UTF-8 checked as it arrives (RFC 3629): no overlong forms, no surrogates, nothing above U+10FFFF.
 * Pure; a state belongs to one stream of bytes and may be copied. */
#ifndef HERALD_PROTO_UTF8_H
#define HERALD_PROTO_UTF8_H

#include "proto/bytes/span.h"

#include <stdint.h>

/* UTF8_ACCEPT: between two characters. Any other value: inside one. */
typedef uint8_t utf8_state;
enum { UTF8_ACCEPT = 0 };

/* Checks the next bytes. false: malformed; the state must not be used again. A text is complete and
 * valid when every call answered true and the state is UTF8_ACCEPT at its end. */
bool utf8_feed(utf8_state *state, const void *bytes, size_t len);

/* One whole text. */
bool utf8_is_valid(struct span text);

#endif
