/* One pass over the text, byte by byte, with the kinds of the open containers in the bits of one
 * number instead of a stack. json_scan_value scans any value in a loop over its elements; a caller
 * may also walk through one container by itself (json_scan_open, json_scan_next). A failure leaves
 * `at` at the offending byte and `why` with a sentence. */
#include "proto/json/json_scan.h"

#include "proto/bytes/hex.h"

_Static_assert(JSON_MAX_DEPTH == 64, "the kinds of open containers are the bits of one uint64_t");

void json_scan_init(struct json_scan *scan, struct span text)
{
    *scan = (struct json_scan){.begin = text.bytes, .at = text.bytes, .end = text.bytes + text.len};
}

static bool fail_scan(struct json_scan *scan, const char *at, const char *why)
{
    scan->at = at;
    scan->why = scan->at == scan->end ? "the text ends too early" : why;
    return false;
}

void json_scan_spaces(struct json_scan *scan)
{
    const char *at = scan->at;
    while (at < scan->end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t'))
        at++;
    scan->at = at;
}

bool json_scan_refuse_byte(struct json_scan *scan, const char *why)
{
    return fail_scan(scan, scan->at, why);
}

/* ---- strings ---- */

#define EACH_BYTE(b) (0x0101010101010101u * (uint64_t)(b))

static inline bool is_plain(char c)
{
    unsigned char byte = (unsigned char)c;
    return (unsigned char)(byte - 0x20) < 0x60 && byte != '"' && byte != '\\';
}

/* Sixteen bytes in a register of the machine (GCC's and Clang's vectors). */
typedef int8_t bytes16 __attribute__((vector_size(16)));

#define SIXTEEN(b)                                                                                 \
    {                                                                                              \
        b, b, b, b, b, b, b, b, b, b, b, b, b, b, b, b                                             \
    }

/* Sets all bits of each byte that is not plain. As signed numbers the control characters and what
 * is not ASCII are all below the space. */
static inline bytes16 mark_special(const char *at)
{
    static const bytes16 space = SIXTEEN(' ');
    static const bytes16 quote = SIXTEEN('"');
    static const bytes16 backslash = SIXTEEN('\\');
    bytes16 bytes;
    memcpy(&bytes, at, sizeof bytes);
    return (bytes < space) | (bytes == quote) | (bytes == backslash);
}

static inline bool are_32_plain(const char *at)
{
    bytes16 special = mark_special(at) | mark_special(at + 16);
    uint64_t halves[2];
    memcpy(halves, &special, sizeof halves);
    return (halves[0] | halves[1]) == 0;
}

/* The top bit of each of the eight bytes that is not plain. A borrow can also set it in later
 * bytes, but the first one is always right; the first byte is the lowest. */
static inline uint64_t mark_special_of_8(const char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    uint64_t quote = word ^ EACH_BYTE('"');
    uint64_t backslash = word ^ EACH_BYTE('\\');
    uint64_t special =
        (word - EACH_BYTE(0x20)) | (quote - EACH_BYTE(1)) | (backslash - EACH_BYTE(1)) | word;
    return special & EACH_BYTE(0x80);
}

static inline int first_special(uint64_t special)
{
    return __builtin_ctzll(special) / 8;
}

/* The last few bytes of a text. */
static const char *skip_plain_bytes(const char *at, const char *end)
{
    while (at < end && is_plain(*at))
        at++;
    return at;
}

/* Not inline: what it needs in registers would be loaded for short strings too. */
__attribute__((noinline)) static const char *skip_plain_blocks(const char *at, const char *end)
{
    while (end - at >= 32 && are_32_plain(at))
        at += 32;
    while (end - at >= 8) {
        uint64_t special = mark_special_of_8(at);
        if (special != 0)
            return at + first_special(special);
        at += 8;
    }
    return skip_plain_bytes(at, end);
}

/* Moves past plain bytes: ASCII, no control character, no quote, no backslash. Names and userIds
 * mostly end within the first eight bytes. */
static inline const char *skip_plain(const char *at, const char *end)
{
    if (end - at < 8)
        return skip_plain_bytes(at, end);
    uint64_t special = mark_special_of_8(at);
    return special != 0 ? at + first_special(special) : skip_plain_blocks(at + 8, end);
}

/* The length of the UTF-8 character at `text` (RFC 3629, section 4), 0 if malformed. bytes/utf8.h
 * checks streams; the scanner needs the offset of the offending character. */
static size_t utf8_length(const char *text, const char *end)
{
    const unsigned char *at = (const unsigned char *)text;
    size_t have = (size_t)(end - text);
    unsigned char low = 0x80;
    unsigned char high = 0xbf;
    size_t need = 0;
    if (at[0] >= 0xc2 && at[0] <= 0xdf)
        need = 2;
    else if (at[0] >= 0xe0 && at[0] <= 0xef)
        need = 3;
    else if (at[0] >= 0xf0 && at[0] <= 0xf4)
        need = 4;
    if (need == 0 || have < need)
        return 0;
    if (at[0] == 0xe0)
        low = 0xa0; /* overlong */
    else if (at[0] == 0xed)
        high = 0x9f; /* a surrogate */
    else if (at[0] == 0xf0)
        low = 0x90; /* overlong */
    else if (at[0] == 0xf4)
        high = 0x8f; /* above U+10FFFF */
    if (at[1] < low || at[1] > high)
        return 0;
    for (size_t i = 2; i < need; i++)
        if (at[i] < 0x80 || at[i] > 0xbf)
            return 0;
    return need;
}

/* The scan is at a backslash. */
static bool scan_escape(struct json_scan *scan)
{
    const char *at = scan->at + 1;
    if (at == scan->end)
        return fail_scan(scan, at, "");
    if (*at == '\0' || strchr("\"\\/bfnrtu", *at) == NULL)
        return fail_scan(scan, at, "there is no such escape");
    if (*at++ == 'u') {
        for (int i = 0; i < 4; i++, at++)
            if (at == scan->end || hex_digit(*at) < 0)
                return fail_scan(scan, at, "\\u takes four hexadecimal digits");
    }
    scan->at = at;
    return true;
}

/* What follows the plain bytes that a string begins with, up to its closing quote. */
static bool scan_rest_of_string(struct json_scan *scan, bool *ret_has_escapes)
{
    for (;; scan->at = skip_plain(scan->at, scan->end)) {
        const char *at = scan->at;
        if (at == scan->end)
            return fail_scan(scan, at, "");
        if (*at == '"')
            return true;
        if (*at == '\\') {
            *ret_has_escapes = true;
            if (!scan_escape(scan))
                return false;
        } else if ((unsigned char)*at < 0x20) {
            return fail_scan(scan, at, "a control character in a string must be escaped");
        } else {
            size_t len = utf8_length(at, scan->end);
            if (len == 0)
                return fail_scan(scan, at, "this is not UTF-8");
            scan->at += len;
        }
    }
}

bool json_scan_string(struct json_scan *scan, struct span *ret_raw, bool *ret_has_escapes)
{
    if (!json_scan_byte(scan, '"', "a string must begin here"))
        return false;
    const char *begin = scan->at;
    *ret_has_escapes = false;
    scan->at = skip_plain(begin, scan->end);
    if ((scan->at == scan->end || *scan->at != '"') && !scan_rest_of_string(scan, ret_has_escapes))
        return false;
    *ret_raw = (struct span){begin, (size_t)(scan->at - begin)};
    scan->at++;
    return true;
}

/* ---- numbers, true, false and null ---- */

static const char *skip_digits(const char *at, const char *end)
{
    while (at < end && *at >= '0' && *at <= '9')
        at++;
    return at;
}

static bool scan_number(struct json_scan *scan)
{
    static const char why[] = "a digit must stand here";
    const char *end = scan->end;
    const char *at = scan->at;
    if (*at == '-')
        at++;
    const char *digits = at;
    at = skip_digits(at, end);
    if (at == digits)
        return fail_scan(scan, at, why);
    if (*digits == '0' && at - digits > 1)
        return fail_scan(scan, digits + 1, "a number has no leading zeros");
    if (at < end && *at == '.') {
        digits = ++at;
        at = skip_digits(at, end);
        if (at == digits)
            return fail_scan(scan, at, why);
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        if (at < end && (*at == '+' || *at == '-'))
            at++;
        digits = at;
        at = skip_digits(at, end);
        if (at == digits)
            return fail_scan(scan, at, why);
    }
    scan->at = at;
    return true;
}

static bool scan_word(struct json_scan *scan, const char *word)
{
    const char *at = scan->at;
    for (; *word != '\0'; word++, at++)
        if (at == scan->end || *at != *word)
            return fail_scan(scan, at, "a value must stand here");
    scan->at = at;
    return true;
}

static bool scan_scalar(struct json_scan *scan)
{
    struct span raw;
    bool has_escapes;
    char first = json_scan_peek(scan);
    switch (first) {
    case '"':
        return json_scan_string(scan, &raw, &has_escapes);
    case 't':
        return scan_word(scan, "true");
    case 'f':
        return scan_word(scan, "false");
    case 'n':
        return scan_word(scan, "null");
    default:
        if (first == '-' || (first >= '0' && first <= '9'))
            return scan_number(scan);
        return fail_scan(scan, scan->at, "a value must stand here");
    }
}

/* ---- arrays and objects ---- */

static bool is_in_object(const struct json_scan *scan)
{
    return (scan->objects >> (scan->depth - 1) & 1) != 0;
}

bool json_scan_open(struct json_scan *scan, bool *ret_is_empty)
{
    if (scan->depth == JSON_MAX_DEPTH)
        return fail_scan(scan, scan->at, "nesting is at most 64 deep");
    uint64_t bit = (uint64_t)1 << scan->depth;
    bool is_object = *scan->at == '{';
    scan->objects = is_object ? scan->objects | bit : scan->objects & ~bit;
    scan->depth++;
    scan->at++;
    json_scan_space(scan);
    *ret_is_empty = json_scan_peek(scan) == (is_object ? '}' : ']');
    if (*ret_is_empty) {
        scan->at++;
        scan->depth--;
    }
    return true;
}

bool json_scan_next(struct json_scan *scan, bool *ret_is_closed)
{
    json_scan_space(scan);
    char byte = json_scan_peek(scan);
    bool is_object = is_in_object(scan);
    *ret_is_closed = byte == (is_object ? '}' : ']');
    if (!*ret_is_closed && byte != ',')
        return fail_scan(scan, scan->at,
                         is_object ? "',' or '}' must stand here" : "',' or ']' must stand here");
    scan->at++;
    if (*ret_is_closed)
        scan->depth--;
    else
        json_scan_space(scan);
    return true;
}

/* In an object a key and its colon come before each value. */
static bool scan_key(struct json_scan *scan)
{
    struct span raw;
    bool has_escapes;
    if (!json_scan_string(scan, &raw, &has_escapes))
        return false;
    json_scan_space(scan);
    if (!json_scan_byte(scan, ':', "':' must stand here"))
        return false;
    json_scan_space(scan);
    return true;
}

/* The scan is at an opening bracket; skips to after the one that closes it. */
static bool skip_container(struct json_scan *scan)
{
    size_t n_open = 0;
    do {
        struct span raw;
        bool has_escapes;
        char byte = json_scan_peek(scan);
        if (scan->at == scan->end)
            return fail_scan(scan, scan->at, "a value is not closed");
        if (byte == '"') {
            if (!json_scan_string(scan, &raw, &has_escapes))
                return false;
            continue;
        }
        n_open += byte == '{' || byte == '[';
        n_open -= byte == '}' || byte == ']';
        scan->at++;
    } while (n_open > 0);
    return true;
}

/* The scan is at the first byte of a value. Scans a scalar or an empty container as a whole, or
 * enters a container and stops at its first element. */
static bool scan_step(struct json_scan *scan, bool *ret_is_complete)
{
    char first = json_scan_peek(scan);
    *ret_is_complete = true;
    if (first != '{' && first != '[')
        return scan_scalar(scan);
    if (scan->depth == JSON_MAX_DEPTH && scan->skips_deep)
        return skip_container(scan);
    if (!json_scan_open(scan, ret_is_complete))
        return false;
    return *ret_is_complete || first == '[' || scan_key(scan);
}

bool json_scan_value(struct json_scan *scan, struct span *ret_raw)
{
    const char *begin = scan->at;
    unsigned base = scan->depth;
    bool is_complete;
    do {
        if (!scan_step(scan, &is_complete))
            return false;
        while (is_complete && scan->depth > base) {
            if (!json_scan_next(scan, &is_complete))
                return false;
            if (!is_complete && is_in_object(scan) && !scan_key(scan))
                return false;
        }
    } while (scan->depth > base);
    *ret_raw = (struct span){begin, (size_t)(scan->at - begin)};
    return true;
}

bool json_scan_end(struct json_scan *scan)
{
    json_scan_space(scan);
    if (scan->at != scan->end) {
        scan->why = "nothing may follow the value";
        return false;
    }
    return true;
}
