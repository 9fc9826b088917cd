/* Lines of an NDJSON body on their way through a gateway with a memory store (CONTRACT section 3).
 */
#include "admin/routes/ndjson_batch.h"

#include "tests/support/node_fixture.h"
#include "tests/support/store_double.h"
#include "tests/support/subscriber.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static const struct push_limits limits = {.max_data_bytes = 65536, .default_ttl_s = 60};
static struct ndjson_results results;
static struct ndjson_batch *batch;
static unsigned n_done;
static const struct ndjson_result *newest;

/* All its lines are answered then, and not only the first. */
static void on_done(struct ndjson_batch *done)
{
    cr_assert_eq(done, batch);
    cr_assert_eq(done->owner, &results);
    cr_assert(atomic_load(&newest->is_finished));
    n_done++;
}

static void open_batch(void)
{
    node_fixture_start();
    batch = ndjson_batch_new(NDJSON_BATCH_LINES_MAX, &results, on_done);
    cr_assert_not_null(batch);
}

static void close_batch(void)
{
    free(batch);
    ndjson_results_fini(&results, ndjson_batch_free_list);
    node_fixture_stop();
}

TestSuite(ndjson_batch, .init = open_batch, .fini = close_batch);

/* The piece of the body in which the line came; it is overwritten once the batch is pushed. */
static char piece[8192];
static size_t piece_len;

static struct ndjson_result *add_line(const char *text)
{
    struct push_request parsed;
    struct json_problem problem;
    size_t len = strlen(text);
    cr_assert_lt(piece_len + len, sizeof piece);
    struct span line = {piece + piece_len, len};
    memcpy(piece + piece_len, text, len);
    piece_len += len;
    cr_assert(ndjson_batch_has_room(batch));
    cr_assert_eq(push_line_parse(line, &limits, &parsed, &problem), ERR_OK, "%s", problem.detail);
    struct ndjson_result *result = ndjson_results_add(&results, (uint32_t)results.n + 1);
    cr_assert_eq(ndjson_batch_add(batch, line, &parsed, result), ERR_OK);
    newest = result;
    return result;
}

static void push_batch(void)
{
    ndjson_batch_push(batch, &fixture.node);
    memset(piece, '!', sizeof piece);
    node_fixture_turn();
}

static void expect_kept(const struct ndjson_result *result, uint64_t seq, unsigned online)
{
    cr_assert(atomic_load(&result->is_finished));
    cr_expect_eq(result->error, ERR_OK);
    cr_expect_eq(result->of.kept.seq, seq);
    cr_expect_eq(result->of.kept.online, online);
}

Test(ndjson_batch, is_answered_line_by_line_and_asks_the_store_once)
{
    static struct subscriber subscriber;
    subscriber_enter(&subscriber, LEVEL_PLAIN, "anna", NULL);
    store_double_start();
    const struct ndjson_result *first = add_line("{\"userId\":\"anna\",\"data\":1}");
    const struct ndjson_result *second = add_line("{\"userId\":\"\\u0062ert\",\"data\":\"2\"}");
    const struct ndjson_result *live = add_line("{\"userId\":\"anna\",\"data\":3,\"ttl\":0}");
    const struct ndjson_result *third =
        add_line("{\"userId\":\"anna\",\"data\":4,\"collapseKey\":\"\\u0063\"}");
    cr_expect_eq(batch->n, 4);
    push_batch();
    cr_expect_eq(n_done, 1);
    cr_expect_eq(store_double_calls(STORE_OP_APPEND), 1);
    expect_kept(first, 1, 1);
    expect_kept(second, 1, 0);
    expect_kept(live, 0, 1);
    cr_expect(live->is_ephemeral);
    expect_kept(third, 2, 1);
    subscriber_expect(&subscriber, WS_TEXT, "3");
    subscriber_expect(&subscriber, WS_TEXT, "1");
    subscriber_expect(&subscriber, WS_TEXT, "4");
}

