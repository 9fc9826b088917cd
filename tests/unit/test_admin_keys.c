#include "admin/keys.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#define GOOD                                                                                       \
    "# who may do what\n"                                                                          \
    "\n"                                                                                           \
    "shop    push   s3cret-of-the-shop-0001\n"                                                     \
    "\tgrafana read\ts3cret-of-grafana-0002 \r\n"                                                  \
    "ops.1 admin s3cret-of-ops-----0003"

static struct keys *keys_of(const char *text)
{
    char why[200] = "";
    struct keys *keys = NULL;
    cr_assert_eq(keys_read(span_of(text), &keys, why, sizeof why), ERR_OK, "%s", why);
    return keys;
}

Test(admin_keys, finds_each_key_and_its_role)
{
    struct keys *keys = keys_of(GOOD);
    const struct key *key = keys_find(keys, SPAN_LITERAL("Bearer s3cret-of-the-shop-0001"));
    cr_assert_str_eq(key->name, "shop");
    cr_assert(key_may(key, ROLE_PUSH));
    cr_assert_not(key_may(key, ROLE_READ));
    cr_assert_not(key_may(key, ROLE_ADMIN));
    key = keys_find(keys, SPAN_LITERAL("bearer  s3cret-of-grafana-0002 "));
    cr_assert_str_eq(key->name, "grafana");
    cr_assert(key_may(key, ROLE_READ));
    cr_assert_not(key_may(key, ROLE_PUSH));
    key = keys_find(keys, SPAN_LITERAL("Bearer s3cret-of-ops-----0003"));
    cr_assert_str_eq(key->name, "ops.1");
    cr_assert(key_may(key, ROLE_PUSH) && key_may(key, ROLE_READ) && key_may(key, ROLE_ADMIN));
    free(keys);
}

Test(admin_keys, lets_a_key_for_events_read_nothing_else)
{
    struct keys *keys = keys_of("billing events s3cret-of-billing-0004\n");
    const struct key *key = keys_find(keys, SPAN_LITERAL("Bearer s3cret-of-billing-0004"));
    cr_expect(key_may(key, ROLE_EVENTS));
    cr_expect_not(key_may(key, ROLE_READ));
    cr_expect_not(key_may(key, ROLE_PUSH));
    cr_expect_not(key_may(key, ROLE_ADMIN));
    free(keys);
}

Test(admin_keys, finds_nothing_else)
{
    struct keys *keys = keys_of(GOOD);
    static const char *const strangers[] = {
        "",
        "Bearer",
        "Bearer ",
        "Bearer s3cret-of-the-shop-000",
        "Bearer s3cret-of-the-shop-00011",
        "Bearer S3cret-of-the-shop-0001",
        "Basic s3cret-of-the-shop-0001",
        "s3cret-of-the-shop-0001",
        "Bearer shop push s3cret-of-the-shop-0001",
    };
    for (size_t i = 0; i < sizeof strangers / sizeof strangers[0]; i++)
        cr_assert_null(keys_find(keys, span_of(strangers[i])), "%s", strangers[i]);
    free(keys);
}

Test(admin_keys, refuses_a_bad_file_with_its_line_and_without_its_keys)
{
    static const struct {
        const char *file;
        const char *why;
    } cases[] = {
        {"", "no key"},
        {"# only a comment\n", "no key"},
        {"shop push\n", "line 1: the key"},
        {"shop push short-key\n", "line 1: the key"},
        {"a push 0123456789abcdef\nshop root 0123456789abcdeX\n", "line 2: the role"},
        {"sh/op push 0123456789abcdef\n", "line 1: a name"},
        {"shop push 0123456789abcdef more\n", "line 1: nothing"},
        {"shop push 0123456789abcd\x01f\n", "line 1: the key"},
        {"a push 0123456789abcdef\n\na read 0123456789abcdeg\n", "line 3: the name"},
        {"a push 0123456789abcdef\nb read 0123456789abcdef\n", "line 2: the key stands"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char why[200] = "";
        struct keys *keys;
        cr_assert_eq(keys_read(span_of(cases[i].file), &keys, why, sizeof why), ERR_INVALID_FIELD,
                     "%s", cases[i].file);
        cr_assert_not_null(strstr(why, cases[i].why), "%s: %s", cases[i].file, why);
        cr_assert_null(strstr(why, "0123456789abcd"), "%s", why);
    }
}

Test(admin_keys, takes_a_thousand_and_not_one_more)
{
    size_t cap = 64 * (KEYS_MAX + 1);
    char *file = malloc(cap);
    size_t len = 0;
    for (int i = 0; i < KEYS_MAX; i++)
        len += (size_t)snprintf(file + len, cap - len, "k%d push key-number-%08d\n", i, i);
    struct keys *keys = keys_of(file);
    cr_assert_eq(keys->n, KEYS_MAX);
    free(keys);
    char why[200];
    snprintf(file + len, cap - len, "more push key-number-more----\n");
    cr_assert_eq(keys_read(span_of(file), &keys, why, sizeof why), ERR_INVALID_FIELD);
    cr_assert_not_null(strstr(why, "more than 1000"));
    free(file);
}
