/* A head is read by a state machine: the request line (method, target, version), then fields until
 * an empty line. What comes whole is passed over in one go (skip_part); every other byte is a step
 * of the machine, which alone finds fault. A part is stored as an offset and a length when the byte
 * after it is read. At the empty line the rules that concern the whole head are checked: one Host,
 * and an unambiguous length of the body.
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
    AT_EMPTY_LINE_FEED,
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

/* The token characters (RFC 9110, 5.6.2): a row for each 16 codes; none is above 127. */
static const char token_chars[256] = "                "
                                     "                "
                                     " x xxxxx  xx xx " /* ! # $ % & ' * + - . */
                                     "xxxxxxxxxx      "
                                     " xxxxxxxxxxxxxxx"
                                     "xxxxxxxxxxx   xx"  /* ^ _ */
                                     "xxxxxxxxxxxxxxxx"  /* ` */
                                     "xxxxxxxxxxx x x "; /* | ~ */

bool http_is_token_char(char c)
{
    return token_chars[(unsigned char)c] == 'x';
}

/* Browsers send some characters unescaped that RFC 3986 does not allow (| and ^ in a query), so
 * every visible ASCII character is accepted in a target except #, which begins a fragment. */
static bool is_target_char(char c)
{
    return (unsigned char)c > ' ' && (unsigned char)c < 0x7f && c != '#';
}

