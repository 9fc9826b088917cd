/* The keys come from the file of --jwt-keys: a JWKS, public keys in PEM, or a secret. auth_open
 * checks the options against each other and reads the file; if the file has no usable key, Herald
 * does not start, and a sentence names the file. auth_verify takes a reference to the current keys
 * under the lock and verifies without it, so that keys which auth_reload replaces are freed after
 * the last verification that began with them. A file that auth_reload cannot use changes nothing,
 * and is logged. Keys that are skipped (another algorithm, another use) are logged, the first
 * SKIPS_LOGGED_MAX of a file. */
#include "gateway/identity/auth.h"

#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/base/metrics.h"
#include "gateway/base/reread.h"
#include "gateway/base/watched_file.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { SKIPS_LOGGED_MAX = 20 }; /* a file with many keys must not fill the log */

struct auth {
    enum auth_kind kind;
    struct jwt_rules rules;
    struct span *names; /* memory of the rules' audiences and issuers */
    struct credentials_rules where;
    struct watched_file file; /* used by the reloading thread only */
    pthread_mutex_t lock;     /* guards `keys` while a reference is taken */
    struct jwt_keys *keys;
};

/* A jwt_keys_on_skip_fn: logs a key that is not used. */
static void on_key_skipped(void *to, const struct jwt_skip *skip)
{
    size_t *n_skipped = to;
    if (skip->is_fault)
        metrics_count(METRIC_TOKEN_KEYS_SKIPPED);
    if (++*n_skipped > SKIPS_LOGGED_MAX)
        return;
    struct log_field fields[] = {
        LOG_TEXT("part", skip->part),
        LOG_INT("number", skip->number),
        LOG_TEXT("why", skip->why),
        LOG_SPAN("kid", skip->kid),
    };
    size_t n_fields = sizeof fields / sizeof fields[0];
    log_fields(skip->is_fault ? LOG_WARN : LOG_INFO, "a key for tokens is skipped", fields,
               skip->kid.bytes != NULL ? n_fields : n_fields - 1);
}

static enum err read_keys(struct auth *auth, struct jwt_keys **ret_keys, size_t *ret_n_skipped,
                          char *why, size_t why_cap)
{
    struct buf text;
    char detail[300];
    *ret_n_skipped = 0;
    buf_init(&text, WATCHED_FILE_MAX_BYTES);
    enum err error = watched_file_read(&auth->file, &text, why, why_cap);
    if (error == ERR_OK) {
        error = jwt_keys_read(buf_span(&text), on_key_skipped, ret_n_skipped, ret_keys, detail,
                              sizeof detail);
        if (error != ERR_OK)
            snprintf(why, why_cap, "%s: %s", auth->file.path, detail);
    }
    if (*ret_n_skipped > SKIPS_LOGGED_MAX)
        log_event(LOG_WARN, "more keys for tokens are skipped",
                  LOG_INT("keys", *ret_n_skipped - SKIPS_LOGGED_MAX));
    whole_file_wipe(&text);
    return error;
}

/* Refuses a change from keys to a bare secret: the text that a failed download leaves instead of
 * public keys may look like a secret, but is known to everybody. The other direction is safe,
 * because no text becomes a JWKS or PEM by accident. */
static enum err check_kind(const struct auth *auth, const struct jwt_keys *next, char *why,
                           size_t why_cap)
{
    if (!jwt_keys_are_bare_secret(next) || jwt_keys_are_bare_secret(auth->keys))
        return ERR_OK;
    snprintf(why, why_cap,
             "%s: a secret stands where public keys or a JWKS stood; if that is meant, restart "
             "Herald",
             auth->file.path);
    return ERR_INVALID_FIELD;
}

static void warn_if_public(const struct auth *auth, const struct jwt_keys *keys)
{
    if (watched_file_is_public(&auth->file) && jwt_keys_have_secret(keys))
        log_event(LOG_WARN, "everybody on this machine can read the secret for tokens: chmod 600",
                  LOG_TEXT("path", auth->file.path));
}

