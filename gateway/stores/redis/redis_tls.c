#include "gateway/stores/redis/redis_tls.h"

#include "gateway/base/reread.h"

#include <stdio.h>

static const char *text_or_null(const char *text)
{
    return text != NULL && text[0] != '\0' ? text : NULL;
}

enum err redis_tls_check_unused(const struct store_config *config, char *why, size_t why_cap)
{
    const struct {
        const char *option;
        const char *value;
    } settings[] = {
        {"--redis-tls-ca", config->redis_tls_ca},
        {"--redis-tls-cert", config->redis_tls_cert},
        {"--redis-tls-key", config->redis_tls_key},
        {"--redis-tls-name", config->redis_tls_name},
    };
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        if (text_or_null(settings[i].value) == NULL)
            continue;
        snprintf(why, why_cap, "--store: %s is set, but the address does not begin with rediss",
                 settings[i].option);
        return ERR_INVALID_FIELD;
    }
    return ERR_OK;
}

enum err redis_tls_open(const struct store_config *config, struct tls_client **ret_client,
                        char *why, size_t why_cap)
{
    const struct tls_client_files files = {{
        [TLS_TRUSTED_CA] = {"--redis-tls-ca", text_or_null(config->redis_tls_ca)},
        [TLS_OWN_CERTIFICATE] = {"--redis-tls-cert", text_or_null(config->redis_tls_cert)},
        [TLS_OWN_KEY] = {"--redis-tls-key", text_or_null(config->redis_tls_key)},
    }};
    bool has_certificate = files.of[TLS_OWN_CERTIFICATE].path != NULL;
    bool has_key = files.of[TLS_OWN_KEY].path != NULL;
    if (has_certificate != has_key) {
        snprintf(why, why_cap,
                 "--redis-tls-cert and --redis-tls-key need each other: %s is missing",
                 files.of[has_key ? TLS_OWN_CERTIFICATE : TLS_OWN_KEY].option);
        return ERR_INVALID_FIELD;
    }
    return tls_client_new(&files, ret_client, why, why_cap);
}

static enum reread_result file_result(enum err error, const struct tls_client_changes *changes,
                                      enum tls_client_kind kind)
{
    if (error == ERR_OK)
        return changes->is_other[kind] ? REREAD_REPLACED : REREAD_UNCHANGED;
    return kind == changes->refused ? REREAD_REFUSED : REREAD_KEPT;
}

void redis_tls_reload(struct tls_client *client)
{
    char why[1024];
    struct tls_client_changes changes = {0};
    enum err error = tls_client_reload(client, &changes, why, sizeof why);
    const struct tls_client_files *files = tls_client_files(client);
    for (int kind = 0; kind < TLS_CLIENT_FILES; kind++) {
        const struct tls_client_file *file = &files->of[kind];
        struct reread line = {.option = file->option,
                              .path = file->path,
                              .result = file_result(error, &changes, (enum tls_client_kind)kind),
                              .why = why};
        if (file->path != NULL)
            reread_log(&line);
    }
}
