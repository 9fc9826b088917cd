/* The Redis store on three lanes under many threads, on a Cluster that answers at random, moves its
 * slots, cuts and hangs up all the time (random_cluster.h); then the lanes stop with requests under
 * way and others waiting to be repeated, and the store is closed. Each request is answered exactly
 * once, no push is carried out twice, and what was answered as kept is kept under that number.
 *
 * usage: race_redis [MILLISECONDS [SEED]] */
#include "gateway/base/clock.h"
#include "gateway/base/hash.h"
#include "gateway/base/log.h"
#include "gateway/store/store.h"
#include "gateway/stores/stores.h"
#include "tests/race/random_cluster.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { LANES = 3, ASKERS = 3, ROUNDS = 2, ASKED_MAX = 1 << 17, UNDER_WAY_MAX = 3000 };

/* Whatever is asked, as one struct: it stays until the end, so that a second answer is seen. */
struct asked {
    union {
        struct store_request request;
        struct store_append append;
        struct store_page page;
        struct store_ack ack;
        struct store_peek peek;
        struct store_look look;
        struct store_withdraw withdraw;
        struct store_block block;
        struct store_online online;
        struct store_ticket_give give;
        struct store_ticket_take take;
    } of;
    bool is_push;
    unsigned first_id;
    struct store_target targets[2];
    struct span users[2];
    bool is_online[2];
    atomic_uint n_answers;
};

struct lane {
    struct reactor *reactor;
    pthread_t thread;
};

static struct store *store;
static struct lane lanes[LANES];
static struct asked *asked;
static atomic_uint n_asked, n_answered, n_kept, n_pushes;
static atomic_bool is_over;
static uint64_t seed;
static char names[RANDOM_USERS][16];

/* ---- users ---- */

static unsigned lane_of(unsigned user)
{
    return user % LANES;
}

static struct leave {
    struct letter letter;
    unsigned user;
    atomic_bool is_posted;
} leaves[RANDOM_USERS];

static void deliver_leave(struct letter *letter)
{
    struct leave *leave = CONTAINER_OF(letter, struct leave, letter);
    atomic_store(&leave->is_posted, false);
    store_leave(store, lane_of(leave->user), span_of(names[leave->user]));
}

static void leave_user(unsigned user)
{
    if (!atomic_exchange(&leaves[user].is_posted, true))
        mailbox_post(reactor_mailbox(lanes[lane_of(user)].reactor), &leaves[user].letter);
}

/* ---- what is asked ---- */

static void on_done(struct store_request *request)
{
    struct asked *one = CONTAINER_OF(request, struct asked, of.request);
    CHECK(atomic_fetch_add(&one->n_answers, 1) == 0);
    atomic_fetch_add(&n_answered, 1);
    for (size_t i = 0; one->is_push && i < one->of.append.n_targets; i++)
        atomic_fetch_add(&n_kept, one->targets[i].error == ERR_OK);
    if (one->is_push)
        payload_unref(one->of.append.payload);
}

/* NULL: enough was asked. */
static struct asked *new_asked(unsigned user)
{
    while (atomic_load(&n_asked) - atomic_load(&n_answered) > UNDER_WAY_MAX &&
           !atomic_load(&is_over))
        usleep(1000);
    unsigned at = atomic_load(&n_asked);
    do
        if (at >= ASKED_MAX)
            return NULL;
    while (!atomic_compare_exchange_weak(&n_asked, &at, at + 1));
    asked[at].of.request = (struct store_request){.on_done = on_done, .lane = lane_of(user)};
    return &asked[at];
}

static struct asked *new_push(unsigned user)
{
    char data[32];
    struct asked *one = new_asked(user);
    if (one == NULL)
        return NULL;
    unsigned id = atomic_fetch_add(&n_pushes, 1);
    snprintf(data, sizeof data, "{\"id\":%u}", id);
    one->is_push = true;
    one->first_id = id;
    one->targets[0] = (struct store_target){.user_id = span_of(names[user])};
    one->of.append = (struct store_append){.request = one->of.request,
                                           .payload = payload_new(span_of(data)),
                                           .ttl_s = 60,
                                           .n_targets = 1,
                                           .targets = one->targets};
    CHECK(one->of.append.payload != NULL && id < RANDOM_PUSHES);
    return one;
}

