#include "proto/bytes/plain_name.h"

bool plain_name_may_have(char byte)
{
    return (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') ||
           (byte >= '0' && byte <= '9') || byte == '.' || byte == '_' || byte == '-';
}

bool plain_name_is_valid(struct span name, size_t max_bytes)
{
    size_t len = 0;
    while (len < name.len && plain_name_may_have(name.bytes[len]))
        len++;
    return len == name.len && len > 0 && len <= max_bytes;
}
