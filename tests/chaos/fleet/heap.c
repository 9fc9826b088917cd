/* Loaded in front of a Herald (heap.js): each second the file HEAP_FILE says how many bytes malloc
 * has given out and not got back. What the process holds beyond that, free memory between pieces
 * that are in use, says nothing about leaks. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The last number behind this text: those of all arenas come last. */
static long long read_last(const char *info, const char *text)
{
    const char *found = NULL;
    for (const char *at = strstr(info, text); at != NULL; at = strstr(at + 1, text))
        found = at;
    const char *size = found != NULL ? strstr(found, "size=\"") : NULL;
    return size != NULL ? strtoll(size + strlen("size=\""), NULL, 10) : 0;
}

static void tell_once(int fd)
{
    char *info = NULL;
    size_t len = 0;
    FILE *stream = open_memstream(&info, &len);
    if (stream == NULL)
        return;
    malloc_info(0, stream);
    if (fclose(stream) == 0) {
        long long in_use =
            read_last(info, "<system type=\"current\"") - read_last(info, "<total type=\"fast\"") -
            read_last(info, "<total type=\"rest\"") + read_last(info, "<total type=\"mmap\"");
        char line[32];
        int n = snprintf(line, sizeof line, "%20lld\n", in_use);
        if (pwrite(fd, line, (size_t)n, 0) != n)
            _exit(1);
    }
    free(info);
}

static void *tell_on(void *argument)
{
    int fd = (int)(long)argument;
    for (;;) {
        tell_once(fd);
        sleep(1);
    }
    return NULL;
}

/* The thread takes none of the program's signals. */
__attribute__((constructor)) static void begin_telling(void)
{
    const char *name = getenv("HEAP_FILE");
    int fd = name != NULL ? open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644) : -1;
    sigset_t all, before;
    pthread_t thread;
    if (fd < 0)
        return;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&thread, NULL, tell_on, (void *)(long)fd) == 0)
        pthread_detach(thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}
