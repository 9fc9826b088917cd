#include "tests/alloc/fail.h"

#include <stdarg.h>
#include <stddef.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *block, size_t size);
void __real_free(void *block);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *block, size_t size);
void __wrap_free(void *block);

static const char *running; /* NULL: nothing is counted and nothing fails */
static unsigned long n_asked, fails_at;
static bool all_that_follow, has_failed, is_over;
static long n_live;

static bool must_fail(void)
{
    if (running == NULL || is_over)
        return false;
    n_asked++;
    bool fails = n_asked == fails_at || (all_that_follow && n_asked > fails_at);
    has_failed = has_failed || fails;
    return fails;
}

static void *counted(void *block)
{
    if (running != NULL && block != NULL)
        n_live++;
    return block;
}

void *__wrap_malloc(size_t size)
{
    return must_fail() ? NULL : counted(__real_malloc(size));
}

void *__wrap_calloc(size_t n, size_t size)
{
    return must_fail() ? NULL : counted(__real_calloc(n, size));
}

void *__wrap_realloc(void *block, size_t size)
{
    if (must_fail())
        return NULL;
    void *moved = __real_realloc(block, size);
    return block == NULL ? counted(moved) : moved;
}

void __wrap_free(void *block)
{
    if (running != NULL && block != NULL)
        n_live--;
    __real_free(block);
}

bool fail_library(void)
{
    return must_fail();
}

void *fail_uncounted_realloc(void *block, size_t size)
{
    return __real_realloc(block, size);
}

void fail_uncounted_free(void *block)
{
    __real_free(block);
}

bool fail_has_happened(void)
{
    return has_failed;
}

unsigned long fail_asked(void)
{
    return n_asked;
}

void fail_no_more(void)
{
    is_over = true;
}

void fail_complain(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: %s (%s, allocation %lu failed%s)\n", file, line, what,
            running == NULL ? "none running" : running, fails_at,
            all_that_follow ? " and all behind it" : "");
    abort();
}

/* false: nothing failed. */
static bool run_once(const char *name, void (*run)(void), unsigned long nth)
{
    running = name;
    n_asked = 0;
    fails_at = nth;
    has_failed = is_over = false;
    n_live = 0;
    run();
    if (n_live != 0) {
        fprintf(stderr, "%s: %ld blocks are left\n", name, n_live);
        fail_complain(__FILE__, __LINE__, "memory was leaked");
    }
    running = NULL;
    return has_failed;
}

void fail_each(const char *name, void (*run)(void))
{
    unsigned long n = 0;
    run_once(name, run, 0); /* whatever is made once for the process is made now */
    for (int follow = 0; follow < 2; follow++) {
        all_that_follow = follow == 1;
        for (n = 1; run_once(name, run, n); n++)
            ;
    }
    all_that_follow = false;
    printf("%s: %lu allocations\n", name, n - 1);
    fflush(stdout);
}
