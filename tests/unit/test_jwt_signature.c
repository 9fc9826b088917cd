/* Signatures that are not those of the key: of another length, form or kind (RFC 7518, section 3).
 */
#include "jwt_tokens.h"

static const char bad_signature[] = "the signature of the token is not good";
static const char bad_coding[] = "the signature of the token is malformed";

static struct token_text with_signature(enum jwt_alg alg, struct span signature)
{
    struct token_text token = token_unsigned(token_header(alg), SPAN_LITERAL(TOKEN_PAYLOAD));
    token_add_signature(&token, signature);
    return token;
}

Test(jwt_signature, has_a_signature_of_exactly_the_right_length)
{
    for (int alg = 0; alg < JWT_ALGS; alg++) {
        struct jwt_keys *keys = token_keys((enum jwt_alg)alg);
        struct token_text text =
            token_unsigned(token_header((enum jwt_alg)alg), SPAN_LITERAL(TOKEN_PAYLOAD));
        struct token_text good = token_sign((enum jwt_alg)alg, token_span(&text));
        struct token_text longer = good;
        struct token_text zero_first = {.len = 0};
        token_add(&longer, SPAN_LITERAL("\0"));
        token_add(&zero_first, SPAN_LITERAL("\0"));
        token_add(&zero_first, token_span(&good));
        struct token_text token = with_signature((enum jwt_alg)alg, token_span(&longer));
        token_is_refused(keys, &token, TOKEN_NO_RULES, bad_signature);
        token = with_signature((enum jwt_alg)alg, token_span(&zero_first));
        token_is_refused(keys, &token, TOKEN_NO_RULES, bad_signature);
        for (size_t len = 1; len < good.len; len++) {
            token = with_signature((enum jwt_alg)alg, token_bytes(good.text, len));
            token_is_refused(keys, &token, TOKEN_NO_RULES, bad_signature);
        }
        static char zeros[2048];
        token = with_signature((enum jwt_alg)alg, token_bytes(zeros, good.len));
        token_is_refused(keys, &token, TOKEN_NO_RULES, bad_signature);
        token = with_signature((enum jwt_alg)alg, token_bytes(zeros, sizeof zeros));
        token_is_refused(keys, &token, TOKEN_NO_RULES, bad_coding);
        jwt_keys_unref(keys);
    }
}

/* RFC 7518, 3.4: what OpenSSL writes by itself is not what JOSE has. */
Test(jwt_signature, has_no_es256_signature_in_der)
{
    struct jwt_keys *keys = token_keys(JWT_ES256);
    struct token_text text = token_unsigned(token_header(JWT_ES256), SPAN_LITERAL(TOKEN_PAYLOAD));
    struct token_text der = token_sign_der(JWT_ES256, token_key(JWT_ES256), token_span(&text));
    struct token_text raw = token_raw_of(JWT_ES256, &der);
    struct token_text token = with_signature(JWT_ES256, token_span(&der));
    token_is_refused(keys, &token, TOKEN_NO_RULES, bad_signature);
    token = with_signature(JWT_ES256, token_span(&raw));
    cr_assert_eq(token_judge(keys, &token, TOKEN_NO_RULES), ERR_OK);
    jwt_keys_unref(keys);
}

/* CVE-2022-21449: r and s of zero were good for every text and every key. */
Test(jwt_signature, has_no_es256_signature_with_numbers_out_of_range)
{
    static const unsigned char order[32] = {0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00,
                                            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                            0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84,
                                            0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51};
    struct jwt_keys *keys = token_keys(JWT_ES256);
    struct token_text text = token_unsigned(token_header(JWT_ES256), SPAN_LITERAL(TOKEN_PAYLOAD));
    struct token_text good = token_sign(JWT_ES256, token_span(&text));
    unsigned char numbers[5][32] = {{0}, {0}, {0}, {0}, {0}};
    numbers[1][31] = 1;
    memcpy(numbers[2], order, 32);
    memset(numbers[3], 0xff, 32);
    memcpy(numbers[4], good.text, 32);
    for (int r = 0; r < 5; r++) {
        for (int s = 0; s < 5; s++) {
            char pair[64];
            memcpy(pair, numbers[r], 32);
            memcpy(pair + 32, numbers[s], 32);
            struct token_text token = with_signature(JWT_ES256, token_bytes(pair, 64));
            token_is_refused(keys, &token, TOKEN_NO_RULES, bad_signature);
        }
        char half[64];
        memcpy(half, good.text, 64);
        memcpy(half + 32, numbers[r], 32);
        struct token_text token = with_signature(JWT_ES256, token_bytes(half, 64));
        token_is_refused(keys, &token, TOKEN_NO_RULES, bad_signature);
    }
    jwt_keys_unref(keys);
}

