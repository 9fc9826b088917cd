/* Lines of a text file, and the words of a line. Pure. */
#ifndef HERALD_PROTO_WORDS_H
#define HERALD_PROTO_WORDS_H

#include "proto/bytes/span.h"

/* Takes the next line off a text, without its end (LF or CRLF), trimmed. The text must not be
 * empty. */
struct span words_take_line(struct span *text);

/* Takes the next word off a line, up to a space or a tab; empty: there is none. */
struct span words_take(struct span *line);

#endif
