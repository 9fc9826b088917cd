/* Sessions whose first message has their token, and which move to their home workers, against
 * pushes, kicks, keys and options that are read again and clients that go in the midst of it. For
 * ThreadSanitizer. In the end no session is left, and each push was answered. Ends by itself within
 * 20 s. */
#include "gateway/base/log.h"
#include "tests/race/host.h"
#include "tests/support/loopback.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define SECRET "a-secret-that-is-long-enough-for-HS256"

enum { USERS = 24, CONNECTORS = 4, USUAL_MS = 5000, TOKEN_CAP = 512 };

static char tokens[USERS][TOKEN_CAP];

/* ---- tokens ---- */

static void append_coded(char *text, const void *bytes, size_t len)
{
    char coded[TOKEN_CAP];
    int n = EVP_EncodeBlock((unsigned char *)coded, bytes, (int)len);
    while (n > 0 && coded[n - 1] == '=')
        n--;
    for (int i = 0; i < n; i++)
        coded[i] = (char)(coded[i] == '+' ? '-' : coded[i] == '/' ? '_' : coded[i]);
    size_t at = strlen(text);
    memcpy(text + at, coded, (size_t)n);
    text[at + (size_t)n] = '\0';
}

static void make_token(char text[TOKEN_CAP], int user)
{
    static const char header[] = "{\"alg\":\"HS256\"}";
    char payload[64];
    unsigned char mac[32];
    unsigned mac_len = sizeof mac;
    int len = snprintf(payload, sizeof payload, "{\"sub\":\"u%d\",\"exp\":4102444800}", user);
    text[0] = '\0';
    append_coded(text, header, sizeof header - 1);
    memcpy(text + strlen(text), ".", 2);
    append_coded(text, payload, (size_t)len);
    HMAC(EVP_sha256(), SECRET, sizeof SECRET - 1, (const unsigned char *)text, strlen(text), mac,
         &mac_len);
    memcpy(text + strlen(text), ".", 2);
    append_coded(text, mac, mac_len);
}

/* ---- subscribers ---- */

/* A text frame under a mask of zeros. */
static size_t add_frame(char *out, size_t at, const char *text)
{
    size_t len = strlen(text);
    out[at++] = (char)0x81;
    if (len < 126) {
        out[at++] = (char)(0x80 | len);
    } else {
        out[at++] = (char)(0x80 | 126);
        out[at++] = (char)(len >> 8);
        out[at++] = (char)(len & 0xff);
    }
    memset(out + at, 0, 4);
    memcpy(out + at + 4, text, len);
    return at + 4 + len;
}

static size_t write_request(char *out, size_t cap, unsigned *seed)
{
    char message[TOKEN_CAP + 64];
    int user = rand_r(seed) % USERS;
    size_t len = (size_t)snprintf(
        out, cap,
        "GET /ws%s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "Sec-WebSocket-Protocol: herald.v1\r\n\r\n",
        rand_r(seed) % 4 == 0 ? "?device=phone" : "");
    snprintf(message, sizeof message, "{\"type\":\"auth\",\"token\":\"%s%s\"}", tokens[user],
             rand_r(seed) % 16 == 0 ? "x" : "");
    for (int i = rand_r(seed) % 8 == 0 ? 2 : 1; i > 0; i--)
        len = add_frame(out, len, message);
    for (int i = rand_r(seed) % 3; i > 0; i--)
        len = add_frame(out, len, "{\"type\":\"ping\"}");
    return len;
}

/* All at once or in two pieces; then it reads a little and goes, with a FIN or with a reset. */
static void *connector(void *argument)
{
    unsigned seed = (unsigned)(size_t)argument;
    char bytes[4096];
    while (!atomic_load(&race.is_over)) {
        int fd = loopback_dial(race.port);
        if (fd < 0)
            continue;
        size_t len = write_request(bytes, sizeof bytes, &seed);
        size_t first = rand_r(&seed) % 2 == 0 ? len : (size_t)rand_r(&seed) % len;
        bool is_sent = send(fd, bytes, first, MSG_NOSIGNAL) == (ssize_t)first;
        if (is_sent && first < len)
            is_sent = send(fd, bytes + first, len - first, MSG_NOSIGNAL) == (ssize_t)(len - first);
        for (int i = rand_r(&seed) % 5; i > 0 && is_sent; i--) {
            if (recv(fd, bytes, sizeof bytes, 0) <= 0)
                break;
        }
        loopback_leave(fd, rand_r(&seed) % 2 == 0);
    }
    return NULL;
}

/* ---- the backend and the operator ---- */

static void on_kicked(struct gateway_kick *kick)
{
    race_answered(kick);
}

static void push_one(unsigned *seed)
{
    char user[RACE_USER_CAP];
    snprintf(user, sizeof user, "u%d", rand_r(seed) % USERS);
    race_push(user, &(struct gateway_push){.data = SPAN_LITERAL("\"hello\""),
                                           .ttl_s = rand_r(seed) % 2 == 0 ? 0 : 60});
}

static void *operator_thread(void *argument)
{
    unsigned seed = (unsigned)(size_t)argument;
    while (!atomic_load(&race.is_over)) {
        for (int i = 0; i < 20; i++)
            push_one(&seed);
        if (rand_r(&seed) % 4 == 0) {
            struct gateway_kick *kick = calloc(1, sizeof *kick);
            kick->on_done = on_kicked;
            kick->user_id = SPAN_LITERAL("u3");
            atomic_fetch_add(&race.n_asked, 1);
            gateway_kick(race.node, kick);
        }
        usleep(1000);
    }
    return NULL;
}

/* ---- the run ---- */

static bool start(char *key_path)
{
    char *more[] = {"--auth", "jwt", "--jwt-keys", key_path, "--log-level", "warn", NULL};
    int fd = mkstemp(key_path);
    if (fd < 0 || write(fd, SECRET, sizeof SECRET - 1) != sizeof SECRET - 1 || close(fd) != 0)
        return false;
    return race_start(more);
}

static unsigned long connections(void)
{
    struct gateway_stats stats;
    gateway_stats(race.node, &stats);
    return (unsigned long)stats.connections;
}

/* Keys and options that are read again all the while. Returns the highest number of sessions. */
static unsigned long reload_for(int run_ms)
{
    unsigned long most = 0;
    struct options later = race.options; /* the same strings */
    later.ping_interval = 150;
    for (int i = 0; i < run_ms; i += 5) {
        gateway_reload(race.node, true);
        gateway_set_options(race.node, i % 10 == 0 ? &later : &race.options);
        most = connections() > most ? connections() : most;
        usleep(5000);
    }
    return most;
}

int main(int argc, char **argv)
{
    char key_path[] = "/tmp/herald-race-keys-XXXXXX";
    for (int i = 0; i < USERS; i++)
        make_token(tokens[i], i);
    log_setup(LOG_WARN, LOG_LOGFMT);
    if (!start(key_path))
        return 1;
    for (size_t i = 0; i < CONNECTORS; i++)
        race_thread(connector, i + 1);
    race_thread(operator_thread, 7);
    unsigned long most = reload_for(race_run_ms(argc, argv, USUAL_MS));
    race_join();
    for (int i = 0; i < 500 && connections() > 0; i++)
        usleep(10 * 1000);
    unsigned long left = connections();
    bool is_good = race_end();
    unlink(key_path);
    printf("race_handover: %lu sessions at most, %lu left\n", most, left);
    return is_good && most > 0 && left == 0 ? 0 : 1;
}
