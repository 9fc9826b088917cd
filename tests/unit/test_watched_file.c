#include "gateway/base/watched_file.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char path[] = "/tmp/herald-test-watched-XXXXXX";

static void write_file(const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static void begin(void)
{
    close(mkstemp(path));
    write_file("first");
}

static void end(void)
{
    unlink(path);
}

TestSuite(watched_file, .init = begin, .fini = end);

static void read_into(struct watched_file *file, struct buf *out)
{
    char why[300];
    buf_init(out, WATCHED_FILE_MAX_BYTES);
    cr_assert_eq(watched_file_read(file, out, why, sizeof why), ERR_OK, "%s", why);
}

Test(watched_file, is_read_whole_and_has_changed_when_it_is_replaced)
{
    struct watched_file file = {.path = path};
    struct buf out;
    read_into(&file, &out);
    cr_assert(span_equal(buf_span(&out), SPAN_LITERAL("first")));
    buf_fini(&out);
    cr_assert_not(watched_file_has_changed(&file));
    cr_assert_not(watched_file_is_public(&file));

    write_file("second, longer");
    cr_assert(watched_file_has_changed(&file));
    read_into(&file, &out);
    cr_assert(span_equal(buf_span(&out), SPAN_LITERAL("second, longer")));
    buf_fini(&out);
    cr_assert_not(watched_file_has_changed(&file));

    cr_assert_eq(chmod(path, 0644), 0);
    unlink(path);
    cr_assert_not(watched_file_has_changed(&file), "one that is gone is about to be written");
    write_file("second, longer");
    cr_assert(watched_file_has_changed(&file), "another file of the same content");
}

/* A refused file does not become the one in use, so that restoring the old file is reported as
 * unchanged. */
Test(watched_file, that_is_taken_is_another_when_its_bytes_are)
{
    struct watched_file file = {.path = path};
    struct buf out;
    static const struct {
        const char *text;
        bool is_taken, is_other;
    } rows[] = {
        {"first", true, true},  {"first", true, false}, {"refused", false, false},
        {"first", true, false}, {"second", true, true}, {"second", true, false},
        {"first", true, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        write_file(rows[i].text);
        read_into(&file, &out);
        buf_fini(&out);
        if (rows[i].is_taken)
            cr_assert_eq(watched_file_take(&file), rows[i].is_other, "%zu", i);
    }
}

Test(watched_file, tells_what_others_may_read)
{
    struct watched_file file = {.path = path};
    struct buf out;
    cr_assert_eq(chmod(path, 0644), 0);
    read_into(&file, &out);
    buf_fini(&out);
    cr_assert(watched_file_is_public(&file));
}

Test(watched_file, names_the_file_that_it_cannot_read)
{
    struct watched_file file = {.path = "/nonexistent/keys"};
    char why[300];
    struct buf out;
    buf_init(&out, WATCHED_FILE_MAX_BYTES);
    cr_assert_eq(watched_file_read(&file, &out, why, sizeof why), ERR_SYSTEM);
    cr_assert_str_eq(why, "/nonexistent/keys cannot be read: No such file or directory");
    buf_fini(&out);
}

/* Otherwise the same failure would be logged at every look. */
Test(watched_file, that_cannot_be_read_has_changed_only_when_its_mode_or_content_has)
{
    struct watched_file file = {.path = path};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char why[300];
    struct buf out;
    unlink(path);
    memcpy(address.sun_path, path, sizeof path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0); /* a file that nobody can open, not even root */
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    buf_init(&out, WATCHED_FILE_MAX_BYTES);
    cr_assert(watched_file_has_changed(&file));
    cr_assert_eq(watched_file_read(&file, &out, why, sizeof why), ERR_SYSTEM);
    cr_assert_not(watched_file_has_changed(&file));
    cr_assert_eq(chmod(path, 0640), 0);
    cr_assert(watched_file_has_changed(&file));
    close(fd);
    unlink(path);
    write_file("readable");
    cr_assert(watched_file_has_changed(&file));
    buf_fini(&out);
}

static void assert_refused_as(const char *place, const char *sentence)
{
    struct watched_file file = {.path = place};
    char why[300];
    struct buf out;
    buf_init(&out, WATCHED_FILE_MAX_BYTES);
    cr_assert_eq(watched_file_read(&file, &out, why, sizeof why), ERR_SYSTEM);
    cr_assert_str_eq(why + strlen(place), sentence);
    buf_fini(&out);
}

/* Opening the first would wait for a writer, and reading the second would never end. */
Test(watched_file, is_never_a_pipe_or_a_device, .timeout = 10)
{
    static const char sentence[] =
        " cannot be read: it is not a regular file, but a pipe or a device";
    unlink(path);
    cr_assert_eq(mkfifo(path, 0600), 0);
    assert_refused_as(path, sentence);
    int writer = open(path, O_RDWR | O_CLOEXEC);
    assert_refused_as(path, sentence);
    close(writer);
    assert_refused_as("/dev/zero", sentence);
    assert_refused_as("/tmp", " cannot be read: Is a directory");
}

Test(watched_file, may_be_a_symbolic_link_to_a_regular_one)
{
    char place[sizeof path + 5];
    struct watched_file file = {.path = place};
    struct buf out;
    snprintf(place, sizeof place, "%s.link", path);
    cr_assert_eq(symlink(path, place), 0);
    read_into(&file, &out);
    cr_assert(span_equal(buf_span(&out), SPAN_LITERAL("first")));
    buf_fini(&out);
    unlink(place);
}

Test(watched_file, refuses_one_that_is_too_large)
{
    struct watched_file file = {.path = path};
    char why[300];
    struct buf out;
    cr_assert_eq(truncate(path, WATCHED_FILE_MAX_BYTES + 1), 0);
    buf_init(&out, 2 * WATCHED_FILE_MAX_BYTES);
    cr_assert_eq(watched_file_read(&file, &out, why, sizeof why), ERR_TOO_LARGE);
    cr_assert_not_null(strstr(why, path));
    buf_fini(&out);
}
