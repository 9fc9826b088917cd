#include "proto/bytes/digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

static bool add_part(EVP_MD_CTX *sha, struct span part)
{
    uint64_t len = part.len;
    return EVP_DigestUpdate(sha, &len, sizeof len) == 1 &&
           (len == 0 || EVP_DigestUpdate(sha, part.bytes, part.len) == 1);
}

enum err digest_of(const struct span *parts, size_t n, uint8_t ret_digest[DIGEST_LEN])
{
    unsigned char whole[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *sha = EVP_MD_CTX_new();
    bool is_good = sha != NULL && EVP_DigestInit_ex(sha, EVP_sha256(), NULL) == 1;
    for (size_t i = 0; i < n && is_good; i++)
        is_good = add_part(sha, parts[i]);
    is_good = is_good && EVP_DigestFinal_ex(sha, whole, NULL) == 1;
    EVP_MD_CTX_free(sha);
    if (!is_good)
        return ERR_SYSTEM;
    memcpy(ret_digest, whole, DIGEST_LEN);
    return ERR_OK;
}

bool digest_equal(const uint8_t a[DIGEST_LEN], const uint8_t b[DIGEST_LEN])
{
    return CRYPTO_memcmp(a, b, DIGEST_LEN) == 0;
}
