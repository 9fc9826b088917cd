/* Each Sentinel is asked for its record of the primary, which has the epoch, and then for the
 * primary's address: while a Sentinel leads a failover its record still has the old address beside
 * the new epoch, and only the second answer has the new one. Both are asked in one pipeline. */
#include "gateway/stores/redis/redis_sentinel_round.h"

#include "gateway/base/log.h"
#include "gateway/stores/redis/redis_link.h"
#include "proto/bytes/decimal.h"

#include <stdio.h>
#include <stdlib.h>

enum asked_state {
    ASKED_WAITS,
    ASKED_SAYS,    /* it has told where the primary is */
    ASKED_UNKNOWN, /* it knows no such name */
    ASKED_FAILED,
};

struct asked {
    struct redis_sentinel_round *round;
    struct redis_link *link;
    struct redis_address address;
    enum asked_state state;
    bool has_record;
    bool is_leader; /* of a failover */
    struct redis_sentinel_says says;
};

struct redis_sentinel_round {
    struct redis_resolver resolver; /* first */
    struct redis_common *common;
    struct reactor *reactor;
    struct list askers;
    bool is_running;
    bool is_wanted_again; /* there was news meanwhile */
    bool with_others;
    unsigned n;
    struct asked asked[REDIS_SENTINELS_MAX];
    struct timer deadline;
    struct reactor_task end;
    char problem[200]; /* what is wrong with one of them, beyond that it does not answer */
};

/* ---- answers ---- */

static void end_if_all_said(struct redis_sentinel_round *round)
{
    for (unsigned i = 0; i < round->n; i++)
        if (round->asked[i].state == ASKED_WAITS)
            return;
    reactor_free_at_turn_end(round->reactor, &round->end);
}

static void settle_asked(struct asked *asked, enum asked_state state)
{
    asked->state = state;
    end_if_all_said(asked->round);
}

static bool read_address(const struct redis_value *host, const struct redis_value *port,
                         struct redis_address *ret_address)
{
    struct span host_text, port_text;
    uint64_t number;
    if (!redis_value_text(host, &host_text) || !redis_value_text(port, &port_text) ||
        host_text.len == 0 || host_text.len > REDIS_HOST_MAX_BYTES ||
        memchr(host_text.bytes, '\0', host_text.len) != NULL ||
        !decimal_read(port_text, UINT16_MAX, &number) || number == 0)
        return false;
    memcpy(ret_address->host, host_text.bytes, host_text.len);
    ret_address->host[host_text.len] = '\0';
    ret_address->port = (uint16_t)number;
    return true;
}

/* A record is an array of names, each followed by its value. NULL: it has none of that name. */
static const struct redis_value *value_of(const struct redis_value *record, const char *name)
{
    struct span key;
    for (size_t i = 0; redis_value_item(record, i + 1) != NULL; i += 2)
        if (redis_value_text(redis_value_item(record, i), &key) && span_equal(key, span_of(name)))
            return redis_value_item(record, i + 1);
    return NULL;
}

static void note_problem(struct asked *asked, const char *behind_address)
{
    struct redis_sentinel_round *round = asked->round;
    char address[REDIS_ADDRESS_TEXT_BYTES];
    redis_address_write(&asked->address, address);
    snprintf(round->problem, sizeof round->problem, "%.150s%s", address, behind_address);
}

/* A Redis has no such command as SENTINEL. */
static void note_refusal(struct asked *asked, const char *error)
{
    struct redis_sentinel_round *round = asked->round;
    if (redis_trouble_at(redis_trouble_find(error))->is_missing)
        note_problem(asked, REDIS_WHY_IS_NO_SENTINEL);
    else
        snprintf(round->problem, sizeof round->problem, REDIS_WHY_SENTINEL_REFUSES "%.150s", error);
}

