/* The slot of a key, and the map of a Cluster from what it answers. */
#include "gateway/stores/redis/redis_slots.h"

#include "gateway/stores/redis/redis_record.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct redis_reader *reader;
static struct redis_slot_map *map;
static char why[200];
static const struct redis_address asked = {.host = "10.0.0.9", .port = 7000};

static void set_up(void)
{
    reader = redis_reader_new();
    cr_assert_not_null(reader);
    map = NULL;
    why[0] = '\0';
}

static void tear_down(void)
{
    redis_slot_map_unref(map);
    redis_reader_free(reader);
}

TestSuite(redis_slots, .init = set_up, .fini = tear_down);

static enum err read_map(const char *answer)
{
    const struct redis_value *reply;
    cr_assert_eq(redis_reader_feed(reader, answer, strlen(answer)), ERR_OK);
    cr_assert_eq(redis_reader_next(reader, &reply), ERR_OK);
    cr_assert_not_null(reply);
    return redis_slot_map_read(reply, &asked, &map, why, sizeof why);
}

static void expect_owner(uint16_t slot, const char *host, uint16_t port)
{
    const struct redis_address *owner = redis_slot_map_owner(map, slot);
    cr_assert_not_null(owner, "slot %u", slot);
    cr_expect_str_eq(owner->host, host);
    cr_expect_eq(owner->port, port);
}

