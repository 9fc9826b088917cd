/* The list of what waits in one inbox: it behaves as a plain list does, and each operation takes
 * few steps however long it is. */
#include "gateway/base/hash.h"
#include "gateway/stores/local/waiting.h"

#include <criterion/criterion.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

static void setup(void)
{
    waiting_steps = 0;
    cr_assert_eq(hash_init(), ERR_OK);
}

TestSuite(waiting, .init = setup, .timeout = 60);

static uint32_t tag_of(uint64_t number)
{
    char key[24];
    snprintf(key, sizeof key, "key-%llu", (unsigned long long)number);
    return waiting_tag(span_of(key));
}

static void push(struct waiting **waiting, uint64_t seq, int64_t expires_ms, uint32_t tag)
{
    cr_assert_eq(waiting_reserve(waiting, tag), ERR_OK);
    waiting_push(*waiting, (struct waiting_entry){.key = 1000 + seq,
                                                  .seq = seq,
                                                  .due = waiting_due(expires_ms, tag),
                                                  .bytes = 10});
}

Test(waiting, an_entry_holds_its_expiry_and_the_tag_of_its_key)
{
    cr_assert_eq(sizeof(struct waiting_entry), 32);
    cr_assert_eq(waiting_tag((struct span){0}), 0);
    uint32_t tag = waiting_tag(SPAN_LITERAL("score"));
    cr_assert_neq(tag, 0);
    cr_assert_eq(waiting_tag(SPAN_LITERAL("score")), tag);
    struct waiting_entry entry = {.due = waiting_due(WAITING_EXPIRES_END_MS - 1, tag)};
    cr_assert_eq(waiting_expires_ms(&entry), WAITING_EXPIRES_END_MS - 1);
    cr_assert_eq(waiting_entry_tag(&entry), tag);
}

/* ---- against a list that does the same by looking at everything ---- */

enum { MODEL_MAX = 4000 };

struct model {
    struct waiting *waiting;
    size_t n;
    uint64_t seqs[MODEL_MAX];
    int64_t expires[MODEL_MAX];
    uint32_t tags[MODEL_MAX];
    uint64_t last_expired;
};

static void model_remove(struct model *model, size_t at)
{
    model->n--;
    for (size_t i = at; i < model->n; i++) {
        model->seqs[i] = model->seqs[i + 1];
        model->expires[i] = model->expires[i + 1];
        model->tags[i] = model->tags[i + 1];
    }
}

static void model_drop(struct model *model, size_t at)
{
    size_t place = waiting_seek(model->waiting, model->seqs[at] - 1);
    cr_assert_eq(model->waiting->entries[place].seq, model->seqs[at]);
    waiting_drop(&model->waiting, place);
    model_remove(model, at);
}

static void on_expired(void *owner, const struct waiting_entry *entry)
{
    struct model *model = owner;
    cr_assert_gt(entry->seq, model->last_expired, "they leave in the order of the numbers");
    model->last_expired = entry->seq;
    size_t at = 0;
    while (at < model->n && model->seqs[at] != entry->seq)
        at++;
    cr_assert_lt(at, model->n);
    cr_assert_eq(entry->key, 1000 + entry->seq);
    model_remove(model, at);
}

static void model_expire(struct model *model, int64_t now_ms)
{
    size_t n_due = 0;
    model->last_expired = 0;
    for (size_t i = 0; i < model->n; i++)
        n_due += model->expires[i] <= now_ms;
    cr_assert_eq(waiting_has_expired(model->waiting, now_ms), n_due > 0);
    size_t n_few = n_due < 5 ? n_due : 5;
    cr_assert_eq(waiting_drop_expired(&model->waiting, now_ms, 5, on_expired, model), n_few);
    cr_assert_eq(waiting_drop_expired(&model->waiting, now_ms, SIZE_MAX, on_expired, model),
                 n_due - n_few);
    for (size_t i = 0; i < model->n; i++)
        cr_assert_gt(model->expires[i], now_ms);
}

static bool is_seq(void *owner, const struct waiting_entry *entry)
{
    return entry->seq == *(uint64_t *)owner;
}

