#include "proto/http/forwarded.h"

/* "ADDRESS", "V4:PORT", "[V6]" or "[V6]:PORT". */
static bool read_entry(struct span entry, struct ip *ret_ip)
{
    entry = span_trim(entry);
    if (entry.len == 0)
        return false;
    if (entry.bytes[0] == '[') {
        const char *end = memchr(entry.bytes, ']', entry.len);
        if (end == NULL)
            return false;
        entry = (struct span){entry.bytes + 1, (size_t)(end - entry.bytes) - 1};
    } else {
        const char *colon = memchr(entry.bytes, ':', entry.len);
        size_t host_len = colon == NULL ? entry.len : (size_t)(colon - entry.bytes);
        if (memchr(entry.bytes, '.', host_len) != NULL)
            entry.len = host_len;
    }
    return ip_parse(entry, ret_ip) == ERR_OK;
}

static bool is_trusted(const struct ip *ip, const struct cidr *trusted, size_t n_trusted)
{
    for (size_t i = 0; i < n_trusted; i++) {
        if (cidr_has(&trusted[i], ip))
            return true;
    }
    return false;
}

/* Takes the entry after the last comma, and that comma, off the list. */
static struct span take_last(struct span *list)
{
    const char *comma = list->len > 0 ? memrchr(list->bytes, ',', list->len) : NULL;
    size_t before = comma == NULL ? 0 : (size_t)(comma - list->bytes);
    size_t begin = comma == NULL ? 0 : before + 1;
    struct span entry = {list->bytes + begin, list->len - begin};
    *list = (struct span){comma == NULL ? NULL : list->bytes, before};
    return entry;
}

bool forwarded_for(const struct http_head *head, const char *bytes, const struct cidr *trusted,
                   size_t n_trusted, struct ip *ret_ip)
{
    bool is_found = false;
    for (size_t i = head->n_fields; i > 0; i--) {
        const struct http_field *field = &head->fields[i - 1];
        if (!span_equal_nocase(http_part_span(bytes, field->name), SPAN_LITERAL("X-Forwarded-For")))
            continue;
        struct span list = http_part_span(bytes, field->value);
        while (list.bytes != NULL) {
            struct ip ip;
            if (!read_entry(take_last(&list), &ip))
                return is_found;
            *ret_ip = ip;
            is_found = true;
            if (!is_trusted(&ip, trusted, n_trusted))
                return true;
        }
    }
    return is_found;
}

#define NAME(text)                                                                                 \
    {                                                                                              \
        (text), sizeof(text) - 1                                                                   \
    }

bool forwarded_is_sign(struct span name)
{
    static const struct span names[] = {
        NAME("Forwarded"),
        NAME("X-Forwarded"),
        NAME("X-Original-Forwarded-For"),
        NAME("Via"),
        NAME("X-Real-IP"),
        NAME("X-Client-IP"),
        NAME("True-Client-IP"),
        NAME("CF-Connecting-IP"),
        NAME("X-Envoy-External-Address"),
    };
    const struct span prefix = SPAN_LITERAL("X-Forwarded-");
    if (name.len == 0 || strchr("FfXxVvTtCc", name.bytes[0]) == NULL)
        return false; /* most are ruled out by their first letter */
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (name.len == names[i].len && span_equal_nocase(name, names[i]))
            return true;
    }
    return name.len >= prefix.len &&
           span_equal_nocase((struct span){name.bytes, prefix.len}, prefix);
}

bool forwarded_has_sign(const struct http_head *head, const char *bytes)
{
    for (size_t i = 0; i < head->n_fields; i++) {
        if (forwarded_is_sign(http_part_span(bytes, head->fields[i].name)))
            return true;
    }
    return false;
}
