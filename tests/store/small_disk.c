#include "tests/store/small_disk.h"

#include <fcntl.h>
#include <sys/mount.h>

bool open_on_small_disk(void)
{
    store_close(store);
    bool is_small = mount("herald-test", directory, "tmpfs", 0, "size=16m") == 0;
    if (!is_small)
        fprintf(stderr, "SKIPPED: no small disk can be mounted (%s)\n", strerror(errno));
    struct store_config config = contract_config(100000, (uint64_t)1 << 40);
    store = open_at(&config, directory);
    return is_small;
}

void leave_small_disk(void)
{
    store_close(store);
    umount(directory);
    struct store_config config = contract_config(1000, 1 << 20);
    store = open_at(&config, directory);
}

static void name_ballast(char out[100])
{
    snprintf(out, 100, "%s/ballast", directory);
}

void fill_disk(void)
{
    static char zeros[4096];
    char path[100];
    name_ballast(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    while (write(fd, zeros, sizeof zeros) > 0)
        continue;
    cr_assert_eq(errno, ENOSPC);
    close(fd);
}

void free_disk(void)
{
    char path[100];
    name_ballast(path);
    cr_assert_eq(unlink(path), 0);
}
