/* Builds the index of the file store from all its records, checking each. For store_file.c. */
#ifndef HERALD_STORE_FILE_SCAN_H
#define HERALD_STORE_FILE_SCAN_H

#include "gateway/stores/file/file_lmdb.h"
#include "gateway/stores/file/file_shared.h"
#include "gateway/stores/file/file_stale.h"
#include "gateway/stores/local/local_backing.h"

struct file_keys {
    uint64_t next;  /* the first that is free; from 1: in the index 0 is none */
    uint64_t probe; /* of the PROBE record; 0: there is none */
};

/* Fills the empty index, counts the references to shared payloads, and finds what is stale (a stale
 * REF is counted until it has left). Meanwhile `backing` breathes. ERR_STORE_UNAVAILABLE: *why
 * names the record that is damaged; the index then holds a part. */
MUST_CHECK enum err file_scan(struct file_lmdb *lmdb, const struct backing *backing,
                              struct local_index *index, struct file_shared *shared,
                              struct file_stales *stale, struct file_keys *ret_keys, char *why,
                              size_t why_cap);

#endif
