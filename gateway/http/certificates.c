#include "gateway/http/certificates.h"

#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/base/metrics.h"
#include "gateway/base/reread.h"

#include <stdio.h>
#include <string.h>

static const char *path_or_null(const char *path)
{
    return path[0] != '\0' ? path : NULL;
}

static enum err check_pair(const struct options *options, char *why, size_t why_cap)
{
    const char *text = NULL;
    if (path_or_null(options->tls_cert) != NULL && path_or_null(options->tls_key) == NULL)
        text = "--tls-cert needs --tls-key, the file with the certificate's private key";
    else if (path_or_null(options->tls_key) != NULL && path_or_null(options->tls_cert) == NULL)
        text = "--tls-key needs --tls-cert, the file with the certificate and its chain";
    else if (path_or_null(options->tls_client_ca) != NULL &&
             path_or_null(options->tls_cert) == NULL)
        text = "--tls-client-ca needs --tls-cert and --tls-key: client certificates are asked for "
               "with TLS alone";
    if (text == NULL)
        return ERR_OK;
    snprintf(why, why_cap, "%s", text);
    return ERR_INVALID_FIELD;
}

static bool is_of_subscribers(struct tls_context *context)
{
    return strcmp(tls_context_files(context)->certificate_option, "--tls-cert") == 0;
}

/* Answers when the certificate expires. One that is not valid is served all the same: an outage
 * would not be better, and some clients do not check. */
static int64_t check_validity(struct tls_context *context)
{
    int64_t not_before, not_after;
    char date[REREAD_DATE_BYTES];
    tls_context_validity(context, &not_before, &not_after);
    bool is_admin = !is_of_subscribers(context);
    if (!is_admin)
        metrics_set(METRIC_TLS_NOT_AFTER, not_after);
    reread_date(not_after, date);
    int64_t now = clock_wall_ms() / 1000;
    if (now > not_after)
        log_event(LOG_WARN,
                  is_admin ? "the certificate of the admin port has expired"
                           : "the certificate of the subscriber port has expired",
                  LOG_TEXT("not_after", date));
    else if (now < not_before)
        log_event(LOG_WARN,
                  is_admin ? "the certificate of the admin port is not valid yet"
                           : "the certificate of the subscriber port is not valid yet",
                  LOG_TEXT("not_after", date));
    return not_after;
}

static void log_validity(struct tls_context *context)
{
    char date[REREAD_DATE_BYTES];
    reread_date(check_validity(context), date);
    log_event(LOG_INFO,
              is_of_subscribers(context) ? "the certificate of the subscriber port is read"
                                         : "the certificate of the admin port is read",
              LOG_TEXT("not_after", date));
}

enum err certificates_open(const struct options *options, struct tls_context **ret_context,
                           char *why, size_t why_cap)
{
    enum err error = check_pair(options, why, why_cap);
    if (error != ERR_OK)
        return error;
    if (path_or_null(options->tls_cert) == NULL) {
        *ret_context = NULL;
        return ERR_OK;
    }
    struct tls_files files = {
        .certificate = options->tls_cert,
        .key = options->tls_key,
        .client_ca = path_or_null(options->tls_client_ca),
        .certificate_option = "--tls-cert",
        .key_option = "--tls-key",
        .client_ca_option = "--tls-client-ca",
    };
    error = tls_context_new(&files, ret_context, why, why_cap);
    if (error == ERR_OK)
        log_validity(*ret_context);
    return error;
}

enum err certificates_open_admin(const struct options *options, struct tls_context **ret_context,
                                 char *why, size_t why_cap)
{
    const struct tls_files files = {
        .certificate = options->admin_tls_cert,
        .key = options->admin_tls_key,
        .certificate_option = "--admin-tls-cert",
        .key_option = "--admin-tls-key",
    };
    bool has_certificate = path_or_null(files.certificate) != NULL;
    bool has_key = path_or_null(files.key) != NULL;
    *ret_context = NULL;
    if (has_certificate != has_key) {
        snprintf(why, why_cap,
                 "--admin-tls-cert and --admin-tls-key need each other: %s is missing",
                 has_key ? files.certificate_option : files.key_option);
        return ERR_INVALID_FIELD;
    }
    if (!has_certificate)
        return ERR_OK;
    enum err error = tls_context_new(&files, ret_context, why, why_cap);
    if (error == ERR_OK)
        log_validity(*ret_context);
    return error;
}

static enum reread_result file_result(enum err error, const struct tls_changes *changes,
                                      enum tls_file file)
{
    if (error == ERR_OK)
        return changes->is_other[file] ? REREAD_REPLACED : REREAD_UNCHANGED;
    return file == changes->refused ? REREAD_REFUSED : REREAD_KEPT;
}

void certificates_reload(struct tls_context *context)
{
    char why[1024];
    struct tls_changes changes = {0};
    enum err error = tls_context_reload(context, &changes, why, sizeof why);
    metrics_count(error == ERR_OK ? METRIC_TLS_RELOADS : METRIC_TLS_RELOADS_FAILED);
    int64_t not_after = check_validity(context);
    const struct tls_files *files = tls_context_files(context);
    const struct reread lines[TLS_FILES] = {
        [TLS_CERTIFICATE] = {.option = files->certificate_option,
                             .path = files->certificate,
                             .not_after = not_after},
        [TLS_KEY] = {.option = files->key_option, .path = files->key},
        [TLS_CLIENT_CA] = {.option = files->client_ca_option, .path = files->client_ca},
    };
    for (int file = 0; file < TLS_FILES; file++) {
        struct reread line = lines[file];
        line.result = file_result(error, &changes, (enum tls_file)file);
        line.why = why;
        if (line.path != NULL)
            reread_log(&line);
    }
}