static void expect_same(const struct model *model)
{
    const struct waiting *waiting = model->waiting;
    size_t i = 0;
    cr_assert_eq(waiting_count(waiting), model->n);
    for (size_t place = waiting_first(waiting); place < waiting_end(waiting);
         place = waiting_next(waiting, place), i++) {
        uint64_t seq = model->seqs[i];
        cr_assert_eq(waiting->entries[place].seq, seq);
        cr_assert_eq(waiting_seek(waiting, seq - 1), place);
        cr_assert_eq(waiting_seek(waiting, seq), waiting_next(waiting, place));
        if (model->tags[i] != 0)
            cr_assert_eq(waiting_find(waiting, model->tags[i], is_seq, &seq), place);
    }
    cr_assert_eq(i, model->n);
    cr_assert(model->n == 0 ? waiting == NULL : waiting->bytes == 10 * model->n);
    uint64_t none = 0;
    cr_assert_eq(waiting_find(waiting, tag_of(1), is_seq, &none), waiting_end(waiting));
}

static void model_push(struct model *model, unsigned short rng[3], uint64_t seq, int64_t now_ms)
{
    uint32_t tag = nrand48(rng) % 3 == 0 ? 0 : tag_of((uint64_t)nrand48(rng) % 500);
    model->seqs[model->n] = seq;
    model->expires[model->n] = now_ms + 1 + nrand48(rng) % (nrand48(rng) % 4 == 0 ? 5 : 3000);
    model->tags[model->n] = tag;
    push(&model->waiting, seq, model->expires[model->n], tag);
    model->n++;
}

/* Phases in which more comes than leaves, and the other way round. */
static void run_against_model(unsigned short seed)
{
    static struct model model;
    unsigned short rng[3] = {seed, 7, 1};
    uint64_t seq = 0;
    model.n = 0;
    for (int64_t step = 0; step < 6000; step++) {
        bool is_growing = step / 700 % 2 == 0;
        long dice = nrand48(rng) % 10;
        seq += 1 + (uint64_t)(nrand48(rng) % 3 == 0);
        if ((dice < (is_growing ? 8 : 2) && model.n < MODEL_MAX) || model.n == 0)
            model_push(&model, rng, seq, step);
        else if (dice < 9)
            model_drop(&model, dice % 2 == 0 ? 0 : (size_t)nrand48(rng) % model.n);
        else
            model_expire(&model, step);
        if (step % 97 == 0)
            expect_same(&model);
    }
    expect_same(&model);
    while (model.n > 0)
        model_drop(&model, (size_t)nrand48(rng) % model.n);
    cr_assert_null(model.waiting, "where nothing waits nothing is held");
}

Test(waiting, does_what_a_plain_list_does)
{
    for (unsigned short seed = 1; seed <= 12; seed++)
        run_against_model(seed);
}

/* ---- what it costs ---- */

/* Two blocks, the way down a tree, and what closing up costs each that comes or goes. */
enum { STEPS_MAX = 150, LARGE = 100000, OPERATIONS = 30000 };

static void expect_few_steps(const char *what, size_t n_operations)
{
    cr_assert_leq(waiting_steps, (uint64_t)STEPS_MAX * n_operations, "%s: %llu steps each", what,
                  (unsigned long long)(waiting_steps / n_operations));
    waiting_steps = 0;
}

static struct waiting *fill(size_t n, int64_t ttl_ms, bool is_mixed, bool has_keys)
{
    struct waiting *waiting = NULL;
    for (uint64_t seq = 1; seq <= n; seq++) {
        int64_t expires_ms = ttl_ms + (is_mixed ? (int64_t)(seq * 7919 % n) : (int64_t)seq);
        push(&waiting, seq, expires_ms, has_keys ? tag_of(seq) : 0);
    }
    return waiting;
}

static void replace_oldest(struct waiting **waiting, uint64_t seq, bool has_keys)
{
    push(waiting, seq, (int64_t)(seq * 7919 % LARGE) + LARGE, has_keys ? tag_of(seq) : 0);
    waiting_drop(waiting, waiting_first(*waiting));
}

