/* A gateway that cannot start, because memory ends somewhere in between, gives back all that it has
 * made until then. Its store has an address that is none, so that the start also fails where memory
 * suffices, after the last worker was made and before the first thread begins. */
#include "gateway/gateway.h"
#include "tests/alloc/fail.h"

#include <fcntl.h>
#include <unistd.h>

static struct options options;

/* Descriptors are given out from the lowest on, so one that was left open moves the next. */
static int lowest_free_descriptor(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    close(fd);
    return fd;
}

static void run(void)
{
    char why[1024];
    struct node *node;
    int before = lowest_free_descriptor();
    enum err error = gateway_start(&options, &node, why, sizeof why);
    CHECK(error == ERR_INVALID_FIELD || (error == ERR_NO_MEMORY && fail_has_happened()));
    CHECK(lowest_free_descriptor() == before);
}

int main(void)
{
    char why[1024];
    char *environment[] = {NULL};
    char *argv[] = {"herald",    "--listen",   "127.0.0.1:0",
                    "--store",   "elsewhere:", "--max-connections-per-address",
                    "10",        "--workers",  "3",
                    "--compress"};
    enum options_action action;
    CHECK(options_read(sizeof argv / sizeof argv[0], argv, environment, &options, &action, why,
                       sizeof why) == ERR_OK);
    fail_each("gateway", run);
    options_fini(&options);
    return 0;
}
