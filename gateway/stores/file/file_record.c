/* A record begins with a head of fixed size (version, kind, lengths, numbers), and the texts follow
 * it. Writing fills a buffer of file_record_size bytes. Reading checks every
 * length against what is there and every value against its range: a record that does not fit is
 * malformed, whatever wrote it, and the store does not start with it.
 */
#include "gateway/stores/file/file_record.h"

#include "gateway/stores/local/inbox.h"
#include "gateway/stores/local/partition.h"
#include "gateway/stores/local/presences.h"
#include "gateway/stores/local/record_bytes.h"

/* Of the records that can be read. The third is written, and the last one of the kinds that came
 * with it. */
enum { VERSION_1 = 1, VERSION_2, FORMAT_VERSION, EVENTS_VERSION };

/* What comes before the texts: version, kind, length of the userId, and (all but PROBE,
 * SHARED and BLOCK) the epoch; the fields of the kind. The texts follow in this order: userId; key
 * or devices; data or causes, which end the record. */
enum {
    SHORT_HEAD = 3,
    NOTE_HEAD_1 = SHORT_HEAD + EPOCH_LEN + 3 * 8,
    USER_HEAD_1 = SHORT_HEAD + EPOCH_LEN + 2 * 8 + 2,
    NOTE_HEAD_2 = NOTE_HEAD_1 + 1,
    NOTE_HEAD = NOTE_HEAD_2 + 8,
    REF_MORE = 4 + 4, /* than a NOTE has */
    USER_HEAD = USER_HEAD_1 + 8 + 2,
    KEY_HEAD = NOTE_HEAD_2 + 16,
    BLOCK_HEAD = SHORT_HEAD + 8,
    EVENT_HEAD = SHORT_HEAD + EPOCH_LEN + 3 * 8,
    PARTITION_HEAD = SHORT_HEAD + EPOCH_LEN + 3 * 8 + 2,
    ALERT_HEAD = SHORT_HEAD + EPOCH_LEN + 3 * 8,
    PRESENCE_HEAD = SHORT_HEAD + 2 * 8 + 1 + 2,
};

static bool is_note(enum file_record_kind kind)
{
    return kind == FILE_RECORD_NOTE || kind == FILE_RECORD_REF;
}

static bool has_user(enum file_record_kind kind)
{
    return kind != FILE_RECORD_PROBE && kind != FILE_RECORD_SHARED;
}

static bool has_epoch(enum file_record_kind kind)
{
    return has_user(kind) && kind != FILE_RECORD_BLOCK && kind != FILE_RECORD_PRESENCE;
}

static int version_of(enum file_record_kind kind)
{
    return kind < FILE_RECORD_EVENT ? FORMAT_VERSION : EVENTS_VERSION;
}

static size_t note_head_len(int version)
{
    if (version == VERSION_1)
        return NOTE_HEAD_1;
    return version == VERSION_2 ? NOTE_HEAD_2 : NOTE_HEAD;
}

static size_t head_len(enum file_record_kind kind, int version)
{
    switch (kind) {
    case FILE_RECORD_NOTE:
        return note_head_len(version);
    case FILE_RECORD_REF:
        return note_head_len(version) + REF_MORE;
    case FILE_RECORD_USER:
        return version == VERSION_1 ? USER_HEAD_1 : USER_HEAD;
    case FILE_RECORD_KEY:
        return KEY_HEAD;
    case FILE_RECORD_BLOCK:
        return BLOCK_HEAD;
    case FILE_RECORD_EVENT:
        return EVENT_HEAD;
    case FILE_RECORD_PARTITION:
        return PARTITION_HEAD;
    case FILE_RECORD_PRESENCE:
        return PRESENCE_HEAD;
    case FILE_RECORD_ALERT:
        return ALERT_HEAD;
    default:
        return SHORT_HEAD;
    }
}

