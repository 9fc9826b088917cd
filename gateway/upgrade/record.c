#include "gateway/upgrade/record.h"

static size_t put_little(uint8_t out[RECORD_NUMBER_MAX_BYTES], uint64_t number)
{
    size_t n = 0;
    for (; number > 0; number >>= 8)
        out[n++] = (uint8_t)number;
    return n;
}

static void fill_head(uint8_t head[RECORD_HEAD_BYTES], uint8_t tag, size_t len)
{
    head[0] = tag;
    for (size_t i = 1; i < RECORD_HEAD_BYTES; i++, len >>= 8)
        head[i] = (uint8_t)len;
}

void record_put(struct record_writer *writer, uint8_t tag, struct span bytes)
{
    uint8_t head[RECORD_HEAD_BYTES];
    if (writer->error != ERR_OK)
        return;
    if (bytes.len > UINT32_MAX) {
        writer->error = ERR_FULL;
        return;
    }
    fill_head(head, tag, bytes.len);
    writer->error = buf_reserve(writer->out, sizeof head + bytes.len);
    if (writer->error == ERR_OK)
        writer->error = buf_append(writer->out, head, sizeof head);
    if (writer->error == ERR_OK)
        writer->error = buf_append_span(writer->out, bytes);
}

void record_put_unsigned(struct record_writer *writer, uint8_t tag, uint64_t number)
{
    uint8_t bytes[RECORD_NUMBER_MAX_BYTES];
    size_t len = put_little(bytes, number);
    record_put(writer, tag, (struct span){(const char *)bytes, len});
}

void record_put_signed(struct record_writer *writer, uint8_t tag, int64_t number)
{
    uint64_t twice = (uint64_t)number << 1;
    record_put_unsigned(writer, tag, number < 0 ? ~twice : twice);
}

size_t record_begin(struct record_writer *writer, uint8_t tag)
{
    record_put(writer, tag, SPAN_NONE);
    return writer->out->len;
}

void record_end(struct record_writer *writer, size_t place)
{
    if (writer->error != ERR_OK)
        return;
    size_t len = writer->out->len - place;
    if (len > UINT32_MAX) {
        writer->error = ERR_FULL;
        return;
    }
    uint8_t *head = (uint8_t *)writer->out->bytes + place - RECORD_HEAD_BYTES;
    fill_head(head, head[0], len);
}

static uint64_t read_little(struct span bytes)
{
    uint64_t number = 0;
    for (size_t i = bytes.len; i > 0; i--)
        number = number << 8 | (uint8_t)bytes.bytes[i - 1];
    return number;
}

enum record_step record_take(struct span *rest, uint8_t *ret_tag, struct span *ret_bytes)
{
    if (rest->len == 0)
        return RECORD_OVER;
    if (rest->len < RECORD_HEAD_BYTES)
        return RECORD_CUT;
    size_t len = (size_t)read_little((struct span){rest->bytes + 1, RECORD_HEAD_BYTES - 1});
    if (len > rest->len - RECORD_HEAD_BYTES)
        return RECORD_CUT;
    *ret_tag = (uint8_t)rest->bytes[0];
    *ret_bytes = (struct span){rest->bytes + RECORD_HEAD_BYTES, len};
    rest->bytes += RECORD_HEAD_BYTES + len;
    rest->len -= RECORD_HEAD_BYTES + len;
    return RECORD_ITEM;
}

bool record_unsigned(struct span bytes, uint64_t max, uint64_t *ret_number)
{
    if (bytes.len > RECORD_NUMBER_MAX_BYTES)
        return false;
    uint64_t number = read_little(bytes);
    if (number > max)
        return false;
    *ret_number = number;
    return true;
}

bool record_signed(struct span bytes, int64_t min, int64_t max, int64_t *ret_number)
{
    uint64_t folded = 0;
    if (!record_unsigned(bytes, UINT64_MAX, &folded))
        return false;
    uint64_t half = folded >> 1;
    int64_t number = (folded & 1) ? -(int64_t)half - 1 : (int64_t)half;
    if (number < min || number > max)
        return false;
    *ret_number = number;
    return true;
}
