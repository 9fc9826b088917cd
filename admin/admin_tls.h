/* The certificate of the admin port. libmicrohttpd has its own TLS (GnuTLS). It calls back for the
 * certificate at each handshake, so that a reload can replace it. There is one per process, because
 * the library passes no argument to that callback. */
#ifndef HERALD_ADMIN_ADMIN_TLS_H
#define HERALD_ADMIN_ADMIN_TLS_H

#include "gateway/base/options.h"

struct admin_tls;
struct MHD_Daemon;

/* *ret_tls is NULL without --admin-tls-cert. ERR_INVALID_FIELD: *why says what to do. */
MUST_CHECK enum err admin_tls_new(const struct options *options, struct admin_tls **ret_tls,
                                  char *why, size_t why_cap);
void admin_tls_free(struct admin_tls *tls); /* after the daemon */

/* Any thread, one at a time. The log says of each file whether it was unchanged, replaced or
 * refused; if one is refused, both stay as they were. */
void admin_tls_reload(struct admin_tls *tls);

/* The values of MHD_OPTION_HTTPS_CERT_CALLBACK2 and MHD_OPTION_HTTPS_PRIORITIES: TLS 1.2 and 1.3.
 */
void *admin_tls_callback(void);
#define ADMIN_TLS_PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

#endif
