/* sim --seeds FROM-TO runs them all, each twice now and then to see that a seed is one run, and
 * prints what they did. sim --seed N --trace prints what happens in one. */
#include "tests/sim/sim.h"

#include "gateway/base/log.h"
#include "gateway/base/metrics.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { REPLAY_EVERY = 25, ENOUGH_SEEDS = 100 };

void sim_fail(const struct sim *sim, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    printf("seed %" PRIu64 ", step %u: ", sim->seed, sim->step);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\nsee it again: sim --seed %" PRIu64 " --trace\n", sim->seed);
    fflush(stdout);
    _exit(1); /* what is allocated is not the news */
}

void sim_trace(struct sim *sim, const char *format, ...)
{
    char line[256];
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    for (int i = 0; i < len && i < (int)sizeof line; i++)
        sim->trace = (sim->trace ^ (unsigned char)line[i]) * UINT64_C(0x100000001b3);
    sim->trace = (sim->trace ^ (uint64_t)sim->now_ms) * UINT64_C(0x100000001b3);
    if (sim->is_tracing)
        printf("%5u %8" PRId64 " ms  %s\n", sim->step, sim->now_ms, line);
}

uint64_t sim_random(struct sim *sim)
{
    sim->random ^= sim->random << 13;
    sim->random ^= sim->random >> 7;
    sim->random ^= sim->random << 17;
    return sim->random * UINT64_C(0x2545f4914f6cdd1d);
}

uint64_t sim_below(struct sim *sim, uint64_t end)
{
    return (sim_random(sim) >> 16) % end;
}

bool sim_chance(struct sim *sim, unsigned per_mille)
{
    return sim_below(sim, 1000) < per_mille;
}

int64_t sim_wall_ms(const struct sim *sim)
{
    return INT64_C(1700000000000) + sim->now_ms;
}

static uint64_t run_seed(uint64_t seed, bool is_tracing, struct sim_totals *totals)
{
    struct sim *sim = calloc(1, sizeof *sim);
    sim->seed = seed;
    sim->random = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
    sim->trace = UINT64_C(0xcbf29ce484222325);
    sim->is_tracing = is_tracing;
    sim_run(sim);
    uint64_t trace = sim->trace;
    const uint64_t *from = (const uint64_t *)(const void *)&sim->totals;
    uint64_t *to = (uint64_t *)(void *)totals;
    for (size_t i = 0; totals != NULL && i < sizeof *totals / sizeof *to; i++)
        to[i] += from[i];
    free(sim);
    return trace;
}

/* ---- what the runs did ---- */

struct row {
    const char *name;
    uint64_t count;
};

/* A fault that never happened has proved nothing. */
static bool print_rows(const char *title, const struct row *rows, size_t n, bool must_happen)
{
    bool is_good = true;
    printf("%s:", title);
    for (size_t i = 0; i < n; i++) {
        printf(" %s %" PRIu64 "%s", rows[i].name, rows[i].count, i + 1 < n ? "," : "\n");
        if (rows[i].count == 0 && must_happen) {
            printf("\nNEVER HAPPENED: %s\n", rows[i].name);
            is_good = false;
        }
    }
    return is_good;
}

static uint64_t metric(enum metric which)
{
    return (uint64_t)metrics_read(which);
}

#define PRINT(title, rows, must_happen)                                                            \
    print_rows((title), (rows), sizeof(rows) / sizeof(rows)[0], (must_happen))

static bool print_pushes(const struct sim_totals *t, bool must_happen)
{
    const struct row pushes[] = {
        {"pushed", t->pushed},       {"accepted", t->accepted},
        {"refused", t->refused},     {"acknowledged", t->acked},
        {"expired", t->expired},     {"overflow", t->overflow},
        {"cancelled", t->cancelled}, {"collapsed", t->collapsed},
        {"ephemeral", t->ephemeral}, {"of them had", t->ephemeral_had},
    };
    return PRINT("notifications", pushes, must_happen);
}

