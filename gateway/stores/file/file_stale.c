#include "gateway/stores/file/file_stale.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_YOUNG = 256, DIGIT_BITS = 11, DIGITS = 1 << DIGIT_BITS };

enum err file_stale_add(struct file_stale *stale, uint64_t key, uint32_t distance, uint32_t bytes)
{
    if (stale->n_young == stale->cap_young) {
        size_t cap = stale->cap_young == 0 ? FIRST_YOUNG : 2 * stale->cap_young;
        struct file_stale_record *more = realloc(stale->young, cap * sizeof *more);
        if (more == NULL)
            return ERR_NO_MEMORY;
        stale->young = more;
        stale->cap_young = cap;
    }
    struct file_stale_record record = {key, distance, distance == 0 ? bytes : 0};
    stale->young[stale->n_young++] = record;
    stale->bytes += record.bytes;
    return ERR_OK;
}

bool file_stale_is_run_due(const struct file_stale *stale, uint64_t n_records)
{
    bool is_most = stale->n_young >= FILE_STALE_SHORT_RUN && stale->n_young >= n_records / 3 * 2;
    return is_most || stale->n_young >= FILE_STALE_RUN || stale->bytes >= FILE_STALE_RUN_BYTES;
}

size_t file_stale_share(const struct file_stale *stale, size_t n_changes)
{
    if (stale->bytes > 2 * (uint64_t)FILE_STALE_RUN_BYTES)
        return FILE_STALE_HURRY;
    return n_changes == 0 ? FILE_STALE_ALONE : FILE_STALE_BESIDE + 2 * n_changes;
}

/* ---- in the order of the keys ---- */

/* By one digit of the key; records that are equal in it keep their order. */
static void sort_by_digit(const struct file_stale_record *from, struct file_stale_record *to,
                          size_t n, uint64_t lowest, unsigned shift)
{
    size_t places[DIGITS] = {0};
    size_t place = 0;
    for (size_t i = 0; i < n; i++)
        places[(from[i].key - lowest) >> shift & (DIGITS - 1)]++;
    for (size_t digit = 0; digit < DIGITS; digit++) {
        size_t n_here = places[digit];
        places[digit] = place;
        place += n_here;
    }
    for (size_t i = 0; i < n; i++)
        to[places[(from[i].key - lowest) >> shift & (DIGITS - 1)]++] = from[i];
}

/* Digit by digit, the lowest first: some 60 000 keys of a narrow range take a millisecond, where a
 * sort by comparisons takes ten, and pushes wait meanwhile. Answers which of the two it ends in. */
static struct file_stale_record *sort_records(struct file_stale_record *records,
                                              struct file_stale_record *spare, size_t n)
{
    uint64_t lowest = UINT64_MAX;
    uint64_t highest = 0;
    for (size_t i = 0; i < n; i++) {
        lowest = records[i].key < lowest ? records[i].key : lowest;
        highest = records[i].key > highest ? records[i].key : highest;
    }
    for (unsigned shift = 0; shift < 64 && (highest - lowest) >> shift != 0; shift += DIGIT_BITS) {
        sort_by_digit(records, spare, n, lowest, shift);
        struct file_stale_record *sorted = spare;
        spare = records;
        records = sorted;
    }
    return records;
}

enum err file_stale_begin_run(struct file_stale *stale)
{
    size_t n_left = stale->n_run - stale->at;
    size_t n = n_left + stale->n_young;
    if (stale->n_young == 0)
        return ERR_OK;
    struct file_stale_record *records = malloc(n * sizeof *records);
    struct file_stale_record *spare = malloc(n * sizeof *spare);
    if (records == NULL || spare == NULL) {
        free(records);
        free(spare);
        return ERR_NO_MEMORY;
    }
    if (n_left > 0)
        memcpy(records, stale->run + stale->at, n_left * sizeof *records);
    memcpy(records + n_left, stale->young, stale->n_young * sizeof *records);
    struct file_stale_record *run = sort_records(records, spare, n);
    free(run == records ? spare : records);
    free(stale->young);
    free(stale->run);
    *stale = (struct file_stale){.run = run, .n_run = n, .bytes = stale->bytes};
    return ERR_OK;
}

/* ---- leaving ---- */

struct file_stale_record file_stale_take(struct file_stale *stale)
{
    struct file_stale_record record = stale->run[stale->at++];
    stale->bytes -= record.bytes;
    if (stale->at == stale->n_run) {
        free(stale->run);
        stale->run = NULL;
        stale->n_run = 0;
        stale->at = 0;
    }
    return record;
}

bool file_stale_has_below(const struct file_stale *stale, uint64_t key)
{
    bool is_found = file_stale_is_next_below(stale, key);
    for (size_t i = 0; !is_found && i < stale->n_young; i++)
        is_found = stale->young[i].key < key;
    return is_found;
}

void file_stale_clear(struct file_stale *stale)
{
    free(stale->young);
    free(stale->run);
    *stale = (struct file_stale){0};
}