Test(waiting, filling_and_pushing_out_the_oldest_take_few_steps)
{
    for (int has_keys = 0; has_keys < 2; has_keys++) {
        waiting_steps = 0;
        struct waiting *waiting = fill(LARGE, 0, true, has_keys);
        expect_few_steps("filling", LARGE);
        for (uint64_t i = 1; i <= OPERATIONS; i++)
            replace_oldest(&waiting, LARGE + i, has_keys);
        expect_few_steps("pushing out the oldest", OPERATIONS);
        waiting_free(&waiting);
    }
}

static bool is_any(void *owner, const struct waiting_entry *entry)
{
    (void)owner;
    (void)entry;
    return true;
}

/* Each replaces one in the middle, as a collapse key does. */
Test(waiting, replacing_by_key_takes_few_steps)
{
    struct waiting *waiting = fill(LARGE, 0, false, true);
    waiting_steps = 0;
    for (uint64_t i = 1; i <= OPERATIONS; i++) {
        uint64_t key = i * 7919 % LARGE + 1;
        uint64_t seq = LARGE + i;
        size_t place = waiting_find(waiting, tag_of(key), is_any, NULL);
        cr_assert_lt(place, waiting_end(waiting));
        push(&waiting, seq, (int64_t)seq, tag_of(key));
        waiting_drop(&waiting, waiting_find(waiting, tag_of(key), is_any, NULL));
    }
    expect_few_steps("replacing by key", OPERATIONS);
    cr_assert_eq(waiting_count(waiting), LARGE);
    waiting_free(&waiting);
}

static void ignore_left(void *owner, const struct waiting_entry *entry)
{
    (void)owner;
    (void)entry;
}

Test(waiting, expiry_in_any_order_takes_few_steps)
{
    struct waiting *waiting = fill(LARGE, 0, true, false);
    waiting_steps = 0;
    size_t n_left = 0;
    for (int64_t now_ms = 0; now_ms < OPERATIONS; now_ms++)
        n_left += waiting_drop_expired(&waiting, now_ms, SIZE_MAX, ignore_left, NULL);
    cr_assert_eq(n_left, OPERATIONS);
    expect_few_steps("expiring", OPERATIONS);
    waiting_free(&waiting);
}

/* What has left from the middle is passed over at once. */
Test(waiting, reading_past_what_has_left_takes_few_steps)
{
    struct waiting *waiting = fill(LARGE, 0, false, false);
    waiting_steps = 0;
    for (uint64_t seq = 2; seq <= OPERATIONS; seq++)
        waiting_drop(&waiting, waiting_seek(waiting, seq - 1));
    expect_few_steps("dropping from the middle", OPERATIONS - 1);
    for (int i = 0; i < 100; i++) {
        size_t place = waiting_next(waiting, waiting_seek(waiting, 0));
        cr_assert_eq(waiting->entries[place].seq, OPERATIONS + 1);
        cr_assert_eq(waiting_seek(waiting, 5), place);
    }
    expect_few_steps("reading", 300);
    waiting_free(&waiting);
}

static size_t bytes_held(const struct waiting *waiting)
{
    return malloc_usable_size((void *)(uintptr_t)waiting) + sizeof(size_t);
}

/* gateway/store/README.md states it. The table of the keys is another block of memory. */
Test(waiting, an_entry_takes_what_the_readme_says)
{
    struct waiting *waiting = fill(1, 0, false, false);
    cr_assert_leq(bytes_held(waiting), 64);
    waiting_free(&waiting);
    for (size_t n = 2; n <= LARGE; n += n / 7 + 1) {
        waiting = fill(n, 0, true, false);
        cr_assert_leq(bytes_held(waiting), 48 * n, "%zu wait in %zu bytes", n, bytes_held(waiting));
        waiting_free(&waiting);
    }
    waiting = fill(LARGE, 0, true, false);
    for (uint64_t seq = 1; seq <= LARGE - 100; seq++)
        waiting_drop(&waiting, waiting_first(waiting));
    cr_assert_leq(bytes_held(waiting), 72 * 100, "what has left gives its memory back");
    waiting_free(&waiting);
}