static enum auth_kind kind_of(const char *word)
{
    if (strcmp(word, "jwt") == 0)
        return AUTH_JWT;
    return strcmp(word, "ticket") == 0 ? AUTH_TICKET : AUTH_NONE;
}

static enum err open_keys(struct auth *auth, char *why, size_t why_cap)
{
    char detail[700];
    size_t n_skipped;
    if (auth->file.path[0] == '\0') {
        snprintf(why, why_cap,
                 "--auth jwt needs --jwt-keys FILE: a JWKS, public keys in PEM, or a secret");
        return ERR_INVALID_FIELD;
    }
    enum err error = read_keys(auth, &auth->keys, &n_skipped, detail, sizeof detail);
    if (error == ERR_OK) {
        (void)watched_file_take(&auth->file);
        log_event(LOG_INFO, "keys for tokens read", LOG_INT("keys", jwt_keys_count(auth->keys)),
                  LOG_INT("skipped", n_skipped));
        warn_if_public(auth, auth->keys);
        return ERR_OK;
    }
    snprintf(why, why_cap, "--jwt-keys: %s", detail);
    return error == ERR_NO_MEMORY ? error : ERR_INVALID_FIELD;
}

/* Refuses options for tokens without --auth jwt: they would have no effect, and every client would
 * be accepted. */
static enum err check_used(const struct options *options, char *why, size_t why_cap)
{
    const struct {
        const char *name;
        bool is_given;
    } rows[] = {
        {"jwt-keys", options->jwt_keys[0] != '\0'},
        {"jwt-audience", options->jwt_audience.n > 0},
        {"jwt-issuer", options->jwt_issuer.n > 0},
        {"jwt-user-claim", strcmp(options->jwt_user_claim, "sub") != 0},
        {"token-cookie", options->token_cookie[0] != '\0'},
        {"token-in-query", options->token_in_query},
    };
    if (kind_of(options->auth) == AUTH_JWT)
        return ERR_OK;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (!rows[i].is_given)
            continue;
        snprintf(why, why_cap, "--%s needs --auth jwt: with --auth %s nobody's token is looked at",
                 rows[i].name, options->auth);
        return ERR_INVALID_FIELD;
    }
    return ERR_OK;
}

static enum err check_rules(const struct options *options, char *why, size_t why_cap)
{
    const char *text = NULL;
    bool is_other = strcmp(options->jwt_audience_claim, "aud") != 0;
    if (options->jwt_user_claim[0] == '\0')
        text = "--jwt-user-claim must name a claim, like sub";
    else if (options->jwt_audience_claim[0] == '\0')
        text = "--jwt-audience-claim must name a claim, like aud";
    else if (is_other && options->jwt_audience.n == 0)
        text = "--jwt-audience-claim needs --jwt-audience, which says what must stand in it";
    else
        return check_used(options, why, why_cap);
    snprintf(why, why_cap, "%s", text);
    return ERR_INVALID_FIELD;
}

/* A list that was written as one value matches no token, so the log must say why. */
static void log_long_names(const char *option, const struct option_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        if (strpbrk(list->values[i], ", ") != NULL)
            log_event(LOG_INFO, "a value with a comma or a space is one value, not several",
                      LOG_TEXT("option", option), LOG_TEXT("value", list->values[i]));
}

