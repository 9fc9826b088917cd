/* Where the lines of the log leave. A write to stderr waits for whoever reads it, which may be
 * nobody, so from log_writer_start on it is done by a thread of its own, and what waits for that
 * thread is bounded: LOG_WAITING_MAX_BYTES, twice. Lines that find no room, and lines that could
 * not be written, are dropped and counted (herald_log_lines_dropped_total), and once lines are
 * written again the first says how many. stderr is not made non-blocking: the open file belongs to
 * other processes as well. */
#ifndef HERALD_BASE_LOG_WRITER_H
#define HERALD_BASE_LOG_WRITER_H

#include "proto/error.h"

#include <stddef.h>
#include <stdint.h>

enum { LOG_LINE_MAX_BYTES = 8192, LOG_WAITING_MAX_BYTES = 256 * 1024 };

/* Whole lines. Any thread. Before log_writer_start and after log_writer_stop it is written at once,
 * and waits for the reader; in between it waits for nobody. */
void log_writer_put(const char *bytes, size_t len);

/* As log_start, log_flush and log_stop. describe_lost makes the line that says how many were
 * dropped, on the thread that writes, and answers its length. */
MUST_CHECK enum err log_writer_start(size_t (*describe_lost)(uint64_t n_lines,
                                                             char out[LOG_LINE_MAX_BYTES]));
void log_writer_flush(void);
void log_writer_stop(void);

#endif
