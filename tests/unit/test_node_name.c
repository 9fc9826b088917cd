#include "gateway/base/node_name.h"

#include <criterion/criterion.h>
#include <string.h>
#include <unistd.h>

#define SIXTY_FOUR "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

Test(node_name, is_of_letters_digits_dots_underscores_and_hyphens)
{
    static const char *const good[] = {"a", "a-1", "Node_7.example.com", SIXTY_FOUR};
    static const char *const bad[] = {"", "a b", "a:1", "n\xc3\xb6rdlich", "a\n", SIXTY_FOUR "0"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        cr_expect(node_name_is_valid(good[i]), "%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_expect_not(node_name_is_valid(bad[i]), "%s", bad[i]);
}

static void expect_name(const char *text, const char *name)
{
    char out[NODE_NAME_MAX_BYTES + 1];
    node_name_from(text, out);
    cr_expect_str_eq(out, name);
    cr_expect(node_name_is_valid(out), "%s", out);
}

Test(node_name, comes_from_any_text)
{
    expect_name("web-3.example.com", "web-3.example.com");
    expect_name("web 3/\xc3\xb6", "web-3---");
    expect_name("", "local");
    expect_name(SIXTY_FOUR "and more", SIXTY_FOUR);
}

Test(node_name, is_the_option_or_the_hosts)
{
    char host[300] = "";
    char name[NODE_NAME_MAX_BYTES + 1];
    char expected[NODE_NAME_MAX_BYTES + 1];
    node_name_choose("a-1", name);
    cr_expect_str_eq(name, "a-1");
    cr_assert_eq(gethostname(host, sizeof host - 1), 0);
    node_name_from(host, expected);
    node_name_choose("", name);
    cr_expect_str_eq(name, expected);
}
