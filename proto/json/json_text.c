#include "proto/json/json_text.h"

static bool is_plain(unsigned char byte)
{
    return byte >= 0x20 && byte != '"' && byte != '\\' && byte != 0x7f;
}

static enum err append_escaped(struct buf *out, unsigned char byte)
{
    static const char digits[] = "0123456789abcdef";
    if (byte == '"' || byte == '\\')
        return buf_append(out, (char[]){'\\', (char)byte}, 2);
    return buf_append(out, (char[]){'\\', 'u', '0', '0', digits[byte >> 4], digits[byte & 0xf]}, 6);
}

static enum err append_inner(struct buf *out, struct span text)
{
    enum err error = ERR_OK;
    size_t done = 0;
    for (size_t i = 0; i < text.len && error == ERR_OK; i++) {
        unsigned char byte = (unsigned char)text.bytes[i];
        if (is_plain(byte))
            continue;
        error = buf_append(out, text.bytes + done, i - done);
        if (error == ERR_OK)
            error = append_escaped(out, byte);
        done = i + 1;
    }
    if (error == ERR_OK && text.len > done)
        error = buf_append(out, text.bytes + done, text.len - done);
    return error;
}

bool json_text_is_plain(struct span text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!is_plain((unsigned char)text.bytes[i]))
            return false;
    return true;
}

enum err json_text_string(struct buf *out, struct span text)
{
    size_t before = out->len;
    enum err error = buf_append(out, "\"", 1);
    if (error == ERR_OK)
        error = append_inner(out, text);
    if (error == ERR_OK)
        error = buf_append(out, "\"", 1);
    if (error != ERR_OK)
        out->len = before;
    return error;
}
