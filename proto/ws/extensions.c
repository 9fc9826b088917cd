/* The grammar of RFC 6455, 9.1:
 *
 *     list      = 1#extension                    elements may be empty (RFC 9110, 5.6.1)
 *     extension = token *( ";" parameter )
 *     parameter = token [ "=" ( token | quoted-string ) ]
 *
 * where a quoted string, without its quotes and backslashes, must be a token. */
#include "proto/ws/extensions.h"

#include "proto/http/http_head.h"

#include <stdio.h>

enum { DEFAULT_WINDOW_BITS = 15, VALUE_ROOM = 3 }; /* no valid value is longer than two digits */

struct scanner {
    const char *at;
    const char *end;
};

struct value {
    bool is_there;
    size_t len; /* of the whole value, which may be longer than `text` */
    char text[VALUE_ROOM];
};

/* One offered extension with its parameters. */
struct offer {
    bool is_ours;
    bool is_acceptable;
    unsigned seen; /* a bit for each row of `parameters` */
    struct deflate_terms terms;
};

static void skip_white(struct scanner *scanner)
{
    while (scanner->at < scanner->end && (*scanner->at == ' ' || *scanner->at == '\t'))
        scanner->at++;
}

/* Takes the character and the white space around it. */
static bool take_char(struct scanner *scanner, char c)
{
    skip_white(scanner);
    if (scanner->at == scanner->end || *scanner->at != c)
        return false;
    scanner->at++;
    skip_white(scanner);
    return true;
}

static bool take_token(struct scanner *scanner, struct span *ret_token)
{
    const char *begin = scanner->at;
    while (scanner->at < scanner->end && http_is_token_char(*scanner->at))
        scanner->at++;
    *ret_token = (struct span){begin, (size_t)(scanner->at - begin)};
    return ret_token->len > 0;
}

static bool add_char(struct value *value, char c)
{
    if (!http_is_token_char(c))
        return false;
    if (value->len < VALUE_ROOM)
        value->text[value->len] = c;
    value->len++;
    return true;
}

static bool take_quoted(struct scanner *scanner, struct value *value)
{
    scanner->at++;
    while (scanner->at < scanner->end && *scanner->at != '"') {
        if (*scanner->at == '\\' && ++scanner->at == scanner->end)
            return false;
        if (!add_char(value, *scanner->at++))
            return false;
    }
    if (scanner->at == scanner->end)
        return false;
    scanner->at++;
    return value->len > 0;
}

static bool take_value(struct scanner *scanner, struct value *value)
{
    value->is_there = true;
    if (scanner->at < scanner->end && *scanner->at == '"')
        return take_quoted(scanner, value);
    while (scanner->at < scanner->end && http_is_token_char(*scanner->at))
        add_char(value, *scanner->at++);
    return value->len > 0;
}

/* 8 to 15, without leading zeros (RFC 7692, 7.1.2.1); 0: not a valid value. */
static uint8_t window_bits_of(const struct value *value)
{
    struct span text = {value->text, value->len < VALUE_ROOM ? value->len : VALUE_ROOM};
    static const char *const words[] = {"8", "9", "10", "11", "12", "13", "14", "15"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (span_equal(text, span_of(words[i])))
            return (uint8_t)(8 + i);
    }
    return 0;
}

static bool read_flag(const struct value *value, struct deflate_terms *terms)
{
    (void)terms; /* Herald never takes a context over */
    return !value->is_there;
}

static bool read_server_window(const struct value *value, struct deflate_terms *terms)
{
    terms->window_bits = window_bits_of(value);
    terms->is_named = true;
    return value->is_there && terms->window_bits != 0;
}

static bool read_client_window(const struct value *value, struct deflate_terms *terms)
{
    (void)terms;
    return !value->is_there || window_bits_of(value) != 0;
}

static const struct {
    const char *name;
    bool (*read)(const struct value *value, struct deflate_terms *terms);
} parameters[] = {
    {"server_no_context_takeover", read_flag},
    {"client_no_context_takeover", read_flag},
    {"server_max_window_bits", read_server_window},
    {"client_max_window_bits", read_client_window},
};

static void read_parameter(struct offer *offer, struct span name, const struct value *value)
{
    for (size_t i = 0; i < sizeof parameters / sizeof parameters[0]; i++) {
        if (!span_equal(name, span_of(parameters[i].name)))
            continue;
        if (offer->seen & 1u << i || !parameters[i].read(value, &offer->terms))
            offer->is_acceptable = false;
        offer->seen |= 1u << i;
        return;
    }
    offer->is_acceptable = false;
}

static bool take_offer(struct scanner *scanner, struct offer *offer)
{
    struct span name;
    if (!take_token(scanner, &name))
        return false;
    *offer = (struct offer){
        .is_ours = span_equal(name, SPAN_LITERAL("permessage-deflate")),
        .is_acceptable = true,
        .terms = {.window_bits = DEFAULT_WINDOW_BITS},
    };
    while (take_char(scanner, ';')) {
        struct value value = {0};
        if (!take_token(scanner, &name) ||
            (take_char(scanner, '=') && !take_value(scanner, &value)))
            return false;
        read_parameter(offer, name, &value);
    }
    return true;
}

/* Reads one header line. The first acceptable offer of all lines sets *terms. false: malformed. */
static bool read_line(struct span line, struct deflate_terms *terms)
{
    struct scanner scanner = {line.bytes, line.bytes + line.len};
    size_t n_offers = 0;
    do {
        while (take_char(&scanner, ','))
            ;
        skip_white(&scanner);
        if (scanner.at == scanner.end)
            break;
        struct offer offer;
        if (!take_offer(&scanner, &offer))
            return false;
        n_offers++;
        if (offer.is_ours && offer.is_acceptable && terms->window_bits == 0)
            *terms = offer.terms;
    } while (take_char(&scanner, ','));
    return scanner.at == scanner.end && n_offers > 0;
}

enum err extensions_choose(const struct http_head *head, const char *bytes,
                           struct deflate_terms *ret_terms, const char **ret_detail)
{
    struct deflate_terms terms = {0};
    for (size_t i = 0; i < head->n_fields; i++) {
        if (!span_equal_nocase(http_part_span(bytes, head->fields[i].name),
                               SPAN_LITERAL("Sec-WebSocket-Extensions")))
            continue;
        if (!read_line(http_part_span(bytes, head->fields[i].value), &terms)) {
            *ret_detail = "Sec-WebSocket-Extensions is malformed";
            return ERR_BAD_HANDSHAKE;
        }
    }
    *ret_terms = terms;
    return ERR_OK;
}

const char *extensions_answer(struct deflate_terms terms, char out[EXTENSIONS_ANSWER_MAX_BYTES])
{
    static const char always[] =
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    out[0] = '\0';
    if (terms.window_bits != 0 && terms.is_named)
        snprintf(out, EXTENSIONS_ANSWER_MAX_BYTES, "%s; server_max_window_bits=%u", always,
                 (unsigned)terms.window_bits);
    else if (terms.window_bits != 0)
        snprintf(out, EXTENSIONS_ANSWER_MAX_BYTES, "%s", always);
    return out;
}
