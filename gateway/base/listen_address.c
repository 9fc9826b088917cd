#include "gateway/base/listen_address.h"

#include "proto/bytes/decimal.h"

#include <arpa/inet.h>
#include <sys/un.h>

static bool copy_part(struct span part, char *out, size_t cap)
{
    if (part.len == 0 || part.len >= cap)
        return false;
    memcpy(out, part.bytes, part.len);
    out[part.len] = '\0';
    return true;
}

static bool is_port(struct span text)
{
    uint64_t port;
    return text.len <= 5 && decimal_read(text, UINT16_MAX, &port);
}

enum err listen_address_parse(const char *text, struct listen_address *ret_address)
{
    struct listen_address address = {0};
    if (strncmp(text, "unix:", 5) == 0) {
        struct sockaddr_un room;
        address.is_unix = true;
        if (!copy_part(span_of(text + 5), address.host, sizeof room.sun_path))
            return ERR_INVALID_FIELD;
        *ret_address = address;
        return ERR_OK;
    }
    const char *colon = strrchr(text, ':');
    if (colon == NULL || !is_port(span_of(colon + 1)))
        return ERR_INVALID_FIELD;
    struct span host = {text, (size_t)(colon - text)};
    bool is_v6 = host.len > 2 && host.bytes[0] == '[' && host.bytes[host.len - 1] == ']';
    if (is_v6)
        host = (struct span){host.bytes + 1, host.len - 2};
    if (!copy_part(host, address.host, sizeof address.host) ||
        !copy_part(span_of(colon + 1), address.port, sizeof address.port))
        return ERR_INVALID_FIELD;
    struct in6_addr v6;
    if (is_v6 ? inet_pton(AF_INET6, address.host, &v6) != 1
              : strpbrk(address.host, ":[] /") != NULL)
        return ERR_INVALID_FIELD;
    *ret_address = address;
    return ERR_OK;
}

bool listen_address_is_loopback(const struct listen_address *address)
{
    if (address->is_unix || strcmp(address->host, "localhost") == 0)
        return true;
    struct in_addr v4;
    if (inet_pton(AF_INET, address->host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    struct in6_addr v6;
    if (inet_pton(AF_INET6, address->host, &v6) != 1)
        return false;
    return IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127);
}

bool socket_mode_parse(const char *text, mode_t *ret_mode)
{
    mode_t mode = 0;
    size_t len = strlen(text);
    if (len == 0 || len > 4 || strspn(text, "01234567") != len)
        return false;
    for (; *text != '\0'; text++)
        mode = mode * 8 + (mode_t)(*text - '0');
    *ret_mode = mode;
    return mode <= 0777;
}
