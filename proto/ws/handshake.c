/* The opening handshake on a parsed head. handshake_check checks what RFC 6455, 4.2.1 requires
 * (Upgrade, Connection, the version, a key of 16 bytes) and that there is no body, then takes the
 * first known name of the offered subprotocols. It returns an error with a sentence for the problem
 * body, or the level of the session and the value of Sec-WebSocket-Accept. handshake_accept then
 * writes the 101. */
#include "proto/ws/handshake.h"

#include "proto/bytes/put.h"

#include <openssl/evp.h>
#include <stdatomic.h>
#include <string.h>

enum {
    KEY_LEN = 24,          /* base64 of 16 bytes */
    SHA1_LEN = 20,         /* RFC 3174 */
    FIXED_MAX_BYTES = 256, /* of a 101 without its date and extensions */
};

/* RFC 6455, 1.3 appends this to the key. */
#define HANDSHAKE_GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

static const struct {
    const char *word;
    const char *subprotocol; /* named in the 101; NULL: none */
} levels[] = {
    [LEVEL_PLAIN] = {"plain", NULL},
    [LEVEL_PLAIN_NAMED] = {"plain", "herald.plain"},
    [LEVEL_V1] = {"herald.v1", "herald.v1"},
    [LEVEL_SSE] = {"sse", NULL},
};

enum { N_LEVELS = sizeof levels / sizeof levels[0] };

const char *handshake_level_word(enum handshake_level level)
{
    return levels[level].word;
}

static enum err refuse_handshake(enum err error, const char *detail, const char **ret_detail)
{
    *ret_detail = detail;
    return error;
}

static enum err check_upgrade(const struct http_head *head, const char *bytes,
                              const char **ret_detail)
{
    struct span version;
    if (!http_head_has_token(head, bytes, "Upgrade", "websocket") ||
        !http_head_has_token(head, bytes, "Connection", "upgrade"))
        return refuse_handshake(ERR_UPGRADE_REQUIRED, "this is not a WebSocket request",
                                ret_detail);
    if (http_head_count(head, bytes, "Sec-WebSocket-Version") > 1)
        return refuse_handshake(ERR_BAD_HANDSHAKE, "Sec-WebSocket-Version is given twice",
                                ret_detail);
    if (!http_head_find(head, bytes, "Sec-WebSocket-Version", &version) ||
        !span_equal(version, SPAN_LITERAL("13")))
        return refuse_handshake(ERR_UPGRADE_REQUIRED, "Sec-WebSocket-Version must be 13",
                                ret_detail);
    return ERR_OK;
}

/* The bytes of a body would be parsed as frames. */
enum err handshake_check_no_body(const struct http_head *head, const char *bytes,
                                 const char **ret_detail)
{
    struct span length;
    bool has_length = false;
    if (http_head_find(head, bytes, "Content-Length", &length)) {
        for (size_t i = 0; i < length.len; i++)
            has_length = has_length || length.bytes[i] != '0';
    }
    if (has_length || http_head_count(head, bytes, "Transfer-Encoding") > 0)
        return refuse_handshake(ERR_BAD_HANDSHAKE, "the request must have no body", ret_detail);
    return ERR_OK;
}

static bool is_base64(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' ||
           c == '/';
}

/* The last digit has four bits that do not belong to the 16 bytes. They are not checked: some
 * clients draw 22 random digits, and nothing depends on these bits. */
static bool is_key(struct span key)
{
    if (key.len != KEY_LEN || key.bytes[KEY_LEN - 2] != '=' || key.bytes[KEY_LEN - 1] != '=')
        return false;
    for (size_t i = 0; i < KEY_LEN - 2; i++) {
        if (!is_base64(key.bytes[i]))
            return false;
    }
    return true;
}

static enum err check_key(const struct http_head *head, const char *bytes, struct span *ret_key,
                          const char **ret_detail)
{
    struct span key;
    if (!http_head_find(head, bytes, "Sec-WebSocket-Key", &key))
        return refuse_handshake(ERR_BAD_HANDSHAKE, "Sec-WebSocket-Key is missing", ret_detail);
    if (http_head_count(head, bytes, "Sec-WebSocket-Key") > 1)
        return refuse_handshake(ERR_BAD_HANDSHAKE, "Sec-WebSocket-Key is given twice", ret_detail);
    if (!is_key(key))
        return refuse_handshake(ERR_BAD_HANDSHAKE, "Sec-WebSocket-Key must be base64 of 16 bytes",
                                ret_detail);
    *ret_key = key;
    return ERR_OK;
}

/* Chooses the first known subprotocol of the list, because the client lists its preference first
 * (RFC 6455, 4.1). Unlike other tokens, their names are case-sensitive (11.5). */
static bool choose_name(struct span list, enum handshake_level *ret_level)
{
    while (list.len > 0) {
        struct span name = span_take_item(&list, ',');
        for (size_t i = 0; i < N_LEVELS; i++) {
            if (levels[i].subprotocol != NULL && span_equal(name, span_of(levels[i].subprotocol))) {
                *ret_level = (enum handshake_level)i;
                return true;
            }
        }
    }
    return false;
}

static bool offers_token(struct span list)
{
    const struct span prefix = SPAN_LITERAL("bearer.");
    while (list.len > 0) {
        struct span name = span_take_item(&list, ',');
        if (name.len >= prefix.len && memcmp(name.bytes, prefix.bytes, prefix.len) == 0)
            return true;
    }
    return false;
}

