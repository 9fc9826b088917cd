/* Whose handshake is next, and whose gives way: against a model that looks at all of them. */
#include "gateway/net/handshake_addresses.h"

#include "gateway/base/hash.h"

#include <criterion/criterion.h>

enum { ENTRIES = 600, ADDRESSES = 40 };

struct known {
    struct handshake_entry entry;
    unsigned address;
    bool is_here, is_begun, is_waiting;
    unsigned since; /* it waits, or has begun: an order */
};

static struct handshake_addresses addresses;
static struct known all[ENTRIES];
static uint32_t seed;
static unsigned order;

static unsigned draw(unsigned below)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % below;
}

static struct ip ip_number(unsigned n)
{
    return ip_from_v4((const uint8_t[]){192, 0, 2, (uint8_t)n});
}

static void set_up(void)
{
    cr_assert_eq(hash_init(), ERR_OK);
    cr_assert_eq(handshake_addresses_init(&addresses), ERR_OK);
}

static void tear_down(void)
{
    for (unsigned i = 0; i < ENTRIES; i++) {
        if (all[i].is_here)
            handshake_addresses_remove(&addresses, &all[i].entry);
    }
    cr_expect_eq(addresses.here.table.n_links, 0);
    cr_expect_eq(addresses.n_begun, 0);
    handshake_addresses_fini(&addresses);
}

TestSuite(handshake_addresses, .init = set_up, .fini = tear_down);

static void come(struct known *known, unsigned address)
{
    struct ip ip = ip_number(address);
    *known = (struct known){.address = address, .is_here = true};
    cr_assert_eq(handshake_addresses_add(&addresses, &known->entry, &ip), ERR_OK);
}

static void await(struct known *known)
{
    handshake_addresses_wait(&addresses, &known->entry);
    known->is_waiting = true;
}

static void take(struct known *known)
{
    handshake_addresses_take(&addresses, &known->entry);
    known->is_waiting = false;
}

static void begin(struct known *known)
{
    take(known);
    handshake_addresses_begin(&addresses, &known->entry);
    known->is_begun = true;
    known->since = order++;
}

static void go(struct known *known)
{
    handshake_addresses_remove(&addresses, &known->entry);
    known->is_here = false;
}

static unsigned begun_of(unsigned address)
{
    unsigned n = 0;
    for (unsigned i = 0; i < ENTRIES; i++)
        n += all[i].is_here && all[i].is_begun && all[i].address == address;
    return n;
}

/* No address has begun more than the oldest one's, and that one is the oldest of its address. */
static void check_oldest(void)
{
    struct handshake_entry *entry = handshake_addresses_oldest(&addresses);
    if (entry == NULL) {
        cr_assert_eq(addresses.n_begun, 0);
        return;
    }
    const struct known *oldest = CONTAINER_OF(entry, struct known, entry);
    unsigned most = begun_of(oldest->address);
    cr_assert(oldest->is_here && oldest->is_begun);
    for (unsigned i = 0; i < ADDRESSES; i++)
        cr_assert_leq(begun_of(i), most);
    for (unsigned i = 0; i < ENTRIES; i++) {
        if (all[i].is_here && all[i].is_begun && all[i].address == oldest->address)
            cr_assert_geq(all[i].since, oldest->since);
    }
}

static void check_next(void)
{
    struct handshake_entry *fresh = handshake_addresses_next_fresh(&addresses);
    struct handshake_entry *ready = handshake_addresses_next_ready(&addresses);
    unsigned n_fresh = 0, n_ready = 0, fewest = ENTRIES;
    for (unsigned i = 0; i < ENTRIES; i++) {
        if (!all[i].is_here || !all[i].is_waiting)
            continue;
        n_fresh += !all[i].is_begun;
        n_ready += all[i].is_begun;
        if (!all[i].is_begun && begun_of(all[i].address) < fewest)
            fewest = begun_of(all[i].address);
    }
    cr_assert_eq(fresh != NULL, n_fresh > 0);
    cr_assert_eq(ready != NULL, n_ready > 0);
    if (fresh != NULL)
        cr_assert_eq(begun_of(CONTAINER_OF(fresh, struct known, entry)->address), fewest);
}

static void change_one(struct known *known)
{
    if (!known->is_here)
        come(known, draw(2) ? draw(3) : draw(ADDRESSES));
    else if (draw(4) == 0)
        go(known);
    else if (!known->is_waiting)
        await(known);
    else if (known->is_begun)
        take(known);
    else if (addresses.n_begun < HANDSHAKES_BEGUN)
        begin(known);
}

Test(handshake_addresses, agree_with_a_look_at_all_of_them)
{
    seed = 7;
    for (int i = 0; i < 4000; i++) {
        change_one(&all[draw(ENTRIES)]);
        check_oldest();
        check_next();
    }
}

Test(handshake_addresses, count_512_of_one_address)
{
    for (unsigned i = 0; i < HANDSHAKES_BEGUN; i++) {
        come(&all[i], 1);
        await(&all[i]);
        begin(&all[i]);
    }
    come(&all[HANDSHAKES_BEGUN], 1);
    await(&all[HANDSHAKES_BEGUN]);
    check_next();
    check_oldest();
}

/* Those that wait for their next step: a client that sends byte by byte is one of many. */
Test(handshake_addresses, take_turns_address_by_address)
{
    enum { MANY = 20 };
    for (unsigned i = 0; i <= MANY; i++) {
        come(&all[i], i == MANY);
        begin(&all[i]);
        await(&all[i]);
    }
    take(CONTAINER_OF(handshake_addresses_next_ready(&addresses), struct known, entry));
    cr_assert_eq(handshake_addresses_next_ready(&addresses), &all[MANY].entry);
    take(&all[MANY]);
    cr_assert_eq(handshake_addresses_next_ready(&addresses), &all[1].entry);
}

Test(handshake_addresses, are_the_64_bit_networks_of_ipv6)
{
    struct ip ips[3];
    cr_assert_eq(ip_parse(SPAN_LITERAL("2001:db8:1:2::1"), &ips[0]), ERR_OK);
    cr_assert_eq(ip_parse(SPAN_LITERAL("2001:db8:1:2::2"), &ips[1]), ERR_OK);
    cr_assert_eq(ip_parse(SPAN_LITERAL("2001:db8:1:3::1"), &ips[2]), ERR_OK);
    for (int i = 0; i < 3; i++) {
        all[i] = (struct known){.is_here = true};
        cr_assert_eq(handshake_addresses_add(&addresses, &all[i].entry, &ips[i]), ERR_OK);
    }
    cr_expect_eq(all[0].entry.address, all[1].entry.address);
    cr_expect_neq(all[0].entry.address, all[2].entry.address);
}
