/* What the builds of formats 2 and 3 have beside format 1 (herald-format-2 and herald-format-3 of
 * tests/CMakeLists.txt): an item that format 1 may skip, written in every format; one that it may
 * not, written from format 2 on; and one that it may not and gets all the same, of sessions with a
 * device. All of them say what another item says already. */
#ifndef HERALD_TESTS_FORMAT_2_H
#define HERALD_TESTS_FORMAT_2_H

#define HERALD_UPGRADE_MORE_SESSION_ROWS                                                           \
    ROW(100, RECORD_UNSIGNED, since_s, UINT32_MAX, "later.since"),                                 \
        ROW_SINCE(2, 250, RECORD_UNSIGNED, id, UINT64_MAX, "later.id"),                            \
        BYTES(251, device, DEVICE_MAX_BYTES, "later.device"),

#endif
