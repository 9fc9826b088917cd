/* The log: one line per event to stderr, as logfmt or JSON. Any thread. Never log a payload, a
 * token or a ticket. Lines at info or above that clients can cause are logged through
 * log_limit.h. */
#ifndef HERALD_BASE_LOG_H
#define HERALD_BASE_LOG_H

#include "proto/bytes/span.h"
#include "proto/error.h"

#include <stdbool.h>
#include <stdint.h>

enum { LOG_TEXT_MAX_BYTES = 512 };

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_LOGFMT, LOG_JSON };

/* Call it once, before threads start. Until then: info, logfmt. */
void log_setup(enum log_level level, enum log_format format);
void log_set_level(enum log_level level); /* any thread, at any time */
bool log_is_enabled(enum log_level level);

/* After log_start no caller waits for the reader of stderr: a thread writes the lines, and lines
 * that it cannot write in time are dropped and counted (log_writer.h). Before it, a line is written
 * at once. ERR_SYSTEM: no thread could be started, and nothing has changed. */
MUST_CHECK enum err log_start(void);
void log_flush(void); /* waits until all lines are written, at most 1 s; for use before _exit */
void log_stop(void);  /* the same, and ends the thread; call it once, when no other thread logs */

/* Prints "herald: WHY": why the program cannot start or continue, for its operator. It does not
 * depend on the level. */
void log_failure(const char *why);

/* One key and its value; build with the macros below. */
struct log_field {
    const char *key;
    enum { LOG_FIELD_TEXT, LOG_FIELD_INT } kind;
    struct span text;
    int64_t number;
};

#define LOG_TEXT(name, value) ((struct log_field){(name), LOG_FIELD_TEXT, span_of(value), 0})
#define LOG_SPAN(name, value) ((struct log_field){(name), LOG_FIELD_TEXT, (value), 0})
#define LOG_INT(name, value)  ((struct log_field){(name), LOG_FIELD_INT, {0}, (int64_t)(value)})

/* log_event(LOG_INFO, "listening", LOG_TEXT("address", text), LOG_INT("port", port)); time, level
 * and event come first in each line. Texts are quoted and escaped as the format needs; bytes that
 * are not UTF-8 are escaped, a text over 512 bytes is cut. Fields that would make the line longer
 * than LOG_LINE_MAX_BYTES (log_writer.h) are left out, and cut=true says so. An event without
 * fields: log_fields(LOG_INFO, "stopped", NULL, 0). */
#define log_event(level, event, ...)                                                               \
    log_fields((level), (event), (struct log_field[]){__VA_ARGS__},                                \
               sizeof((struct log_field[]){__VA_ARGS__}) / sizeof(struct log_field))
void log_fields(enum log_level level, const char *event, const struct log_field *fields, size_t n);

#endif
