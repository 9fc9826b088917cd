/* The certificates of the subscriber port: options -> tls_context.h, and reading them again. */
#ifndef HERALD_CERTIFICATES_H
#define HERALD_CERTIFICATES_H

#include "gateway/base/options.h"
#include "gateway/net/tls_context.h"

/* *ret_context is NULL when the port speaks no TLS. On error *why says what to do. */
MUST_CHECK enum err certificates_open(const struct options *options,
                                      struct tls_context **ret_context, char *why, size_t why_cap);

/* Reads the files again; the log says of each whether it was unchanged, replaced or refused, and
 * how long the certificate that counts then is valid. If one is refused, all stay as they were. Any
 * thread, one at a time. */
void certificates_reload(struct tls_context *context);

#endif
