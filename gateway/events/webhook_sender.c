/* A turn of the thread: letters, timers, libcurl's turn, and the requests that have ended; then it
 * waits for whichever of these comes first. A request that cannot be begun, or is cut, ends in the
 * next turn as well, so that on_done never runs inside a call. */
#include "gateway/events/webhook_sender.h"

#include "gateway/base/clock.h"
#include "gateway/base/metrics.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

enum {
    READ_BYTES = 1024, /* at once, so that little more of a body is read than is taken */
    IDLE_MS = 60 * 1000,
    KEPT_CONNECTIONS = 64,
};

struct webhook_sender {
    struct mailbox mailbox;
    struct timers *timers;
    CURLM *multi;
    char *proxy; /* empty: none */
    pthread_t thread;
    bool is_running; /* the thread has been started */
    bool is_ending;  /* the sender's thread */
    struct letter ending;
    struct list transfers; /* of struct webhook_transfer */
};

/* One request under way. */
struct webhook_transfer {
    struct list link;
    struct webhook_sender *sender;
    struct webhook_request *request;
    CURL *easy;
    struct curl_slist *headers;
    int64_t began_ms;
    size_t head_bytes;
    size_t body_bytes;
    bool is_head_complete;
    bool is_cut;         /* it ends in this turn or the next */
    bool is_other_place; /* the address is not loopback, and had to be */
    const char *cut_why; /* is_cut: a constant */
    char error[CURL_ERROR_SIZE];
};

/* ---- what comes back ---- */

static bool is_blank_line(const char *bytes, size_t len)
{
    return (len == 2 && bytes[0] == '\r' && bytes[1] == '\n') || (len == 1 && bytes[0] == '\n');
}

/* Each line of a head, and of the trailers of a body. An interim answer (1xx) has a head of its
 * own before the final one. */
static size_t on_head_line(char *bytes, size_t size, size_t n, void *owner)
{
    struct webhook_transfer *transfer = owner;
    size_t len = size * n;
    transfer->head_bytes += len;
    if (transfer->head_bytes > WEBHOOK_HEAD_MAX_BYTES)
        return 0; /* libcurl gives the request up */
    if (len >= 5 && memcmp(bytes, "HTTP/", 5) == 0)
        transfer->is_head_complete = false;
    else if (is_blank_line(bytes, len))
        transfer->is_head_complete = true;
    return len;
}

static size_t on_body(char *bytes, size_t size, size_t n, void *owner)
{
    struct webhook_transfer *transfer = owner;
    struct webhook_answer *answer = &transfer->request->answer;
    size_t len = size * n;
    size_t room = WEBHOOK_BODY_MAX_BYTES - answer->body_len;
    size_t taken = len < room ? len : room;
    if (answer->body != NULL)
        memcpy(answer->body + answer->body_len, bytes, taken);
    answer->body_len += taken;
    transfer->body_bytes += len;
    return len == taken ? len : 0; /* libcurl gives up what is left of the answer */
}

static bool is_loopback(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)address;
        return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
    }
    if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)address;
        bool is_mapped = IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr);
        return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr) ||
               (is_mapped && v6->sin6_addr.s6_addr[12] == 127);
    }
    return false;
}

/* The address is looked at here, where it is connected to, so that no name can mean loopback when
 * it is looked at and something else when it is used. */
