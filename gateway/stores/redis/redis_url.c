/* An address is read from the left: the scheme says how many hosts there may be and what follows
 * them. A password may hold an unencoded `@`, so the last one ends the credentials. Nothing that is
 * said about a wrong address repeats them. */
#include "gateway/stores/redis/redis_url.h"

#include "proto/bytes/decimal.h"
#include "proto/bytes/plain_name.h"
#include "proto/bytes/user_id.h"

#include <stdlib.h>

enum { DIGITS_MAX = 9 }; /* of a port or a database, leading zeros included */

/* ---- schemes ---- */

struct scheme {
    const char *name; /* behind `redis` */
    const char *form; /* what to write, behind `redis` or `rediss` */
    enum redis_topology topology;
    bool is_unix;
    uint16_t port;
};

static const struct scheme schemes[] = {
    {"://", "://[USER:PASSWORD@]HOST:PORT[/DB]", REDIS_SINGLE, false, 6379},
    {"+unix://", "+unix://[USER:PASSWORD@]/PATH[?db=N]", REDIS_SINGLE, true, 0},
    {"+sentinel://", "+sentinel://[USER:PASSWORD@]HOST:26379,HOST:26379/NAME[/DB]", REDIS_SENTINEL,
     false, 26379},
    {"+cluster://", "+cluster://[USER:PASSWORD@]HOST:6379,HOST:6379", REDIS_CLUSTER, false, 6379},
};
enum { SCHEMES = sizeof schemes / sizeof schemes[0] };

static bool take_prefix(struct span *rest, const char *prefix)
{
    size_t len = strlen(prefix);
    if (rest->len < len || memcmp(rest->bytes, prefix, len) != 0)
        return false;
    *rest = (struct span){rest->bytes + len, rest->len - len};
    return true;
}

/* NULL: it is no address of a Redis. */
static const struct scheme *take_scheme(struct span *rest, bool *ret_is_tls)
{
    if (!take_prefix(rest, "redis") && !take_prefix(rest, "valkey"))
        return NULL;
    *ret_is_tls = take_prefix(rest, "s");
    for (size_t i = 0; i < SCHEMES; i++)
        if (!(schemes[i].is_unix && *ret_is_tls) && take_prefix(rest, schemes[i].name))
            return &schemes[i];
    return NULL;
}

bool redis_url_is_one(const char *text)
{
    struct span rest = span_of(text);
    bool is_tls;
    return take_scheme(&rest, &is_tls) != NULL;
}

/* ---- its parts ---- */

struct reading {
    const struct scheme *scheme;
    struct redis_url *url;
    char *why;
    size_t why_cap;
};

/* The sentence alone. */
static enum err refuse(const struct reading *reading, const char *what)
{
    snprintf(reading->why, reading->why_cap, "--store: %s", what);
    return ERR_INVALID_FIELD;
}

/* The sentence, and what to write. */
static enum err refuse_form(const struct reading *reading, const char *what)
{
    snprintf(reading->why, reading->why_cap, "--store: %s; write redis%s%s", what,
             reading->url->is_tls ? "s" : "", reading->scheme->form);
    return ERR_INVALID_FIELD;
}

/* Decodes into a text of `cap` bytes; a NUL inside would cut it, so there must be none. */
static bool decode_part(struct span encoded, char *out, size_t cap)
{
    size_t len;
    if (percent_decode(encoded, false, out, cap - 1, &len) != ERR_OK)
        return false;
    out[len] = '\0';
    return strlen(out) == len;
}

static bool copy_part(struct span from, char *out, size_t cap)
{
    if (from.len == 0 || from.len >= cap || memchr(from.bytes, '\0', from.len) != NULL)
        return false;
    memcpy(out, from.bytes, from.len);
    out[from.len] = '\0';
    return true;
}

/* The part of `rest` before the separator; `rest` is then what follows it. */
static bool split_at(struct span *rest, char separator, struct span *ret_before)
{
    const char *at = rest->len > 0 ? memchr(rest->bytes, separator, rest->len) : NULL;
    if (at == NULL)
        return false;
    *ret_before = (struct span){rest->bytes, (size_t)(at - rest->bytes)};
    *rest = (struct span){at + 1, rest->len - ret_before->len - 1};
    return true;
}

