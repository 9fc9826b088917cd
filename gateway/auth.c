#include "gateway/auth.h"

#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/base/watched_file.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct auth {
    enum auth_kind kind;
    struct jwt_rules rules;
    struct credentials_rules where;
    struct watched_file file; /* the reloading thread's */
    pthread_mutex_t lock;     /* for keys, while a reference is taken */
    struct jwt_keys *keys;
};

static enum err read_keys(struct auth *auth, struct jwt_keys **ret_keys, char *why, size_t why_cap)
{
    struct buf text;
    char detail[300];
    buf_init(&text, WATCHED_FILE_MAX_BYTES);
    enum err error = watched_file_read(&auth->file, &text, why, why_cap);
    if (error == ERR_OK) {
        error = jwt_keys_read(buf_span(&text), ret_keys, detail, sizeof detail);
        if (error != ERR_OK)
            snprintf(why, why_cap, "%s: %s", auth->file.path, detail);
    }
    if (text.len > 0)
        explicit_bzero(text.bytes, text.len);
    buf_fini(&text);
    return error;
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
    if (auth->file.path[0] == '\0') {
        snprintf(why, why_cap,
                 "--auth jwt needs --jwt-keys FILE: a JWKS, public keys in PEM, or a secret");
        return ERR_INVALID_FIELD;
    }
    enum err error = read_keys(auth, &auth->keys, detail, sizeof detail);
    if (error == ERR_OK)
        return ERR_OK;
    snprintf(why, why_cap, "--jwt-keys: %s", detail);
    return error == ERR_NO_MEMORY ? error : ERR_INVALID_FIELD;
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
    auth->rules = (struct jwt_rules){span_of(options->jwt_audience), span_of(options->jwt_issuer),
                                     JWT_LEEWAY_MS};
    auth->where =
        (struct credentials_rules){span_of(options->token_cookie), options->token_in_query};
    enum err error = auth->kind == AUTH_JWT ? open_keys(auth, why, why_cap) : ERR_OK;
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
    struct jwt_keys *keys;
    if (auth->kind != AUTH_JWT || (!must && !watched_file_has_changed(&auth->file)))
        return;
    if (read_keys(auth, &keys, why, sizeof why) != ERR_OK) {
        log_event(LOG_ERROR, "the keys for tokens stay as they were", LOG_TEXT("why", why));
        return;
    }
    pthread_mutex_lock(&auth->lock);
    struct jwt_keys *old = auth->keys;
    auth->keys = keys;
    pthread_mutex_unlock(&auth->lock);
    jwt_keys_unref(old);
    log_event(LOG_INFO, "keys for tokens read again", LOG_INT("keys", jwt_keys_count(keys)));
}
