/* The users of a node in pages, its own and those of another one, with a store of the test's own
 * that is shared (CONTRACT 3, GET /clients). */
#include "gateway/requests/clients_json.h"
#include "gateway/requests/nodes.h"
#include "gateway/requests/questions.h"
#include "gateway/requests/requests.h"
#include "gateway/store/store_backend.h"
#include "tests/support/node_fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MANY_USERS = 300, LONG_USERS = 1200, PAGE = 7, LONG_NAME_BYTES = 120 };

static struct store *own_store;
static struct store_node others[3];
static size_t n_others;
static struct store_ask *asked; /* under way */
static unsigned n_asked;
static unsigned n_done;

static int64_t now_ms(const struct store *store)
{
    (void)store;
    return NODE_FIXTURE_WALL_MS + node_fixture_now_ms();
}

static void answer_nodes(struct store *store, struct store_nodes *nodes)
{
    (void)store;
    nodes->nodes = calloc(n_others + 1, sizeof *nodes->nodes);
    cr_assert_not_null(nodes->nodes);
    memcpy(nodes->nodes, others, sizeof *others * n_others);
    nodes->nodes[n_others] = nodes->self;
    nodes->n = n_others + 1;
    nodes->request.on_done(&nodes->request);
}

static void take_question(struct store *store, struct store_ask *ask)
{
    (void)store;
    cr_assert_null(asked);
    asked = ask;
    n_asked++;
}

static const struct store_ops ops = {.kind = "shared",
                                     .is_shared = true,
                                     .nodes = answer_nodes,
                                     .ask = take_question,
                                     .now_ms = now_ms};
static struct store shared = {&ops};

static void set_up(void)
{
    node_fixture_start();
    cr_assert_eq(nodes_new(&fixture.node, &fixture.node.nodes), ERR_OK);
    memcpy(fixture.node.name, "a", 2);
    fixture.node.started_ms = node_fixture_now_ms();
    own_store = fixture.node.store;
    fixture.node.store = &shared;
    node_fixture_stall_ms(60000);
}

static void tear_down(void)
{
    fixture.node.store = own_store;
    node_fixture_stop();
    nodes_free(fixture.node.nodes);
}

TestSuite(clients, .init = set_up, .fini = tear_down);

/* Another node that has been there for a minute. */
static struct store_node *add_node(const char *name, const char *node, int64_t seen_ago_ms)
{
    struct store_node *other = &others[n_others++];
    *other = (struct store_node){.version = "9.9", .is_store_up = true};
    memcpy(other->name.text, name, EPOCH_LEN);
    snprintf(other->node, sizeof other->node, "%s", node);
    other->seen_ms = now_ms(NULL) - seen_ago_ms;
    other->started_ms = now_ms(NULL) - 60000;
    return other;
}

static void on_done(struct gateway_clients *clients)
{
    (void)clients;
    n_done++;
}

static struct gateway_clients ask_for(const char *node, const char *name, const char *after,
                                      uint32_t limit)
{
    return (struct gateway_clients){.on_done = on_done,
                                    .node = span_of(node),
                                    .name = span_of(name),
                                    .after = span_of(after),
                                    .limit = limit};
}

/* It is answered inside the call. */
static void expect_answer(const char *node, const char *name, enum err error)
{
    struct gateway_clients clients = ask_for(node, name, "", 10);
    unsigned before = n_done;
    gateway_clients(&fixture.node, &clients);
    cr_assert_eq(n_done, before + 1, "%s %s", node, name);
    cr_expect_eq(clients.error, error, "%s %s: %s", node, name, error_title(clients.error));
    if (error == ERR_OK)
        cr_expect(
            span_equal(buf_span(&clients.page), SPAN_LITERAL("{\"clients\":[],\"next\":null}")));
    gateway_clients_clear(&clients);
}

/* Another node is asked, by its drawn name. */
static void expect_asked(struct gateway_clients *clients, const char *name)
{
    unsigned before = n_asked;
    gateway_clients(&fixture.node, clients);
    cr_assert_eq(n_asked, before + 1);
    cr_expect_eq(asked->asked.kind, STORE_ASK_CLIENTS);
    cr_expect_eq(asked->user_id.len, 0);
    cr_expect(memcmp(asked->asked.node.text, name, EPOCH_LEN) == 0, "%.8s", asked->asked.node.text);
}

static void answer_with(enum err error, unsigned n, const char *text)
{
    struct store_ask *answered = asked;
    asked = NULL;
    answered->error = error;
    answered->n_asked = n;
    if (text != NULL) {
        answered->n_answered = 1;
        store_ask_add_text(answered, span_of(text));
    }
    answered->request.on_done(&answered->request);
}

/* ---- pages ---- */

/* Counts the users of a page, who are called c0, c1 ... with anything behind it; answers how many,
 * and where the next page begins (empty: nowhere). */
