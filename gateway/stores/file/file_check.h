/* Finds out whether the file store's environment can be read without a crash: a file that was cut
 * short or scribbled over makes LMDB touch memory that is not there. For store_file.c, at start. */
#ifndef HERALD_STORE_FILE_CHECK_H
#define HERALD_STORE_FILE_CHECK_H

#include "proto/error.h"

#include <stddef.h>

/* Reads all of it in a child process. ERR_STORE_UNAVAILABLE and *why: the child crashed. Whatever
 * LMDB itself finds wrong is left to the opening. */
MUST_CHECK enum err file_check(const char *path, char *why, size_t why_cap);

#endif
