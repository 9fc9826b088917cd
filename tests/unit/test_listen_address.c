#include "gateway/base/listen_address.h"

#include <criterion/criterion.h>
#include <string.h>

Test(listen_address, splits_the_three_forms)
{
    struct listen_address address;
    cr_assert_eq(listen_address_parse("127.0.0.1:8080", &address), ERR_OK);
    cr_assert_str_eq(address.host, "127.0.0.1");
    cr_assert_str_eq(address.port, "8080");
    cr_assert_eq(listen_address_parse("[::1]:0", &address), ERR_OK);
    cr_assert_str_eq(address.host, "::1");
    cr_assert_str_eq(address.port, "0");
    cr_assert_eq(listen_address_parse("push.example.com:65535", &address), ERR_OK);
    cr_assert_eq(listen_address_parse("unix:/run/herald.sock", &address), ERR_OK);
    cr_assert(address.is_unix);
    cr_assert_str_eq(address.host, "/run/herald.sock");
}

Test(listen_address, refuses_another_form)
{
    static const char *const wrong[] = {
        "",      "8080",   ":8080", "host",  "host:",  "host:65536",     "host:80a", "::1:80",
        "[::1]", "[x]:80", "[]:80", "unix:", "a b:80", "http://host:80", "host:-1",  "host:000080"};
    struct listen_address address;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        cr_assert_eq(listen_address_parse(wrong[i], &address), ERR_INVALID_FIELD, "%s", wrong[i]);
    char long_path[256] = "unix:";
    memset(long_path + 5, 'p', 108);
    cr_assert_eq(listen_address_parse(long_path, &address), ERR_INVALID_FIELD);
}

Test(listen_address, knows_loopback)
{
    static const char *const near[] = {"127.0.0.1:1", "127.9.9.9:1", "localhost:1",
                                       "[::1]:1",     "unix:/x",     "[::ffff:127.0.0.1]:1"};
    static const char *const far[] = {"0.0.0.0:1",
                                      "10.0.0.1:1",
                                      "[::]:1",
                                      "example.com:1",
                                      "128.0.0.1:1",
                                      "localhost.example.com:1",
                                      "127.0.0.1.example.com:1"};
    struct listen_address address;
    for (size_t i = 0; i < sizeof near / sizeof near[0]; i++) {
        cr_assert_eq(listen_address_parse(near[i], &address), ERR_OK);
        cr_assert(listen_address_is_loopback(&address), "%s", near[i]);
    }
    for (size_t i = 0; i < sizeof far / sizeof far[0]; i++) {
        cr_assert_eq(listen_address_parse(far[i], &address), ERR_OK);
        cr_assert_not(listen_address_is_loopback(&address), "%s", far[i]);
    }
}