static void on_record(void *owner, void *arg, size_t index, const struct redis_value *reply)
{
    static const char leader[] = "failover_in_progress";
    struct asked *asked = owner;
    struct span epoch, flags;
    (void)arg;
    (void)index;
    if (redis_value_is(reply, REDIS_ERROR)) {
        bool is_unknown = redis_value_starts(reply, "ERR No such master");
        if (!is_unknown)
            note_refusal(asked, reply->bytes);
        settle_asked(asked, is_unknown ? ASKED_UNKNOWN : ASKED_FAILED);
        return;
    }
    asked->has_record =
        redis_value_text(value_of(reply, "config-epoch"), &epoch) &&
        decimal_read(epoch, UINT64_MAX, &asked->says.epoch) &&
        read_address(value_of(reply, "ip"), value_of(reply, "port"), &asked->says.primary);
    asked->is_leader = redis_value_text(value_of(reply, "flags"), &flags) &&
                       memmem(flags.bytes, flags.len, leader, sizeof leader - 1) != NULL;
}

static void on_others(void *owner, void *arg, size_t index, const struct redis_value *reply)
{
    struct asked *asked = owner;
    const struct redis_value *record;
    struct redis_address address;
    (void)arg;
    (void)index;
    if (!redis_value_is(reply, REDIS_ARRAY))
        return;
    for (size_t i = 0; (record = redis_value_item(reply, i)) != NULL; i++)
        if (read_address(value_of(record, "ip"), value_of(record, "port"), &address))
            redis_sentinels_add(&asked->round->common->sentinels, &address);
}

static void on_primary(void *owner, void *arg, size_t index, const struct redis_value *reply)
{
    struct asked *asked = owner;
    struct redis_address primary;
    (void)arg;
    (void)index;
    if (reply == NULL || asked->state != ASKED_WAITS)
        return;
    if (!read_address(redis_value_item(reply, 0), redis_value_item(reply, 1), &primary))
        primary = asked->says.primary;
    asked->says.is_replaced =
        asked->is_leader && redis_address_equal(&primary, &asked->says.primary);
    asked->says.primary = primary;
    if (asked->has_record)
        redis_sentinels_answered(&asked->round->common->sentinels, &asked->address);
    settle_asked(asked, asked->has_record ? ASKED_SAYS : ASKED_FAILED);
}

static void ask_sentinel(struct asked *asked, const char *command, redis_reply_fn on_reply)
{
    const char *name = asked->round->common->url.master_name;
    struct span args[] = {SPAN_LITERAL("SENTINEL"), span_of(command), span_of(name)};
    if (redis_link_command(asked->link, args, 3, on_reply, NULL, 0) != ERR_OK)
        redis_link_break(asked->link, "out of memory");
}

static void on_sentinel_up(void *owner)
{
    struct asked *asked = owner;
    ask_sentinel(asked, "MASTER", on_record);
    if (asked->round->with_others)
        ask_sentinel(asked, "SENTINELS", on_others);
    ask_sentinel(asked, "GET-MASTER-ADDR-BY-NAME", on_primary);
}

/* A Sentinel that refuses us, that cannot be trusted or is none, is another matter than one that is
 * away. Whether it wants TLS the next attempt tells, for which there is time in a round. */
static void on_sentinel_down(void *owner, bool was_up, const char *why)
{
    struct asked *asked = owner;
    struct redis_sentinel_round *round = asked->round;
    const struct redis_trouble *trouble = redis_trouble_at(redis_trouble_find(why));
    (void)was_up;
    if (asked->state != ASKED_WAITS || redis_link_may_meet_tls(asked->link))
        return;
    if (trouble->is_of_tls)
        snprintf(round->problem, sizeof round->problem, "%s", why);
    else if (strncmp(why, REDIS_WHY_NO_REDIS, strlen(REDIS_WHY_NO_REDIS)) == 0)
        note_problem(asked, REDIS_WHY_IS_NO_SENTINEL);
    else if (trouble->is_refusal)
        note_refusal(asked, why);
    settle_asked(asked, ASKED_FAILED);
}

/* ---- a round ---- */

