/* The states of a reader, and the table of their successors. */
#include "gateway/session/reader.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define STATES (READER_ENDED + 1)

/* Rows: from; columns: to, in the order of enum reader_state. */
static const char *const allowed[STATES] = {
    [READER_NEW] = ".T.R..E",           [READER_WAITING_TURN] = "..SR..E",
    [READER_WAITING_STORE] = ".T....E", [READER_READING] = ".TS.DLE",
    [READER_DRAINING] = ".T....E",      [READER_LIVE] = ".T..D.E",
    [READER_ENDED] = ".......",
};

/* An assertion that fails ends the process, so each change is made in one of its own. */
static bool may_become(enum reader_state from, enum reader_state to)
{
    int status;
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        struct reader reader;
        reader_init(&reader);
        reader.state = (uint8_t)from;
        close(STDERR_FILENO);
        reader_become(&reader, to);
        _exit(reader.state == (uint8_t)to ? 0 : 1);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) ? WEXITSTATUS(status) == 0 : WTERMSIG(status) == SIGABRT);
    return WIFEXITED(status);
}

Test(reader, changes_to_the_successors_of_its_state_and_to_no_other)
{
    for (unsigned from = READER_NEW; from < STATES; from++) {
        for (unsigned to = READER_NEW; to < STATES; to++)
            cr_expect_eq(may_become(from, to), allowed[from][to] != '.', "from %u to %u", from, to);
    }
}

Test(reader, begins_as_new_and_has_been_given_nothing)
{
    struct reader reader = {.state = READER_LIVE, .tail = 7, .has_begun = true};
    reader_init(&reader);
    cr_expect_eq(reader.state, READER_NEW);
    cr_expect_eq(reader_tail(&reader), 0);
    cr_expect_not(reader_has_begun(&reader));
    cr_expect_not(reader_is_live(&reader));
    cr_expect_not(reader_is_waiting(&reader), "its session may leave before it waits for a turn");
}
