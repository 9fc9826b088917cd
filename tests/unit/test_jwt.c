/* Tokens that are good, the vectors of the RFCs, and the choice of the key. */
#include "jwt_tokens.h"

#include "proto/bytes/base64url.h"
#include "proto/token/jwk.h"

#include <openssl/err.h>

#define PAYLOAD_7515                                                                               \
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVl" \
    "fQ"

static const struct {
    const char *jwk, *text, *signature;
    bool is_jwt;
} vectors[] = {
    /* RFC 7515, A.1 */
    {"{\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4h"
     "cgUuTwjAzZr1Z9CAow\"}",
     "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." PAYLOAD_7515,
     "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", true},
    /* A.2 */
    {"{\"kty\":\"RSA\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-"
     "Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_"
     "7OMg"
     "0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-"
     "UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwK"
     "h9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ\","
     "\"e\":\"AQAB\"}",
     "eyJhbGciOiJSUzI1NiJ9." PAYLOAD_7515,
     "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5"
     "jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb"
     "1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QO"
     "YEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
     true},
    /* A.3 */
    {"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
     "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}",
     "eyJhbGciOiJFUzI1NiJ9." PAYLOAD_7515,
     "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
     true},
    /* A.4 */
    {"{\"kty\":\"EC\",\"crv\":\"P-521\",\"x\":"
     "\"AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EO"
     "nYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk\",\"y\":\"ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-"
     "x3"
     "S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2\"}",
     "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA",
     "AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_"
     "7XdtAG8GaS"
     "wFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn",
     false},
    /* RFC 8037, A.4 and A.5 */
    {"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}",
     "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
     "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
     false},
};

enum { VECTORS = sizeof vectors / sizeof vectors[0] };

Test(jwt, finds_the_signatures_of_the_rfcs_good)
{
    for (size_t i = 0; i < VECTORS; i++) {
        struct jwt_key key;
        const char *why = "";
        char signature[1024];
        size_t len;
        cr_assert_eq(jwk_read(span_of(vectors[i].jwk), &key, &why), ERR_OK, "%s", why);
        cr_assert_eq(
            base64url_decode(span_of(vectors[i].signature), signature, sizeof signature, &len),
            ERR_OK);
        struct span text = span_of(vectors[i].text);
        cr_assert_eq(jwt_key_verify(&key, text, token_bytes(signature, len)), ERR_OK, "%zu", i);
        text.len--;
        cr_assert_eq(jwt_key_verify(&key, text, token_bytes(signature, len)), ERR_UNAUTHORIZED,
                     "%zu", i);
        jwt_key_fini(&key);
    }
}

/* They have no sub: the first thing that can be wrong once the signature is good. A.4 and RFC 8037
 * sign a text that is no JSON. */
Test(jwt, judges_the_tokens_of_the_rfcs_as_far_as_their_claims)
{
    for (size_t i = 0; i < VECTORS; i++) {
        struct token_text jwks = token_jwks(vectors[i].jwk, NULL);
        struct jwt_keys *keys = token_read(token_span(&jwks));
        struct token_text token = {.len = 0};
        token_add(&token, span_of(vectors[i].text));
        token_add(&token, SPAN_LITERAL("."));
        token_add(&token, span_of(vectors[i].signature));
        token_is_refused(keys, &token, TOKEN_NO_RULES,
                         vectors[i].is_jwt
                             ? "the token has no claim that names the user (--jwt-user-claim)"
                             : "the payload of the token is malformed");
        jwt_keys_unref(keys);
    }
}

Test(jwt, takes_a_good_token_of_every_algorithm)
{
    for (int alg = 0; alg < JWT_ALGS; alg++) {
        struct jwt_keys *keys = token_keys((enum jwt_alg)alg);
        struct token_text token = token_make((enum jwt_alg)alg, TOKEN_PAYLOAD);
        struct jwt_claims claims;
        const char *detail = NULL;
        cr_assert_eq(
            jwt_verify(keys, token_span(&token), TOKEN_NO_RULES, TOKEN_NOW_MS, &claims, &detail),
            ERR_OK, "%d: %s", alg, detail);
        cr_assert(
            span_equal((struct span){claims.user_id, claims.user_id_len}, SPAN_LITERAL("anna")));
        cr_assert_eq(claims.expires_ms, 1700000300000);
        cr_assert_null(detail);
        jwt_keys_unref(keys);
    }
}

