/* Converts values in both directions. option_set checks a text against its row (a number against
 * its units and its range, a word against the list of words) and writes the member of struct
 * options that the row's offset names; the values are added to those that a list has. option_format
 * writes the member as an operator would, in the largest unit that divides it. An error sentence is
 * "must be ...", without the option's name, because the caller knows whether the value came from a
 * flag, a variable or a line of the file. */
#include "gateway/base/options_value.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct unit {
    const char *name;
    int64_t factor;
};

/* The largest first: a value is shown in the first unit that divides it. */
static const struct unit durations[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000},
                                        {"s", 1000},     {"ms", 1},      {NULL, 0}};
static const struct unit sizes[] = {{"TiB", INT64_C(1) << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20},
                                    {"KiB", 1 << 10},          {"", 1},          {NULL, 0}};
static const struct unit numbers[] = {{"", 1}, {NULL, 0}};

static const struct unit *units_of(enum option_kind kind)
{
    return kind == OPTION_DURATION ? durations : kind == OPTION_SIZE ? sizes : numbers;
}

/* The words that a row may have in place of a number; its default is one of them. */
static const struct number_word {
    const char *text;
    int64_t value;
} number_words[] = {{"auto", OPTION_AUTO}, {"off", OPTION_OFF}};

/* NULL: the row takes numbers alone. */
static const struct number_word *word_of(const struct option_row *row)
{
    for (size_t i = 0; i < sizeof number_words / sizeof number_words[0]; i++) {
        if (strcmp(row->value, number_words[i].text) == 0)
            return &number_words[i];
    }
    return NULL;
}

static enum err format_number(enum option_kind kind, int64_t value, struct buf *out)
{
    for (size_t i = 0; i < sizeof number_words / sizeof number_words[0]; i++) {
        if (value == number_words[i].value)
            return buf_append_text(out, number_words[i].text);
    }
    if (value == 0)
        return buf_append_text(out, "0");
    const struct unit *unit = units_of(kind);
    while (value % unit->factor != 0)
        unit++;
    return buf_printf(out, "%" PRId64 "%s", value / unit->factor, unit->name);
}

/* A number too large for 64 bits becomes INT64_MAX, which no row allows. */
static bool parse_number(const struct unit *units, const char *text, int64_t *ret_value)
{
    int64_t value = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++) {
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, *at - '0', &value))
            value = INT64_MAX / 10;
    }
    if (at == text)
        return false;
    if (value == 0 && *at == '\0') { /* 0 needs no unit */
        *ret_value = 0;
        return true;
    }
    for (const struct unit *unit = units; unit->name != NULL; unit++) {
        if (strcmp(at, unit->name) != 0)
            continue;
        if (__builtin_mul_overflow(value, unit->factor, ret_value))
            *ret_value = INT64_MAX;
        return true;
    }
    return false;
}

bool option_read_duration(const char *text, int64_t *ret_ms)
{
    return parse_number(units_of(OPTION_DURATION), text, ret_ms);
}

static const char *form_of(enum option_kind kind)
{
    if (kind == OPTION_DURATION)
        return "a duration like 100ms, 10s, 5m, 2h or 7d";
    if (kind == OPTION_SIZE)
        return "a size like 65536, 64KiB, 1MiB or 1GiB";
    return "a whole number";
}

static enum err refuse_range(const struct option_row *row, const struct number_word *word,
                             const char *text, char *why, size_t why_cap)
{
    struct buf range;
    buf_init(&range, 128);
    enum err error = format_number(row->kind, row->min, &range);
    if (error == ERR_OK)
        error = buf_append_text(&range, " to ");
    if (error == ERR_OK)
        error = format_number(row->kind, row->max, &range);
    if (error == ERR_OK) {
        snprintf(why, why_cap, "must be from %.*s%s%s%s, not \"%s\"", (int)range.len, range.bytes,
                 word != NULL ? " (or " : "", word != NULL ? word->text : "",
                 word != NULL ? ")" : "", text);
        error = ERR_INVALID_FIELD;
    }
    buf_fini(&range);
    return error;
}

static enum err set_number(const struct option_row *row, int64_t *member, const char *text,
                           char *why, size_t why_cap)
{
    const struct number_word *word = word_of(row);
    int64_t value = 0;
    if (word != NULL && strcmp(text, word->text) == 0) {
        *member = word->value;
        return ERR_OK;
    }
    if (!parse_number(units_of(row->kind), text, &value)) {
        snprintf(why, why_cap, "must be %s%s%s%s, not \"%s\"", form_of(row->kind),
                 word != NULL ? " (or " : "", word != NULL ? word->text : "",
                 word != NULL ? ")" : "", text);
        return ERR_INVALID_FIELD;
    }
    if (value >= row->min && value <= row->max) {
        *member = value;
        return ERR_OK;
    }
    return refuse_range(row, word, text, why, why_cap);
}
static bool is_one_of(const char *words, const char *text)
{
    size_t len = strlen(text);
    for (const char *word = words; word != NULL; word = strchr(word, '|')) {
        word += *word == '|';
        if (strcspn(word, "|") == len && memcmp(word, text, len) == 0)
            return true;
    }
    return false;
}

