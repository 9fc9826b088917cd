/* Percent-decoding, queries, userIds and UTF-8. A byte: the place where UTF-8 is split. */
#include "proto/bytes/user_id.h"
#include "proto/bytes/utf8.h"
#include "proto/note/subscribe_query.h"
#include "tests/fuzz/fuzz.h"

static void decode(struct span text, bool is_query)
{
    size_t len = 0;
    size_t len_in_place = 0;
    char *out = malloc(text.len + 1);
    char *in_place = fuzz_copy(text);
    FUZZ_CHECK(out != NULL);
    enum err error = percent_decode(text, is_query, out, text.len, &len);
    FUZZ_CHECK(error == ERR_OK || error == ERR_INVALID_FIELD);
    FUZZ_CHECK(percent_decode((struct span){in_place, text.len}, is_query, in_place, text.len,
                              &len_in_place) == error);
    if (error == ERR_OK) {
        FUZZ_CHECK(len == len_in_place && len <= text.len && memcmp(out, in_place, len) == 0);
        FUZZ_CHECK(len == 0 || percent_decode(text, is_query, out, len - 1, &len) == ERR_FULL);
    }
    free(in_place);
    free(out);
}

static void read_query(struct span query)
{
    char user_id[USER_ID_MAX_BYTES];
    size_t len = 0;
    const char *detail = NULL;
    struct span raw;
    enum err found = query_find(query, "userId", &raw);
    enum err error = query_user_id(query, user_id, &len, &detail);
    FUZZ_CHECK(found == ERR_OK || found == ERR_NOT_FOUND || found == ERR_INVALID_FIELD);
    FUZZ_CHECK(found != ERR_OK || fuzz_is_inside(raw, query));
    FUZZ_CHECK(error == ERR_OK || (error == ERR_INVALID_FIELD && detail != NULL));
    FUZZ_CHECK(found == ERR_OK || error != ERR_OK);
    if (error == ERR_OK)
        FUZZ_CHECK(user_id_check((struct span){user_id, len}, &detail) == ERR_OK);
}

static void read_message_query(struct span query)
{
    struct message_query message;
    const char *field = NULL;
    const char *detail = NULL;
    if (message_query_parse(query, &message, &field, &detail) != ERR_OK) {
        FUZZ_CHECK(field != NULL && detail != NULL);
        return;
    }
    FUZZ_CHECK(message.id_len >= 1 && message.id_len <= CLIENT_ID_MAX_BYTES);
    FUZZ_CHECK(utf8_is_valid((struct span){message.id, message.id_len}));
}

static void check_user(struct span text)
{
    const char *detail = NULL;
    if (user_id_check(text, &detail) != ERR_OK) {
        FUZZ_CHECK(detail != NULL);
        return;
    }
    FUZZ_CHECK(text.len >= 1 && text.len <= USER_ID_MAX_BYTES && utf8_is_valid(text));
    for (size_t i = 0; i < text.len; i++)
        FUZZ_CHECK((unsigned char)text.bytes[i] >= ' ' && text.bytes[i] != 0x7f);
    FUZZ_CHECK(memmem(text.bytes, text.len, "\xc2\x85", 2) == NULL); /* U+0085 */
}

/* One code point after the other, by RFC 3629's numbers. */
static bool is_utf8(struct span text)
{
    for (size_t i = 0; i < text.len;) {
        unsigned char c = (unsigned char)text.bytes[i++];
        unsigned n = c < 0x80 ? 0 : c >> 5 == 6 ? 1 : c >> 4 == 14 ? 2 : c >> 3 == 30 ? 3 : 4;
        if (n == 4 || text.len - i < n)
            return false;
        uint32_t point = n == 0 ? c : c & (0x3fu >> n);
        for (unsigned j = 0; j < n; j++, i++) {
            if (((unsigned char)text.bytes[i] & 0xc0) != 0x80)
                return false;
            point = point << 6 | ((unsigned char)text.bytes[i] & 0x3f);
        }
        static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
        if (point < least[n] || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
            return false;
    }
    return true;
}

static void check_utf8(struct span text, size_t split)
{
    utf8_state state = UTF8_ACCEPT;
    bool is_valid = utf8_feed(&state, text.bytes, split) &&
                    utf8_feed(&state, text.bytes + split, text.len - split) && state == UTF8_ACCEPT;
    FUZZ_CHECK(is_valid == utf8_is_valid(text) && is_valid == is_utf8(text));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct fuzz_input input = {bytes, len};
    size_t split = fuzz_byte(&input);
    char *copy = fuzz_copy(fuzz_rest(&input));
    struct span text = {copy, input.len};
    decode(text, false);
    decode(text, true);
    read_message_query(text);
    read_query(text);
    check_user(text);
    check_utf8(text, split % (text.len + 1));
    free(copy);
    return 0;
}