Test(jwt, takes_keys_from_pem_as_from_a_jwks)
{
    static const enum jwt_alg algs[] = {JWT_RS256, JWT_ES256, JWT_ES384, JWT_ES512, JWT_EDDSA};
    for (int i = 0; i < 5; i++) {
        struct token_text token = token_make(algs[i], TOKEN_PAYLOAD);
        struct token_text forms[] = {token_pem_of(token_key(algs[i])),
                                     token_certificate_of(token_key(algs[i]))};
        for (int form = 0; form < 2; form++) {
            struct jwt_keys *keys = token_read(token_span(&forms[form]));
            cr_assert_eq(token_judge(keys, &token, TOKEN_NO_RULES), ERR_OK, "%d %d", i, form);
            jwt_keys_unref(keys);
        }
    }
}

/* RFC 9864, 2.2 */
Test(jwt, knows_both_names_of_eddsa_with_ed25519)
{
    struct jwt_keys *keys = token_keys(JWT_EDDSA);
    struct token_text token =
        token_of(JWT_EDDSA, SPAN_LITERAL("{\"alg\":\"Ed25519\"}"), SPAN_LITERAL(TOKEN_PAYLOAD));
    cr_assert_eq(token_judge(keys, &token, TOKEN_NO_RULES), ERR_OK);
    jwt_keys_unref(keys);
}

Test(jwt, writes_claims_only_when_all_is_well)
{
    struct jwt_keys *keys = token_keys(JWT_HS256);
    struct token_text token = token_make(JWT_HS256, "{\"sub\":\"anna\",\"exp\":1}");
    struct jwt_claims claims = {"zoe", 3, 7};
    const char *detail = NULL;
    cr_assert_eq(
        jwt_verify(keys, token_span(&token), TOKEN_NO_RULES, TOKEN_NOW_MS, &claims, &detail),
        ERR_EXPIRED);
    cr_assert_str_eq(claims.user_id, "zoe");
    cr_assert_eq(claims.expires_ms, 7);
    jwt_keys_unref(keys);
}

/* Choosing the key */

static struct jwt_keys *two_of_a_kind(void)
{
    struct token_text first = token_jwk(JWT_ES256, ",\"kid\":\"2024\"");
    EVP_PKEY *other = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    struct token_text members = token_members_of(JWT_ES256, other);
    struct token_text second = {.len = 0};
    token_add(&second, SPAN_LITERAL("{\"kid\":\"2025\","));
    token_add(&second, token_span(&members));
    token_add(&second, SPAN_LITERAL("}"));
    struct token_text third = token_jwk(JWT_EDDSA, ",\"kid\":\"ed\"");
    struct token_text jwks = token_jwks(first.text, second.text, third.text, NULL);
    EVP_PKEY_free(other);
    return token_read(token_span(&jwks));
}

static struct token_text signed_as(enum jwt_alg alg, const char *header)
{
    return token_of(alg, span_of(header), SPAN_LITERAL(TOKEN_PAYLOAD));
}

Test(jwt, chooses_the_key_by_its_kid)
{
    struct jwt_keys *keys = two_of_a_kind();
    struct token_text token = signed_as(JWT_ES256, "{\"kid\":\"2024\",\"alg\":\"ES256\"}");
    cr_assert_eq(token_judge(keys, &token, TOKEN_NO_RULES), ERR_OK);
    token = signed_as(JWT_ES256, "{\"kid\":\"20\\u00324\",\"alg\":\"ES\\u0032\\u00356\"}");
    cr_assert_eq(token_judge(keys, &token, TOKEN_NO_RULES), ERR_OK);
    token = signed_as(JWT_ES256, "{\"kid\":\"2025\",\"alg\":\"ES256\"}");
    token_is_refused(keys, &token, TOKEN_NO_RULES, "the signature of the token is not good");
    token = signed_as(JWT_ES256, "{\"kid\":\"ed\",\"alg\":\"ES256\"}");
    token_is_refused(keys, &token, TOKEN_NO_RULES,
                     "the algorithm of the token is not that of its key");
    jwt_keys_unref(keys);
}

