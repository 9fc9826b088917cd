/* The node's memory may run short: the linker's --wrap sends the allocations of everybody to this
 * file. They can only fail between sim_memory_scarce and sim_memory_plenty, which stand around what
 * the node does; the simulation's own, and those of libraries, never do. */
#include "tests/sim/sim.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *block, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *block, size_t size);

static struct sim *scarce; /* NULL: there is memory */

void sim_memory_scarce(struct sim *sim)
{
    scarce = sim->failing_per_mille > 0 ? sim : NULL;
}

void sim_memory_plenty(void)
{
    scarce = NULL;
}

static bool must_fail(void)
{
    if (scarce == NULL || !sim_chance(scarce, scarce->failing_per_mille))
        return false;
    sim_trace(scarce, "an allocation fails");
    scarce->totals.failed_allocations++;
    sim_model_ran_short(scarce);
    return true;
}

void *__wrap_malloc(size_t size)
{
    return must_fail() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return must_fail() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *block, size_t size)
{
    return must_fail() ? NULL : __real_realloc(block, size);
}
