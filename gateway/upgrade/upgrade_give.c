/* START: the new process is a child with one end of the link, and is greeted. It says READY when it
 * could go on, or REFUSED, or it ends, or its time is over. SETTLE: the admin API answers what is
 * under way, and serves what comes. Once it rests, or in the last second if it never does, nothing
 * new begins: what comes waits in the kernel for the new process. The rest is upgrade_freeze.c.
 * Whatever fails up to then has changed nothing. */
#include "gateway/upgrade/upgrade_give.h"

#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/http/acceptors.h"
#include "gateway/requests/drain.h"
#include "gateway/store/store.h"
#include "gateway/upgrade/upgrade_freeze.h"
#include "gateway/upgrade/upgrade_spawn.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SETTLE_MS = 5000, HOLD_MS = 1000, GREETING_MAX_BYTES = 65536 };

bool upgrade_is_impossible(const struct node *node, char why[UPGRADE_WHY_MAX_BYTES])
{
    if (getpid() == 1) {
        snprintf(why, UPGRADE_WHY_MAX_BYTES,
                 "as PID 1 of a container it takes its children with it; roll containers instead");
        return true;
    }
    if (drain_is_ending(node)) {
        snprintf(why, UPGRADE_WHY_MAX_BYTES, "this process is going away");
        return true;
    }
    return !store_can_be_handed_over(node->store, why, UPGRADE_WHY_MAX_BYTES);
}

/* ---- START ---- */

static enum err greet(struct upgrade_give *give)
{
    struct buf bytes;
    int lock = store_lock_fd(give->old.node->store);
    const struct upgrade_greeting greeting = {
        .pid = (uint32_t)getpid(),
        .format = UPGRADE_FORMAT,
        .format_before = UPGRADE_FORMAT_BEFORE,
        .version = SPAN_LITERAL(HERALD_VERSION),
        .place = give->old.place,
        .n_sessions = atomic_load(&give->old.node->n_sessions),
        .has_lock = lock >= 0,
    };
    buf_init(&bytes, GREETING_MAX_BYTES);
    enum err error = upgrade_greeting_write(&greeting, &bytes);
    if (error == ERR_OK)
        error = upgrade_link_send(give->link, UPGRADE_GREETING, buf_span(&bytes), &lock, lock >= 0,
                                  give->end_ms);
    buf_fini(&bytes);
    return error;
}

/* The child has its end once it runs; here that is closed in any case. */
static enum err start_child(struct upgrade_give *give)
{
    int ends[2];
    snprintf(give->why, sizeof give->why, "out of memory or of descriptors");
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return ERR_SYSTEM;
    enum err error = upgrade_link_new(ends[0], &give->link);
    if (error != ERR_OK)
        close(ends[0]);
    else
        error = upgrade_spawn(give->old.argv, environ, ends[1], &give->pid, give->why,
                              sizeof give->why);
    close(ends[1]);
    return error;
}

struct upgrade_give *upgrade_give_start(const struct upgrade_old *old)
{
    struct upgrade *upgrade = old->node->upgrade;
    char why[UPGRADE_WHY_MAX_BYTES];
    if (upgrade_is_impossible(old->node, why)) {
        upgrade_give_up(upgrade, why);
        return NULL;
    }
    struct upgrade_give *give = calloc(1, sizeof *give);
    if (give == NULL) {
        upgrade_give_up(upgrade, "out of memory");
        return NULL;
    }
    give->old = *old;
    give->begun_ms = clock_monotonic_ms();
    give->end_ms = give->begun_ms + old->timeout_ms;
    if (start_child(give) != ERR_OK) {
        upgrade_give_up(upgrade, give->why);
        upgrade_give_free(give);
        return NULL;
    }
    atomic_store(&old->node->has_namesake_until_ms, give->end_ms + NAMESAKE_MS);
    log_event(LOG_INFO, "upgrade begins: the new process starts", LOG_TEXT("program", old->argv[0]),
              LOG_INT("pid", give->pid));
    /* A child that has ended already has closed its end; that is found in the next turn. */
    if (greet(give) != ERR_OK)
        log_event(LOG_DEBUG, "the new process takes no greeting", LOG_INT("pid", give->pid));
    return give;
}

/* ---- READY ---- */

