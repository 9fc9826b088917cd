/* What the file of --jwt-keys may contain (RFC 7517, RFC 7518, RFC 8037), and what not. */
#include "jwt_tokens.h"

static char why[256];

static enum err read_keys(struct span file, size_t *ret_count)
{
    struct jwt_keys *keys = NULL;
    memset(why, 'x', sizeof why);
    enum err error = jwt_keys_read(file, NULL, NULL, &keys, why, sizeof why);
    *ret_count = 0;
    if (error == ERR_OK)
        *ret_count = jwt_keys_count(keys);
    else
        cr_assert_null(keys);
    jwt_keys_unref(keys);
    return error;
}

static void takes(struct span file, size_t count)
{
    size_t n;
    cr_assert_eq(read_keys(file, &n), ERR_OK, "%s: %.300s", why, file.bytes);
    cr_assert_eq(n, count, "%zu: %.300s", n, file.bytes);
}

static void refuses(struct span file, const char *sentence)
{
    size_t n;
    cr_assert_eq(read_keys(file, &n), ERR_INVALID_FIELD, "%.300s", file.bytes);
    cr_assert_str_eq(why, sentence, "%s: %.300s", why, file.bytes);
}

/* The only key of the file is skipped, for this reason. */
static void refuses_only(struct span file, const char *sentence)
{
    char whole[256];
    snprintf(whole, sizeof whole, "no key in it can be used; %s", sentence);
    refuses(file, whole);
}

/* A JWKS of one object. */
static void refuses_jwk(const char *object, const char *sentence)
{
    struct token_text jwks = token_jwks(object, NULL);
    refuses_only(token_span(&jwks), sentence);
}

#define N_7517                                                                                     \
    "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_"      \
    "BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_"     \
    "FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-"            \
    "bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
#define EC_7517                                                                                    \
    "\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\","      \
    "\"y\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\""
#define RSA_7517 "\"kty\":\"RSA\",\"n\":\"" N_7517 "\",\"e\":\"AQAB\""

Test(jwk, reads_the_public_keys_of_rfc_7517)
{
    /* A.1: the EC key is for encryption and is passed over */
    takes(SPAN_LITERAL("{\"keys\":[{" EC_7517 ",\"use\":\"enc\",\"kid\":\"1\"},{" RSA_7517
                       ",\"alg\":\"RS256\",\"kid\":\"2011-04-29\"}]}"),
          1);
    takes(SPAN_LITERAL("{\"keys\":[{" EC_7517 ",\"kid\":\"1\"},{" RSA_7517
                       ",\"alg\":\"RS256\",\"kid\":\"2011-04-29\"}]}"),
          2);
    /* A.3: the first is for wrapping keys and is passed over */
    takes(SPAN_LITERAL("{\"keys\":[{\"kty\":\"oct\",\"alg\":\"A128KW\",\"k\":"
                       "\"GawgguFyGrWKav7AX4VKUg\"},{\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj"
                       "1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow\","
                       "\"kid\":\"HMAC key used in JWS spec Appendix A.1 example\"}]}"),
          1);
}

/* A.2 of RFC 7517. The signing key has no business on the machine that verifies. */
Test(jwk, refuses_private_keys)
{
    static const char sentence[] = "key 1: it is a private key; only the public part belongs here";
    refuses_jwk("{" EC_7517 ",\"d\":\"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE\"}", sentence);
    refuses_jwk("{" EC_7517 ",\"use\":\"enc\",\"d\":\"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eA"
                "E\"}",
                sentence);
    refuses_jwk("{" RSA_7517 ",\"p\":\"AQAB\"}", sentence);
    refuses_jwk("{" RSA_7517 ",\"oth\":[]}", sentence);
    refuses_jwk("{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"d\":\"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDus"
                "Axyuf2A\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}",
                sentence);
    static const enum jwt_alg algs[] = {JWT_RS256, JWT_ES256, JWT_EDDSA};
    for (int i = 0; i < 3; i++) {
        struct token_text pem = token_private_pem_of(token_key(algs[i]));
        refuses_only(token_span(&pem),
                     "PEM block 1: it is a private key; only the public part belongs here");
    }
}