size_t file_record_size(const struct file_record *record)
{
    return head_len(record->kind, version_of(record->kind)) + record->user_id.len +
           record->key.len + record->devices.len + record->gaps.len + record->data.len;
}

static char *write_event_fields(const struct file_record *record, char *out)
{
    if (record->kind == FILE_RECORD_PRESENCE) {
        out = put_number(out, (uint64_t)record->expires_ms, 8);
        out = put_number(out, (uint64_t)record->time_ms, 8);
        out = put_number(out, record->cause, 1);
        return put_number(out, record->devices.len, 2);
    }
    if (record->kind == FILE_RECORD_ALERT) {
        out = put_number(out, (uint64_t)record->time_ms, 8);
        return put_number(out, (uint64_t)record->expires_ms, 8);
    }
    out = put_number(out, record->left, 8);
    if (record->kind == FILE_RECORD_EVENT)
        return put_number(out, (uint64_t)record->time_ms, 8);
    out = put_number(out, record->acked, 8);
    return put_number(out, record->devices.len, 2);
}

static char *write_fields(const struct file_record *record, char *out)
{
    enum file_record_kind kind = record->kind;
    if (has_epoch(kind)) {
        out = put_bytes(out, record->epoch.text, EPOCH_LEN);
        out = put_number(out, record->seq, 8);
    }
    if (kind == FILE_RECORD_BLOCK)
        out = put_number(out, (uint64_t)record->expires_ms, 8);
    if (kind == FILE_RECORD_USER) {
        out = put_number(out, record->acked, 8);
        out = put_number(out, record->sign_day, 2);
        out = put_number(out, record->written, 8);
        out = put_number(out, record->devices.len, 2);
    }
    if (is_note(kind) || kind == FILE_RECORD_KEY) {
        out = put_number(out, (uint64_t)record->time_ms, 8);
        out = put_number(out, (uint64_t)record->expires_ms, 8);
    }
    if (kind == FILE_RECORD_REF) {
        out = put_number(out, record->distance, 4);
        out = put_number(out, record->bytes, 4);
    }
    if (is_note(kind) || kind == FILE_RECORD_KEY)
        out = put_number(out, record->key.len, 1);
    if (is_note(kind))
        out = put_number(out, record->acked, 8);
    if (kind == FILE_RECORD_KEY)
        out = put_bytes(out, record->print.bytes, sizeof record->print.bytes);
    return kind < FILE_RECORD_EVENT ? out : write_event_fields(record, out);
}

void file_record_write(const struct file_record *record, char *out)
{
    out = put_number(out, (uint64_t)version_of(record->kind), 1);
    out = put_number(out, (uint64_t)record->kind, 1);
    out = put_number(out, record->user_id.len, 1);
    out = write_fields(record, out);
    out = put_bytes(out, record->user_id.bytes, record->user_id.len);
    out = put_bytes(out, record->key.bytes, record->key.len);
    out = put_bytes(out, record->devices.bytes, record->devices.len);
    out = put_bytes(out, record->gaps.bytes, record->gaps.len);
    put_bytes(out, record->data.bytes, record->data.len);
}

static void read_event_fields(const char *at, struct file_record *record)
{
    if (record->kind == FILE_RECORD_PRESENCE) {
        record->expires_ms = (int64_t)take_number(&at, 8);
        record->time_ms = (int64_t)take_number(&at, 8);
        record->cause = (uint8_t)take_number(&at, 1);
        record->devices.len = (size_t)take_number(&at, 2);
        return;
    }
    if (record->kind == FILE_RECORD_ALERT) {
        record->time_ms = (int64_t)take_number(&at, 8);
        record->expires_ms = (int64_t)take_number(&at, 8);
        return;
    }
    record->left = take_number(&at, 8);
    if (record->kind == FILE_RECORD_EVENT) {
        record->time_ms = (int64_t)take_number(&at, 8);
        return;
    }
    record->acked = take_number(&at, 8);
    record->devices.len = (size_t)take_number(&at, 2);
}

