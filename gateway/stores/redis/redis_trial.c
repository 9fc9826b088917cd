#include "gateway/stores/redis/redis_trial.h"

#include "gateway/stores/redis/redis_answer.h"

#include <stdio.h>

/* What the script answers beside the words. */
enum trial_meaning { TRIAL_OTHER, TRIAL_BREAKS_OFF, TRIAL_IS_UNHEARD };

/* Of a user who cannot exist: in a name two digits follow each `%`. */
enum { NAMES = 6, CHANNEL = 3, IDEM = 4, NAME_MAX_BYTES = REDIS_CHANNELS_MAX_BYTES + 32 };

struct names {
    char text[NAMES][NAME_MAX_BYTES];
};

static void write_names(const struct redis_trial *trial, struct names *names)
{
    static const char *const ends[NAMES] = {":inbox", ":meta", ":numbers", "", ":idem:", ":block"};
    const struct redis_common *common = trial->commands->common;
    for (size_t i = 0; i < NAMES; i++)
        snprintf(names->text[i], NAME_MAX_BYTES, "%s:{%s}%s",
                 i == CHANNEL ? common->channels : common->prefix, trial->nobody, ends[i]);
}

static void set_trial_timer(struct redis_trial *trial)
{
    struct reactor *reactor = trial->commands->reactor;
    timer_set(reactor_timers(reactor), &trial->timer, reactor_now_ms(reactor) + REDIS_TRIAL_MS);
}

/* --- what came of it --- */

static void pass_trial(struct redis_trial *trial)
{
    struct redis_commands *commands = trial->commands;
    bool was_unheard = trial->settled.n_unheard != trial->asked.n_unheard;
    trial->settled = trial->asked;
    redis_commands_deny(commands, false);
    redis_primary_taken(commands->primary, trial->asked);
    if (was_unheard)
        trial->on_heard(trial->owner);
}

static void fail_trial(struct redis_commands *commands, const char *error,
                       enum trial_meaning meaning)
{
    if (meaning == TRIAL_IS_UNHEARD)
        redis_primary_unheard(commands->primary, error);
    else
        redis_commands_refused(commands, error);
    const struct redis_trouble *trouble = redis_trouble_at(redis_trouble_find(error));
    redis_commands_deny(commands,
                        meaning == TRIAL_BREAKS_OFF && (trouble->is_denial || trouble->is_missing));
}

static void read_verdict(struct redis_trial *trial, const struct redis_value *reply)
{
    struct redis_commands *commands = trial->commands;
    struct span words;
    uint64_t meaning;
    if (redis_value_is(reply, REDIS_ERROR))
        fail_trial(commands, reply->bytes, TRIAL_BREAKS_OFF);
    else if (!redis_value_text(redis_value_item(reply, 0), &words) ||
             !redis_answer_number(reply, 1, &meaning) || meaning > TRIAL_IS_UNHEARD)
        redis_link_break(commands->link, "the trial's answer is malformed");
    else if (words.len > 0)
        fail_trial(commands, words.bytes, (enum trial_meaning)meaning);
    else
        pass_trial(trial);
}

static void on_trial(void *owner, void *arg, size_t index, const struct redis_value *reply);

static void send_trial(struct redis_trial *trial, bool with_text)
{
    struct redis_commands *commands = trial->commands;
    struct redis_call call = {.on_reply = on_trial, .arg = trial, .with_text = with_text};
    struct names names;
    struct span args[NAMES];
    write_names(trial, &names);
    for (size_t i = 0; i < NAMES; i++)
        args[i] = span_of(names.text[i]);
    trial->is_under_way = true;
    if (redis_commands_eval(commands, &call, SCRIPT_TRIAL, args, NAMES, NAMES) != ERR_OK)
        redis_link_break(commands->link, "out of memory");
}

static void on_trial(void *owner, void *arg, size_t index, const struct redis_value *reply)
{
    (void)index;
    struct redis_commands *commands = owner;
    struct redis_trial *trial = arg;
    trial->is_under_way = false;
    if (reply == NULL)
        return;
    if (redis_answer_has_lost_script(reply)) {
        send_trial(trial, true);
        return;
    }
    read_verdict(trial, reply);
    if (!commands->is_ready && redis_link_is_up(commands->link))
        redis_commands_become_ready(commands);
}

/* --- while all is well --- */

static void on_probe_written(void *owner, void *arg, size_t index, const struct redis_value *reply)
{
    (void)arg;
    (void)index;
    if (redis_value_is(reply, REDIS_ERROR))
        redis_commands_refused(owner, reply->bytes);
}

/* Refused: what other nodes push is not published to this one either. */
static void on_probe_published(void *owner, void *arg, size_t index,
                               const struct redis_value *reply)
{
    (void)index;
    struct redis_commands *commands = owner;
    struct redis_trial *trial = arg;
    trial->is_under_way = false;
    if (!redis_value_is(reply, REDIS_ERROR))
        return;
    if (redis_trouble_at(redis_trouble_find(reply->bytes))->is_denial)
        redis_primary_unheard(commands->primary, reply->bytes);
    else
        redis_commands_refused(commands, reply->bytes);
}

static void send_probe(struct redis_trial *trial)
{
    struct redis_commands *commands = trial->commands;
    struct redis_call written = {.on_reply = on_probe_written, .arg = trial};
    struct redis_call published = {.on_reply = on_probe_published, .arg = trial};
    struct names names;
    write_names(trial, &names);
    struct span write[] = {SPAN_LITERAL("SET"), span_of(names.text[IDEM]), SPAN_LITERAL(""),
                           SPAN_LITERAL("XX")};
    struct span publish[] = {SPAN_LITERAL("SPUBLISH"), span_of(names.text[CHANNEL]),
                             SPAN_LITERAL("")};
    trial->is_under_way = true;
    if (redis_commands_send(commands, &written, write, 4) != ERR_OK ||
        redis_commands_send(commands, &published, publish, 3) != ERR_OK)
        redis_link_break(commands->link, "out of memory");
}

static void on_trial_due(struct timer *timer)
{
    struct redis_trial *trial = CONTAINER_OF(timer, struct redis_trial, timer);
    set_trial_timer(trial);
    bool is_ready = trial->commands->is_ready && redis_link_is_up(trial->commands->link);
    if (trial->is_under_way || !is_ready)
        return;
    trial->asked = redis_primary_refusals(trial->commands->primary);
    if (trial->asked.n != trial->settled.n)
        send_trial(trial, false);
    else if (trial->is_first)
        send_probe(trial);
}

void redis_trial_begin(struct redis_trial *trial)
{
    trial->asked = redis_primary_refusals(trial->commands->primary);
    send_trial(trial, false);
    set_trial_timer(trial);
}

void redis_trial_stop(struct redis_trial *trial)
{
    timer_cancel(reactor_timers(trial->commands->reactor), &trial->timer);
    trial->is_under_way = false;
}

void redis_trial_init(struct redis_trial *trial, struct redis_commands *commands)
{
    trial->commands = commands;
    timer_init(&trial->timer, on_trial_due);
}
