/* The PROXY protocol's header. Each beginning of it is asked about as well: it must be MORE until
 * the answer is known, and then stay what it is. */
#include "proto/http/proxy_head.h"
#include "tests/fuzz/fuzz.h"

static void check_done(const struct proxy_head *head, size_t len)
{
    char text[IP_TEXT_MAX_BYTES];
    struct ip again;
    FUZZ_CHECK(head->len > 0 && head->len <= len && head->len <= PROXY_HEAD_MAX_BYTES);
    if (!head->has_address)
        return;
    ip_write(&head->address, text);
    FUZZ_CHECK(ip_parse(span_of(text), &again) == ERR_OK && ip_equal(&again, &head->address));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    enum proxy_head_result known = PROXY_HEAD_MORE;
    struct proxy_head first = {0};
    for (size_t n = 0; n <= len; n++) {
        struct proxy_head head = {0};
        char *copy = fuzz_copy((struct span){(const char *)bytes, n});
        enum proxy_head_result result = proxy_head_parse((struct span){copy, n}, &head);
        free(copy);
        if (known == PROXY_HEAD_MORE && result != PROXY_HEAD_MORE) {
            known = result;
            first = head;
        }
        FUZZ_CHECK(result == known);
        if (result != PROXY_HEAD_DONE)
            continue;
        check_done(&head, n);
        FUZZ_CHECK(head.len == first.len && head.has_address == first.has_address);
        FUZZ_CHECK(ip_equal(&head.address, &first.address));
    }
    return 0;
}