Test(jwt, refuses_a_kid_that_is_not_known)
{
    static const char *const headers[] = {
        "{\"alg\":\"ES256\",\"kid\":\"\"}", "{\"alg\":\"ES256\",\"kid\":\"202\"}",
        "{\"alg\":\"ES256\",\"kid\":\"20244\"}", "{\"alg\":\"ES256\",\"kid\":\"2024\\u0000\"}",
        "{\"alg\":\"ES256\",\"kid\":\"../2024\"}"};
    struct jwt_keys *keys = two_of_a_kind();
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        struct token_text token = signed_as(JWT_ES256, headers[i]);
        token_is_refused(keys, &token, TOKEN_NO_RULES, "the key of the token is not known");
    }
    char header[JWT_KID_MAX_BYTES + 100] = "{\"alg\":\"ES256\",\"kid\":\"";
    size_t begin = strlen(header);
    memset(header + begin, 'k', JWT_KID_MAX_BYTES + 1);
    strncat(header, "\"}", 3);
    struct token_text token = signed_as(JWT_ES256, header);
    token_is_refused(keys, &token, TOKEN_NO_RULES, "the key of the token is not known");
    jwt_keys_unref(keys);
}

Test(jwt, refuses_a_kid_that_is_no_string)
{
    static const char *const headers[] = {
        "{\"alg\":\"ES256\",\"kid\":2024}", "{\"alg\":\"ES256\",\"kid\":null}",
        "{\"alg\":\"ES256\",\"kid\":[\"2024\"]}", "{\"alg\":\"ES256\",\"kid\":\"\\ud800\"}"};
    struct jwt_keys *keys = two_of_a_kind();
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        struct token_text token = signed_as(JWT_ES256, headers[i]);
        token_is_refused(keys, &token, TOKEN_NO_RULES, "the key id of the token is not a string");
    }
    jwt_keys_unref(keys);
}

/* CONTRACT 2: keys are tried by algorithm. */
Test(jwt, tries_all_keys_of_its_algorithm_for_a_token_without_a_kid)
{
    struct jwt_keys *keys = two_of_a_kind();
    struct token_text token = token_make(JWT_EDDSA, TOKEN_PAYLOAD);
    cr_assert_eq(token_judge(keys, &token, TOKEN_NO_RULES), ERR_OK);
    token = token_make(JWT_ES256, TOKEN_PAYLOAD);
    cr_assert_eq(token_judge(keys, &token, TOKEN_NO_RULES), ERR_OK);
    token.text[token.len - 5] = token.text[token.len - 5] == 'A' ? 'B' : 'A';
    token_is_refused(keys, &token, TOKEN_NO_RULES, "the signature of the token is not good");
    token = token_make(JWT_RS256, TOKEN_PAYLOAD);
    token_is_refused(keys, &token, TOKEN_NO_RULES, "no key is for the algorithm of the token");
    jwt_keys_unref(keys);
}

Test(jwt, ignores_other_members_of_the_header)
{
    static const char *const headers[] = {
        "{\"alg\":\"EdDSA\",\"typ\":\"JWE\"}",
        "{\"typ\":7,\"cty\":{},\"alg\":\"EdDSA\",\"zip\":\"DEF\"}",
        "\r\n { \"alg\" : \"EdDSA\" , \"x\":[[[{}]]] } ",
    };
    struct jwt_keys *keys = token_keys(JWT_EDDSA);
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        struct token_text token = signed_as(JWT_EDDSA, headers[i]);
        cr_assert_eq(token_judge(keys, &token, TOKEN_NO_RULES), ERR_OK, "%s", headers[i]);
    }
    jwt_keys_unref(keys);
}

/* The queue belongs to the thread, and TLS on it looks there after its own calls. */
Test(jwt, leaves_the_error_queue_of_openssl_as_it_was)
{
    struct jwt_keys *keys = token_keys(JWT_RS256);
    struct token_text token = token_make(JWT_RS256, TOKEN_PAYLOAD);
    struct jwt_keys *none = NULL;
    char why[64];
    token.text[token.len - 5] = token.text[token.len - 5] == 'A' ? 'B' : 'A';
    ERR_clear_error();
    cr_assert_eq(token_judge(keys, &token, TOKEN_NO_RULES), ERR_UNAUTHORIZED);
    cr_assert_eq(jwt_keys_read(SPAN_LITERAL("-----BEGIN PUBLIC KEY-----"), NULL, NULL, &none, why,
                               sizeof why),
                 ERR_INVALID_FIELD);
    cr_assert_eq(ERR_peek_error(), 0);
    ERR_raise(ERR_LIB_USER, 7);
    unsigned long mine = ERR_peek_last_error();
    cr_assert_eq(token_judge(keys, &token, TOKEN_NO_RULES), ERR_UNAUTHORIZED);
    cr_assert_eq(ERR_peek_last_error(), mine);
    cr_assert_eq(ERR_peek_error(), mine);
    jwt_keys_unref(keys);
}
