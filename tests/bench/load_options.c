/* The options of the command line. */
#include "load.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct options options = {.subscribers = 1000,
                          .publishers = 64,
                          .lines = 1000,
                          .size = 256,
                          .per_user = 50,
                          .ttl = -1,
                          .wait = -1,
                          .warmup_ms = 1000,
                          .window_ms = 5000,
                          .settle_ms = 1000};

static const char *const mode_names[N_MODES] = {"idle", "push", "lines", "fanout", "flush", "ping"};
static const char *const level_names[N_LEVELS] = {"plain", "v1", "sse"};

static const struct number_option {
    const char *name;
    long *value;
    long min, max;
} number_options[] = {
    {"--subscribers", &options.subscribers, 1, 19000},
    {"--first-user", &options.first_user, 0, 900000},
    {"--stuck", &options.stuck, 0, 18000},
    {"--publishers", &options.publishers, 1, 512},
    {"--lines", &options.lines, 1, 10000},
    {"--size", &options.size, MARK_LENGTH + 1, 16384},
    {"--per-user", &options.per_user, 1, 1000},
    {"--rate", &options.rate, 0, 1000000},
    {"--ttl", &options.ttl, 0, 2592000},
    {"--wait", &options.wait, 0, 30},
    {"--keys", &options.keys, 0, 1},
    {"--in-turn", &options.in_turn, 0, 1},
    {"--tls", &options.tls, 0, 1},
    {"--warmup-ms", &options.warmup_ms, 0, 30000},
    {"--window-ms", &options.window_ms, 100, 60000},
    {"--settle-ms", &options.settle_ms, 0, 60000},
    {"--pid", &options.pid, 1, 1 << 30},
    {"--redis-pid", &options.redis_pid, 1, 1 << 30},
};

static _Noreturn void usage(void)
{
    fputs("load MODE --ws 127.0.0.1:PORT[,...] --admin 127.0.0.1:PORT[,...] "
          "[--level plain/v1/sse] [OPTION NUMBER]...\n"
          "MODE: idle, push, lines, fanout, flush, ping\n",
          stderr);
    for (size_t i = 0; i < sizeof number_options / sizeof number_options[0]; i++)
        fprintf(stderr, "  %s %ld..%ld\n", number_options[i].name, number_options[i].min,
                number_options[i].max);
    exit(2);
}

static void take_address(struct sockaddr_in *address, const char *text)
{
    char host[32] = "";
    unsigned port = 0;
    if (sscanf(text, "%31[0-9.]:%u", host, &port) != 2 || port < 1 || port > 65535 ||
        inet_pton(AF_INET, host, &address->sin_addr) != 1)
        die("an address is 127.0.0.1:PORT, not %s", text);
    if (ntohl(address->sin_addr.s_addr) >> 24 != 127)
        die("load goes to 127.0.0.0/8 alone, not to %s", text);
    address->sin_family = AF_INET;
    address->sin_port = htons((uint16_t)port);
}

/* One or more, between commas. */
static void take_addresses(struct sockaddr_in *addresses, uint32_t *ret_count, char *text)
{
    char *rest;
    *ret_count = 0;
    for (char *one = strtok_r(text, ",", &rest); one; one = strtok_r(NULL, ",", &rest)) {
        if (*ret_count == NODES_MAX)
            die("at most %d addresses", NODES_MAX);
        take_address(&addresses[(*ret_count)++], one);
    }
}

static void take_number(const char *name, const char *text)
{
    for (size_t i = 0; i < sizeof number_options / sizeof number_options[0]; i++) {
        const struct number_option *option = &number_options[i];
        char *end;
        if (strcmp(name, option->name) != 0)
            continue;
        *option->value = strtol(text, &end, 10);
        if (*end != '\0' || *option->value < option->min || *option->value > option->max)
            die("%s is %ld to %ld", name, option->min, option->max);
        return;
    }
    usage();
}

static int find_name(const char *const *names, int count, const char *text)
{
    int i = 0;
    while (i < count && strcmp(names[i], text) != 0)
        i++;
    if (i == count)
        usage();
    return i;
}

static void check_options(void)
{
    if (options.stuck >= options.subscribers)
        die("somebody has to read");
    if (options.mode == MODE_LINES && options.publishers > options.subscribers)
        die("each publisher of lines needs a user");
    if (options.keys && options.mode != MODE_PUSH)
        die("only the pushes of mode push have keys");
    if (options.mode == MODE_PING && options.level != LEVEL_V1)
        die("only herald.v1 has a ping of its own");
    if (options.n_ws == 0 ||
        (options.n_admin == 0 && options.mode != MODE_IDLE && options.mode != MODE_PING))
        usage();
}

void options_take(int count, char **words)
{
    if (count < 2 || count % 2 != 0)
        usage();
    options.mode = (enum mode)find_name(mode_names, N_MODES, words[1]);
    for (int i = 2; i < count; i += 2) {
        if (strcmp(words[i], "--ws") == 0)
            take_addresses(options.ws, &options.n_ws, words[i + 1]);
        else if (strcmp(words[i], "--admin") == 0)
            take_addresses(options.admin, &options.n_admin, words[i + 1]);
        else if (strcmp(words[i], "--level") == 0)
            options.level = (enum level)find_name(level_names, N_LEVELS, words[i + 1]);
        else
            take_number(words[i], words[i + 1]);
    }
    check_options();
}
