/* How much a connection may send: --max-messages-per-second, --max-bytes-per-second. A burst of two
 * seconds is taken, so that what a slow line has held back does not count against it. Sessions have
 * buckets only while a limit is set, from their first frame on. */
#include "gateway/session/session_rate.h"

#include "gateway/base/clock.h"
#include "gateway/base/metrics.h"
#include "gateway/base/rate.h"
#include "gateway/session/session_close.h"

#include <stdlib.h>

enum { BURST_S = 2 };

struct session_rates {
    struct rate messages;
    struct rate bytes;
};

/* NULL: out of memory. */
static struct session_rates *rates_of(struct session *session)
{
    struct session_extra *extra = session_extra(session);
    if (extra != NULL && extra->rates == NULL)
        extra->rates = calloc(1, sizeof *extra->rates);
    return extra == NULL ? NULL : extra->rates;
}

static bool take_from_rate(struct rate *rate, int64_t per_second, size_t n)
{
    return per_second == 0 || n == 0 ||
           rate_take(rate, clock_monotonic_us(), per_second, BURST_S * per_second, (int64_t)n);
}

static int32_t until_full_us(const struct rate *rate, int64_t now_us)
{
    return rate->full_us > now_us ? (int32_t)(rate->full_us - now_us) : 0;
}

bool session_rates_left(const struct session *session, int32_t *ret_messages_us,
                        int32_t *ret_bytes_us)
{
    const struct session_rates *rates = session->extra == NULL ? NULL : session->extra->rates;
    int64_t now_us = clock_monotonic_us();
    *ret_messages_us = rates == NULL ? 0 : until_full_us(&rates->messages, now_us);
    *ret_bytes_us = rates == NULL ? 0 : until_full_us(&rates->bytes, now_us);
    return *ret_messages_us > 0 || *ret_bytes_us > 0;
}

enum err session_rates_set(struct session *session, int32_t messages_us, int32_t bytes_us)
{
    struct session_rates *rates = rates_of(session);
    int64_t now_us = clock_monotonic_us();
    if (rates == NULL)
        return ERR_NO_MEMORY;
    rates->messages.full_us = now_us + messages_us;
    rates->bytes.full_us = now_us + bytes_us;
    return ERR_OK;
}

void session_count_in(struct session *session, size_t n_messages, size_t n_bytes)
{
    const struct options *options = session_options(session);
    if (options->max_messages_per_second == 0 && options->max_bytes_per_second == 0)
        return;
    if (!session_is_open(session) || session_is_identified(session))
        return;
    struct session_rates *rates = rates_of(session);
    if (rates == NULL) {
        session_give_up(session);
        return;
    }
    bool is_in_messages =
        take_from_rate(&rates->messages, options->max_messages_per_second, n_messages);
    if (is_in_messages && take_from_rate(&rates->bytes, options->max_bytes_per_second, n_bytes))
        return;
    metrics_count(is_in_messages ? METRIC_LIMITED_BYTES : METRIC_LIMITED_MESSAGES);
    session->is_deaf = true; /* the rest of what it sends is not decoded */
    session_close_with(session, ERR_RATE, SPAN_LITERAL("rate"), session_retry_ms(session));
    conn_shutdown(&session->conn);
}
