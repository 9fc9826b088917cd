/* The positions of one user's devices, and the shared one of the sessions without a device, for a
 * user that has devices. Pure; for the thread that runs the store's turns.
 *
 * Memory: 16 bytes and 80 a device. */
#ifndef HERALD_STORE_DEVICES_H
#define HERALD_STORE_DEVICES_H

#include "gateway/store/store_request.h"

struct device {
    uint64_t position;
    uint16_t day; /* last seen, in days since 1970 */
    uint8_t name_len;
    char name[DEVICE_MAX_BYTES];
};

/* In the order in which they were last seen: the longest unseen first. */
struct devices {
    uint64_t shared;
    bool is_held; /* as the last request said; of a record, whose reader does not know: true */
    uint8_t n;
    uint8_t cap;
    struct device list[];
};

/* Room for one more, in a list whose shared position is at `shared` if it begins. It has no room
 * beyond STORE_MAX_DEVICES: drop one first. */
MUST_CHECK enum err devices_reserve(struct devices **devices, uint64_t shared);

/* NULL: there is none of this name. Valid until the list changes. */
struct device *devices_find(struct devices *devices, struct span name);
void devices_add(struct devices *devices, struct span name, uint64_t position, uint16_t day);
void devices_drop_oldest(struct devices *devices);

/* It was seen today: it becomes the last of the list, and this is where it is then. */
struct device *devices_see(struct devices *devices, struct device *device, uint16_t day);

/* Up to where all have acknowledged; with no device in it, the shared position. */
uint64_t devices_lowest(const struct devices *devices, bool is_held);

/* NULL is fine for both. */
void devices_raise_shared(struct devices *devices, uint64_t position);
void devices_rewind(struct devices *devices); /* all to 0 */

/* How the list is written in records. NULL, and one without a device, is no bytes. */
enum { DEVICES_MAX_BYTES = 8 + STORE_MAX_DEVICES * (8 + 2 + 1 + DEVICE_MAX_BYTES) };
size_t devices_size(const struct devices *devices);
void devices_write(const struct devices *devices, char *out); /* devices_size bytes */

/* Is this a list of positions between acked and head? */
bool devices_are_sound(struct span bytes, uint64_t acked, uint64_t head);

/* Of bytes that are sound; none are NULL. */
MUST_CHECK enum err devices_read(struct span bytes, struct devices **ret_devices);

#endif
