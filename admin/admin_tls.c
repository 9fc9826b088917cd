/* The happy path: admin_tls_new reads and checks both files, each handshake gets its own copy of
 * them through on_certificate_wanted, and admin_tls_reload puts a new pair in their place.
 *
 * The failures: a file that cannot be read, is not PEM, or does not fit the other one is refused
 * with a text that begins with its option; on a reload both files then stay as they were. A
 * handshake that runs out of memory fails alone. */
#include "admin/admin_tls.h"

#include "gateway/base/reread.h"
#include "gateway/base/whole_file.h"

#include <errno.h>
#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHAIN_MAX = 16 };

/* Reference-counted: a handshake may still read a pair that a reload has replaced. */
struct pair {
    unsigned refs;
    gnutls_datum_t certificate; /* PEM */
    gnutls_datum_t key;
    int64_t not_after; /* of the certificate, in seconds since 1970 */
};

struct admin_tls {
    const char *certificate_path;
    const char *key_path;
    struct pair *pair;
};

/* Guards `current`, its `pair`, and the `refs` of pairs. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct admin_tls *current;

static void pair_unref(struct pair *pair)
{
    if (pair == NULL)
        return;
    pthread_mutex_lock(&lock);
    bool is_last = --pair->refs == 0;
    pthread_mutex_unlock(&lock);
    if (!is_last)
        return;
    gnutls_free(pair->certificate.data);
    if (pair->key.data != NULL)
        gnutls_memset(pair->key.data, 0, pair->key.size);
    gnutls_free(pair->key.data);
    free(pair);
}

static struct pair *ref_current_pair(void)
{
    pthread_mutex_lock(&lock);
    struct pair *pair = current != NULL ? current->pair : NULL;
    if (pair != NULL)
        pair->refs++;
    pthread_mutex_unlock(&lock);
    return pair;
}

/* The callback of the library */

/* Each handshake gets a copy, which GnuTLS frees (DEINIT_ALL): an admin port has few handshakes. */
static int load_pair(const struct pair *pair, gnutls_pcert_st **ret_chain, unsigned *ret_n,
                     gnutls_privkey_t *ret_key)
{
    unsigned n = CHAIN_MAX;
    gnutls_privkey_t key = NULL;
    gnutls_pcert_st *chain = gnutls_calloc(CHAIN_MAX, sizeof *chain);
    if (chain == NULL)
        return GNUTLS_E_MEMORY_ERROR;
    int code =
        gnutls_pcert_list_import_x509_raw(chain, &n, &pair->certificate, GNUTLS_X509_FMT_PEM, 0);
    if (code < 0)
        goto undo_chain;
    code = gnutls_privkey_init(&key);
    if (code < 0)
        goto undo_certificates;
    code = gnutls_privkey_import_x509_raw(key, &pair->key, GNUTLS_X509_FMT_PEM, NULL, 0);
    if (code < 0)
        goto undo_key;
    *ret_chain = chain;
    *ret_n = n;
    *ret_key = key;
    return 0;

undo_key:
    gnutls_privkey_deinit(key);
undo_certificates:
    for (unsigned i = 0; i < n; i++)
        gnutls_pcert_deinit(&chain[i]);
undo_chain:
    gnutls_free(chain);
    return code;
}

static int on_certificate_wanted(gnutls_session_t session, const struct gnutls_cert_retr_st *info,
                                 gnutls_pcert_st **ret_chain, unsigned *ret_n,
                                 gnutls_ocsp_data_st **ret_ocsp, unsigned *ret_n_ocsp,
                                 gnutls_privkey_t *ret_key, unsigned *ret_flags)
{
    (void)session;
    (void)info;
    struct pair *pair = ref_current_pair();
    if (pair == NULL)
        return -1;
    int code = load_pair(pair, ret_chain, ret_n, ret_key);
    pair_unref(pair);
    if (code < 0)
        return -1;
    *ret_ocsp = NULL;
    *ret_n_ocsp = 0;
    *ret_flags = GNUTLS_CERT_RETR_DEINIT_ALL;
    return 0;
}

void *admin_tls_callback(void)
{
    gnutls_certificate_retrieve_function3 *callback = on_certificate_wanted;
    void *pointer;
    memcpy(&pointer, &callback, sizeof pointer); /* ISO C has no cast from one to the other */
    return pointer;
}

