/* Records of the file store. What is read is written again, and must be the same bytes. */
#include "gateway/stores/file/file_record.h"
#include "gateway/stores/local/devices.h"
#include "tests/fuzz/fuzz.h"

enum { PRESENT_VERSION = 3 };

static void read_devices(const struct file_record *record)
{
    struct devices *devices = NULL;
    FUZZ_CHECK(devices_read(record->devices, &devices) == ERR_OK);
    FUZZ_CHECK((devices == NULL) == (record->devices.len == 0));
    if (devices != NULL) {
        FUZZ_CHECK(devices->n >= 1 && devices->n <= STORE_MAX_DEVICES);
        FUZZ_CHECK(devices_size(devices) == record->devices.len);
        char *out = malloc(record->devices.len);
        FUZZ_CHECK(out != NULL);
        devices_write(devices, out);
        FUZZ_CHECK(memcmp(out, record->devices.bytes, record->devices.len) == 0);
        free(out);
        uint64_t lowest = devices_lowest(devices, true);
        FUZZ_CHECK(lowest >= record->acked && lowest <= record->seq);
    }
    free(devices);
}

static void check_texts(const struct file_record *record, struct span bytes)
{
    FUZZ_CHECK(fuzz_is_inside(record->user_id, bytes) && fuzz_is_inside(record->key, bytes));
    FUZZ_CHECK(fuzz_is_inside(record->devices, bytes) && fuzz_is_inside(record->gaps, bytes));
    FUZZ_CHECK(fuzz_is_inside(record->data, bytes));
    FUZZ_CHECK(record->user_id.len <= USER_ID_MAX_BYTES);
    FUZZ_CHECK(record->key.len <= COLLAPSE_KEY_MAX_BYTES);
}

static void write_again(const struct file_record *record, struct span bytes)
{
    size_t size = file_record_size(record);
    char *out = malloc(size);
    FUZZ_CHECK(out != NULL);
    file_record_write(record, out);
    if (bytes.bytes[0] == PRESENT_VERSION) {
        FUZZ_CHECK(span_equal((struct span){out, size}, bytes));
    } else { /* an older one says the same in the present form */
        struct file_record again;
        const char *detail;
        FUZZ_CHECK(file_record_read((struct span){out, size}, &again, &detail) == ERR_OK);
        FUZZ_CHECK(again.kind == record->kind && again.seq == record->seq);
        FUZZ_CHECK(again.written == record->written && span_equal(again.data, record->data));
    }
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    char *copy = fuzz_copy((struct span){(const char *)bytes, len});
    struct span text = {copy, len};
    struct file_record record;
    const char *detail = NULL;
    enum err error = file_record_read(text, &record, &detail);
    if (error == ERR_OK) {
        check_texts(&record, text);
        write_again(&record, text);
        if (record.kind == FILE_RECORD_USER)
            read_devices(&record);
    } else {
        FUZZ_CHECK(error == ERR_INVALID_FIELD && detail != NULL);
    }
    free(copy);
    return 0;
}
