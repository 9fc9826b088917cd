/* A slot that is being moved: the node that still has it sends single requests to another one with
 * ASK, which takes them behind ASKING. The map stays as it is. */
#include "tests/store/fake_cluster.h"
#include "tests/store/redis_backend.h"

static struct fake_cluster cluster;
static const char *user;
static atomic_int n_asks; /* that the owner still answers */
static atomic_int n_followed, n_unasked, n_at_home;
static atomic_uint asking_link; /* of ASKING, with nothing behind it yet; 0: none */

/* Node 1 answers what a push is answered, with a number that tells that it was there. */
static enum fake_verdict send_elsewhere(struct fake_cluster *of, unsigned node,
                                        struct fake_command *command)
{
    if (node == 1 && fake_is(command, "ASKING")) {
        atomic_store(&asking_link, command->link + 1);
        return FAKE_PASS;
    }
    bool was_asking = node == 1 && atomic_exchange(&asking_link, 0) == command->link + 1;
    if (!fake_is(command, "EVALSHA") || !fake_names(command, user))
        return FAKE_PASS;
    if (node == 0 && atomic_fetch_sub(&n_asks, 1) > 0)
        return fake_say(command, "-ASK %u 127.0.0.1:%u\r\n", fake_cluster_slot(user),
                        of->nodes[1].port);
    if (node == 0) {
        atomic_fetch_add(&n_at_home, 1);
        return FAKE_PASS;
    }
    atomic_fetch_add(was_asking ? &n_followed : &n_unasked, 1);
    return fake_say(command, "$27\r\n77:1700000000000:0:aaaaaaaa\r\n");
}

static void begin(int n)
{
    char problem[800] = "?";
    user = fake_cluster_user(0, 0);
    atomic_store(&n_asks, n);
    backend_close(store);
    fake_cluster_start(&cluster, &server, send_elsewhere);
    static struct store_config config;
    config = contract_config(1000, 1 << 20);
    store = open_on(&config, cluster.url);
    for (int i = 0; i < SOON_MS / 5 && problem[0] != '\0'; i++) {
        pause_ms(5);
        store_describe(store, problem, sizeof problem);
    }
    cr_assert_str_empty(problem);
}

static void end(void)
{
    backend_close(store);
    fake_cluster_stop(&cluster);
    struct store_config config = contract_config(1000, 1 << 20);
    store = backend_open(&config);
}

Test(store_redis, an_ask_sends_one_request_to_the_other_node_behind_asking)
{
    int64_t asks = metrics_read(METRIC_REDIRECTS_ASK);
    begin(1);
    struct store_target target = append_one(store, user, "{}", 60);
    cr_assert_eq(target.error, ERR_OK);
    cr_assert_eq(target.seq, 77, "it was answered there");
    cr_assert_eq(atomic_load(&n_followed), 1);
    cr_assert_eq(metrics_read(METRIC_REDIRECTS_ASK), asks + 1);
    cr_assert_eq(append_one(store, user, "{}", 60).seq, 1, "the next one begins at the owner");
    cr_assert_eq(atomic_load(&n_at_home), 1);
    cr_assert_eq(atomic_load(&n_unasked), 0);
    end();
}

/* They were on the wire together. */
Test(store_redis, an_ask_concerns_one_request_of_its_slot_alone)
{
    enum { CALLS = 4 };
    static struct append_call calls[CALLS];
    begin(1);
    for (int i = 0; i < CALLS; i++) {
        append_prepare(&calls[i], user, SPAN_LITERAL("{}"), 60);
        calls[i].append.idempotency_key = (struct span){&"abcd"[i], 1}; /* a call of its own */
        calls[i].append.request.next = i + 1 < CALLS ? &calls[i + 1].append.request : NULL;
    }
    store_append_many(store, &calls[0].append);
    for (int i = 0; i < CALLS; i++) {
        append_end(&calls[i]);
        cr_assert_eq(calls[i].target.error, ERR_OK);
        cr_assert_eq(calls[i].target.seq, i == 0 ? 77 : (uint64_t)i);
    }
    cr_assert_eq(atomic_load(&n_followed), 1);
    cr_assert_eq(atomic_load(&n_at_home), CALLS - 1);
    end();
}
