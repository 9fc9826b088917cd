/* Workers that are parked and let go again and again, while pushes and kicks come from other
 * threads. For ThreadSanitizer; besides, no turn may run while they are parked, and every request
 * is answered in the end. */
#include "gateway/node/worker_park.h"
#include "tests/race/host.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { USUAL_MS = 3000, USERS = 16, PUSHERS = 2 };

static void *push_on(void *seed)
{
    for (unsigned n = (unsigned)(size_t)seed; !atomic_load(&race.is_over); n += 7) {
        char user[RACE_USER_CAP];
        snprintf(user, sizeof user, "u%u", n % USERS);
        race_push(user, &(struct gateway_push){.ttl_s = n % 2, .data = SPAN_LITERAL("\"x\"")});
        if (n % 64 == 0)
            usleep(500);
    }
    return NULL;
}

static void add_turns(struct worker *worker, void *argument)
{
    uint64_t *turns = argument;
    *turns += reactor_turns(worker->reactor);
}

static bool park_once(struct node *node)
{
    struct worker_park *park;
    uint64_t before = 0;
    uint64_t after = 0;
    if (workers_park(node, &park) != ERR_OK)
        return false;
    workers_parked_each(park, add_turns, &before);
    workers_deliver(park);
    usleep(300);
    workers_parked_each(park, add_turns, &after);
    workers_unpark(park);
    return before == after;
}

int main(int argc, char **argv)
{
    int run_ms = race_run_ms(argc, argv, USUAL_MS);
    bool is_good = true;
    if (!race_start((char *[]){NULL}))
        return 1;
    for (size_t i = 0; i < PUSHERS; i++)
        race_thread(push_on, i + 1);
    for (int n = 0; is_good && n < run_ms; n++) {
        is_good = park_once(race.node);
        usleep(700);
    }
    if (!is_good)
        fprintf(stderr, "race_park: a turn has run while the workers were parked\n");
    race_join();
    return race_end() && is_good ? 0 : 1;
}
