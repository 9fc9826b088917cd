/* A herald.v1 client (CONTRACT 2): every number from hello on comes as a notification or in a gap,
 * in order and without a hole, and a gap's cause is what really became of the number. */
#include "tests/sim/sim.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* The text after `name` in the message, or NULL. */
static const char *find(struct span text, const char *name)
{
    const char *at = memmem(text.bytes, text.len, name, strlen(name));
    return at == NULL ? NULL : at + strlen(name);
}

static bool has(struct span text, const char *what)
{
    return find(text, what) != NULL;
}

static uint64_t number_of(struct sim_tab *tab, struct span text, const char *name)
{
    const char *at = find(text, name);
    if (at == NULL)
        sim_fail(tab->sim, "tab %u: no %s in %.*s", tab->number, name, (int)text.len, text.bytes);
    return strtoull(at, NULL, 10);
}

static void on_hello(struct sim_tab *tab, struct span text)
{
    struct sim *sim = tab->sim;
    uint64_t acked = number_of(tab, text, "\"acked\":");
    uint64_t head = number_of(tab, text, "\"head\":");
    uint64_t most = tab->start_max > tab->after ? tab->start_max : tab->after;
    const char *epoch = find(text, "\"epoch\":\"");
    if (tab->has_hello || epoch == NULL)
        sim_fail(sim, "tab %u: %.*s", tab->number, (int)text.len, text.bytes);
    tab->has_hello = true;
    memcpy(tab->epoch.text, epoch, sizeof tab->epoch.text);
    sim_trace(sim, "tab %u begins behind %" PRIu64 " of %" PRIu64, tab->number, acked, head);
    if (acked > most || acked > head)
        sim_fail(sim, "tab %u begins behind %" PRIu64 ", beyond %" PRIu64, tab->number, acked,
                 most);
    bool is_resumed = has(text, "\"resumed\":true");
    bool must_resume =
        tab->after > 0 && epoch_equal(tab->resume.epoch, tab->epoch) && tab->resume.seq <= head;
    tab->is_lost |= tab->after > 0 && !must_resume;
    if (is_resumed != (must_resume && !tab->is_lost) || (is_resumed && acked != tab->after))
        sim_fail(sim, "tab %u: resumed behind %" PRIu64 " is not %d at %" PRIu64, tab->number,
                 tab->after, is_resumed, acked);
    sim->totals.resumed += is_resumed;
    tab->must_reset = tab->is_lost;
    tab->tail = acked;
}

static void on_notification(struct sim_tab *tab, struct span text)
{
    struct sim *sim = tab->sim;
    const char *data = find(text, "\"data\":");
    if (data == NULL)
        sim_fail(sim, "tab %u: a notification without data", tab->number);
    struct span value = {data, (size_t)(text.bytes + text.len - 1 - data)};
    if (!has(text, "\"seq\":")) {
        sim_model_had(tab, value);
        return;
    }
    uint64_t seq = number_of(tab, text, "\"seq\":");
    char id[64];
    snprintf(id, sizeof id, "\"id\":\"%.8s-%" PRIu64 "\"", tab->epoch.text, seq);
    if (!has(text, id))
        sim_fail(sim, "tab %u: %" PRIu64 " has another id", tab->number, seq);
    if (seq != tab->tail + 1)
        sim_fail(sim, "tab %u was given %" PRIu64 " behind %" PRIu64, tab->number, seq, tab->tail);
    sim_model_had(tab, value);
    if (tab->last_seq != seq && !tab->is_doomed)
        sim_fail(sim, "tab %u: %" PRIu64 " is another push's number", tab->number, seq);
    tab->tail = seq;
}

static enum gap_cause cause_in(struct sim_tab *tab, struct span text)
{
    static const enum gap_cause causes[] = {GAP_EXPIRED,     GAP_OVERFLOW, GAP_CANCELLED,
                                            GAP_COLLAPSED,   GAP_RESET,    GAP_UNKNOWN,
                                            GAP_ACKNOWLEDGED};
    const char *word = find(text, "\"cause\":\"");
    for (size_t i = 0; word != NULL && i < sizeof causes / sizeof causes[0]; i++) {
        const char *name = gap_cause_text(causes[i]);
        if (strncmp(word, name, strlen(name)) == 0)
            return causes[i];
    }
    sim_fail(tab->sim, "tab %u: %.*s", tab->number, (int)text.len, text.bytes);
}

