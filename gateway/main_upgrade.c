/* The running process: one upgrade at a time, which a signal or POST /upgrade asks for; while it is
 * under way, the main loop comes around more often. The new process: everything that can be wrong
 * with its options, files and store shows before it says READY, so that nothing stands still for
 * it; and nobody is served before the other one has let go. */
#include "gateway/main_upgrade.h"

#include "admin/routes/routes.h"
#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/limits.h"
#include "gateway/upgrade/upgrade_give.h"
#include "gateway/upgrade/upgrade_take.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

enum {
    LOOK_MS = 5,           /* while an upgrade is under way */
    STORE_WAIT_MS = 10000, /* of a new process for its store */
    LET_GO_MS = 1000,      /* for the other process to close its files; then the loop waits */
    PLACE_MAX_BYTES = 16384,
};

/* ---- the running process ---- */

void main_upgrade_init(struct main_upgrade *upgrade, struct node *node, struct admin *admin,
                       char **argv, struct service_manager *manager, struct service_report *report,
                       struct upgrade_take *take)
{
    *upgrade = (struct main_upgrade){.node = node,
                                     .admin = admin,
                                     .argv = argv,
                                     .manager = manager,
                                     .report = report,
                                     .take = take};
    buf_init(&upgrade->place, PLACE_MAX_BYTES);
}

void main_upgrade_fini(struct main_upgrade *upgrade)
{
    upgrade_give_free(upgrade->give);
    upgrade_take_free(upgrade->take);
    buf_fini(&upgrade->place);
}

static bool quiesce(void *owner)
{
    return admin_quiesce(((struct main_upgrade *)owner)->admin);
}

static void resume(void *owner)
{
    struct main_upgrade *upgrade = owner;
    char status[SERVICE_STATUS_MAX_BYTES];
    admin_resume(upgrade->admin);
    service_report_describe(upgrade->report, status);
    service_manager_take_over(upgrade->manager, status);
}

static void on_wait(void *owner)
{
    service_manager_turn(((struct main_upgrade *)owner)->manager, true, 0);
}

static void start(struct main_upgrade *upgrade)
{
    const struct options *options = atomic_load(&upgrade->node->options);
    struct upgrade_old old = {.node = upgrade->node,
                              .admin_port = admin_port(upgrade->admin),
                              .argv = upgrade->argv,
                              .timeout_ms = options->upgrade_timeout,
                              .owner = upgrade,
                              .quiesce = quiesce,
                              .resume = resume,
                              .on_wait = on_wait};
    if (upgrade->take != NULL) {
        upgrade_give_up(upgrade->node->upgrade, "the process before this one has not let go yet");
        return;
    }
    buf_clear(&upgrade->place);
    if (gateway_name_place(upgrade->node, &upgrade->place) != ERR_OK) {
        upgrade_give_up(upgrade->node->upgrade, "the store's place cannot be told");
        return;
    }
    old.place = buf_span(&upgrade->place);
    upgrade->give = upgrade_give_start(&old);
}

void main_upgrade_ask(struct main_upgrade *upgrade)
{
    struct upgrade *state = upgrade->node->upgrade;
    /* POST /upgrade has claimed it, and then sent the signal. */
    if (upgrade_take_claim(state) || (upgrade_claim(state) && upgrade_take_claim(state)))
        start(upgrade);
    else
        log_event(LOG_WARN, "upgrade refused: another one is under way",
                  LOG_INT("signal", SIGUSR2));
}

static bool takes_turn(struct main_upgrade *upgrade)
{
    switch (upgrade_give_turn(upgrade->give)) {
    case UPGRADE_GOES_ON:
        return true;
    case UPGRADE_STAYS:
        upgrade_give_free(upgrade->give);
        upgrade->give = NULL;
        return true;
    default:
        service_manager_mute(upgrade->manager); /* the new process speaks */
        return false;
    }
}

int main_upgrade_turn(struct main_upgrade *upgrade, int at_most_ms)
{
    if (upgrade->take != NULL && upgrade_take_is_let_go(upgrade->take, 0)) {
        store_take_over(upgrade->node->store);
        upgrade_take_free(upgrade->take);
        upgrade->take = NULL;
    }
    if (upgrade->give != NULL && !takes_turn(upgrade))
        return -1;
    bool is_busy = upgrade->give != NULL || upgrade->take != NULL;
    return is_busy && at_most_ms > LOOK_MS ? LOOK_MS : at_most_ms;
}

