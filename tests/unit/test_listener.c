/* CONTRACT 7: --listen. */
#include "gateway/base/listener.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

static char why[300];
static struct listen_address address;

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
    if (listener_open(&address, "listen", &fd, why, sizeof why) != ERR_OK)
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
    cr_assert_eq(listener_open(&address, "listen", &fd, why, sizeof why), ERR_OK);
    cr_assert_lt(connect_v4(port_of(fd)), 0);
    listener_close(fd, &address);
}
