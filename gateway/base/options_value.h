/* Converts the value of one option from and to text. `options` belongs to the calling thread. */
#ifndef HERALD_BASE_OPTIONS_VALUE_H
#define HERALD_BASE_OPTIONS_VALUE_H

#include "gateway/base/options_table.h"
#include "proto/bytes/buf.h"

/* For NAMES and PATH: checks whether the text is a valid value. ERR_INVALID_FIELD: as
 * option_set. */
MUST_CHECK enum err option_check(const struct option_row *row, const char *text, char *why,
                                 size_t why_cap);

bool option_is_list(const struct option_row *row);
bool option_may_be_empty(const struct option_row *row);

/* Sets the member; the values are added to those that a list has. ERR_INVALID_FIELD: *why says what
 * is valid ("must be ..."), without the option's name. */
MUST_CHECK enum err option_set(const struct option_row *row, struct options *options,
                               const char *text, char *why, size_t why_cap);

/* A duration as options are written, like 100ms, 10s or 5m; 0 needs no unit. false: it is none. */
bool option_read_duration(const char *text, int64_t *ret_ms);

/* Frees the value of the member and makes it empty. */
void option_clear(const struct option_row *row, struct options *options);

/* The number of lines that the option has in a file: one, or one for each value of a list. */
size_t option_n_lines(const struct option_row *row, const struct options *options);
/* Appends the value on that line as text. */
MUST_CHECK enum err option_format(const struct option_row *row, const struct options *options,
                                  size_t line, struct buf *out);

#endif