Test(jwk, reads_a_key_of_every_algorithm)
{
    for (int alg = 0; alg < JWT_ALGS; alg++)
        jwt_keys_unref(token_keys((enum jwt_alg)alg));
}

Test(jwk, passes_over_keys_for_something_else)
{
    static const char no_kty[] = "key 1: its kty is none of RSA, EC, OKP and oct";
    static const char no_crv[] = "key 1: its crv is none of P-256, P-384 and P-521";
    static const char no_alg[] = "key 1: its alg is none that is taken";
    static const char no_use[] = "key 1: its use is not sig";
    static const char no_ops[] = "key 1: its key_ops do not say verify";
    static const char *const others[][2] = {
        {"{\"kty\":\"AKP\",\"alg\":\"ML-DSA-44\",\"pub\":\"AAAA\"}", no_kty},
        {"{\"kty\":\"ec\"}", no_kty},
        {"{\"kty\":7}", no_kty},
        {"{}", no_kty},
        {"{\"kty\":\"EC\",\"crv\":\"secp256k1\",\"x\":\"AA\",\"y\":\"AA\"}", no_crv},
        {"{\"kty\":\"EC\"}", no_crv},
        {"{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"AA\"}", "key 1: its crv is not Ed25519"},
        {"{\"kty\":\"OKP\",\"crv\":\"Ed448\",\"x\":\"AA\"}", "key 1: its crv is not Ed25519"},
        {"{\"kty\":\"oct\",\"alg\":\"HS512\",\"k\":\"AA\"}", no_alg},
        {"{" RSA_7517 ",\"alg\":\"RSA-OAEP\"}", no_alg},
        {"{" RSA_7517 ",\"alg\":\"none\"}", no_alg},
        {"{" RSA_7517 ",\"alg\":[\"RS256\"]}", no_alg},
        {"{" RSA_7517 ",\"alg\":\"HS256\"}", "key 1: its alg is not one of its kty and crv"},
        {"{" EC_7517 ",\"alg\":\"ES384\"}", "key 1: its alg is not one of its kty and crv"},
        {"{" RSA_7517 ",\"use\":\"enc\"}", no_use},
        {"{" RSA_7517 ",\"use\":7}", no_use},
        {"{" RSA_7517 ",\"key_ops\":[\"encrypt\"]}", no_ops},
        {"{" RSA_7517 ",\"key_ops\":[]}", no_ops},
        {"{" RSA_7517 ",\"key_ops\":\"verify\"}", no_ops},
    };
    struct token_text good = token_jwk(JWT_EDDSA, ",\"kid\":\"good\"");
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        struct token_text jwks = token_jwks(others[i][0], good.text, NULL);
        takes(token_span(&jwks), 1);
        refuses_jwk(others[i][0], others[i][1]);
    }
}

Test(jwk, takes_keys_that_say_they_are_for_verifying)
{
    static const char *const more[] = {",\"use\":\"sig\"",
                                       ",\"key_ops\":[\"sign\",\"verify\"]",
                                       ",\"alg\":\"EdDSA\"",
                                       ",\"alg\":\"Ed25519\"",
                                       ",\"alg\":null,\"use\":null,\"kid\":null,\"d\":null",
                                       ",\"x5c\":[\"MII\"],\"x\\u0035t\":\"no\",\"kid\":\"\""};
    for (size_t i = 0; i < sizeof more / sizeof more[0]; i++) {
        struct token_text jwk = token_jwk(JWT_EDDSA, more[i]);
        struct token_text jwks = token_jwks(jwk.text, NULL);
        takes(token_span(&jwks), 1);
    }
}

