/* A histogram with 64 slots for each power of two: small values exactly, large ones to 1.6 %. */
#include "load.h"

#define SUB_BITS 6
#define SUB      (1u << SUB_BITS)

static unsigned slot_of(uint64_t value)
{
    if (value < SUB)
        return (unsigned)value;
    unsigned shift = 63 - SUB_BITS - (unsigned)__builtin_clzll(value);
    return (shift + 1) * SUB + (unsigned)(value >> shift) - SUB;
}

static double middle_of(unsigned slot)
{
    if (slot < SUB)
        return slot;
    unsigned shift = slot / SUB - 1;
    return ((double)(slot % SUB + SUB) + 0.5) * (double)(1ull << shift);
}

void hist_add(struct hist *hist, uint64_t value)
{
    hist->slots[slot_of(value)]++;
    hist->count++;
    if (value > hist->max)
        hist->max = value;
}

double hist_quantile_us(const struct hist *hist, double quantile)
{
    double wanted = quantile * (double)hist->count;
    uint64_t seen = 0;
    for (unsigned slot = 0; slot < sizeof hist->slots / sizeof hist->slots[0]; slot++) {
        seen += hist->slots[slot];
        if (hist->slots[slot] > 0 && (double)seen >= wanted)
            return middle_of(slot) / 1000;
    }
    return 0;
}
