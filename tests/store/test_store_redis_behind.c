/* In a Cluster a node that sends another one to the store, to look what became of a number, says so
 * at another primary than that of the user's position, and must not overtake it. */
#include "tests/store/redis_backend.h"

#include "tests/store/fake_cluster_store.h"

#include "gateway/stores/redis/redis_slots.h"

static const char *user;
static char reply[40]; /* the asker's channel, at another primary than the user */
static struct epoch asker;
static atomic_bool may_write, has_written, is_answered, was_behind;

/* The user's primary is slow to carry out what is written. */
static enum fake_verdict write_slowly(struct fake_cluster *of, unsigned node,
                                      struct fake_command *command)
{
    (void)of;
    if (node == 0 && fake_is(command, "EVALSHA") && fake_names(command, user)) {
        while (!atomic_load(&may_write))
            pause_ms(1);
        atomic_store(&has_written, true);
    }
    if (fake_is(command, "SPUBLISH") && fake_names(command, reply)) {
        atomic_store(&was_behind, atomic_load(&has_written));
        atomic_store(&is_answered, true);
    }
    return FAKE_PASS;
}

static void find_asker(void)
{
    for (int i = 0; i < 26; i++) {
        asker = (struct epoch){"abcdefgh"};
        asker.text[0] = (char)('a' + i);
        snprintf(reply, sizeof reply, "herald:reply:%.8s", asker.text);
        if (cluster.owner[redis_slot_of(span_of(reply))] == 1)
            return;
    }
    cr_assert_fail("no name's slot is at the second node");
}

/* What belongs to the lane's thread. */
struct answer_letter {
    struct letter letter;
    struct store_watch watch;
    uint64_t acked;
};

static void deliver_answer(struct letter *letter)
{
    struct answer_letter *answer = CONTAINER_OF(letter, struct answer_letter, letter);
    store_watch_answer(store, 0, span_of(user), &answer->watch, answer->acked);
}

static struct ack_call ack;
static struct answer_letter answer = {.letter = {.deliver = deliver_answer}};

/* The user is here and acknowledges, and then the other node is answered; the user's primary stands
 * still meanwhile. */
static void begin(uint64_t acked)
{
    atomic_store(&may_write, true);
    user = fake_cluster_user(0, 0);
    begin_cluster(write_slowly);
    find_asker();
    arrive(store, user);
    struct store_target target = append_one(store, user, "{}", 60);
    cr_assert_eq(target.error, ERR_OK);
    atomic_store(&may_write, false);
    atomic_store(&has_written, false);
    ack_begin(store, &ack, user, target.epoch, 1);
    answer.watch = (struct store_watch){asker, 1, target.epoch, 1};
    answer.acked = acked;
    mailbox_post(reactor_mailbox(lane), &answer.letter);
}

static void wait_for_answer(void)
{
    for (int i = 0; i < SOON_MS && !atomic_load(&is_answered); i++)
        pause_ms(1);
    cr_assert(atomic_load(&is_answered));
}

static void end(void)
{
    atomic_store(&may_write, true);
    call_wait(&ack.call);
    cr_assert_eq(ack.ack.error, ERR_OK);
    end_cluster();
}

Test(store_redis, who_is_sent_to_look_finds_what_was_written_before_at_another_primary)
{
    begin(0);
    pause_ms(50); /* for an answer that does not wait */
    atomic_store(&may_write, true);
    wait_for_answer();
    cr_assert(atomic_load(&was_behind));
    end();
}

Test(store_redis, who_is_told_of_the_acknowledgement_need_not_wait_until_it_is_written)
{
    begin(1);
    wait_for_answer();
    cr_assert_not(atomic_load(&was_behind));
    end();
}