/* The values are those of CLUSTER KEYSLOT of Redis 7.0.15. */
Test(redis_slots, a_key_has_the_slot_that_redis_gives_it)
{
    static const struct {
        const char *key;
        uint16_t slot;
    } rows[] = {
        {"123456789", 12739},
        {"", 0},
        {"foo", 12182},
        {"herald:{anna}:inbox", 15278},
        {"herald:{anna}", 15278},
        {"anna", 15278},
        {"herald:all", 13617},
        {"{}anna", 364},
        {"a{b", 13340},
        {"a{b}{c}", 3300},
        {"\xff\xfe{\xc3\xa9}", 10180},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        cr_expect_eq(redis_slot_of(span_of(rows[i].key)), rows[i].slot, "%s: %u", rows[i].key,
                     redis_slot_of(span_of(rows[i].key)));
}

/* What the keys of a user have between their braces is encoded where the userId has some. */
Test(redis_slots, a_user_has_the_slot_of_all_keys)
{
    static const char *const users[] = {"anna", "a{b}%c", "{}", "%", "\xf0\x9f\x93\xaf ", ":inbox"};
    for (size_t i = 0; i < sizeof users / sizeof users[0]; i++) {
        struct redis_keys keys;
        redis_keys_write(&keys, "herald", span_of(users[i]));
        redis_keys_write_channel(&keys, "herald:2");
        uint16_t slot = redis_slot_of_user(span_of(users[i]));
        cr_expect_eq(slot, redis_slot_of(keys.inbox), "%s", users[i]);
        cr_expect_eq(slot, redis_slot_of(keys.channel), "%s", users[i]);
    }
    struct span with_nul = {"a\0b{", 4};
    struct redis_keys keys;
    redis_keys_write(&keys, "herald", with_nul);
    cr_expect_eq(redis_slot_of_user(with_nul), redis_slot_of(keys.meta));
}

#define NODE(host, port) "*3\r\n" host ":" port "\r\n$2\r\nid\r\n"
#define A                NODE("$8\r\n10.0.0.1\r\n", "7001")
#define B                NODE("$3\r\n::2\r\n", "7002")

Test(redis_slots, each_slot_has_the_first_node_of_its_range)
{
    cr_assert_eq(read_map("*3\r\n*4\r\n:0\r\n:100\r\n" A B "*3\r\n:101\r\n:16382\r\n" B
                          "*3\r\n:16383\r\n:16383\r\n" A),
                 ERR_OK);
    expect_owner(0, "10.0.0.1", 7001);
    expect_owner(100, "10.0.0.1", 7001);
    expect_owner(101, "::2", 7002);
    expect_owner(16382, "::2", 7002);
    expect_owner(16383, "10.0.0.1", 7001);
    uint16_t first;
    cr_expect_eq(redis_slot_map_missing(map, &first), 0);
    cr_expect_not_null(redis_slot_map_address(map, 1));
    cr_expect_null(redis_slot_map_address(map, 2));
}

Test(redis_slots, slots_that_nobody_has_are_counted)
{
    cr_assert_eq(read_map("*1\r\n*3\r\n:10\r\n:16380\r\n" A), ERR_OK);
    uint16_t first = 99;
    cr_expect_eq(redis_slot_map_missing(map, &first), 13);
    cr_expect_eq(first, 0);
    cr_expect_null(redis_slot_map_owner(map, 9));
    cr_expect_null(redis_slot_map_owner(map, 16381));
}

Test(redis_slots, a_cluster_without_slots_has_an_empty_map)
{
    cr_assert_eq(read_map("*0\r\n"), ERR_OK);
    uint16_t first;
    cr_expect_eq(redis_slot_map_missing(map, &first), REDIS_SLOTS);
    cr_expect_null(redis_slot_map_address(map, 0));
}

Test(redis_slots, no_host_means_the_one_that_was_asked)
{
    cr_assert_eq(read_map("*2\r\n*3\r\n:0\r\n:1\r\n" NODE(
                     "$-1\r\n", "7001") "*3\r\n:2\r\n:3\r\n" NODE("$0\r\n\r\n", "7002")),
                 ERR_OK);
    expect_owner(1, "10.0.0.9", 7001);
    expect_owner(2, "10.0.0.9", 7002);
}

Test(redis_slots, a_question_mark_is_no_address)
{
    cr_assert_eq(read_map("*1\r\n*3\r\n:5\r\n:9\r\n" NODE("$1\r\n?\r\n", "7001")), ERR_NOT_FOUND);
    cr_expect_str_eq(why,
                     "the Cluster announces no address for slot 5; see cluster-announce-hostname");
}

Test(redis_slots, whose_owner_has_no_address_are_missing_and_no_others)
{
    uint16_t first;
    char words[120];
    cr_assert_eq(
        read_map("*2\r\n*3\r\n:0\r\n:4\r\n" NODE(
            "$8\r\n10.0.0.1\r\n", "7001") "*3\r\n:5\r\n:9\r\n" NODE("$1\r\n?\r\n", "7002")),
        ERR_OK);
    expect_owner(4, "10.0.0.1", 7001);
    cr_expect_null(redis_slot_map_owner(map, 5));
    cr_expect_eq(redis_slot_map_missing(map, &first), REDIS_SLOTS - 5);
    redis_slot_map_describe_missing(map, words, sizeof words);
    cr_expect_str_eq(words,
                     "the Cluster announces no address for slot 5; see cluster-announce-hostname");
}

Test(redis_slots, what_is_malformed_makes_no_map)
{
    static const char *const answers[] = {
        "+OK\r\n",
        ":1\r\n",
        "*1\r\n:1\r\n",
        "*1\r\n*0\r\n",
        "*1\r\n*3\r\n:0\r\n:16384\r\n" A,
        "*1\r\n*3\r\n:-1\r\n:4\r\n" A,
        "*1\r\n*3\r\n:5\r\n:4\r\n" A,
        "*1\r\n*3\r\n$1\r\n0\r\n:4\r\n" A,
        "*1\r\n*2\r\n:0\r\n:4\r\n",
        "*1\r\n*3\r\n:0\r\n:4\r\n$1\r\na\r\n",
        "*1\r\n*3\r\n:0\r\n:4\r\n" NODE("$8\r\n10.0.0.1\r\n", "0"),
        "*1\r\n*3\r\n:0\r\n:4\r\n" NODE("$8\r\n10.0.0.1\r\n", "65536"),
        "*1\r\n*3\r\n:0\r\n:4\r\n" NODE(":1\r\n", "7001"),
    };
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        cr_expect_eq(read_map(answers[i]), ERR_PROTOCOL, "answer %zu", i);
        cr_expect_str_eq(why, "the answer to CLUSTER SLOTS is malformed");
        cr_expect_null(map);
    }
}

