#include "gateway/stores/local/devices.h"

#include "gateway/stores/local/record_bytes.h"

#include <assert.h>
#include <stdlib.h>

enum { SHARED_BYTES = 8, DEVICE_HEAD = 8 + 2 + 1 };

enum err devices_reserve(struct devices **devices, uint64_t shared)
{
    uint8_t n = *devices == NULL ? 0 : (*devices)->n;
    if (*devices != NULL && n < (*devices)->cap)
        return ERR_OK;
    assert(n < STORE_MAX_DEVICES);
    struct devices *more = realloc(*devices, sizeof *more + (n + 1u) * sizeof more->list[0]);
    if (more == NULL)
        return ERR_NO_MEMORY;
    if (*devices == NULL)
        *more = (struct devices){.shared = shared};
    more->cap = (uint8_t)(n + 1);
    *devices = more;
    return ERR_OK;
}

struct device *devices_find(struct devices *devices, struct span name)
{
    for (uint8_t i = 0; devices != NULL && i < devices->n; i++) {
        struct device *device = &devices->list[i];
        if (span_equal((struct span){device->name, device->name_len}, name))
            return device;
    }
    return NULL;
}

void devices_add(struct devices *devices, struct span name, uint64_t position, uint16_t day)
{
    assert(devices->n < devices->cap && name.len > 0 && name.len <= DEVICE_MAX_BYTES);
    struct device *device = &devices->list[devices->n++];
    *device = (struct device){.position = position, .day = day, .name_len = (uint8_t)name.len};
    memcpy(device->name, name.bytes, name.len);
}

static void move_up(struct devices *devices, size_t at)
{
    memmove(&devices->list[at], &devices->list[at + 1],
            (devices->n - at - 1) * sizeof devices->list[0]);
}

void devices_drop_oldest(struct devices *devices)
{
    assert(devices->n > 0);
    move_up(devices, 0);
    devices->n--;
}

struct device *devices_see(struct devices *devices, struct device *device, uint16_t day)
{
    struct device seen = *device;
    seen.day = day;
    move_up(devices, (size_t)(device - devices->list));
    devices->list[devices->n - 1] = seen;
    return &devices->list[devices->n - 1];
}

uint64_t devices_lowest(const struct devices *devices, bool is_held)
{
    uint64_t lowest = devices->n == 0 || is_held ? devices->shared : UINT64_MAX;
    for (uint8_t i = 0; i < devices->n; i++)
        if (devices->list[i].position < lowest)
            lowest = devices->list[i].position;
    return lowest;
}

void devices_raise_shared(struct devices *devices, uint64_t position)
{
    if (devices != NULL && devices->shared < position)
        devices->shared = position;
}

void devices_rewind(struct devices *devices)
{
    if (devices == NULL)
        return;
    devices->shared = 0;
    for (uint8_t i = 0; i < devices->n; i++)
        devices->list[i].position = 0;
}

/* ---- as bytes ---- */

size_t devices_size(const struct devices *devices)
{
    if (devices == NULL || devices->n == 0)
        return 0;
    size_t size = SHARED_BYTES;
    for (uint8_t i = 0; i < devices->n; i++)
        size += DEVICE_HEAD + devices->list[i].name_len;
    return size;
}

void devices_write(const struct devices *devices, char *out)
{
    if (devices == NULL || devices->n == 0)
        return;
    out = put_number(out, devices->shared, 8);
    for (uint8_t i = 0; i < devices->n; i++) {
        const struct device *device = &devices->list[i];
        out = put_number(out, device->position, 8);
        out = put_number(out, device->day, 2);
        out = put_number(out, device->name_len, 1);
        out = put_bytes(out, device->name, device->name_len);
    }
}

/* The next device, whose name lies in the bytes; false: these are none of ours. */
static bool take_device(struct span *rest, struct device *ret_device, struct span *ret_name)
{
    if (rest->len < DEVICE_HEAD)
        return false;
    const char *at = rest->bytes;
    ret_device->position = take_number(&at, 8);
    ret_device->day = (uint16_t)take_number(&at, 2);
    size_t name_len = (size_t)take_number(&at, 1);
    if (name_len == 0 || name_len > DEVICE_MAX_BYTES || rest->len - DEVICE_HEAD < name_len)
        return false;
    *ret_name = (struct span){at, name_len};
    *rest = (struct span){at + name_len, rest->len - DEVICE_HEAD - name_len};
    return true;
}

bool devices_are_sound(struct span bytes, uint64_t acked, uint64_t head)
{
    if (bytes.len == 0)
        return true;
    if (bytes.len <= SHARED_BYTES)
        return false;
    const char *at = bytes.bytes;
    uint64_t shared = take_number(&at, 8);
    struct span rest = {at, bytes.len - SHARED_BYTES};
    bool is_sound = shared >= acked && shared <= head;
    for (int n = 0; is_sound && rest.len > 0; n++) {
        struct device device;
        struct span name;
        is_sound = n < STORE_MAX_DEVICES && take_device(&rest, &device, &name) &&
                   device.position >= acked && device.position <= head;
    }
    return is_sound;
}

enum err devices_read(struct span bytes, struct devices **ret_devices)
{
    struct devices *devices = NULL;
    struct device device;
    struct span name;
    const char *at = bytes.bytes;
    uint64_t shared = bytes.len == 0 ? 0 : take_number(&at, 8);
    struct span rest = {at, bytes.len == 0 ? 0 : bytes.len - SHARED_BYTES};
    while (rest.len > 0 && take_device(&rest, &device, &name)) {
        if (devices_reserve(&devices, shared) != ERR_OK) {
            free(devices);
            return ERR_NO_MEMORY;
        }
        devices_add(devices, name, device.position, device.day);
        devices->is_held = true;
    }
    *ret_devices = devices;
    return ERR_OK;
}
