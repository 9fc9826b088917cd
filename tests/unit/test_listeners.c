/* Listening sockets that come from another process. Here one process has both ends: a duplicate
 * stands for what the other one holds. */
#include "gateway/http/listeners.h"

#include "gateway/net/listener.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { GIVEN_MAX = 4 };

static char directory[32];
static char path[64];
static char unix_text[80];
static char why[300];
static struct listeners *old;
static struct listeners *new;

static void setup(void)
{
    snprintf(directory, sizeof directory, "/tmp/herald_given_XXXXXX");
    cr_assert_not_null(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/s", directory);
    snprintf(unix_text, sizeof unix_text, "unix:%s", path);
}

static void teardown(void)
{
    listeners_close(new);
    listeners_close(old);
    unlink(path);
    rmdir(directory);
}

TestSuite(listeners, .init = setup, .fini = teardown);

static void open_old(char *first, char *second)
{
    char *texts[] = {first, second};
    const struct option_list list = {texts, second == NULL ? 1 : 2};
    cr_assert_eq(listeners_open(&list, "listen", NULL, &old, why, sizeof why), ERR_OK, "%s", why);
}

/* Gives all of the old ones to a port that listens at these addresses. */
static enum err adopt(const struct socket_rights *rights, char *first, char *second)
{
    char *texts[] = {first, second};
    const struct option_list list = {texts, second == NULL ? 1 : 2};
    struct given_listener given[GIVEN_MAX];
    size_t n = listeners_count(old);
    for (size_t i = 0; i < n; i++)
        given[i] = (struct given_listener){dup(listeners_fd(old, i)), listeners_text(old, i)};
    return listeners_adopt(&list, "listen", rights, given, n, &new, why, sizeof why);
}

static unsigned port_of(int fd)
{
    struct sockaddr_in where = {0};
    socklen_t len = sizeof where;
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&where, &len), 0);
    return ntohs(where.sin_port);
}

static bool is_same_socket(int a, int b)
{
    struct stat one, other;
    cr_assert_eq(fstat(a, &one), 0);
    cr_assert_eq(fstat(b, &other), 0);
    return one.st_ino == other.st_ino;
}

static bool has_file(void)
{
    return access(path, F_OK) == 0;
}