/* As USER:PASSWORD@HOST,USER:PASSWORD@HOST would be read. */
static bool has_a_host(const struct reading *reading, struct span credentials)
{
    return reading->scheme->topology != REDIS_SINGLE &&
           memchr(credentials.bytes, ',', credentials.len) != NULL &&
           memchr(credentials.bytes, '@', credentials.len) != NULL;
}

static enum err read_credentials(const struct reading *reading, struct span credentials)
{
    struct redis_url *url = reading->url;
    struct span user;
    if (has_a_host(reading, credentials))
        return refuse_form(reading, "USER:PASSWORD stands once, before all hosts (a password has "
                                    "%2C for , and %40 for @)");
    if (!split_at(&credentials, ':', &user))
        return refuse_form(reading, "a user needs a password");
    if (!decode_part(user, url->user, sizeof url->user))
        return refuse_form(reading, "the user is too long or not percent-encoded");
    if (!decode_part(credentials, url->password, sizeof url->password))
        return refuse_form(reading, "the password is too long or not percent-encoded");
    if (url->password[0] == '\0')
        return refuse_form(reading, "a user needs a password");
    return ERR_OK;
}

static enum err read_db(const struct reading *reading, struct span digits)
{
    uint64_t db;
    if (digits.len > DIGITS_MAX || !decimal_read(digits, REDIS_DB_MAX, &db))
        return refuse_form(reading, "the database must be a number");
    reading->url->db = (unsigned)db;
    return ERR_OK;
}

/* HOST, HOST:PORT, [V6], [V6]:PORT */
static enum err read_host(const struct reading *reading, struct span text,
                          struct redis_address *address)
{
    struct span host = text;
    struct span port = {NULL, 0};
    if (text.len > 0 && text.bytes[0] == '[') {
        struct span rest = {text.bytes + 1, text.len - 1};
        if (!split_at(&rest, ']', &host))
            return refuse_form(reading, "the ] of an IPv6 address is missing");
        if (rest.len > 0 && rest.bytes[0] != ':')
            return refuse_form(reading, "only :PORT may follow the address");
        if (rest.len > 0)
            port = (struct span){rest.bytes + 1, rest.len - 1};
    } else {
        struct span rest = text;
        if (split_at(&rest, ':', &host))
            port = rest;
    }
    uint64_t number = reading->scheme->port;
    if (port.bytes != NULL &&
        (port.len > DIGITS_MAX || !decimal_read(port, UINT16_MAX, &number) || number == 0))
        return refuse_form(reading, "the port must be 1 to 65535");
    if (!copy_part(host, address->host, sizeof address->host))
        return refuse_form(reading, "a host is missing or too long");
    address->port = (uint16_t)number;
    return ERR_OK;
}

static enum err add_host(const struct reading *reading, struct span text)
{
    struct redis_url *url = reading->url;
    if (url->n_hosts == REDIS_HOSTS_MAX)
        return refuse(reading, "more than 16 hosts");
    struct redis_address *address = &url->hosts[url->n_hosts];
    enum err error = read_host(reading, text, address);
    if (error != ERR_OK)
        return error;
    for (unsigned i = 0; i < url->n_hosts; i++) {
        if (!redis_address_equal(&url->hosts[i], address))
            continue;
        char shown[REDIS_ADDRESS_TEXT_BYTES];
        char what[REDIS_ADDRESS_TEXT_BYTES + 16];
        redis_address_write(address, shown);
        snprintf(what, sizeof what, "%s stands twice", shown);
        return refuse(reading, what);
    }
    url->n_hosts++;
    return ERR_OK;
}

