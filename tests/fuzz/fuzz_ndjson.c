/* A body of lines, whole and split at a place of two bytes' choice; each line is read as a push.
 * Lines have a ceiling of 200 bytes. */
#include "admin/routes/ndjson.h"
#include "tests/fuzz/fuzz.h"

enum { LINE_MAX_BYTES = 200 };

static void note_push(struct buf *log, struct span text)
{
    static const struct push_limits limits = {.max_data_bytes = 100, .default_ttl_s = 60};
    struct push_request push;
    struct json_problem problem;
    char *copy = fuzz_copy(text);
    enum err error = push_line_parse((struct span){copy, text.len}, &limits, &push, &problem);
    FUZZ_NOTE(log, error);
    if (error == ERR_OK)
        push_request_fini(&push);
    free(copy);
}

static void note_line(struct buf *log, const struct ndjson_line *line)
{
    FUZZ_NOTE(log, line->number);
    FUZZ_NOTE(log, line->error);
    FUZZ_NOTE(log, line->text.len);
    if (line->error != ERR_OK) {
        FUZZ_CHECK(line->error == ERR_TOO_LARGE && line->text.len == 0);
        return;
    }
    FUZZ_CHECK(line->text.len > 0 && line->text.len <= LINE_MAX_BYTES);
    FUZZ_CHECK(memchr(line->text.bytes, '\n', line->text.len) == NULL);
    fuzz_note(log, line->text.bytes, line->text.len);
    note_push(log, line->text);
}

static void feed(struct ndjson_splitter *splitter, struct span bytes, struct buf *log)
{
    struct ndjson_line line;
    char *copy = fuzz_copy(bytes);
    struct span rest = {copy, bytes.len};
    while (ndjson_next(splitter, &rest, &line))
        note_line(log, &line);
    FUZZ_CHECK(rest.len == 0);
    free(copy);
}

static void finish(struct ndjson_splitter *splitter, struct buf *log)
{
    struct ndjson_line line;
    if (ndjson_last(splitter, &line))
        note_line(log, &line);
    ndjson_splitter_fini(splitter);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct fuzz_input input = {bytes, len};
    size_t split = fuzz_split(&input);
    struct span text = fuzz_rest(&input);
    struct ndjson_splitter splitter;
    struct buf whole, pieces;
    fuzz_log_init(&whole);
    fuzz_log_init(&pieces);

    ndjson_splitter_init(&splitter, LINE_MAX_BYTES);
    feed(&splitter, text, &whole);
    finish(&splitter, &whole);

    ndjson_splitter_init(&splitter, LINE_MAX_BYTES);
    feed(&splitter, (struct span){text.bytes, split}, &pieces);
    feed(&splitter, (struct span){text.bytes + split, text.len - split}, &pieces);
    finish(&splitter, &pieces);

    fuzz_same_logs(&whole, &pieces);
    return 0;
}
