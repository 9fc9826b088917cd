/* Options from a file, flags or variables: a byte chooses; of the latter two each line is one. What
 * a file says is printed, read back and printed again: it must say the same. */
#include "gateway/base/log.h"
#include "gateway/base/options.h"
#include "tests/fuzz/fuzz.h"

#include <sys/mman.h>
#include <unistd.h>

enum { WORDS_MAX = 40, PATH_BYTES = 40 };

/* A file in memory, with a path as long as it is open. */
static int open_file(struct span text, char path[PATH_BYTES])
{
    int fd = memfd_create("options", MFD_CLOEXEC);
    FUZZ_CHECK(fd >= 0 && write(fd, text.bytes, text.len) == (ssize_t)text.len);
    snprintf(path, PATH_BYTES, "/proc/self/fd/%d", fd);
    return fd;
}

static enum err read_options(int argc, char **argv, char **variables, struct options *ret_options)
{
    enum options_action action;
    char why[300];
    memset(why, '#', sizeof why);
    enum err error = options_read(argc, argv, variables, ret_options, &action, why, sizeof why);
    FUZZ_CHECK(error == ERR_OK || error == ERR_INVALID_FIELD);
    FUZZ_CHECK(strnlen(why, sizeof why) < sizeof why);
    FUZZ_CHECK((error == ERR_OK) == (why[0] == '\0'));
    return error;
}

static enum err read_file(struct span text, struct options *ret_options)
{
    char path[PATH_BYTES];
    int fd = open_file(text, path);
    char *argv[] = {(char[]){"herald"}, (char[]){"--config"}, path, NULL};
    enum err error = read_options(3, argv, NULL, ret_options);
    close(fd);
    return error;
}

/* Without the comments that say where a value came from. */
static void print(const struct options *options, struct buf *out, struct buf *plain)
{
    fuzz_log_init(out);
    fuzz_log_init(plain);
    FUZZ_CHECK(options_print_config(options, out) == ERR_OK);
    struct fuzz_input input = {(const uint8_t *)out->bytes, out->len};
    while (input.len > 0) {
        struct span line = fuzz_until(&input, '\n');
        const char *comment = line.len == 0 ? NULL : memmem(line.bytes, line.len, " ; ", 3);
        if (line.len > 0 && line.bytes[0] == ';')
            continue; /* the name of the file itself, too */
        fuzz_note(plain, line.bytes, comment == NULL ? line.len : (size_t)(comment - line.bytes));
        fuzz_note(plain, "\n", 1);
    }
}

static void there_and_back(struct span text)
{
    struct options first, second;
    struct buf printed, plain, again, plain_again;
    if (read_file(text, &first) != ERR_OK)
        return;
    print(&first, &printed, &plain);
    FUZZ_CHECK(read_file(buf_span(&printed), &second) == ERR_OK);
    print(&second, &again, &plain_again);
    fuzz_same_logs(&plain, &plain_again);
    buf_fini(&printed);
    buf_fini(&again);
    options_fini(&first);
    options_fini(&second);
}

static void read_words(struct fuzz_input *input, const char *prefix)
{
    char *words[WORDS_MAX + 2] = {fuzz_text(SPAN_LITERAL("herald"))};
    int n = 1;
    struct buf word;
    fuzz_log_init(&word);
    while (input->len > 0 && n < WORDS_MAX) {
        struct span line = fuzz_until(input, '\n');
        FUZZ_CHECK(buf_append_text(&word, prefix) == ERR_OK);
        fuzz_note(&word, line.bytes, line.len);
        words[n++] = fuzz_text(buf_span(&word));
        buf_clear(&word);
    }
    struct options options;
    bool is_flags = prefix[0] == '\0';
    if (read_options(is_flags ? n : 1, words, is_flags ? NULL : words + 1, &options) == ERR_OK)
        options_fini(&options);
    for (int i = 0; i < n; i++)
        free(words[i]);
    buf_fini(&word);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct fuzz_input input = {bytes, len};
    log_setup(LOG_ERROR, LOG_LOGFMT);
    unsigned which = fuzz_byte(&input) % 3;
    if (which == 0)
        there_and_back(fuzz_rest(&input));
    else
        read_words(&input, which == 1 ? "" : "HERALD_");
    return 0;
}