static enum err read_hosts(const struct reading *reading, struct span hosts)
{
    struct span one;
    enum err error = ERR_OK;
    if (reading->scheme->topology == REDIS_SINGLE && memchr(hosts.bytes, ',', hosts.len) != NULL)
        return refuse_form(reading, "several hosts need redis+sentinel:// or redis+cluster://");
    if (memchr(hosts.bytes, '?', hosts.len) != NULL)
        return refuse_form(reading, "only redis+unix:// has a part that begins with ?");
    while (error == ERR_OK && split_at(&hosts, ',', &one))
        error = add_host(reading, one);
    return error == ERR_OK ? add_host(reading, hosts) : error;
}

/* ---- what follows the hosts ---- */

/* NAME[/DB]; Sentinel takes no other characters in a name. */
static enum err read_master_name(const struct reading *reading, struct span rest)
{
    struct span name = rest;
    bool has_db = split_at(&rest, '/', &name);
    if (name.len == 0)
        return refuse(reading, "redis+sentinel:// needs the name of the primary: write "
                               "redis+sentinel://HOST:26379,HOST:26379/NAME");
    if (!plain_name_is_valid(name, name.len))
        return refuse_form(reading, "the name of the primary has letters, digits, . _ -");
    if (!copy_part(name, reading->url->master_name, sizeof reading->url->master_name))
        return refuse_form(reading, "the name of the primary is too long");
    return has_db && rest.len > 0 ? read_db(reading, rest) : ERR_OK;
}

static enum err read_tail(const struct reading *reading, struct span tail)
{
    if (reading->scheme->topology == REDIS_SENTINEL)
        return read_master_name(reading, tail);
    if (tail.len == 0)
        return ERR_OK;
    if (reading->scheme->topology == REDIS_SINGLE)
        return read_db(reading, tail);
    char what[80];
    snprintf(what, sizeof what, "a Redis Cluster has no databases: leave out /%.*s",
             (int)(tail.len < 20 ? tail.len : 20), tail.bytes);
    return refuse(reading, what);
}

static enum err read_tcp(const struct reading *reading, struct span rest)
{
    struct span hosts = rest;
    struct span tail = {"", 0};
    if (split_at(&rest, '/', &hosts))
        tail = rest;
    enum err error = read_hosts(reading, hosts);
    return error == ERR_OK ? read_tail(reading, tail) : error;
}

static enum err read_unix(const struct reading *reading, struct span rest)
{
    static const char db[] = "?db=";
    struct redis_url *url = reading->url;
    const char *query = rest.len > 0 ? memrchr(rest.bytes, '?', rest.len) : NULL;
    struct span path = rest;
    struct span digits = {NULL, 0};
    url->is_unix = true;
    if (query != NULL) {
        path.len = (size_t)(query - rest.bytes);
        digits = (struct span){query, rest.len - path.len};
        if (!take_prefix(&digits, db))
            return refuse_form(reading, "only ?db=N may follow the path");
    }
    if (path.len == 0 || path.bytes[0] != '/' || !decode_part(path, url->path, sizeof url->path))
        return refuse_form(reading,
                           "redis+unix:// needs the absolute path of a socket, at most 107 bytes");
    return query != NULL ? read_db(reading, digits) : ERR_OK;
}

/* ---- the whole ---- */

/* The last `@`; before a path, which may hold one itself, the first that a `/` follows. NULL: there
 * are none. */
static const char *end_of_credentials(const struct scheme *scheme, struct span rest)
{
    if (rest.len == 0 || (scheme->is_unix && rest.bytes[0] == '/'))
        return NULL;
    return scheme->is_unix ? memmem(rest.bytes, rest.len, "@/", 2)
                           : memrchr(rest.bytes, '@', rest.len);
}

