/* Each row of a table says where its member is and how wide; from there on a member is a number of
 * 64 bits, a span or an array, which record.h writes and reads. Reading goes through the items and
 * looks for the row of each; what is required and was not among them is found at the end. */
#include "gateway/upgrade/record_table.h"

#include <assert.h>
#include <stdio.h>

/* ---- the members of a struct ---- */

static uint64_t load_unsigned(const void *member, size_t size)
{
    uint8_t n8;
    uint16_t n16;
    uint32_t n32;
    uint64_t n64;
    switch (size) {
    case sizeof n8:
        memcpy(&n8, member, size);
        return n8;
    case sizeof n16:
        memcpy(&n16, member, size);
        return n16;
    case sizeof n32:
        memcpy(&n32, member, size);
        return n32;
    default:
        assert(size == sizeof n64);
        memcpy(&n64, member, size);
        return n64;
    }
}

static void store_unsigned(void *member, size_t size, uint64_t number)
{
    uint8_t n8 = (uint8_t)number;
    uint16_t n16 = (uint16_t)number;
    uint32_t n32 = (uint32_t)number;
    switch (size) {
    case sizeof n8:
        memcpy(member, &n8, size);
        break;
    case sizeof n16:
        memcpy(member, &n16, size);
        break;
    case sizeof n32:
        memcpy(member, &n32, size);
        break;
    default:
        assert(size == sizeof number);
        memcpy(member, &number, size);
    }
}

static int64_t greatest_signed(size_t size)
{
    return (int64_t)(UINT64_MAX >> (64 - 8 * size + 1));
}

static int64_t load_signed(const void *member, size_t size)
{
    uint64_t number = load_unsigned(member, size);
    uint64_t sign = UINT64_C(1) << (8 * size - 1);
    return (int64_t)((number ^ sign) - sign);
}

/* ---- writing ---- */

static void write_number(struct record_writer *writer, const struct record_row *row,
                         uint64_t number, bool is_zero)
{
    if (is_zero && !row->is_required)
        return;
    if (row->kind == RECORD_SIGNED)
        record_put_signed(writer, row->tag, (int64_t)number);
    else
        record_put_unsigned(writer, row->tag, number);
}

static bool is_all_zero(const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] != 0)
            return false;
    }
    return true;
}

static void write_member(struct record_writer *writer, const struct record_row *row,
                         const char *member)
{
    struct span bytes = {member, row->size};
    uint64_t number = 0;
    switch (row->kind) {
    case RECORD_UNSIGNED:
        number = load_unsigned(member, row->size);
        write_number(writer, row, number, number == 0);
        break;
    case RECORD_SIGNED:
        number = (uint64_t)load_signed(member, row->size);
        write_number(writer, row, number, number == 0);
        break;
    case RECORD_BOOL:
        number = *(const bool *)(const void *)member;
        write_number(writer, row, number, number == 0);
        break;
    case RECORD_SPAN:
    case RECORD_MAYBE_SPAN:
        memcpy(&bytes, member, sizeof bytes);
        if (bytes.len > 0 || row->is_required ||
            (row->kind == RECORD_MAYBE_SPAN && bytes.bytes != NULL))
            record_put(writer, row->tag, bytes);
        break;
    case RECORD_ARRAY:
        if (row->is_required || !is_all_zero(member, row->size))
            record_put(writer, row->tag, bytes);
        break;
    }
}

void record_write(struct record_writer *writer, const struct record_table *table,
                  const void *object, unsigned format)
{
    for (size_t i = 0; i < table->n; i++) {
        const struct record_row *row = &table->rows[i];
        if (row->since <= format)
            write_member(writer, row, (const char *)object + row->at);
    }
}

/* ---- reading ---- */

static bool read_signed(struct span bytes, const struct record_row *row, char *member)
{
    int64_t greatest = greatest_signed(row->size);
    int64_t number = 0;
    if (!record_signed(bytes, -greatest - 1, greatest, &number))
        return false;
    store_unsigned(member, row->size, (uint64_t)number);
    return true;
}

/* false: malformed or out of bounds. */
static bool read_member(struct span bytes, const struct record_row *row, char *member)
{
    uint64_t number = 0;
    switch (row->kind) {
    case RECORD_UNSIGNED:
        if (!record_unsigned(bytes, row->max, &number))
            return false;
        store_unsigned(member, row->size, number);
        return true;
    case RECORD_SIGNED:
        return read_signed(bytes, row, member);
    case RECORD_BOOL:
        if (!record_unsigned(bytes, 1, &number))
            return false;
        *(bool *)(void *)member = number == 1;
        return true;
    case RECORD_SPAN:
    case RECORD_MAYBE_SPAN:
        if (bytes.len > row->max)
            return false;
        memcpy(member, &bytes, sizeof bytes);
        return true;
    case RECORD_ARRAY:
        if (bytes.len != row->size)
            return false;
        memcpy(member, bytes.bytes, bytes.len);
        return true;
    }
    return false;
}

/* How far a record is read. Items come in the order of the rows, so the row of one is looked for
 * after that of the one before. */
struct record_progress {
    size_t next;
    uint64_t seen[4]; /* a bit for each row */
};

/* NULL: the tag is not in the table. */
static const struct record_row *find_row(const struct record_table *table, uint8_t tag,
                                         struct record_progress *progress)
{
    for (size_t i = 0; i < table->n; i++) {
        size_t at = (progress->next + i) % table->n;
        if (table->rows[at].tag != tag)
            continue;
        progress->next = at + 1;
        progress->seen[at / 64] |= UINT64_C(1) << at % 64;
        return &table->rows[at];
    }
    return NULL;
}

static enum err read_item(const struct record_table *table, uint8_t tag, struct span bytes,
                          void *object, struct record_progress *progress, char *why)
{
    const struct record_row *row = find_row(table, tag, progress);
    if (row == NULL && tag < RECORD_MUST_KNOW)
        return ERR_OK;
    if (row == NULL) {
        snprintf(why, RECORD_WHY_MAX_BYTES, "tag %u is not known and may not be skipped", tag);
        return ERR_UNKNOWN_FIELD;
    }
    if (read_member(bytes, row, (char *)object + row->at))
        return ERR_OK;
    snprintf(why, RECORD_WHY_MAX_BYTES, "%s is malformed or out of range", row->name);
    return ERR_INVALID_FIELD;
}

static enum err require_rows(const struct record_table *table,
                             const struct record_progress *progress, char *why)
{
    for (size_t i = 0; i < table->n; i++) {
        if (table->rows[i].is_required && !(progress->seen[i / 64] >> i % 64 & 1)) {
            snprintf(why, RECORD_WHY_MAX_BYTES, "%s is missing", table->rows[i].name);
            return ERR_INVALID_FIELD;
        }
    }
    return ERR_OK;
}

enum err record_read(struct span bytes, const struct record_table *table, void *object,
                     char why[RECORD_WHY_MAX_BYTES])
{
    struct record_progress progress = {0};
    uint8_t tag = 0;
    struct span item;
    enum record_step step;
    enum err error = ERR_OK;
    assert(table->n <= sizeof progress.seen * 8);
    while ((step = record_take(&bytes, &tag, &item)) == RECORD_ITEM && error == ERR_OK)
        error = read_item(table, tag, item, object, &progress, why);
    if (error != ERR_OK)
        return error;
    if (step == RECORD_CUT) {
        snprintf(why, RECORD_WHY_MAX_BYTES, "the record is cut off");
        return ERR_INVALID_FIELD;
    }
    return require_rows(table, &progress, why);
}
