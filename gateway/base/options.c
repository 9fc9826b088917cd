#include "gateway/base/options.h"

#include "gateway/base/listen_address.h"
#include "gateway/base/log.h"
#include "gateway/base/node_name.h"
#include "gateway/base/options_value.h"
#include "gateway/base/whole_file.h"
#include "proto/bytes/cidr.h"
#include "proto/bytes/text_distance.h"
#include "proto/http/authority.h"

#include <ini.h>
#include <stdio.h>
#include <stdlib.h>

/* Every option begins with its default. Then each flag, each variable and each line of the file is
 * checked, and sets the option unless a stronger source has: flags override variables, and
 * variables override the file. The file is read last because flags and variables name it. A failure
 * leaves one sentence in `why`, which begins with the source ("--workers", "HERALD_WORKERS",
 * "herald.ini:3: workers").
 *
 * Flags are not read with getopt_long, because it keeps its state in globals, accepts any
 * unambiguous prefix of a name, and reports an unknown flag on stderr. */

enum {
    NAME_MAX_BYTES = 64,
    WHERE_MAX_BYTES = 256,
    HEADER_NAME_MAX_BYTES = 100,
    CORS_HEADERS_MAX = 64,
};

struct reading {
    struct options options;
    enum options_action action;
    char *why;
    size_t why_cap;
    /* the file */
    const char *path;
    int line; /* of the file; set when the line is passed to inih */
    bool is_line_too_long;
    enum err error;
};

PRINTF_LIKE(2, 3) static enum err refuse_option(struct reading *reading, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(reading->why, reading->why_cap, format, args);
    va_end(args);
    return ERR_INVALID_FIELD;
}

static const struct option_row *find_row(struct span name)
{
    for (size_t i = 0; i < OPTION_COUNT; i++)
        if (span_equal(span_of(option_rows[i].name), name))
            return &option_rows[i];
    return NULL;
}

/* NULL: no name is similar enough. */
static const char *nearest_name(struct span name, bool with_actions)
{
    const char *nearest = NULL;
    size_t least = name.len / 2 + 1;
    for (size_t i = 0; i < OPTION_COUNT + (with_actions ? (size_t)ACTION_COUNT : 0); i++) {
        const char *known =
            i < OPTION_COUNT ? option_rows[i].name : action_rows[i - OPTION_COUNT].name;
        size_t distance = text_distance(name, span_of(known));
        if (distance < least) {
            least = distance;
            nearest = known;
        }
    }
    return nearest;
}

/* `where` names the option and its source for the error sentence. */
static enum err set_option_from(struct reading *reading, const struct option_row *row,
                                const char *text, enum option_source source, const char *where)
{
    struct options *options = &reading->options;
    uint8_t *present = &options->sources[row - option_rows];
    char detail[256] = "";
    enum err error = ERR_OK;
    if (source != OPTION_DEFAULT)
        error = option_check(row, text, detail, sizeof detail);
    if (error != ERR_OK)
        return refuse_option(reading, "%s %s", where, detail);
    if (source >= *present) {
        if (option_is_list(row) && source > *present)
            option_clear(row, options); /* values of a stronger source replace these */
        error = option_set(row, options, text, detail, sizeof detail);
        if (error == ERR_OK)
            *present = (uint8_t)source;
    } else { /* overridden, but it must still be valid */
        struct options unused = {0};
        error = option_set(row, &unused, text, detail, sizeof detail);
        options_fini(&unused);
    }
    if (error == ERR_INVALID_FIELD)
        return refuse_option(reading, "%s %s", where, detail);
    return error;
}

static enum err refuse_flag(struct reading *reading, struct span name)
{
    const char *nearest = nearest_name(name, true);
    if (nearest == NULL)
        return refuse_option(reading, "--%.*s is not known; herald --help lists all options",
                             (int)name.len, name.bytes);
    return refuse_option(reading, "--%.*s is not known; did you mean --%s?", (int)name.len,
                         name.bytes, nearest);
}

/* Reads a flag like --help. ERR_NOT_FOUND: it is not one of them. */
static enum err read_action(struct reading *reading, struct span name, bool has_value)
{
    for (size_t i = 0; i < ACTION_COUNT; i++) {
        if (!span_equal(span_of(action_rows[i].name), name))
            continue;
        if (has_value)
            return refuse_option(reading, "--%s takes no value", action_rows[i].name);
        reading->action = action_rows[i].action;
        return ERR_OK;
    }
    return ERR_NOT_FOUND;
}

