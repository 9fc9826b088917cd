/* What a Cluster says of its slots that is not so, or not so any more: told by a scripted one. */
#include "tests/store/ask_calls.h"
#include "tests/store/redis_backend.h"

#include "tests/store/fake_cluster_store.h"

#include "gateway/stores/redis/redis_slots.h"
#include "gateway/stores/redis/redis_subs.h"

static atomic_bool is_on;
static atomic_int n_counted;

static void wait_for_count(atomic_int *count, int wanted)
{
    for (int i = 0; i < SOON_MS && atomic_load(count) < wanted; i++)
        pause_ms(1);
    cr_assert_geq(atomic_load(count), wanted);
}

static unsigned n_maps(void)
{
    return atomic_load(&cluster.n_asked_maps);
}

static void wait_for_maps(unsigned wanted)
{
    for (int i = 0; i < SOON_MS && n_maps() < wanted; i++)
        pause_ms(1);
    cr_assert_geq(n_maps(), wanted);
}

/* ---- what Redis ends by itself ---- */

static struct fake_redis fake;

static enum fake_verdict let_pass(void *owner, struct fake_command *command)
{
    (void)owner;
    (void)command;
    return FAKE_PASS;
}

Test(store_redis, a_subscription_that_redis_ended_by_itself_is_made_again)
{
    backend_close(store);
    fake_redis_start(&fake, &server, let_pass, NULL);
    struct store_config config = contract_config(1000, 1 << 20);
    store = open_on(&config, fake.url);
    wait_for_state(true);
    arrive(store, "anna");
    arrive(store, "bert");
    fake_redis_end(&fake, "herald:{anna}");
    wait_for_missed(1);
    cr_assert_eq(append_one(store, "anna", "{}", 60).nodes, 1);
    wait_for_notification("anna", 1);
    cr_assert_eq(atomic_load(&n_missed), 1, "nobody else's");
    backend_close(store);
    fake_redis_stop(&fake);
    config = contract_config(1000, 1 << 20);
    store = backend_open(&config);
}

static const char *mover;
static unsigned maps_at_subscribing; /* so many were asked when he was subscribed again */

static enum fake_verdict note_subscribing(struct fake_cluster *of, unsigned node,
                                          struct fake_command *command)
{
    (void)node;
    if (fake_is(command, "SSUBSCRIBE") && fake_names(command, mover) && atomic_load(&is_on)) {
        if (atomic_load(&n_counted) == 0)
            maps_at_subscribing = atomic_load(&of->n_asked_maps);
        atomic_fetch_add(&n_counted, 1);
    }
    return FAKE_PASS;
}

/* A replica would take SSUBSCRIBE without an error. */
Test(store_redis, who_was_unsubscribed_waits_for_a_map_that_was_asked_for_after_that)
{
    mover = fake_cluster_user(0, 0);
    begin_cluster(note_subscribing);
    arrive(store, mover);
    atomic_store(&is_on, true);
    unsigned before = n_maps();
    fake_cluster_move(&cluster, mover, 0); /* ended, and the slot stays where it is */
    wait_for_missed(1);
    cr_assert_gt(maps_at_subscribing, before);
    cr_assert_eq(atomic_load(&n_counted), 1);
    cr_assert_eq(append_one(store, mover, "{}", 60).nodes, 1);
    expect_same_links();
    end_cluster();
}

/* ---- maps that are wrong ---- */

/* Each slot, of node 0 as well: a slot is named twice. */
static enum fake_verdict say_two_owners(struct fake_cluster *of, unsigned node,
                                        struct fake_command *command)
{
    (void)node;
    if (!fake_is(command, "CLUSTER") || !atomic_load(&is_on))
        return FAKE_PASS;
    atomic_fetch_add(&n_counted, 1);
    return fake_say(command,
                    "*2\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:%u\r\n"
                    "*3\r\n:0\r\n:99\r\n*2\r\n$9\r\n127.0.0.1\r\n:%u\r\n",
                    of->nodes[0].port, of->nodes[1].port);
}

/* One of many nodes that says too little: it has just begun, or was left out. */
static enum fake_verdict know_little(struct fake_cluster *of, unsigned node,
                                     struct fake_command *command)
{
    (void)node;
    if (!fake_is(command, "CLUSTER") || !atomic_load(&is_on) || atomic_load(&n_counted) == 2)
        return FAKE_PASS;
    atomic_fetch_add(&n_counted, 1);
    return fake_say(command, "*1\r\n*3\r\n:0\r\n:99\r\n*2\r\n$9\r\n127.0.0.1\r\n:%u\r\n",
                    of->nodes[0].port);
}