static void begin_asked(struct redis_sentinel_round *round, struct asked *asked,
                        const struct redis_address *address)
{
    struct redis_common *common = round->common;
    *asked = (struct asked){.round = round, .address = *address, .state = ASKED_WAITS};
    struct redis_link_config config = {
        .kind = REDIS_LINK_OF_SENTINEL,
        .reactor = round->reactor,
        .url = &common->sentinel_url,
        .client_name = common->client_name,
        .address = &asked->address,
        .is_sentinel = true,
        .tls = common->tls,
        .tls_name = redis_common_tls_name(common),
        .owner = asked,
        .on_up = on_sentinel_up,
        .on_down = on_sentinel_down,
    };
    if (redis_link_new(&config, &asked->link) != ERR_OK)
        asked->state = ASKED_FAILED;
}

static void begin_round(struct redis_sentinel_round *round)
{
    struct redis_sentinel_list list;
    redis_sentinels_list(&round->common->sentinels, &list);
    round->is_running = true;
    round->problem[0] = '\0';
    round->n = list.n;
    for (unsigned i = 0; i < list.n; i++)
        begin_asked(round, &round->asked[i], &list.addresses[i]);
    timer_set(reactor_timers(round->reactor), &round->deadline,
              reactor_now_ms(round->reactor) + REDIS_SENTINELS_MS);
    end_if_all_said(round);
}

static void end_links(struct redis_sentinel_round *round)
{
    for (unsigned i = 0; i < round->n; i++) {
        redis_link_free(round->asked[i].link);
        round->asked[i].link = NULL;
    }
    timer_cancel(reactor_timers(round->reactor), &round->deadline);
    round->is_running = false;
    round->with_others = false;
}

/* The answer that counts; NULL: there is none, and *why says why. */
static const struct redis_sentinel_says *choose_answer(const struct redis_sentinel_round *round,
                                                       struct redis_sentinel_says *says, char *why,
                                                       size_t why_cap)
{
    bool is_unknown = false;
    size_t n = 0;
    for (unsigned i = 0; i < round->n; i++) {
        is_unknown = is_unknown || round->asked[i].state == ASKED_UNKNOWN;
        if (round->asked[i].state == ASKED_SAYS)
            says[n++] = round->asked[i].says;
    }
    if (n > 0)
        return redis_sentinels_choose(says, n);
    if (is_unknown)
        snprintf(why, why_cap, REDIS_WHY_UNKNOWN_NAME " %s", round->common->url.master_name);
    else if (round->problem[0] != '\0')
        snprintf(why, why_cap, "%s", round->problem);
    else
        snprintf(why, why_cap, REDIS_WHY_NO_SENTINEL " (%u asked)", round->n);
    return NULL;
}

/* Does the leader of a failover still name the one that counts? */
static bool is_being_replaced(const struct redis_sentinel_round *round,
                              const struct redis_sentinel_says *chosen)
{
    for (unsigned i = 0; i < round->n; i++) {
        const struct asked *asked = &round->asked[i];
        if (asked->state == ASKED_SAYS && asked->says.is_replaced &&
            redis_address_equal(&asked->says.primary, &chosen->primary))
            return true;
    }
    return false;
}

static void log_move(const struct redis_sentinel_round *round, const struct redis_address *primary)
{
    char address[REDIS_ADDRESS_TEXT_BYTES];
    redis_address_write(primary, address);
    log_event(LOG_INFO, "the primary has moved", LOG_TEXT("name", round->common->url.master_name),
              LOG_TEXT("address", address));
}

