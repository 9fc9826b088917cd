/* Each call is begun as a worker would begin it, and waited for: its answer may not come inside. */
#include "tests/store/presence_calls.h"

struct present_call {
    struct store_present present;
    struct call call;
};

struct serve_call {
    struct store_serve serve;
    struct call call;
};

struct alert_end_call {
    struct store_alert_end end;
    struct call call;
};

static void on_presence(struct store_request *request)
{
    call_answer(&((struct presence_call *)(void *)request)->call);
}

static void on_present(struct store_request *request)
{
    call_answer(&((struct present_call *)(void *)request)->call);
}

static void on_serve(struct store_request *request)
{
    call_answer(&((struct serve_call *)(void *)request)->call);
}

static void on_alert_end(struct store_request *request)
{
    call_answer(&((struct alert_end_call *)(void *)request)->call);
}

/* ---- changes ---- */

void presence_begin(struct store *to, struct presence_call *call, struct store_presence asked)
{
    call->presence = asked;
    call->presence.request.on_done = on_presence;
    call_init(&call->call);
    is_inside_a_call = true;
    store_presence(to, &call->presence);
    is_inside_a_call = false;
}

struct store_presence presence_run(struct store *to, struct store_presence asked)
{
    struct presence_call call;
    presence_begin(to, &call, asked);
    call_wait(&call.call);
    return call.presence;
}

static bool change_one(struct store *to, const char *node, struct store_presence_change change)
{
    struct store_presence presence =
        presence_run(to, (struct store_presence){.partition = store_partition_of(change.user_id),
                                                 .node = span_of(node),
                                                 .offline_after_ms = GRACE_MS,
                                                 .keeps_offline = true,
                                                 .n_changes = 1,
                                                 .changes = &change});
    cr_assert_eq(presence.error, ERR_OK);
    return presence.is_new;
}

bool user_comes(struct store *to, const char *node, const char *user, const char *event)
{
    return user_returns(to, node, user, event, 0);
}

bool user_returns(struct store *to, const char *node, const char *user, const char *event,
                  int64_t came_ms)
{
    return change_one(to, node,
                      (struct store_presence_change){.user_id = span_of(user),
                                                     .is_here = true,
                                                     .event = span_of(event),
                                                     .came_ms = came_ms});
}

bool user_leaves(struct store *to, const char *node, const char *user, int64_t last_seen_ms,
                 enum offline_cause cause)
{
    return change_one(to, node,
                      (struct store_presence_change){
                          .user_id = span_of(user), .last_seen_ms = last_seen_ms, .cause = cause});
}

/* ---- the list ---- */

struct store_present present_run(struct store *to, struct store_present asked)
{
    struct present_call call = {.present = asked};
    call.present.request.on_done = on_present;
    call_init(&call.call);
    is_inside_a_call = true;
    store_present(to, &call.present);
    is_inside_a_call = false;
    call_wait(&call.call);
    return call.present;
}

char *present_users(struct store *of, unsigned partition, const char *node)
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    struct store_present present = present_run(
        of, (struct store_present){.partition = partition, .node = span_of(node), .limit = 1000});
    cr_assert_eq(present.error, ERR_OK);
    for (size_t i = 0; i < present.n; i++)
        fprintf(out, "%.*s,", (int)present.users[i].len, present.users[i].bytes);
    fclose(out);
    free(present.users);
    return text;
}

void expect_present(struct store *of, unsigned partition, const char *node, const char *users)
{
    char *got = present_users(of, partition, node);
    cr_assert_str_eq(got, users, "%s are there instead of %s", got, users);
    free(got);
}

void name_user(unsigned partition, int n, char out[32])
{
    for (int i = 0; n >= 0; i++) {
        snprintf(out, 32, "user-%d", i);
        n -= store_partition_of(span_of(out)) == partition;
    }
}

/* ---- what is due ---- */

struct store_serve serve_asked(unsigned partition, const char *node)
{
    return (struct store_serve){.partition = partition,
                                .node = span_of(node),
                                .wants_lease = true,
                                .may_judge = true,
                                .keeps_offline = true,
                                .offline_after_ms = GRACE_MS};
}

struct store_serve serve_run(struct store *to, struct store_serve asked)
{
    struct serve_call call = {.serve = asked};
    call.serve.request.on_done = on_serve;
    call_init(&call.call);
    is_inside_a_call = true;
    store_serve(to, &call.serve);
    is_inside_a_call = false;
    call_wait(&call.call);
    return call.serve;
}

void renew_lease(struct store *to, unsigned partition, const char *node)
{
    struct store_presence asked = {
        .partition = partition, .node = span_of(node), .offline_after_ms = GRACE_MS};
    cr_assert_eq(presence_run(to, asked).error, ERR_OK);
}

void serve_until_head(struct store *to, unsigned partition, const char *node, uint64_t head)
{
    int64_t until_ms = clock_wall_ms() + ANSWER_MAX_S * 1000;
    while (consumers_list(to, partition).head < head) {
        cr_assert_lt(clock_wall_ms(), until_ms, "nobody is offline");
        renew_lease(to, partition, node);
        struct store_serve serve = serve_run(to, serve_asked(partition, node));
        cr_assert_eq(serve.error, ERR_OK);
        free(serve.alerts);
        sleep_until_wall_ms(clock_wall_ms() + 20);
    }
}

/* ---- alerts ---- */

struct store_target push_with_alert(struct store *to, const char *user, uint32_t after_s,
                                    const char *key)
{
    struct store_target target = {.user_id = span_of(user)};
    append_run(to, (struct store_append){.payload = payload_new(SPAN_LITERAL("{}")),
                                         .ttl_s = 600,
                                         .idempotency_key = span_of(key),
                                         .alert_after_s = after_s,
                                         .n_targets = 1,
                                         .targets = &target});
    return target;
}

enum err alert_end(struct store *to, unsigned partition, struct store_alert alert,
                   const char *event)
{
    struct alert_end_call call = {
        .end = {.partition = partition, .alert = alert, .event = span_of(event)}};
    call.end.request.on_done = on_alert_end;
    call_init(&call.call);
    is_inside_a_call = true;
    store_alert_end(to, &call.end);
    is_inside_a_call = false;
    call_wait(&call.call);
    return call.end.error;
}

/* ---- events ---- */

void expect_event(struct store *of, unsigned partition, uint64_t seq, const char *data)
{
    struct store_page page = page_run(of, (struct store_page){
                                              .user_id = store_partition_user(partition),
                                              .after = seq - 1,
                                              .max_count = 1,
                                              .max_bytes = UINT32_MAX,
                                          });
    cr_assert_eq(page.error, ERR_OK);
    cr_assert_eq(page.n_notes, 1);
    cr_assert_eq(page.notes[0]->seq, seq);
    expect_text(page.notes[0], data);
    page_free(&page);
}
