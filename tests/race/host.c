#include "tests/race/host.h"
#include "tests/support/loopback.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct race race;

struct race_push {
    struct gateway_push push;
    struct gateway_target target;
    char user[RACE_USER_CAP];
};

int race_run_ms(int argc, char **argv, int usual_ms)
{
    return argc > 1 ? (int)strtol(argv[1], NULL, 10) : usual_ms;
}

bool race_start(char *const more[])
{
    char why[1024];
    static char listen[64];
    enum options_action action;
    race.port = loopback_free_port();
    snprintf(listen, sizeof listen, "127.0.0.1:%u", race.port);
    char *argv[RACE_ARGUMENTS_MAX] = {"race", "--store",   "memory:", "--listen",
                                      listen, "--workers", "3"};
    int argc = 7;
    for (size_t i = 0; more[i] != NULL; i++)
        argv[argc++] = more[i];
    char *environment[] = {NULL};
    if (options_read(argc, argv, environment, &race.options, &action, why, sizeof why) == ERR_OK &&
        gateway_start(&race.options, &race.node, why, sizeof why) == ERR_OK)
        return true;
    fprintf(stderr, "race: %s\n", why);
    return false;
}

void race_thread(void *(*run)(void *), size_t seed)
{
    pthread_create(&race.threads[race.n_threads++], NULL, run, (void *)seed);
}

void race_answered(void *request)
{
    free(request);
    atomic_fetch_add(&race.n_answered, 1);
}

static void on_pushed(struct gateway_push *push)
{
    struct race_push *pushed = (struct race_push *)push;
    if (pushed->target.error != ERR_OK) {
        fprintf(stderr, "race: a push failed: %d\n", pushed->target.error);
        abort();
    }
    race_answered(pushed);
}

void race_push(const char *user, const struct gateway_push *how)
{
    struct race_push *pushed = calloc(1, sizeof *pushed);
    snprintf(pushed->user, sizeof pushed->user, "%s", user);
    pushed->target.user_id = span_of(pushed->user);
    pushed->push = *how;
    pushed->push.on_done = on_pushed;
    pushed->push.n_targets = 1;
    pushed->push.targets = &pushed->target;
    atomic_fetch_add(&race.n_asked, 1);
    gateway_push(race.node, &pushed->push);
}

void race_join(void)
{
    atomic_store(&race.is_over, true);
    for (size_t i = 0; i < race.n_threads; i++)
        pthread_join(race.threads[i], NULL);
    /* Under a sanitizer on a busy machine tens of thousands of requests may still be under way. */
    for (int i = 0; i < 6000 && atomic_load(&race.n_answered) < atomic_load(&race.n_asked); i++)
        usleep(10 * 1000);
}

bool race_end(void)
{
    int asked = atomic_load(&race.n_asked);
    int answered = atomic_load(&race.n_answered);
    gateway_stop(race.node);
    options_fini(&race.options);
    printf("%d asked, %d answered\n", asked, answered);
    return asked > 0 && asked == answered;
}
