/* What the kernel says that a process has used, from /proc. */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool read_file(const char *path, char *text, size_t size)
{
    FILE *file = fopen(path, "r");
    if (!file)
        return false;
    size_t length = fread(text, 1, size - 1, file);
    text[length] = '\0';
    fclose(file);
    return length > 0;
}

static bool read_proc(int pid, const char *name, char *text, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    return pid > 0 && read_file(path, text, size);
}

static long kib_after(const char *text, const char *key)
{
    const char *at = strstr(text, key);
    return at ? strtol(at + strlen(key), NULL, 10) : 0;
}

double proc_cpu_seconds(int pid)
{
    char text[1024];
    if (!read_proc(pid, "stat", text, sizeof text))
        return 0;
    const char *after_name = strrchr(text, ')');
    unsigned long user = 0, system = 0;
    if (!after_name || sscanf(after_name + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
                              &user, &system) != 2)
        die("cannot read /proc/%d/stat", pid);
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

struct proc_memory proc_memory(int pid)
{
    char text[4096];
    struct proc_memory memory = {0};
    if (read_proc(pid, "smaps_rollup", text, sizeof text)) {
        memory.rss_kib = kib_after(text, "\nRss:");
        memory.dirty_kib = kib_after(text, "\nPrivate_Dirty:");
    }
    return memory;
}

struct proc_machine proc_machine(void)
{
    char text[1024];
    unsigned long user = 0, nice = 0, system = 0, irq = 0, softirq = 0, steal = 0;
    double hertz = (double)sysconf(_SC_CLK_TCK);
    if (!read_file("/proc/stat", text, sizeof text) ||
        sscanf(text, "cpu %lu %lu %lu %*u %*u %lu %lu %lu", &user, &nice, &system, &irq, &softirq,
               &steal) != 6)
        die("cannot read /proc/stat");
    return (struct proc_machine){(double)(user + nice + system + irq + softirq) / hertz,
                                 (double)steal / hertz};
}
