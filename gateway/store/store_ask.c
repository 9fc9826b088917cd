#include "gateway/store/store_ask.h"

#include <stdlib.h>

void store_ask_clear(struct store_ask *ask)
{
    while (ask->texts != NULL) {
        struct store_text *text = ask->texts;
        ask->texts = text->next;
        free(text);
    }
}

void store_ask_add_text(struct store_ask *ask, struct span text)
{
    if (text.len == 0)
        return;
    struct store_text *copy = malloc(sizeof *copy + text.len);
    if (copy == NULL) {
        ask->error = ERR_NO_MEMORY;
        return;
    }
    copy->len = text.len;
    memcpy(copy->bytes, text.bytes, text.len);
    copy->next = ask->texts;
    ask->texts = copy;
}
