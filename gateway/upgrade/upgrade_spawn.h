/* The successor of this process as its child: started, looked after, ended. Nobody else's child is
 * waited for here: the file store has one of its own (file_check). Threads: one at a time. */
#ifndef HERALD_UPGRADE_SPAWN_H
#define HERALD_UPGRADE_SPAWN_H

#include "proto/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* The number of its end of the link, in the new process's environment. */
#define UPGRADE_FD_VARIABLE "HERALD_HANDOVER_FD"

/* Starts argv[0] (by its path: the file may have been replaced since) with these arguments and this
 * environment. It inherits `fd` as 3, standard input, output and error, and nothing else, not even
 * what is not close-on-exec, like LMDB's files; no signal is blocked or ignored in it that we have
 * blocked or ignored. ERR_NO_MEMORY; ERR_SYSTEM: *why says what failed. */
MUST_CHECK enum err upgrade_spawn(char **argv, char **environment, int fd, pid_t *ret_pid,
                                  char *why, size_t why_cap);

/* Has it ended? Then its number is free, and *why says how it ended, as "the new process ended with
 * status 2". */
bool upgrade_spawn_has_ended(pid_t pid, char *why, size_t why_cap);

/* Ends it with SIGKILL, and returns when it is gone. */
void upgrade_spawn_kill(pid_t pid);

#endif
