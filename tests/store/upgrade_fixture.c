#include "tests/store/upgrade_fixture.h"

struct store *next;

struct store_config awaited_config(int lock_fd)
{
    struct store_config config = contract_config(1000, 1 << 20);
    config.is_awaited = true;
    config.lock_fd = lock_fd;
    return config;
}

void upgrade_setup(void)
{
    contract_open();
    struct store_config config = awaited_config(store_lock_fd(store));
    next = open_at(&config, directory);
}

void upgrade_close_both(void)
{
    store_close(store);
    store_close(next);
    store = NULL;
    next = NULL;
}

void upgrade_teardown(void)
{
    upgrade_close_both();
    remove_directory();
    recorder_fini();
    cr_assert_eq(atomic_load(&answers_inside_a_call), 0, "on_done ran inside the call that asked");
    contract_check_leaks();
}

void hand_over(void)
{
    store_let_go(store);
    store_take_over(next);
}

bool is_answered(const struct call *call)
{
    return atomic_load(&call->n_answers) > 0;
}
