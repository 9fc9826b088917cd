#include "proto/note/webhook_signature.h"

#include "proto/bytes/base64url.h"

#include <inttypes.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdio.h>

enum {
    MAC_BYTES = 32,
    TEXT_MAX_BYTES = (WEBHOOK_SECRET_MAX_BYTES + 2) / 3 * 4, /* of a secret in base64 */
};

/* ---- secrets ---- */

/* base64url without its padding, of the same bytes. 0: it is not base64. */
static size_t turn_to_url(struct span text, char out[TEXT_MAX_BYTES])
{
    size_t len = text.len;
    if (len == 0 || len > TEXT_MAX_BYTES || len % 4 != 0)
        return 0;
    for (int padding = 0; padding < 2 && text.bytes[len - 1] == '='; padding++)
        len--;
    for (size_t i = 0; i < len; i++) {
        char c = text.bytes[i];
        if (c == '-' || c == '_')
            return 0;
        out[i] = c;
        if (c == '+')
            out[i] = '-';
        else if (c == '/')
            out[i] = '_';
    }
    return len;
}

static bool read_secret(struct span text, uint8_t out[WEBHOOK_SECRET_MAX_BYTES], size_t *ret_len)
{
    const struct span prefix = SPAN_LITERAL("whsec_");
    char url[TEXT_MAX_BYTES];
    if (text.len < prefix.len || memcmp(text.bytes, prefix.bytes, prefix.len) != 0)
        return false;
    struct span base64 = {text.bytes + prefix.len, text.len - prefix.len};
    size_t url_len = turn_to_url(base64, url);
    struct span encoded = {url, url_len};
    return url_len > 0 &&
           base64url_decode(encoded, out, WEBHOOK_SECRET_MAX_BYTES, ret_len) == ERR_OK &&
           *ret_len >= WEBHOOK_SECRET_MIN_BYTES;
}

enum err webhook_secrets_read(struct span text, struct webhook_secrets *ret_secrets,
                              const char **ret_why)
{
    struct webhook_secrets secrets = {0};
    *ret_why = "a secret is whsec_ and the base64 of 24 to 64 bytes, with its padding";
    do {
        const char *comma = text.len == 0 ? NULL : memchr(text.bytes, ',', text.len);
        size_t len = comma == NULL ? text.len : (size_t)(comma - text.bytes);
        size_t taken = comma == NULL ? len : len + 1;
        if (secrets.n == WEBHOOK_SECRETS_MAX) {
            *ret_why = "there are at most two secrets, with a comma between them";
            return ERR_INVALID_FIELD;
        }
        if (!read_secret((struct span){text.bytes, len}, secrets.list[secrets.n].bytes,
                         &secrets.list[secrets.n].len))
            return ERR_INVALID_FIELD;
        secrets.n++;
        text = (struct span){text.bytes + taken, text.len - taken};
        if (comma != NULL && text.len == 0)
            return ERR_INVALID_FIELD; /* nothing follows the comma */
    } while (text.len > 0);
    *ret_secrets = secrets;
    return ERR_OK;
}

/* ---- signatures ---- */

struct signed_parts {
    struct span id;
    struct span timestamp;
    struct span body;
};

static bool add_span(EVP_MAC_CTX *hmac, struct span part)
{
    return part.len == 0 || EVP_MAC_update(hmac, (const unsigned char *)part.bytes, part.len) == 1;
}

static bool compute_hmac(EVP_MAC_CTX *hmac, const uint8_t *key, size_t key_len,
                         const struct signed_parts *parts, unsigned char out[MAC_BYTES])
{
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                           OSSL_PARAM_construct_end()};
    size_t len = 0;
    return EVP_MAC_init(hmac, key, key_len, params) == 1 && add_span(hmac, parts->id) &&
           add_span(hmac, SPAN_LITERAL(".")) && add_span(hmac, parts->timestamp) &&
           add_span(hmac, SPAN_LITERAL(".")) && add_span(hmac, parts->body) &&
           EVP_MAC_final(hmac, out, &len, MAC_BYTES) == 1 && len == MAC_BYTES;
}

static char *write_signature(char *at, const unsigned char mac[MAC_BYTES])
{
    memcpy(at, "v1,", 3);
    return at + 3 + EVP_EncodeBlock((unsigned char *)at + 3, mac, MAC_BYTES);
}

enum err webhook_sign(const struct webhook_secrets *secrets, struct span id, int64_t timestamp_s,
                      struct span body, char out[WEBHOOK_SIGNATURE_MAX_BYTES])
{
    char timestamp[24];
    char *at = out;
    int len = snprintf(timestamp, sizeof timestamp, "%" PRId64, timestamp_s);
    const struct signed_parts parts = {id, {timestamp, (size_t)len}, body};
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *hmac = mac == NULL ? NULL : EVP_MAC_CTX_new(mac);
    enum err error = hmac == NULL ? ERR_NO_MEMORY : ERR_OK;
    for (size_t i = 0; i < secrets->n && error == ERR_OK; i++) {
        unsigned char bytes[MAC_BYTES];
        if (!compute_hmac(hmac, secrets->list[i].bytes, secrets->list[i].len, &parts, bytes))
            error = ERR_SYSTEM;
        if (error == ERR_OK && i > 0)
            *at++ = ' ';
        if (error == ERR_OK)
            at = write_signature(at, bytes);
    }
    *at = '\0';
    EVP_MAC_CTX_free(hmac);
    EVP_MAC_free(mac);
    return error;
}
