/* The records of the event log, in the order of their keys, into its index. For file_scan.c. */
#ifndef HERALD_STORE_FILE_SCAN_EVENTS_H
#define HERALD_STORE_FILE_SCAN_EVENTS_H

#include "gateway/stores/file/file_record.h"
#include "gateway/stores/file/file_stale.h"
#include "gateway/stores/local/partition.h"

struct file_scan_events {
    struct partitions *partitions;
    struct file_stales *stale;
    uint64_t left[STORE_PARTITIONS]; /* as the records have said until now */
};

/* An EVENT or PARTITION under this key. ERR_INVALID_FIELD: it does not fit those before it, as
 * *ret_detail says; ERR_NO_MEMORY. */
MUST_CHECK enum err file_scan_event(struct file_scan_events *scan, uint64_t key,
                                    const struct file_record *record, const char **ret_detail);

/* A PRESENCE under this key; answers as file_scan_event. */
MUST_CHECK enum err file_scan_presence(struct file_scan_events *scan, uint64_t key,
                                       const struct file_record *record, const char **ret_detail);

/* An ALERT under this key. ERR_NO_MEMORY. */
MUST_CHECK enum err file_scan_alert(struct file_scan_events *scan, uint64_t key,
                                    const struct file_record *record);

/* After the last record. ERR_INVALID_FIELD: events are missing. */
MUST_CHECK enum err file_scan_end_events(const struct file_scan_events *scan,
                                         const char **ret_detail);

#endif