static void show_url(struct redis_url *url)
{
    static const char *const ends[] = {
        [REDIS_SINGLE] = "", [REDIS_SENTINEL] = " of Sentinel", [REDIS_CLUSTER] = " (Cluster)"};
    if (url->is_unix) {
        snprintf(url->shown, sizeof url->shown, "unix:%s", url->path);
        return;
    }
    char hosts[REDIS_SHOWN_MAX_BYTES - 32] = "";
    size_t len = 0;
    for (unsigned i = 0; i < url->n_hosts && len < sizeof hosts; i++) {
        char one[REDIS_ADDRESS_TEXT_BYTES];
        redis_address_write(&url->hosts[i], one);
        len += (size_t)snprintf(hosts + len, sizeof hosts - len, i == 0 ? "%s" : ",%s", one);
    }
    if (url->topology == REDIS_SENTINEL)
        snprintf(url->shown, sizeof url->shown, "%.64s%s %.190s", url->master_name,
                 ends[url->topology], hosts);
    else
        snprintf(url->shown, sizeof url->shown, "%.255s%s", hosts, ends[url->topology]);
}

enum err redis_url_parse(const char *text, struct redis_url *ret_url, char *why, size_t why_cap)
{
    struct redis_url url = {0};
    struct span rest = span_of(text);
    struct reading reading = {
        .scheme = take_scheme(&rest, &url.is_tls), .url = &url, .why = why, .why_cap = why_cap};
    if (reading.scheme == NULL) {
        reading.scheme = &schemes[0];
        return refuse_form(&reading, "this is no address of a Redis");
    }
    url.topology = reading.scheme->topology;
    const char *at = end_of_credentials(reading.scheme, rest);
    enum err error = ERR_OK;
    if (at != NULL) {
        struct span credentials = {rest.bytes, (size_t)(at - rest.bytes)};
        error = read_credentials(&reading, credentials);
        rest = (struct span){at + 1, rest.len - credentials.len - 1};
    }
    if (error == ERR_OK)
        error = reading.scheme->is_unix ? read_unix(&reading, rest) : read_tcp(&reading, rest);
    if (error != ERR_OK)
        return error;
    show_url(&url);
    *ret_url = url;
    return ERR_OK;
}

enum err redis_url_of_sentinels(const struct redis_url *url, const char *auth,
                                struct redis_url *ret_url, char *why, size_t why_cap)
{
    *ret_url = *url;
    ret_url->db = 0;
    ret_url->user[0] = '\0';
    ret_url->password[0] = '\0';
    if (auth == NULL || auth[0] == '\0')
        return ERR_OK;
    if (url->topology != REDIS_SENTINEL) {
        snprintf(why, why_cap,
                 "--store: --redis-sentinel-auth is set, but the address does not "
                 "begin with redis+sentinel");
        return ERR_INVALID_FIELD;
    }
    struct span user;
    struct span password = span_of(auth);
    bool is_fine = split_at(&password, ':', &user) &&
                   (user.len == 0 || copy_part(user, ret_url->user, sizeof ret_url->user)) &&
                   copy_part(password, ret_url->password, sizeof ret_url->password);
    if (is_fine)
        return ERR_OK;
    snprintf(why, why_cap,
             "--redis-sentinel-auth must be USER:PASSWORD, or :PASSWORD where there is no user");
    return ERR_INVALID_FIELD;
}

void redis_url_greeting(const struct redis_url *url, const char *client_name,
                        struct redis_greeting *ret_greeting)
{
    struct redis_greeting_command *next = ret_greeting->commands;
    if (url->password[0] != '\0' && url->user[0] != '\0')
        *next++ = (struct redis_greeting_command){
            {SPAN_LITERAL("AUTH"), span_of(url->user), span_of(url->password)}, 3, false};
    else if (url->password[0] != '\0')
        *next++ = (struct redis_greeting_command){
            {SPAN_LITERAL("AUTH"), span_of(url->password)}, 2, false};
    if (url->db != 0) {
        snprintf(ret_greeting->db, sizeof ret_greeting->db, "%u", url->db);
        *next++ = (struct redis_greeting_command){
            {SPAN_LITERAL("SELECT"), span_of(ret_greeting->db)}, 2, false};
    }
    *next++ = (struct redis_greeting_command){
        {SPAN_LITERAL("CLIENT"), SPAN_LITERAL("SETNAME"), span_of(client_name)}, 3, true};
    ret_greeting->n_commands = (size_t)(next - ret_greeting->commands);
}
