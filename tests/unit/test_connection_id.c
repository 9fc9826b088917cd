/* The names of connections, as backends give them back. */
#include "proto/note/connection_id.h"
#include "tests/support/guarded.h"

#include <criterion/criterion.h>

static void expect_name(uint64_t id, const char *name)
{
    char text[CONNECTION_ID_MAX_BYTES];
    size_t len = connection_id_write(id, text);
    uint64_t read = 0;
    cr_expect(span_equal((struct span){text, len}, span_of(name)), "%.*s", (int)len, text);
    cr_expect(connection_id_parse(guarded((struct span){text, len}), &read));
    cr_expect_eq(read, id);
}

Test(connection_id, is_read_as_it_was_written)
{
    expect_name(1, "c-1");
    expect_name(15, "c-f");
    expect_name(16, "c-10");
    expect_name(0x7f3a, "c-7f3a");
    expect_name(0x19a3c0ffee12, "c-19a3c0ffee12");
    expect_name((UINT64_C(1) << CONNECTION_ID_BITS) - 1, "c-ffffffffffff");
}

Test(connection_id, has_one_spelling)
{
    static const char *const others[] = {
        "",     "c",       "c-",      "c-0",    "c-07f3a", "C-7f3a", "c-7F3A",
        "7f3a", "c-7f3a ", " c-7f3a", "c-7f3g", "c_7f3a",  "c--7f3", "c-1000000000000"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        uint64_t id = 7;
        cr_expect_not(connection_id_parse(guarded(span_of(others[i])), &id), "%s", others[i]);
        cr_expect_eq(id, 7);
    }
    uint64_t id;
    cr_expect_not(connection_id_parse(SPAN_NONE, &id));
}
