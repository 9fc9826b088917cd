/* Lines of a text file, and the words of a line. */
#include "proto/bytes/words.h"

#include <criterion/criterion.h>

Test(words, takes_lines_with_either_end_off_a_text)
{
    struct span text = SPAN_LITERAL(" one \r\n\n\t\r\ntwo\r three");
    cr_expect(span_equal(words_take_line(&text), SPAN_LITERAL("one")));
    cr_expect(span_equal(words_take_line(&text), SPAN_NONE));
    cr_expect(span_equal(words_take_line(&text), SPAN_NONE));
    cr_expect(span_equal(words_take_line(&text), SPAN_LITERAL("two\r three")));
    cr_expect_eq(text.len, 0);
}

Test(words, takes_words_off_a_line)
{
    struct span line = SPAN_LITERAL(" \tone  two=2\tthree ");
    cr_expect(span_equal(words_take(&line), SPAN_LITERAL("one")));
    cr_expect(span_equal(words_take(&line), SPAN_LITERAL("two=2")));
    cr_expect(span_equal(words_take(&line), SPAN_LITERAL("three")));
    cr_expect_eq(words_take(&line).len, 0);
    cr_expect_eq(words_take(&line).len, 0);
}