/* Reads one flag; afterwards *at is the index of its last argument. */
static enum err read_flag(struct reading *reading, int argc, char **argv, int *at)
{
    const char *argument = argv[*at];
    if (strcmp(argument, "-h") == 0)
        argument = "--help";
    if (strncmp(argument, "--", 2) != 0 || argument[2] == '\0')
        return refuse_option(reading, "\"%s\" is not an option; options begin with --", argument);
    const char *equals = strchr(argument, '=');
    struct span name = span_of(argument + 2);
    if (equals != NULL)
        name.len = (size_t)(equals - name.bytes);

    enum err error = read_action(reading, name, equals != NULL);
    if (error != ERR_NOT_FOUND)
        return error;
    const struct option_row *row = find_row(name);
    if (row == NULL)
        return refuse_flag(reading, name);

    const char *value = equals != NULL ? equals + 1 : NULL;
    if (value == NULL && row->kind == OPTION_SWITCH)
        value = "on";
    if (value == NULL && (*at + 1 >= argc || strncmp(argv[*at + 1], "--", 2) == 0))
        return refuse_option(reading, "--%s needs a value", row->name);
    if (value == NULL)
        value = argv[++*at];
    char where[NAME_MAX_BYTES];
    snprintf(where, sizeof where, "--%s", row->name);
    return set_option_from(reading, row, value, OPTION_FROM_FLAG, where);
}

static bool is_last_word(enum options_action action)
{
    return action == OPTIONS_HELP || action == OPTIONS_VERSION;
}

static enum err read_flags(struct reading *reading, int argc, char **argv)
{
    for (int at = 1; at < argc && !is_last_word(reading->action); at++) {
        enum err error = read_flag(reading, argc, argv, &at);
        if (error != ERR_OK)
            return error;
    }
    return ERR_OK;
}

static enum err read_variable(struct reading *reading, const char *entry)
{
    static const char prefix[] = "HERALD_";
    const char *equals = strchr(entry, '=');
    if (equals == NULL || strncmp(entry, prefix, sizeof prefix - 1) != 0)
        return ERR_OK;
    struct span variable = {entry, (size_t)(equals - entry)};
    char name[NAME_MAX_BYTES];
    size_t len = variable.len - (sizeof prefix - 1);
    const struct option_row *row = NULL;
    if (len < sizeof name) {
        for (size_t i = 0; i < len; i++) {
            char c = entry[sizeof prefix - 1 + i];
            name[i] = c == '_' ? '-' : c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : '?';
        }
        row = find_row((struct span){name, len});
    }
    if (row == NULL) { /* only a warning: HERALD_PORT may belong to other software */
        const char *nearest = len < sizeof name ? nearest_name((struct span){name, len}, false) : 0;
        log_event(LOG_WARN, "unknown variable, ignored", LOG_SPAN("variable", variable),
                  LOG_TEXT("nearest_option", nearest != NULL ? nearest : "none"));
        return ERR_OK;
    }
    if (equals[1] == '\0' && option_may_be_empty(row)) {
        log_event(LOG_WARN, "empty variable, ignored", LOG_SPAN("variable", variable));
        return ERR_OK;
    }
    char where[NAME_MAX_BYTES];
    snprintf(where, sizeof where, "%.*s", (int)variable.len, variable.bytes);
    return set_option_from(reading, row, equals + 1, OPTION_FROM_VARIABLE, where);
}

static enum err read_variables(struct reading *reading, char **environ_list)
{
    for (char **entry = environ_list; entry != NULL && *entry != NULL; entry++) {
        enum err error = read_variable(reading, *entry);
        if (error != ERR_OK)
            return error;
    }
    return ERR_OK;
}

struct file_reader {
    struct span rest;
    struct reading *reading;
};

/* Passes inih a line without its indentation, which inih would read as a continuation of the
 * previous value. It also detects lines longer than inih's buffer, which inih would split, and
 * lines with a NUL, which inih would read only up to it. */
static char *next_line(char *line, int cap, void *stream)
{
    struct file_reader *reader = stream;
    struct reading *reading = reader->reading;
    struct span *rest = &reader->rest;
    if (reading->error != ERR_OK || reading->is_line_too_long || rest->len == 0)
        return NULL;
    const char *end = memchr(rest->bytes, '\n', rest->len);
    size_t len = end != NULL ? (size_t)(end - rest->bytes) + 1 : rest->len;
    reading->line++;
    if (memchr(rest->bytes, '\0', len) != NULL) {
        reading->error = refuse_option(reading, "%s:%d: there is a NUL in the line", reading->path,
                                       reading->line);
        return NULL;
    }
    if (len > (size_t)cap - 1) {
        reading->is_line_too_long = true;
        return NULL;
    }
    size_t blank = 0;
    while (blank < len && (rest->bytes[blank] == ' ' || rest->bytes[blank] == '\t'))
        blank++;
    memcpy(line, rest->bytes + blank, len - blank);
    line[len - blank] = '\0';
    rest->bytes += len;
    rest->len -= len;
    return line;
}