static curl_socket_t open_socket(void *owner, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct webhook_transfer *transfer = owner;
    (void)purpose;
    if (transfer->request->must_be_loopback && !is_loopback(&address->addr)) {
        transfer->is_other_place = true;
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* ---- the request ---- */

static bool add_header(struct webhook_transfer *transfer, const char *line)
{
    struct curl_slist *longer = curl_slist_append(transfer->headers, line);
    if (longer == NULL)
        return false;
    transfer->headers = longer;
    return true;
}

/* The timestamp is the attempt's, so each attempt is signed anew. */
static bool add_headers(struct webhook_transfer *transfer)
{
    const struct webhook_request *request = transfer->request;
    char signature[WEBHOOK_SIGNATURE_MAX_BYTES];
    char lines[3][WEBHOOK_SIGNATURE_MAX_BYTES + 32];
    int64_t now_s = clock_wall_ms() / 1000;
    if (webhook_sign(request->secrets, span_of(request->id), now_s, request->body, signature) !=
        ERR_OK)
        return false;
    snprintf(lines[0], sizeof lines[0], "webhook-id: %s", request->id);
    snprintf(lines[1], sizeof lines[1], "webhook-timestamp: %" PRId64, now_s);
    snprintf(lines[2], sizeof lines[2], "webhook-signature: %s", signature);
    return add_header(transfer, "Content-Type: application/json") &&
           add_header(transfer, "Expect:") && add_header(transfer, lines[0]) &&
           add_header(transfer, lines[1]) && add_header(transfer, lines[2]);
}

#define SET(easy, option, value) (curl_easy_setopt((easy), (option), (value)) == CURLE_OK)

/* With --insecure, what names this machine is still not for a proxy. */
#define LOOPBACK_HOSTS "localhost,127.0.0.0/8,::1"

/* NOPROXY "" keeps no_proxy of the environment out, PROXY "" http_proxy and its kin. */
static bool set_route(struct webhook_transfer *transfer)
{
    CURL *easy = transfer->easy;
    bool is_direct = transfer->request->must_be_loopback;
    bool is_plain = strncasecmp(transfer->request->url, "http:", 5) == 0;
    const char *cas = getenv("SSL_CERT_FILE");
    const char *ca_folder = getenv("SSL_CERT_DIR");
    bool is_set = SET(easy, CURLOPT_URL, transfer->request->url) &&
                  SET(easy, CURLOPT_PROTOCOLS_STR, "http,https") &&
                  SET(easy, CURLOPT_PROXY, is_direct ? "" : transfer->sender->proxy) &&
                  SET(easy, CURLOPT_NOPROXY, is_plain ? LOOPBACK_HOSTS : "") &&
                  SET(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L) &&
                  SET(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket) &&
                  SET(easy, CURLOPT_OPENSOCKETDATA, transfer);
    if (is_set && cas != NULL && cas[0] != '\0')
        is_set = SET(easy, CURLOPT_CAINFO, cas);
    if (is_set && ca_folder != NULL && ca_folder[0] != '\0')
        is_set = SET(easy, CURLOPT_CAPATH, ca_folder);
    return is_set;
}

static bool set_request(struct webhook_transfer *transfer)
{
    CURL *easy = transfer->easy;
    const struct webhook_request *request = transfer->request;
    return SET(easy, CURLOPT_POST, 1L) &&
           SET(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.len) &&
           SET(easy, CURLOPT_POSTFIELDS, request->body.bytes) &&
           SET(easy, CURLOPT_HTTPHEADER, transfer->headers) &&
           SET(easy, CURLOPT_USERAGENT, "Herald/" HERALD_VERSION) &&
           SET(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) &&
           SET(easy, CURLOPT_FOLLOWLOCATION, 0L) &&
           SET(easy, CURLOPT_TIMEOUT_MS, (long)request->timeout_ms) &&
           SET(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)request->timeout_ms) &&
           SET(easy, CURLOPT_NOSIGNAL, 1L) && SET(easy, CURLOPT_QUICK_EXIT, 1L);
}

static bool set_ears(struct webhook_transfer *transfer)
{
    CURL *easy = transfer->easy;
    return SET(easy, CURLOPT_WRITEFUNCTION, on_body) && SET(easy, CURLOPT_WRITEDATA, transfer) &&
           SET(easy, CURLOPT_HEADERFUNCTION, on_head_line) &&
           SET(easy, CURLOPT_HEADERDATA, transfer) &&
           SET(easy, CURLOPT_ERRORBUFFER, transfer->error) &&
           SET(easy, CURLOPT_BUFFERSIZE, (long)READ_BYTES) && SET(easy, CURLOPT_PRIVATE, transfer);
}

static void mark_cut(struct webhook_transfer *transfer, const char *why)
{
    transfer->is_cut = true;
    transfer->cut_why = why;
}

/* ---- the end of a request ---- */

/* What an endpoint has sent may be in the text of an error. */
static void copy_printable(char *out, size_t cap, const char *text)
{
    size_t len = 0;
    for (; text[len] != '\0' && len + 1 < cap; len++)
        out[len] = text[len];
    out[len] = '\0';
    for (size_t i = 0; i < len; i++)
        if (out[i] < ' ' || out[i] >= 0x7f)
            out[i] = '?';
}

static void describe_error(struct webhook_transfer *transfer, CURLcode code)
{
    struct webhook_answer *answer = &transfer->request->answer;
    char *out = answer->error;
    size_t cap = sizeof answer->error;
    if (transfer->is_cut)
        copy_printable(out, cap, transfer->cut_why);
    else if (transfer->is_other_place)
        copy_printable(out, cap,
                       "http: is for loopback alone, and this address is not (use https:, "
                       "or --insecure)");
    else if (transfer->head_bytes > WEBHOOK_HEAD_MAX_BYTES)
        copy_printable(out, cap, "the head of the answer is longer than 16 KiB");
    else if (code == CURLE_OPERATION_TIMEDOUT)
        snprintf(out, cap, "no answer within %u ms", (unsigned)transfer->request->timeout_ms);
    else if (transfer->head_bytes > 0)
        copy_printable(out, cap, "the answer ended within its head");
    else if (code == CURLE_OK)
        copy_printable(out, cap, "there was no final answer");
    else
        copy_printable(out, cap,
                       transfer->error[0] != '\0' ? transfer->error : curl_easy_strerror(code));
}

/* A body that is longer than what is taken, or broken, makes libcurl fail; the status counts all
 * the same. */
static void fill_answer(struct webhook_transfer *transfer, CURLcode code)
{
    struct webhook_answer *answer = &transfer->request->answer;
    long status = 0;
    curl_off_t retry_after_s = 0;
    answer->took_ms = clock_monotonic_ms() - transfer->began_ms;
    answer->status = 0;
    answer->retry_after_ms = -1;
    answer->error[0] = '\0';
    if (transfer->is_head_complete && !transfer->is_cut)
        (void)curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status < 200) {
        describe_error(transfer, code);
        return;
    }
    answer->status = (int)status;
    if (curl_easy_getinfo(transfer->easy, CURLINFO_RETRY_AFTER, &retry_after_s) == CURLE_OK &&
        retry_after_s > 0)
        answer->retry_after_ms =
            retry_after_s > INT32_MAX ? INT64_C(1000) * INT32_MAX : (int64_t)retry_after_s * 1000;
    if (status >= 300 && status < 400)
        snprintf(answer->error, sizeof answer->error, "a redirect (%ld), which is not followed",
                 status);
}