/* Everybody stays where he is: a push finds him, and nothing was missed. */
static void expect_all_at_home(void)
{
    for (unsigned i = 0; i < FAKE_NODES; i++)
        cr_assert_eq(append_one(store, fake_cluster_user(i, 0), "{}", 60).nodes, 1);
    cr_assert_eq(atomic_load(&n_missed), 0);
}

static void begin_with_users(fake_node_rule *rule)
{
    begin_cluster(rule);
    for (unsigned i = 0; i < FAKE_NODES; i++)
        arrive(store, fake_cluster_user(i, 0));
}

/* Asks for a map: one user's slot moves and comes back, quietly. */
static void ask_for_a_map(void)
{
    const char *user = fake_cluster_user(2, 5);
    unsigned slot = fake_cluster_slot(user);
    move_quietly(slot, 0);
    cr_assert_eq(append_one(store, user, "{}", 60).error, ERR_OK);
}

Test(store_redis, a_map_that_names_a_slot_twice_is_not_believed)
{
    begin_with_users(say_two_owners);
    atomic_store(&is_on, true);
    ask_for_a_map();
    wait_for_count(&n_counted, 4);
    expect_all_at_home();
    cr_assert_eq(store_slots_missing(store), 0);
    end_cluster();
}

Test(store_redis, a_map_that_knows_fewer_owners_is_believed_when_three_have_said_so)
{
    begin_with_users(know_little);
    atomic_store(&is_on, true);
    ask_for_a_map();
    wait_for_count(&n_counted, 2);
    unsigned before = n_maps();
    wait_for_maps(before + 1);
    expect_all_at_home();
    cr_assert_eq(store_slots_missing(store), 0);
    end_cluster();
}

/* The host that was asked is meant. */
static enum fake_verdict name_no_host(struct fake_cluster *of, unsigned node,
                                      struct fake_command *command)
{
    (void)node;
    if (!fake_is(command, "CLUSTER"))
        return FAKE_PASS;
    return fake_say(command,
                    "*3\r\n*3\r\n:0\r\n:5461\r\n*2\r\n$0\r\n\r\n:%u\r\n"
                    "*3\r\n:5462\r\n:10922\r\n*2\r\n$-1\r\n:%u\r\n"
                    "*3\r\n:10923\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:%u\r\n",
                    of->nodes[0].port, of->nodes[1].port, of->nodes[2].port);
}

Test(store_redis, a_map_without_hosts_means_the_one_that_was_asked)
{
    begin_with_users(name_no_host);
    expect_all_at_home();
    end_cluster();
}

/* Node 1 announces no address, until the test says so. */
static enum fake_verdict announce_nothing(struct fake_cluster *of, unsigned node,
                                          struct fake_command *command)
{
    (void)node;
    if (!fake_is(command, "CLUSTER") || atomic_load(&is_on))
        return FAKE_PASS;
    return fake_say(command,
                    "*3\r\n*3\r\n:0\r\n:5461\r\n*2\r\n$9\r\n127.0.0.1\r\n:%u\r\n"
                    "*3\r\n:5462\r\n:10922\r\n*2\r\n$1\r\n?\r\n:%u\r\n"
                    "*3\r\n:10923\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:%u\r\n",
                    of->nodes[0].port, of->nodes[1].port, of->nodes[2].port);
}

static void open_on_part(fake_node_rule *rule)
{
    backend_close(store);
    fake_cluster_start(&cluster, &server, rule);
    struct store_config config = contract_config(1000, 1 << 20);
    store = open_on(&config, cluster.url);
    wait_for_state(true);
}

static void wait_until_appended(const char *user)
{
    enum err error = ERR_STORE_UNAVAILABLE;
    for (int i = 0; i < SOON_MS / 5 && error != ERR_OK; i++) {
        error = append_one(store, user, "{}", 60).error;
        pause_ms(5);
    }
    cr_assert_eq(error, ERR_OK, "%s", user);
}

/* One lane may have found a primary before another. */
static void wait_until_whole(void)
{
    for (int i = 0; i < SOON_MS / 5 && store_slots_missing(store) > 0; i++)
        pause_ms(5);
    cr_assert_eq(store_slots_missing(store), 0);
}

