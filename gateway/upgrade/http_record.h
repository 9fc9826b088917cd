/* An HTTP connection on its way to another process, as a record (record_table.h). Pure. */
#ifndef HERALD_UPGRADE_HTTP_RECORD_H
#define HERALD_UPGRADE_HTTP_RECORD_H

#include "gateway/http/carried_http.h"
#include "gateway/upgrade/record_table.h"

/* is_admin: it is one of the admin port, and not of the subscriber port. Writes the members that
 * `format` has as items, without an item around them. */
void http_record_write(struct record_writer *writer, const struct carried_http *carried,
                       bool is_admin, unsigned format);

/* The bytes of *ret_carried lie in `bytes`. Errors and `why` as of record_read. */
MUST_CHECK enum err http_record_read(struct span bytes, struct carried_http *ret_carried,
                                     bool *ret_is_admin, char why[RECORD_WHY_MAX_BYTES]);

#endif