static void free_transfer(struct webhook_transfer *transfer)
{
    list_remove(&transfer->link);
    if (transfer->easy != NULL) {
        (void)curl_multi_remove_handle(transfer->sender->multi, transfer->easy);
        curl_easy_cleanup(transfer->easy);
    }
    curl_slist_free_all(transfer->headers);
    free(transfer);
}

static void end_transfer(struct webhook_transfer *transfer, CURLcode code)
{
    struct webhook_request *request = transfer->request;
    fill_answer(transfer, code);
    metrics_observe_ms(HISTOGRAM_WEBHOOK, request->answer.took_ms);
    request->transfer = NULL;
    free_transfer(transfer);
    request->on_done(request);
}

enum err webhook_sender_send(struct webhook_sender *sender, struct webhook_request *request)
{
    if (sender->is_ending)
        return ERR_DRAINING;
    struct webhook_transfer *transfer = calloc(1, sizeof *transfer);
    if (transfer == NULL)
        return ERR_NO_MEMORY;
    transfer->sender = sender;
    transfer->request = request;
    transfer->began_ms = clock_monotonic_ms();
    request->transfer = transfer;
    request->answer.body_len = 0;
    list_append(&sender->transfers, &transfer->link);
    transfer->easy = curl_easy_init();
    if (transfer->easy == NULL || !add_headers(transfer) || !set_request(transfer) ||
        !set_route(transfer) || !set_ears(transfer) ||
        curl_multi_add_handle(sender->multi, transfer->easy) != CURLM_OK)
        mark_cut(transfer, "out of memory");
    return ERR_OK;
}

void webhook_sender_cut(struct webhook_sender *sender, struct webhook_request *request)
{
    (void)sender;
    if (request->transfer != NULL)
        mark_cut(request->transfer, "cut: Herald stops, or the endpoint has left the file");
}

/* ---- the thread ---- */

/* Those that have ended by themselves. */
static void collect_ended(struct webhook_sender *sender)
{
    int n_left;
    CURLMsg *message;
    while ((message = curl_multi_info_read(sender->multi, &n_left)) != NULL) {
        CURLcode code = message->data.result;
        char *transfer = NULL;
        if (message->msg == CURLMSG_DONE &&
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer) == CURLE_OK)
            end_transfer((struct webhook_transfer *)(void *)transfer, code);
    }
}

/* true: there was one. */
static bool collect_cut(struct webhook_sender *sender)
{
    bool was_one = false;
    LIST_FOR_EACH_SAFE(link, &sender->transfers)
    {
        struct webhook_transfer *transfer = CONTAINER_OF(link, struct webhook_transfer, link);
        if (!transfer->is_cut)
            continue;
        was_one = true;
        end_transfer(transfer, CURLE_OK);
    }
    return was_one;
}

