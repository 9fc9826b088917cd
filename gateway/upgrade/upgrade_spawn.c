#include "gateway/upgrade/upgrade_spawn.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

enum { CHILD_FD = 3 }; /* behind standard error; nothing above it is inherited */

/* The environment with the variable in place of an earlier one. The array alone is new. */
static char **with_variable(char **environment, char *variable)
{
    size_t n = 0;
    size_t kept = 0;
    while (environment[n] != NULL)
        n++;
    char **all = malloc((n + 2) * sizeof *all);
    if (all == NULL)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        if (strncmp(environment[i], UPGRADE_FD_VARIABLE "=", strlen(UPGRADE_FD_VARIABLE "=")) != 0)
            all[kept++] = environment[i];
    }
    all[kept++] = variable;
    all[kept] = NULL;
    return all;
}

/* main.c blocks the signals that it waits for, and ignores two. */
static int set_signals(posix_spawnattr_t *attributes)
{
    sigset_t none;
    sigset_t ignored;
    sigemptyset(&none);
    sigemptyset(&ignored);
    sigaddset(&ignored, SIGPIPE);
    sigaddset(&ignored, SIGXFSZ);
    int code = posix_spawnattr_setsigmask(attributes, &none);
    if (code == 0)
        code = posix_spawnattr_setsigdefault(attributes, &ignored);
    if (code == 0)
        code = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    return code;
}

static int start(char **argv, char **environment, int fd, pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int code = posix_spawn_file_actions_init(&actions);
    if (code != 0)
        return code;
    code = posix_spawnattr_init(&attributes);
    if (code != 0)
        goto undo_actions;
    code = set_signals(&attributes);
    if (code == 0) /* onto itself, it may be: that takes close-on-exec away from it */
        code = posix_spawn_file_actions_adddup2(&actions, fd, CHILD_FD);
    if (code == 0)
        code = posix_spawn_file_actions_addclosefrom_np(&actions, CHILD_FD + 1);
    if (code == 0)
        code = posix_spawnp(ret_pid, argv[0], &actions, &attributes, argv, environment);
    posix_spawnattr_destroy(&attributes);
undo_actions:
    posix_spawn_file_actions_destroy(&actions);
    return code;
}

enum err upgrade_spawn(char **argv, char **environment, int fd, pid_t *ret_pid, char *why,
                       size_t why_cap)
{
    char variable[sizeof UPGRADE_FD_VARIABLE + 16];
    snprintf(variable, sizeof variable, UPGRADE_FD_VARIABLE "=%d", CHILD_FD);
    char **all = with_variable(environment, variable);
    if (all == NULL) {
        snprintf(why, why_cap, "out of memory");
        return ERR_NO_MEMORY;
    }
    int code = start(argv, all, fd, ret_pid);
    free(all);
    if (code == 0)
        return ERR_OK;
    snprintf(why, why_cap, "%.400s cannot be started: %s", argv[0], strerror(code));
    return ERR_SYSTEM;
}

bool upgrade_spawn_has_ended(pid_t pid, char *why, size_t why_cap)
{
    int status;
    if (waitpid(pid, &status, WNOHANG) != pid)
        return false;
    if (WIFSIGNALED(status))
        snprintf(why, why_cap, "the new process was ended by signal %d", WTERMSIG(status));
    else
        snprintf(why, why_cap, "the new process ended with status %d", WEXITSTATUS(status));
    return true;
}

void upgrade_spawn_kill(pid_t pid)
{
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
}
