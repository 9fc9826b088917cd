#include "gateway/upgrade/http_record.h"

#include <criterion/criterion.h>

static const struct carried_http full = {
    .state = CARRIED_HTTP_RESTING,
    .peer = {.is_proxied = true, .address = {{[10] = 0xff, 0xff, 192, 0, 2, 1}}},
    .waited_ms = 71000,
    .n_skipped = 8000,
    .bytes = {"GET / HT", 8},
};

static void write_record(struct buf *buf, const struct carried_http *carried, bool is_admin)
{
    buf_init(buf, 1 << 20);
    struct record_writer writer = {.out = buf};
    http_record_write(&writer, carried, is_admin, 1);
    cr_assert_eq(writer.error, ERR_OK);
}

Test(http_record, gives_back_every_member)
{
    for (int is_admin = 0; is_admin <= 1; is_admin++) {
        struct buf buf;
        char why[RECORD_WHY_MAX_BYTES] = "";
        struct carried_http carried;
        bool is_of_admin = !is_admin;
        write_record(&buf, &full, is_admin);
        cr_assert_eq(http_record_read(buf_span(&buf), &carried, &is_of_admin, why), ERR_OK, "%s",
                     why);
        cr_assert_eq(is_of_admin, is_admin);
        cr_assert_eq(carried.state, full.state);
        cr_assert(carried.peer.is_proxied && !carried.peer.is_unresolved);
        cr_assert(ip_equal(&carried.peer.address, &full.peer.address));
        cr_assert_eq(carried.waited_ms, full.waited_ms);
        cr_assert_eq(carried.n_skipped, full.n_skipped);
        cr_assert(span_equal(carried.bytes, full.bytes));
        buf_fini(&buf);
    }
}

Test(http_record, gives_back_a_proxy_that_has_said_nothing)
{
    struct buf buf;
    char why[RECORD_WHY_MAX_BYTES] = "";
    bool is_admin = true;
    struct carried_http carried = full;
    write_record(&buf, &(struct carried_http){.peer.is_unresolved = true}, false);
    cr_assert_eq(http_record_read(buf_span(&buf), &carried, &is_admin, why), ERR_OK, "%s", why);
    cr_assert_eq(carried.state, CARRIED_HTTP_PROXY);
    cr_assert(carried.peer.is_unresolved && !carried.peer.is_proxied && !is_admin);
    cr_assert_eq(carried.bytes.len, 0);
    buf_fini(&buf);
}

static void must_refuse(const struct carried_http *carried, const char *text)
{
    struct buf buf;
    char why[RECORD_WHY_MAX_BYTES] = "";
    bool is_admin;
    struct carried_http again;
    write_record(&buf, carried, false);
    cr_assert_eq(http_record_read(buf_span(&buf), &again, &is_admin, why), ERR_INVALID_FIELD);
    cr_assert_str_eq(why, text);
    buf_fini(&buf);
}

Test(http_record, holds_each_member_to_its_bounds)
{
    static char bytes[128 * 1024 + 1];
    struct carried_http carried = full;
    bool is_admin;
    char why[RECORD_WHY_MAX_BYTES] = "";
    carried.state = CARRIED_HTTP_STATES;
    must_refuse(&carried, "state is malformed or out of range");
    carried = full;
    carried.bytes = (struct span){bytes, sizeof bytes};
    must_refuse(&carried, "bytes is malformed or out of range");
    carried = full;
    carried.n_skipped = UINT64_C(1) << 32;
    must_refuse(&carried, "skipped is malformed or out of range");
    cr_assert_eq(http_record_read(SPAN_NONE, &carried, &is_admin, why), ERR_INVALID_FIELD);
    cr_assert_str_eq(why, "state is missing");
}
