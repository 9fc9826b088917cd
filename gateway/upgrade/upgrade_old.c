#include "gateway/upgrade/upgrade_old.h"

#include "gateway/base/clock.h"

#include <signal.h>
#include <stdio.h>

enum { SIGN_OF_LIFE_MS = 100 };

bool upgrade_peer_has_failed(struct upgrade_give *give, enum upgrade_receipt receipt,
                             const struct upgrade_message *message)
{
    switch (receipt) {
    case UPGRADE_NOTHING:
        return false;
    case UPGRADE_MESSAGE:
        if (message->kind != UPGRADE_REFUSED)
            return false;
        upgrade_refusal_read(message->bytes, give->why);
        return true;
    case UPGRADE_CLOSED:
        snprintf(give->why, sizeof give->why, "the new process has closed the link");
        return true;
    default:
        snprintf(give->why, sizeof give->why, "the new process has sent what cannot be read");
        return true;
    }
}

/* A process that refuses says why, and ends. */
static void find_last_words(struct upgrade_give *give)
{
    struct upgrade_message message;
    enum upgrade_receipt receipt;
    do {
        receipt = upgrade_link_receive(give->link, 0, &message);
    } while (!upgrade_peer_has_failed(give, receipt, &message) && receipt == UPGRADE_MESSAGE);
}

bool upgrade_count_taken(struct upgrade_give *give, const struct upgrade_message *message)
{
    struct upgrade_counts taken;
    if (message->kind != UPGRADE_TAKEN || upgrade_counts_read(message->bytes, &taken) != ERR_OK ||
        taken.n_sessions > give->in_flight) {
        snprintf(give->why, sizeof give->why, "the new process has sent what cannot be read");
        return false;
    }
    give->in_flight -= taken.n_sessions;
    return true;
}

static bool hear_what_is_taken(struct upgrade_give *give)
{
    struct upgrade_message message;
    for (;;) {
        enum upgrade_receipt receipt = upgrade_link_receive(give->link, 0, &message);
        if (receipt == UPGRADE_NOTHING)
            return true;
        if (upgrade_peer_has_failed(give, receipt, &message) ||
            !upgrade_count_taken(give, &message))
            return false;
    }
}

bool upgrade_send(struct upgrade_give *give, enum upgrade_kind kind, struct span bytes,
                  const int *fds, unsigned n_fds)
{
    if (!hear_what_is_taken(give))
        return false;
    switch (upgrade_link_send(give->link, kind, bytes, fds, n_fds, give->end_ms)) {
    case ERR_OK:
        give->in_flight += n_fds;
        return true;
    case ERR_BUSY:
        snprintf(give->why, sizeof give->why, "the new process has not taken everything in time");
        return false;
    default:
        snprintf(give->why, sizeof give->why, "the new process has closed the link");
        find_last_words(give);
        return false;
    }
}

static bool has_signal_to_stop(void)
{
    sigset_t pending;
    return sigpending(&pending) == 0 &&
           (sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1);
}

bool upgrade_await(struct upgrade_give *give, int64_t end_ms, struct upgrade_message *ret_message)
{
    for (;;) {
        int64_t now_ms = clock_monotonic_ms();
        int64_t until_ms = now_ms + SIGN_OF_LIFE_MS < end_ms ? now_ms + SIGN_OF_LIFE_MS : end_ms;
        enum upgrade_receipt receipt = upgrade_link_receive(give->link, until_ms, ret_message);
        if (upgrade_peer_has_failed(give, receipt, ret_message))
            return false;
        /* This process may have stood still: what has come meanwhile has come too late. */
        if (now_ms >= end_ms) {
            snprintf(give->why, sizeof give->why, "the new process has not answered in time");
            return false;
        }
        if (receipt == UPGRADE_MESSAGE)
            return true;
        if (has_signal_to_stop()) {
            snprintf(give->why, sizeof give->why, "a signal to stop has come");
            return false;
        }
        give->old.on_wait(give->old.owner);
    }
}
