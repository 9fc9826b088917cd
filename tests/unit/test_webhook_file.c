#include "gateway/events/webhook_file.h"

#include "proto/note/event.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#define SECRET "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

static struct webhook_file *file_of(const char *text)
{
    char why[400] = "";
    struct webhook_file *file = NULL;
    cr_assert_eq(webhook_file_read(span_of(text), "hooks", &file, why, sizeof why), ERR_OK, "%s",
                 why);
    return file;
}

Test(webhook_file, has_an_endpoint_for_each_line)
{
    struct webhook_file *file =
        file_of("# where they are\n"
                "\n"
                "shop https://shop.example/herald " SECRET "\r\n"
                "\tcrm.1  HTTP://[::1]:3000?x=1 \t " SECRET "," SECRET
                " timeout=1500ms types=user.online,gap,client.message batch=1000 from=now");
    cr_assert_eq(file->n, 2);
    const struct webhook_line *shop = webhook_file_find(file, SPAN_LITERAL("shop"));
    cr_assert_eq(shop, &file->lines[0]);
    cr_assert_str_eq(shop->url, "https://shop.example/herald");
    cr_assert_not(shop->is_plain);
    cr_assert_not(shop->from_now);
    cr_assert_eq(shop->secrets.n, 1);
    cr_assert_eq(shop->batch, 50);
    cr_assert_eq(shop->timeout_ms, 10000);
    cr_assert_eq(shop->types, (1u << EVENT_TYPES) - 1);
    const struct webhook_line *crm = webhook_file_find(file, SPAN_LITERAL("crm.1"));
    cr_assert_eq(crm, &file->lines[1]);
    cr_assert_str_eq(crm->url, "HTTP://[::1]:3000?x=1");
    cr_assert(crm->is_plain);
    cr_assert(crm->from_now);
    cr_assert_eq(crm->secrets.n, 2);
    cr_assert_eq(crm->batch, 1000);
    cr_assert_eq(crm->timeout_ms, 1500);
    cr_assert_eq(crm->types,
                 EVENT_BIT(EVENT_ONLINE) | EVENT_BIT(EVENT_MESSAGE) | EVENT_BIT(EVENT_GAP));
    cr_assert_null(webhook_file_find(file, SPAN_LITERAL("crm")));
    webhook_file_free(file);
}

Test(webhook_file, may_have_no_endpoint_at_all)
{
    struct webhook_file *file = file_of("# none\n");
    cr_assert_eq(file->n, 0);
    webhook_file_free(file);
}

/* Gaps need no naming. */
Test(webhook_file, sends_gaps_whatever_types_it_names)
{
    struct webhook_file *file = file_of("a https://h/ " SECRET " types=user.offline");
    cr_assert_eq(file->lines[0].types, EVENT_BIT(EVENT_OFFLINE) | EVENT_BIT(EVENT_GAP));
    webhook_file_free(file);
}

static const struct {
    const char *line;
    const char *why;
} bad[] = {
    {"a", "hooks:2: url: is missing: NAME URL SECRET"},
    {"a b/c " SECRET, "hooks:2: url: must begin with https:// (or http://, to loopback)"},
    {"a/b https://h/ " SECRET,
     "hooks:2: name: 1 to 64 of A-Za-z0-9._- must come first: NAME URL SECRET"},
    {"a https://h/", "hooks:2: secret: is missing: NAME URL SECRET"},
    {"a https://u:p@h/ " SECRET, "hooks:2: url: must not have a user or a password in it"},
    {"a https:///x " SECRET, "hooks:2: url: has no valid HOST or HOST:PORT"},
    {"a https://h:99999/ " SECRET, "hooks:2: url: has no valid HOST or HOST:PORT"},
    {"a https://a%62c/ " SECRET, "hooks:2: url: has no valid HOST or HOST:PORT"},
    {"a https://h/#top " SECRET, "hooks:2: url: has a fragment (#), which is never sent"},
    {"a https://h/\xc3\xa4 " SECRET,
     "hooks:2: url: has a byte that is no visible ASCII character: percent-encode it"},
    {"a ftp://h/ " SECRET, "hooks:2: url: must begin with https:// (or http://, to loopback)"},
    {"a https://h/ whsec_short",
     "hooks:2: secret: a secret is whsec_ and the base64 of 24 to 64 bytes, with its padding"},
    {"a https://h/ " SECRET "," SECRET "," SECRET,
     "hooks:2: secret: there are at most two secrets, with a comma between them"},
    {"a https://h/ " SECRET " type=user.online",
     "hooks:2: option: there is no option \"type\"; did you mean types=?"},
    {"a https://h/ " SECRET " bach=1",
     "hooks:2: option: there is no option \"bach\"; did you mean batch=?"},
    {"a https://h/ " SECRET " " SECRET,
     "hooks:2: option: only types=, batch=, timeout= and from= may follow"},
    {"a https://h/ " SECRET " zz=1",
     "hooks:2: option: only types=, batch=, timeout= and from= may follow"},
    {"a https://h/ " SECRET " types=all",
     "hooks:2: types: there is no type \"all\"; the types are user.online, user.offline, "
     "notification.unacknowledged and client.message"},
    {"a https://h/ " SECRET " types=user.onlin",
     "hooks:2: types: there is no type \"user.onlin\"; did you mean user.online?"},
    {"a https://h/ " SECRET " types=gap," SECRET,
     "hooks:2: types: there is no such type; the first is user.online"},
    {"a https://h/ " SECRET " types=",
     "hooks:2: types: must be one type or more, with commas between them"},
    {"a https://h/ " SECRET " types",
     "hooks:2: types: must be one type or more, with commas between them"},
    {"a https://h/ " SECRET " batch=0", "hooks:2: batch: must be a number from 1 to 1000"},
    {"a https://h/ " SECRET " batch=1001", "hooks:2: batch: must be a number from 1 to 1000"},
    {"a https://h/ " SECRET " batch=5 batch=5", "hooks:2: batch: stands there twice"},
    {"a https://h/ " SECRET " timeout=10",
     "hooks:2: timeout: must be a duration from 100ms to 5m, like 10s"},
    {"a https://h/ " SECRET " timeout=99ms",
     "hooks:2: timeout: must be a duration from 100ms to 5m, like 10s"},
    {"a https://h/ " SECRET " timeout=6m",
     "hooks:2: timeout: must be a duration from 100ms to 5m, like 10s"},
    {"a https://h/ " SECRET " timeout=",
     "hooks:2: timeout: must be a duration from 100ms to 5m, like 10s"},
    {"a https://h/ " SECRET " from=yesterday", "hooks:2: from: must be now or earliest"},
    {"first https://h/ " SECRET, "hooks:2: name: stands there twice"},
};