static void expect_problem(const char *part)
{
    char text[800];
    store_describe(store, text, sizeof text);
    cr_assert_not_null(strstr(text, part), "%s", text);
}

Test(store_redis, a_primary_without_an_address_takes_only_its_own_slots_with_it)
{
    open_on_part(announce_nothing);
    expect_problem("the Cluster announces no address for slot 5462; see cluster-announce-hostname");
    cr_assert_eq(store_slots_missing(store), 5461);
    cr_assert_eq(append_one(store, fake_cluster_user(0, 0), "{}", 60).error, ERR_OK);
    cr_assert_eq(append_one(store, fake_cluster_user(1, 0), "{}", 60).error, ERR_STORE_UNAVAILABLE);
    atomic_store(&is_on, true);
    wait_until_appended(fake_cluster_user(1, 0));
    wait_until_whole();
    end_cluster();
}

/* Node 1 is where nobody listens, until the test says so. */
static enum fake_verdict name_a_closed_port(struct fake_cluster *of, unsigned node,
                                            struct fake_command *command)
{
    (void)node;
    if (!fake_is(command, "CLUSTER") || atomic_load(&is_on))
        return FAKE_PASS;
    return fake_say(command,
                    "*3\r\n*3\r\n:0\r\n:5461\r\n*2\r\n$9\r\n127.0.0.1\r\n:%u\r\n"
                    "*3\r\n:5462\r\n:10922\r\n*2\r\n$9\r\n127.0.0.1\r\n:1\r\n"
                    "*3\r\n:10923\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:%u\r\n",
                    of->nodes[0].port, of->nodes[2].port);
}

Test(store_redis, an_address_where_no_redis_is_takes_only_its_own_slots_with_it)
{
    open_on_part(name_a_closed_port);
    expect_problem("Redis at 127.0.0.1:1: Connection refused");
    cr_assert_eq(store_slots_missing(store), 5461);
    cr_assert_eq(append_one(store, fake_cluster_user(2, 0), "{}", 60).error, ERR_OK);
    atomic_store(&is_on, true);
    wait_until_appended(fake_cluster_user(1, 0));
    wait_until_whole();
    end_cluster();
}

/* The node that gives the map is looked for without the pauses that grow with each failure. */
Test(store_redis, the_living_one_of_many_hosts_is_found_at_once)
{
    char url[400];
    backend_close(store);
    fake_cluster_start(&cluster, &server, NULL);
    int len = snprintf(url, sizeof url, "%s", cluster.url);
    for (int port = 1; port <= 15; port++)
        len += snprintf(url + len, sizeof url - (size_t)len, ",127.0.0.1:%d", port);
    struct store_config config = contract_config(1000, 1 << 20);
    store = open_on(&config, url);
    wait_until_whole();
    end_cluster();
}

/* ---- redirects ---- */

/* A fourth node, of no slot: the slot of `mover` is on its way there, and ASKING opens it for the
 * next command of the link. */
static struct fake_redis fourth;
static atomic_uint asking_link;
static atomic_int n_asked_there, n_unasked_there;

static enum fake_verdict answer_as_importing(void *owner, struct fake_command *command)
{
    (void)owner;
    if (fake_is(command, "INFO"))
        return fake_say(command,
                        "$47\r\nredis_version:7.0.15\r\nredis_mode:cluster\r\nx:1\r\n\r\n");
    if (fake_is(command, "ASKING")) {
        atomic_store(&asking_link, command->link + 1);
        return fake_say(command, "+OK\r\n");
    }
    bool is_asking = atomic_exchange(&asking_link, 0) == command->link + 1;
    if (fake_names(command, mover))
        atomic_fetch_add(is_asking ? &n_asked_there : &n_unasked_there, 1);
    return FAKE_PASS;
}

static enum fake_verdict ask_elsewhere(struct fake_cluster *of, unsigned node,
                                       struct fake_command *command)
{
    (void)of;
    (void)node;
    if (!fake_is(command, "EVALSHA") || !fake_names(command, mover))
        return FAKE_PASS;
    atomic_fetch_add(&n_counted, 1);
    return fake_say(command, "-ASK %u 127.0.0.1:%u\r\n", fake_cluster_slot(mover), fourth.port);
}