static bool is_value_char(char c)
{
    return ((unsigned char)c >= 0x20 && c != 0x7f) || c == '\t';
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

/* Empty lines in front of the request line are passed over (RFC 9112, 2.2). */
static void on_method(struct http_head *head, char c)
{
    if (http_is_token_char(c))
        return;
    if (c == '\r' && head->at == head->start) {
        head->state = AT_EMPTY_LINE_FEED;
        return;
    }
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

static void on_target(struct http_head *head, const char *bytes, char c)
{
    if (c == ' ')
        end_target(head, bytes);
    else if (!is_target_char(c))
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

static void on_line_feed(struct http_head *head, char c, enum state next)
{
    if (c == '\n')
        begin_part_after(head, next);
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

/* Their lengths differ, so one comparison tells them apart. */
static void note_known(struct http_head *head, struct span name)
{
    enum { LONGEST = 17 };
    static const struct span known[HTTP_KNOWN_FIELDS] = {
        [HTTP_HOST] = {"Host", 4},
        [HTTP_CONTENT_LENGTH] = {"Content-Length", 14},
        [HTTP_TRANSFER_ENCODING] = {"Transfer-Encoding", LONGEST},
        [HTTP_CONNECTION] = {"Connection", 10},
        [HTTP_EXPECT] = {"Expect", 6},
    };
    /* by length: one more than its index above; 0: there is none */
    static const uint8_t of_length[LONGEST + 1] = {
        [4] = HTTP_HOST + 1,
        [14] = HTTP_CONTENT_LENGTH + 1,
        [17] = HTTP_TRANSFER_ENCODING + 1,
        [10] = HTTP_CONNECTION + 1,
        [6] = HTTP_EXPECT + 1,
    };
    if (name.len > LONGEST || of_length[name.len] == 0)
        return;
    int i = of_length[name.len] - 1;
    if (span_equal_nocase(name, known[i]) && head->n_known[i]++ == 0)
        head->first_known[i] = head->n_fields;
}

static void end_value(struct http_head *head, const char *bytes)
{
    struct http_field *field = &head->fields[head->n_fields];
    field->value = part_here(head);
    while (field->value.len > 0 && is_space(bytes[field->value.at + field->value.len - 1]))
        field->value.len--;
    note_known(head, http_part_span(bytes, field->name));
    head->n_fields++;
    head->state = AT_LINE_FEED;
}

static void on_value(struct http_head *head, const char *bytes, char c)
{
    if (c == '\r')
        end_value(head, bytes);
    else if (!is_value_char(c))
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
    if (!http_head_get(head, bytes, HTTP_CONTENT_LENGTH, &length))
        return;
    if (head->n_known[HTTP_CONTENT_LENGTH] > 1)
        mark_malformed(head, "Content-Length is given twice");
    else if (!decimal_is_number(length))
        mark_malformed(head, "Content-Length must be a number");
    else if (head->n_known[HTTP_TRANSFER_ENCODING] > 0)
        mark_malformed(head, "Content-Length and Transfer-Encoding exclude each other");
}

static bool takes_any_host(const struct http_head *head, const char *bytes)
{
    return head->is_open_path != NULL && head->is_open_path(http_part_span(bytes, head->path));
}

/* The host of an absolute target takes precedence over Host, which must be present all the same
 * (RFC 9112, 3.2). HTTP/1.0 has no Host, and a sender that uses Transfer-Encoding with it is faulty
 * (6.1). */
static void check_whole(struct http_head *head, const char *bytes)
{
    struct span host = {bytes, 0};
    bool has_host = http_head_get(head, bytes, HTTP_HOST, &host);
    bool is_host_valid = !has_host || authority_is_valid(host);
    if (!has_host && !head->is_1_0)
        mark_malformed(head, "Host is missing");
    else if (head->is_1_0 && head->n_known[HTTP_TRANSFER_ENCODING] > 0)
        mark_malformed(head, "HTTP/1.0 has no Transfer-Encoding");
    else if (head->n_known[HTTP_HOST] > 1)
        mark_malformed(head, "Host is given twice");
    else if (!is_host_valid && !takes_any_host(head, bytes))
        mark_malformed(head, "Host must be a host name or address and a port");
    else
        check_length(head, bytes);
    if (head->state == IS_DONE && head->host.len == 0 && is_host_valid)
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
    case AT_EMPTY_LINE_FEED:
        on_line_feed(head, c, IN_METHOD);
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
        on_line_feed(head, c, AT_FIELD);
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

/* Eight bytes at a time, as long as none of them is a control character. A tab ends it too, and is
 * passed over by the caller. */
static size_t skip_words_of_value(const char *bytes, size_t at, size_t end)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    const uint64_t tops = ones << 7;
    for (; at + 8 <= end; at += 8) {
        uint64_t word;
        memcpy(&word, bytes + at, sizeof word);
        uint64_t del = word ^ (ones * 0x7f);
        if ((((word - ones * 0x20) & ~word) | ((del - ones) & ~del)) & tops)
            break;
    }
    return at;
}

/* A whole field at once, as nearly all come. false: nothing was read, and the machine finds out
 * what is to be said. */
static bool take_field(struct http_head *head, const char *bytes, size_t end)
{
    size_t at = head->at;
    while (at < end && http_is_token_char(bytes[at]))
        at++;
    size_t name_end = at;
    if (at == end || bytes[at] != ':' || name_end == head->at || head->n_fields == head->max_fields)
        return false;
    at++;
    while (at < end && is_space(bytes[at]))
        at++;
    size_t value_at = at;
    at = skip_words_of_value(bytes, at, end);
    while (at < end && is_value_char(bytes[at]))
        at++;
    if (end - at < 2 || bytes[at] != '\r' || bytes[at + 1] != '\n')
        return false;
    head->fields[head->n_fields].name =
        (struct http_part){head->at, (uint16_t)(name_end - head->at)};
    head->start = (uint16_t)value_at;
    head->at = (uint16_t)at;
    end_value(head, bytes);
    head->at = head->start = (uint16_t)(at + 2);
    head->state = AT_FIELD;
    return true;
}

/* The end of the request line, the same way. */
static bool take_version(struct http_head *head, const char *bytes, size_t end)
{
    static const char usual[] = "HTTP/1.1\r\n";
    size_t len = sizeof usual - 1;
    if (head->at != head->start || end - head->at < len ||
        memcmp(bytes + head->at, usual, len) != 0)
        return false;
    head->at = head->start = (uint16_t)(head->at + len);
    head->state = AT_FIELD;
    return true;
}

/* Passes over bytes that only make a part longer. */
static void skip_part(struct http_head *head, const char *bytes, size_t end)
{
    size_t at = head->at;
    switch (head->state) {
    case IN_METHOD:
    case IN_NAME:
        while (at < end && http_is_token_char(bytes[at]))
            at++;
        break;
    case IN_TARGET:
        while (at < end && is_target_char(bytes[at]))
            at++;
        break;
    case IN_VERSION:
        (void)take_version(head, bytes, end);
        return;
    case AT_FIELD:
        while (take_field(head, bytes, end)) {
        }
        return;
    case IN_VALUE:
        at = skip_words_of_value(bytes, at, end);
        while (at < end && is_value_char(bytes[at]))
            at++;
        break;
    default:
        break;
    }
    head->at = (uint16_t)at;
}

enum http_head_result http_head_parse(struct http_head *head, const char *bytes, size_t len)
{
    size_t end = len < head->max_bytes ? len : head->max_bytes;
    while (head->at < end && head->state < IS_DONE) {
        skip_part(head, bytes, end);
        if (head->at == end)
            break;
        on_byte(head, bytes, bytes[head->at]);
        head->at++;
    }
    if (head->at == head->max_bytes && head->state < IS_DONE)
        refuse_head(head, ERR_HEAD_TOO_LARGE, "the request head is too large");
    if (head->state == IS_DONE)
        return HTTP_HEAD_DONE;
    return head->state == IS_BAD ? HTTP_HEAD_BAD : HTTP_HEAD_MORE;
}
