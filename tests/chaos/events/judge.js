'use strict';
/* The judgement of events: whether all that an event ledger holds can be, if Herald keeps its promises. */

const { parseEventId } = require('../tools');
const { keyOf } = require('./ledger');

class EventJudge {
    /* online: the users who have a session at the end, and offline: those who have none. */
    constructor(ledger, { online, offline }) {
        this.ledger = ledger;
        this.truth = new Map([...[...online].map((userId) => [userId, 'user.online']),
            ...[...offline].map((userId) => [userId, 'user.offline'])]);
        this.partitions = new Map(); /* user -> partition */
        this.copies = new Map(); /* "USER CLIENT-ID" -> Set of ids, over all readers */
        this.texts = new Map(); /* id -> {text, reader} */
        this.lost = 0;
        this.gaps = 0;
    }

    fault(sentence) {
        this.ledger.fault(sentence);
    }

    /* All readers are shown the same events, and each user's in one partition. */
    agree(reader) {
        for (const event of reader.record.events.filter(({ type }) => type !== 'gap')) {
            const text = reader.texts.get(event.id);
            const other = this.texts.get(event.id);
            if (other !== undefined && other.text !== text) {
                this.fault(`disagreement: ${event.id} is ${text.slice(0, 200)} for ${reader.name}, and ${
                    other.text.slice(0, 200)} for ${other.reader.name}`);
            }
            this.texts.set(event.id, { text, reader });
            const { partition } = parseEventId(event.id);
            if ((this.partitions.get(event.userId) ?? partition) !== partition) {
                this.fault(`astray: ${event.id} is of ${event.userId}, whose partition is ${this.partitions.get(event.userId)}`);
            }
            this.partitions.set(event.userId, partition);
        }
    }

    /* ---- messages ---- */

    message(reader, event) {
        const message = this.ledger.messages.get(keyOf(event.userId, event.clientId));
        if (message === undefined) {
            this.fault(`invented: ${reader.name} got ${event.id} of ${event.userId} with ${event.clientId}, which nobody said`);
            return;
        }
        if (JSON.stringify(event.data) !== message.text) {
            this.fault(`altered: ${reader.name} got ${event.id} with ${JSON.stringify(event.data).slice(0, 80)} for ${message.text.slice(0, 80)}`);
        }
        const key = keyOf(event.userId, event.clientId);
        const ids = this.copies.get(key) ?? new Set();
        this.copies.set(key, ids.add(event.id));
        if (ids.size > message.sends.length) {
            this.fault(`multiplied: ${key} is ${[...ids].join(' and ')}, and was sent ${message.sends.length} times`);
        }
    }

    /* What one session said, and was accepted at once, stands in the log in that order. */
    lanes() {
        const last = new Map(); /* connection -> {place, number, message} */
        const said = [...this.ledger.messages].filter(([key, { sends, accepted }]) => accepted !== null && sends.length === 1
            && this.copies.get(key)?.size === 1);
        for (const [key, message] of said.sort(([, a], [, b]) => a.accepted.place - b.accepted.place)) {
            const { connection } = message.accepted;
            const { epoch, number } = parseEventId([...this.copies.get(key)][0]);
            const before = last.get(connection);
            if (before !== undefined && before.epoch === epoch && before.number > number) {
                this.fault(`disorder: ${key} is ${number}, and ${before.key}, which was said before it, ${before.number}`);
            }
            last.set(connection, { key, epoch, number });
        }
    }

    /* ---- what was promised, and neither came nor was told as missing ---- */

    hasGapFor(reader, userId, ids) {
        const gaps = reader.record.gaps();
        if (ids !== undefined) {
            return [...ids].some((id) => reader.record.covers(id));
        }
        const partition = this.partitions.get(userId); /* no reader has it, so nobody knows its number */
        return gaps.some((gap) => partition === undefined || parseEventId(gap.id).partition === partition);
    }

    owed(reader) {
        const had = new Set(reader.record.events.map((event) => keyOf(event.userId, event.clientId ?? event.notification)));
        const due = [...[...this.ledger.messages].filter(([, { accepted }]) => accepted !== null), ...this.ledger.alerts];
        for (const [key, { userId }] of due.filter(([each]) => !had.has(each))) {
            if (!this.hasGapFor(reader, userId, this.copies.get(key))) {
                this.lost += 1;
                this.fault(`lost: ${key} was accepted, and ${reader.name} has neither it nor a gap`);
            }
        }
    }

    /* One event for each push that asked, and none for others. */
    alerts(reader) {
        const seen = new Map();
        for (const event of reader.record.ofType('notification.unacknowledged')) {
            const key = keyOf(event.userId, event.notification);
            if (!this.ledger.alerts.has(key)) {
                this.fault(`unasked: ${reader.name} got ${event.id} for ${key}, which asked for nothing`);
            }
            if (seen.has(key)) {
                this.fault(`twice: ${reader.name} got ${event.id} and ${seen.get(key)} for ${key}`);
            }
            if (event.cause !== 'waiting' || event.online !== false) {
                this.fault(`untrue: ${reader.name} got ${event.id} for ${key} with cause ${event.cause}, online ${event.online}`);
            }
            seen.set(key, event.id);
        }
    }

    /* ---- presence ---- */

    /* Each user's events alternate, the first of all is that they came, and the last one is what is so at the end. */
    presence(reader) {
        const last = new Map();
        for (const event of reader.record.events) {
            if (event.type === 'gap') {
                this.gaps += 1;
                const { partition } = parseEventId(event.id);
                [...last.keys()].filter((userId) => this.partitions.get(userId) === partition).forEach((userId) => last.set(userId, undefined));
            } else if (event.type.startsWith('user.')) {
                this.presenceEvent(reader, event, last);
            }
        }
        for (const [userId, wanted] of this.truth) {
            const is = last.has(userId) ? last.get(userId)?.type : 'user.offline';
            if (is !== undefined && is !== wanted) {
                this.fault(`untrue: the last that ${reader.name} heard of ${userId} is ${is}, at ${
                    last.get(userId)?.id ?? 'no time'}, and ${wanted} is so`);
            }
        }
    }

    presenceEvent(reader, event, last) {
        const before = last.get(event.userId);
        const isFirst = !last.has(event.userId);
        if (isFirst ? event.type !== 'user.online' : before?.type === event.type) {
            this.fault(`presence: ${reader.name} got ${event.type} ${event.id} of ${event.userId} ${
                isFirst ? 'first' : `after ${before.id}, which says the same`}`);
        }
        last.set(event.userId, event);
    }

    run() {
        for (const reader of this.ledger.readers) {
            reader.record.faults.forEach((sentence) => this.fault(`hole: ${reader.name} got ${sentence}`));
            this.agree(reader);
            reader.record.ofType('client.message').forEach((event) => this.message(reader, event));
        }
        this.lanes();
        for (const reader of this.ledger.readers) {
            this.owed(reader);
            this.alerts(reader);
            this.presence(reader);
        }
        const open = [...this.ledger.messages.values()].filter(({ accepted, isRefused }) => accepted === null && !isRefused).length;
        if (open > 0) {
            this.fault(`${open} messages were never answered`);
        }
        return { lost: this.lost, gaps: this.gaps };
    }
}

module.exports = { EventJudge };