Test(jwk, refuses_keys_that_are_malformed)
{
    static const char *const rows[][2] = {
        {"{\"kty\":\"RSA\",\"e\":\"AQAB\"}", "key 1: n or e is missing, too long or not base64url"},
        {"{\"kty\":\"RSA\",\"n\":\"" N_7517 "\",\"e\":\"AQAB==\"}",
         "key 1: n or e is missing, too long or not base64url"},
        {"{\"kty\":\"RSA\",\"n\":\"" N_7517 "\",\"e\":65537}",
         "key 1: n or e is missing, too long or not base64url"},
        {"{\"kty\":\"RSA\",\"n\":\"" N_7517 "\",\"e\":\"AQAAAAAAAAAAAAAB\"}",
         "key 1: n or e is longer than any key that is taken"},
        {"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\"}",
         "key 1: x or y is missing, too long or not base64url"},
        {"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"MKBC\",\"y\":\"MKBC\"}",
         "key 1: x and y must be as long as the numbers of the curve"},
        {"{\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\","
         "\"y\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\"}",
         "key 1: x and y must be as long as the numbers of the curve"},
        {"{\"kty\":\"RSA\",\"n\":null,\"e\":\"AQAB\",\"x5c\":[\"MII\"]}",
         "key 1: n or e is missing, too long or not base64url"},
        {"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"MKBC\"}", "key 1: x must be 32 bytes"},
        {"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"\"}",
         "key 1: x is missing, too long or not base64url"},
        {"{\"kty\":\"oct\",\"k\":\"\"}", "key 1: k is missing, too long or not base64url"},
        {"{\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLg\"}",
         "key 1: a secret for HS256 must be at least 32 bytes"},
        {"{" RSA_7517 ",\"kid\":7}", "key 1: kid must be a string of at most 256 bytes"},
        {"{" RSA_7517 ",\"kid\":\"a\",\"kid\":\"b\"}", "key 1: a member stands twice"},
        {"{" RSA_7517 ",\"n\":\"AQAB\"}", "key 1: a member stands twice"},
        {"\"" N_7517 "\"", "key 1: an object must stand here"},
        {"null", "key 1: an object must stand here"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        refuses_jwk(rows[i][0], rows[i][1]);
}

/* A point beside the curve, an exponent of 1 (every text would be its own signature), an even
 * modulus: numbers in the right form that are no key. */
Test(jwk, refuses_numbers_that_are_no_key)
{
    static const char sentence[] = "key 1: its numbers are no valid public key";
    refuses_jwk("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAq"
                "v7D4\",\"y\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyA\"}",
                sentence);
    refuses_jwk("{\"kty\":\"RSA\",\"n\":\"" N_7517 "\",\"e\":\"AQ\"}", sentence);
    refuses_jwk("{\"kty\":\"RSA\",\"n\":\"" N_7517 "\",\"e\":\"AQAA\"}", sentence);
    struct token_text even = {.len = 0};
    struct span n = SPAN_LITERAL(N_7517);
    token_add(&even, SPAN_LITERAL("{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\""));
    token_add(&even, (struct span){n.bytes, n.len - 2});
    token_add(&even, SPAN_LITERAL("gg\"}"));
    refuses_jwk(even.text, sentence);
}

/* RFC 7518, 3.3 */
Test(jwk, refuses_rsa_keys_that_are_too_short_or_too_long)
{
    static const size_t bits[] = {1024, 2040};
    for (size_t i = 0; i < 2; i++) {
        EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", bits[i]);
        struct token_text pem = token_pem_of(key);
        struct token_text members = token_members_of(JWT_RS256, key);
        struct token_text jwk = {.len = 0};
        token_add(&jwk, SPAN_LITERAL("{"));
        token_add(&jwk, token_span(&members));
        token_add(&jwk, SPAN_LITERAL("}"));
        refuses_only(token_span(&pem), "PEM block 1: an RSA key must have 2048 to 8192 bits");
        refuses_jwk(jwk.text, "key 1: an RSA key must have 2048 to 8192 bits");
        EVP_PKEY_free(key);
    }
    char zeros[1400] = {1}; /* 11200 bits */
    struct token_text jwk = {.len = 0};
    token_add(&jwk, SPAN_LITERAL("{\"kty\":\"RSA\",\"e\":\"AQAB\""));
    token_add_member(&jwk, "n", token_bytes(zeros, sizeof zeros));
    token_add(&jwk, SPAN_LITERAL("}"));
    refuses_jwk(jwk.text, "key 1: n or e is longer than any key that is taken");
}

Test(jwk, refuses_json_that_is_no_jwks)
{
    static const char form[] = "a JWKS is an object with an array \"keys\"";
    struct token_text jwk = token_jwk(JWT_EDDSA, "");
    refuses(token_span(&jwk), form);
    refuses(SPAN_LITERAL("{}"), form);
    refuses(SPAN_LITERAL("{\"keys\":{}}"), form);
    refuses(SPAN_LITERAL(" \n{\"keys\":[]}"), "it has no key");
    refuses(SPAN_LITERAL("{\"keys\":null}"), form);
    refuses(SPAN_LITERAL("{\"keys\":\"-----BEGIN CERTIFICATE-----\"}"), form);
    refuses(SPAN_LITERAL("{\"keys\":[],\"keys\":[]}"), "a member stands twice");
    refuses(SPAN_LITERAL("{\"keys\":[]} x"), "nothing may follow the value");
    refuses(SPAN_LITERAL("{\"keys\":["), "the text ends too early");
    refuses(SPAN_LITERAL("{"), "the text ends too early");
    refuses(SPAN_LITERAL("\xef\xbb\xbf{\"keys\":[]}"), "it begins with a byte order mark");
    refuses(SPAN_LITERAL(""), "it is empty");
    refuses((struct span){NULL, 0}, "it is empty");
}

/* PEM */

Test(jwk_pem, reads_public_keys_and_certificates)
{
    struct token_text rsa = token_pem_of(token_key(JWT_RS256));
    struct token_text ec = token_certificate_of(token_key(JWT_ES256));
    struct token_text ed = token_pem_of(token_key(JWT_EDDSA));
    struct token_text all = {.len = 0};
    takes(token_span(&rsa), 1);
    takes(token_span(&ec), 1);
    takes(token_span(&ed), 1);
    token_add(&all, SPAN_LITERAL("Subject: what openssl prints above a certificate\r\n"));
    token_add(&all, token_span(&rsa));
    token_add(&all, SPAN_LITERAL("\nand between them\n"));
    token_add(&all, token_span(&ec));
    token_add(&all, token_span(&ed));
    takes(token_span(&all), 3);
}

Test(jwk_pem, reads_the_older_form_of_rsa_keys)
{
    BIO *bio = BIO_new(BIO_s_mem());
    unsigned char *der = NULL;
    int len = i2d_PublicKey(token_key(JWT_RS256), &der);
    cr_assert_gt(PEM_write_bio(bio, "RSA PUBLIC KEY", "", der, len), 0);
    OPENSSL_free(der);
    struct token_text pem = token_of_bio(bio);
    takes(token_span(&pem), 1);
}

Test(jwk_pem, refuses_keys_of_other_kinds)
{
    static const char sentence[] =
        "PEM block 1: it is none of RSA, EC on P-256, P-384 or P-521, and Ed25519";
    static const char *const curves[] = {"P-224", "secp256k1", "brainpoolP256r1"};
    for (size_t i = 0; i < 3; i++) {
        EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", curves[i]);
        struct token_text pem = token_pem_of(key);
        refuses_only(token_span(&pem), sentence);
        EVP_PKEY_free(key);
    }
    static const char *const kinds[] = {"X25519", "ED448"};
    for (size_t i = 0; i < 2; i++) {
        EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, kinds[i]);
        struct token_text pem = token_pem_of(key);
        refuses_only(token_span(&pem), sentence);
        EVP_PKEY_free(key);
    }
}

Test(jwk_pem, refuses_blocks_that_are_cut_or_of_another_kind)
{
    struct token_text pem = token_pem_of(token_key(JWT_ES256));
    size_t n;
    for (size_t len = 11; len + 2 < pem.len; len++)
        cr_assert_eq(read_keys((struct span){pem.text, len}, &n), ERR_INVALID_FIELD, "%zu", len);
    struct token_text two = pem;
    token_add(&two, SPAN_LITERAL("-----BEGIN PUBLIC KEY----\nAAAA\n-----END PUBLIC KEY-----\n"));
    refuses(token_span(&two), "PEM block 2: it is no whole PEM block");
    refuses_only(SPAN_LITERAL("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"),
                 "PEM block 1: it cannot be read");
    refuses_only(SPAN_LITERAL("-----BEGIN CERTIFICATE-----\nMAAA\n-----END CERTIFICATE-----\n"),
                 "PEM block 1: it cannot be read");
    refuses_only(SPAN_LITERAL("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC "
                              "PARAMETERS-----\n"),
                 "PEM block 1: it is neither a public key nor a certificate");
}

Test(jwk_pem, refuses_bytes_after_a_key)
{
    BIO *bio = BIO_new(BIO_s_mem());
    struct token_text der = token_der_of(token_key(JWT_ES256));
    token_add(&der, SPAN_LITERAL("x"));
    cr_assert_gt(PEM_write_bio(bio, "PUBLIC KEY", "", (unsigned char *)der.text, (long)der.len), 0);
    struct token_text pem = token_of_bio(bio);
    refuses_only(token_span(&pem), "PEM block 1: it cannot be read");
}

/* Secrets */

static const char not_a_secret[] =
    "it is neither a JWKS nor PEM, and a secret must be one line of visible ASCII characters "
    "without spaces that does not begin with <, [ or a quotation mark; other bytes may be the k of "
    "a key of kty oct in a JWKS";

Test(jwk_secret, is_one_line_of_visible_characters_without_its_line_break)
{
    takes(SPAN_LITERAL("0123456789abcdef0123456789abcdef"), 1);
    takes(SPAN_LITERAL("0123456789abcdef0123456789abcdef\n"), 1);
    takes(SPAN_LITERAL("!~+/=-_.,:;0123456789abcdef01234"), 1);
    refuses(SPAN_LITERAL("0123456789abcdef0123456789abcde"),
            "a secret for HS256 must be at least 32 bytes");
    refuses(SPAN_LITERAL("0123456789abcdef0123456789abcde\n"),
            "a secret for HS256 must be at least 32 bytes");
    refuses(SPAN_LITERAL("0123456789abcdef0123456789abcd\r\n"),
            "a secret for HS256 must be at least 32 bytes");
    refuses(SPAN_LITERAL("\n"), "a secret for HS256 must be at least 32 bytes");
    takes(SPAN_LITERAL("0123456789abcdef0123456789abcdef\r\n"), 1);
}

/* Whoever has seen the page could sign. */
Test(jwk_secret, is_never_the_text_of_a_failed_download)
{
    const struct span pages[] = {
        SPAN_LITERAL("<html><head><title>502 Bad Gateway</title></head></html>\n"),
        SPAN_LITERAL("<html><body><center>nginx</center></body></html>\n"),
        SPAN_LITERAL("<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>"),
        SPAN_LITERAL("<Error><Code>AccessDenied</Code></Error>"),
        SPAN_LITERAL("upstream connect error or disconnect/reset before headers\n"),
        SPAN_LITERAL("Service Unavailable: please try again later"),
        SPAN_LITERAL("[{\"error\":\"not_found\",\"status\":404}]"),
        SPAN_LITERAL("\"temporarily_unavailable_try_again\""),
        SPAN_LITERAL("\n<html><body><center>nginx</center></body></html>"),
        SPAN_LITERAL("0123456789abcdef0123456789abcdef\n\n"),
        SPAN_LITERAL("0123456789abcdef\n0123456789abcdef"),
        SPAN_LITERAL("0123456789abcdef\t0123456789abcdef"),
        SPAN_LITERAL("0123456789abcdef\0000123456789abcdef"),
        SPAN_LITERAL("0123456789abcdef\x7f"
                     "0123456789abcdef"),
        SPAN_LITERAL("0123456789abcdef\xc3\xa4"
                     "0123456789abcdef"),
    };
    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++)
        refuses(pages[i], not_a_secret);
}