static enum err set_rules(struct auth *auth, const struct options *options, char *why,
                          size_t why_cap)
{
    const struct option_list *audiences = &options->jwt_audience, *issuers = &options->jwt_issuer;
    enum err error = check_rules(options, why, why_cap);
    if (error != ERR_OK)
        return error;
    log_long_names("jwt-audience", audiences);
    log_long_names("jwt-issuer", issuers);
    auth->names = calloc(audiences->n + issuers->n + 1, sizeof *auth->names);
    if (auth->names == NULL) {
        snprintf(why, why_cap, "out of memory");
        return ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < audiences->n; i++)
        auth->names[i] = span_of(audiences->values[i]);
    for (size_t i = 0; i < issuers->n; i++)
        auth->names[audiences->n + i] = span_of(issuers->values[i]);
    auth->rules = (struct jwt_rules){
        .audiences = auth->names,
        .issuers = auth->names + audiences->n,
        .n_audiences = audiences->n,
        .n_issuers = issuers->n,
        .audience_claim = options->jwt_audience_claim,
        .user_claim = options->jwt_user_claim,
        .leeway_ms = JWT_LEEWAY_MS,
    };
    return ERR_OK;
}

enum err auth_open(const struct options *options, struct auth **ret_auth, char *why, size_t why_cap)
{
    struct auth *auth = calloc(1, sizeof *auth);
    if (auth == NULL || pthread_mutex_init(&auth->lock, NULL) != 0) {
        free(auth);
        snprintf(why, why_cap, "out of memory");
        return ERR_NO_MEMORY;
    }
    auth->kind = kind_of(options->auth);
    auth->file.path = options->jwt_keys;
    auth->where =
        (struct credentials_rules){span_of(options->token_cookie), options->token_in_query};
    enum err error = set_rules(auth, options, why, why_cap);
    if (error == ERR_OK && auth->kind == AUTH_JWT)
        error = open_keys(auth, why, why_cap);
    if (error != ERR_OK) {
        auth_close(auth);
        return error;
    }
    *ret_auth = auth;
    return ERR_OK;
}

void auth_close(struct auth *auth)
{
    if (auth == NULL)
        return;
    jwt_keys_unref(auth->keys);
    free(auth->names);
    pthread_mutex_destroy(&auth->lock);
    free(auth);
}

enum auth_kind auth_kind(const struct auth *auth)
{
    return auth->kind;
}

enum err auth_find_token(const struct auth *auth, const struct http_head *head, const char *bytes,
                         char room[CREDENTIALS_ROOM_BYTES], struct span *ret_token,
                         const char **ret_detail)
{
    return credentials_token(head, bytes, &auth->where, room, ret_token, ret_detail);
}

enum err auth_verify(struct auth *auth, struct span token, struct jwt_claims *ret_claims,
                     const char **ret_detail)
{
    pthread_mutex_lock(&auth->lock);
    struct jwt_keys *keys = jwt_keys_ref(auth->keys);
    pthread_mutex_unlock(&auth->lock);
    enum err error = jwt_verify(keys, token, &auth->rules, clock_wall_ms(), ret_claims, ret_detail);
    jwt_keys_unref(keys);
    return error;
}

void auth_reload(struct auth *auth, bool must)
{
    char why[700];
    struct jwt_keys *keys = NULL;
    size_t n_skipped;
    if (auth->kind != AUTH_JWT || (!must && !watched_file_has_changed(&auth->file)))
        return;
    enum err error = read_keys(auth, &keys, &n_skipped, why, sizeof why);
    if (error == ERR_OK)
        error = check_kind(auth, keys, why, sizeof why);
    if (error != ERR_OK) {
        log_event(LOG_ERROR, "the keys for tokens stay as they were",
                  LOG_TEXT("result", reread_name(REREAD_REFUSED)), LOG_TEXT("why", why));
        jwt_keys_unref(keys);
        return;
    }
    pthread_mutex_lock(&auth->lock);
    struct jwt_keys *old = auth->keys;
    auth->keys = keys;
    pthread_mutex_unlock(&auth->lock);
    jwt_keys_unref(old);
    warn_if_public(auth, keys);
    enum reread_result result = watched_file_take(&auth->file) ? REREAD_REPLACED : REREAD_UNCHANGED;
    log_event(LOG_INFO, "keys for tokens read again", LOG_TEXT("result", reread_name(result)),
              LOG_INT("keys", jwt_keys_count(keys)), LOG_INT("skipped", n_skipped));
}
