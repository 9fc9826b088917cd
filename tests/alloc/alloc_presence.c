/* Presence without memory: a change that finds none is said to be forgotten, and the table holds
 * what it held. */
#include "gateway/base/hash.h"
#include "gateway/events/presence_table.h"
#include "tests/alloc/fail.h"

enum { USERS = 40 };

static void changes(void)
{
    static struct presence_batch batch;
    struct presence_table table;
    char name[16];
    size_t n_noted = 0;
    if (!WENT_WELL(presence_table_init(&table)))
        return;
    for (unsigned i = 0; i < USERS; i++) {
        snprintf(name, sizeof name, "u%u", i);
        struct span user_id = span_of(name);
        enum err error = i % 2 == 0 ? presence_table_came(&table, user_id, SPAN_LITERAL("{}"), 0)
                                    : presence_table_left(&table, user_id, 1, OFFLINE_SLOW, false);
        CHECK(error == ERR_OK || (error == ERR_NO_MEMORY && fail_has_happened()));
        CHECK(presence_table_has(&table, user_id) == (error == ERR_OK));
        n_noted += error == ERR_OK;
    }
    CHECK(table.n == n_noted);
    presence_batch_init(&batch);
    presence_batch_take(&batch, &table);
    CHECK(batch.n == n_noted && table.n == 0);
    presence_batch_clear(&batch);
    presence_table_fini(&table);
}

int main(void)
{
    if (hash_init() != ERR_OK)
        return 1;
    fail_each("presence_table", changes);
    return 0;
}