Test(jwk_secret, is_the_secret_that_signs_without_its_line_break)
{
    static const struct span files[] = {{TOKEN_SECRET, sizeof TOKEN_SECRET - 1},
                                        {TOKEN_SECRET "\n", sizeof TOKEN_SECRET},
                                        {TOKEN_SECRET "\r\n", sizeof TOKEN_SECRET + 1}};
    struct token_text token = token_make(JWT_HS256, TOKEN_PAYLOAD);
    for (size_t i = 0; i < 3; i++) {
        struct jwt_keys *keys = token_read(files[i]);
        cr_assert_eq(token_judge(keys, &token, TOKEN_NO_RULES), ERR_OK, "%zu", i);
        jwt_keys_unref(keys);
    }
}

/* A public key that is taken for a secret lets everybody sign. */
Test(jwk_secret, is_never_a_public_key_in_another_form)
{
    static const char sentence[] =
        "it looks like a public key, which is taken in PEM or as a JWKS alone";
    static const enum jwt_alg algs[] = {JWT_RS256, JWT_ES256, JWT_EDDSA};
    for (int i = 0; i < 3; i++) {
        struct token_text der = token_der_of(token_key(algs[i]));
        struct token_text pem = token_pem_of(token_key(algs[i]));
        struct token_text jwk = token_jwk(algs[i], "");
        struct token_text text = {.len = 0};
        refuses(token_span(&der), sentence);
        refuses((struct span){pem.text + 1, pem.len - 1}, sentence);
        size_t head = strlen("-----BEGIN PUBLIC KEY-----\n");
        size_t tail = strlen("-----END PUBLIC KEY-----\n");
        refuses((struct span){pem.text + head, pem.len - head - tail}, sentence);
        refuses((struct span){pem.text + head, pem.len - head - tail - 1}, sentence);
        token_add(&text, SPAN_LITERAL("["));
        token_add(&text, token_span(&jwk));
        token_add(&text, SPAN_LITERAL("]"));
        refuses(token_span(&text), sentence);
    }
    refuses(SPAN_LITERAL("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIkV5sM0t1Y0x3b3 me@here\n"),
            sentence);
    refuses(SPAN_LITERAL("ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTY me@here\n"),
            sentence);
    refuses(SPAN_LITERAL("ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQC7 me@here\n"), sentence);
}

