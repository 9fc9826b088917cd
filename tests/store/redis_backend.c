#include "tests/store/redis_backend.h"

#include "tests/store/cluster_server.h"

struct redis_server server;
struct reactor *lane;
unsigned n_lanes = 1;
pthread_t lane_thread;
atomic_int n_missed;
void (*on_missed_too)(struct span user_id);

void *run_lane(void *reactor)
{
    reactor_run(reactor);
    return NULL;
}

static void record_missed(void *owner, struct span user_id, bool has_withdrawals)
{
    (void)has_withdrawals;
    (void)owner;
    if (on_missed_too != NULL)
        on_missed_too(user_id);
    atomic_fetch_add(&n_missed, 1);
}

static void remove_server(void)
{
    redis_server_remove(&server);
}

/* tests/fleet has the cases run on a Redis that it has started, behind Sentinels: the address of
 * the store, and the primary's unix socket. It ends that Redis, too. */
static bool use_given_server(void)
{
    const char *url = getenv("HERALD_TEST_STORE");
    const char *socket_path = getenv("HERALD_TEST_STORE_SOCKET");
    if (url == NULL || socket_path == NULL)
        return false;
    snprintf(server.folder, sizeof server.folder, "%s", "given");
    snprintf(server.url, sizeof server.url, "%s", url);
    snprintf(server.socket_path, sizeof server.socket_path, "%s", socket_path);
    server.pid = -1;
    return true;
}

void prepare_server(void)
{
    if (server.folder[0] != '\0' || use_given_server())
        return;
    redis_server_prepare(&server);
    atexit(remove_server);
}

struct store *open_on(struct store_config *config, const char *url)
{
    static char why[300];
    static struct reactor *lanes[2];
    static struct store *opened;
    cr_assert_eq(reactor_new(NULL, &lane), ERR_OK);
    config->url = url;
    lanes[0] = lane;
    lanes[1] = lane;
    config->lanes = lanes;
    config->n_lanes = n_lanes;
    config->events.on_missed = record_missed;
    recorder.state = -1;
    cr_assert_eq(store_open(config, &opened, why, sizeof why), ERR_OK, "%s", why);
    cr_assert_eq(pthread_create(&lane_thread, NULL, run_lane, lane), 0);
    return opened;
}

/* Several tests share it, so each store has a prefix of its own. All primaries are up then. */
static struct store *open_on_cluster(struct store_config *config)
{
    static struct cluster_server cluster;
    static char prefix[32];
    static unsigned n_opened;
    char problem[600] = "?";
    cluster_server_find(&cluster);
    snprintf(prefix, sizeof prefix, "h%d-%u", (int)getpid(), n_opened++);
    config->redis_prefix = prefix;
    struct store *opened = open_on(config, cluster.url);
    for (int i = 0; i < SOON_MS / 5 && problem[0] != '\0'; i++) {
        pause_ms(5);
        store_describe(opened, problem, sizeof problem);
    }
    cr_assert_str_empty(problem);
    return opened;
}

struct store *backend_open(struct store_config *config)
{
    if (cluster_server_is_there())
        return open_on_cluster(config);
    prepare_server();
    if (server.pid == 0)
        redis_server_start(&server, NULL, NULL);
    redis_server_do(&server, "FLUSHALL");
    struct store *opened = open_on(config, server.url);
    wait_for_state(true);
    return opened;
}

void backend_close(struct store *closing)
{
    reactor_stop(lane);
    pthread_join(lane_thread, NULL);
    store_close(closing);
    reactor_free(lane);
}

void deliver_leave(struct letter *letter)
{
    struct leave_letter *leave = CONTAINER_OF(letter, struct leave_letter, letter);
    store_leave(leave->store, 0, leave->user_id);
    sem_post(&leave->done);
}

void backend_leave(struct store *from, unsigned lane_index, struct span user_id)
{
    struct leave_letter leave = {
        .letter.deliver = deliver_leave, .store = from, .user_id = user_id};
    cr_assert_eq(lane_index, 0);
    sem_init(&leave.done, 0, 0);
    mailbox_post(reactor_mailbox(lane), &leave.letter);
    sem_wait(&leave.done);
}

void wait_for_missed(int wanted)
{
    for (int i = 0; i < SOON_MS / 10 && atomic_load(&n_missed) < wanted; i++)
        pause_ms(10);
    cr_assert_geq(atomic_load(&n_missed), wanted);
}

void other_open(struct other_node *other)
{
    struct store_config config = contract_config(1000, 1 << 20);
    other_open_with(other, &config);
}

void other_open_with(struct other_node *other, const struct store_config *like)
{
    struct reactor *first_lane = lane;
    pthread_t first_thread = lane_thread;
    struct store_config config = *like;
    config.owner = other;
    other->store = open_on(&config, server.url);
    other->lane = lane;
    other->thread = lane_thread;
    lane = first_lane;
    lane_thread = first_thread;
    wait_for_state(true);
}

void other_stop(struct other_node *other)
{
    reactor_stop(other->lane);
    pthread_join(other->thread, NULL);
}

void other_go_on(struct other_node *other)
{
    cr_assert_eq(pthread_create(&other->thread, NULL, run_lane, other->lane), 0);
}

void other_close(struct other_node *other)
{
    other_stop(other);
    while (mailbox_deliver(reactor_mailbox(other->lane)) > 0)
        ;
    store_close(other->store);
    reactor_free(other->lane);
}

TestSuite(store_redis, .init = contract_open, .fini = contract_close,
          .timeout = STORE_TEST_TIMEOUT_S);