static bool print_clients(const struct sim_totals *t, bool must_happen)
{
    const struct row clients[] = {
        {"received", t->had},      {"repeated", t->repeated},  {"shared", t->shared_users},
        {"connects", t->connects}, {"drops", t->drops},        {"goodbyes", t->goodbyes},
        {"torn", t->torn_writes},  {"silent", t->silent_tabs}, {"slow", t->slow_tabs},
        {"stuck", t->stuck_tabs},
    };
    return PRINT("clients", clients, must_happen);
}

static bool print_faults(const struct sim_totals *t, bool must_happen)
{
    const struct row faults[] = {
        {"crashes", t->crashes},
        {"drains", t->drains},
        {"store full", t->fulls},
        {"store away", t->aways},
        {"kept but hidden", t->hidden},
        {"store late", t->late_stores},
        {"worker late", t->late_workers},
        {"requests lost", t->lost_requests},
        {"messages lost", t->lost_messages},
        {"heads behind", t->heads_behind},
        {"positions not written", t->failed_acks},
        {"positions lost", t->crash_lost_acks},
        {"kicks", t->kicks},
        {"cancels", t->asked_cancels},
        {"purges", t->asked_purges},
        {"repeats", t->repeats},
        {"duplicates", t->duplicates},
        {"devices", t->devices},
        {"calm times", t->calms},
        {"memory short", t->shortages},
        {"allocations failed", t->failed_allocations},
        {"let in no session", t->not_entered},
    };
    return PRINT("faults", faults, must_happen);
}

static bool print_fleet(const struct sim_totals *t, bool must_happen)
{
    const struct row fleet[] = {
        {"runs", t->fleets},
        {"links away", t->links_away},
        {"subscriptions", t->subscriptions},
        {"told of missed", t->missed_reports},
        {"answers late", t->late_answers},
        {"sent", t->sent},
        {"sent in a calm", t->sent_in_calm},
        {"parts away", t->parts_away},
        {"slots moved", t->moves},
        {"moved too long", t->moved_too_long},
        {"losses", t->losses},
        {"writes lost", t->lost_writes},
        {"new epochs", t->epochs},
        {"had what was lost", t->doomed},
        {"resyncs", metric(METRIC_CLOSED_RESYNC)},
        {"waited", t->waited},
        {"until gone", t->waited_gone},
        {"until delivered", t->waited_delivered},
        {"told of waits", t->watches},
        {"answers to them", t->watch_answers},
        {"questions", t->questions},
        {"asked alone", t->asked_alone},
        {"answers missing", t->answers_missing},
        {"closed by kicks", t->closed_by_kick},
        {"blocks", t->blocks},
        {"blocks found", t->blocked_found},
        {"blocked", metric(METRIC_CLOSED_BLOCKED)},
        {"withdrawn unseen", t->unwritten},
    };
    return PRINT("the fleet", fleet, must_happen);
}

static bool print_paths(const struct sim_totals *t, bool must_happen)
{
    const struct row paths[] = {
        {"first pages at once", t->pages_at_once},
        {"live", metric(METRIC_DELIVERED_LIVE)},
        {"replay", metric(METRIC_DELIVERED_REPLAY)},
        {"fell back", metric(METRIC_FELL_BACK)},
        {"channel overflow", metric(METRIC_CHANNEL_OVERFLOW)},
        {"ttl 0 dropped", metric(METRIC_EPHEMERAL_DROPPED)},
        {"unmatched pongs", metric(METRIC_PONGS_UNMATCHED)},
        {"closed silent", metric(METRIC_CLOSED_SILENT)},
        {"slow", metric(METRIC_CLOSED_SLOW)},
        {"replaced", metric(METRIC_CLOSED_REPLACED)},
        {"kicked", metric(METRIC_CLOSED_KICKED)},
        {"restart", metric(METRIC_CLOSED_RESTART)},
        {"client", metric(METRIC_CLOSED_CLIENT)},
        {"dropped", metric(METRIC_CLOSED_DROPPED)},
        {"for lack of memory", metric(METRIC_CLOSED_MEMORY)},
    };
    return PRINT("the node", paths, must_happen);
}