Test(webhook_file, names_the_line_and_the_field_of_a_fault_and_no_secret)
{
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char text[1000];
        char why[400] = "";
        struct webhook_file *file = NULL;
        snprintf(text, sizeof text, "first https://h/ " SECRET "\n%s\n", bad[i].line);
        cr_assert_eq(webhook_file_read(span_of(text), "hooks", &file, why, sizeof why),
                     ERR_INVALID_FIELD, "%s", bad[i].line);
        cr_assert_str_eq(why, bad[i].why);
        cr_assert_null(strstr(why, "MfKQ"));
    }
}

static void write_lines(char *out, size_t cap, int n)
{
    size_t len = 0;
    for (int i = 0; i < n; i++)
        len += (size_t)snprintf(out + len, cap - len, "n%d https://h/ " SECRET "\n", i);
}

Test(webhook_file, has_at_most_15_endpoints)
{
    char text[2000];
    char why[400] = "";
    struct webhook_file *file = NULL;
    write_lines(text, sizeof text, WEBHOOKS_MAX);
    file = file_of(text);
    cr_assert_eq(file->n, WEBHOOKS_MAX);
    webhook_file_free(file);
    write_lines(text, sizeof text, WEBHOOKS_MAX + 1);
    cr_assert_eq(webhook_file_read(span_of(text), "hooks", &file, why, sizeof why),
                 ERR_INVALID_FIELD);
    cr_assert_str_eq(why, "hooks:16: name: there are more than 15 endpoints, which is the most");
}

Test(webhook_file, has_bounds_for_names_and_urls)
{
    char text[4200];
    char why[400];
    struct webhook_file *file = NULL;
    snprintf(text, sizeof text, "%064d https://h/%02038d " SECRET, 0, 0);
    file = file_of(text);
    cr_assert_eq(strlen(file->lines[0].name), WEBHOOK_NAME_MAX_BYTES);
    cr_assert_eq(strlen(file->lines[0].url), WEBHOOK_URL_MAX_BYTES);
    webhook_file_free(file);
    snprintf(text, sizeof text, "%065d https://h/ " SECRET, 0);
    cr_assert_eq(webhook_file_read(span_of(text), "hooks", &file, why, sizeof why),
                 ERR_INVALID_FIELD);
    snprintf(text, sizeof text, "a https://h/%02039d " SECRET, 0);
    cr_assert_eq(webhook_file_read(span_of(text), "hooks", &file, why, sizeof why),
                 ERR_INVALID_FIELD);
    cr_assert_str_eq(why, "hooks:1: url: is longer than 2048 bytes");
}

Test(webhook_file, knows_what_is_a_proxy)
{
    cr_assert(webhook_proxy_is_valid("http://10.0.0.9:3128"));
    cr_assert(webhook_proxy_is_valid("http://proxy.example/"));
    cr_assert_not(webhook_proxy_is_valid("https://10.0.0.9:3128"));
    cr_assert_not(webhook_proxy_is_valid("socks5://10.0.0.9"));
    cr_assert_not(webhook_proxy_is_valid("http://user:secret@10.0.0.9"));
    cr_assert_not(webhook_proxy_is_valid("http://10.0.0.9/path"));
    cr_assert_not(webhook_proxy_is_valid("http://10.0.0.9?x"));
    cr_assert_not(webhook_proxy_is_valid("10.0.0.9:3128"));
    cr_assert_not(webhook_proxy_is_valid("http://"));
}