/* What of a line is needed after the call is the batch's own: the keys too. */
Test(ndjson_batch, keeps_the_texts_of_its_lines_until_they_are_answered)
{
    char line[512];
    char user[USER_ID_MAX_BYTES + 1] = "";
    char key[IDEMPOTENCY_KEY_MAX_BYTES + 1] = "";
    memset(user, 'u', sizeof user - 1);
    memset(key, 'k', sizeof key - 1);
    const struct ndjson_result *kept[3];
    static const char *const data[] = {"1", "1", "2"};
    for (unsigned i = 0; i < 3; i++) {
        snprintf(line, sizeof line,
                 "{\"userId\":\"%s\",\"data\":%s,\"idempotencyKey\":\"%s\",\"collapseKey\":\"c\"}",
                 user, data[i], key);
        kept[i] = add_line(line);
    }
    push_batch();
    expect_kept(kept[0], 1, 0);
    expect_kept(kept[1], 1, 0);
    cr_expect(kept[1]->is_duplicate);
    cr_expect_eq(kept[2]->error, ERR_IDEMPOTENCY_MISMATCH);
}

Test(ndjson_batch, keeps_a_line_of_many_users_for_its_result)
{
    const char *text = "{\"userIds\":[\"anna\",\"b\\u0065rt\",\"anna\"],\"data\":1,"
                       "\"idempotencyKey\":\"k\"}";
    const struct ndjson_result *single = add_line("{\"userId\":\"anna\",\"data\":1}");
    const struct ndjson_result *list = add_line(text);
    push_batch();
    cr_expect_eq(n_done, 1);
    expect_kept(single, 1, 0);
    cr_assert(list->is_list && atomic_load(&list->is_finished));
    const struct gateway_push *push = list->of.list;
    cr_assert_eq(push->n_targets, 3);
    cr_expect(span_equal(push->targets[0].user_id, SPAN_LITERAL("anna")));
    cr_expect(span_equal(push->targets[1].user_id, SPAN_LITERAL("bert")));
    cr_expect_eq(push->targets[0].seq, 2);
    cr_expect_eq(push->targets[1].seq, 1);
    cr_expect(push->targets[2].is_duplicate);
}

/* Batches are used again, and lines of which nobody is online are as good as others. */
Test(ndjson_batch, is_filled_anew_after_its_answer)
{
    for (unsigned round = 1; round <= 3; round++) {
        unsigned n = 0;
        piece_len = 0;
        ndjson_batch_clear(batch);
        for (; ndjson_batch_has_room(batch); n++) {
            char line[64];
            snprintf(line, sizeof line, "{\"userId\":\"user-%u\",\"data\":%u}", n, round);
            add_line(line);
        }
        cr_expect_eq(n, NDJSON_BATCH_LINES_MAX);
        push_batch();
        cr_expect_eq(n_done, round);
    }
    for (struct ndjson_result *result; (result = ndjson_results_read(&results)) != NULL;)
        expect_kept(result, (result->line - 1) / NDJSON_BATCH_LINES_MAX + 1, 0);
}

/* Long texts use the room up before the lines are; a line that is let in always fits. */
Test(ndjson_batch, is_full_when_the_next_line_might_not_fit)
{
    char user[USER_ID_MAX_BYTES + 1] = "";
    char line[512];
    unsigned n = 0;
    memset(user, 'u', sizeof user - 1);
    for (; ndjson_batch_has_room(batch); n++) {
        piece_len = 0;
        snprintf(line, sizeof line, "{\"userId\":\"%s\",\"data\":1,\"ttl\":0}", user);
        add_line(line);
        cr_assert_leq(batch->text + batch->text_len,
                      (char *)batch + ndjson_batch_size(NDJSON_BATCH_LINES_MAX));
    }
    cr_expect_lt(n, NDJSON_BATCH_LINES_MAX);
    cr_expect_gt(n, NDJSON_BATCH_LINES_MAX / 4);
    cr_expect_eq(batch->n, n);
    push_batch();
    cr_expect_eq(n_done, 1);
}