static size_t take_page(struct span page, unsigned *n_seen, char next[32])
{
    static const char begin[] = "{\"userId\":\"c";
    char text[STORE_ANSWER_MAX_BYTES + 1];
    size_t n = 0;
    cr_assert_leq(page.len, STORE_ANSWER_MAX_BYTES);
    memcpy(text, page.bytes, page.len);
    text[page.len] = '\0';
    cr_assert(clients_json_check(page), "%s", text);
    for (char *at = text; (at = strstr(at, begin)) != NULL; n++)
        n_seen[strtoll(at + strlen(begin), &at, 10)]++;
    const char *end = strstr(text, "],\"next\":");
    cr_assert_not_null(end);
    next[0] = '\0';
    if (sscanf(end, "],\"next\":\"%16[0-9a-f]\"}", next) != 1)
        cr_assert_str_eq(end, "],\"next\":null}");
    return n;
}

static void expect_each_once(const unsigned *n_seen, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        cr_assert_eq(n_seen[i], 1, "c%u was seen %u times", i, n_seen[i]);
}

Test(clients, of_this_node_are_all_seen_once_in_pages)
{
    static unsigned n_seen[MANY_USERS];
    char cursor[32] = "";
    unsigned n_pages = 0;
    node_fixture_enter_clients(MANY_USERS);
    do {
        struct gateway_clients clients = ask_for("", "", cursor, PAGE);
        gateway_clients(&fixture.node, &clients);
        cr_assert_eq(clients.error, ERR_OK);
        size_t n = take_page(buf_span(&clients.page), n_seen, cursor);
        cr_assert(n == PAGE || cursor[0] == '\0');
        gateway_clients_clear(&clients);
        cr_assert_lt(++n_pages, MANY_USERS);
    } while (cursor[0] != '\0');
    cr_assert_eq(n_done, n_pages);
    expect_each_once(n_seen, MANY_USERS);
    node_fixture_leave_clients();
}

Test(clients, are_not_shown_from_what_is_no_cursor)
{
    static const char *const wrong[] = {"x", "-1", "0x10", "12 ", "00000000000000000", "AB"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct gateway_clients clients = ask_for(i % 2 == 0 ? "" : "b", "", wrong[i], PAGE);
        gateway_clients(&fixture.node, &clients);
        cr_expect_eq(clients.error, ERR_INVALID_FIELD, "%s", wrong[i]);
        gateway_clients_clear(&clients);
    }
    cr_expect_eq(n_asked, 0);
}

static struct buf answer_text;
static uint64_t answer_count;

static void take_answer(struct store_question *question)
{
    answer_text = question->text;
    answer_count = question->count;
}

static struct client *enter_long(unsigned number)
{
    char name[LONG_NAME_BYTES + 1];
    snprintf(name, sizeof name, "c%u-%0110d", number, 0);
    struct client *client = client_map_enter(fixture.node.map, span_of(name), fixture.worker,
                                             worker_mailbox(fixture.worker));
    cr_assert_not_null(client);
    return client;
}

Test(clients, that_another_node_asks_for_are_all_seen_once_in_answers_of_64_kib)
{
    static unsigned n_seen[LONG_USERS];
    static struct client *entered[LONG_USERS];
    char cursor[32] = "0";
    unsigned n_pages = 0;
    for (unsigned i = 0; i < LONG_USERS; i++)
        entered[i] = enter_long(i);
    do {
        struct store_user_question question = {
            .question = {.on_answer = take_answer},
            .owner = &fixture.node,
            .asked = {.kind = STORE_ASK_CLIENTS,
                      .after = strtoull(cursor, NULL, 16),
                      .limit = STORE_CLIENTS_MAX},
        };
        questions_on_asked(&question);
        cr_expect_eq(take_page(buf_span(&answer_text), n_seen, cursor), answer_count);
        if (cursor[0] != '\0')
            cr_expect_gt(answer_text.len, STORE_ANSWER_MAX_BYTES - 256, "as many as fit");
        buf_fini(&answer_text);
        cr_assert_lt(++n_pages, LONG_USERS);
    } while (cursor[0] != '\0');
    expect_each_once(n_seen, LONG_USERS);
    for (unsigned i = 0; i < LONG_USERS; i++) {
        cr_assert(client_map_leave(fixture.node.map, entered[i]));
        client_free(entered[i]);
    }
}