static bool take_ready(struct upgrade_give *give, struct span bytes)
{
    struct upgrade_ready ready;
    if (upgrade_ready_read(bytes, &ready) != ERR_OK) {
        snprintf(give->why, sizeof give->why, "the new process has sent what cannot be read");
        return false;
    }
    give->format = upgrade_format_for(UPGRADE_FORMAT, UPGRADE_FORMAT_BEFORE, ready.format,
                                      ready.format_before);
    if (give->format == 0) {
        snprintf(give->why, sizeof give->why,
                 "the running Herald hands over format %u, this one takes %u", UPGRADE_FORMAT,
                 ready.format);
        return false;
    }
    snprintf(give->version, sizeof give->version, "%.*s", (int)ready.version.len,
             ready.version.bytes);
    give->is_ready = true;
    give->settle_end_ms = clock_monotonic_ms() + SETTLE_MS;
    log_event(LOG_INFO, "the new process is ready", LOG_INT("pid", give->pid),
              LOG_TEXT("version", give->version), LOG_INT("format", give->format),
              LOG_INT("after_ms", clock_monotonic_ms() - give->begun_ms));
    upgrade_set_state(give->old.node->upgrade, UPGRADE_SETTLING);
    return true;
}

/* How it ended says more than that it has closed the link; but what it said says most. */
static bool child_has_ended(struct upgrade_give *give)
{
    if (!upgrade_spawn_has_ended(give->pid, give->why, sizeof give->why))
        return false;
    give->pid = 0;
    return true;
}

/* false: `why` says why the upgrade is given up. */
static bool hear_the_child(struct upgrade_give *give)
{
    struct upgrade_message message;
    enum upgrade_receipt receipt = upgrade_link_receive(give->link, 0, &message);
    if (receipt == UPGRADE_MESSAGE && message.kind == UPGRADE_READY && !give->is_ready)
        return take_ready(give, message.bytes);
    if (receipt == UPGRADE_MESSAGE && message.kind != UPGRADE_REFUSED)
        receipt = UPGRADE_MALFORMED;
    if (receipt == UPGRADE_CLOSED || receipt == UPGRADE_NOTHING) {
        if (child_has_ended(give))
            return false;
        if (receipt == UPGRADE_CLOSED && clock_monotonic_ms() < give->end_ms)
            return true; /* it is about to end, and says how; or its time ends */
    }
    if (upgrade_peer_has_failed(give, receipt, &message))
        return false;
    if (clock_monotonic_ms() < give->end_ms)
        return true;
    snprintf(give->why, sizeof give->why,
             give->is_ready ? "requests of admin clients had not ended within %lld ms"
                            : "the new process was not ready within %lld ms",
             (long long)give->old.timeout_ms);
    return false;
}

void upgrade_give_cancel(struct upgrade_give *give, const char *why)
{
    if (give->pid != 0)
        upgrade_spawn_kill(give->pid);
    give->pid = 0;
    if (give->holds_requests)
        acceptors_resume(give->old.admin_port);
    if (give->is_ready)
        give->old.resume(give->old.owner);
    atomic_store(&give->old.node->has_namesake_until_ms, clock_monotonic_ms() + NAMESAKE_MS);
    upgrade_give_up(give->old.node->upgrade, why);
}

/* ---- SETTLE ---- */

/* From here on nothing new begins, so that a quiet moment lasts; what has begun may still end. */
static void hold_requests(struct upgrade_give *give, int64_t now_ms)
{
    acceptors_pause(give->old.admin_port);
    give->holds_requests = true;
    if (give->settle_end_ms > now_ms + HOLD_MS)
        give->settle_end_ms = now_ms + HOLD_MS;
}

static bool has_settled(struct upgrade_give *give)
{
    int64_t now_ms = clock_monotonic_ms();
    bool is_quiet = give->old.quiesce(give->old.owner);
    if (!give->holds_requests && (is_quiet || give->settle_end_ms - now_ms <= HOLD_MS)) {
        hold_requests(give, now_ms);
        is_quiet = give->old.quiesce(give->old.owner);
    }
    return is_quiet || now_ms >= give->settle_end_ms;
}

enum upgrade_step upgrade_give_turn(struct upgrade_give *give)
{
    if (!hear_the_child(give)) {
        upgrade_give_cancel(give, give->why);
        return UPGRADE_STAYS;
    }
    if (!give->is_ready)
        return UPGRADE_GOES_ON;
    if (!has_settled(give))
        return UPGRADE_GOES_ON;
    if (!upgrade_freeze(give)) {
        upgrade_give_cancel(give, give->why);
        return UPGRADE_STAYS;
    }
    return UPGRADE_LEFT;
}

void upgrade_give_free(struct upgrade_give *give)
{
    if (give == NULL)
        return;
    upgrade_link_free(give->link);
    free(give);
}
