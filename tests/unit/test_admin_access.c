/* CONTRACT 3, 7: what a key may, and how often. */
#include "admin/access.h"
#include "gateway/base/log.h"
#include "gateway/base/metrics.h"

#include <criterion/criterion.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ONE SPAN_LITERAL("Bearer first-key-of-the-test")
#define TWO SPAN_LITERAL("Bearer second-key-of-the-test")

static struct access_view view;

static enum err check(struct access *access, struct span authorization, unsigned role)
{
    struct access_account *account = NULL;
    enum err error = access_check(access, &view, authorization, role, &account);
    cr_assert_not_null(account);
    return error;
}

static void close_all(struct access *access)
{
    access_view_fini(access, &view);
    access_close(access);
}

static struct access *open_with(char path[32], int64_t max_per_second)
{
    static const char text[] = "one admin first-key-of-the-test\ntwo read second-key-of-the-test\n";
    char why[200] = "";
    struct access *access = NULL;
    snprintf(path, 32, "/tmp/herald-access-XXXXXX");
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, sizeof text - 1), sizeof text - 1);
    close(fd);
    cr_assert_eq(access_open(path, max_per_second, 2, &access, why, sizeof why), ERR_OK, "%s", why);
    return access;
}

Test(admin_access, refuses_a_limit_of_requests_without_keys)
{
    char why[200] = "";
    struct access *access = NULL;
    cr_assert_eq(access_open("", 5, 1, &access, why, sizeof why), ERR_INVALID_FIELD);
    cr_assert_str_eq(why, "--max-admin-requests-per-key needs --admin-keys: without keys nobody is "
                          "counted");
    cr_assert_eq(access_open("", 0, 1, &access, why, sizeof why), ERR_OK);
    close_all(access);
}

Test(admin_access, gives_each_key_its_requests_of_a_second)
{
    char path[32];
    struct access *access = open_with(path, 1000);
    int64_t before = metrics_read(METRIC_LIMITED_ADMIN);
    enum err error = ERR_OK;
    unsigned n = 0;
    while (error == ERR_OK && n < 100000) {
        error = check(access, ONE, ROLE_READ);
        n++;
    }
    cr_assert_eq(error, ERR_RATE);
    cr_assert_gt(n, 1000);
    cr_assert_eq(check(access, TWO, ROLE_READ), ERR_OK);
    cr_assert_eq(check(access, TWO, ROLE_PUSH), ERR_FORBIDDEN);
    cr_assert_eq(check(access, SPAN_LITERAL("Bearer of-nobody-at-all-00"), ROLE_READ),
                 ERR_UNAUTHORIZED);
    cr_assert_eq(check(access, ONE, 0), ERR_OK);
    cr_assert_eq(metrics_read(METRIC_LIMITED_ADMIN), before + 1);
    close_all(access);
    unlink(path);
}

Test(admin_access, counts_what_the_role_forbids_too)
{
    char path[32];
    struct access *access = open_with(path, 1);
    cr_assert_eq(check(access, TWO, ROLE_PUSH), ERR_FORBIDDEN);
    cr_assert_eq(check(access, TWO, ROLE_READ), ERR_RATE);
    close_all(access);
    unlink(path);
}

Test(admin_access, limits_nothing_by_default)
{
    char path[32];
    struct access *access = open_with(path, 0);
    for (int i = 0; i < 10000; i++)
        cr_assert_eq(check(access, ONE, ROLE_READ), ERR_OK);
    access_reload(access, true);
    cr_assert_eq(check(access, ONE, ROLE_READ), ERR_OK);
    close_all(access);
    unlink(path);
}

Test(admin_access, limits_the_keys_of_a_file_that_was_read_again)
{
    char path[32];
    struct access *access = open_with(path, 1);
    cr_assert_eq(check(access, ONE, ROLE_READ), ERR_OK);
    access_reload(access, true);
    cr_assert_eq(check(access, ONE, ROLE_READ), ERR_OK);
    cr_assert_eq(check(access, ONE, ROLE_READ), ERR_RATE);
    close_all(access);
    unlink(path);
}