static enum err set_text(char **member, const char *text)
{
    char *copy = strdup(text);
    if (copy == NULL)
        return ERR_NO_MEMORY;
    free(*member);
    *member = copy;
    return ERR_OK;
}

static enum err add_value(struct option_list *list, const char *value, size_t len)
{
    char **values = realloc(list->values, (list->n + 1) * sizeof *values);
    if (values == NULL)
        return ERR_NO_MEMORY;
    list->values = values;
    values[list->n] = strndup(value, len);
    if (values[list->n] == NULL)
        return ERR_NO_MEMORY;
    list->n++;
    return ERR_OK;
}

static enum err add_values(struct option_list *list, const char *text)
{
    static const char between[] = ", \t";
    enum err error = ERR_OK;
    for (const char *at = text + strspn(text, between); error == ERR_OK && *at != '\0';) {
        size_t len = strcspn(at, between);
        error = add_value(list, at, len);
        at += len;
        at += strspn(at, between);
    }
    return error;
}

bool option_is_list(const struct option_row *row)
{
    return row->kind == OPTION_LIST || row->kind == OPTION_NAMES;
}

bool option_may_be_empty(const struct option_row *row)
{
    return row->kind != OPTION_NAMES && row->kind != OPTION_PATH;
}

/* Can a line of the file have this value? There, white space around a value is dropped, and a
 * semicolon after white space begins a comment. */
static bool fits_into_file(const char *text)
{
    static const char space[] = " \t";
    size_t len = strlen(text);
    if (len == 0 || strchr(space, text[0]) != NULL || strchr(space, text[len - 1]) != NULL)
        return false;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < ' ' || (text[i] == ';' && i > 0 && text[i - 1] == ' '))
            return false;
    return true;
}

enum err option_check(const struct option_row *row, const char *text, char *why, size_t why_cap)
{
    const char *must = NULL;
    if (!option_may_be_empty(row) && text[0] == '\0')
        must = "must not be empty: leave it out where it is not wanted";
    else if (row->kind == OPTION_NAMES && !fits_into_file(text))
        must = "must be one name without white space around it, control characters, or a semicolon "
               "behind a space";
    if (must == NULL)
        return ERR_OK;
    snprintf(why, why_cap, "%s", must);
    return ERR_INVALID_FIELD;
}

enum err option_set(const struct option_row *row, struct options *options, const char *text,
                    char *why, size_t why_cap)
{
    void *member = (char *)options + row->offset;
    switch (row->kind) {
    case OPTION_CHOICE:
        if (!is_one_of(row->words, text)) {
            snprintf(why, why_cap, "must be %s%s, not \"%s\"",
                     strchr(row->words, '|') != NULL ? "one of " : "", row->words, text);
            return ERR_INVALID_FIELD;
        }
        return set_text(member, text);
    case OPTION_TEXT:
    case OPTION_PATH:
        return set_text(member, text);
    case OPTION_LIST:
        return add_values(member, text);
    case OPTION_NAMES:
        return text[0] != '\0' ? add_value(member, text, strlen(text)) : ERR_OK;
    case OPTION_SWITCH:
        if (!is_one_of("on|off", text)) {
            snprintf(why, why_cap, "must be on or off, not \"%s\"", text);
            return ERR_INVALID_FIELD;
        }
        *(bool *)member = strcmp(text, "on") == 0;
        return ERR_OK;
    case OPTION_NUMBER:
    case OPTION_DURATION:
    case OPTION_SIZE:
        break;
    }
    return set_number(row, member, text, why, why_cap);
}

void option_clear(const struct option_row *row, struct options *options)
{
    void *member = (char *)options + row->offset;
    if (row->kind == OPTION_TEXT || row->kind == OPTION_CHOICE || row->kind == OPTION_PATH) {
        char **text = member;
        free(*text);
        *text = NULL;
    } else if (option_is_list(row)) {
        struct option_list *list = member;
        for (size_t i = 0; i < list->n; i++)
            free(list->values[i]);
        free(list->values);
        *list = (struct option_list){0};
    }
}

size_t option_n_lines(const struct option_row *row, const struct options *options)
{
    if (!option_is_list(row))
        return 1;
    const struct option_list *list = (const void *)((const char *)options + row->offset);
    return list->n == 0 ? 1 : list->n; /* an empty list is a value, too, and has one line */
}

enum err option_format(const struct option_row *row, const struct options *options, size_t line,
                       struct buf *out)
{
    const void *member = (const char *)options + row->offset;
    switch (row->kind) {
    case OPTION_TEXT:
    case OPTION_CHOICE:
    case OPTION_PATH:
        return buf_append_text(out, *(char *const *)member);
    case OPTION_LIST:
    case OPTION_NAMES: {
        const struct option_list *list = member;
        return line < list->n ? buf_append_text(out, list->values[line]) : ERR_OK;
    }
    case OPTION_SWITCH:
        return buf_append_text(out, *(const bool *)member ? "on" : "off");
    case OPTION_NUMBER:
    case OPTION_DURATION:
    case OPTION_SIZE:
        break;
    }
    return format_number(row->kind, *(const int64_t *)member, out);
}