static void on_gap(struct sim_tab *tab, struct span text)
{
    enum gap_cause cause = cause_in(tab, text);
    uint64_t from = number_of(tab, text, "\"from\":");
    uint64_t to = number_of(tab, text, "\"to\":");
    sim_trace(tab->sim, "tab %u: gap %" PRIu64 "-%" PRIu64 " %s", tab->number, from, to,
              gap_cause_text(cause));
    if (cause == GAP_RESET && !tab->must_reset && tab->sim->users[tab->user].n_losses > 0)
        return; /* the server closes it */
    if (cause == GAP_RESET) {
        if (!tab->must_reset || to != tab->tail)
            sim_fail(tab->sim, "tab %u: a reset that is none", tab->number);
        tab->must_reset = false;
        tab->sim->totals.resets++;
        return;
    }
    if (from != tab->tail + 1 || to < from)
        sim_fail(tab->sim, "tab %u: a gap %" PRIu64 "-%" PRIu64 " behind %" PRIu64, tab->number,
                 from, to, tab->tail);
    for (uint64_t seq = from; seq <= to; seq++)
        sim_model_gap(tab, seq, cause);
    tab->tail = to;
}

static void on_cancel(struct sim_tab *tab, struct span text)
{
    char id[32];
    snprintf(id, sizeof id, "\"id\":\"%.8s-", tab->epoch.text);
    uint64_t seq = number_of(tab, text, id);
    sim_trace(tab->sim, "tab %u: hide %" PRIu64, tab->number, seq);
    sim_model_hidden(tab, seq);
}

void sim_v1_read(struct sim_tab *tab, struct span text)
{
    static const char first[] = "{\"type\":\"";
    if (text.len < sizeof first || memcmp(text.bytes, first, sizeof first - 1) != 0)
        sim_fail(tab->sim, "tab %u: %.*s", tab->number, (int)text.len, text.bytes);
    struct span type = {text.bytes + sizeof first - 1, text.len - sizeof first + 1};
    static const struct {
        const char *name;
        void (*act)(struct sim_tab *tab, struct span text);
    } acts[] = {{"notification\"", on_notification},
                {"gap\"", on_gap},
                {"cancel\"", on_cancel},
                {"hello\"", on_hello},
                {"goaway\"", NULL},
                {"pong\"", NULL}};
    for (size_t i = 0; i < sizeof acts / sizeof acts[0]; i++) {
        size_t len = strlen(acts[i].name);
        if (type.len < len || memcmp(type.bytes, acts[i].name, len) != 0)
            continue;
        if (tab->must_reset && acts[i].act != on_gap)
            sim_fail(tab->sim, "tab %u was not told that its place is lost", tab->number);
        if (acts[i].act != NULL)
            acts[i].act(tab, text);
        return;
    }
    sim_fail(tab->sim, "tab %u: %.*s", tab->number, (int)text.len, text.bytes);
}

/* ---- what it says ---- */

bool sim_v1_has_ack(const struct sim_tab *tab)
{
    return tab->is_v1 && tab->n_ponged < tab->n_had;
}

size_t sim_v1_ack(struct sim_tab *tab, char *out, size_t cap)
{
    uint32_t n_more = tab->n_had - tab->n_ponged;
    tab->n_covered = tab->n_had;
    if (!tab->was_healed && sim_chance(tab->sim, 300))
        tab->n_covered -= (uint32_t)sim_below(tab->sim, n_more);
    tab->covered = tab->had[tab->n_covered - 1];
    return (size_t)snprintf(out, cap, "{\"type\":\"ack\",\"id\":\"%.8s-%" PRIu64 "\"}",
                            tab->epoch.text, tab->covered);
}

/* A page remembers the last id that it has received, and resumes after it. */
void sim_v1_remember(struct sim_tab *tab)
{
    struct sim_user *user = &tab->sim->users[tab->user];
    if (!tab->is_v1 || tab->n_had == 0 || tab->is_doomed)
        return;
    free(user->resume);
    user->resume = tab->had;
    user->n_resume = tab->n_had;
    tab->had = NULL;
}

void sim_v1_resume(struct sim_tab *tab)
{
    struct sim *sim = tab->sim;
    struct sim_user *user = &sim->users[tab->user];
    if (sim_chance(sim, 50)) {
        tab->is_lost = true;
        tab->resume = (struct resume){user->epoch, user->head + 1000};
        if (user->head == 0 || sim_chance(sim, 500))
            memcpy(tab->resume.epoch.text, "elsewhen", sizeof tab->resume.epoch.text);
    } else if (user->n_resume > 0 && sim_chance(sim, 500)) {
        tab->after = user->resume[user->n_resume - 1];
        tab->resume = (struct resume){user->epoch, tab->after};
        sim_model_resumed(tab, user->resume, user->n_resume);
        user->n_resume = 0;
    }
}
