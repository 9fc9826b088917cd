/* The request head, and what is read of a head that is complete. Two bytes: where it is split. */
#include "proto/bytes/utf8.h"
#include "proto/http/credentials.h"
#include "proto/http/forwarded.h"
#include "proto/note/subscribe_query.h"
#include "proto/ws/extensions.h"
#include "proto/ws/handshake.h"
#include "tests/fuzz/fuzz.h"

static void check_part(const struct http_head *head, struct http_part part)
{
    FUZZ_CHECK((size_t)part.at + part.len <= head->len);
}

static void check_user(const char *user_id, size_t len)
{
    const char *detail;
    FUZZ_CHECK(len == 0 || user_id_check((struct span){user_id, len}, &detail) == ERR_OK);
}

static void read_queries(struct span query)
{
    struct subscribe_query subscribe;
    struct ack_query ack;
    const char *field = NULL;
    const char *detail = NULL;
    enum err error = subscribe_query_parse(query, &subscribe, &field, &detail);
    FUZZ_CHECK(error == ERR_OK || (error == ERR_INVALID_FIELD && field != NULL && detail != NULL));
    if (error == ERR_OK) {
        check_user(subscribe.user_id, subscribe.user_id_len);
        FUZZ_CHECK(subscribe.device_len == 0 ||
                   device_is_valid((struct span){subscribe.device, subscribe.device_len}));
    }
    error = ack_query_parse(query, &ack, &field, &detail);
    FUZZ_CHECK(error == ERR_OK || error == ERR_INVALID_FIELD);
    if (error == ERR_OK) {
        check_user(ack.user_id, ack.user_id_len);
        FUZZ_CHECK(ack.seq > 0 && !epoch_is_none(ack.epoch));
    }
}

static void read_token(const struct http_head *head, struct span bytes)
{
    static const struct credentials_rules rules[] = {
        {{0}, false}, {{"session", 7}, false}, {{"session", 7}, true}};
    static char room[CREDENTIALS_ROOM_BYTES];
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        struct span token;
        const char *detail = NULL;
        enum err error = credentials_token(head, bytes.bytes, &rules[i], room, &token, &detail);
        FUZZ_CHECK(error == ERR_OK || error == ERR_NOT_FOUND ||
                   (error == ERR_BAD_HEAD && detail != NULL));
        FUZZ_CHECK(error != ERR_OK || fuzz_is_inside(token, bytes) ||
                   fuzz_is_inside(token, (struct span){room, sizeof room}));
    }
}

static void read_handshake(const struct http_head *head, const char *bytes)
{
    enum handshake_level level;
    char accept[HANDSHAKE_ACCEPT_LEN];
    const char *detail = NULL;
    struct deflate_terms terms;
    enum err error = handshake_check(head, bytes, &level, accept, &detail);
    if (error == ERR_OK) {
        FUZZ_CHECK(level <= LEVEL_V1);
        FUZZ_CHECK(handshake_check_no_body(head, bytes, &detail) == ERR_OK);
        for (size_t i = 0; i < HANDSHAKE_ACCEPT_LEN; i++)
            FUZZ_CHECK(accept[i] >= '+' && accept[i] <= 'z');
    } else {
        FUZZ_CHECK(error == ERR_UPGRADE_REQUIRED || error == ERR_BAD_HANDSHAKE);
        FUZZ_CHECK(detail != NULL);
    }
    error = extensions_choose(head, bytes, &terms, &detail);
    FUZZ_CHECK(error == ERR_OK || error == ERR_BAD_HANDSHAKE);
}

/* Trusts 10.0.0.0/8. */
static void read_forwarded(const struct http_head *head, const char *bytes)
{
    struct cidr trusted;
    struct ip ip;
    FUZZ_CHECK(cidr_parse(SPAN_LITERAL("10.0.0.0/8"), &trusted) == ERR_OK);
    if (forwarded_for(head, bytes, &trusted, 1, &ip) && cidr_has(&trusted, &ip))
        FUZZ_CHECK(ip_is_v4(&ip));
}

static void read_whole(const struct http_head *head, struct span bytes)
{
    FUZZ_CHECK(head->len <= bytes.len && head->n_fields <= HTTP_HEAD_USUAL_FIELDS);
    check_part(head, head->method);
    check_part(head, head->target);
    check_part(head, head->path);
    check_part(head, head->query);
    for (size_t i = 0; i < head->n_fields; i++) {
        check_part(head, head->fields[i].name);
        check_part(head, head->fields[i].value);
        struct span value = http_part_span(bytes.bytes, head->fields[i].value);
        FUZZ_CHECK(span_equal(value, span_trim(value)));
        FUZZ_CHECK(value.len == 0 || memchr(value.bytes, '\n', value.len) == NULL);
    }
    size_t body_len = 0;
    if (http_head_body_len(head, bytes.bytes, 100, &body_len))
        FUZZ_CHECK(body_len <= 100 && http_head_count(head, bytes.bytes, "Transfer-Encoding") == 0);
    FUZZ_CHECK(head->is_1_0 || head->host.len > 0);
    read_queries(http_part_span(bytes.bytes, head->query));
    read_token(head, bytes);
    read_handshake(head, bytes.bytes);
    read_forwarded(head, bytes.bytes);
}

static bool same_parts(struct http_part a, struct http_part b)
{
    return a.at == b.at && a.len == b.len;
}

static void check_same(const struct http_head *a, const struct http_head *b)
{
    FUZZ_CHECK(a->error == b->error && a->detail == b->detail && a->at == b->at);
    FUZZ_CHECK(a->len == b->len && a->n_fields == b->n_fields);
    FUZZ_CHECK(same_parts(a->method, b->method) && same_parts(a->target, b->target));
    FUZZ_CHECK(same_parts(a->path, b->path) && same_parts(a->query, b->query));
    for (size_t i = 0; i < a->n_fields; i++)
        FUZZ_CHECK(same_parts(a->fields[i].name, b->fields[i].name) &&
                   same_parts(a->fields[i].value, b->fields[i].value));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct fuzz_input input = {bytes, len};
    size_t split = fuzz_split(&input);
    struct span text = fuzz_rest(&input);
    struct http_head whole, pieces;
    struct http_field fields[2][HTTP_HEAD_USUAL_FIELDS];
    http_head_init(&whole, HTTP_HEAD_USUAL_BYTES, fields[0], HTTP_HEAD_USUAL_FIELDS);
    http_head_init(&pieces, HTTP_HEAD_USUAL_BYTES, fields[1], HTTP_HEAD_USUAL_FIELDS);

    char *copy = fuzz_copy(text);
    enum http_head_result result = http_head_parse(&whole, copy, text.len);
    if (result == HTTP_HEAD_DONE)
        read_whole(&whole, (struct span){copy, text.len});
    if (result == HTTP_HEAD_BAD)
        FUZZ_CHECK(whole.error == ERR_BAD_HEAD || whole.error == ERR_HEAD_TOO_LARGE ||
                   whole.error == ERR_HTTP_VERSION);

    char *front = fuzz_copy((struct span){text.bytes, split});
    enum http_head_result early = http_head_parse(&pieces, front, split);
    FUZZ_CHECK(early == HTTP_HEAD_MORE || early == result);
    FUZZ_CHECK(http_head_parse(&pieces, copy, text.len) == result);
    check_same(&whole, &pieces);
    free(front);
    free(copy);
    return 0;
}
