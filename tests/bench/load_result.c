/* What was used, and the result as one line of JSON. */
#include "load.h"

#include <stdio.h>
#include <sys/resource.h>

struct usage usage_now(void)
{
    struct rusage own;
    getrusage(RUSAGE_SELF, &own);
    return (struct usage){
        .cpu = proc_cpu_seconds((int)options.pid),
        .redis_cpu = proc_cpu_seconds((int)options.redis_pid),
        .own_cpu = (double)(own.ru_utime.tv_sec + own.ru_stime.tv_sec) +
                   (double)(own.ru_utime.tv_usec + own.ru_stime.tv_usec) / 1e6,
        .machine = proc_machine(),
        .at_ns = now_ns(),
    };
}

static void print_number(const char *name, double value)
{
    printf(",\"%s\":%.6f", name, value);
}

static void print_latency(const char *name, const struct hist *hist)
{
    printf(",\"%s\":{\"p50\":%.1f,\"p99\":%.1f,\"p999\":%.1f,\"max\":%.1f}", name,
           hist_quantile_us(hist, 0.5), hist_quantile_us(hist, 0.99), hist_quantile_us(hist, 0.999),
           (double)hist->max / 1000);
}

static void print_counts(void)
{
    printf("{\"open\":%u,\"closed\":%lu,\"pings\":%lu", ws.open, ws.closed, ws.pings);
    printf(",\"accepted\":%lu,\"failed\":%lu,\"unanswered\":%lu,\"firstFailure\":\"%s\"",
           http.accepted, http.failed, http.sent - http.accepted - http.failed, http.first_failure);
    printf(",\"received\":%lu,\"lost\":%ld,\"duplicated\":%lu", tally.received,
           (long)(owed() - tally.received), tally.duplicated);
    printf(",\"disordered\":%lu,\"misrouted\":%lu,\"damaged\":%lu", tally.disordered,
           tally.misrouted, tally.damaged);
    printf(",\"windowReceived\":%lu,\"windowAccepted\":%lu", tally.window_received,
           http.window_accepted);
}

void result_print(const struct result *result)
{
    const struct usage *from = &result->from, *to = &result->to;
    double window = (double)(to->at_ns - from->at_ns) / SECOND;
    print_counts();
    print_number("casts", (double)tally.window_casts / window);
    print_number("window", window);
    print_number("connectSeconds", result->connect_seconds);
    print_number("connectCpu", result->connect_cpu);
    print_number("storeSeconds", result->store_seconds);
    print_number("flushSeconds", result->flush_seconds);
    print_number("rssKib", (double)(result->after.rss_kib - result->before.rss_kib));
    print_number("dirtyKib", (double)(result->after.dirty_kib - result->before.dirty_kib));
    print_number("cpu", to->cpu - from->cpu);
    print_number("redisCpu", to->redis_cpu - from->redis_cpu);
    print_number("ownCpu", to->own_cpu - from->own_cpu);
    print_number("busy", to->machine.busy - from->machine.busy);
    print_number("steal", to->machine.steal - from->machine.steal);
    print_latency("handshake", &ws.handshake);
    print_latency("answer", &http.answer);
    print_latency("latency", &tally.latency);
    puts("}");
}