/* A browser fails the connection if it offered subprotocols and the 101 names none of them. Such an
 * offer is refused here, so that the client gets a reason. */
static enum err choose_level(const struct http_head *head, const char *bytes,
                             enum handshake_level *ret_level, const char **ret_detail)
{
    bool has_offer = false;
    bool has_token = false;
    for (size_t i = 0; i < head->n_fields; i++) {
        if (!span_equal_nocase(http_part_span(bytes, head->fields[i].name),
                               SPAN_LITERAL("Sec-WebSocket-Protocol")))
            continue;
        struct span list = http_part_span(bytes, head->fields[i].value);
        has_offer = true;
        has_token = has_token || offers_token(list);
        if (choose_name(list, ret_level))
            return ERR_OK;
    }
    if (has_token)
        return refuse_handshake(
            ERR_BAD_HANDSHAKE,
            "a token is offered alone: offer herald.v1 or herald.plain beside bearer.TOKEN",
            ret_detail);
    if (has_offer)
        return refuse_handshake(
            ERR_BAD_HANDSHAKE,
            "Sec-WebSocket-Protocol offers no name that is known here: herald.v1 and "
            "herald.plain are",
            ret_detail);
    *ret_level = LEVEL_PLAIN;
    return ERR_OK;
}

/* Finding the digest again for each handshake costs more than the digest. It is found once and kept
 * until the process ends; two threads that find it at the same time find the same one. NULL: this
 * machine's OpenSSL has none. */
static const EVP_MD *sha1(void)
{
    static _Atomic(EVP_MD *) found;
    EVP_MD *md = atomic_load_explicit(&found, memory_order_acquire);
    if (md != NULL)
        return md;
    md = EVP_MD_fetch(NULL, "SHA1", NULL);
    EVP_MD *first = NULL;
    if (md != NULL && !atomic_compare_exchange_strong(&found, &first, md)) {
        EVP_MD_free(md);
        md = first;
    }
    return md;
}

/* base64(SHA-1(key + GUID)): RFC 6455, 4.2.2, 5.4. */
static enum err make_accept(struct span key, char out[HANDSHAKE_ACCEPT_LEN])
{
    static const char guid[] = HANDSHAKE_GUID;
    char text[KEY_LEN + sizeof guid];
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned digest_len = 0;
    unsigned char encoded[HANDSHAKE_ACCEPT_LEN + 1]; /* EVP_EncodeBlock ends it with a NUL */
    memcpy(text, key.bytes, KEY_LEN);
    memcpy(text + KEY_LEN, guid, sizeof guid);
    const EVP_MD *md = sha1();
    if (md == NULL ||
        EVP_Digest(text, KEY_LEN + sizeof guid - 1, digest, &digest_len, md, NULL) != 1 ||
        digest_len != SHA1_LEN)
        return ERR_SYSTEM;
    EVP_EncodeBlock(encoded, digest, SHA1_LEN);
    memcpy(out, encoded, HANDSHAKE_ACCEPT_LEN);
    return ERR_OK;
}

enum err handshake_check(const struct http_head *head, const char *bytes,
                         enum handshake_level *ret_level, char ret_accept[HANDSHAKE_ACCEPT_LEN],
                         const char **ret_detail)
{
    struct span key;
    enum handshake_level level;
    enum err error = check_upgrade(head, bytes, ret_detail);
    if (error == ERR_OK)
        error = handshake_check_no_body(head, bytes, ret_detail);
    if (error == ERR_OK)
        error = check_key(head, bytes, &key, ret_detail);
    if (error == ERR_OK)
        error = choose_level(head, bytes, &level, ret_detail);
    if (error != ERR_OK)
        return error;
    if (make_accept(key, ret_accept) != ERR_OK)
        return refuse_handshake(ERR_SYSTEM, "no SHA-1 is available", ret_detail);
    *ret_level = level;
    return ERR_OK;
}

static char *put_field(char *at, struct span name, struct span value)
{
    return PUT_LITERAL(put_span(put_span(at, name), value), "\r\n");
}

enum err handshake_accept(struct buf *out, enum handshake_level level,
                          const char accept[HANDSHAKE_ACCEPT_LEN], const char *extensions,
                          const char *date)
{
    const char *name = levels[level].subprotocol;
    struct span agreed = span_of(extensions);
    struct span date_line = span_of(date);
    enum err error = buf_reserve(out, FIXED_MAX_BYTES + agreed.len + date_line.len);
    if (error != ERR_OK)
        return error;
    char *at = PUT_LITERAL(out->bytes + out->len, "HTTP/1.1 101 Switching Protocols\r\n"
                                                  "Upgrade: websocket\r\n"
                                                  "Connection: Upgrade\r\n");
    at = put_field(at, SPAN_LITERAL("Sec-WebSocket-Accept: "),
                   (struct span){accept, HANDSHAKE_ACCEPT_LEN});
    at = put_span(at, date_line);
    if (name != NULL)
        at = put_field(at, SPAN_LITERAL("Sec-WebSocket-Protocol: "), span_of(name));
    if (agreed.len > 0)
        at = put_field(at, SPAN_LITERAL("Sec-WebSocket-Extensions: "), agreed);
    at = PUT_LITERAL(at, "\r\n");
    out->len = (size_t)(at - out->bytes);
    return ERR_OK;
}
