#include "gateway/base/node_name.h"

#include "proto/bytes/plain_name.h"

#include <stddef.h>
#include <string.h>
#include <unistd.h>

enum { HOST_NAME_ROOM = 256 };

bool node_name_is_valid(const char *name)
{
    return plain_name_is_valid(span_of(name), NODE_NAME_MAX_BYTES);
}

void node_name_from(const char *text, char out[NODE_NAME_MAX_BYTES + 1])
{
    size_t len = 0;
    for (; len < NODE_NAME_MAX_BYTES && text[len] != '\0'; len++)
        out[len] = plain_name_may_have(text[len]) ? text[len] : '-';
    out[len] = '\0';
    if (len == 0)
        memcpy(out, "local", sizeof "local");
}

void node_name_choose(const char *option, char out[NODE_NAME_MAX_BYTES + 1])
{
    char host[HOST_NAME_ROOM] = "";
    if (option[0] == '\0' && gethostname(host, sizeof host - 1) != 0)
        host[0] = '\0';
    node_name_from(option[0] != '\0' ? option : host, out);
}
