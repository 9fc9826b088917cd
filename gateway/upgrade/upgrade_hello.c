#include "gateway/upgrade/upgrade_hello.h"

#include "gateway/upgrade/record_table.h"

#include <stdio.h>

enum {
    TAG_PID = 1,
    TAG_FORMAT = 2,
    TAG_FORMAT_BEFORE = 3,
    TAG_VERSION = 4,
    TAG_PLACE = 5,
    TAG_SESSIONS = 6,
    TAG_LOCK = 7,
    TAG_WHY = 1,         /* of a refusal */
    TAG_HTTP = 7,        /* of counts, with TAG_SESSIONS */
    TAG_SUBSCRIBERS = 1, /* of listening sockets */
    TAG_ADMIN = 2,
    VERSION_MAX_BYTES = 256,
    PLACE_MAX_BYTES = 16384,
    LISTEN_MAX_BYTES = 4096,
};

#define GREETING(member) RECORD_MEMBER(struct upgrade_greeting, member), UINT32_MAX, #member
#define READY(member)    RECORD_MEMBER(struct upgrade_ready, member), UINT32_MAX, #member
#define COUNTS(member)   RECORD_MEMBER(struct upgrade_counts, member), UINT32_MAX, #member

static const struct record_row greeting_rows[] = {
    {TAG_PID, RECORD_UNSIGNED, 1, true, GREETING(pid)},
    {TAG_FORMAT, RECORD_UNSIGNED, 1, true, GREETING(format)},
    {TAG_FORMAT_BEFORE, RECORD_UNSIGNED, 1, true, GREETING(format_before)},
    {TAG_VERSION, RECORD_SPAN, 1, true, RECORD_MEMBER(struct upgrade_greeting, version),
     VERSION_MAX_BYTES, "version"},
    {TAG_PLACE, RECORD_SPAN, 1, true, RECORD_MEMBER(struct upgrade_greeting, place),
     PLACE_MAX_BYTES, "place"},
    {TAG_SESSIONS, RECORD_UNSIGNED, 1, false, GREETING(n_sessions)},
    {TAG_LOCK, RECORD_BOOL, 1, false, GREETING(has_lock)},
};

static const struct record_row ready_rows[] = {
    {TAG_PID, RECORD_UNSIGNED, 1, true, READY(pid)},
    {TAG_FORMAT, RECORD_UNSIGNED, 1, true, READY(format)},
    {TAG_FORMAT_BEFORE, RECORD_UNSIGNED, 1, true, READY(format_before)},
    {TAG_VERSION, RECORD_SPAN, 1, true, RECORD_MEMBER(struct upgrade_ready, version),
     VERSION_MAX_BYTES, "version"},
};

static const struct record_row counts_rows[] = {
    {TAG_SESSIONS, RECORD_UNSIGNED, 1, false, COUNTS(n_sessions)},
    {TAG_HTTP, RECORD_UNSIGNED, 1, false, COUNTS(n_http)},
};

#define TABLE(rows)                                                                                \
    {                                                                                              \
        (rows), sizeof(rows) / sizeof(rows)[0]                                                     \
    }

static const struct record_table greeting_table = TABLE(greeting_rows);
static const struct record_table ready_table = TABLE(ready_rows);
static const struct record_table counts_table = TABLE(counts_rows);

static enum err write_table(const struct record_table *table, const void *object, struct buf *out)
{
    struct record_writer writer = {.out = out};
    record_write(&writer, table, object, 1);
    return writer.error;
}

enum err upgrade_greeting_write(const struct upgrade_greeting *greeting, struct buf *out)
{
    return write_table(&greeting_table, greeting, out);
}

enum err upgrade_ready_write(const struct upgrade_ready *ready, struct buf *out)
{
    return write_table(&ready_table, ready, out);
}

enum err upgrade_counts_write(const struct upgrade_counts *counts, struct buf *out)
{
    return write_table(&counts_table, counts, out);
}

enum err upgrade_refusal_write(const char *why, struct buf *out)
{
    struct record_writer writer = {.out = out};
    record_put(&writer, TAG_WHY, span_of(why));
    return writer.error;
}

enum err upgrade_listening_write(bool is_admin, const char *text, struct buf *out)
{
    struct record_writer writer = {.out = out};
    record_put(&writer, is_admin ? TAG_ADMIN : TAG_SUBSCRIBERS, span_of(text));
    return writer.error;
}

enum err upgrade_greeting_read(struct span bytes, struct upgrade_greeting *ret_greeting)
{
    char why[RECORD_WHY_MAX_BYTES];
    *ret_greeting = (struct upgrade_greeting){0};
    return record_read(bytes, &greeting_table, ret_greeting, why);
}

enum err upgrade_ready_read(struct span bytes, struct upgrade_ready *ret_ready)
{
    char why[RECORD_WHY_MAX_BYTES];
    *ret_ready = (struct upgrade_ready){0};
    return record_read(bytes, &ready_table, ret_ready, why);
}

enum err upgrade_counts_read(struct span bytes, struct upgrade_counts *ret_counts)
{
    char why[RECORD_WHY_MAX_BYTES];
    *ret_counts = (struct upgrade_counts){0};
    return record_read(bytes, &counts_table, ret_counts, why);
}

void upgrade_refusal_read(struct span bytes, char why[UPGRADE_WHY_MAX_BYTES])
{
    uint8_t tag;
    struct span text;
    if (record_take(&bytes, &tag, &text) == RECORD_ITEM && tag == TAG_WHY && text.len > 0)
        snprintf(why, UPGRADE_WHY_MAX_BYTES, "%.*s", (int)text.len, text.bytes);
    else
        snprintf(why, UPGRADE_WHY_MAX_BYTES, "the new process refuses, and its reason is unclear");
}

bool upgrade_listening_take(struct span *rest, bool *ret_is_admin, struct span *ret_text)
{
    uint8_t tag;
    struct span text;
    if (record_take(rest, &tag, &text) != RECORD_ITEM || text.len > LISTEN_MAX_BYTES ||
        (tag != TAG_SUBSCRIBERS && tag != TAG_ADMIN))
        return false;
    *ret_is_admin = tag == TAG_ADMIN;
    *ret_text = text;
    return true;
}

uint32_t upgrade_format_for(uint32_t given, uint32_t given_before, uint32_t taken,
                            uint32_t taken_before)
{
    uint32_t highest = given < taken ? given : taken;
    return highest >= given_before && highest >= taken_before ? highest : 0;
}
