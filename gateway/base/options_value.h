/* The value of one option, from and to text. `options` belongs to the calling thread. */
#ifndef HERALD_BASE_OPTIONS_VALUE_H
#define HERALD_BASE_OPTIONS_VALUE_H

#include "gateway/base/options_table.h"
#include "proto/bytes/buf.h"

/* Of NAMES and PATH: is it a value that somebody may give? ERR_INVALID_FIELD: as option_set. */
MUST_CHECK enum err option_check(const struct option_row *row, const char *text, char *why,
                                 size_t why_cap);

bool option_is_list(const struct option_row *row);
bool option_may_be_empty(const struct option_row *row);

/* Sets the member; a list gets the values besides those that it has. ERR_INVALID_FIELD: *why says
 * what would be right ("must be ..."), without the name. */
MUST_CHECK enum err option_set(const struct option_row *row, struct options *options,
                               const char *text, char *why, size_t why_cap);

/* Frees what the member owns and makes it empty. */
void option_clear(const struct option_row *row, struct options *options);

/* How many lines of a file the option is written in: one, or one for each value of a list. */
size_t option_n_lines(const struct option_row *row, const struct options *options);
/* The value on that line as one would write it. */
MUST_CHECK enum err option_format(const struct option_row *row, const struct options *options,
                                  size_t line, struct buf *out);

#endif