/* inih's handler; it must return 0 on an error. */
static int on_pair(void *user, const char *section, const char *name, const char *value)
{
    struct reading *reading = user;
    if (reading->error != ERR_OK)
        return 0;
    const struct option_row *row = find_row(span_of(name));
    if (section[0] != '\0') {
        reading->error = refuse_option(reading, "%s:%d: sections like [%s] are not used here",
                                       reading->path, reading->line, section);
    } else if (row == &option_rows[OPTION_config]) {
        reading->error = refuse_option(reading, "%s:%d: config cannot stand in the file itself",
                                       reading->path, reading->line);
    } else if (row == NULL) {
        const char *nearest = nearest_name(span_of(name), false);
        reading->error = refuse_option(
            reading, "%s:%d: %s is not known; %s%s%s", reading->path, reading->line, name,
            nearest != NULL ? "did you mean " : "herald --help lists all options",
            nearest != NULL ? nearest : "", nearest != NULL ? "?" : "");
    } else {
        char where[WHERE_MAX_BYTES];
        snprintf(where, sizeof where, "%s:%d: %s", reading->path, reading->line, name);
        reading->error = set_option_from(reading, row, value, OPTION_FROM_FILE, where);
    }
    return reading->error == ERR_OK;
}

static enum err read_lines(struct reading *reading, struct span text)
{
    struct file_reader reader = {text, reading};
    int bad_line = ini_parse_stream(next_line, &reader, on_pair, reading);
    if (reading->error != ERR_OK)
        return reading->error;
    if (reading->is_line_too_long)
        return refuse_option(reading, "%s:%d: the line is too long (at most %d bytes)",
                             reading->path, reading->line, OPTION_LINE_MAX_BYTES);
    if (bad_line < 0)
        return ERR_NO_MEMORY;
    if (bad_line > 0)
        return refuse_option(reading, "%s:%d: a line must be NAME = VALUE", reading->path,
                             bad_line);
    return ERR_OK;
}

static enum err read_file(struct reading *reading)
{
    struct buf text;
    const char *reason;
    reading->path = reading->options.config;
    if (reading->path[0] == '\0')
        return ERR_OK;
    buf_init(&text, WHOLE_FILE_MAX_BYTES);
    enum err error = whole_file_read(reading->path, &text, NULL, &reason);
    if (error != ERR_OK)
        error = refuse_option(reading, "--config %s cannot be read: %s", reading->path, reason);
    else
        error = read_lines(reading, buf_span(&text));
    whole_file_wipe(&text);
    return error;
}

static enum err set_defaults(struct reading *reading)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option_row *row = &option_rows[i];
        enum err error = set_option_from(reading, row, row->value, OPTION_DEFAULT, row->name);
        if (error != ERR_OK)
            return error;
    }
    return ERR_OK;
}

/* The demo shows what backends hear and what clients say, without further options. */
static enum err set_demo_defaults(struct reading *reading)
{
    const struct options *options = &reading->options;
    bool has_events = options->sources[OPTION_events] != OPTION_DEFAULT;
    bool has_messages = options->sources[OPTION_client_messages] != OPTION_DEFAULT;
    enum err error = ERR_OK;
    if (!options->demo || has_events)
        return ERR_OK;
    error = set_option_from(reading, &option_rows[OPTION_events],
                            "user.online,user.offline,notification.unacknowledged,client.message",
                            OPTION_FROM_DEMO, "events");
    if (error == ERR_OK && !has_messages)
        error = set_option_from(reading, &option_rows[OPTION_client_messages], "v1",
                                OPTION_FROM_DEMO, "client-messages");
    return error;
}

/* Is it the name of a header, that is a token (RFC 9110, 5.6.2)? A * is refused: it is a valid
 * token, but not a wildcard for requests with credentials (the Fetch standard). */
static bool is_header_name(const char *text)
{
    size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                              "!#$%&'+-.^_`|~");
    return len > 0 && len <= HEADER_NAME_MAX_BYTES && text[len] == '\0';
}

static enum err check_cors_headers(struct reading *reading, const struct option_list *list)
{
    if (list->n > CORS_HEADERS_MAX)
        return refuse_option(reading, "--cors-header takes %d names at most", CORS_HEADERS_MAX);
    for (size_t i = 0; i < list->n; i++)
        if (!is_header_name(list->values[i]))
            return refuse_option(
                reading,
                "--cors-header must be the name of a header, like traceparent, of at "
                "most %d characters, not \"%s\"",
                HEADER_NAME_MAX_BYTES, list->values[i]);
    return ERR_OK;
}