Test(redis_slots, a_slot_with_two_owners_makes_no_map)
{
    cr_expect_eq(read_map("*2\r\n*3\r\n:0\r\n:100\r\n" A "*3\r\n:100\r\n:200\r\n" B), ERR_PROTOCOL);
    cr_expect_str_eq(why, "the answer to CLUSTER SLOTS names a slot twice");
    cr_expect_null(map);
}

Test(redis_slots, more_primaries_than_a_cluster_can_have_are_refused)
{
    char *answer = malloc(200000);
    cr_assert_not_null(answer);
    int len = snprintf(answer, 200000, "*%d\r\n", REDIS_PRIMARIES_MAX + 1);
    for (int i = 0; i <= REDIS_PRIMARIES_MAX; i++)
        len += snprintf(answer + len, 200000 - (size_t)len,
                        "*3\r\n:%d\r\n:%d\r\n*2\r\n$1\r\na\r\n:%d\r\n", i, i, i + 1);
    cr_expect_eq(read_map(answer), ERR_PROTOCOL);
    cr_expect_null(map);
    free(answer);
}

Test(redis_slots, maps_are_the_same_when_each_slot_has_the_same_owner)
{
    cr_assert_eq(read_map("*2\r\n*3\r\n:0\r\n:100\r\n" A "*3\r\n:101\r\n:200\r\n" B), ERR_OK);
    struct redis_slot_map *first = map;
    cr_assert_eq(read_map("*2\r\n*3\r\n:101\r\n:200\r\n" B "*3\r\n:0\r\n:100\r\n" A), ERR_OK);
    cr_expect(redis_slot_map_equal(first, map), "whatever the order");
    redis_slot_map_unref(map);
    cr_assert_eq(read_map("*2\r\n*3\r\n:101\r\n:201\r\n" B "*3\r\n:0\r\n:100\r\n" A), ERR_OK);
    cr_expect_not(redis_slot_map_equal(first, map));
    cr_expect_eq(redis_slot_map_owner_at(map, 202), -1);
    redis_slot_map_unref(first);
}

Test(redis_slots, a_redirection_corrects_one_slot)
{
    cr_assert_eq(read_map("*1\r\n*3\r\n:0\r\n:16383\r\n" A), ERR_OK);
    uint16_t slot;
    struct redis_address owner;
    cr_assert(redis_redirect_read("MOVED 3999 10.0.0.7:7007", &asked, &slot, &owner));
    cr_assert_eq(slot, 3999);
    struct redis_slot_map *corrected;
    cr_assert_eq(redis_slot_map_correct(map, slot, &owner, &corrected), ERR_OK);
    redis_slot_map_unref(redis_slot_map_ref(map));
    redis_slot_map_unref(map);
    map = corrected;
    expect_owner(3998, "10.0.0.1", 7001);
    expect_owner(3999, "10.0.0.7", 7007);
    expect_owner(4000, "10.0.0.1", 7001);
}

Test(redis_slots, redirections_are_read_with_care)
{
    uint16_t slot = 0;
    struct redis_address owner;
    cr_assert(redis_redirect_read("ASK 16383 fd00::1:7001", &asked, &slot, &owner));
    cr_expect_eq(slot, 16383);
    cr_expect_str_eq(owner.host, "fd00::1");
    cr_expect_eq(owner.port, 7001);
    cr_assert(redis_redirect_read("MOVED 1 :7001", &asked, &slot, &owner));
    cr_expect_str_eq(owner.host, asked.host);
    static const char *const none[] = {
        "",
        "MOVED",
        "MOVED ",
        "MOVED 1",
        "MOVED 1 ",
        "MOVED 1 a",
        "MOVED 1 a:",
        "MOVED 1 a:0",
        "MOVED 1 a:1x",
        "MOVED 1 a:65536",
        "MOVED x a:1",
        "MOVED 16384 a:1",
        "MOVED -1 a:1",
        "MOVED 1 ?:7001",
        "TRYAGAIN 1 a:1",
        "ASKING 1 a:1",
    };
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        cr_expect_not(redis_redirect_read(none[i], &asked, &slot, &owner), "%s", none[i]);
}