static struct access_account *account_of(struct access *access, struct access_view *of)
{
    struct access_account *account = NULL;
    cr_assert_eq(access_check(access, of, TWO, ROLE_READ, &account), ERR_OK);
    return account;
}

/* Requests under way count in the account of their key, also after its file was read again. */
Test(admin_access, keeps_the_account_of_a_key_for_every_thread_and_over_a_reload)
{
    char path[32];
    struct access_view other = {.index = 1};
    struct access *access = open_with(path, 0);
    struct access_account *account = account_of(access, &view);
    cr_expect_eq(account_of(access, &other), account);
    access_reload(access, true);
    cr_expect_eq(account_of(access, &view), account);
    struct access_account *keyless = NULL;
    cr_expect_eq(access_check(access, &view, SPAN_LITERAL(""), 0, &keyless), ERR_OK);
    cr_expect_neq(keyless, account);
    access_view_fini(access, &other);
    close_all(access);
    unlink(path);
}

Test(admin_access, lets_each_thread_see_at_its_next_request_that_a_key_has_gone)
{
    static const char text[] = "one admin first-key-of-the-test\n";
    char path[32];
    struct access_view other = {.index = 1};
    struct access *access = open_with(path, 0);
    account_of(access, &view);
    account_of(access, &other);
    cr_expect(access_is_shared(&view));
    FILE *file = fopen(path, "w");
    cr_assert_eq(fwrite(text, 1, sizeof text - 1, file), sizeof text - 1);
    fclose(file);
    access_reload(access, true);
    struct access_account *account;
    cr_expect_eq(access_check(access, &view, TWO, ROLE_READ, &account), ERR_UNAUTHORIZED);
    cr_expect_eq(access_check(access, &other, TWO, ROLE_READ, &account), ERR_UNAUTHORIZED);
    cr_expect_eq(access_check(access, &other, ONE, ROLE_READ, &account), ERR_OK);
    cr_expect_not(access_is_shared(&view), "the one key has all");
    access_view_fini(access, &other);
    close_all(access);
    unlink(path);
}

/* ---- key files that change again and again ---- */

static void write_key(const char *path, unsigned n)
{
    FILE *file = fopen(path, "w");
    cr_assert_gt(fprintf(file, "one admin the-key-number-%08u\n", n), 0);
    fclose(file);
}

static struct access_account *account_of_key(struct access *access, unsigned n)
{
    char authorization[64];
    struct access_account *account;
    snprintf(authorization, sizeof authorization, "Bearer the-key-number-%08u", n);
    cr_assert_eq(access_check(access, &view, span_of(authorization), ROLE_READ, &account), ERR_OK);
    return account;
}

static struct access_account *change_key(struct access *access, const char *path, unsigned n)
{
    write_key(path, n);
    access_reload(access, true);
    return account_of_key(access, n);
}

/* 1000 accounts have 80 KB. Under AddressSanitizer nothing is counted, and its leaks are. */
Test(admin_access, keeps_no_account_of_a_key_that_has_gone)
{
    char path[32];
    struct access *access = open_with(path, 0);
    change_key(access, path, 0);
    log_set_level(LOG_ERROR);
    size_t before = mallinfo2().uordblks;
    for (unsigned n = 1; n <= 1000; n++)
        change_key(access, path, n);
    cr_expect_lt(mallinfo2().uordblks, before + 16384);
    close_all(access);
    unlink(path);
}

Test(admin_access, keeps_the_account_of_a_request_that_has_not_ended)
{
    char path[32];
    struct access *access = open_with(path, 0);
    struct access_account *account = change_key(access, path, 0);
    struct access_file *held = access_hold(&view);
    atomic_store(&account->n_waiting, 7);
    for (unsigned n = 1; n <= 3; n++)
        cr_expect_neq(change_key(access, path, n), account);
    cr_expect_eq(atomic_load(&account->n_waiting), 7);
    cr_expect_eq(change_key(access, path, 0), account, "it comes back");
    access_release(access, &view, held);
    cr_expect_eq(atomic_load(&account_of_key(access, 0)->n_waiting), 7);
    change_key(access, path, 1);
    cr_expect_eq(atomic_load(&change_key(access, path, 0)->n_waiting), 0, "it was forgotten");
    close_all(access);
    unlink(path);
}
