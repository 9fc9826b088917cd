/* What became of a file that was read again, as one line of the log: operators must see that what
 * they have put there counts, or that it was not there. Any thread. */
#ifndef HERALD_BASE_REREAD_H
#define HERALD_BASE_REREAD_H

#include <stdint.h>

enum reread_result {
    REREAD_UNCHANGED, /* what stands there is what counted before */
    REREAD_REPLACED,  /* and counts from now on */
    REREAD_REFUSED,   /* it cannot be used: what counted before goes on counting */
    REREAD_KEPT,      /* it was not asked: another file that it goes with was refused */
};

struct reread {
    const char *option, *path;
    enum reread_result result;
    int64_t
        not_after;   /* of the certificate that counts now, in seconds since 1970; 0: it is none */
    const char *why; /* REREAD_REFUSED: a sentence */
};

/* Four words, as they stand in the log. */
const char *reread_name(enum reread_result result);

void reread_log(const struct reread *reread);

/* YYYY-MM-DDTHH:MM:SSZ, or nothing. */
enum { REREAD_DATE_BYTES = 32 };
void reread_date(int64_t seconds, char ret_date[REREAD_DATE_BYTES]);

#endif
