#include "gateway/base/options.h"

#include "gateway/base/options_value.h"

#include <stdio.h>

enum { HELP_COLUMN = 35, HELP_WIDTH = 100 };

/* The table once more, with its headings. */
static const struct {
    const char *heading; /* NULL: an option */
    enum option option;
} help_lines[] = {
#define HEADING(title)                                      {title, OPTION_COUNT},
#define TEXT(member, name, value, when, help)               {NULL, OPTION_##member},
#define NUMBER(member, name, value, min, max, when, help)   {NULL, OPTION_##member},
#define DURATION(member, name, value, min, max, when, help) {NULL, OPTION_##member},
#define SIZE(member, name, value, min, max, when, help)     {NULL, OPTION_##member},
#define SWITCH(member, name, when, help)                    {NULL, OPTION_##member},
#define CHOICE(member, name, value, words, when, help)      {NULL, OPTION_##member},
#define LIST(member, name, value, when, help)               {NULL, OPTION_##member},
#define NAMES(member, name, when, help)                     {NULL, OPTION_##member},
#define PATH(member, name, when, help)                      {NULL, OPTION_##member},
#include "gateway/base/options.def"
};

static const char *placeholder_of(enum option_kind kind)
{
    switch (kind) {
    case OPTION_TEXT:
    case OPTION_LIST:
    case OPTION_NAMES:
        return " TEXT";
    case OPTION_PATH:
        return " FILE";
    case OPTION_NUMBER:
        return " N";
    case OPTION_DURATION:
        return " TIME";
    case OPTION_SIZE:
        return " SIZE";
    case OPTION_CHOICE:
        return " WORD";
    case OPTION_SWITCH:
        break;
    }
    return "";
}

/* "  --name TEXT", then the text in its column, broken between words. */
static enum err print_help_line(struct buf *out, const char *name, const char *placeholder,
                                const char *text)
{
    char flag[HELP_COLUMN + 32];
    int column = snprintf(flag, sizeof flag, "  --%s%s", name, placeholder);
    enum err error = buf_append_text(out, flag);
    for (const char *word = text; error == ERR_OK && *word != '\0';) {
        int len = (int)strcspn(word, " ");
        if (column < HELP_COLUMN) {
            error = buf_printf(out, "%*s%.*s", HELP_COLUMN - column, "", len, word);
            column = HELP_COLUMN + len;
        } else if (column + 1 + len > HELP_WIDTH) {
            error = buf_printf(out, "\n%*s%.*s", HELP_COLUMN, "", len, word);
            column = HELP_COLUMN + len;
        } else {
            error = buf_printf(out, " %.*s", len, word);
            column += 1 + len;
        }
        word += len;
        word += strspn(word, " ");
    }
    return error == ERR_OK ? buf_append_text(out, "\n") : error;
}

static enum err print_help_option(struct buf *out, const struct option_row *row)
{
    char text[512];
    bool has_words = row->kind == OPTION_CHOICE && strchr(row->words, '|') != NULL;
    snprintf(text, sizeof text, "%s%s%s [%s]%s", row->help, has_words ? ": " : "",
             has_words ? row->words : "", row->value[0] != '\0' ? row->value : "none",
             row->is_live ? " live" : "");
    return print_help_line(out, row->name, placeholder_of(row->kind), text);
}

enum err options_print_help(struct buf *out)
{
    enum err error = buf_append_text(
        out,
        "Usage: herald [OPTION]...\n\n"
        "Takes notifications from backends over HTTP and hands each to one user's browsers\n"
        "over WebSocket or as an event stream: now if they are online, when they return if not.\n");
    for (size_t i = 0; error == ERR_OK && i < sizeof help_lines / sizeof help_lines[0]; i++) {
        if (help_lines[i].heading != NULL)
            error = buf_printf(out, "\n%s\n", help_lines[i].heading);
        else
            error = print_help_option(out, &option_rows[help_lines[i].option]);
    }
    if (error == ERR_OK)
        error = buf_append_text(out, "\nInstead of running\n");
    for (size_t i = 0; error == ERR_OK && i < ACTION_COUNT; i++)
        error = print_help_line(out, action_rows[i].name, "", action_rows[i].help);
    if (error != ERR_OK)
        return error;
    return buf_append_text(
        out,
        "\nIn brackets: the default. TIME is like 100ms, 10s, 5m, 2h or 7d; SIZE like 65536, "
        "64KiB\n"
        "or 1MiB; a switch may be written --demo, --demo=on or --demo=off.\n"
        "Each option may also be a variable (HERALD_PING_INTERVAL=5s) or a line of the file that\n"
        "--config names (ping-interval = 5s). Flags go before variables, variables before the "
        "file.\n"
        "live: SIGHUP takes a new value from the file; the others take a restart.\n");
}

/* redis://USER:PASSWORD@HOST, or redis://:PASSWORD@HOST, with *** for the password. */
static enum err print_text(struct buf *out, const char *text)
{
    const char *start = strstr(text, "://");
    const char *end = strrchr(text, '@');
    const char *colon = start != NULL ? strchr(start + 3, ':') : NULL;
    if (colon == NULL || end == NULL || colon > end)
        return buf_append_text(out, text);
    return buf_printf(out, "%.*s:***%s", (int)(colon - text), text, end);
}

static enum err print_config_value(struct buf *out, const struct options *options,
                                   const struct option_row *row, size_t line)
{
    if (row == &option_rows[OPTION_store])
        return print_text(out, options->store);
    if (row == &option_rows[OPTION_redis_sentinel_auth])
        return buf_append_text(out, options->redis_sentinel_auth[0] != '\0' ? "***" : "");
    return option_format(row, options, line, out);
}

/* A line that came from a file must fit into one again, so it goes without what is only there for
 * people where it would be too long with it. */
static enum err print_config_line(struct buf *out, const struct options *options,
                                  const struct option_row *row, size_t line)
{
    static const char *const sources[] = {"default", "demo", "file", "variable", "flag"};
    const char *source = sources[options->sources[row - option_rows]];
    struct buf value;
    buf_init(&value, out->max);
    enum err error = print_config_value(&value, options, row, line);
    /* The file cannot name a file, and what may not be empty is left out of it. */
    bool is_comment =
        row == &option_rows[OPTION_config] || (value.len == 0 && !option_may_be_empty(row));
    const char *front = is_comment ? "; " : "";
    size_t len = strlen(front) + strlen(row->name) + strlen(" = ") + value.len;
    bool is_long = len + strlen(" ; ") + strlen(source) > OPTION_LINE_MAX_BYTES;
    /* After a space, a semicolon begins a comment. */
    bool is_tight = len > OPTION_LINE_MAX_BYTES || (value.len > 0 && value.bytes[0] == ';');
    if (error == ERR_OK)
        error = buf_printf(out, "%s%s%s", front, row->name, is_tight ? "=" : " = ");
    if (error == ERR_OK)
        error = buf_append_span(out, buf_span(&value));
    if (error == ERR_OK)
        error = buf_printf(out, "%s; %s\n", is_long ? "\n" : " ", source);
    buf_fini(&value);
    return error;
}

enum err options_print_config(const struct options *options, struct buf *out)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option_row *row = &option_rows[i];
        size_t n_lines = option_n_lines(row, options);
        for (size_t line = 0; line < n_lines; line++) {
            enum err error = print_config_line(out, options, row, line);
            if (error != ERR_OK)
                return error;
        }
    }
    return ERR_OK;
}
