/* The file store on a disk of 16 MiB that somebody else fills. Only root can mount it. */
#ifndef HERALD_TESTS_STORE_SMALL_DISK_H
#define HERALD_TESTS_STORE_SMALL_DISK_H

#include "tests/store/file_directory.h"

/* false: it cannot be mounted here, and the store is as it was. */
bool open_on_small_disk(void);

void leave_small_disk(void);

/* Somebody else takes all that is left of the disk. */
void fill_disk(void);

/* And gives it back. */
void free_disk(void);

#endif