Test(store_redis, an_ask_leads_to_a_primary_that_no_map_has_named)
{
    mover = fake_cluster_user(0, 0);
    fake_redis_start_on_port(&fourth, &server, answer_as_importing, NULL);
    begin_cluster(ask_elsewhere);
    for (int i = 1; i <= 3; i++) {
        cr_assert_eq(append_one(store, mover, "{}", 60).seq, (uint64_t)i);
        cr_assert_eq(atomic_load(&n_counted), i, "the next one asks at home first");
    }
    cr_assert_eq(atomic_load(&n_asked_there), 3);
    cr_assert_eq(atomic_load(&n_unasked_there), 0);
    cr_assert_eq(store_slots_missing(store), 0);
    end_cluster();
    fake_redis_stop(&fourth);
}

/* Two that each say that it is the other's; or one that says that it is its own. */
static enum fake_verdict lead_in_circles(struct fake_cluster *of, unsigned node,
                                         struct fake_command *command)
{
    if (!fake_is(command, "EVALSHA") || !fake_names(command, mover) || !atomic_load(&is_on))
        return FAKE_PASS;
    atomic_fetch_add(&n_counted, 1);
    return fake_say(command, "-MOVED %u 127.0.0.1:%u\r\n", fake_cluster_slot(mover),
                    of->nodes[node == 0 ? 1 : 0].port);
}

static enum fake_verdict lead_to_itself(struct fake_cluster *of, unsigned node,
                                        struct fake_command *command)
{
    if (!fake_is(command, "EVALSHA") || !fake_names(command, mover) || !atomic_load(&is_on))
        return FAKE_PASS;
    atomic_fetch_add(&n_counted, 1);
    return fake_say(command, "-MOVED %u 127.0.0.1:%u\r\n", fake_cluster_slot(mover),
                    of->nodes[node].port);
}

static void expect_given_up(fake_node_rule *rule)
{
    mover = fake_cluster_user(0, 0);
    begin_cluster(rule);
    atomic_store(&is_on, true);
    cr_assert_eq(append_one(store, mover, "{}", 60).error, ERR_STORE_UNAVAILABLE);
    cr_assert_eq(atomic_load(&n_counted), 6, "it is sent once, and five redirects are followed");
    cr_assert_eq(append_one(store, fake_cluster_user(0, 1), "{}", 60).error, ERR_OK);
    atomic_store(&is_on, false);
    cr_assert_eq(append_one(store, mover, "{}", 60).seq, 1);
    end_cluster();
}

Test(store_redis, redirects_in_a_circle_are_given_up)
{
    expect_given_up(lead_in_circles);
}

Test(store_redis, an_owner_that_redirects_to_itself_is_given_up)
{
    expect_given_up(lead_to_itself);
}

/* ---- many slots at once ---- */

enum { MANY = 60 };

static atomic_int n_walks;

void __real_redis_subs_follow(struct redis_subs *subs);
void __wrap_redis_subs_follow(struct redis_subs *subs);

void __wrap_redis_subs_follow(struct redis_subs *subs)
{
    atomic_fetch_add(&n_walks, 1);
    __real_redis_subs_follow(subs);
}

/* Answers all of them together, so that they come in one turn. */
static enum fake_verdict move_all_together(struct fake_cluster *of, unsigned node,
                                           struct fake_command *command)
{
    static char answers[FAKE_ANSWER - 1];
    static size_t len;
    if (node != 0 || !fake_is(command, "EVALSHA") || !atomic_load(&is_on))
        return FAKE_PASS;
    len += (size_t)snprintf(answers + len, sizeof answers - len, "-MOVED %u 127.0.0.1:%u\r\n",
                            redis_slot_of(command->words[3]), of->nodes[1].port);
    if (atomic_fetch_add(&n_counted, 1) < MANY - 1)
        return FAKE_SILENCE;
    atomic_store(&is_on, false);
    return fake_say(command, "%s", answers);
}

Test(store_redis, however_many_slots_have_moved_the_users_are_looked_through_once)
{
    static struct store_target targets[MANY];
    static char names[MANY][16];
    begin_cluster(move_all_together);
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof names[i], "%s", fake_cluster_user(0, i));
        targets[i] = (struct store_target){.user_id = span_of(names[i])};
        move_quietly(fake_cluster_slot(names[i]), 1);
    }
    int before = atomic_load(&n_walks);
    atomic_store(&is_on, true);
    append_to(store, targets, MANY, SPAN_LITERAL("{}"), 60);
    for (unsigned i = 0; i < MANY; i++)
        cr_assert_eq(targets[i].error, ERR_OK);
    cr_assert_leq(atomic_load(&n_walks) - before, 5, "and once for a map that was asked for");
    end_cluster();
}
