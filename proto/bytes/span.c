#include "proto/bytes/span.h"

static char lower_case(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool span_equal_nocase(struct span a, struct span b)
{
    if (a.len != b.len)
        return false;
    if (a.len == 0 || memcmp(a.bytes, b.bytes, a.len) == 0) /* as mostly */
        return true;
    for (size_t i = 0; i < a.len; i++) {
        if (a.bytes[i] != b.bytes[i] && lower_case(a.bytes[i]) != lower_case(b.bytes[i]))
            return false;
    }
    return true;
}

struct span span_trim(struct span s)
{
    while (s.len > 0 && (s.bytes[0] == ' ' || s.bytes[0] == '\t')) {
        s.bytes++;
        s.len--;
    }
    while (s.len > 0 && (s.bytes[s.len - 1] == ' ' || s.bytes[s.len - 1] == '\t'))
        s.len--;
    return s;
}

struct span span_take_item(struct span *list, char divider)
{
    const char *end = memchr(list->bytes, divider, list->len);
    size_t len = end == NULL ? list->len : (size_t)(end - list->bytes);
    size_t taken = end == NULL ? len : len + 1;
    struct span item = {list->bytes, len};
    *list = (struct span){list->bytes + taken, list->len - taken};
    return span_trim(item);
}
