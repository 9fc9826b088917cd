#include "gateway/stores/redis/redis_troubles.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* The last row is for all others. Redis 7.0 has no NOPERM for what a script may not do,
 * and only those before it write the name of a command like `this`. */
static const struct redis_trouble troubles[] = {
    {"OOM", "Redis is out of memory: raise its maxmemory", .is_refusal = true},
    {"READONLY", "this Redis is a replica: point --store at the primary", .is_refusal = true,
     .is_replica = true},
    {"MASTERDOWN", "this Redis is a replica without its primary: point --store at the primary",
     .is_refusal = true, .is_replica = true},
    {"LOADING", "Redis is still loading its data; Herald waits", .is_refusal = true},
    {"MISCONF", "Redis cannot write to its disk: see its log and free space there",
     .is_refusal = true},
    {"NOREPLICAS", "Redis has too few replicas to take writes (min-replicas-to-write)",
     .is_refusal = true},
    {"BUSY", "another script blocks Redis: see SLOWLOG GET, end it with SCRIPT KILL",
     .is_refusal = true},
    {.word = "CLUSTERDOWN Hash slot not served", /* others are */
     .advice = "see CLUSTER INFO; cluster-require-full-coverage"},
    {"CLUSTERDOWN", "see CLUSTER INFO; cluster-require-full-coverage", .is_refusal = true},
    {.word = "MOVED", .advice = "write redis+cluster://HOST:PORT in --store"},
    {.word = REDIS_WHY_CLUSTER, .advice = "write redis+cluster://HOST:PORT in --store"},
    {.word = REDIS_WHY_DEAF,
     .advice = "Herald subscribes anew; if it happens again, see what stands between it and Redis"},
    {.word = REDIS_WHY_NO_CLUSTER, .advice = "write redis:// in --store"},
    {.word = REDIS_WHY_NO_OWNER, .advice = "see CLUSTER INFO; cluster-require-full-coverage"},
    {.word = "the Cluster announces no address", .advice = "see cluster-announce-hostname"},
    {.word = "the Cluster's slots", .advice = "Herald waits for a new map of the slots"},
    {.word = "this Redis is a replica of",
     .advice = "write redis+sentinel:// or redis+cluster://, or point --store at the primary"},
    {.word = "this Redis is no primary", .advice = "point --store at the primary"},
    {.word = REDIS_WHY_SENTINEL,
     .advice = "write redis+sentinel://HOST:26379,HOST:26379/NAME in --store"},
    {.word = REDIS_WHY_NO_REDIS, .advice = "see which host and port --store names"},
    {.word = REDIS_WHY_TWO_REDIS, .advice = "see that the name in --store leads to one primary"},
    {.word = REDIS_WHY_CERTIFICATE,
     .advice = "see --redis-tls-ca and --redis-tls-name",
     .is_of_tls = true},
    {.word = REDIS_WHY_SPEAKS_TLS,
     .advice = "write rediss:// in --store",
     .is_of_tls = true,
     .is_ending = true},
    {.word = REDIS_WHY_NO_TLS,
     .advice = "write redis:// in --store",
     .is_of_tls = true,
     .is_ending = true},
    {.word = REDIS_WHY_NO_SHAKE,
     .advice = "write redis:// in --store if it is without TLS",
     .is_of_tls = true,
     .is_ending = true},
    {.word = "TLS with",
     .advice = "see --redis-tls-cert, --redis-tls-key and the log of Redis",
     .is_of_tls = true},
    {.word = REDIS_WHY_NO_SENTINEL, .advice = "start them, or change --store"},
    {.word = REDIS_WHY_REPLACED, .advice = "Herald waits for the new one"},
    {.word = REDIS_WHY_UNKNOWN_NAME, .advice = "see SENTINEL MASTERS there"},
    {.word = REDIS_WHY_OLD_SENTINELS,
     .advice = "see SENTINEL MASTER there; restart Herald if they were set up anew"},
    {.word = REDIS_WHY_SENTINEL_REFUSES, .advice = "see --redis-sentinel-auth"},
    {.word = REDIS_WHY_IS_NO_SENTINEL,
     .advice = "name Sentinels in --store, or write redis://HOST:PORT",
     .is_ending = true},
    {"NOPERM", "", .is_refusal = true, .is_denial = true},
    {"ERR The user executing the script can't", "", .is_refusal = true, .is_denial = true},
    {"NOAUTH", "Redis asks for a password: write redis://[USER:PASSWORD@]HOST:PORT in --store",
     .is_refusal = true},
    {"WRONGPASS", "the user or the password in --store is wrong", .is_refusal = true},
    {"ERR AUTH", "Redis has no password: take the one out of --store", .is_refusal = true},
    {.word = "ERR DB index is out of range",
     .advice = "take a lower /N in --store, or raise databases in redis.conf"},
    {"ERR max number of clients",
     "raise maxclients in redis.conf: a node takes two connections for each of its --workers and "
     "each primary, three if it waits for replicas",
     .is_refusal = true},
    {"DENIED",
     "Redis takes connections of its own machine alone (protected mode): give it a password and "
     "write it in --store",
     .is_refusal = true},
    {"ERR unknown command `", "Herald needs Redis 7.0 or later", .is_refusal = true,
     .is_missing = true},
    {"ERR unknown command",
     "this Redis has no such command: take its rename-command out of redis.conf",
     .is_refusal = true, .is_missing = true},
    {"ERR Unknown Redis command called from script",
     "this Redis lacks a command: take rename-command out of redis.conf", .is_refusal = true,
     .is_missing = true},
    {.word = "SCHEMA",
     .advice = "another version of Herald wrote this user's keys: update this one"},
    {.word = REDIS_WHY_TOO_OLD, .advice = "Herald needs Redis 7.0 or later", .is_ending = true},
    {.word = "Connection refused", .advice = "start Redis there, or change --store"},
    {.word = "", .advice = "see that Redis runs there and answers, or change --store"},
};
_Static_assert(sizeof troubles / sizeof troubles[0] < REDIS_TROUBLES_MAX, "a row for each");

