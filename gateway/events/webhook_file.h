/* The file of --webhooks: each line is `NAME URL SECRET` and options; empty lines and lines that
 * begin with # are skipped. Immutable once read, and therefore for any thread. */
#ifndef HERALD_EVENTS_WEBHOOK_FILE_H
#define HERALD_EVENTS_WEBHOOK_FILE_H

#include "gateway/store/store_event_request.h"
#include "proto/bytes/span.h"
#include "proto/error.h"
#include "proto/note/webhook_signature.h"

#include <stdbool.h>

enum {
    WEBHOOKS_MAX = STORE_MAX_CONSUMERS,
    WEBHOOK_NAME_MAX_BYTES = STORE_CONSUMER_MAX_BYTES,
    WEBHOOK_URL_MAX_BYTES = 2048,
    WEBHOOK_BATCH_MAX = 1000,
    WEBHOOK_BATCH_DEFAULT = 50,
    WEBHOOK_TIMEOUT_MIN_MS = 100,
    WEBHOOK_TIMEOUT_MAX_MS = 5 * 60 * 1000,
    WEBHOOK_TIMEOUT_DEFAULT_MS = 10 * 1000,
};

/* One endpoint as its line describes it. */
struct webhook_line {
    char name[WEBHOOK_NAME_MAX_BYTES + 1]; /* A-Za-z0-9._- */
    char url[WEBHOOK_URL_MAX_BYTES + 1];   /* http: or https:, without user, password, fragment */
    bool is_plain;                         /* http: */
    bool from_now;                         /* begins after the newest event, not with the oldest */
    struct webhook_secrets secrets;
    unsigned types; /* EVENT_BIT of each that is sent, EVENT_GAP always among them */
    uint32_t batch; /* most events of one request */
    uint32_t timeout_ms;
};

struct webhook_file {
    size_t n; /* may be 0 */
    struct webhook_line lines[WEBHOOKS_MAX];
};

/* `path` is for the error alone. ERR_INVALID_FIELD: *why is `PATH:LINE: FIELD: ` and what is wrong
 * with it, and never a part of a secret. ERR_NO_MEMORY. The caller frees *ret_file with
 * webhook_file_free. */
MUST_CHECK enum err webhook_file_read(struct span bytes, const char *path,
                                      struct webhook_file **ret_file, char *why, size_t why_cap);

/* Wipes the secrets and frees; NULL is fine. */
void webhook_file_free(struct webhook_file *file);

/* NULL: there is no endpoint of this name. */
const struct webhook_line *webhook_file_find(const struct webhook_file *file, struct span name);

/* Is it http://HOST:PORT, as --webhook-proxy has to be? */
bool webhook_proxy_is_valid(const char *url);

#endif
