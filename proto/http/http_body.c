/* With a Content-Length the state is IN_BODY until all bytes were taken. Chunks are read one byte
 * at a time by a state machine, but for their data. As in the head, what a lenient parser would
 * repair is refused: a bare LF, white space around the size, a size with a sign or a prefix. */
#include "proto/http/http_body.h"

#include "proto/bytes/decimal.h"

enum state {
    IN_BODY,
    AT_SIZE,
    IN_EXTENSION,
    AT_SIZE_LF,
    IN_CHUNK,
    AT_CHUNK_CR,
    AT_CHUNK_LF,
    AT_TRAILER,
    IN_TRAILER_NAME,
    IN_TRAILER_VALUE,
    AT_TRAILER_LF,
    AT_LAST_LF,
    IS_DONE,
    IS_BAD,
};

enum { SIZE_DIGITS_MAX = 16 };

#define CHUNK_MAX_BYTES (UINT64_C(1) << 53)

enum err http_body_init(struct http_body *body, const struct http_head *head, const char *bytes,
                        const char **ret_detail)
{
    struct span text;
    *body = (struct http_body){.state = IN_BODY};
    if (http_head_get(head, bytes, HTTP_TRANSFER_ENCODING, &text)) {
        *ret_detail = "the only transfer coding that is taken is chunked";
        if (head->n_known[HTTP_TRANSFER_ENCODING] > 1 ||
            !span_equal_nocase(text, SPAN_LITERAL("chunked")))
            return ERR_BAD_HEAD;
        body->state = AT_SIZE;
    } else if (http_head_get(head, bytes, HTTP_CONTENT_LENGTH, &text) &&
               !decimal_read(text, UINT64_MAX, &body->left)) {
        *ret_detail = "Content-Length is too large";
        return ERR_BAD_HEAD;
    }
    if (body->state == IN_BODY && body->left == 0)
        body->state = IS_DONE;
    return ERR_OK;
}

static void mark_malformed(struct http_body *body, const char *detail)
{
    body->state = IS_BAD;
    body->detail = detail;
}

static int hex_value(char c)
{
    if (decimal_is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static void on_size(struct http_body *body, char c)
{
    int value = hex_value(c);
    if (value >= 0 && body->n_digits < SIZE_DIGITS_MAX && body->left < CHUNK_MAX_BYTES / 16) {
        body->left = body->left * 16 + (unsigned)value;
        body->n_digits++;
    } else if (value >= 0) {
        mark_malformed(body, "the size of a chunk is too large");
    } else if (body->n_digits == 0) {
        mark_malformed(body, "a chunk must begin with its size in hexadecimal digits");
    } else if (c == '\r') {
        body->state = AT_SIZE_LF;
    } else if (c == ';') {
        body->state = IN_EXTENSION;
    } else {
        mark_malformed(body, "the size of a chunk must end with CR LF");
    }
}

/* false: there is too much of it. */
static bool count_extra(struct http_body *body)
{
    if (++body->n_extra <= HTTP_BODY_EXTRA_BYTES)
        return true;
    mark_malformed(body, "the body has too many chunk extensions or trailer fields");
    return false;
}

static bool is_control(char c)
{
    return ((unsigned char)c < 0x20 && c != '\t') || c == 0x7f;
}

static void on_extension(struct http_body *body, char c)
{
    if (c == '\r')
        body->state = AT_SIZE_LF;
    else if (is_control(c))
        mark_malformed(body, "a chunk extension has a control character");
    else
        (void)count_extra(body);
}

static void expect_byte(struct http_body *body, char c, char wanted, enum state next)
{
    if (c == wanted)
        body->state = (uint8_t)next;
    else
        mark_malformed(body, wanted == '\n' ? "a CR must be followed by LF"
                                            : "a chunk must end with CR LF");
}

static void on_size_line_feed(struct http_body *body, char c)
{
    expect_byte(body, c, '\n', body->left > 0 ? IN_CHUNK : AT_TRAILER);
    body->n_digits = 0;
}

static void on_trailer(struct http_body *body, char c)
{
    if (c == '\r')
        body->state = AT_LAST_LF;
    else if (!http_is_token_char(c))
        mark_malformed(body, "a trailer field must begin with its name");
    else if (count_extra(body))
        body->state = IN_TRAILER_NAME;
}

static void on_trailer_name(struct http_body *body, char c)
{
    if (c == ':')
        body->state = IN_TRAILER_VALUE;
    else if (!http_is_token_char(c))
        mark_malformed(body, "a trailer field's name has a character that is not allowed");
    else
        (void)count_extra(body);
}

static void on_trailer_value(struct http_body *body, char c)
{
    if (c == '\r')
        body->state = AT_TRAILER_LF;
    else if (is_control(c))
        mark_malformed(body, "a trailer field's value has a control character");
    else
        (void)count_extra(body);
}

static void on_byte(struct http_body *body, char c)
{
    switch ((enum state)body->state) {
    case AT_SIZE:
        on_size(body, c);
        break;
    case IN_EXTENSION:
        on_extension(body, c);
        break;
    case AT_SIZE_LF:
        on_size_line_feed(body, c);
        break;
    case AT_CHUNK_CR:
        expect_byte(body, c, '\r', AT_CHUNK_LF);
        break;
    case AT_CHUNK_LF:
        expect_byte(body, c, '\n', AT_SIZE);
        break;
    case AT_TRAILER:
        on_trailer(body, c);
        break;
    case IN_TRAILER_NAME:
        on_trailer_name(body, c);
        break;
    case IN_TRAILER_VALUE:
        on_trailer_value(body, c);
        break;
    case AT_TRAILER_LF:
        expect_byte(body, c, '\n', AT_TRAILER);
        break;
    case AT_LAST_LF:
        expect_byte(body, c, '\n', IS_DONE);
        break;
    case IN_BODY:
    case IN_CHUNK:
    case IS_DONE:
    case IS_BAD:
        break;
    }
}

static bool is_in_data(const struct http_body *body)
{
    return body->state == IN_BODY || body->state == IN_CHUNK;
}

enum http_body_result http_body_next(struct http_body *body, struct span bytes, size_t *ret_read,
                                     struct span *ret_piece)
{
    size_t at = 0;
    while (at < bytes.len && !is_in_data(body) && body->state < IS_DONE)
        on_byte(body, bytes.bytes[at++]);
    *ret_read = at;
    *ret_piece = SPAN_NONE;
    if (body->state == IS_DONE)
        return HTTP_BODY_DONE;
    if (body->state == IS_BAD)
        return HTTP_BODY_BAD;
    if (at == bytes.len)
        return HTTP_BODY_MORE;
    size_t len = bytes.len - at;
    *ret_piece = (struct span){bytes.bytes + at, body->left < len ? (size_t)body->left : len};
    return HTTP_BODY_PIECE;
}

void http_body_take(struct http_body *body, size_t len)
{
    body->left -= len;
    if (body->left == 0 && body->state == IN_BODY)
        body->state = IS_DONE;
    else if (body->left == 0 && body->state == IN_CHUNK)
        body->state = AT_CHUNK_CR;
}

bool http_body_ends_with(const struct http_body *body, size_t len)
{
    return body->state == IN_BODY && body->left == len;
}
