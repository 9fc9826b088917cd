/* One thread polls all links. A command waits for its answer before the next one of any link is
 * looked at, which is what keeps the order. */
#include "tests/store/fake_redis.h"

#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <strings.h>

enum { TURN_MS = 2, REPLY_MS = 5000, READ_BYTES = 65536 };

/* --- RESP --- */

/* The number in the line at `at`, and where the next line begins; false: the line is not whole. */
static bool read_line(const unsigned char *bytes, size_t len, size_t at, long *number, size_t *next)
{
    const unsigned char *end = at < len ? memchr(bytes + at, '\n', len - at) : NULL;
    if (end == NULL)
        return false;
    char text[24] = "";
    size_t n = (size_t)(end - bytes) - at - 1;
    memcpy(text, bytes + at + 1, n < sizeof text ? n : sizeof text - 1);
    *number = strtol(text, NULL, 10);
    *next = (size_t)(end - bytes) + 1;
    return true;
}

/* Where the value that begins at `at` ends; 0: it is not whole. Nested arrays are counted down. */
static size_t end_of_value(const unsigned char *bytes, size_t len, size_t at)
{
    for (size_t left = 1; left > 0; left--) {
        long number;
        size_t next;
        if (!read_line(bytes, len, at, &number, &next))
            return 0;
        if (bytes[at] == '$' && number >= 0)
            next += (size_t)number + 2;
        if (bytes[at] == '*' && number > 0)
            left += (size_t)number;
        if (next > len)
            return 0;
        at = next;
    }
    return at;
}

static bool begins_with(const unsigned char *bytes, size_t len, const char *text)
{
    return len >= strlen(text) && memcmp(bytes, text, strlen(text)) == 0;
}

static bool is_unasked(const unsigned char *bytes, size_t len, bool is_unsubscribe_asked)
{
    return begins_with(bytes, len, "*3\r\n$8\r\nsmessage") ||
           begins_with(bytes, len, "*3\r\n$7\r\nmessage") ||
           (begins_with(bytes, len, "*3\r\n$12\r\nsunsubscribe") && !is_unsubscribe_asked);
}

/* --- links --- */

