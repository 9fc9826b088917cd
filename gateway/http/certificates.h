/* The certificates of the two ports: from the options to a TLS context, and read again. */
#ifndef HERALD_CERTIFICATES_H
#define HERALD_CERTIFICATES_H

#include "gateway/base/options.h"
#include "gateway/net/tls_context.h"

/* The subscriber port. *ret_context is NULL when the port speaks no TLS; otherwise the caller frees
 * it. ERR_INVALID_FIELD, ERR_SYSTEM, ERR_NO_MEMORY: *why is a sentence that says what to do. */
MUST_CHECK enum err certificates_open(const struct options *options,
                                      struct tls_context **ret_context, char *why, size_t why_cap);

/* The same for the admin port. */
MUST_CHECK enum err certificates_open_admin(const struct options *options,
                                            struct tls_context **ret_context, char *why,
                                            size_t why_cap);

/* Reads the files again. The log says of each whether it was unchanged, replaced or refused, and
 * until when the certificate is valid that is served from then on. If one is refused, all stay as
 * they were. Any thread, one at a time. */
void certificates_reload(struct tls_context *context);

#endif
