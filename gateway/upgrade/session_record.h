/* A session on its way to another process, as a record (record_table.h). The formats, and which one
 * two processes use, are upgrade_hello.h's. Pure. */
#ifndef HERALD_UPGRADE_SESSION_RECORD_H
#define HERALD_UPGRADE_SESSION_RECORD_H

#include "gateway/session/carried_session.h"
#include "gateway/upgrade/record_table.h"

/* Writes the members that `format` has as items, without an item around them. */
void session_record_write(struct record_writer *writer, const struct carried_session *carried,
                          unsigned format);

/* The spans of *ret_carried lie in `bytes`. Each member is within its own bounds then; whether they
 * go together is session_revive's to say. Errors and `why` as of record_read: then *ret_carried has
 * what could be read before, and is otherwise zero. */
MUST_CHECK enum err session_record_read(struct span bytes, struct carried_session *ret_carried,
                                        char why[RECORD_WHY_MAX_BYTES]);

#endif
