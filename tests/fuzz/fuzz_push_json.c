/* The bodies of the admin API. A byte chooses whose: push, line, broadcast, kick, ticket,
 * drain; of a push, what follows a byte 0x1e is an Idempotency-Key header. */
#include "proto/bytes/utf8.h"
#include "proto/note/drain_json.h"
#include "proto/note/kick_json.h"
#include "proto/note/push_json.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/json_valid.h"

static const struct push_limits limits = {
    .max_data_bytes = 1000, .default_ttl_s = 60, .keeps_alerts = true};

static void check_problem(const struct json_problem *problem, enum err error, struct span body)
{
    FUZZ_CHECK(problem->error == error && error != ERR_OK && error != ERR_NO_MEMORY);
    FUZZ_CHECK(error != ERR_BAD_JSON || problem->offset <= body.len);
    FUZZ_CHECK(memchr(problem->field, '\0', sizeof problem->field) != NULL);
    FUZZ_CHECK(memchr(problem->detail, '\0', sizeof problem->detail) != NULL);
    FUZZ_CHECK(utf8_is_valid(span_of(problem->field)) && utf8_is_valid(span_of(problem->detail)));
}

static void check_json(struct span text)
{
    size_t offset;
    FUZZ_CHECK(json_is_valid(text, &offset));
}

static void check_key(struct span key, size_t max)
{
    FUZZ_CHECK(key.len <= max && utf8_is_valid(key));
    for (size_t i = 0; i < key.len; i++)
        FUZZ_CHECK((unsigned char)key.bytes[i] >= ' ' && key.bytes[i] != 0x7f);
}

static void check_user(struct span user_id)
{
    const char *detail;
    FUZZ_CHECK(user_id_check(user_id, &detail) == ERR_OK);
}

static void check_push(const struct push_request *push, struct span body)
{
    check_json(body);
    check_json(push->data);
    FUZZ_CHECK(fuzz_is_inside(push->data, body) && push->data.len <= limits.max_data_bytes);
    FUZZ_CHECK(push->ttl_s <= PUSH_MAX_TTL_S && push->wait_ms <= PUSH_MAX_WAIT_S * 1000);
    FUZZ_CHECK(push->n_users >= 1 && push->n_users <= PUSH_MAX_USERS);
    FUZZ_CHECK(push->is_list || push->n_users == 1);
    FUZZ_CHECK(!push->is_list || push->wait_ms == 0);
    FUZZ_CHECK(push->ttl_s > 0 || (push->collapse_key.len == 0 && push->wait_ms == 0 &&
                                   push->idempotency_key.len == 0));
    FUZZ_CHECK(push->alert_after_s == 0 || push->alert_after_s < push->ttl_s);
    check_key(push->collapse_key, 64);
    check_key(push->idempotency_key, 64);
    for (size_t i = 0; i < push->n_users; i++)
        check_user(push_request_user(push, i));
}

static void read_push(struct span body, bool is_line, struct span key)
{
    struct push_request push;
    struct json_problem problem;
    enum err error = is_line ? push_line_parse(body, &limits, &push, &problem)
                             : push_request_parse(body, &limits, &push, &problem);
    if (error != ERR_OK) {
        check_problem(&problem, error, body);
        return;
    }
    check_push(&push, body);
    FUZZ_CHECK(!is_line || push.wait_ms == 0);
    if (key.len > 0) {
        error = push_request_set_key(&push, key, &problem);
        FUZZ_CHECK(error == ERR_OK || error == ERR_INVALID_FIELD);
        check_key(push.idempotency_key, 64);
        if (error == ERR_OK)
            FUZZ_CHECK(span_equal(push.idempotency_key, key) && push.ttl_s > 0);
    }
    push_request_fini(&push);
}

static void read_broadcast(struct span body)
{
    struct span sent;
    struct json_problem problem;
    enum err error = broadcast_request_parse(body, &limits, &sent, &problem);
    if (error != ERR_OK) {
        check_problem(&problem, error, body);
        return;
    }
    check_json(sent);
    FUZZ_CHECK(fuzz_is_inside(sent, body));
}

static void read_kick(struct span body)
{
    struct kick_request kick;
    struct json_problem problem;
    enum err error = kick_request_parse(body, &kick, &problem);
    if (error != ERR_OK) {
        check_problem(&problem, error, body);
        return;
    }
    check_json(body);
    check_user((struct span){kick.user_id, kick.user_id_len});
    check_key((struct span){kick.reason, kick.reason_len}, KICK_REASON_MAX_BYTES);
    FUZZ_CHECK(kick.block_s <= KICK_MAX_BLOCK_S);
}

static void read_ticket(struct span body)
{
    char user_id[USER_ID_MAX_BYTES];
    size_t len;
    struct json_problem problem;
    enum err error = ticket_request_parse(body, user_id, &len, &problem);
    if (error != ERR_OK) {
        check_problem(&problem, error, body);
        return;
    }
    check_json(body);
    check_user((struct span){user_id, len});
}

static void read_drain(struct span body)
{
    struct drain_request drain;
    struct json_problem problem;
    enum err error = drain_request_parse(body, &drain, &problem);
    if (error != ERR_OK) {
        check_problem(&problem, error, body);
        return;
    }
    if (body.len > 0)
        check_json(body);
    FUZZ_CHECK(drain.connections <= DRAIN_MAX_CONNECTIONS && drain.rate <= DRAIN_MAX_RATE);
    FUZZ_CHECK(!drain.is_cancel || (drain.connections == 0 && drain.rate == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct fuzz_input input = {bytes, len};
    unsigned which = fuzz_byte(&input) % 6;
    struct span text = which == 0 ? fuzz_until(&input, 0x1e) : fuzz_rest(&input);
    struct span key = which == 0 ? fuzz_rest(&input) : (struct span){0};
    char *copy = fuzz_copy(text);
    struct span body = {copy, text.len};
    if (which <= 1)
        read_push(body, which == 1, key);
    else if (which == 2)
        read_broadcast(body);
    else if (which == 3)
        read_kick(body);
    else if (which == 4)
        read_ticket(body);
    else
        read_drain(body);
    free(copy);
    return 0;
}
