/* Logs the result of reading a file again, so that operators see whether the file that they
 * replaced is in use. Any thread. */
#ifndef HERALD_BASE_REREAD_H
#define HERALD_BASE_REREAD_H

#include <stdint.h>

enum reread_result {
    REREAD_UNCHANGED, /* the content is the one already in use */
    REREAD_REPLACED,  /* the content is new, and in use from now on */
    REREAD_REFUSED,   /* the content is not usable; the old one stays in use */
    REREAD_KEPT,      /* not used, because a file that belongs to it was refused */
};

struct reread {
    const char *option, *path;
    enum reread_result result;
    int64_t not_after; /* of the certificate in use, in seconds since 1970; 0: not a certificate */
    const char *why;   /* REREAD_REFUSED: a sentence */
};

/* The word for the result in the log. */
const char *reread_name(enum reread_result result);

void reread_log(const struct reread *reread);

/* Writes YYYY-MM-DDTHH:MM:SSZ, or an empty text. */
enum { REREAD_DATE_BYTES = 32 };
void reread_date(int64_t seconds, char ret_date[REREAD_DATE_BYTES]);

#endif
