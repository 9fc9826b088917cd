#include "gateway/certificates.h"

#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/base/metrics.h"

#include <stdio.h>
#include <time.h>

static const char *given(const char *path)
{
    return path[0] != '\0' ? path : NULL;
}

static enum err check_pair(const struct options *options, char *why, size_t why_cap)
{
    const char *text = NULL;
    if (given(options->tls_cert) != NULL && given(options->tls_key) == NULL)
        text = "--tls-cert needs --tls-key, the file with the certificate's private key";
    else if (given(options->tls_key) != NULL && given(options->tls_cert) == NULL)
        text = "--tls-key needs --tls-cert, the file with the certificate and its chain";
    else if (given(options->tls_client_ca) != NULL && given(options->tls_cert) == NULL)
        text = "--tls-client-ca needs --tls-cert and --tls-key: client certificates are asked for "
               "with TLS alone";
    if (text == NULL)
        return ERR_OK;
    snprintf(why, why_cap, "%s", text);
    return ERR_INVALID_FIELD;
}

/* Says how long the certificate is good for. One that is not is served all the same: an outage
 * would not be better, and some clients do not look. */
static void tell_validity(struct tls_context *context)
{
    int64_t not_before;
    int64_t not_after;
    char date[32] = "";
    tls_context_validity(context, &not_before, &not_after);
    metrics_set(METRIC_TLS_NOT_AFTER, not_after);
    time_t end = (time_t)not_after;
    struct tm tm;
    if (gmtime_r(&end, &tm) != NULL)
        strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", &tm);
    int64_t now = clock_wall_ms() / 1000;
    if (now > not_after)
        log_event(LOG_WARN, "the certificate of the subscriber port has expired",
                  LOG_TEXT("not_after", date));
    else if (now < not_before)
        log_event(LOG_WARN, "the certificate of the subscriber port is not valid yet",
                  LOG_TEXT("not_after", date));
    else
        log_event(LOG_INFO, "the certificate of the subscriber port is valid",
                  LOG_TEXT("not_after", date));
}

enum err certificates_open(const struct options *options, struct tls_context **ret_context,
                           char *why, size_t why_cap)
{
    enum err error = check_pair(options, why, why_cap);
    if (error != ERR_OK)
        return error;
    if (given(options->tls_cert) == NULL) {
        *ret_context = NULL;
        return ERR_OK;
    }
    struct tls_files files = {
        .certificate = options->tls_cert,
        .key = options->tls_key,
        .client_ca = given(options->tls_client_ca),
        .certificate_option = "--tls-cert",
        .key_option = "--tls-key",
        .client_ca_option = "--tls-client-ca",
    };
    error = tls_context_new(&files, ret_context, why, why_cap);
    if (error == ERR_OK)
        tell_validity(*ret_context);
    return error;
}

bool certificates_reload(struct tls_context *context)
{
    char why[1024];
    if (tls_context_reload(context, why, sizeof why) != ERR_OK) {
        metrics_count(METRIC_TLS_RELOADS_FAILED);
        log_event(LOG_ERROR, "the certificates of the subscriber port stay as they were",
                  LOG_TEXT("error", why));
        return false;
    }
    metrics_count(METRIC_TLS_RELOADS);
    tell_validity(context);
    return true;
}