static enum err check_address(struct reading *reading, const char *name, const char *text)
{
    struct listen_address address;
    if (listen_address_parse(text, &address) == ERR_OK)
        return ERR_OK;
    return refuse_option(reading, "--%s must be HOST:PORT, [V6]:PORT or unix:PATH, not \"%s\"",
                         name, text);
}

static enum err check_addresses(struct reading *reading)
{
    const struct option_list *listen = &reading->options.listen;
    mode_t unused;
    if (listen->n == 0)
        return check_address(reading, "listen", "");
    for (size_t i = 0; i < listen->n; i++) {
        enum err error = check_address(reading, "listen", listen->values[i]);
        if (error != ERR_OK)
            return error;
        for (size_t other = 0; other < i; other++)
            if (strcmp(listen->values[i], listen->values[other]) == 0)
                return refuse_option(reading, "--listen names %s twice", listen->values[i]);
    }
    if (!socket_mode_parse(reading->options.socket_mode, &unused))
        return refuse_option(reading,
                             "--socket-mode must be octal, from 0 to 0777, like 0660, not \"%s\"",
                             reading->options.socket_mode);
    return check_address(reading, "admin-listen", reading->options.admin_listen);
}

static enum err check_proxies(struct reading *reading)
{
    const struct option_list *trusted = &reading->options.trusted_proxy;
    struct cidr unused;
    for (size_t i = 0; i < trusted->n; i++)
        if (strcmp(trusted->values[i], "unix:") != 0 &&
            cidr_parse(span_of(trusted->values[i]), &unused) != ERR_OK)
            return refuse_option(
                reading,
                "trusted-proxy must be an address, or a range like 10.0.0.0/8 or "
                "2001:db8::/32 with nothing set behind the prefix, or unix:, not \"%s\"",
                trusted->values[i]);
    return ERR_OK;
}

static enum err check_origins(struct reading *reading)
{
    const struct option_list *allowed = &reading->options.allowed_origin;
    for (size_t i = 0; i < allowed->n; i++) {
        if (origin_pattern_is_socket(allowed->values[i]))
            return refuse_option(
                reading,
                "--allowed-origin must be the origin of the page, which begins with "
                "http:// or https://, not that of the socket that it opens, \"%s\"",
                allowed->values[i]);
        if (!origin_pattern_is_valid(allowed->values[i]))
            return refuse_option(
                reading,
                "--allowed-origin must be SCHEME://HOST[:PORT] without a path, like "
                "https://app.example.com or https://*.example.com, not \"%s\"",
                allowed->values[i]);
    }
    return ERR_OK;
}

/* Checks options that are valid alone but not together. */
static enum err check_together(struct reading *reading)
{
    const struct options *options = &reading->options;
    enum err error = check_addresses(reading);
    if (error == ERR_OK)
        error = check_proxies(reading);
    if (error != ERR_OK)
        return error;
    error = check_origins(reading);
    if (error != ERR_OK)
        return error;
    if (options->node_name[0] != '\0' && !node_name_is_valid(options->node_name))
        return refuse_option(reading, "--node-name must be 1 to 64 of A-Z a-z 0-9 . _ -");
    if (options->silence_timeout <= options->ping_interval)
        return refuse_option(reading,
                             "--silence-timeout must be longer than --ping-interval, or every "
                             "connection would be given up before its ping is answered");
    return check_cors_headers(reading, &options->cors_header);
}

enum err options_read(int argc, char **argv, char **environ_list, struct options *ret_options,
                      enum options_action *ret_action, char *why, size_t why_cap)
{
    struct reading reading = {.action = OPTIONS_RUN, .why = why, .why_cap = why_cap};
    snprintf(why, why_cap, "%s", error_title(ERR_NO_MEMORY));
    enum err error = set_defaults(&reading);
    if (error == ERR_OK)
        error = read_flags(&reading, argc, argv);
    if (error == ERR_OK && !is_last_word(reading.action)) {
        error = read_variables(&reading, environ_list);
        if (error == ERR_OK)
            error = read_file(&reading);
        if (error == ERR_OK)
            error = set_demo_defaults(&reading);
        if (error == ERR_OK)
            error = check_together(&reading);
    }
    if (error != ERR_OK) {
        options_fini(&reading.options);
        return error;
    }
    snprintf(why, why_cap, "%s", "");
    *ret_options = reading.options;
    *ret_action = reading.action;
    return ERR_OK;
}

void options_fini(struct options *options)
{
    for (size_t i = 0; i < OPTION_COUNT; i++)
        option_clear(&option_rows[i], options);
}
