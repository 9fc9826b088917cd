#include "proto/note/webhook_signature.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct webhook_secrets secrets_of(const char *text)
{
    struct webhook_secrets secrets;
    const char *why = "";
    cr_assert_eq(webhook_secrets_read(span_of(text), &secrets, &why), ERR_OK, "%s", why);
    return secrets;
}

static void expect_signature(const char *secret, const char *id, int64_t timestamp_s,
                             const char *body, const char *expected)
{
    char signature[WEBHOOK_SIGNATURE_MAX_BYTES];
    struct webhook_secrets secrets = secrets_of(secret);
    cr_assert_eq(webhook_sign(&secrets, span_of(id), timestamp_s, span_of(body), signature),
                 ERR_OK);
    cr_assert_str_eq(signature, expected);
}

#define SPECIFIED "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define LONGEST                                                                                    \
    "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+Pw" \
    "=="

/* The example that the libraries of the specification test themselves with. */
Test(webhook_signature, is_that_of_the_specification)
{
    expect_signature(SPECIFIED, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330,
                     "{\"test\": 2432232314}", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

Test(webhook_signature, is_made_with_a_key_of_64_bytes_over_an_empty_body)
{
    expect_signature(LONGEST, "evt_3_k3f9a2qd_1_2", 1790000000, "",
                     "v1,0x+35azUmzyTDwtgLVsrJvpAkPFhRc/hnx/iBY52NAI=");
}

Test(webhook_signature, is_there_twice_with_two_secrets)
{
    expect_signature(LONGEST "," SPECIFIED, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330,
                     "{\"test\": 2432232314}",
                     "v1,LZ5zuwHTqQH3VM8ERUusjzVQq1FXzemvpR8Mk7Ivp5c= "
                     "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

Test(webhook_signature, takes_secrets_of_24_to_64_bytes)
{
    struct webhook_secrets secrets = secrets_of(LONGEST "," SPECIFIED);
    cr_assert_eq(secrets.n, 2);
    cr_assert_eq(secrets.list[0].len, 64);
    cr_assert_eq(secrets.list[0].bytes[63], 63);
    cr_assert_eq(secrets.list[1].len, 24);
}

Test(webhook_signature, refuses_what_is_no_secret_and_shows_nothing_of_it)
{
    static const char *const bad[] = {
        "",
        "whsec_",
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "WHSEC_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa==", /* 23 bytes, or stray bits */
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS",  /* no padding */
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa-_", /* base64url */
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa$$",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaL===",
        "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+"
        "P0A=", /* 65 bytes */
        SPECIFIED ",",
        "," SPECIFIED,
        SPECIFIED ",," SPECIFIED,
        SPECIFIED "," SPECIFIED "," SPECIFIED,
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct webhook_secrets secrets;
        const char *why = "";
        cr_assert_eq(webhook_secrets_read(span_of(bad[i]), &secrets, &why), ERR_INVALID_FIELD, "%s",
                     bad[i]);
        cr_assert_null(strstr(why, "MfKQ"));
        cr_assert_neq(why[0], '\0');
    }
}
