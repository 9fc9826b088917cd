#include "proto/bytes/words.h"

struct span words_take_line(struct span *text)
{
    const char *end = memchr(text->bytes, '\n', text->len);
    size_t len = end == NULL ? text->len : (size_t)(end - text->bytes);
    size_t taken = end == NULL ? len : len + 1;
    struct span line = {text->bytes, len};
    *text = (struct span){text->bytes + taken, text->len - taken};
    if (line.len > 0 && line.bytes[line.len - 1] == '\r')
        line.len--;
    return span_trim(line);
}

struct span words_take(struct span *line)
{
    struct span rest = span_trim(*line);
    size_t end = 0;
    while (end < rest.len && rest.bytes[end] != ' ' && rest.bytes[end] != '\t')
        end++;
    *line = (struct span){rest.bytes + end, rest.len - end};
    return (struct span){rest.bytes, end};
}
