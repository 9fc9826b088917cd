#include "gateway/base/reread.h"

#include "gateway/base/log.h"

#include <time.h>

const char *reread_name(enum reread_result result)
{
    static const char *const names[] = {
        [REREAD_UNCHANGED] = "unchanged",
        [REREAD_REPLACED] = "replaced",
        [REREAD_REFUSED] = "refused",
        [REREAD_KEPT] = "kept",
    };
    return names[result];
}

void reread_date(int64_t seconds, char ret_date[REREAD_DATE_BYTES])
{
    time_t at = (time_t)seconds;
    struct tm tm;
    ret_date[0] = '\0';
    if (gmtime_r(&at, &tm) != NULL)
        strftime(ret_date, REREAD_DATE_BYTES, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

void reread_log(const struct reread *reread)
{
    char date[REREAD_DATE_BYTES];
    struct log_field fields[5] = {
        LOG_TEXT("option", reread->option),
        LOG_TEXT("path", reread->path),
        LOG_TEXT("result", reread_name(reread->result)),
    };
    size_t n = 3;
    if (reread->not_after != 0) {
        reread_date(reread->not_after, date);
        fields[n++] = LOG_TEXT("not_after", date);
    }
    if (reread->result == REREAD_REFUSED)
        fields[n++] = LOG_TEXT("why", reread->why);
    log_fields(reread->result == REREAD_REFUSED ? LOG_ERROR : LOG_INFO, "read again", fields, n);
}
