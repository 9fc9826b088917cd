/* CONTRACT 7: --listen, --socket-mode. */
#include "gateway/net/listener.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static char why[300];
static char directory[32];
static char text[80];
static struct listen_address address;

static void setup(void)
{
    snprintf(directory, sizeof directory, "/tmp/herald_unix_XXXXXX");
    cr_assert_not_null(mkdtemp(directory));
    snprintf(text, sizeof text, "unix:%s/s", directory);
    cr_assert_eq(listen_address_parse(text, &address), ERR_OK);
}

static void teardown(void)
{
    unlink(address.host);
    rmdir(directory);
}

TestSuite(listener, .init = setup, .fini = teardown);

static unsigned mode_of(const char *path)
{
    struct stat found;
    cr_assert_eq(lstat(path, &found), 0);
    return found.st_mode & 07777;
}

Test(listener, gives_a_unix_socket_its_permissions_whatever_the_umask)
{
    static const mode_t masks[] = {0, 022, 077, 0777};
    static const mode_t modes[] = {0660, 0600, 0666, 0, 0777};
    for (size_t i = 0; i < sizeof masks / sizeof masks[0]; i++) {
        for (size_t j = 0; j < sizeof modes / sizeof modes[0]; j++) {
            int fd = -1;
            struct socket_rights rights = {.mode = modes[j]};
            umask(masks[i]);
            cr_assert_eq(listener_open(&address, &rights, "listen", &fd, why, sizeof why), ERR_OK,
                         "%s", why);
            cr_assert_eq(mode_of(address.host), modes[j], "%o under %o", mode_of(address.host),
                         masks[i]);
            listener_close(fd, &address);
        }
    }
}

static atomic_bool is_over;
static atomic_uint widest;

/* All permissions that the file is ever seen with. */
static void *watch(void *unused)
{
    struct stat found;
    while (!atomic_load(&is_over)) {
        if (lstat(address.host, &found) == 0)
            atomic_fetch_or(&widest, found.st_mode & 0777);
    }
    return unused;
}

Test(listener, never_makes_a_unix_socket_with_more_permissions_than_it_is_to_have)
{
    pthread_t watcher;
    struct socket_rights rights = {.mode = 0600};
    umask(0);
    cr_assert_eq(pthread_create(&watcher, NULL, watch, NULL), 0);
    for (int i = 0; i < 2000; i++) {
        int fd = -1;
        cr_assert_eq(listener_open(&address, &rights, "listen", &fd, why, sizeof why), ERR_OK);
        listener_close(fd, &address);
    }
    atomic_store(&is_over, true);
    pthread_join(watcher, NULL);
    cr_assert_eq(atomic_load(&widest) & ~0600U, 0, "%o", atomic_load(&widest));
}

Test(listener, removes_a_socket_that_it_cannot_give_to_the_group)
{
    int fd = -1;
    struct socket_rights rights = {.mode = 0660, .has_group = true, .group = 4711};
    rmdir(directory);
    if (geteuid() == 0)
        cr_assert_eq(setuid(65534), 0);
    setup(); /* once more, without the rights of root */
    cr_assert_eq(listener_open(&address, &rights, "listen", &fd, why, sizeof why), ERR_SYSTEM);
    cr_assert_eq(strncmp(why, "--socket-group: this user may not", 33), 0, "%s", why);
    cr_assert_neq(access(address.host, F_OK), 0);
}

/* As the filter of herald.service: EPERM. */
static void deny_chown(void)
{
    static struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
#ifdef __NR_lchown
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_lchown, 2, 0),
#else
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_fchown, 2, 0),
#endif
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_fchownat, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
    };
    struct sock_fprog program = {sizeof filter / sizeof filter[0], filter};
    cr_assert_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    cr_assert_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
    cr_assert_eq(lchown(directory, (uid_t)-1, getegid()), -1);
}

Test(listener, does_not_change_a_group_that_is_right_already)
{
    int fd = -1;
    struct socket_rights rights = {.mode = 0660, .has_group = true};
    rights.group = getegid();
    deny_chown();
    cr_assert_eq(listener_open(&address, &rights, "listen", &fd, why, sizeof why), ERR_OK, "%s",
                 why);
    cr_assert_eq(mode_of(address.host), 0660);
    listener_close(fd, &address);
}

Test(listener, reads_the_rights_of_the_options)
{
    struct socket_rights rights;
    struct options options = {.socket_mode = "0640", .socket_group = "root"};
    cr_assert_eq(socket_rights_read(&options, &rights, why, sizeof why), ERR_OK);
    cr_assert_eq(rights.mode, 0640);
    cr_assert(rights.has_group);
    cr_assert_eq(rights.group, 0);
    options.socket_group = "4711";
    cr_assert_eq(socket_rights_read(&options, &rights, why, sizeof why), ERR_OK);
    cr_assert_eq(rights.group, 4711);
    options.socket_group = "";
    cr_assert_eq(socket_rights_read(&options, &rights, why, sizeof why), ERR_OK);
    cr_assert_not(rights.has_group);
    options.socket_group = "no-such-group";
    cr_assert_eq(socket_rights_read(&options, &rights, why, sizeof why), ERR_INVALID_FIELD);
    cr_assert_str_eq(why, "--socket-group: there is no group \"no-such-group\" on this machine");
    /* -1 means "leave it" to chown. */
    options.socket_group = "4294967295";
    cr_assert_eq(socket_rights_read(&options, &rights, why, sizeof why), ERR_INVALID_FIELD);
    options.socket_group = "";
    static const char *const wrong[] = {"", "rw", "0888", "01777", "00660", "+660", "0x1b0", "-1"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        options.socket_mode = (char *)wrong[i];
        cr_assert_eq(socket_rights_read(&options, &rights, why, sizeof why), ERR_INVALID_FIELD,
                     "%s", wrong[i]);
    }
}

static int port_of(int fd)
{
    struct sockaddr_in6 name;
    socklen_t len = sizeof name;
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&name, &len), 0);
    return ntohs(name.sin6_port);
}

static int connect_v4(int port)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&name, sizeof name) == 0)
        return fd;
    close(fd);
    return -1;
}

Test(listener, takes_ipv4_at_the_ipv6_wildcard_and_shows_its_peers_as_such)
{
    int fd = -1;
    char shown[80];
    struct peer_address peer;
    static const uint8_t loopback[] = {127, 0, 0, 1};
    cr_assert_eq(listen_address_parse("[::]:0", &address), ERR_OK);
    if (listener_open(&address, NULL, "listen", &fd, why, sizeof why) != ERR_OK)
        cr_skip_test("no IPv6 here");
    int client = connect_v4(port_of(fd));
    cr_assert_geq(client, 0);
    int accepted = listener_accept(fd, &peer);
    cr_assert_geq(accepted, 0);
    struct ip expected = ip_from_v4(loopback);
    cr_assert(ip_equal(&peer.ip, &expected));
    listener_peer(accepted, shown, sizeof shown);
    cr_assert_str_eq(shown, "127.0.0.1");
    close(client);
    close(accepted);
    listener_close(fd, &address);

    address.is_v6_only = true;
    cr_assert_eq(listener_open(&address, NULL, "listen", &fd, why, sizeof why), ERR_OK);
    cr_assert_lt(connect_v4(port_of(fd)), 0);
    listener_close(fd, &address);
}
