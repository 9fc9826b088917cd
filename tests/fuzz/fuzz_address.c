/* Addresses as text: a Redis's URL, where to listen, IP addresses (as inet_pton takes them) and
 * ranges. A byte chooses. */
#include "gateway/base/listen_address.h"
#include "gateway/stores/redis/redis_url.h"
#include "proto/bytes/cidr.h"
#include "tests/fuzz/fuzz.h"

#include <arpa/inet.h>

/* No host stands twice. */
static void check_redis_host(const struct redis_url *url, unsigned at)
{
    const struct redis_address *host = &url->hosts[at];
    FUZZ_CHECK(strnlen(host->host, sizeof host->host) < sizeof host->host);
    FUZZ_CHECK(host->host[0] != '\0' && host->port > 0);
    for (unsigned i = 0; i < at; i++)
        FUZZ_CHECK(!redis_address_equal(host, &url->hosts[i]));
}

static void read_redis_url(const char *text)
{
    struct redis_url url;
    struct redis_greeting greeting;
    char why[200];
    memset(why, '#', sizeof why);
    if (redis_url_parse(text, &url, why, sizeof why) != ERR_OK) {
        FUZZ_CHECK(strnlen(why, sizeof why) < sizeof why && why[0] != '\0');
        return;
    }
    FUZZ_CHECK(strnlen(url.shown, sizeof url.shown) < sizeof url.shown && url.shown[0] != '\0');
    if (url.is_unix) {
        FUZZ_CHECK(url.path[0] == '/' && strnlen(url.path, sizeof url.path) < sizeof url.path);
    } else {
        FUZZ_CHECK(url.n_hosts >= 1 && url.n_hosts <= REDIS_HOSTS_MAX);
        for (unsigned i = 0; i < url.n_hosts; i++)
            check_redis_host(&url, i);
        char expected[REDIS_ADDRESS_TEXT_BYTES]; /* where it is, and no password */
        redis_address_write(&url.hosts[0], expected);
        FUZZ_CHECK(url.topology != REDIS_SINGLE || strcmp(url.shown, expected) == 0);
    }
    FUZZ_CHECK((url.topology == REDIS_SENTINEL) == (url.master_name[0] != '\0'));
    FUZZ_CHECK(url.topology != REDIS_CLUSTER || url.db == 0);
    redis_url_greeting(&url, "herald", &greeting);
    FUZZ_CHECK(greeting.n_commands <= 3);
    for (size_t i = 0; i < greeting.n_commands; i++)
        FUZZ_CHECK(greeting.commands[i].n_args >= 1 && greeting.commands[i].n_args <= 3);
}

static void read_listen(const char *text)
{
    struct listen_address address;
    if (listen_address_parse(text, &address) != ERR_OK)
        return;
    FUZZ_CHECK(strnlen(address.host, sizeof address.host) < sizeof address.host);
    FUZZ_CHECK(strnlen(address.port, sizeof address.port) < sizeof address.port);
    FUZZ_CHECK(!address.is_unix || listen_address_is_loopback(&address));
    if (!address.is_unix)
        FUZZ_CHECK(strtol(address.port, NULL, 10) <= UINT16_MAX);
}

static void read_ip(const char *text)
{
    struct ip ip, again;
    struct in6_addr v6;
    struct in_addr v4;
    char written[IP_TEXT_MAX_BYTES];
    bool is_ours = ip_parse(span_of(text), &ip) == ERR_OK;
    FUZZ_CHECK(is_ours ==
               (inet_pton(AF_INET, text, &v4) == 1 || inet_pton(AF_INET6, text, &v6) == 1));
    if (!is_ours)
        return;
    ip_write(&ip, written);
    FUZZ_CHECK(ip_parse(span_of(written), &again) == ERR_OK && ip_equal(&ip, &again));
    struct ip network = ip_network(&ip);
    FUZZ_CHECK(ip_is_v4(&ip) == ip_is_v4(&network) || !ip_is_v4(&ip));
}

static void read_range(const char *text)
{
    struct cidr range;
    if (cidr_parse(span_of(text), &range) != ERR_OK)
        return;
    FUZZ_CHECK(range.bits <= 128 && cidr_has(&range, &range.ip));
    if (range.bits > 0) { /* the other half of what its last bit halves is not in it */
        struct ip other = range.ip;
        other.bytes[(range.bits - 1) / 8] ^= (uint8_t)(0x80 >> (range.bits - 1) % 8);
        FUZZ_CHECK(!cidr_has(&range, &other));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static void (*const kinds[])(const char *) = {read_redis_url, read_listen, read_ip, read_range};
    struct fuzz_input input = {bytes, len};
    unsigned which = fuzz_byte(&input) % (sizeof kinds / sizeof kinds[0]);
    char *text = fuzz_text(fuzz_rest(&input));
    kinds[which](text);
    free(text);
    return 0;
}