/* The lengths of the texts go into their spans. */
static void read_fields(const char *at, int version, struct file_record *record)
{
    enum file_record_kind kind = record->kind;
    if (has_epoch(kind)) {
        memcpy(record->epoch.text, at, EPOCH_LEN);
        at += EPOCH_LEN;
        record->seq = take_number(&at, 8);
    }
    if (kind == FILE_RECORD_BLOCK)
        record->expires_ms = (int64_t)take_number(&at, 8);
    if (kind == FILE_RECORD_USER) {
        record->acked = take_number(&at, 8);
        record->sign_day = (uint16_t)take_number(&at, 2);
        record->written = version == VERSION_1 ? record->acked : take_number(&at, 8);
        record->devices.len = version == VERSION_1 ? 0 : (size_t)take_number(&at, 2);
    }
    if (is_note(kind) || kind == FILE_RECORD_KEY) {
        record->time_ms = (int64_t)take_number(&at, 8);
        record->expires_ms = (int64_t)take_number(&at, 8);
    }
    if (kind == FILE_RECORD_REF) {
        record->distance = (uint32_t)take_number(&at, 4);
        record->bytes = (uint32_t)take_number(&at, 4);
    }
    if (version != VERSION_1 && (is_note(kind) || kind == FILE_RECORD_KEY))
        record->key.len = (size_t)take_number(&at, 1);
    if (version == FORMAT_VERSION && is_note(kind))
        record->acked = take_number(&at, 8);
    if (kind == FILE_RECORD_KEY)
        memcpy(record->print.bytes, at, sizeof record->print.bytes);
    if (kind >= FILE_RECORD_EVENT)
        read_event_fields(at, record);
}

static struct span take_text(struct span *rest, size_t len)
{
    struct span text = {rest->bytes, len};
    *rest = (struct span){rest->bytes + len, rest->len - len};
    return text;
}

/* Everything after the fields; false: it ends too early. */
static bool read_texts(struct span rest, int version, struct file_record *record)
{
    if (rest.len < record->user_id.len + record->key.len + record->devices.len)
        return false;
    record->user_id = take_text(&rest, record->user_id.len);
    record->key = take_text(&rest, record->key.len);
    record->devices = take_text(&rest, record->devices.len);
    if ((record->kind == FILE_RECORD_USER && version != VERSION_1) ||
        record->kind == FILE_RECORD_PARTITION)
        record->gaps = rest;
    else
        record->data = rest;
    return true;
}