/* RFC 8032, 8.4: s and s + L would be two signatures of one text. */
Test(jwt_signature, has_no_second_form_of_an_eddsa_signature)
{
    static const unsigned char order[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58,
                                            0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
                                            0,    0,    0,    0,    0,    0,    0,    0,
                                            0,    0,    0,    0,    0,    0,    0,    0x10};
    struct jwt_keys *keys = token_keys(JWT_EDDSA);
    struct token_text text = token_unsigned(token_header(JWT_EDDSA), SPAN_LITERAL(TOKEN_PAYLOAD));
    struct token_text signature = token_sign(JWT_EDDSA, token_span(&text));
    unsigned carry = 0;
    for (int i = 0; i < 32; i++) {
        carry += (unsigned char)signature.text[32 + i] + (unsigned)order[i];
        signature.text[32 + i] = (char)carry;
        carry >>= 8;
    }
    struct token_text token = with_signature(JWT_EDDSA, token_span(&signature));
    token_is_refused(keys, &token, TOKEN_NO_RULES, bad_signature);
    jwt_keys_unref(keys);
}

/* An RSA signature of each kind under each other one: a key has one algorithm, and one without alg
 * has RS256 (RFC 8725, 3.1). PSS with a salt of another length is none (RFC 7518, 3.5). */
Test(jwt_signature, has_no_rsa_signature_of_another_kind)
{
    for (int alg = JWT_RS256; alg <= JWT_PS512; alg++) {
        struct jwt_keys *keys = token_keys((enum jwt_alg)alg);
        struct token_text text =
            token_unsigned(token_header((enum jwt_alg)alg), SPAN_LITERAL(TOKEN_PAYLOAD));
        for (int other = JWT_RS256; other <= JWT_PS512; other++) {
            struct token_text signature = token_sign((enum jwt_alg)other, token_span(&text));
            struct token_text token = with_signature((enum jwt_alg)alg, token_span(&signature));
            if (other != alg)
                token_is_refused(keys, &token, TOKEN_NO_RULES, bad_signature);
            else
                cr_assert_eq(token_judge(keys, &token, TOKEN_NO_RULES), ERR_OK);
        }
        jwt_keys_unref(keys);
    }
}

Test(jwt_signature, has_a_pss_salt_as_long_as_the_hash)
{
    struct jwt_keys *keys = token_keys(JWT_PS256);
    struct token_text text = token_unsigned(token_header(JWT_PS256), SPAN_LITERAL(TOKEN_PAYLOAD));
    static const int salts[] = {0, 20, 31, 33, 64, RSA_PSS_SALTLEN_MAX};
    for (size_t i = 0; i < sizeof salts / sizeof salts[0]; i++) {
        EVP_MD_CTX *signer = EVP_MD_CTX_new();
        EVP_PKEY_CTX *options;
        unsigned char signature[256];
        size_t len = sizeof signature;
        cr_assert_eq(EVP_DigestSignInit(signer, &options, EVP_sha256(), NULL, token_key(JWT_PS256)),
                     1);
        cr_assert_eq(EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING), 1);
        cr_assert_eq(EVP_PKEY_CTX_set_rsa_pss_saltlen(options, salts[i]), 1);
        cr_assert_eq(
            EVP_DigestSign(signer, signature, &len, (const unsigned char *)text.text, text.len), 1);
        EVP_MD_CTX_free(signer);
        struct token_text token = with_signature(JWT_PS256, token_bytes(signature, len));
        token_is_refused(keys, &token, TOKEN_NO_RULES, bad_signature);
    }
    jwt_keys_unref(keys);
}

/* The algorithm of an RSA key without alg, of PEM too, is RS256 whatever a token says. */
Test(jwt_signature, is_of_rs256_alone_for_an_rsa_key_that_names_no_algorithm)
{
    struct token_text pem = token_pem_of(token_key(JWT_RS256));
    struct jwt_keys *sets[] = {token_keys(JWT_RS256), token_read(token_span(&pem))};
    for (int set = 0; set < 2; set++) {
        struct token_text token = token_make(JWT_RS256, TOKEN_PAYLOAD);
        cr_assert_eq(token_judge(sets[set], &token, TOKEN_NO_RULES), ERR_OK);
        for (int alg = JWT_RS384; alg <= JWT_PS512; alg++) {
            token = token_make((enum jwt_alg)alg, TOKEN_PAYLOAD);
            token_is_refused(sets[set], &token, TOKEN_NO_RULES,
                             "no key is for the algorithm of the token");
        }
        jwt_keys_unref(sets[set]);
    }
}
