/* The file of --webhooks. */
#include "gateway/events/webhook_file.h"
#include "proto/note/event.h"
#include "tests/fuzz/fuzz.h"

static void check_line(const struct webhook_file *file, const struct webhook_line *line)
{
    size_t name_len = strnlen(line->name, sizeof line->name);
    size_t url_len = strnlen(line->url, sizeof line->url);
    FUZZ_CHECK(name_len >= 1 && name_len <= WEBHOOK_NAME_MAX_BYTES);
    FUZZ_CHECK(url_len >= strlen("http://h") && url_len <= WEBHOOK_URL_MAX_BYTES);
    FUZZ_CHECK(webhook_file_find(file, span_of(line->name)) == line);
    for (size_t i = 0; i < url_len; i++)
        FUZZ_CHECK(line->url[i] > ' ' && line->url[i] < 0x7f);
    FUZZ_CHECK(strchr(line->url, '#') == NULL);
    FUZZ_CHECK(line->secrets.n >= 1 && line->secrets.n <= WEBHOOK_SECRETS_MAX);
    for (size_t i = 0; i < line->secrets.n; i++)
        FUZZ_CHECK(line->secrets.list[i].len >= WEBHOOK_SECRET_MIN_BYTES &&
                   line->secrets.list[i].len <= WEBHOOK_SECRET_MAX_BYTES);
    FUZZ_CHECK((line->types & EVENT_BIT(EVENT_GAP)) != 0);
    FUZZ_CHECK(line->batch >= 1 && line->batch <= WEBHOOK_BATCH_MAX);
    FUZZ_CHECK(line->timeout_ms >= WEBHOOK_TIMEOUT_MIN_MS &&
               line->timeout_ms <= WEBHOOK_TIMEOUT_MAX_MS);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct webhook_file *file = NULL;
    char why[200] = "";
    char *copy = fuzz_copy((struct span){(const char *)bytes, len});
    enum err error = webhook_file_read((struct span){copy, len}, "hooks", &file, why, sizeof why);
    free(copy); /* nothing of it is kept */
    if (error != ERR_OK) {
        FUZZ_CHECK(error == ERR_INVALID_FIELD && strncmp(why, "hooks:", 6) == 0);
        FUZZ_CHECK(strnlen(why, sizeof why) < sizeof why);
        return 0;
    }
    FUZZ_CHECK(file->n <= WEBHOOKS_MAX);
    for (size_t i = 0; i < file->n; i++)
        check_line(file, &file->lines[i]);
    webhook_file_free(file);
    return 0;
}
