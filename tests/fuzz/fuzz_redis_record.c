/* What is stored and published in Redis. A byte chooses: a message of a script, an entry of an
 * inbox, a channel, an epoch, a userId in keys, a packed record, a
 * message of a node. */
#include "gateway/stores/redis/redis_message.h"
#include "gateway/stores/redis/redis_record.h"
#include "proto/note/notification_forms.h"
#include "tests/fuzz/fuzz.h"

#define PREFIX "herald"

static void check_note(struct notification *note)
{
    FUZZ_CHECK(epoch_is_none(note->epoch) == (note->seq == 0));
    FUZZ_CHECK(payload_key(note->payload).len <= COLLAPSE_KEY_MAX_BYTES);
    for (int form = FORM_PLAIN; form <= FORM_SSE; form++) {
        struct payload *payload = notification_form(note, (enum notification_form)form);
        FUZZ_CHECK(payload != NULL && payload_frame(payload).len >= payload->len);
    }
}

static void check_withdrawal(const struct withdrawal *withdrawal)
{
    FUZZ_CHECK(!epoch_is_none(withdrawal->epoch));
    FUZZ_CHECK(withdrawal->from >= 1 && withdrawal->from <= withdrawal->to);
    FUZZ_CHECK(withdrawal->cause == GAP_CANCELLED || withdrawal->cause == GAP_COLLAPSED);
}

static void read_message(struct span text)
{
    struct inbox_event event;
    enum err error = redis_message_read(text, &event);
    FUZZ_CHECK(error == ERR_OK || error == ERR_TOO_LARGE || error == ERR_NOT_FOUND ||
               error == ERR_STORE_UNAVAILABLE);
    int64_t time_ms = 0;
    bool is_timed = redis_message_time(text, &time_ms);
    if (error != ERR_OK)
        return;
    if (text.bytes[0] == 'M')
        FUZZ_CHECK(is_timed && time_ms == event.note->time_ms);
    if (event.kind == INBOX_NOTIFICATION)
        FUZZ_CHECK((event.note->seq == 0) == (text.bytes[0] == 'E'));
    if (event.kind == INBOX_NOTIFICATION)
        check_note(event.note);
    else
        check_withdrawal(event.withdrawal);
    inbox_event_unref(event);
}

static void read_entry(struct span text)
{
    struct notification *note = NULL;
    enum err error = redis_entry_read((struct epoch){"abcdefgh"}, (int64_t)text.len, text, &note);
    FUZZ_CHECK(error == ERR_OK || error == ERR_STORE_UNAVAILABLE);
    if (error != ERR_OK)
        return;
    FUZZ_CHECK(note->is_replay && note->seq == text.len);
    check_note(note);
    notification_unref(note);
}

static void read_channel(struct span text)
{
    char user_id[USER_ID_MAX_BYTES];
    size_t len = 0;
    if (redis_channel_user(PREFIX, text, user_id, &len))
        FUZZ_CHECK(len <= sizeof user_id);
}

static void read_epoch(struct span text)
{
    struct epoch epoch;
    if (redis_epoch_read(text, &epoch))
        FUZZ_CHECK(epoch_is_none(epoch) == (text.len == 0));
}

static void read_record(struct span text)
{
    static const uint64_t exact_max = UINT64_C(1) << 53;
    struct store_known known;
    if (redis_record_head(text, &known))
        FUZZ_CHECK(known.head <= exact_max && text.len >= 59);
}

/* A userId comes back from its channel, and its keys share a slot. */
static void write_keys(struct span user_id)
{
    static struct redis_keys keys;
    char again[USER_ID_MAX_BYTES];
    size_t len = 0;
    if (user_id.len == 0 || user_id.len > USER_ID_MAX_BYTES)
        return;
    redis_keys_write(&keys, PREFIX, user_id);
    redis_keys_write_channel(&keys, PREFIX);
    redis_keys_write_idem(&keys, SPAN_LITERAL("a key"));
    redis_keys_write_block(&keys);
    FUZZ_CHECK(redis_channel_user(PREFIX, keys.channel, again, &len));
    FUZZ_CHECK(span_equal((struct span){again, len}, user_id));
    const char *open = memchr(keys.channel.bytes, '{', keys.channel.len);
    const char *close = memchr(keys.channel.bytes, '}', keys.channel.len);
    FUZZ_CHECK(open == keys.channel.bytes + strlen(PREFIX ":"));
    FUZZ_CHECK(close == keys.channel.bytes + keys.channel.len - 1);
    FUZZ_CHECK(memcmp(keys.channel.bytes, keys.inbox.bytes, keys.channel.len) == 0);
    FUZZ_CHECK(memcmp(keys.channel.bytes, keys.numbers.bytes, keys.channel.len) == 0);
    FUZZ_CHECK(memcmp(keys.channel.bytes, keys.times.bytes, keys.channel.len) == 0);
    FUZZ_CHECK(memcmp(keys.channel.bytes, keys.idem.bytes, keys.channel.len) == 0);
    FUZZ_CHECK(memcmp(keys.channel.bytes, keys.block.bytes, keys.channel.len) == 0);
}

static void read_of_node(struct span text)
{
    struct epoch name, epoch;
    uint64_t number, acked;
    struct store_asked asked;
    struct store_watch watch;
    enum err error = redis_question_read(text, &name, &number, &asked);
    FUZZ_CHECK(error == ERR_OK || error == ERR_NOT_FOUND || error == ERR_STORE_UNAVAILABLE);
    if (error == ERR_OK)
        FUZZ_CHECK(!epoch_is_none(name) && asked.kind < STORE_ASK_KINDS &&
                   asked.reason.len <= STORE_REASON_MAX_BYTES && asked.until_ms >= 0);
    if (error == ERR_OK && asked.kind == STORE_ASK_CLIENTS)
        FUZZ_CHECK(text.bytes[0] == 'L' && asked.limit >= 1 && asked.limit <= STORE_CLIENTS_MAX);
    if (redis_watch_read(text, &watch))
        FUZZ_CHECK(text.bytes[0] == 'Y' && !epoch_is_none(watch.node) &&
                   !epoch_is_none(watch.epoch) && watch.seq > 0);
    if (redis_watch_answer_read(text, &number, &epoch, &acked))
        FUZZ_CHECK(text.bytes[0] == 'A' && !epoch_is_none(epoch));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static void (*const kinds[])(struct span) = {
        read_message, read_entry, read_channel, read_epoch, write_keys, read_record, read_of_node};
    struct fuzz_input input = {bytes, len};
    unsigned which = fuzz_byte(&input) % (sizeof kinds / sizeof kinds[0]);
    char *copy = fuzz_copy(fuzz_rest(&input));
    kinds[which]((struct span){copy, input.len});
    free(copy);
    return 0;
}
