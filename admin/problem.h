/* Errors of the admin API as application/problem+json (RFC 9457; CONTRACT section 4). Pure. */
#ifndef HERALD_ADMIN_PROBLEM_H
#define HERALD_ADMIN_PROBLEM_H

#include "admin/json_out.h"
#include "proto/note/push_json.h"

#define PROBLEM_CONTENT_TYPE "application/problem+json"
#define PROBLEM_LATE_DETAIL  "no answer in time; what was asked may have been done all the same"

enum { REQUEST_ID_LEN = 16 };

struct problem {
    enum err error;         /* gives type, title and status; 500 if it has no HTTP status */
    const char *detail;     /* NULL: none */
    const char *field;      /* NULL or empty: none */
    const char *request_id; /* NULL: none, for one of several problems in an answer */
    const size_t *offset;   /* NULL: none */
    uint32_t line;          /* the line of NDJSON, from 1; 0: none */
};

unsigned problem_status(enum err error);
void problem_write(struct json_out *out, const struct problem *problem);

/* The problem for a JSON body that was refused; it points into `from`. */
struct problem problem_from_json(const struct json_problem *from);

#endif