void main_upgrade_cancel(struct main_upgrade *upgrade)
{
    if (upgrade->give == NULL)
        return;
    upgrade_give_cancel(upgrade->give, "a signal to stop has come");
    upgrade_give_free(upgrade->give);
    upgrade->give = NULL;
}

/* ---- the new process ---- */

struct taking {
    const struct options *options;
    struct service_manager *manager;
    struct service_report *report;
    struct node *node;
    struct admin *admin;
};

static enum err listen_as_told(void *owner, const struct given_listener *subscribers,
                               size_t n_subscribers, const struct given_listener *admin,
                               size_t n_admin, char *why, size_t why_cap)
{
    struct taking *taking = owner;
    enum err error = gateway_listen(taking->node, subscribers, n_subscribers, why, why_cap);
    if (error == ERR_OK)
        return admin_listen(taking->admin, taking->options, admin, n_admin, why, why_cap);
    for (size_t i = 0; i < n_admin; i++)
        close(admin[i].fd);
    return error;
}

static void on_adopted(void *owner)
{
    struct taking *taking = owner;
    char status[SERVICE_STATUS_MAX_BYTES];
    service_report_describe(taking->report, status);
    service_manager_take_over(taking->manager, status);
}

/* The file store comes later, when the other process has let go of it. */
static enum err wait_for_store(const struct node *node, char *why, size_t why_cap)
{
    int64_t end_ms = clock_monotonic_ms() + STORE_WAIT_MS;
    while (store_is_shared(node->store) && !atomic_load(&node->is_store_up)) {
        if (clock_monotonic_ms() >= end_ms) {
            snprintf(why, why_cap, "the store has not answered within %d s", STORE_WAIT_MS / 1000);
            return ERR_STORE_UNAVAILABLE;
        }
        usleep(LOOK_MS * 1000);
    }
    return ERR_OK;
}

static enum err prepare(struct taking *taking, struct upgrade_take *take, char *why, size_t why_cap)
{
    const struct options *options = taking->options;
    if (!gateway_is_at_place(options, upgrade_take_greeting(take)->place)) {
        snprintf(why, why_cap, "--store differs: sessions cannot be handed over");
        return ERR_INVALID_FIELD;
    }
    enum err error = upgrade_take_check(take, limits_room_for_connections(), why, why_cap);
    if (error == ERR_OK)
        error = gateway_prepare(options, upgrade_take_lock(take), &taking->node, why, why_cap);
    if (error == ERR_OK)
        error = admin_prepare(options, &admin_routes, taking->node, &taking->admin, why, why_cap);
    if (error == ERR_OK)
        error = wait_for_store(taking->node, why, why_cap);
    return error;
}

/* Everything is this process's: whatever fails now fails here. */
static enum err go(struct taking *taking, struct upgrade_take *take, const struct upgrade_new *new,
                   char *why, size_t why_cap)
{
    upgrade_take_go(take, new);
    snprintf(why, why_cap, "the ports cannot open: out of memory or of descriptors");
    enum err error = gateway_accept(taking->node);
    if (error == ERR_OK)
        error = admin_accept(taking->admin);
    if (upgrade_take_is_let_go(take, clock_monotonic_ms() + LET_GO_MS))
        store_take_over(taking->node->store);
    return error;
}

enum err main_upgrade_take(struct upgrade_take *take, const struct options *options,
                           struct service_manager *manager, struct service_report *report,
                           struct node **ret_node, struct admin **ret_admin, char *why,
                           size_t why_cap)
{
    struct taking taking = {.options = options, .manager = manager, .report = report};
    enum err error = prepare(&taking, take, why, why_cap);
    if (error != ERR_OK) {
        upgrade_take_refuse(take, why);
        return error;
    }
    service_report_init(report, manager, taking.node);
    const struct upgrade_new new = {.node = taking.node,
                                    .admin_port = admin_port(taking.admin),
                                    .owner = &taking,
                                    .listen = listen_as_told,
                                    .on_adopted = on_adopted};
    if (!upgrade_take_all(take, &new, why, why_cap))
        return ERR_SYSTEM;
    error = go(&taking, take, &new, why, why_cap);
    *ret_node = taking.node;
    *ret_admin = taking.admin;
    return error;
}
