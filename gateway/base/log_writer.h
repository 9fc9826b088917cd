/* Writes the lines of the log to stderr. A write blocks while nobody reads stderr, so after
 * log_writer_start a separate thread writes, and the lines that wait for it are bounded: two
 * buffers of LOG_WAITING_MAX_BYTES. Lines that find no room, or that cannot be written, are dropped
 * and counted (herald_log_lines_dropped_total), and a line reports their number as soon as one can
 * be written again. stderr is not made non-blocking, because other processes share the open
 * file. */
#ifndef HERALD_BASE_LOG_WRITER_H
#define HERALD_BASE_LOG_WRITER_H

#include "proto/error.h"

#include <stddef.h>
#include <stdint.h>

enum { LOG_LINE_MAX_BYTES = 8192, LOG_WAITING_MAX_BYTES = 256 * 1024 };

/* Takes whole lines. Any thread. Before log_writer_start and after log_writer_stop it writes them
 * at once and may block; in between it never blocks. */
void log_writer_put(const char *bytes, size_t len);

/* As log_start, log_flush and log_stop. describe_lost writes the line that reports how many lines
 * were dropped, and returns its length; the writing thread calls it. */
MUST_CHECK enum err log_writer_start(size_t (*describe_lost)(uint64_t n_lines,
                                                             char out[LOG_LINE_MAX_BYTES]));
void log_writer_flush(void);
void log_writer_stop(void);

#endif
