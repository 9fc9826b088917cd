#include "gateway/net/tls_tickets.h"

#include "gateway/base/clock.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <string.h>

static enum err make_key(struct tls_ticket_key *ret_key)
{
    return RAND_priv_bytes((unsigned char *)ret_key, sizeof *ret_key) == 1 ? ERR_OK : ERR_SYSTEM;
}

enum err tls_tickets_init(struct tls_tickets *tickets)
{
    tickets->changed_ms = clock_monotonic_ms();
    enum err error = make_key(&tickets->present);
    if (error == ERR_OK)
        error = make_key(&tickets->previous);
    if (error == ERR_OK && pthread_mutex_init(&tickets->lock, NULL) != 0)
        error = ERR_SYSTEM;
    return error;
}

void tls_tickets_fini(struct tls_tickets *tickets)
{
    OPENSSL_cleanse(&tickets->present, sizeof tickets->present);
    OPENSSL_cleanse(&tickets->previous, sizeof tickets->previous);
    pthread_mutex_destroy(&tickets->lock);
}

/* If there is no randomness, the old key stays in use. */
static void change_if_due(struct tls_tickets *tickets)
{
    struct tls_ticket_key next;
    int64_t age_ms = clock_monotonic_ms() - tickets->changed_ms;
    if (age_ms < TLS_TICKET_KEY_MS || make_key(&next) != ERR_OK)
        return;
    tickets->changed_ms += age_ms;
    tickets->previous = tickets->present;
    tickets->present = next;
    OPENSSL_cleanse(&next, sizeof next);
}

void tls_tickets_carry(struct tls_tickets *tickets, struct carried_ticket_keys *ret_carried)
{
    pthread_mutex_lock(&tickets->lock);
    change_if_due(tickets);
    *ret_carried =
        (struct carried_ticket_keys){tickets->present, tickets->previous,
                                     (uint32_t)(clock_monotonic_ms() - tickets->changed_ms)};
    pthread_mutex_unlock(&tickets->lock);
}

void tls_tickets_adopt(struct tls_tickets *tickets, const struct carried_ticket_keys *carried)
{
    pthread_mutex_lock(&tickets->lock);
    tickets->present = carried->present;
    tickets->previous = carried->previous;
    tickets->changed_ms = clock_monotonic_ms() - carried->age_ms;
    pthread_mutex_unlock(&tickets->lock);
}

static bool is_named(const struct tls_ticket_key *key, const unsigned char *name)
{
    return memcmp(key->name, name, sizeof key->name) == 0;
}

/* Finds the key of a ticket. 1: the current one, 2: the previous one (the client gets a new
 * ticket), 0: none. */
static int find_key(struct tls_tickets *tickets, const unsigned char *name,
                    struct tls_ticket_key *ret_key)
{
    pthread_mutex_lock(&tickets->lock);
    change_if_due(tickets);
    int found = name == NULL || is_named(&tickets->present, name) ? 1
                : is_named(&tickets->previous, name)              ? 2
                                                                  : 0;
    *ret_key = found == 2 ? tickets->previous : tickets->present;
    pthread_mutex_unlock(&tickets->lock);
    return found;
}

static bool set_mac(EVP_MAC_CTX *mac, struct tls_ticket_key *key)
{
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->mac, sizeof key->mac),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* The callback of SSL_CTX_set_tlsext_ticket_key_evp_cb(3). */
static int on_ticket(SSL *ssl, unsigned char name[16], unsigned char *iv, EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac, int is_new)
{
    struct tls_tickets *tickets = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    const EVP_CIPHER *aes = EVP_aes_256_cbc();
    struct tls_ticket_key key;
    int found = find_key(tickets, is_new ? NULL : name, &key);
    bool is_set = found != 0 && set_mac(mac, &key);
    if (is_set && is_new) {
        memcpy(name, key.name, sizeof key.name);
        is_set = RAND_bytes(iv, EVP_CIPHER_get_iv_length(aes)) == 1 &&
                 EVP_EncryptInit_ex(cipher, aes, NULL, key.cipher, iv) == 1;
    } else if (is_set) {
        is_set = EVP_DecryptInit_ex(cipher, aes, NULL, key.cipher, iv) == 1;
    }
    OPENSSL_cleanse(&key, sizeof key);
    return found != 0 && !is_set ? -1 : found;
}

enum err tls_tickets_use(struct tls_tickets *tickets, struct ssl_ctx_st *ctx)
{
    SSL_CTX_set_app_data(ctx, tickets);
    SSL_CTX_set_timeout(ctx, TLS_TICKET_LIFETIME_S);
    /* One ticket is enough, and fewer bytes are sent before the first answer. */
    SSL_CTX_set_num_tickets(ctx, 1);
    return SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket) == 1 ? ERR_OK : ERR_SYSTEM;
}
