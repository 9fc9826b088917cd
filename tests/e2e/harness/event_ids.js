'use strict';
/* Events as a backend reads them: their ids, and what the reader of a stream of them may insist on. */

const assert = require('node:assert/strict');

const ID = /^(\d+)\.([^.-]+)-(\d+)$/;

/* The partition of a user's events: FNV-1a of 32 bits, the upper half folded into the lower one. */
function partitionOf(userId) {
    let hash = 2166136261;
    for (const byte of Buffer.from(userId)) {
        hash = Math.imul(hash ^ byte, 16777619) >>> 0;
    }
    return ((hash ^ (hash >>> 16)) >>> 0) % 16;
}

/* So many users whose events are in one partition. */
function usersOfPartition(partition, count) {
    const users = [];
    for (let n = 0; users.length < count; n++) {
        if (partitionOf(`user${n}`) === partition) {
            users.push(`user${n}`);
        }
    }
    return users;
}

/* {partition, epoch, number} of "3.k3f9a2qd-118". */
function parseEventId(id) {
    const match = ID.exec(id);
    assert.ok(match !== null && Number(match[1]) < 16, `an id of an event: ${id}`);
    return { partition: Number(match[1]), epoch: match[2], number: Number(match[3]) };
}

/* What one reader has had, without repeats. A lower number than the last one of its partition is a repeat; a number that
 * was passed over has to be covered by a gap, if the reader takes all types (isWhole). */
class EventRecord {
    constructor({ isWhole = true } = {}) {
        this.isWhole = isWhole;
        this.events = []; /* each once, gaps among them, in the order in which they came */
        this.repeats = 0;
        this.faults = [];
        this.last = new Map(); /* "PARTITION.EPOCH" -> the highest number */
        this.epochs = new Map(); /* partition -> the epoch of the last one */
    }

    /* true: it had not come before. */
    take(event) {
        const { partition, epoch, number } = parseEventId(event.id);
        const key = `${partition}.${epoch}`;
        const last = this.last.get(key);
        const isGap = event.type === 'gap';
        if (last !== undefined && number <= last) {
            this.repeats += 1;
            return false;
        }
        const first = isGap ? event.from : number; /* a gap may begin with what was had already */
        const isNext = last === undefined || (isGap ? first <= last + 1 || event.cause === 'reset' : first === last + 1);
        if (this.isWhole && !isNext) {
            this.faults.push(`${event.type} ${event.id} from ${first}, where ${key}-${last + 1} is next`);
        }
        this.last.set(key, number);
        this.epochs.set(partition, epoch);
        this.events.push(event);
        return true;
    }

    ofType(type) {
        return this.events.filter((event) => event.type === type);
    }

    ofUser(userId) {
        return this.events.filter((event) => event.userId === userId);
    }

    gaps() {
        return this.ofType('gap');
    }

    /* Is this event had, or told as missing? */
    covers(id) {
        const { partition, epoch, number } = parseEventId(id);
        return this.events.some((event) => {
            const of = parseEventId(event.id);
            return of.partition === partition && of.epoch === epoch && (event.type === 'gap'
                ? event.from <= number && number <= event.to : of.number === number);
        });
    }

    /* No number was passed over in silence. */
    check() {
        assert.deepEqual(this.faults, []);
    }
}

module.exports = { EventRecord, parseEventId, partitionOf, usersOfPartition };