/* false: *why says why there is no primary. */
static bool conclude_round(const struct redis_sentinel_round *round,
                           struct redis_address *ret_primary, char *why, size_t why_cap)
{
    struct redis_sentinel_says says[REDIS_SENTINELS_MAX];
    const struct redis_sentinel_says *chosen = choose_answer(round, says, why, why_cap);
    if (chosen == NULL)
        return false;
    if (redis_sentinels_replace(&round->common->sentinels, is_being_replaced(round, chosen),
                                reactor_now_ms(round->reactor))) {
        snprintf(why, why_cap, REDIS_WHY_REPLACED " %s", round->common->url.master_name);
        return false;
    }
    switch (redis_sentinels_believe(&round->common->sentinels, chosen)) {
    case REDIS_BELIEF_OLDER:
        snprintf(why, why_cap, REDIS_WHY_OLD_SENTINELS " %s", round->common->url.master_name);
        return false;
    case REDIS_BELIEF_OTHER:
        log_move(round, &chosen->primary);
        break;
    case REDIS_BELIEF_SAME:
        break;
    }
    *ret_primary = chosen->primary;
    return true;
}

/* An asker may ask again at once. */
static void run_end(struct reactor_task *task)
{
    struct redis_sentinel_round *round = CONTAINER_OF(task, struct redis_sentinel_round, end);
    struct redis_address primary;
    char why[200];
    bool is_found = conclude_round(round, &primary, why, sizeof why);
    bool is_wanted_again = round->is_wanted_again;
    round->is_wanted_again = false;
    end_links(round);
    struct list askers;
    list_init(&askers);
    list_move_all(&askers, &round->askers);
    while (!list_is_empty(&askers)) {
        struct redis_asker *asker = CONTAINER_OF(askers.next, struct redis_asker, link);
        list_remove(&asker->link);
        asker->on_address(asker, is_found ? &primary : NULL, why);
    }
    if (is_wanted_again && !round->is_running)
        begin_round(round);
}

static void on_deadline(struct timer *timer)
{
    struct redis_sentinel_round *round = CONTAINER_OF(timer, struct redis_sentinel_round, deadline);
    for (unsigned i = 0; i < round->n; i++)
        if (round->asked[i].state == ASKED_WAITS && redis_link_is_shaking(round->asked[i].link))
            note_problem(&round->asked[i], REDIS_WHY_NO_SHAKE);
    reactor_free_at_turn_end(round->reactor, &round->end);
}

/* ---- for its users ---- */

static void ask_round(struct redis_resolver *resolver, struct redis_asker *asker)
{
    struct redis_sentinel_round *round =
        CONTAINER_OF(resolver, struct redis_sentinel_round, resolver);
    list_append(&round->askers, &asker->link);
    if (!round->is_running)
        begin_round(round);
}

static void forget_asker(struct redis_resolver *resolver, struct redis_asker *asker)
{
    (void)resolver;
    list_remove(&asker->link);
}

static bool has_moved(struct redis_resolver *resolver, const struct redis_address *address)
{
    struct redis_sentinel_round *round =
        CONTAINER_OF(resolver, struct redis_sentinel_round, resolver);
    return redis_sentinels_have_moved(&round->common->sentinels, address);
}

struct redis_resolver *redis_sentinel_round_resolver(struct redis_sentinel_round *round)
{
    return &round->resolver;
}

void redis_sentinel_round_look(struct redis_sentinel_round *round, bool with_others)
{
    round->with_others = round->with_others || with_others;
    round->is_wanted_again = round->is_running;
    if (!round->is_running)
        begin_round(round);
}

enum err redis_sentinel_round_new(struct redis_common *common, struct reactor *reactor,
                                  struct redis_sentinel_round **ret_round)
{
    struct redis_sentinel_round *round = calloc(1, sizeof *round);
    if (round == NULL)
        return ERR_NO_MEMORY;
    round->resolver = (struct redis_resolver){ask_round, forget_asker, has_moved};
    round->common = common;
    round->reactor = reactor;
    list_init(&round->askers);
    timer_init(&round->deadline, on_deadline);
    list_init(&round->end.link);
    round->end.run = run_end;
    *ret_round = round;
    return ERR_OK;
}

void redis_sentinel_round_free(struct redis_sentinel_round *round)
{
    if (round == NULL)
        return;
    end_links(round);
    reactor_task_cancel(&round->end);
    free(round);
}
