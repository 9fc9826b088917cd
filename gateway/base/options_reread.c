#include "gateway/base/options.h"

#include "gateway/base/options_value.h"

#include <stdio.h>
#include <stdlib.h>

/* Writes the option's values as text, one per line. */
static enum err format_all(const struct option_row *row, const struct options *options,
                           struct buf *out)
{
    enum err error = ERR_OK;
    buf_clear(out);
    for (size_t line = 0; error == ERR_OK && line < option_n_lines(row, options); line++) {
        error = option_format(row, options, line, out);
        if (error == ERR_OK)
            error = buf_append_text(out, "\n");
    }
    return error;
}

static enum err compare_values(const struct option_row *row, const struct options *a,
                               const struct options *b, bool *ret_is_equal)
{
    struct buf of_a;
    struct buf of_b;
    buf_init(&of_a, SIZE_MAX);
    buf_init(&of_b, SIZE_MAX);
    enum err error = format_all(row, a, &of_a);
    if (error == ERR_OK)
        error = format_all(row, b, &of_b);
    if (error == ERR_OK)
        *ret_is_equal = span_equal(buf_span(&of_a), buf_span(&of_b));
    buf_fini(&of_a);
    buf_fini(&of_b);
    return error;
}

/* Sets an option to the value with which Herald runs. */
static enum err restore_value(const struct option_row *row, struct options *options,
                              const struct options *running)
{
    char why[256];
    struct buf text;
    enum err error = ERR_OK;
    buf_init(&text, SIZE_MAX);
    option_clear(row, options);
    for (size_t line = 0; error == ERR_OK && line < option_n_lines(row, running); line++) {
        buf_clear(&text);
        error = option_format(row, running, line, &text);
        if (error == ERR_OK)
            error = buf_append_span(&text, (struct span){"", 1});
        if (error == ERR_OK)
            error = option_set(row, options, text.bytes, why, sizeof why);
    }
    options->sources[row - option_rows] = running->sources[row - option_rows];
    buf_fini(&text);
    return error;
}

static void add_name(char names[OPTIONS_NAMES_MAX_BYTES], const char *name)
{
    size_t len = strlen(names);
    snprintf(names + len, OPTIONS_NAMES_MAX_BYTES - len, "%s%s", len > 0 ? "," : "", name);
}

static enum err compare_options(const struct options *running, struct options_change *change)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option_row *row = &option_rows[i];
        bool is_same = false;
        enum err error = compare_values(row, running, change->options, &is_same);
        if (error == ERR_OK && !is_same && !row->is_live)
            error = restore_value(row, change->options, running);
        if (error != ERR_OK)
            return error;
        if (!is_same)
            add_name(row->is_live ? change->live : change->fixed, row->name);
    }
    return ERR_OK;
}

enum err options_reread(int argc, char **argv, char **environ_list, const struct options *running,
                        struct options_change *ret_change, char *why, size_t why_cap)
{
    enum options_action action;
    struct options_change change = {0};
    struct options fresh;
    enum err error = options_read(argc, argv, environ_list, &fresh, &action, why, why_cap);
    if (error != ERR_OK)
        return error;
    change.options = malloc(sizeof fresh);
    if (change.options == NULL) {
        options_fini(&fresh);
        error = ERR_NO_MEMORY;
        goto out;
    }
    *change.options = fresh;
    error = compare_options(running, &change);
    if (error != ERR_OK || change.live[0] == '\0') {
        options_free(change.options);
        change.options = NULL;
    }
out:
    if (error == ERR_OK)
        *ret_change = change;
    else
        snprintf(why, why_cap, "%s", error_title(error));
    return error;
}

void options_free(struct options *options)
{
    if (options == NULL)
        return;
    options_fini(options);
    free(options);
}