static void send_all(int fd, const void *bytes, size_t len)
{
    for (size_t sent = 0; sent < len;) {
        ssize_t n = send(fd, (const char *)bytes + sent, len - sent, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        sent += (size_t)n;
    }
}

static void close_link(struct fake_link *link)
{
    if (link->client_fd >= 0)
        close(link->client_fd);
    if (link->redis_fd >= 0)
        close(link->redis_fd);
    free(link->asked);
    free(link->replied);
    *link = (struct fake_link){.client_fd = -1, .redis_fd = -1};
}

/* Appends what there is; false: the other side has closed. */
static bool read_more(int fd, unsigned char **bytes, size_t *len)
{
    unsigned char *grown = realloc(*bytes, *len + READ_BYTES);
    cr_assert_not_null(grown);
    *bytes = grown;
    ssize_t n = read(fd, grown + *len, READ_BYTES);
    if (n <= 0)
        return false;
    *len += (size_t)n;
    return true;
}

static void drop_front(unsigned char *bytes, size_t *len, size_t n)
{
    *len -= n;
    memmove(bytes, bytes + n, *len);
}

/* Passes on what Redis has sent, until a value that is an answer has gone; true: one has. */
static bool pass_values(struct fake_link *link, bool is_unsubscribe_asked)
{
    for (;;) {
        size_t end = end_of_value(link->replied, link->n_replied, 0);
        if (end == 0)
            return false;
        bool is_answer = !is_unasked(link->replied, end, is_unsubscribe_asked);
        send_all(link->client_fd, link->replied, end);
        drop_front(link->replied, &link->n_replied, end);
        if (is_answer)
            return true;
    }
}

static bool pass_answers(struct fake_link *link, size_t n, bool is_unsubscribe_asked)
{
    while (n > 0) {
        if (pass_values(link, is_unsubscribe_asked)) {
            n--;
            continue;
        }
        struct pollfd redis = {.fd = link->redis_fd, .events = POLLIN};
        if (poll(&redis, 1, REPLY_MS) != 1 ||
            !read_more(link->redis_fd, &link->replied, &link->n_replied))
            return false;
    }
    return true;
}

/* --- commands --- */

static void read_words(const unsigned char *bytes, size_t len, struct fake_command *command)
{
    long count = 0;
    size_t at = 0;
    read_line(bytes, len, 0, &count, &at);
    for (long i = 0; i < count && command->n_words < FAKE_WORDS; i++) {
        long size;
        size_t text;
        if (!read_line(bytes, len, at, &size, &text))
            return;
        command->words[command->n_words++] =
            (struct span){.bytes = (const char *)bytes + text, .len = (size_t)size};
        at = text + (size_t)size + 2;
    }
}

static bool pass_command(struct fake_link *link, const struct fake_command *command, size_t len)
{
    if (link->redis_fd < 0) {
        static const char unknown[] = "-ERR unknown command\r\n";
        send_all(link->client_fd, unknown, sizeof unknown - 1);
        return true;
    }
    bool is_unsubscribe = fake_is(command, "SUNSUBSCRIBE") || fake_is(command, "UNSUBSCRIBE");
    bool has_many =
        is_unsubscribe || fake_is(command, "SSUBSCRIBE") || fake_is(command, "SUBSCRIBE");
    if (has_many)
        link->is_subscribed = true;
    send_all(link->redis_fd, link->asked, len);
    size_t n = has_many && command->n_words > 1 ? command->n_words - 1 : 1;
    return pass_answers(link, n, is_unsubscribe);
}

/* The commands that are whole; false: the link is over. */
static bool take_commands(struct fake_redis *fake, struct fake_link *link)
{
    for (;;) {
        size_t len = end_of_value(link->asked, link->n_asked, 0);
        if (len == 0)
            return true;
        struct fake_command command = {.answer = fake->answer, .link = link->number};
        read_words(link->asked, len, &command);
        enum fake_verdict verdict = fake->rule(fake->owner, &command);
        if (verdict == FAKE_HANG_UP || (verdict == FAKE_PASS && !pass_command(link, &command, len)))
            return false;
        if (verdict == FAKE_SAY)
            send_all(link->client_fd, fake->answer, command.answer_len);
        if (verdict == FAKE_SAY && fake_is(&command, "SSUBSCRIBE"))
            link->is_subscribed = true;
        drop_front(link->asked, &link->n_asked, len);
    }
}

static void accept_link(struct fake_redis *fake)
{
    int fd = accept4(fake->listen_fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    struct fake_link *link = fake->links;
    while (link < fake->links + FAKE_LINKS && link->client_fd >= 0)
        link++;
    cr_assert_lt(link - fake->links, FAKE_LINKS, "more links than a fake can have");
    *link = (struct fake_link){
        .client_fd = fd,
        .redis_fd = fake->behind == NULL ? -1 : redis_server_connect(fake->behind),
        .number = atomic_fetch_add(&fake->n_came, 1),
    };
}

static void serve_link(struct fake_redis *fake, struct fake_link *link)
{
    struct pollfd ends[] = {{.fd = link->client_fd, .events = POLLIN},
                            {.fd = link->redis_fd, .events = POLLIN}};
    if (link->client_fd < 0 || poll(ends, 2, 0) <= 0)
        return;
    bool is_open = true;
    if (ends[1].revents != 0) {
        is_open = read_more(link->redis_fd, &link->replied, &link->n_replied);
        while (is_open && pass_values(link, true))
            ;
    }
    if (is_open && ends[0].revents != 0)
        is_open =
            read_more(link->client_fd, &link->asked, &link->n_asked) && take_commands(fake, link);
    if (!is_open)
        close_link(link);
}

/* The Redis behind says so itself, and the client has not asked. */
static void end_subscription(struct fake_link *link, const char *channel)
{
    dprintf(link->redis_fd, "SUNSUBSCRIBE %s\r\n", channel);
    while (!pass_values(link, true))
        if (!read_more(link->redis_fd, &link->replied, &link->n_replied))
            return;
}

/* What other threads have ordered. */
static void obey_orders(struct fake_redis *fake)
{
    pthread_mutex_lock(&fake->lock);
    for (unsigned i = 0; i < FAKE_LINKS; i++) {
        struct fake_link *link = &fake->links[i];
        if (link->client_fd >= 0 && link->is_subscribed) {
            send_all(link->client_fd, fake->unasked, strlen(fake->unasked));
            if (fake->ended[0] != '\0')
                end_subscription(link, fake->ended);
        }
        if (fake->must_drop)
            close_link(link);
    }
    fake->unasked[0] = '\0';
    fake->ended[0] = '\0';
    fake->must_drop = false;
    pthread_mutex_unlock(&fake->lock);
}

static void *run_fake(void *argument)
{
    struct fake_redis *fake = argument;
    while (!atomic_load(&fake->is_over)) {
        struct pollfd ends[1 + 2 * FAKE_LINKS] = {{.fd = fake->listen_fd, .events = POLLIN}};
        for (unsigned i = 0; i < FAKE_LINKS; i++) {
            ends[1 + 2 * i] = (struct pollfd){.fd = fake->links[i].client_fd, .events = POLLIN};
            ends[2 + 2 * i] = (struct pollfd){.fd = fake->links[i].redis_fd, .events = POLLIN};
        }
        poll(ends, 1 + 2 * FAKE_LINKS, TURN_MS); /* -1 is left out */
        obey_orders(fake);
        if (ends[0].revents != 0)
            accept_link(fake);
        for (unsigned i = 0; i < FAKE_LINKS; i++)
            serve_link(fake, &fake->links[i]);
    }
    for (unsigned i = 0; i < FAKE_LINKS; i++)
        close_link(&fake->links[i]);
    return NULL;
}

/* --- what tests call --- */

static void prepare_fake(struct fake_redis *fake, const struct redis_server *behind,
                         fake_rule *rule, void *owner)
{
    *fake = (struct fake_redis){.behind = behind, .rule = rule, .owner = owner};
    for (unsigned i = 0; i < FAKE_LINKS; i++)
        fake->links[i] = (struct fake_link){.client_fd = -1, .redis_fd = -1};
    pthread_mutex_init(&fake->lock, NULL);
}

static void run_it(struct fake_redis *fake)
{
    cr_assert_eq(listen(fake->listen_fd, FAKE_LINKS), 0);
    cr_assert_eq(pthread_create(&fake->thread, NULL, run_fake, fake), 0);
}

/* port: 0: one that is free. */
static void listen_on_port(struct fake_redis *fake, unsigned short port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_port = htons(port)};
    socklen_t len = sizeof address;
    int on = 1;
    fake->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fake->listen_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    cr_assert_eq(bind(fake->listen_fd, (struct sockaddr *)&address, sizeof address), 0);
    cr_assert_eq(getsockname(fake->listen_fd, (struct sockaddr *)&address, &len), 0);
    fake->port = ntohs(address.sin_port);
    snprintf(fake->url, sizeof fake->url, "redis://127.0.0.1:%u", fake->port);
    run_it(fake);
}

void fake_redis_start_on_port(struct fake_redis *fake, const struct redis_server *behind,
                              fake_rule *rule, void *owner)
{
    prepare_fake(fake, behind, rule, owner);
    listen_on_port(fake, 0);
}

void fake_redis_start_again(struct fake_redis *fake)
{
    unsigned short port = fake->port;
    prepare_fake(fake, fake->behind, fake->rule, fake->owner);
    listen_on_port(fake, port);
}

void fake_redis_start(struct fake_redis *fake, const struct redis_server *behind, fake_rule *rule,
                      void *owner)
{
    prepare_fake(fake, behind, rule, owner);
    snprintf(fake->socket_path, sizeof fake->socket_path, "%s/fake-%d-%p",
             behind == NULL ? "/tmp" : behind->folder, (int)getpid(), (void *)fake);
    snprintf(fake->url, sizeof fake->url, "redis+unix://%s", fake->socket_path);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, fake->socket_path, strlen(fake->socket_path));
    fake->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(fake->listen_fd, (struct sockaddr *)&address, sizeof address), 0);
    run_it(fake);
}

