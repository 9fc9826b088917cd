/* herald-stop-threads PID: stops every thread of a process but its main one, as if they hung, until
 * standard input ends. Writes "stopped N". Exit 77: the kernel does not let us trace it. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

static int stop_thread(pid_t thread)
{
    int status;
    if (ptrace(PTRACE_SEIZE, thread, NULL, NULL) != 0)
        return errno == EPERM ? 77 : 1;
    if (ptrace(PTRACE_INTERRUPT, thread, NULL, NULL) != 0)
        return 1;
    return waitpid(thread, &status, __WALL) == thread ? 0 : 1;
}

int main(int argc, char **argv)
{
    char path[64];
    long pid = argc == 2 ? strtol(argv[1], NULL, 10) : 0;
    snprintf(path, sizeof path, "/proc/%ld/task", pid);
    DIR *tasks = opendir(path);
    if (tasks == NULL) {
        perror("usage: herald-stop-threads PID");
        return 2;
    }
    int n = 0;
    for (struct dirent *entry; (entry = readdir(tasks)) != NULL;) {
        long thread = strtol(entry->d_name, NULL, 10);
        int failed = thread > 0 && thread != pid ? stop_thread((pid_t)thread) : -1;
        if (failed > 0) {
            perror("ptrace");
            return failed;
        }
        n += failed == 0;
    }
    printf("stopped %d\n", n);
    fflush(stdout);
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
    return 0; /* the threads go on, as their tracer is gone */
}
