/* What nodes tell each other of pushes that wait, and the channel on which they are answered, while
 * slots of a scripted Cluster move. */
#include "tests/store/ask_calls.h"
#include "tests/store/redis_backend.h"

#include "tests/store/fake_cluster_store.h"

#include "gateway/stores/redis/redis_slots.h"

static const char *comer;

/* ---- pushes that wait ---- */

static struct store_watch heard;
static atomic_int n_watches, n_answers;

static void on_watch(void *owner, struct span user_id, const struct store_watch *watch)
{
    (void)owner;
    (void)user_id;
    heard = *watch;
    atomic_fetch_add(&n_watches, 1);
}

static void on_watch_answer(void *owner, uint64_t number, struct epoch epoch, uint64_t acked)
{
    (void)owner;
    (void)number;
    (void)epoch;
    (void)acked;
    atomic_fetch_add(&n_answers, 1);
}

/* What belongs to the lane's thread. */
struct watch_letter {
    struct posted posted;
    struct store *store;
    struct store_watch watch;
};

static void deliver_watch(struct letter *letter)
{
    struct watch_letter *watch =
        CONTAINER_OF(CONTAINER_OF(letter, struct posted, letter), struct watch_letter, posted);
    if (epoch_is_none(watch->watch.node))
        store_watch(watch->store, 0, span_of(comer), &watch->watch);
    else
        store_watch_answer(watch->store, 0, span_of(comer), &watch->watch, 7);
    sem_post(&watch->posted.done);
}

static void tell_or_answer(struct reactor *reactor, struct store *from, struct store_watch watch)
{
    struct watch_letter letter = {
        .posted.letter.deliver = deliver_watch, .store = from, .watch = watch};
    sem_init(&letter.posted.done, 0, 0);
    mailbox_post(reactor_mailbox(reactor), &letter.posted.letter);
    sem_wait(&letter.posted.done);
}

static void wait_for_count(atomic_int *count, int wanted)
{
    for (int i = 0; i < SOON_MS && atomic_load(count) < wanted; i++)
        pause_ms(1);
    cr_assert_eq(atomic_load(count), wanted);
}

/* As above. */
Test(store_redis, what_nodes_tell_of_pushes_that_wait_finds_a_slot_that_has_moved)
{
    struct other_node other;
    struct store_watch watch = {.number = 5, .epoch = {"abcdefgh"}, .seq = 7};
    char reply[40];
    comer = fake_cluster_user(0, 0);
    struct store_config config = contract_config(1000, 1 << 20);
    config.events.on_watch = on_watch;
    config.events.on_watch_answer = on_watch_answer;
    begin_cluster_with(NULL, &config);
    other_open_with(&other, &config);
    arrive(other.store, comer);
    move_quietly(fake_cluster_slot(comer), 1);
    tell_or_answer(lane, store, watch);
    wait_for_count(&n_watches, 1);
    comer = fake_cluster_user(0, 1);
    arrive(store, comer);
    tell_or_answer(other.lane, other.store, watch);
    wait_for_count(&n_watches, 2);
    snprintf(reply, sizeof reply, "herald:reply:%.*s", EPOCH_LEN, heard.node.text);
    unsigned slot = redis_slot_of(span_of(reply));
    move_quietly(slot, (cluster.owner[slot] + 1u) % FAKE_NODES);
    tell_or_answer(lane, store, heard);
    wait_for_count(&n_answers, 1);
    other_close(&other);
    end_cluster();
}

/* ---- a reply channel whose slot nobody has ---- */

static pthread_mutex_t names_lock = PTHREAD_MUTEX_INITIALIZER;
static char reply_channel[64]; /* the last one that was subscribed */

static enum fake_verdict note_reply_channel(struct fake_cluster *of, unsigned node,
                                            struct fake_command *command)
{
    (void)of;
    (void)node;
    if (fake_is(command, "SSUBSCRIBE") && fake_names(command, "herald:reply:")) {
        pthread_mutex_lock(&names_lock);
        snprintf(reply_channel, sizeof reply_channel, "%.*s", (int)command->words[1].len,
                 command->words[1].bytes);
        pthread_mutex_unlock(&names_lock);
    }
    return FAKE_PASS;
}

static bool is_reply_channel(const char *name)
{
    pthread_mutex_lock(&names_lock);
    bool is_same = strcmp(reply_channel, name) == 0;
    pthread_mutex_unlock(&names_lock);
    return is_same;
}

Test(store_redis, a_reply_channel_whose_slot_nobody_has_gets_another_name)
{
    struct other_node other;
    struct store_asked asked = {.kind = STORE_ASK_DESCRIBE};
    char former[64];
    questions.count = 1;
    questions.absent = NULL; /* the owner of `store` */
    begin_cluster(note_reply_channel);
    other_open(&other);
    arrive(other.store, "anna");
    snprintf(former, sizeof former, "%s", reply_channel);
    unsigned slot = redis_slot_of(span_of(former));
    unsigned owner = cluster.owner[slot];
    cluster.owner[slot] = FAKE_NOBODY;
    fake_redis_end(&cluster.nodes[owner], former);
    struct store_ask ask = {.n_answered = 0};
    for (int i = 0; i < SOON_MS / STORE_REPLIES_MS && ask.n_answered == 0; i++)
        ask = ask_one(store, "anna", asked);
    cr_assert_eq(ask.n_answered, 1);
    cr_assert_not(is_reply_channel(former));
    other_close(&other);
    end_cluster();
}

static atomic_bool must_hold;

static enum fake_verdict hold_what_waits(struct fake_cluster *of, unsigned node,
                                         struct fake_command *command)
{
    bool is_watch = fake_is(command, "SPUBLISH") && command->words[2].len > 0 &&
                    command->words[2].bytes[0] == 'Y';
    while (is_watch && atomic_load(&must_hold))
        pause_ms(1);
    return note_reply_channel(of, node, command);
}

/* Told under the name before, and heard under the next one. */
Test(store_redis, what_a_node_told_under_another_name_is_its_own)
{
    struct store_watch watch = {.number = 5, .epoch = {"abcdefgh"}, .seq = 7};
    struct store_config config = contract_config(1000, 1 << 20);
    config.events.on_watch = on_watch;
    begin_cluster_with(hold_what_waits, &config);
    comer = fake_cluster_user(2, 0);
    arrive(store, comer);
    atomic_store(&must_hold, true);
    tell_or_answer(lane, store, watch);
    cluster.owner[redis_slot_of(span_of(reply_channel))] = FAKE_NOBODY;
    const char *mover = fake_cluster_user(0, 5);
    move_quietly(fake_cluster_slot(mover), 1);
    cr_assert_eq(append_one(store, mover, "{}", 60).error, ERR_OK); /* MOVED asks for a map */
    for (int i = 0; i < SOON_MS && store_slots_missing(store) != 1; i++)
        pause_ms(1);
    cr_assert_eq(store_slots_missing(store), 1);
    wait_for_lane();
    atomic_store(&must_hold, false);
    struct store_target sent = {.nodes = 0}; /* behind it; a map that has changed may delay it */
    for (int i = 0; i < SOON_MS && sent.nodes != 1; i++) {
        sent = send_one(store, comer, SPAN_LITERAL("{}"));
        cr_assert_eq(sent.error, ERR_OK, "%s", error_title(sent.error));
        pause_ms(sent.nodes != 1);
    }
    cr_assert_eq(sent.nodes, 1);
    cr_assert_eq(recorded_at(comer, 0).seq, 0);
    cr_assert_eq(atomic_load(&n_watches), 0);
    expect_same_links();
    end_cluster();
}