static bool is_epoch(struct epoch epoch)
{
    for (int i = 0; i < EPOCH_LEN; i++) {
        char c = epoch.text[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9'))
            return false;
    }
    return true;
}

static const char *find_fault_of_user(const struct file_record *record)
{
    if (record->acked > record->seq || record->written > record->seq)
        return "its position is above the highest number";
    if (record->devices.len > 0 && !devices_are_sound(record->devices, record->acked, record->seq))
        return "its devices are malformed";
    return NULL;
}

static bool is_time(int64_t time_ms)
{
    return time_ms >= 0 && time_ms < WAITING_EXPIRES_END_MS;
}

static const char *find_fault_of_note(const struct file_record *record)
{
    size_t max_key = record->kind == FILE_RECORD_KEY ? (size_t)IDEMPOTENCY_KEY_MAX_BYTES
                                                     : (size_t)COLLAPSE_KEY_MAX_BYTES;
    if (record->seq == 0)
        return "its number is 0";
    if (record->acked >= record->seq)
        return "its position is not below its number";
    if (!is_time(record->time_ms) || !is_time(record->expires_ms))
        return "its time is out of range";
    if (record->key.len > max_key || (record->kind == FILE_RECORD_KEY && record->key.len == 0))
        return "its key has a wrong length";
    if (record->kind == FILE_RECORD_REF && record->distance == 0)
        return "it refers to itself";
    return NULL;
}

static const char *find_fault_of_presence(const struct file_record *record)
{
    if (record->cause >= OFFLINE_CAUSES)
        return "its cause is none";
    if (!is_time(record->time_ms) || !is_time(record->expires_ms))
        return "its time is out of range";
    if (record->devices.len > 0 && record->expires_ms != 0)
        return "it is on a node and has an end";
    return present_nodes_are_sound(record->devices) ? NULL : "its nodes are malformed";
}

static const char *find_fault_of_partition(const struct file_record *record)
{
    unsigned partition;
    if (!store_is_partition_user(record->user_id, &partition))
        return "its partition is none";
    if (record->left > record->seq || record->acked > record->seq)
        return "its position is above the highest number";
    if (record->kind == FILE_RECORD_EVENT) {
        if (record->left == record->seq)
            return "its number is 0, or has left";
        return is_time(record->time_ms) ? NULL : "its time is out of range";
    }
    return consumers_are_sound(record->devices, record->seq) ? NULL : "its consumers are malformed";
}

/* What no record of ours can be; NULL: nothing is wrong. */
static const char *find_fault(const struct file_record *record)
{
    bool may_have_data = record->kind == FILE_RECORD_NOTE || record->kind == FILE_RECORD_SHARED ||
                         record->kind == FILE_RECORD_EVENT;
    if (has_user(record->kind) != (record->user_id.len > 0) ||
        record->user_id.len > USER_ID_MAX_BYTES)
        return "its userId has a wrong length";
    if (!may_have_data && record->data.len > 0)
        return "it is too long";
    if (!has_user(record->kind))
        return NULL;
    if (record->kind == FILE_RECORD_BLOCK)
        return is_time(record->expires_ms) ? NULL : "its time is out of range";
    if (record->kind == FILE_RECORD_PRESENCE)
        return find_fault_of_presence(record);
    if (!is_epoch(record->epoch))
        return "its epoch is none";
    if (record->seq >= FILE_RECORD_SEQ_END)
        return "its number is out of range";
    if (record->kind == FILE_RECORD_EVENT || record->kind == FILE_RECORD_PARTITION)
        return find_fault_of_partition(record);
    return record->kind == FILE_RECORD_USER ? find_fault_of_user(record)
                                            : find_fault_of_note(record);
}

static bool is_known(int version, int kind)
{
    if (kind >= FILE_RECORD_EVENT)
        return version == EVENTS_VERSION && kind < FILE_RECORD_KINDS;
    int last = version == VERSION_1 ? FILE_RECORD_USER : FILE_RECORD_BLOCK;
    return version >= VERSION_1 && version <= FORMAT_VERSION && kind >= FILE_RECORD_PROBE &&
           kind <= last;
}

enum err file_record_read(struct span bytes, struct file_record *ret_record,
                          const char **ret_detail)
{
    struct file_record record = {0};
    *ret_detail = "it is too short";
    if (bytes.len < SHORT_HEAD)
        return ERR_INVALID_FIELD;
    *ret_detail = "it is of a format that this version does not know";
    int version = (unsigned char)bytes.bytes[0];
    if (!is_known(version, (unsigned char)bytes.bytes[1]))
        return ERR_INVALID_FIELD;
    record.kind = (enum file_record_kind)bytes.bytes[1];
    record.user_id.len = (unsigned char)bytes.bytes[2];
    size_t head = head_len(record.kind, version);
    *ret_detail = "it is too short";
    if (bytes.len < head)
        return ERR_INVALID_FIELD;
    read_fields(bytes.bytes + SHORT_HEAD, version, &record);
    if (!read_texts((struct span){bytes.bytes + head, bytes.len - head}, version, &record))
        return ERR_INVALID_FIELD;
    *ret_detail = find_fault(&record);
    if (*ret_detail != NULL)
        return ERR_INVALID_FIELD;
    *ret_record = record;
    return ERR_OK;
}