static bool print_v1(const struct sim_totals *t, bool must_happen)
{
    const struct row v1[] = {
        {"tabs", t->v1_tabs},
        {"lazy", t->lazy_tabs},
        {"resumed", t->resumed},
        {"resets", t->resets},
        {"hidden", t->hidden_told},
        {"gaps expired", t->gap_numbers[GAP_EXPIRED]},
        {"overflow", t->gap_numbers[GAP_OVERFLOW]},
        {"cancelled", t->gap_numbers[GAP_CANCELLED]},
        {"collapsed", t->gap_numbers[GAP_COLLAPSED]},
        {"acknowledged", t->gap_numbers[GAP_ACKNOWLEDGED]},
        {"unknown", t->gap_numbers[GAP_UNKNOWN]},
    };
    return PRINT("herald.v1", v1, must_happen);
}

static bool print_never(void)
{
    const struct row never[] = {
        {"protocol errors", metric(METRIC_CLOSED_PROTOCOL)},
        {"sessions left open", metric(METRIC_CONNECTIONS)},
        {"users left", metric(METRIC_USERS)},
    };
    bool is_good = true;
    PRINT("never", never, false);
    for (size_t i = 0; i < sizeof never / sizeof never[0]; i++) {
        if (never[i].count != 0) {
            printf("HAPPENED: %s\n", never[i].name);
            is_good = false;
        }
    }
    return is_good;
}

static bool print_totals(const struct sim_totals *t, bool must_happen)
{
    bool is_good = print_pushes(t, must_happen);
    is_good &= print_clients(t, must_happen);
    is_good &= print_faults(t, must_happen);
    is_good &= print_fleet(t, must_happen);
    is_good &= print_paths(t, must_happen);
    is_good &= print_v1(t, must_happen);
    is_good &= print_never();
    uint64_t left = t->acked + t->expired + t->overflow + t->cancelled + t->collapsed;
    printf("lost: %" PRId64 "\n", (int64_t)(t->stored - left));
    return is_good && t->stored == left;
}

static int run_seeds(uint64_t from, uint64_t to)
{
    struct sim_totals totals = {0};
    for (uint64_t seed = from; seed <= to; seed++) {
        uint64_t trace = run_seed(seed, false, &totals);
        if (seed % REPLAY_EVERY == 0 && run_seed(seed, false, NULL) != trace) {
            printf("seed %" PRIu64 " is not the same run twice\n", seed);
            return 1;
        }
    }
    printf("%" PRIu64 " runs\n", to - from + 1);
    return print_totals(&totals, to - from + 1 >= ENOUGH_SEEDS) ? 0 : 1;
}

int main(int argc, char **argv)
{
    uint64_t from = 1;
    uint64_t to = 300;
    bool is_tracing = false;
    for (int i = 1; i < argc; i++) {
        char *end = NULL;
        if (strcmp(argv[i], "--trace") == 0) {
            is_tracing = true;
        } else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
            from = to = strtoull(argv[++i], &end, 10);
        } else if (strcmp(argv[i], "--seeds") == 0 && i + 1 < argc) {
            from = strtoull(argv[++i], &end, 10);
            to = *end == '-' ? strtoull(end + 1, &end, 10) : from;
        } else {
            fprintf(stderr, "usage: sim [--seeds FROM-TO | --seed N [--trace]]\n");
            return 2;
        }
    }
    log_setup((enum log_level)(LOG_ERROR + 1), LOG_LOGFMT); /* full stores are no news here */
    if (from == to) {
        uint64_t trace = run_seed(from, is_tracing, NULL);
        printf("seed %" PRIu64 ": trace %016" PRIx64 "\n", from, trace);
        return 0;
    }
    return run_seeds(from, to);
}
