/* What a Redis Cluster says of its slots: an answer to CLUSTER SLOTS, or an error MOVED or ASK. */
#include "gateway/stores/redis/redis_slots.h"
#include "tests/fuzz/fuzz.h"

static const struct redis_address asked = {.host = "asked", .port = 1};

static void check_address(const struct redis_address *address)
{
    FUZZ_CHECK(address->port > 0 && address->host[0] != '\0');
    FUZZ_CHECK(strnlen(address->host, sizeof address->host) < sizeof address->host);
    FUZZ_CHECK(strcmp(address->host, "?") != 0);
}

static void check_map(const struct redis_slot_map *map)
{
    uint16_t first;
    unsigned missing = 0;
    for (unsigned slot = 0; slot < REDIS_SLOTS; slot++) {
        const struct redis_address *owner = redis_slot_map_owner(map, (uint16_t)slot);
        if (owner == NULL)
            missing++;
        else
            check_address(owner);
    }
    FUZZ_CHECK(redis_slot_map_missing(map, &first) == missing);
}

static void read_slots(struct span answer)
{
    struct redis_reader *reader = redis_reader_new();
    const struct redis_value *reply;
    struct redis_slot_map *map;
    char why[200];
    FUZZ_CHECK(reader != NULL);
    if (redis_reader_feed(reader, answer.bytes, answer.len) == ERR_OK &&
        redis_reader_next(reader, &reply) == ERR_OK && reply != NULL &&
        redis_slot_map_read(reply, &asked, &map, why, sizeof why) == ERR_OK) {
        check_map(map);
        redis_slot_map_unref(map);
    }
    redis_reader_free(reader);
}

static void read_redirection(struct span text)
{
    char *error = malloc(text.len + 1);
    uint16_t slot;
    struct redis_address owner;
    FUZZ_CHECK(error != NULL);
    memcpy(error, text.bytes, text.len);
    error[text.len] = '\0';
    if (redis_redirect_read(error, &asked, &slot, &owner)) {
        FUZZ_CHECK(slot < REDIS_SLOTS);
        check_address(&owner);
    }
    free(error);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct span text = {(const char *)bytes, len};
    read_slots(text);
    if (len > 0)
        read_redirection(text);
    return 0;
}
