#include "tests/store/file_directory.h"

#include <ftw.h>

char directory[64];

static int remove_one(const char *path, const struct stat *stat_buf, int type, struct FTW *ftw)
{
    (void)stat_buf;
    (void)type;
    (void)ftw;
    return remove(path);
}

void remove_directory(void)
{
    if (directory[0] != '\0')
        nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    directory[0] = '\0';
}

void make_directory(void)
{
    remove_directory();
    snprintf(directory, sizeof directory, "/tmp/herald-store-XXXXXX");
    cr_assert_not_null(mkdtemp(directory));
}

struct store *open_at(struct store_config *config, const char *path)
{
    char why[400] = "";
    char url[200];
    struct store *opened = NULL;
    snprintf(url, sizeof url, "file:%s", path);
    config->url = url;
    cr_assert_eq(store_open(config, &opened, why, sizeof why), ERR_OK, "%s", why);
    return opened;
}

struct store *backend_open(struct store_config *config)
{
    make_directory();
    return open_at(config, directory);
}

void backend_close(struct store *to_close)
{
    store_close(to_close);
    remove_directory();
}

void reopen(void)
{
    store_close(store);
    struct store_config config = contract_config(1000, 1 << 20);
    store = open_at(&config, directory);
}

void expect_refusal(const char *url, const char *word)
{
    char why[400] = "";
    struct store *second = NULL;
    struct store_config config = contract_config(1000, 1 << 20);
    config.url = url;
    cr_assert_eq(store_open(&config, &second, why, sizeof why), ERR_STORE_UNAVAILABLE);
    cr_assert_not_null(strstr(why, word), "the message says: %s", why);
}

uint64_t append_until_full(struct store *filled)
{
    static char big[60000];
    uint64_t given = 0;
    for (int i = 0; i < 2000; i++) {
        struct store_target got = append_span(filled, "anna", (struct span){big, sizeof big}, 600);
        if (got.error != ERR_OK) {
            cr_assert_eq(got.error, ERR_STORE_UNAVAILABLE);
            return given;
        }
        given = got.seq;
    }
    cr_assert_fail("the disk was never full");
    return 0;
}

void backend_leave(struct store *from, unsigned lane_index, struct span user_id)
{
    store_leave(from, lane_index, user_id);
}
