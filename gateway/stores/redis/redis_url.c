#include "gateway/stores/redis/redis_url.h"

#include "proto/bytes/decimal.h"
#include "proto/bytes/user_id.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

enum { DIGITS_MAX = 9 }; /* of a port or a database, leading zeros included */

static enum err refuse_url(char *why, size_t why_cap, const char *what)
{
    snprintf(why, why_cap, "--store: %s; write redis://[USER:PASSWORD@]HOST:PORT[/DB]", what);
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

static const char *read_credentials(struct span credentials, struct redis_url *url)
{
    struct span user;
    if (!split_at(&credentials, ':', &user))
        return "a user needs a password";
    if (!decode_part(user, url->user, sizeof url->user))
        return "the user is too long or not percent-encoded";
    if (!decode_part(credentials, url->password, sizeof url->password))
        return "the password is too long or not percent-encoded";
    if (url->password[0] == '\0')
        return "a user needs a password";
    return NULL;
}

/* HOST, HOST:PORT, [V6], [V6]:PORT */
static const char *read_address(struct span address, struct redis_url *url)
{
    struct span host = address;
    struct span port = SPAN_LITERAL("6379");
    if (address.len > 0 && address.bytes[0] == '[') {
        struct span rest = {address.bytes + 1, address.len - 1};
        if (!split_at(&rest, ']', &host))
            return "the ] of an IPv6 address is missing";
        if (rest.len > 0 && rest.bytes[0] != ':')
            return "only :PORT may follow the address";
        if (rest.len > 0)
            port = (struct span){rest.bytes + 1, rest.len - 1};
    } else {
        struct span rest = address;
        if (split_at(&rest, ':', &host))
            port = rest;
    }
    uint64_t number;
    if (port.len > DIGITS_MAX || !decimal_read(port, 65535, &number) || number == 0 ||
        !copy_part(port, url->port, sizeof url->port))
        return "the port must be 1 to 65535";
    if (!copy_part(host, url->host, sizeof url->host))
        return "the host is missing or too long";
    return NULL;
}

static const char *read_tcp(struct span rest, struct redis_url *url)
{
    /* A password may hold an unencoded '@': the last one ends it, as in other programs. */
    const char *at = memrchr(rest.bytes, '@', rest.len);
    if (at != NULL) {
        struct span credentials = {rest.bytes, (size_t)(at - rest.bytes)};
        const char *wrong = read_credentials(credentials, url);
        if (wrong != NULL)
            return wrong;
        rest = (struct span){at + 1, rest.len - credentials.len - 1};
    }
    struct span address = rest;
    uint64_t db = 0;
    if (split_at(&rest, '/', &address) && rest.len > 0 &&
        (rest.len > DIGITS_MAX || !decimal_read(rest, REDIS_DB_MAX, &db)))
        return "the database after the / must be a number";
    url->db = (unsigned)db;
    return read_address(address, url);
}

static const char *read_unix(struct span path, struct redis_url *url)
{
    url->is_unix = true;
    struct sockaddr_un address;
    if (path.len == 0 || path.bytes[0] != '/' ||
        !decode_part(path, url->host, sizeof address.sun_path))
        return "redis+unix:// needs the absolute path of a socket, at most 107 bytes";
    return NULL;
}

enum err redis_url_parse(const char *text, struct redis_url *ret_url, char *why, size_t why_cap)
{
    static const char tcp_scheme[] = "redis://";
    static const char unix_scheme[] = "redis+unix://";
    struct redis_url url = {0};
    const char *wrong;
    if (strncmp(text, tcp_scheme, sizeof tcp_scheme - 1) == 0)
        wrong = read_tcp(span_of(text + sizeof tcp_scheme - 1), &url);
    else if (strncmp(text, unix_scheme, sizeof unix_scheme - 1) == 0)
        wrong = read_unix(span_of(text + sizeof unix_scheme - 1), &url);
    else
        wrong = "this is no address of a Redis";
    if (wrong != NULL)
        return refuse_url(why, why_cap, wrong);
    if (url.is_unix)
        snprintf(url.shown, sizeof url.shown, "unix:%s", url.host);
    else
        snprintf(url.shown, sizeof url.shown, strchr(url.host, ':') ? "[%s]:%s" : "%s:%s", url.host,
                 url.port);
    *ret_url = url;
    return ERR_OK;
}

void redis_url_greeting(const struct redis_url *url, struct redis_greeting *ret_greeting)
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
        {SPAN_LITERAL("CLIENT"), SPAN_LITERAL("SETNAME"), SPAN_LITERAL("herald")}, 3, true};
    ret_greeting->n_commands = (size_t)(next - ret_greeting->commands);
}
