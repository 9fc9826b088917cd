/* Strings as JSON text (RFC 8259, section 7). Pure. */
#ifndef HERALD_PROTO_JSON_TEXT_H
#define HERALD_PROTO_JSON_TEXT_H

#include "proto/bytes/buf.h"

/* Appends `text`, which is UTF-8, in quotes. Quotes, backslashes and control characters (DEL
 * included) are escaped, everything else is copied. A failure leaves the buffer as it was. */
MUST_CHECK enum err json_text_string(struct buf *out, struct span text);

/* Does nothing in the text have to be escaped? */
bool json_text_is_plain(struct span text);

#endif