void fake_redis_stop(struct fake_redis *fake)
{
    atomic_store(&fake->is_over, true);
    pthread_join(fake->thread, NULL);
    close(fake->listen_fd);
    if (fake->socket_path[0] != '\0')
        unlink(fake->socket_path);
    pthread_mutex_destroy(&fake->lock);
}

enum fake_verdict fake_say(struct fake_command *command, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(command->answer, FAKE_ANSWER, format, arguments);
    va_end(arguments);
    cr_assert(n >= 0 && n < FAKE_ANSWER);
    command->answer_len = (size_t)n;
    return FAKE_SAY;
}

bool fake_is(const struct fake_command *command, const char *name)
{
    return command->n_words > 0 && command->words[0].len == strlen(name) &&
           strncasecmp(command->words[0].bytes, name, strlen(name)) == 0;
}

bool fake_names(const struct fake_command *command, const char *text)
{
    for (size_t i = 1; i < command->n_words; i++)
        if (memmem(command->words[i].bytes, command->words[i].len, text, strlen(text)) != NULL)
            return true;
    return false;
}

static bool has_orders(struct fake_redis *fake)
{
    pthread_mutex_lock(&fake->lock);
    bool has = fake->unasked[0] != '\0' || fake->ended[0] != '\0' || fake->must_drop;
    pthread_mutex_unlock(&fake->lock);
    return has;
}

static void wait_obeyed(struct fake_redis *fake)
{
    for (int i = 0; i < REPLY_MS && has_orders(fake); i++)
        pause_ms(1);
    cr_assert_not(has_orders(fake));
}

void fake_redis_tell(struct fake_redis *fake, const char *bytes)
{
    pthread_mutex_lock(&fake->lock);
    snprintf(fake->unasked, sizeof fake->unasked, "%s", bytes);
    pthread_mutex_unlock(&fake->lock);
    wait_obeyed(fake);
}

void fake_redis_end(struct fake_redis *fake, const char *channel)
{
    pthread_mutex_lock(&fake->lock);
    snprintf(fake->ended, sizeof fake->ended, "%s", channel);
    pthread_mutex_unlock(&fake->lock);
    wait_obeyed(fake);
}

void fake_redis_drop(struct fake_redis *fake)
{
    pthread_mutex_lock(&fake->lock);
    fake->must_drop = true;
    pthread_mutex_unlock(&fake->lock);
    wait_obeyed(fake);
}
