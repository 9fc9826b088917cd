/* The memory store as the cases open it. */
#include "gateway/stores/stores.h"
#include "tests/store/contract_fixture.h"

struct store *backend_open(struct store_config *config)
{
    char why[256] = "";
    struct store *opened = NULL;
    config->url = "memory:";
    cr_assert_eq(store_open(config, &opened, why, sizeof why), ERR_OK, "%s", why);
    return opened;
}

void backend_close(struct store *to_close)
{
    store_close(to_close);
}

void backend_leave(struct store *from, unsigned lane_index, struct span user_id)
{
    store_leave(from, lane_index, user_id);
}