Test(jwk_secret, has_a_ceiling)
{
    static char bytes[JWT_KEYS_FILE_MAX_BYTES + 1];
    memset(bytes, '!', sizeof bytes);
    takes((struct span){bytes, JWT_SECRET_MAX_BYTES}, 1);
    refuses((struct span){bytes, JWT_SECRET_MAX_BYTES + 1},
            "a secret for HS256 must be at most 4096 bytes");
    refuses((struct span){bytes, sizeof bytes}, "it is larger than 1 MiB");
}

/* The operator's log gets `why`. */
Test(jwk, never_repeats_the_file_in_what_it_says)
{
    static const char *const files[] = {
        "{\"keys\":[{\"kty\":\"oct\",\"k\":\"SECRETSECRET\"}]}",
        "{\"keys\":[{\"kty\":\"oct\",\"k\":\"SECRET+SECRET\"}]}",
        "{\"SECRET\":1,\"SECRET\":2}",
        "{\"keys\":[{\"kty\":\"oct\",\"k\":\"SECRETSECRETSECRETSECRETSECRETSECRETSECRETSECRET\","
        "\"kid\":[\"SECRET\"]}]}",
        "-----BEGIN SECRET-----\nSECRET==\n-----END SECRET-----\n",
        "SECRET",
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        size_t n;
        cr_assert_eq(read_keys(span_of(files[i]), &n), ERR_INVALID_FIELD, "%s", files[i]);
        cr_assert_null(strstr(why, "SECRET"), "%s", why);
    }
}

Test(jwk, cuts_what_it_says_at_the_room_there_is)
{
    struct jwt_keys *keys = NULL;
    char small[8] = "xxxxxxx";
    cr_assert_eq(jwt_keys_read(SPAN_LITERAL(""), NULL, NULL, &keys, small, 6), ERR_INVALID_FIELD);
    cr_assert_str_eq(small, "it is");
    cr_assert_eq(small[6], 'x');
}

Test(jwk, lives_as_long_as_somebody_holds_it)
{
    struct jwt_keys *keys = token_keys(JWT_HS256);
    struct token_text token = token_make(JWT_HS256, TOKEN_PAYLOAD);
    cr_assert_eq(jwt_keys_ref(keys), keys);
    jwt_keys_unref(keys);
    cr_assert_eq(token_judge(keys, &token, TOKEN_NO_RULES), ERR_OK);
    jwt_keys_unref(keys);
    jwt_keys_unref(NULL);
}
