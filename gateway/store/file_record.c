#include "gateway/store/file_record.h"

enum { FORMAT_VERSION = 1 };

/* What stands in front of the userId and the data: version, kind, length of the userId, and
 * (all but PROBE and SHARED) the epoch and the fields of the kind. */
enum {
    SHORT_HEAD = 3,
    NOTE_HEAD = SHORT_HEAD + EPOCH_LEN + 3 * 8,
    REF_HEAD = NOTE_HEAD + 4 + 4,
    USER_HEAD = SHORT_HEAD + EPOCH_LEN + 2 * 8 + 2,
};

static size_t head_len(enum file_record_kind kind)
{
    switch (kind) {
    case FILE_RECORD_NOTE:
        return NOTE_HEAD;
    case FILE_RECORD_REF:
        return REF_HEAD;
    case FILE_RECORD_USER:
        return USER_HEAD;
    default:
        return SHORT_HEAD;
    }
}

size_t file_record_size(const struct file_record *record)
{
    return head_len(record->kind) + record->user_id.len + record->data.len;
}

static char *put_number(char *out, uint64_t number, unsigned n_bytes)
{
    for (unsigned i = 0; i < n_bytes; i++)
        *out++ = (char)(unsigned char)(number >> (8 * i));
    return out;
}

static char *put_bytes(char *out, const void *bytes, size_t len)
{
    if (len > 0)
        memcpy(out, bytes, len);
    return out + len;
}

void file_record_write(const struct file_record *record, char *out)
{
    out = put_number(out, FORMAT_VERSION, 1);
    out = put_number(out, (uint64_t)record->kind, 1);
    out = put_number(out, record->user_id.len, 1);
    if (head_len(record->kind) > SHORT_HEAD) {
        out = put_bytes(out, record->epoch.text, EPOCH_LEN);
        out = put_number(out, record->seq, 8);
    }
    if (record->kind == FILE_RECORD_USER) {
        out = put_number(out, record->acked, 8);
        out = put_number(out, record->sign_day, 2);
    }
    if (record->kind == FILE_RECORD_NOTE || record->kind == FILE_RECORD_REF) {
        out = put_number(out, (uint64_t)record->time_ms, 8);
        out = put_number(out, (uint64_t)record->expires_ms, 8);
    }
    if (record->kind == FILE_RECORD_REF) {
        out = put_number(out, record->distance, 4);
        out = put_number(out, record->bytes, 4);
    }
    out = put_bytes(out, record->user_id.bytes, record->user_id.len);
    put_bytes(out, record->data.bytes, record->data.len);
}

static uint64_t take_number(const char **at, unsigned n_bytes)
{
    uint64_t number = 0;
    for (unsigned i = 0; i < n_bytes; i++)
        number |= (uint64_t)(unsigned char)*(*at)++ << (8 * i);
    return number;
}

static void read_fields(const char *at, struct file_record *record)
{
    if (head_len(record->kind) > SHORT_HEAD) {
        memcpy(record->epoch.text, at, EPOCH_LEN);
        at += EPOCH_LEN;
        record->seq = take_number(&at, 8);
    }
    if (record->kind == FILE_RECORD_USER) {
        record->acked = take_number(&at, 8);
        record->sign_day = (uint16_t)take_number(&at, 2);
    }
    if (record->kind == FILE_RECORD_NOTE || record->kind == FILE_RECORD_REF) {
        record->time_ms = (int64_t)take_number(&at, 8);
        record->expires_ms = (int64_t)take_number(&at, 8);
    }
    if (record->kind == FILE_RECORD_REF) {
        record->distance = (uint32_t)take_number(&at, 4);
        record->bytes = (uint32_t)take_number(&at, 4);
    }
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

/* What no record of ours can be; NULL: nothing is wrong. */
static const char *find_fault(const struct file_record *record)
{
    bool has_user = head_len(record->kind) > SHORT_HEAD;
    if (has_user != (record->user_id.len > 0) || record->user_id.len > USER_ID_MAX_BYTES)
        return "its userId has a wrong length";
    if (has_user && !is_epoch(record->epoch))
        return "its epoch is none";
    if (record->kind == FILE_RECORD_USER && record->acked > record->seq)
        return "its position is above the highest number";
    if ((record->kind == FILE_RECORD_NOTE || record->kind == FILE_RECORD_REF) && record->seq == 0)
        return "its number is 0";
    if (record->kind == FILE_RECORD_REF && record->distance == 0)
        return "it refers to itself";
    bool may_have_data = record->kind == FILE_RECORD_NOTE || record->kind == FILE_RECORD_SHARED;
    return !may_have_data && record->data.len > 0 ? "it is too long" : NULL;
}

enum err file_record_read(struct span bytes, struct file_record *ret_record,
                          const char **ret_detail)
{
    struct file_record record = {0};
    *ret_detail = "it is too short";
    if (bytes.len < SHORT_HEAD)
        return ERR_INVALID_FIELD;
    *ret_detail = "it is of a format that this version does not know";
    if (bytes.bytes[0] != FORMAT_VERSION || bytes.bytes[1] < FILE_RECORD_PROBE ||
        bytes.bytes[1] > FILE_RECORD_USER)
        return ERR_INVALID_FIELD;
    record.kind = (enum file_record_kind)bytes.bytes[1];
    size_t head = head_len(record.kind);
    size_t user_id_len = (unsigned char)bytes.bytes[2];
    *ret_detail = "it is too short";
    if (bytes.len < head + user_id_len)
        return ERR_INVALID_FIELD;
    read_fields(bytes.bytes + SHORT_HEAD, &record);
    record.user_id = (struct span){bytes.bytes + head, user_id_len};
    record.data = (struct span){bytes.bytes + head + user_id_len, bytes.len - head - user_id_len};
    *ret_detail = find_fault(&record);
    if (*ret_detail != NULL)
        return ERR_INVALID_FIELD;
    *ret_record = record;
    return ERR_OK;
}