/* Up to 24 to a few users of one lane. */
static void ask_pushes(unsigned user, uint64_t *random)
{
    struct asked *first = new_push(user);
    struct asked *last = first;
    size_t n = random_next(random) % 24;
    for (size_t i = 0; last != NULL && i < n; i++) {
        struct asked *next =
            new_push((user + LANES * (random_next(random) % 4)) % (RANDOM_USERS / LANES * LANES));
        if (next == NULL)
            break;
        last->of.request.next = &next->of.request;
        last = next;
    }
    if (first != NULL)
        store_append_many(store, &first->of.append);
}

static void ask_page(struct asked *one, struct span user, bool is_arrival)
{
    one->of.page = (struct store_page){.request = one->of.request,
                                       .user_id = user,
                                       .is_arrival = is_arrival,
                                       .from_acked = true,
                                       .max_count = 10,
                                       .max_bytes = 10000};
    store_page(store, &one->of.page);
}

static void ask_send(struct asked *one, struct span user)
{
    one->targets[0] = (struct store_target){.user_id = user};
    one->of.append = (struct store_append){.request = one->of.request,
                                           .payload = payload_new(SPAN_LITERAL("{}")),
                                           .n_targets = 1,
                                           .targets = one->targets};
    CHECK(one->of.append.payload != NULL);
    one->is_push = true;
    one->first_id = RANDOM_PUSHES;
    store_send_many(store, &one->of.append);
}

static void ask_online(struct asked *one, struct span user)
{
    one->users[0] = user;
    one->users[1] = span_of(names[1]);
    one->of.online = (struct store_online){
        .request = one->of.request, .n_users = 2, .users = one->users, .is_online = one->is_online};
    store_online(store, &one->of.online);
}

static void ask_other(struct asked *one, struct span user, unsigned kind)
{
    static const struct epoch epoch = {.text = "aaaaaaaa"};
    struct store_request request = one->of.request;
    if (kind == 0) {
        one->of.peek = (struct store_peek){.request = request, .user_id = user};
        store_peek(store, &one->of.peek);
    } else if (kind == 1) {
        one->of.ack = (struct store_ack){
            .request = request, .user_id = user, .epoch = epoch, .seq = 1, .is_held = true};
        store_ack(store, &one->of.ack);
    } else if (kind == 2) {
        one->of.look =
            (struct store_look){.request = request, .user_id = user, .epoch = epoch, .seq = 1};
        store_look(store, &one->of.look);
    } else if (kind == 3) {
        one->of.withdraw =
            (struct store_withdraw){.request = request, .user_id = user, .is_all = true};
        store_withdraw(store, &one->of.withdraw);
    } else if (kind == 4) {
        one->of.block = (struct store_block){.request = request, .user_id = user, .for_s = 1};
        store_block(store, &one->of.block);
    } else if (kind == 5) {
        one->of.give = (struct store_ticket_give){
            .request = request, .ticket = user, .user_id = user, .ttl_s = 1};
        store_ticket_give(store, &one->of.give);
    } else {
        one->of.take = (struct store_ticket_take){.request = request, .ticket = user};
        store_ticket_take(store, &one->of.take);
    }
}

static void *ask_all(void *arg)
{
    uint64_t random = seed * 7 + (uintptr_t)arg;
    while (!atomic_load(&is_over)) {
        unsigned user = random_next(&random) % (RANDOM_USERS / LANES * LANES);
        unsigned kind = random_next(&random) % 20;
        usleep(random_next(&random) % 400); /* what is refused at once shall not be most of it */
        if (kind < 7) {
            ask_pushes(user, &random);
            continue;
        }
        if (kind == 7) {
            leave_user(user);
            continue;
        }
        struct asked *one = new_asked(user);
        if (one == NULL)
            break;
        if (kind < 11)
            ask_page(one, span_of(names[user]), kind < 10);
        else if (kind == 11)
            ask_send(one, span_of(names[user]));
        else if (kind == 12)
            ask_online(one, span_of(names[user]));
        else
            ask_other(one, span_of(names[user]), kind - 13);
    }
    return NULL;
}

/* What others read of the store meanwhile. */
static void *look_on(void *unused)
{
    char text[800];
    while (!atomic_load(&is_over)) {
        store_describe(store, text, sizeof text);
        CHECK(store_slots_missing(store) <= 16384 && store_now_ms(store) > 0);
        usleep(500);
    }
    return unused;
}

/* ---- the store ---- */

static void *run_lane(void *reactor)
{
    reactor_run(reactor);
    return NULL;
}

