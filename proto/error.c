#include "proto/error.h"

struct error_row {
    const char *title;
    const char *problem;
    unsigned http;
    unsigned close;
};

static const struct error_row rows[ERR_COUNT] = {
#define ERROR(name, http_status, close_code, problem_type, text)                                   \
    [ERR_##name] = {text, problem_type, http_status, close_code},
#include "proto/error.def"
#undef ERROR
};

static const struct error_row *row_of(enum err error)
{
    return (unsigned)error < ERR_COUNT ? &rows[error] : &rows[ERR_SYSTEM];
}

const char *error_title(enum err error)
{
    return row_of(error)->title;
}

const char *error_problem_type(enum err error)
{
    return row_of(error)->problem;
}

unsigned error_http_status(enum err error)
{
    return row_of(error)->http;
}

unsigned error_close_code(enum err error)
{
    return row_of(error)->close;
}
