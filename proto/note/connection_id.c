#include "proto/note/connection_id.h"

#include "proto/bytes/hex.h"
#include "proto/bytes/put.h"

size_t connection_id_write(uint64_t id, char out[CONNECTION_ID_MAX_BYTES])
{
    char *end = PUT_LITERAL(out, "c-");
    unsigned shift = CONNECTION_ID_BITS;
    id &= (UINT64_C(1) << CONNECTION_ID_BITS) - 1;
    while (shift > 4 && id >> (shift - 4) == 0)
        shift -= 4;
    while (shift > 0) {
        shift -= 4;
        *end++ = "0123456789abcdef"[id >> shift & 15];
    }
    return (size_t)(end - out);
}

/* It must be spelled as it is written: two names of one connection would surprise who compares
 * them. */
bool connection_id_parse(struct span text, uint64_t *ret_id)
{
    uint64_t id;
    if (text.len <= 2 || text.len > CONNECTION_ID_MAX_BYTES || memcmp(text.bytes, "c-", 2) != 0 ||
        text.bytes[2] == '0' || !hex_read((struct span){text.bytes + 2, text.len - 2}, &id))
        return false;
    *ret_id = id;
    return true;
}