static bool is_of_row(const struct redis_trouble *row, const char *error)
{
    size_t len = strlen(row->word);
    size_t error_len = strlen(error);
    if (len > error_len)
        return false;
    return memcmp(row->is_ending ? error + error_len - len : error, row->word, len) == 0;
}

size_t redis_trouble_find(const char *error)
{
    size_t i = 0;
    while (!is_of_row(&troubles[i], error))
        i++;
    return i;
}

const struct redis_trouble *redis_trouble_at(size_t row)
{
    return &troubles[row];
}

/* "... run the 'hget' command", or "... run this command or subcommand (HGET)". */
static bool name_command(const char *error, char out[REDIS_RULE_MAX_BYTES])
{
    const char *quoted = strstr(error, "run the '");
    const char *name = quoted != NULL ? quoted + strlen("run the '") : strrchr(error, '(');
    if (name == NULL) {
        snprintf(out, REDIS_RULE_MAX_BYTES, "a command");
        return false;
    }
    if (quoted == NULL)
        name++;
    out[0] = '+';
    size_t len = 1;
    for (; len < REDIS_RULE_MAX_BYTES - 1 && (isalnum((unsigned char)*name) || *name == '|');
         name++)
        out[len++] = (char)tolower((unsigned char)*name);
    out[len] = '\0';
    return true;
}

/* The words differ between versions; each says of which of the three kinds it is. */
static bool name_rule(const char *error, const char *prefix, char out[REDIS_RULE_MAX_BYTES])
{
    if (strstr(error, "run th") != NULL)
        return name_command(error, out);
    if (strstr(error, "channel") != NULL)
        snprintf(out, REDIS_RULE_MAX_BYTES, "&%s:*", prefix);
    else
        snprintf(out, REDIS_RULE_MAX_BYTES, "~%s:*", prefix);
    return true;
}

bool redis_trouble_advise(const char *error, const char *prefix, char out[REDIS_ADVICE_MAX_BYTES])
{
    const struct redis_trouble *trouble = &troubles[redis_trouble_find(error)];
    char rule[REDIS_RULE_MAX_BYTES];
    if (!trouble->is_denial) {
        snprintf(out, REDIS_ADVICE_MAX_BYTES, "%s", trouble->advice);
        return true;
    }
    bool is_known = name_rule(error, prefix, rule);
    snprintf(out, REDIS_ADVICE_MAX_BYTES, "the Redis user lacks %s: see ACL in deploy/README",
             rule);
    return is_known;
}

bool redis_trouble_breaks_off(const char *error)
{
    return troubles[redis_trouble_find(error)].is_denial && strstr(error, "script") != NULL &&
           strstr(error, "run th") != NULL;
}
