/* A line is split into words: three that have to be there, and options in any order. The first
 * fault ends the reading. Its text may show a word of the file only where that cannot be a secret
 * in the wrong place: a name of lower-case letters. */
#include "gateway/events/webhook_file.h"

#include "gateway/base/options_value.h"
#include "gateway/base/whole_file.h"
#include "proto/bytes/decimal.h"
#include "proto/bytes/plain_name.h"
#include "proto/bytes/text_distance.h"
#include "proto/bytes/words.h"
#include "proto/http/authority.h"
#include "proto/note/event.h"

#include <stdio.h>
#include <stdlib.h>

/* The line that is being read, and where its error is described. */
struct line_reader {
    const char *path;
    unsigned number;
    char *why;
    size_t why_cap;
    bool has[4]; /* the options that the line has had, in the order of `options` */
};

static enum err refuse_field(const struct line_reader *at, const char *field, const char *what)
{
    snprintf(at->why, at->why_cap, "%s:%u: %s: %s", at->path, at->number, field, what);
    return ERR_INVALID_FIELD;
}

/* ---- words ---- */

/* May the word stand in an error? A misplaced secret may not: it has capitals or digits, or is
 * longer. */
static bool is_showable(struct span word)
{
    if (word.len == 0 || word.len > 30)
        return false;
    for (size_t i = 0; i < word.len; i++) {
        char c = word.bytes[i];
        if ((c < 'a' || c > 'z') && c != '.' && c != '-')
            return false;
    }
    return true;
}

/* ---- name and url ---- */

static bool begins_with(struct span text, struct span prefix)
{
    return text.len >= prefix.len &&
           span_equal_nocase((struct span){text.bytes, prefix.len}, prefix);
}

/* NULL: it is fine. What follows the host is sent as it is, so it has visible characters only. */
static const char *fault_of_url(struct span url, bool *ret_is_plain)
{
    const struct span plain = SPAN_LITERAL("http://");
    const struct span tls = SPAN_LITERAL("https://");
    *ret_is_plain = begins_with(url, plain);
    if (!*ret_is_plain && !begins_with(url, tls))
        return "must begin with https:// (or http://, to loopback)";
    if (url.len > WEBHOOK_URL_MAX_BYTES)
        return "is longer than 2048 bytes";
    for (size_t i = 0; i < url.len; i++) {
        if (url.bytes[i] <= ' ' || url.bytes[i] >= 0x7f)
            return "has a byte that is no visible ASCII character: percent-encode it";
        if (url.bytes[i] == '#')
            return "has a fragment (#), which is never sent";
    }
    size_t begin = *ret_is_plain ? plain.len : tls.len;
    size_t end = begin;
    while (end < url.len && url.bytes[end] != '/' && url.bytes[end] != '?')
        end++;
    struct span authority = {url.bytes + begin, end - begin};
    if (authority.len > 0 && memchr(authority.bytes, '@', authority.len) != NULL)
        return "must not have a user or a password in it";
    bool is_valid = authority.len > 0 && authority_is_valid(authority) &&
                    memchr(authority.bytes, '%', authority.len) == NULL;
    return is_valid ? NULL : "has no valid HOST or HOST:PORT";
}

bool webhook_proxy_is_valid(const char *url)
{
    bool is_plain;
    struct span text = span_of(url);
    size_t skip = strlen("http://");
    if (fault_of_url(text, &is_plain) != NULL || !is_plain)
        return false;
    const char *path = memchr(text.bytes + skip, '/', text.len - skip);
    return memchr(text.bytes, '?', text.len) == NULL &&
           (path == NULL || path == text.bytes + text.len - 1);
}

/* ---- options ---- */

static enum err read_types(struct span value, const struct line_reader *at,
                           struct webhook_line *line)
{
    char what[240];
    line->types = EVENT_BIT(EVENT_GAP);
    if (value.len == 0)
        return refuse_field(at, "types", "must be one type or more, with commas between them");
    while (value.len > 0) {
        enum event_type type;
        struct span name = span_take_item(&value, ',');
        if (event_type_find(name, &type)) {
            line->types |= EVENT_BIT(type);
            continue;
        }
        if (is_showable(name))
            snprintf(what, sizeof what, "there is no type \"%.*s\"; %s", (int)name.len, name.bytes,
                     event_type_hint(name));
        else
            snprintf(what, sizeof what, "there is no such type; the first is user.online");
        return refuse_field(at, "types", what);
    }
    return ERR_OK;
}

static enum err read_batch(struct span value, const struct line_reader *at,
                           struct webhook_line *line)
{
    uint64_t number = 0;
    if (!decimal_read(value, WEBHOOK_BATCH_MAX, &number) || number == 0)
        return refuse_field(at, "batch", "must be a number from 1 to 1000");
    line->batch = (uint32_t)number;
    return ERR_OK;
}

static enum err read_timeout(struct span value, const struct line_reader *at,
                             struct webhook_line *line)
{
    char text[16];
    int64_t ms = 0;
    bool fits = value.len > 0 && value.len < sizeof text;
    if (fits) {
        memcpy(text, value.bytes, value.len);
        text[value.len] = '\0';
    }
    if (!fits || !option_read_duration(text, &ms) || ms < WEBHOOK_TIMEOUT_MIN_MS ||
        ms > WEBHOOK_TIMEOUT_MAX_MS)
        return refuse_field(at, "timeout", "must be a duration from 100ms to 5m, like 10s");
    line->timeout_ms = (uint32_t)ms;
    return ERR_OK;
}

