/* Runs a fuzz target over its corpus, without libFuzzer: the directory that is named, or files. */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <sys/stat.h>

enum { INPUT_MAX_BYTES = 1 << 20 };

static unsigned n_replayed;

static void replay_file(const char *path)
{
    static uint8_t room[INPUT_MAX_BYTES];
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        exit(1);
    }
    size_t len = fread(room, 1, sizeof room, file);
    fclose(file);
    uint8_t *bytes = malloc(len == 0 ? 1 : len);
    if (bytes == NULL)
        exit(1);
    memcpy(bytes, room, len);
    fprintf(stderr, "%s\n", path); /* the last line before a crash names its input */
    LLVMFuzzerTestOneInput(bytes, len);
    free(bytes);
    n_replayed++;
}

static void replay(const char *path)
{
    struct stat status;
    char name[4096];
    if (stat(path, &status) != 0 || !S_ISDIR(status.st_mode)) {
        replay_file(path);
        return;
    }
    DIR *folder = opendir(path);
    if (folder == NULL) {
        perror(path);
        exit(1);
    }
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        replay_file(name);
    }
    closedir(folder);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        replay(argv[i]);
    printf("%u inputs\n", n_replayed);
    return n_replayed > 0 ? 0 : 1;
}
