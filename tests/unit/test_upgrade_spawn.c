/* The successor as a child: what it inherits, and how its end is told. */
#include "gateway/upgrade/upgrade_spawn.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t start_shell(char *script, int fd)
{
    char *argv[] = {"bash", "-c", script, NULL};
    char why[512] = "";
    pid_t pid = -1;
    cr_assert_eq(upgrade_spawn(argv, environ, fd, &pid, why, sizeof why), ERR_OK, "%s", why);
    return pid;
}

static void wait_for_end(pid_t pid, const char *expected)
{
    char why[128] = "";
    while (!upgrade_spawn_has_ended(pid, why, sizeof why))
        usleep(1000);
    cr_assert_str_eq(why, expected);
}

/* What the script writes to its end of the pair. */
static void expect_output(char *script, const char *expected)
{
    int ends[2];
    char text[1024] = "";
    size_t len = 0;
    ssize_t n;
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    pid_t pid = start_shell(script, ends[1]);
    close(ends[1]);
    while ((n = read(ends[0], text + len, sizeof text - 1 - len)) > 0)
        len += (size_t)n;
    text[len] = '\0';
    cr_assert_str_eq(text, expected);
    wait_for_end(pid, "the new process ended with status 0");
    close(ends[0]);
}

Test(upgrade_spawn, gives_the_child_its_end_of_the_link, .timeout = 20)
{
    setenv("HERALD_HANDOVER_FD", "999", 1); /* as a shell would have set it for us */
    expect_output("env | grep -c HERALD_HANDOVER_FD >&$HERALD_HANDOVER_FD", "1\n");
}

Test(upgrade_spawn, blocks_and_ignores_no_signal_in_the_child, .timeout = 20)
{
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigaddset(&blocked, SIGUSR2);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    /* Without the two signals above 31 that the C library has for itself. */
    expect_output("of() { sed -n \"s/^$1:[[:space:]]*/0x/p\" /proc/self/status; };"
                  "echo $(($(of SigBlk))) $(($(of SigIgn) & 0x7fffffff)) >&$HERALD_HANDOVER_FD",
                  "0 0\n");
}

Test(upgrade_spawn, says_why_a_program_does_not_start)
{
    char *argv[] = {"/nowhere/herald", NULL};
    char why[512] = "";
    pid_t pid = -1;
    cr_assert_eq(upgrade_spawn(argv, environ, STDIN_FILENO, &pid, why, sizeof why), ERR_SYSTEM);
    cr_assert_str_eq(why, "/nowhere/herald cannot be started: No such file or directory");
}

Test(upgrade_spawn, says_how_the_child_ended, .timeout = 20)
{
    wait_for_end(start_shell("exit 7", STDIN_FILENO), "the new process ended with status 7");
    wait_for_end(start_shell("kill -9 $$", STDIN_FILENO), "the new process was ended by signal 9");
}

Test(upgrade_spawn, waits_for_no_other_child, .timeout = 20)
{
    char why[128];
    pid_t other = fork();
    if (other == 0)
        _exit(3);
    pid_t pid = start_shell("sleep 60", STDIN_FILENO);
    cr_assert_not(upgrade_spawn_has_ended(pid, why, sizeof why));
    upgrade_spawn_kill(pid);
    cr_assert_eq(kill(pid, 0), -1);
    int status;
    cr_assert_eq(waitpid(other, &status, 0), other);
    cr_assert_eq(WEXITSTATUS(status), 3);
}