static enum err read_from(struct span value, const struct line_reader *at,
                          struct webhook_line *line)
{
    line->from_now = span_equal(value, SPAN_LITERAL("now"));
    if (!line->from_now && !span_equal(value, SPAN_LITERAL("earliest")))
        return refuse_field(at, "from", "must be now or earliest");
    return ERR_OK;
}

static const struct {
    const char *name;
    enum err (*read)(struct span value, const struct line_reader *at, struct webhook_line *line);
} options[] = {
    {"types", read_types}, {"batch", read_batch}, {"timeout", read_timeout}, {"from", read_from}};
enum { N_OPTIONS = sizeof options / sizeof options[0] };

static enum err refuse_option(const struct line_reader *at, struct span key)
{
    char what[160];
    size_t nearest = N_OPTIONS;
    size_t least = key.len / 2 + 1;
    for (size_t i = 0; i < N_OPTIONS; i++) {
        size_t distance = text_distance(key, span_of(options[i].name));
        if (distance >= least)
            continue;
        least = distance;
        nearest = i;
    }
    if (nearest == N_OPTIONS || !is_showable(key))
        return refuse_field(at, "option", "only types=, batch=, timeout= and from= may follow");
    snprintf(what, sizeof what, "there is no option \"%.*s\"; did you mean %s=?", (int)key.len,
             key.bytes, options[nearest].name);
    return refuse_field(at, "option", what);
}

static enum err read_option(struct span word, struct line_reader *at, struct webhook_line *line)
{
    const char *equals = memchr(word.bytes, '=', word.len);
    size_t key_len = equals == NULL ? word.len : (size_t)(equals - word.bytes);
    struct span key = {word.bytes, key_len};
    struct span value = SPAN_NONE;
    if (equals != NULL)
        value = (struct span){equals + 1, word.len - key_len - 1};
    for (size_t i = 0; i < N_OPTIONS; i++) {
        if (!span_equal(key, span_of(options[i].name)))
            continue;
        if (at->has[i])
            return refuse_field(at, options[i].name, "stands there twice");
        at->has[i] = true;
        return options[i].read(value, at, line);
    }
    return refuse_option(at, key);
}

/* ---- the file ---- */

static enum err read_line(struct span text, struct line_reader *at, const struct webhook_file *file,
                          struct webhook_line *line)
{
    const char *fault;
    struct span name = words_take(&text);
    struct span url = words_take(&text);
    struct span secret = words_take(&text);
    *line = (struct webhook_line){.types = (1u << EVENT_TYPES) - 1,
                                  .batch = WEBHOOK_BATCH_DEFAULT,
                                  .timeout_ms = WEBHOOK_TIMEOUT_DEFAULT_MS};
    memset(at->has, 0, sizeof at->has);
    if (!plain_name_is_valid(name, WEBHOOK_NAME_MAX_BYTES))
        return refuse_field(at, "name", "1 to 64 of A-Za-z0-9._- must come first: NAME URL SECRET");
    if (webhook_file_find(file, name) != NULL)
        return refuse_field(at, "name", "stands there twice");
    if (url.len == 0)
        return refuse_field(at, "url", "is missing: NAME URL SECRET");
    fault = fault_of_url(url, &line->is_plain);
    if (fault != NULL)
        return refuse_field(at, "url", fault);
    if (secret.len == 0)
        return refuse_field(at, "secret", "is missing: NAME URL SECRET");
    if (webhook_secrets_read(secret, &line->secrets, &fault) != ERR_OK)
        return refuse_field(at, "secret", fault);
    memcpy(line->name, name.bytes, name.len);
    memcpy(line->url, url.bytes, url.len);
    enum err error = ERR_OK;
    for (text = span_trim(text); text.len > 0 && error == ERR_OK; text = span_trim(text))
        error = read_option(words_take(&text), at, line);
    return error;
}

enum err webhook_file_read(struct span bytes, const char *path, struct webhook_file **ret_file,
                           char *why, size_t why_cap)
{
    struct line_reader at = {.path = path, .why = why, .why_cap = why_cap};
    struct webhook_file *file = calloc(1, sizeof *file);
    enum err error = ERR_OK;
    if (file == NULL) {
        snprintf(why, why_cap, "out of memory");
        return ERR_NO_MEMORY;
    }
    while (bytes.len > 0 && error == ERR_OK) {
        struct span text = words_take_line(&bytes);
        at.number++;
        if (text.len == 0 || text.bytes[0] == '#')
            continue;
        if (file->n == WEBHOOKS_MAX)
            error =
                refuse_field(&at, "name", "there are more than 15 endpoints, which is the most");
        else
            error = read_line(text, &at, file, &file->lines[file->n]);
        if (error == ERR_OK)
            file->n++;
    }
    if (error != ERR_OK) {
        webhook_file_free(file);
        return error;
    }
    *ret_file = file;
    return ERR_OK;
}

void webhook_file_free(struct webhook_file *file)
{
    if (file == NULL)
        return;
    for (size_t i = 0; i < WEBHOOKS_MAX; i++)
        explicit_bzero(&file->lines[i].secrets, sizeof file->lines[i].secrets);
    free(file);
}

const struct webhook_line *webhook_file_find(const struct webhook_file *file, struct span name)
{
    for (size_t i = 0; i < file->n; i++) {
        if (span_equal(span_of(file->lines[i].name), name))
            return &file->lines[i];
    }
    return NULL;
}
