/* Signs webhook requests as the Standard Webhooks specification 1.0.0 says: HMAC-SHA256 over
 * `ID.TIMESTAMP.BODY`, as `v1,BASE64`. Pure; any thread. */
#ifndef HERALD_PROTO_WEBHOOK_SIGNATURE_H
#define HERALD_PROTO_WEBHOOK_SIGNATURE_H

#include "proto/bytes/span.h"
#include "proto/error.h"

#include <stdint.h>

enum {
    WEBHOOK_SECRETS_MAX = 2,
    WEBHOOK_SECRET_MIN_BYTES = 24,
    WEBHOOK_SECRET_MAX_BYTES = 64,
    /* "v1," and the base64 of 32 bytes, with a blank or a NUL after each */
    WEBHOOK_SIGNATURE_MAX_BYTES = WEBHOOK_SECRETS_MAX * (3 + 44 + 1),
};

/* The secrets of one endpoint. While one is replaced by another, both sign. */
struct webhook_secrets {
    size_t n;
    struct {
        uint8_t bytes[WEBHOOK_SECRET_MAX_BYTES];
        size_t len;
    } list[WEBHOOK_SECRETS_MAX];
};

/* Reads `whsec_BASE64`, or two of them with a comma between. The base64 is that of RFC 4648,
 * section 4, with its padding. ERR_INVALID_FIELD: *ret_why is a constant that says what a secret
 * has to be, without a part of this one. */
MUST_CHECK enum err webhook_secrets_read(struct span text, struct webhook_secrets *ret_secrets,
                                         const char **ret_why);

/* Writes the value of `webhook-signature`, with a NUL at its end. ERR_SYSTEM, ERR_NO_MEMORY: of the
 * cryptographic library. */
MUST_CHECK enum err webhook_sign(const struct webhook_secrets *secrets, struct span id,
                                 int64_t timestamp_s, struct span body,
                                 char out[WEBHOOK_SIGNATURE_MAX_BYTES]);

#endif
