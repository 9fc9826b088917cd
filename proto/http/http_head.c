/* A head is read one byte at a time by a state machine: the request line (method, target, version),
 * then fields until an empty line. A part is stored as an offset and a length when the byte after
 * it is read. At the empty line the rules that concern the whole head are checked: one Host, and an
 * unambiguous length of the body.
 *
 * What a lenient parser would repair (a bare LF, a folded line, a space before the colon) is
 * refused, because two parsers that repair differently see two different requests (RFC 9112,
 * 11.2). */
#include "proto/http/http_head.h"

#include "proto/bytes/decimal.h"
#include "proto/http/authority.h"
_Static_assert(HTTP_HEAD_MAX_BYTES <= UINT16_MAX, "offsets are 16 bits");

enum state {
    IN_METHOD,
    AT_TARGET,
    IN_TARGET,
    IN_VERSION,
    AT_LINE_FEED,
    AT_FIELD,
    IN_NAME,
    AT_VALUE,
    IN_VALUE,
    AT_LAST_LINE_FEED,
    IS_DONE,
    IS_BAD,
};

void http_head_init(struct http_head *head, size_t max_bytes, struct http_field *fields,
                    size_t max_fields)
{
    *head = (struct http_head){
        .state = IN_METHOD,
        .max_bytes = (uint16_t)(max_bytes < HTTP_HEAD_MAX_BYTES ? max_bytes : HTTP_HEAD_MAX_BYTES),
        .fields = fields,
        .max_fields = (uint16_t)(max_fields < UINT16_MAX ? max_fields : UINT16_MAX),
    };
}

static void refuse_head(struct http_head *head, enum err error, const char *detail)
{
    head->state = IS_BAD;
    head->error = error;
    head->detail = detail;
}

