#include "proto/bytes/text_distance.h"

#include <stdint.h>

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

/* Two rows of the matrix are in memory at a time. */
size_t text_distance(struct span a, struct span b)
{
    size_t row[TEXT_DISTANCE_MAX_BYTES + 1];
    if (a.len > TEXT_DISTANCE_MAX_BYTES || b.len > TEXT_DISTANCE_MAX_BYTES)
        return SIZE_MAX;
    for (size_t j = 0; j <= b.len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            size_t change = diagonal + (a.bytes[i - 1] != b.bytes[j - 1]);
            diagonal = row[j];
            row[j] = min3(row[j] + 1, row[j - 1] + 1, change);
        }
    }
    return row[b.len];
}