/* The files */

static enum err refuse_tls_file(const char *option, const char *path, const char *text, char *why,
                                size_t why_cap)
{
    snprintf(why, why_cap, "%s: %.300s: %s", option, path, text);
    return ERR_INVALID_FIELD;
}

static enum err read_tls_file(const char *option, const char *path, gnutls_datum_t *ret_bytes,
                              char *why, size_t why_cap)
{
    struct buf text;
    const char *reason;
    buf_init(&text, WHOLE_FILE_MAX_BYTES);
    enum err error = whole_file_read(path, &text, NULL, &reason);
    if (error == ERR_OK) {
        ret_bytes->data = gnutls_malloc(text.len + 1); /* the library reads a NUL after it */
        reason = gnutls_strerror(GNUTLS_E_MEMORY_ERROR);
        error = ret_bytes->data == NULL ? ERR_NO_MEMORY : ERR_OK;
    }
    if (error == ERR_OK) {
        if (text.len > 0)
            memcpy(ret_bytes->data, text.bytes, text.len);
        ret_bytes->data[text.len] = '\0';
        ret_bytes->size = (unsigned)text.len;
    } else {
        error = refuse_tls_file(option, path, reason, why, why_cap);
    }
    whole_file_wipe(&text);
    return error;
}

static bool is_key_of(gnutls_pcert_st *certificate, gnutls_privkey_t key)
{
    unsigned char ids[2][64];
    size_t lens[2] = {sizeof ids[0], sizeof ids[1]};
    gnutls_pubkey_t public_key;
    if (gnutls_pubkey_init(&public_key) < 0)
        return false;
    bool is_matching =
        gnutls_pubkey_get_key_id(certificate->pubkey, GNUTLS_KEYID_USE_SHA256, ids[0], &lens[0]) ==
            0 &&
        gnutls_pubkey_import_privkey(public_key, key, 0, 0) == 0 &&
        gnutls_pubkey_get_key_id(public_key, GNUTLS_KEYID_USE_SHA256, ids[1], &lens[1]) == 0 &&
        lens[0] == lens[1] && memcmp(ids[0], ids[1], lens[0]) == 0;
    gnutls_pubkey_deinit(public_key);
    return is_matching;
}

static enum err check_key(const struct admin_tls *tls, const struct pair *pair, char *why,
                          size_t why_cap)
{
    static const char option[] = "--admin-tls-key";
    gnutls_pcert_st *chain;
    gnutls_privkey_t key;
    unsigned n;
    int code = load_pair(pair, &chain, &n, &key);
    /* The library has several codes for an encrypted key; "BEGIN ENCRYPTED PRIVATE KEY",
     * "Proc-Type: 4,ENCRYPTED". */
    if (code < 0 &&
        memmem(pair->key.data, pair->key.size, "ENCRYPTED", strlen("ENCRYPTED")) != NULL)
        return refuse_tls_file(
            option, tls->key_path,
            "the key is encrypted, and nobody can type its passphrase: decrypt it with "
            "`openssl pkey -in FILE -out NEW`, readable for Herald alone",
            why, why_cap);
    if (code < 0)
        return refuse_tls_file(option, tls->key_path, "no private key is in it: it must be PEM",
                               why, why_cap);
    enum err error = ERR_OK;
    if (!is_key_of(&chain[0], key))
        error = refuse_tls_file(
            option, tls->key_path,
            "the key does not belong to the first certificate of --admin-tls-cert", why, why_cap);
    gnutls_privkey_deinit(key);
    for (unsigned i = 0; i < n; i++)
        gnutls_pcert_deinit(&chain[i]);
    gnutls_free(chain);
    return error;
}

static enum err check_certificate(const struct admin_tls *tls, struct pair *pair, char *why,
                                  size_t why_cap)
{
    gnutls_x509_crt_t certificates[CHAIN_MAX];
    unsigned n = CHAIN_MAX;
    int code =
        gnutls_x509_crt_list_import(certificates, &n, &pair->certificate, GNUTLS_X509_FMT_PEM, 0);
    if (code < 0)
        return refuse_tls_file(
            "--admin-tls-cert", tls->certificate_path,
            "no certificate is in it, or more than 16: it must be PEM, the server's "
            "certificate first and its chain behind it",
            why, why_cap);
    pair->not_after = (int64_t)gnutls_x509_crt_get_expiration_time(certificates[0]);
    for (unsigned i = 0; i < n; i++)
        gnutls_x509_crt_deinit(certificates[i]);
    return ERR_OK;
}

