#include "gateway/upgrade/carried_process.h"

#include "proto/bytes/user_id.h"

enum { VERSION_MAX_BYTES = 64, TAG_ENTRY = 1 };

#define ROW(type, tag, kind, is_required, member, max, name)                                       \
    {                                                                                              \
        tag, kind, 1, is_required, RECORD_MEMBER(type, member), max, name                          \
    }
#define PROCESS(tag, kind, member, max, name)                                                      \
    ROW(struct carried_process, tag, kind, false, member, max, name)
#define KEY(tag, member, name) PROCESS(tag, RECORD_ARRAY, ticket_keys.member, 0, name)

/* As in session_record.c: from 128 on is what cannot be left out, and no row ever changes. */
static const struct record_row process_rows[] = {
    ROW(struct carried_process, 128, RECORD_UNSIGNED, true, next_connection, UINT64_MAX,
        "nextConnection"),
    PROCESS(129, RECORD_BOOL, is_draining, 0, "isDraining"),
    PROCESS(130, RECORD_SIGNED, drain_in_ms, 0, "drainIn"),
    PROCESS(131, RECORD_SPAN, tickets, CARRIED_TICKETS_MAX_BYTES, "tickets"),
    PROCESS(1, RECORD_SPAN, version, VERSION_MAX_BYTES, "version"),
    PROCESS(2, RECORD_SIGNED, frozen_ms, 0, "frozen"),
    PROCESS(3, RECORD_SIGNED, wall_ms, 0, "wall"),
    PROCESS(4, RECORD_SIGNED, monotonic_ms, 0, "monotonic"),
    PROCESS(5, RECORD_SPAN, kicks, CARRIED_KICKS_MAX_BYTES, "kicks"),
    PROCESS(6, RECORD_SPAN, presence_name, STORE_NODE_NAME_MAX_BYTES, "presenceName"),
    PROCESS(10, RECORD_BOOL, has_ticket_keys, 0, "hasTicketKeys"),
    PROCESS(11, RECORD_UNSIGNED, ticket_keys.age_ms, UINT32_MAX, "ticketKeyAge"),
    KEY(12, present.name, "ticketKey.name"),
    KEY(13, present.cipher, "ticketKey.cipher"),
    KEY(14, present.mac, "ticketKey.mac"),
    KEY(15, previous.name, "ticketKeyBefore.name"),
    KEY(16, previous.cipher, "ticketKeyBefore.cipher"),
    KEY(17, previous.mac, "ticketKeyBefore.mac"),
};

static const struct record_row kick_rows[] = {
    ROW(struct carried_kick, 128, RECORD_SPAN, true, user_id, USER_ID_MAX_BYTES, "userId"),
    ROW(struct carried_kick, 129, RECORD_UNSIGNED, true, left_ms, UINT32_MAX, "left"),
};

static const struct record_row ticket_rows[] = {
    ROW(struct store_ticket, 128, RECORD_SPAN, true, ticket, STORE_TICKET_MAX_BYTES, "ticket"),
    ROW(struct store_ticket, 129, RECORD_SPAN, true, user_id, USER_ID_MAX_BYTES, "userId"),
    ROW(struct store_ticket, 130, RECORD_SIGNED, true, left_ms, 0, "left"),
};

#define TABLE(rows)                                                                                \
    {                                                                                              \
        rows, sizeof(rows) / sizeof(rows)[0]                                                       \
    }
static const struct record_table process_table = TABLE(process_rows);
static const struct record_table kick_table = TABLE(kick_rows);
static const struct record_table ticket_table = TABLE(ticket_rows);

void carried_process_write(struct record_writer *writer, const struct carried_process *process,
                           unsigned format)
{
    record_write(writer, &process_table, process, format);
}

enum err carried_process_read(struct span bytes, struct carried_process *ret_process,
                              char why[RECORD_WHY_MAX_BYTES])
{
    *ret_process = (struct carried_process){0};
    return record_read(bytes, &process_table, ret_process, why);
}

static void write_entry(struct record_writer *writer, const struct record_table *table,
                        const void *entry, unsigned format)
{
    size_t place = record_begin(writer, TAG_ENTRY);
    record_write(writer, table, entry, format);
    record_end(writer, place);
}

void carried_kick_write(struct record_writer *writer, const struct carried_kick *kick,
                        unsigned format)
{
    write_entry(writer, &kick_table, kick, format);
}

void carried_ticket_write(struct record_writer *writer, const struct store_ticket *ticket,
                          unsigned format)
{
    write_entry(writer, &ticket_table, ticket, format);
}

/* The next one that can be read. false: there is none. */
static bool take_entry(struct span *list, const struct record_table *table, void *entry)
{
    uint8_t tag;
    struct span bytes;
    char why[RECORD_WHY_MAX_BYTES];
    while (record_take(list, &tag, &bytes) == RECORD_ITEM) {
        if (tag == TAG_ENTRY && record_read(bytes, table, entry, why) == ERR_OK)
            return true;
    }
    return false;
}

bool carried_kick_take(struct span *list, struct carried_kick *ret_kick)
{
    struct carried_kick kick = {0};
    while (take_entry(list, &kick_table, &kick)) {
        *ret_kick = kick;
        if (kick.user_id.len > 0)
            return true;
    }
    return false;
}

bool carried_ticket_take(struct span *list, struct store_ticket *ret_ticket)
{
    struct store_ticket ticket = {0};
    while (take_entry(list, &ticket_table, &ticket)) {
        *ret_ticket = ticket;
        if (ticket.ticket.len > 0 && ticket.user_id.len > 0 && ticket.left_ms > 0 &&
            ticket.left_ms <= (int64_t)STORE_TICKET_MAX_TTL_S * 1000)
            return true;
    }
    return false;
}
