/* base64url as JOSE uses it (RFC 4648, section 5; RFC 7515, section 2). */
#include "proto/bytes/base64url.h"

#include <criterion/criterion.h>
#include <openssl/evp.h>
#include <stdint.h>
#include <stdlib.h>

static enum err decode(const char *text, struct span *ret_bytes)
{
    static char room[64];
    size_t len = 0;
    enum err error = base64url_decode(span_of(text), room, sizeof room, &len);
    *ret_bytes = (struct span){room, len};
    return error;
}

/* RFC 4648, section 10, without the padding. */
Test(base64url, decodes_the_vectors_of_the_rfc)
{
    static const char *const rows[][2] = {
        {"", ""},           {"Zg", "f"},          {"Zm8", "fo"},          {"Zm9v", "foo"},
        {"Zm9vYg", "foob"}, {"Zm9vYmE", "fooba"}, {"Zm9vYmFy", "foobar"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct span bytes;
        cr_assert_eq(decode(rows[i][0], &bytes), ERR_OK, "%s", rows[i][0]);
        cr_assert(span_equal(bytes, span_of(rows[i][1])), "%s", rows[i][0]);
    }
}

Test(base64url, encodes_what_it_decodes)
{
    static const char all[] = "-_-_Zm9vYmFyZm9vYmE";
    for (size_t len = 0; len < sizeof all; len++) {
        char text[BASE64URL_CHARACTERS(sizeof all)];
        char bytes[sizeof all];
        size_t n = 0;
        struct span encoded = {text, base64url_encode((struct span){all, len}, text)};
        cr_assert_eq(encoded.len, BASE64URL_CHARACTERS(len));
        cr_assert_eq(base64url_decode(encoded, bytes, sizeof bytes, &n), ERR_OK, "%zu", len);
        cr_assert(span_equal((struct span){bytes, n}, (struct span){all, len}));
    }
}

Test(base64url, takes_the_two_letters_of_its_own)
{
    struct span bytes;
    cr_assert_eq(decode("-_-_", &bytes), ERR_OK);
    cr_assert(span_equal(bytes, SPAN_LITERAL("\xfb\xff\xbf")));
}

Test(base64url, refuses_padding_white_space_and_other_alphabets)
{
    static const char *const texts[] = {"Zg==",    "Zm8=",  "Zm9v=", "Zm9v====", "+/+/",   "Zm+v",
                                        "Zm/v",    " Zm9v", "Zm9v ", "Zm\n9v",   "Zm9v\n", "Zm.v",
                                        "Zm9\xc3", "Zm%39", "=",     "@[`{"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct span bytes;
        cr_assert_eq(decode(texts[i], &bytes), ERR_INVALID_FIELD, "%s", texts[i]);
    }
    char room[8];
    size_t len;
    cr_assert_eq(base64url_decode(SPAN_LITERAL("Zm9\0"), room, sizeof room, &len),
                 ERR_INVALID_FIELD);
}

Test(base64url, refuses_a_length_that_no_bytes_have)
{
    struct span bytes;
    cr_assert_eq(decode("Z", &bytes), ERR_INVALID_FIELD);
    cr_assert_eq(decode("A", &bytes), ERR_INVALID_FIELD);
    cr_assert_eq(decode("Zm9vY", &bytes), ERR_INVALID_FIELD);
}

/* RFC 4648, 3.5: otherwise several texts would stand for the same bytes. */
Test(base64url, refuses_stray_bits_in_the_last_letter)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    size_t n_two = 0, n_three = 0;
    struct span bytes;
    for (size_t i = 0; i < 64; i++) {
        char two[] = {'Z', alphabet[i], '\0'};
        char three[] = {'Z', 'm', alphabet[i], '\0'};
        n_two += decode(two, &bytes) == ERR_OK;
        n_three += decode(three, &bytes) == ERR_OK;
    }
    cr_assert_eq(n_two, 4);
    cr_assert_eq(n_three, 16);
}

Test(base64url, never_writes_beyond_its_room)
{
    char room[4] = "...";
    size_t len = 99;
    cr_assert_eq(base64url_decode(SPAN_LITERAL("Zm9v"), room, 2, &len), ERR_FULL);
    cr_assert_eq(room[2], '.');
    cr_assert_eq(len, 99);
    cr_assert_eq(base64url_decode(SPAN_LITERAL("Zm9v"), room, 3, &len), ERR_OK);
    cr_assert_eq(base64url_decode(SPAN_LITERAL(""), room, 0, &len), ERR_OK);
    cr_assert_eq(len, 0);
}

Test(base64url, gives_back_what_another_encoder_made)
{
    uint32_t random = 7;
    for (size_t len = 0; len < 200; len++) {
        unsigned char bytes[200], coded[400];
        char back[BASE64URL_BYTES(400)];
        size_t back_len;
        for (size_t i = 0; i < len; i++)
            bytes[i] = (unsigned char)((random = random * 1664525u + 1013904223u) >> 24);
        int n = EVP_EncodeBlock(coded, bytes, (int)len);
        while (n > 0 && coded[n - 1] == '=')
            n--;
        for (int i = 0; i < n; i++)
            coded[i] = coded[i] == '+' ? '-' : coded[i] == '/' ? '_' : coded[i];
        struct span text = {(const char *)coded, (size_t)n};
        cr_assert_leq(len, BASE64URL_BYTES((size_t)n));
        cr_assert_eq(base64url_decode(text, back, sizeof back, &back_len), ERR_OK, "%zu", len);
        cr_assert(back_len == len && memcmp(back, bytes, len) == 0, "%zu", len);
        cr_assert_eq(base64url_decode(text, coded, sizeof coded, &back_len), ERR_OK);
        cr_assert(back_len == len && memcmp(coded, bytes, len) == 0, "in place, %zu", len);
    }
}