static void get_known(void *owner, struct span user_id, struct store_known *ret_known)
{
    (void)owner;
    (void)user_id;
    *ret_known = (struct store_known){.epoch = {.text = "aaaaaaaa"}, .head = 1};
}

static void open_store(void)
{
    char why[300];
    struct reactor *reactors[LANES];
    for (unsigned i = 0; i < LANES; i++) {
        CHECK(reactor_new(NULL, &lanes[i].reactor) == ERR_OK);
        reactors[i] = lanes[i].reactor;
    }
    struct store_config config = {.url = random_cluster_url(),
                                  .redis_prefix = "herald",
                                  .redis_wait_replicas = -1,
                                  .inbox_max = 100,
                                  .inbox_max_bytes = 1 << 20,
                                  .idempotency_window_s = 60,
                                  .lanes = reactors,
                                  .n_lanes = LANES,
                                  .events = {.get_known = get_known}};
    CHECK(store_open(&config, &store, why, sizeof why) == ERR_OK);
    for (unsigned i = 0; i < LANES; i++)
        CHECK(pthread_create(&lanes[i].thread, NULL, run_lane, lanes[i].reactor) == 0);
}

/* With whatever is under way. */
static void close_store(void)
{
    for (unsigned i = 0; i < LANES; i++) {
        reactor_stop(lanes[i].reactor);
        pthread_join(lanes[i].thread, NULL);
    }
    store_close(store);
    for (unsigned i = 0; i < LANES; i++)
        reactor_free(lanes[i].reactor);
}

static void check_answers(void)
{
    CHECK(atomic_load(&n_answered) == atomic_load(&n_asked));
    for (unsigned i = 0; i < atomic_load(&n_asked); i++) {
        struct asked *one = &asked[i];
        uint64_t seq;
        CHECK(atomic_load(&one->n_answers) == 1);
        if (!one->is_push || one->first_id == RANDOM_PUSHES || one->targets[0].error != ERR_OK)
            continue;
        CHECK(random_cluster_kept(one->first_id, &seq) == 1 && one->targets[0].seq == seq);
    }
}

static void run(int run_ms)
{
    pthread_t threads[ASKERS + 1];
    unsigned n_refused, n_hung_up;
    atomic_store(&n_asked, 0);
    atomic_store(&n_answered, 0);
    atomic_store(&n_kept, 0);
    atomic_store(&n_pushes, 0);
    atomic_store(&is_over, false);
    asked = calloc(ASKED_MAX, sizeof *asked);
    CHECK(asked != NULL);
    for (unsigned i = 0; i < RANDOM_USERS; i++) {
        leaves[i].letter.deliver = deliver_leave;
        leaves[i].user = i;
        atomic_store(&leaves[i].is_posted, false);
    }
    random_cluster_start(seed);
    open_store();
    for (uintptr_t i = 0; i < ASKERS; i++)
        CHECK(pthread_create(&threads[i], NULL, ask_all, (void *)i) == 0);
    CHECK(pthread_create(&threads[ASKERS], NULL, look_on, NULL) == 0);
    usleep((useconds_t)run_ms * 1000);
    for (int i = 0; i < 60 * 1000 && atomic_load(&n_kept) == 0; i++)
        usleep(1000);
    atomic_store(&is_over, true);
    for (unsigned i = 0; i <= ASKERS; i++)
        pthread_join(threads[i], NULL);
    close_store();
    random_cluster_stop();
    check_answers();
    CHECK(atomic_load(&n_kept) > 0);
    free(asked);
    random_cluster_counts(&n_refused, &n_hung_up);
    printf("ok seed %llu: %u asked, %u of %u pushes kept, %u refused, %u hung up\n",
           (unsigned long long)seed, atomic_load(&n_asked), atomic_load(&n_kept),
           atomic_load(&n_pushes), n_refused, n_hung_up);
}

int main(int argc, char **argv)
{
    int run_ms = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 1000;
    seed = argc > 2 ? strtoull(argv[2], NULL, 10) : (uint64_t)clock_wall_ms();
    CHECK(hash_init() == ERR_OK);
    log_setup(LOG_ERROR, LOG_LOGFMT);
    for (unsigned i = 0; i < RANDOM_USERS; i++)
        snprintf(names[i], sizeof names[i], "u%u", i);
    for (int i = 0; i < ROUNDS; i++, seed++)
        run(run_ms);
    return 0;
}