Test(clients, in_an_answer_of_another_node_are_one_object)
{
    static const char *const wrong[] = {
        "", "[]", "{", "{}{}", "{\"clients\":[}", "{\"a\":\"\xff\"}"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        cr_expect_not(clients_json_check(span_of(wrong[i])), "%s", wrong[i]);
    cr_expect(clients_json_check(SPAN_LITERAL("{\"clients\":[],\"next\":null,\"more\":1}")));
}

/* ---- which node ---- */

Test(clients, of_this_node_by_its_name_are_answered_here)
{
    struct epoch name = nodes_name(fixture.node.nodes);
    char drawn[EPOCH_LEN + 1] = "";
    memcpy(drawn, name.text, EPOCH_LEN);
    add_node("22222222", "b", 0);
    expect_answer("a", "", ERR_OK);
    expect_answer("", drawn, ERR_OK);
    expect_answer("a", drawn, ERR_OK);
    expect_answer("b", drawn, ERR_NOT_FOUND);
    expect_answer("a", "22222222", ERR_NOT_FOUND);
    expect_answer("", "33333333", ERR_NOT_FOUND);
    expect_answer("A", "", ERR_NOT_FOUND);
    cr_expect_eq(n_asked, 0);
}

Test(clients, of_another_node_are_what_it_answers)
{
    static const char page[] =
        "{\"clients\":[{\"userId\":\"u\",\"connections\":1}],\"next\":\"0f\"}";
    add_node("22222222", "b", 0);
    struct gateway_clients clients = ask_for("b", "", "00000000000000ff", 7);
    expect_asked(&clients, "22222222");
    cr_expect_eq(asked->asked.after, 255);
    cr_expect_eq(asked->asked.limit, 7);
    answer_with(ERR_OK, 1, page);
    cr_assert_eq(n_done, 1);
    cr_expect_eq(clients.error, ERR_OK);
    cr_expect(span_equal(buf_span(&clients.page), span_of(page)));
    gateway_clients_clear(&clients);
    clients = ask_for("", "22222222", "", 7);
    expect_asked(&clients, "22222222");
    answer_with(ERR_OK, 1, page);
    cr_expect_eq(clients.error, ERR_OK);
    gateway_clients_clear(&clients);
}

Test(clients, of_a_node_that_does_not_answer_are_not_known)
{
    static const struct {
        enum err error;
        unsigned n_asked;
        const char *text;
        enum err expected;
        bool is_unheard;
    } rows[] = {
        {ERR_OK, 1, NULL, ERR_NODE_SILENT, false},
        {ERR_OK, 0, NULL, ERR_NODE_SILENT, true},
        {ERR_OK, 1, "no page", ERR_NODE_SILENT, false},
        {ERR_STORE_UNAVAILABLE, 0, NULL, ERR_STORE_UNAVAILABLE, false},
        {ERR_NO_MEMORY, 1, NULL, ERR_NO_MEMORY, false},
    };
    add_node("22222222", "b", 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct gateway_clients clients = ask_for("b", "", "", 7);
        expect_asked(&clients, "22222222");
        answer_with(rows[i].error, rows[i].n_asked, rows[i].text);
        cr_expect_eq(clients.error, rows[i].expected, "row %zu", i);
        cr_expect_eq(clients.is_unheard, rows[i].is_unheard, "row %zu", i);
        gateway_clients_clear(&clients);
    }
}

Test(clients, of_two_nodes_with_one_name_need_the_drawn_one)
{
    add_node("22222222", "b", 0);
    add_node("33333333", "b", 4000);
    expect_answer("b", "", ERR_CONFLICT);
    struct gateway_clients clients = ask_for("b", "33333333", "", 7);
    expect_asked(&clients, "33333333");
    answer_with(ERR_OK, 1, "{}");
    gateway_clients_clear(&clients);
    add_node("44444444", "a", 0);
    expect_answer("a", "", ERR_CONFLICT);
}

/* A node that was killed stands in the list for a minute. */
Test(clients, of_a_node_that_was_started_again_are_those_of_the_new_process)
{
    add_node("22222222", "b", 4000);
    add_node("33333333", "b", 500)->started_ms = now_ms(NULL) - 3000;
    struct gateway_clients clients = ask_for("b", "", "", 7);
    expect_asked(&clients, "33333333");
    answer_with(ERR_OK, 1, "{}");
    gateway_clients_clear(&clients);
}

Test(clients, of_a_silent_node_are_asked_for_unless_another_has_its_name)
{
    add_node("22222222", "b", 20000);
    struct gateway_clients clients = ask_for("b", "", "", 7);
    expect_asked(&clients, "22222222");
    answer_with(ERR_OK, 0, NULL);
    gateway_clients_clear(&clients);
    add_node("33333333", "b", 0);
    clients = ask_for("b", "", "", 7);
    expect_asked(&clients, "33333333");
    answer_with(ERR_OK, 1, "{}");
    gateway_clients_clear(&clients);
}

Test(clients, while_the_store_is_away_only_those_of_this_node_are_known)
{
    atomic_store(&fixture.node.is_store_up, false);
    expect_answer("b", "", ERR_STORE_UNAVAILABLE);
    expect_answer("a", "", ERR_OK);
    fixture.node.store = own_store;
    expect_answer("b", "", ERR_NOT_FOUND);
    expect_answer("a", "", ERR_OK);
}
