/* What is due in a partition. A local store belongs to one process, which serves all of them. */
#include "gateway/stores/local/local_alerts.h"
#include "gateway/stores/local/local_apply.h"
#include "gateway/stores/local/local_events.h"

void local_apply_serve(struct local_state *state, struct store_serve *serve)
{
    serve->is_mine = false;
    serve->n_nodes = 0;
    serve->has_more = false;
    serve->n_alerts = 0;
    serve->next_alert_ms = 0;
    serve->n_pending_alerts = 0;
    int64_t now_ms = local_now_ms(state);
    serve->error = state->is_readable ? ERR_OK : ERR_STORE_UNAVAILABLE;
    if (!state->is_readable)
        return;
    serve->is_mine = serve->wants_lease;
    serve->n_nodes = 1;
    local_judge_presence(state, serve, now_ms);
    serve->error = local_show_alerts(state, serve, now_ms);
}
