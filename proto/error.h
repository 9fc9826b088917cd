/* Errors are values of one enum; error.def has a row for each, with the ways to report it. */
#ifndef HERALD_PROTO_ERROR_H
#define HERALD_PROTO_ERROR_H

#define MUST_CHECK             __attribute__((warn_unused_result))
#define PRINTF_LIKE(at, first) __attribute__((format(printf, at, first)))

enum err {
#define ERROR(name, http, close, problem, title) ERR_##name,
#include "proto/error.def"
#undef ERROR
    ERR_COUNT
};

/* All four accept any value of enum err; the strings are constants. Any thread. */
const char *error_title(enum err error);        /* a short phrase, for people */
const char *error_problem_type(enum err error); /* "invalid-field", RFC 9457 "type" */
unsigned error_http_status(enum err error);     /* 0: never answered over HTTP */
unsigned error_close_code(enum err error);      /* 0: never a WebSocket close */

#endif