static void wait_for_work(struct webhook_sender *sender)
{
    struct curl_waitfd mail = {.fd = sender->mailbox.event_fd, .events = CURL_WAIT_POLLIN};
    uint64_t wake_ups;
    int wait_ms = timers_wait_ms(sender->timers, clock_monotonic_ms());
    if (!mailbox_sleep(&sender->mailbox))
        return;
    if (curl_multi_poll(sender->multi, &mail, 1, wait_ms < 0 ? IDLE_MS : wait_ms, NULL) != CURLM_OK)
        usleep(1000); /* out of memory: no busy loop */
    mailbox_wake(&sender->mailbox);
    ssize_t n_read = read(sender->mailbox.event_fd, &wake_ups, sizeof wake_ups);
    (void)n_read; /* empty where nobody has woken it */
}

static void cut_all(struct webhook_sender *sender)
{
    LIST_FOR_EACH_SAFE(link, &sender->transfers)
    {
        mark_cut(CONTAINER_OF(link, struct webhook_transfer, link), "cut: Herald stops");
    }
    collect_cut(sender);
}

static void *run_sender(void *argument)
{
    struct webhook_sender *sender = argument;
    int n_running;
    while (!sender->is_ending) {
        (void)mailbox_deliver(&sender->mailbox);
        timers_fire(sender->timers, clock_monotonic_ms());
        (void)curl_multi_perform(sender->multi, &n_running);
        collect_ended(sender);
        if (!collect_cut(sender) && !sender->is_ending)
            wait_for_work(sender);
    }
    cut_all(sender);
    return NULL;
}

static void deliver_ending(struct letter *letter)
{
    CONTAINER_OF(letter, struct webhook_sender, ending)->is_ending = true;
}

/* ---- its life ---- */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool is_curl_usable;

static void init_curl(void)
{
    is_curl_usable = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
}

enum err webhook_sender_new(const char *proxy, struct webhook_sender **ret_sender)
{
    pthread_once(&once, init_curl);
    if (!is_curl_usable)
        return ERR_SYSTEM;
    struct webhook_sender *sender = calloc(1, sizeof *sender);
    if (sender == NULL)
        return ERR_NO_MEMORY;
    list_init(&sender->transfers);
    enum err error = mailbox_init(&sender->mailbox);
    if (error != ERR_OK)
        goto free_sender;
    error = timers_new(clock_monotonic_ms(), &sender->timers);
    if (error != ERR_OK)
        goto end_mailbox;
    error = ERR_NO_MEMORY;
    sender->proxy = strdup(proxy);
    if (sender->proxy == NULL)
        goto free_timers;
    sender->multi = curl_multi_init();
    if (sender->multi == NULL)
        goto free_proxy;
    (void)curl_multi_setopt(sender->multi, CURLMOPT_MAXCONNECTS, (long)KEPT_CONNECTIONS);
    *ret_sender = sender;
    return ERR_OK;
free_proxy:
    free(sender->proxy);
free_timers:
    timers_free(sender->timers);
end_mailbox:
    mailbox_fini(&sender->mailbox);
free_sender:
    free(sender);
    return error;
}

enum err webhook_sender_start(struct webhook_sender *sender)
{
    if (pthread_create(&sender->thread, NULL, run_sender, sender) != 0)
        return ERR_SYSTEM;
    sender->is_running = true;
    return ERR_OK;
}

void webhook_sender_stop(struct webhook_sender *sender)
{
    if (sender->is_running) {
        sender->ending.deliver = deliver_ending;
        mailbox_post(&sender->mailbox, &sender->ending);
        pthread_join(sender->thread, NULL);
        sender->is_running = false;
    }
    sender->is_ending = true; /* also where there was no thread */
    cut_all(sender);
}

void webhook_sender_deliver(struct webhook_sender *sender)
{
    while (mailbox_deliver(&sender->mailbox) > 0) {
    }
}

void webhook_sender_free(struct webhook_sender *sender)
{
    if (sender == NULL)
        return;
    (void)curl_multi_cleanup(sender->multi);
    free(sender->proxy);
    timers_free(sender->timers);
    mailbox_fini(&sender->mailbox);
    free(sender);
}

struct mailbox *webhook_sender_mailbox(struct webhook_sender *sender)
{
    return &sender->mailbox;
}

struct timers *webhook_sender_timers(struct webhook_sender *sender)
{
    return sender->timers;
}