static enum err read_pair(const struct admin_tls *tls, struct pair **ret_pair, char *why,
                          size_t why_cap)
{
    struct pair *pair = calloc(1, sizeof *pair);
    if (pair == NULL) {
        snprintf(why, why_cap, "TLS cannot be set up: out of memory");
        return ERR_NO_MEMORY;
    }
    pair->refs = 1;
    enum err error =
        read_tls_file("--admin-tls-cert", tls->certificate_path, &pair->certificate, why, why_cap);
    if (error == ERR_OK)
        error = check_certificate(tls, pair, why, why_cap);
    if (error == ERR_OK)
        error = read_tls_file("--admin-tls-key", tls->key_path, &pair->key, why, why_cap);
    if (error == ERR_OK)
        error = check_key(tls, pair, why, why_cap);
    if (error == ERR_OK)
        *ret_pair = pair;
    else
        pair_unref(pair);
    return error;
}

/* Start, end and reload */

enum err admin_tls_new(const struct options *options, struct admin_tls **ret_tls, char *why,
                       size_t why_cap)
{
    bool has_certificate = options->admin_tls_cert[0] != '\0';
    bool has_key = options->admin_tls_key[0] != '\0';
    *ret_tls = NULL;
    if (has_certificate != has_key) {
        snprintf(why, why_cap,
                 "--admin-tls-cert and --admin-tls-key need each other: %s is missing",
                 has_key ? "--admin-tls-cert" : "--admin-tls-key");
        return ERR_INVALID_FIELD;
    }
    if (!has_certificate)
        return ERR_OK;
    struct admin_tls *tls = calloc(1, sizeof *tls);
    if (tls == NULL) {
        snprintf(why, why_cap, "TLS cannot be set up: out of memory");
        return ERR_NO_MEMORY;
    }
    tls->certificate_path = options->admin_tls_cert;
    tls->key_path = options->admin_tls_key;
    enum err error = read_pair(tls, &tls->pair, why, why_cap);
    if (error != ERR_OK) {
        free(tls);
        return error;
    }
    pthread_mutex_lock(&lock);
    current = tls;
    pthread_mutex_unlock(&lock);
    *ret_tls = tls;
    return ERR_OK;
}

void admin_tls_free(struct admin_tls *tls)
{
    if (tls == NULL)
        return;
    pthread_mutex_lock(&lock);
    if (current == tls)
        current = NULL;
    pthread_mutex_unlock(&lock);
    pair_unref(tls->pair);
    free(tls);
}

static bool is_same_file(const gnutls_datum_t *a, const gnutls_datum_t *b)
{
    return a->size == b->size && memcmp(a->data, b->data, a->size) == 0;
}

static enum reread_result reread_result_of(bool is_unchanged)
{
    return is_unchanged ? REREAD_UNCHANGED : REREAD_REPLACED;
}

void admin_tls_reload(struct admin_tls *tls)
{
    char why[1024] = "";
    struct pair *pair = NULL;
    struct reread certificate = {
        .option = "--admin-tls-cert", .path = tls->certificate_path, .why = why};
    struct reread key = {.option = "--admin-tls-key", .path = tls->key_path, .why = why};
    if (read_pair(tls, &pair, why, sizeof why) == ERR_OK) {
        certificate.result =
            reread_result_of(is_same_file(&tls->pair->certificate, &pair->certificate));
        key.result = reread_result_of(is_same_file(&tls->pair->key, &pair->key));
        pthread_mutex_lock(&lock);
        struct pair *before = tls->pair;
        tls->pair = pair;
        pthread_mutex_unlock(&lock);
        pair_unref(before);
    } else { /* the text begins with the option whose file is refused */
        bool is_key = strncmp(why, "--admin-tls-key:", strlen("--admin-tls-key:")) == 0;
        certificate.result = is_key ? REREAD_KEPT : REREAD_REFUSED;
        key.result = is_key ? REREAD_REFUSED : REREAD_KEPT;
    }
    certificate.not_after = tls->pair->not_after;
    reread_log(&certificate);
    reread_log(&key);
}