static void mark_malformed(struct http_head *head, const char *detail)
{
    refuse_head(head, ERR_BAD_HEAD, detail);
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* A token character (RFC 9110, 5.6.2). */
bool http_is_token_char(char c)
{
    if (is_letter(c) || decimal_is_digit(c) || c == '-')
        return true;
    return c != '\0' && strchr("!#$%&'*+.^_`|~", c) != NULL;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

/* The part that ends before the current byte. */
static struct http_part part_here(const struct http_head *head)
{
    return (struct http_part){head->start, (uint16_t)(head->at - head->start)};
}

/* The next part begins after the current byte. */
static void begin_part_after(struct http_head *head, enum state state)
{
    head->start = (uint16_t)(head->at + 1);
    head->state = (uint8_t)state;
}

static void on_method(struct http_head *head, char c)
{
    if (http_is_token_char(c))
        return;
    head->method = part_here(head);
    if (c != ' ' || head->method.len == 0)
        mark_malformed(head, "the request line must begin with a method and one space");
    else
        begin_part_after(head, AT_TARGET);
}

static void on_target_begin(struct http_head *head, char c)
{
    if (c == '/' || is_letter(c))
        head->state = IN_TARGET;
    else
        mark_malformed(head, "the request target must begin with a slash");
}

/* Splits "http://HOST[:PORT]/path?query" before the path, which may be empty. */
static bool split_absolute(struct http_head *head, const char *bytes)
{
    static const struct span schemes[] = {{"http://", 7}, {"https://", 8}};
    struct span target = http_part_span(bytes, head->target);
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        size_t at = schemes[i].len;
        if (target.len < at || !span_equal_nocase((struct span){target.bytes, at}, schemes[i]))
            continue;
        size_t end = at;
        while (end < target.len && target.bytes[end] != '/' && target.bytes[end] != '?')
            end++;
        head->host = (struct http_part){(uint16_t)(head->target.at + at), (uint16_t)(end - at)};
        head->path =
            (struct http_part){(uint16_t)(head->target.at + end), (uint16_t)(target.len - end)};
        return authority_is_valid(http_part_span(bytes, head->host));
    }
    return false;
}

static void end_target(struct http_head *head, const char *bytes)
{
    head->target = part_here(head);
    head->path = head->target;
    if (bytes[head->target.at] != '/' && !split_absolute(head, bytes)) {
        mark_malformed(head,
                       "the request target must begin with a slash, or be a whole http address");
        return;
    }
    uint16_t len = head->path.len;
    const char *mark = memchr(bytes + head->path.at, '?', len);
    if (mark != NULL) {
        head->path.len = (uint16_t)(mark - bytes - head->path.at);
        head->query.at = (uint16_t)(mark - bytes + 1);
        head->query.len = (uint16_t)(len - head->path.len - 1);
    }
    begin_part_after(head, IN_VERSION);
}

/* Browsers send some characters unescaped that RFC 3986 does not allow (| and ^ in a query), so
 * every visible ASCII character is accepted except #, which begins a fragment. */
static void on_target(struct http_head *head, const char *bytes, char c)
{
    if (c == ' ')
        end_target(head, bytes);
    else if ((unsigned char)c <= ' ' || (unsigned char)c >= 0x7f || c == '#')
        mark_malformed(head, "the request target has a character that must be percent-encoded");
}

static void on_version(struct http_head *head, const char *bytes, char c)
{
    static const char form[] = "HTTP/#.#\r"; /* #: a digit */
    size_t i = (size_t)(head->at - head->start);
    if (form[i] == '#' ? !decimal_is_digit(c) : c != form[i]) {
        mark_malformed(head, "the request line must end with HTTP/1.1 and CR LF");
        return;
    }
    if (i == 7 && (bytes[head->start + 5] != '1' || c > '1'))
        refuse_head(head, ERR_HTTP_VERSION, "only HTTP/1.1 and 1.0 are spoken here");
    else if (i == 7)
        head->is_1_0 = c == '0';
    else if (c == '\r')
        head->state = AT_LINE_FEED;
}

static void on_line_feed(struct http_head *head, char c)
{
    if (c == '\n')
        begin_part_after(head, AT_FIELD);
    else
        mark_malformed(head, "a CR must be followed by LF");
}

static void on_field_begin(struct http_head *head, char c)
{
    if (c == '\r')
        head->state = AT_LAST_LINE_FEED;
    else if (is_space(c))
        mark_malformed(head, "a field must not be folded over lines");
    else if (!http_is_token_char(c))
        mark_malformed(head, "a field must begin with its name");
    else if (head->n_fields == head->max_fields)
        refuse_head(head, ERR_HEAD_TOO_LARGE, "the request has too many fields");
    else
        head->state = IN_NAME;
}

static void on_name(struct http_head *head, char c)
{
    if (http_is_token_char(c))
        return;
    if (c != ':') {
        mark_malformed(head, is_space(c) ? "a space must not stand before the colon of a field"
                                         : "a field name has a character that is not allowed");
        return;
    }
    head->fields[head->n_fields].name = part_here(head);
    begin_part_after(head, AT_VALUE);
}

static void end_value(struct http_head *head, const char *bytes)
{
    struct http_part value = part_here(head);
    while (value.len > 0 && is_space(bytes[value.at + value.len - 1]))
        value.len--;
    head->fields[head->n_fields++].value = value;
    head->state = AT_LINE_FEED;
}

static void on_value(struct http_head *head, const char *bytes, char c)
{
    if (c == '\r')
        end_value(head, bytes);
    else if (((unsigned char)c < 0x20 && c != '\t') || c == 0x7f)
        mark_malformed(head, c == '\n' ? "a line must end with CR LF"
                                       : "a field value has a control character");
}

static void on_value_begin(struct http_head *head, const char *bytes, char c)
{
    if (is_space(c)) {
        head->start = (uint16_t)(head->at + 1);
        return;
    }
    head->state = IN_VALUE;
    on_value(head, bytes, c);
}

/* A head with two lengths of the body is refused: two parsers could see different requests in it
 * (request smuggling; RFC 9112, 6.3). */
static void check_length(struct http_head *head, const char *bytes)
{
    struct span length;
    if (!http_head_find(head, bytes, "Content-Length", &length))
        return;
    if (http_head_count(head, bytes, "Content-Length") > 1)
        mark_malformed(head, "Content-Length is given twice");
    else if (!decimal_is_number(length))
        mark_malformed(head, "Content-Length must be a number");
    else if (http_head_count(head, bytes, "Transfer-Encoding") > 0)
        mark_malformed(head, "Content-Length and Transfer-Encoding exclude each other");
}

/* The host of an absolute target takes precedence over Host, which must be present all the same
 * (RFC 9112, 3.2). HTTP/1.0 has no Host, and a sender that uses Transfer-Encoding with it is faulty
 * (6.1). */
static void check_whole(struct http_head *head, const char *bytes)
{
    struct span host = {bytes, 0};
    bool has_host = http_head_find(head, bytes, "Host", &host);
    if (!has_host && !head->is_1_0)
        mark_malformed(head, "Host is missing");
    else if (head->is_1_0 && http_head_count(head, bytes, "Transfer-Encoding") > 0)
        mark_malformed(head, "HTTP/1.0 has no Transfer-Encoding");
    else if (http_head_count(head, bytes, "Host") > 1)
        mark_malformed(head, "Host is given twice");
    else if (has_host && !authority_is_valid(host))
        mark_malformed(head, "Host must be a host name or address and a port");
    else
        check_length(head, bytes);
    if (head->state == IS_DONE && head->host.len == 0)
        head->host = (struct http_part){(uint16_t)(host.bytes - bytes), (uint16_t)host.len};
}

static void on_last_line_feed(struct http_head *head, const char *bytes, char c)
{
    if (c != '\n') {
        mark_malformed(head, "a CR must be followed by LF");
        return;
    }
    head->len = (uint16_t)(head->at + 1);
    head->state = IS_DONE;
    check_whole(head, bytes);
}

static void on_byte(struct http_head *head, const char *bytes, char c)
{
    switch ((enum state)head->state) {
    case IN_METHOD:
        on_method(head, c);
        break;
    case AT_TARGET:
        on_target_begin(head, c);
        break;
    case IN_TARGET:
        on_target(head, bytes, c);
        break;
    case IN_VERSION:
        on_version(head, bytes, c);
        break;
    case AT_LINE_FEED:
        on_line_feed(head, c);
        break;
    case AT_FIELD:
        on_field_begin(head, c);
        break;
    case IN_NAME:
        on_name(head, c);
        break;
    case AT_VALUE:
        on_value_begin(head, bytes, c);
        break;
    case IN_VALUE:
        on_value(head, bytes, c);
        break;
    case AT_LAST_LINE_FEED:
        on_last_line_feed(head, bytes, c);
        break;
    case IS_DONE:
    case IS_BAD:
        break;
    }
}

enum http_head_result http_head_parse(struct http_head *head, const char *bytes, size_t len)
{
    size_t end = len < head->max_bytes ? len : head->max_bytes;
    while (head->at < end && head->state < IS_DONE) {
        on_byte(head, bytes, bytes[head->at]);
        head->at++;
    }
    if (head->at == head->max_bytes && head->state < IS_DONE)
        refuse_head(head, ERR_HEAD_TOO_LARGE, "the request head is too large");
    if (head->state == IS_DONE)
        return HTTP_HEAD_DONE;
    return head->state == IS_BAD ? HTTP_HEAD_BAD : HTTP_HEAD_MORE;
}

bool http_head_find(const struct http_head *head, const char *bytes, const char *name,
                    struct span *ret_value)
{
    struct span wanted = span_of(name);
    for (size_t i = 0; i < head->n_fields; i++) {
        if (span_equal_nocase(http_part_span(bytes, head->fields[i].name), wanted)) {
            *ret_value = http_part_span(bytes, head->fields[i].value);
            return true;
        }
    }
    return false;
}

unsigned http_head_count(const struct http_head *head, const char *bytes, const char *name)
{
    struct span wanted = span_of(name);
    unsigned n = 0;
    for (size_t i = 0; i < head->n_fields; i++)
        n += span_equal_nocase(http_part_span(bytes, head->fields[i].name), wanted);
    return n;
}

static bool list_has_token(struct span list, struct span token)
{
    while (list.len > 0) {
        if (span_equal_nocase(span_take_item(&list, ','), token))
            return true;
    }
    return false;
}

bool http_head_has_token(const struct http_head *head, const char *bytes, const char *name,
                         const char *token)
{
    struct span wanted = span_of(name);
    for (size_t i = 0; i < head->n_fields; i++) {
        if (span_equal_nocase(http_part_span(bytes, head->fields[i].name), wanted) &&
            list_has_token(http_part_span(bytes, head->fields[i].value), span_of(token)))
            return true;
    }
    return false;
}

bool http_head_body_len(const struct http_head *head, const char *bytes, size_t max,
                        size_t *ret_len)
{
    struct span text;
    uint64_t len = 0;
    if (http_head_count(head, bytes, "Transfer-Encoding") > 0)
        return false;
    if (http_head_find(head, bytes, "Content-Length", &text) && !decimal_read(text, max, &len))
        return false;
    *ret_len = (size_t)len;
    return true;
}
