/* A file that a crash of the machine, a bad disk or a careless copy has damaged: opening it works,
 * or is refused with a sentence, and never ends the process. */
#include "gateway/stores/stores.h"
#include "tests/store/file_directory.h"

#include <signal.h>
#include <sys/wait.h>

enum { PAGE = 4096, USERS = 40, APPENDS = 400 };

TestSuite(store_file_damage, .init = contract_open, .fini = contract_close,
          .timeout = STORE_TEST_TIMEOUT_S);

static void path_of(char out[100])
{
    snprintf(out, 100, "%s/data.mdb", directory);
}

static off_t file_size(void)
{
    char path[100];
    struct stat stat_buf;
    path_of(path);
    cr_assert_eq(stat(path, &stat_buf), 0);
    return stat_buf.st_size;
}

/* Notes of several sizes (one takes pages of its own), some of which leave again. */
static void append_some(struct store *to)
{
    static char big[10000];
    memset(big, 'x', sizeof big);
    for (int i = 0; i < APPENDS; i++) {
        char user[16];
        snprintf(user, sizeof user, "user-%d", i % USERS);
        size_t len = i % 10 == 0 ? sizeof big : (size_t)(20 + i);
        struct store_target got = append_span(to, user, (struct span){big, len}, 600);
        if (i % 7 == 0)
            cr_assert_eq(ack_one(to, user, got.epoch, got.seq), ERR_OK);
    }
}

/* As it was left by a killed process: nothing was closed. */
static void fill_and_kill(void)
{
    store_close(store);
    pid_t child = fork();
    if (child == 0) {
        struct store_config config = contract_config(1000, 1 << 20);
        append_some(open_at(&config, directory));
        kill(getpid(), SIGKILL);
    }
    int status;
    waitpid(child, &status, 0);
    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* Opens it if that can be, and reads all that is there. */
static bool is_opened_or_refused(void)
{
    char why[400] = "";
    char url[100];
    struct store *opened;
    struct store_config config = contract_config(1000, 1 << 20);
    snprintf(url, sizeof url, "file:%s", directory);
    config.url = url;
    if (store_open(&config, &opened, why, sizeof why) != ERR_OK) {
        cr_assert(strlen(why) > 20, "it says why: %s", why);
        return false;
    }
    for (int i = 0; i < USERS; i++) {
        char user[16];
        snprintf(user, sizeof user, "user-%d", i);
        struct store_page page = page_all(opened, user);
        if (page.error == ERR_OK)
            page_free(&page);
    }
    store_close(opened);
    return true;
}

static char *read_file(off_t size)
{
    char path[100];
    path_of(path);
    char *bytes = malloc((size_t)size);
    FILE *file = fopen(path, "r");
    cr_assert_eq(fread(bytes, 1, (size_t)size, file), (size_t)size);
    fclose(file);
    return bytes;
}

static void write_file(const char *bytes, off_t size)
{
    char path[100];
    path_of(path);
    FILE *file = fopen(path, "w");
    cr_assert_eq(fwrite(bytes, 1, (size_t)size, file), (size_t)size);
    fclose(file);
}

static void end_with_a_fresh_store(void)
{
    struct store_config config = contract_config(1000, 1 << 20);
    store = backend_open(&config);
}

Test(store_file_damage, a_file_that_was_cut_short_is_opened_or_refused)
{
    fill_and_kill();
    off_t size = file_size();
    char *bytes = read_file(size);
    cr_assert(is_opened_or_refused(), "as it was left it is opened");
    int n_refused = 0;
    for (off_t kept = size - PAGE; kept >= 0; kept -= size / PAGE > 64 ? 7 * PAGE : PAGE) {
        write_file(bytes, kept);
        n_refused += !is_opened_or_refused();
    }
    write_file(bytes, size - 100);
    is_opened_or_refused();
    write_file(bytes, 100);
    is_opened_or_refused();
    cr_assert(n_refused > 0);
    free(bytes);
    end_with_a_fresh_store();
}

Test(store_file_damage, a_torn_page_is_opened_or_refused)
{
    fill_and_kill();
    off_t size = file_size();
    char *bytes = read_file(size);
    char *torn = malloc((size_t)size);
    static const char fillers[] = {0, '\xff', 'x'};
    for (off_t at = size - PAGE; at >= 0; at -= size / PAGE > 32 ? 11 * PAGE : PAGE) {
        for (size_t i = 0; i < sizeof fillers; i++) {
            memcpy(torn, bytes, (size_t)size);
            memset(torn + at + PAGE / 2, fillers[i], PAGE / 2);
            write_file(torn, size);
            is_opened_or_refused();
            memset(torn + at, fillers[i], PAGE);
            write_file(torn, size);
            is_opened_or_refused();
        }
    }
    free(torn);
    free(bytes);
    end_with_a_fresh_store();
}

/* The bytes of an unfinished commit are after those that the last commit refers to. */
Test(store_file_damage, bytes_after_the_last_commit_do_no_harm)
{
    fill_and_kill();
    off_t size = file_size();
    char *bytes = realloc(read_file(size), (size_t)size + 2 * PAGE);
    memset(bytes + size, 'x', 2 * PAGE);
    write_file(bytes, size + PAGE + 1000);
    cr_assert(is_opened_or_refused());
    struct store_config config = contract_config(1000, 1 << 20);
    store = open_at(&config, directory);
    append_some(store);
    reopen();
    free(bytes);
}