static unsigned count_fds(void)
{
    unsigned n = 0;
    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

Test(listeners, keep_a_port_that_the_kernel_has_chosen)
{
    open_old("127.0.0.1:0", "127.0.0.2:0");
    cr_assert_eq(adopt(NULL, "127.0.0.2:0", "127.0.0.1:0"), ERR_OK, "%s", why);
    cr_assert(is_same_socket(listeners_fd(new, 0), listeners_fd(old, 1)));
    cr_assert(is_same_socket(listeners_fd(new, 1), listeners_fd(old, 0)));
}

Test(listeners, know_an_address_that_is_written_in_another_way)
{
    char text[40];
    open_old("127.0.0.1:0", NULL);
    snprintf(text, sizeof text, "localhost:%u", port_of(listeners_fd(old, 0)));
    cr_assert_eq(adopt(NULL, text, NULL), ERR_OK, "%s", why);
    cr_assert(is_same_socket(listeners_fd(new, 0), listeners_fd(old, 0)));
}

Test(listeners, open_what_was_not_given)
{
    open_old("127.0.0.1:0", NULL);
    cr_assert_eq(adopt(NULL, unix_text, "127.0.0.1:0"), ERR_OK, "%s", why);
    cr_assert_eq(listeners_count(new), 2);
    cr_assert(is_same_socket(listeners_fd(new, 1), listeners_fd(old, 0)));
    cr_assert(has_file());
    listeners_close(new);
    new = NULL;
    cr_assert_not(has_file(), "its own");
}

Test(listeners, leave_a_given_file_until_they_are_settled)
{
    open_old(unix_text, NULL);
    cr_assert_eq(adopt(NULL, unix_text, NULL), ERR_OK, "%s", why);
    listeners_close(new);
    new = NULL;
    cr_assert(has_file(), "the other process goes on with it");
    cr_assert_eq(adopt(NULL, unix_text, NULL), ERR_OK, "%s", why);
    listeners_settle(new);
    listeners_let_go(old);
    old = NULL;
    cr_assert(has_file());
    listeners_close(new);
    new = NULL;
    cr_assert_not(has_file());
}

Test(listeners, close_an_address_that_is_not_named_any_more_when_they_are_settled)
{
    open_old(unix_text, "127.0.0.1:0");
    unsigned before = count_fds();
    cr_assert_eq(adopt(NULL, "127.0.0.1:0", NULL), ERR_OK, "%s", why);
    cr_assert_eq(listeners_count(new), 1);
    cr_assert(has_file());
    cr_assert_eq(count_fds(), before + 2);
    listeners_settle(new);
    cr_assert_not(has_file());
    cr_assert_eq(count_fds(), before + 1);
    listeners_settle(new); /* nothing is left to do */
}

Test(listeners, change_the_rights_of_a_given_file_when_they_are_settled)
{
    const struct socket_rights rights = {.mode = 0600};
    struct stat found;
    open_old(unix_text, NULL);
    cr_assert_eq(chmod(path, 0660), 0);
    cr_assert_eq(adopt(&rights, unix_text, NULL), ERR_OK, "%s", why);
    cr_assert_eq(stat(path, &found), 0);
    cr_assert_eq(found.st_mode & 0777, 0660);
    listeners_settle(new);
    cr_assert_eq(stat(path, &found), 0);
    cr_assert_eq(found.st_mode & 0777, 0600);
}

static int try_connect(void)
{
    struct sockaddr_un where = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(where.sun_path, sizeof where.sun_path, "%s", path);
    int code = connect(fd, (struct sockaddr *)&where, sizeof where) == 0 ? 0 : errno;
    close(fd);
    return code;
}

Test(listeners, make_a_removed_file_anew_when_they_are_settled)
{
    const struct socket_rights rights = {.mode = 0600};
    struct stat found;
    open_old(unix_text, "127.0.0.1:0");
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(adopt(&rights, unix_text, "127.0.0.1:0"), ERR_OK, "%s", why);
    unsigned before = count_fds();
    int fd = listeners_fd(new, 0);
    cr_assert_not(has_file(), "the other process may have to go on");
    listeners_settle(new);
    cr_assert_eq(try_connect(), 0);
    cr_assert_eq(listeners_fd(new, 0), fd, "acceptors have its number by then");
    cr_assert(fcntl(fd, F_GETFL) & O_NONBLOCK);
    cr_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    cr_assert_eq(stat(path, &found), 0);
    cr_assert_eq(found.st_mode & 0777, 0600);
    cr_assert_not(is_same_socket(listeners_fd(new, 0), listeners_fd(old, 0)));
    cr_assert(is_same_socket(listeners_fd(new, 1), listeners_fd(old, 1)));
    cr_assert_eq(count_fds(), before);
}

Test(listeners, keep_a_socket_whose_file_cannot_be_made_anew)
{
    open_old(unix_text, NULL);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(rmdir(directory), 0);
    cr_assert_eq(adopt(NULL, unix_text, NULL), ERR_OK, "%s", why);
    unsigned before = count_fds();
    listeners_settle(new);
    cr_assert(is_same_socket(listeners_fd(new, 0), listeners_fd(old, 0)));
    cr_assert_eq(count_fds(), before);
    cr_assert_eq(try_connect(), ENOENT);
}

Test(listeners, leave_the_file_of_another_program_in_place_of_a_removed_one)
{
    const struct socket_rights rights = {.mode = 0660};
    open_old(unix_text, NULL);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(adopt(&rights, unix_text, NULL), ERR_OK, "%s", why);
    int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    cr_assert_geq(fd, 0);
    listeners_settle(new);
    struct stat found;
    cr_assert_eq(stat(path, &found), 0);
    cr_assert_eq(found.st_mode, S_IFREG | 0600);
    cr_assert(is_same_socket(listeners_fd(new, 0), listeners_fd(old, 0)));
    listeners_hide(new);
    listeners_close(new);
    new = NULL;
    cr_assert(has_file());
    close(fd);
}

Test(listeners, close_all_that_was_given_when_one_cannot_be_opened)
{
    char text[40];
    open_old("127.0.0.1:0", unix_text);
    snprintf(text, sizeof text, "0.0.0.0:%u", port_of(listeners_fd(old, 0)));
    unsigned before = count_fds();
    cr_assert_eq(adopt(NULL, unix_text, text), ERR_SYSTEM);
    cr_assert_not_null(strstr(why, "--listen: cannot listen on 0.0.0.0:"), "%s", why);
    cr_assert_eq(count_fds(), before);
    cr_assert(has_file());
    cr_assert_eq(adopt(NULL, "nowhere", NULL), ERR_INVALID_FIELD);
    cr_assert_eq(count_fds(), before);
}

/* A connection that came while nobody accepted is answered by whoever does next. */
Test(listeners, lose_nobody_who_has_connected_meanwhile)
{
    struct peer_address from;
    struct sockaddr_in where = {0};
    socklen_t len = sizeof where;
    open_old("127.0.0.1:0", NULL);
    cr_assert_eq(getsockname(listeners_fd(old, 0), (struct sockaddr *)&where, &len), 0);
    int client = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(connect(client, (struct sockaddr *)&where, len), 0);
    cr_assert_eq(adopt(NULL, "127.0.0.1:0", NULL), ERR_OK, "%s", why);
    listeners_let_go(old);
    old = NULL;
    int accepted = listener_accept(listeners_fd(new, 0), &from);
    cr_assert_geq(accepted, 0);
    close(accepted);
    close(client);
}

/* ---- the end ---- */

/* By the time of the close another program may listen there. */
Test(listeners, remove_their_files_once)
{
    open_old(unix_text, NULL);
    listeners_hide(old);
    cr_assert_not(has_file());
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    cr_assert_geq(fd, 0);
    close(fd);
    listeners_hide(old);
    listeners_close(old);
    old = NULL;
    cr_expect(has_file());
}

static int connect_to(unsigned port)
{
    struct sockaddr_in where = {.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int result = connect(fd, (struct sockaddr *)&where, sizeof where);
    int code = errno;
    close(fd);
    errno = code;
    return result;
}

Test(listeners, refuse_connections_once_they_are_ended)
{
    open_old("127.0.0.1:0", NULL);
    unsigned port = port_of(listeners_fd(old, 0));
    listeners_await_nothing(old);
    cr_assert_eq(connect_to(port), 0);
    listeners_end(old);
    cr_expect_eq(connect_to(port), -1);
    cr_expect_eq(errno, ECONNREFUSED);
    listeners_hide(NULL);
    listeners_end(NULL);
    listeners_await_nothing(NULL);
}
