/* Allocations that fail on purpose. The linker's --wrap sends the calls of our own code to fail.c:
 * malloc, calloc, realloc, strdup, strndup and free. Libraries keep theirs. One thread. */
#ifndef HERALD_TESTS_ALLOC_FAIL_H
#define HERALD_TESTS_ALLOC_FAIL_H

#include "proto/error.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

/* Runs `run` with its first allocation failing, then its second, until none fails any more; once
 * with that one alone, once with all that follow. Each run must give back all it took, and what is
 * given back must be its own. Prints how many allocations there were. */
void fail_each(const char *name, void (*run)(void));

/* Inside a run: has an allocation failed yet? */
bool fail_has_happened(void);

/* Inside a run: how many allocations were asked for so far. */
unsigned long fail_asked(void);

/* Inside a run: from now on none fails. */
void fail_no_more(void);

/* For a library that lets its allocations be replaced: must this one fail? The blocks of the other
 * two are not counted. */
bool fail_library(void);
void *fail_uncounted_realloc(void *block, size_t size);
void fail_uncounted_free(void *block);

/* Ends the program, and says which allocation had failed. */
void fail_complain(const char *file, int line, const char *what) __attribute__((noreturn));

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fail_complain(__FILE__, __LINE__, #condition);                                         \
    } while (0)

/* true: it went well. A failure must be the documented one, and there must have been a reason. */
static inline bool fail_is_ok(enum err error, enum err documented, const char *file, int line)
{
    if (error != ERR_OK && (error != documented || !fail_has_happened()))
        fail_complain(file, line, error_title(error));
    return error == ERR_OK;
}
#define WENT_WELL(error)        fail_is_ok((error), ERR_NO_MEMORY, __FILE__, __LINE__)
#define WENT_WELL_OR(error, is) fail_is_ok((error), (is), __FILE__, __LINE__)

#endif
