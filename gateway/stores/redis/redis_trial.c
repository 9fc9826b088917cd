#include "gateway/stores/redis/redis_trial.h"

#include "gateway/stores/redis/redis_answer.h"

#include <stdio.h>

/* What the script answers beside the words. */
enum trial_meaning { TRIAL_OTHER, TRIAL_BREAKS_OFF, TRIAL_IS_UNHEARD };

/* Of a user who cannot be (`%` stands in a name only before two digits), and the channel on which
 * all nodes listen: an empty message is none. */
enum { NAMES = 7, CHANNEL = 3, IDEM = 4, NAME_MAX_BYTES = REDIS_CHANNELS_MAX_BYTES + 16 };

struct names {
    char text[NAMES][NAME_MAX_BYTES];
};

static void write_names(const struct redis_common *common, struct names *names)
{
    static const struct {
        const char *end;
        bool is_channel;
    } rows[NAMES] = {
        {"{%}:inbox", false}, {"{%}:meta", false},  {"{%}:numbers", false}, {"{%}", true},
        {"{%}:idem:", false}, {"{%}:block", false}, {"all", true},
    };
    for (size_t i = 0; i < NAMES; i++)
        snprintf(names->text[i], NAME_MAX_BYTES, "%s:%s",
                 rows[i].is_channel ? common->channels : common->prefix, rows[i].end);
}

static void wait_a_second(struct redis_commands *commands)
{
    timer_set(reactor_timers(commands->reactor), &commands->trial.timer,
              reactor_now_ms(commands->reactor) + REDIS_TRIAL_MS);
}

/* --- what came of it --- */

static void pass(struct redis_commands *commands)
{
    struct redis_trial *trial = &commands->trial;
    bool was_unheard = trial->settled.n_unheard != trial->asked.n_unheard;
    trial->settled = trial->asked;
    redis_commands_deny(commands, false);
    redis_common_taken(commands->common, trial->asked);
    if (was_unheard)
        commands->on_heard(commands->owner);
}

static void fail(struct redis_commands *commands, const char *error, enum trial_meaning meaning)
{
    if (meaning == TRIAL_IS_UNHEARD)
        redis_common_unheard(commands->common, error);
    else
        redis_commands_refused(commands, error);
    redis_commands_deny(commands, meaning == TRIAL_BREAKS_OFF &&
                                      redis_trouble_at(redis_trouble_find(error))->is_denial);
}

static void read_verdict(struct redis_commands *commands, const struct redis_value *reply)
{
    struct span words;
    uint64_t meaning;
    if (redis_value_is(reply, REDIS_ERROR))
        fail(commands, reply->bytes, TRIAL_BREAKS_OFF);
    else if (!redis_value_text(redis_value_item(reply, 0), &words) ||
             !redis_answer_number(reply, 1, &meaning) || meaning > TRIAL_IS_UNHEARD)
        redis_link_break(commands->link, "the trial's answer is malformed");
    else if (words.len > 0)
        fail(commands, words.bytes, (enum trial_meaning)meaning);
    else
        pass(commands);
}

static void on_trial(void *owner, void *arg, size_t index, const struct redis_value *reply);

static void send_trial(struct redis_commands *commands, bool with_text)
{
    struct names names;
    struct span args[NAMES];
    write_names(commands->common, &names);
    for (size_t i = 0; i < NAMES; i++)
        args[i] = span_of(names.text[i]);
    commands->trial.is_under_way = true;
    if (redis_commands_eval(commands, SCRIPT_TRIAL, with_text, args, NAMES, NAMES - 1, on_trial,
                            commands, 0) != ERR_OK)
        redis_link_break(commands->link, "out of memory");
}

static void on_trial(void *owner, void *arg, size_t index, const struct redis_value *reply)
{
    (void)owner;
    (void)index;
    struct redis_commands *commands = arg;
    commands->trial.is_under_way = false;
    if (reply == NULL)
        return;
    if (redis_answer_has_lost_script(reply)) {
        send_trial(commands, true);
        return;
    }
    read_verdict(commands, reply);
    if (!commands->is_ready && redis_link_is_up(commands->link))
        redis_commands_become_ready(commands);
}

/* --- while all is well --- */

static void on_written(void *owner, void *arg, size_t index, const struct redis_value *reply)
{
    (void)owner;
    (void)index;
    if (redis_value_is(reply, REDIS_ERROR))
        redis_commands_refused(arg, reply->bytes);
}

/* Refused: what other nodes push is not heard here, too. */
static void on_published(void *owner, void *arg, size_t index, const struct redis_value *reply)
{
    (void)owner;
    (void)index;
    struct redis_commands *commands = arg;
    commands->trial.is_under_way = false;
    if (!redis_value_is(reply, REDIS_ERROR))
        return;
    if (redis_trouble_at(redis_trouble_find(reply->bytes))->is_denial)
        redis_common_unheard(commands->common, reply->bytes);
    else
        redis_commands_refused(commands, reply->bytes);
}

static void look(struct redis_commands *commands)
{
    struct names names;
    write_names(commands->common, &names);
    struct span write[] = {SPAN_LITERAL("SET"), span_of(names.text[IDEM]), SPAN_LITERAL(""),
                           SPAN_LITERAL("XX")};
    struct span publish[] = {SPAN_LITERAL("SPUBLISH"), span_of(names.text[CHANNEL]),
                             SPAN_LITERAL("")};
    commands->trial.is_under_way = true;
    if (redis_commands_send(commands, write, 4, on_written, commands) != ERR_OK ||
        redis_commands_send(commands, publish, 3, on_published, commands) != ERR_OK)
        redis_link_break(commands->link, "out of memory");
}

static void on_due(struct timer *timer)
{
    struct redis_commands *commands = CONTAINER_OF(timer, struct redis_commands, trial.timer);
    struct redis_trial *trial = &commands->trial;
    wait_a_second(commands);
    if (trial->is_under_way || !commands->is_ready)
        return;
    trial->asked = redis_common_refusals(commands->common);
    if (trial->asked.n != trial->settled.n)
        send_trial(commands, false);
    else if (commands->is_first)
        look(commands);
}

void redis_trial_begin(struct redis_commands *commands)
{
    commands->trial.asked = redis_common_refusals(commands->common);
    send_trial(commands, false);
    wait_a_second(commands);
}

void redis_trial_stop(struct redis_commands *commands)
{
    timer_cancel(reactor_timers(commands->reactor), &commands->trial.timer);
    commands->trial.is_under_way = false;
}

void redis_trial_init(struct redis_commands *commands)
{
    timer_init(&commands->trial.timer, on_due);
}
