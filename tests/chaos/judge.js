'use strict';
/* The judgement: whether all that the ledger holds can be, if Herald keeps its promises. */

const { parallel } = require('./tools');
const { seqOf } = require('./ledger');

class Judge {
    constructor(ledger) {
        this.ledger = ledger;
        this.accepted = [...ledger.entries.values()].filter((entry) => entry.state === 'accepted');
        this.numbers = new Map(); /* user -> number -> entry */
        this.newest = new Map(); /* "KEY of USER" -> the highest number with this collapse key */
        this.gaps = {};
        this.gone = {};
        this.lost = 0;
    }

    fault(sentence) {
        this.ledger.fault(sentence);
    }

    entryAt(userId, seq) {
        return this.numbers.get(userId)?.get(seq);
    }

    /* One number, one notification. */
    number() {
        for (const entry of this.accepted) {
            const ofUser = this.numbers.get(entry.userId) ?? new Map();
            this.numbers.set(entry.userId, ofUser);
            if (ofUser.has(entry.seq)) {
                this.fault(`twice numbered: ${entry.name} and ${ofUser.get(entry.seq).name} are ${entry.id}`);
            }
            ofUser.set(entry.seq, entry);
            if (entry.collapseKey !== undefined) {
                const key = `${entry.collapseKey} of ${entry.userId}`;
                this.newest.set(key, Math.max(entry.seq, this.newest.get(key) ?? 0));
            }
        }
    }

    /* Numbers from 1 to head, each of them a push that was answered; nothing is left open. */
    heads(users) {
        for (const { userId, head } of users) {
            const count = this.numbers.get(userId)?.size ?? 0;
            if (head !== count || (count > 0 && !this.entryAt(userId, count))) {
                this.fault(`${userId} has numbers up to ${head}, and ${count} pushes were accepted`);
            }
        }
        const nMaybe = [...this.ledger.entries.values()].filter((entry) => entry.state === 'maybe').length;
        if (nMaybe > 0) {
            this.fault(`${nMaybe} pushes were never answered`);
        }
    }

    /* ---- sessions ---- */

    /* Within a session numbers rise, so nothing comes twice; what was cancelled before it opened does not come. */
    order(session) {
        const seen = new Map(); /* entry -> when it came */
        let last = null;
        for (const { entry, id, atMs } of session.order) {
            if (seen.has(entry)) {
                this.fault(`twice: ${session.name} got ${entry.name} (${entry.id ?? `ttl ${entry.ttl}`}, with ${id ?? 'no id'}) again at ${
                    new Date(atMs).toISOString()}, ${atMs - seen.get(entry)} ms later`);
            }
            seen.set(entry, atMs);
            if (entry.state !== 'accepted') {
                continue;
            }
            if (id !== undefined && id !== entry.id) {
                this.fault(`misnumbered: ${session.name} got ${entry.name} as ${id}, and it is ${entry.id}`);
            }
            if (last !== null && entry.seq <= last.seq) {
                this.fault(`disorder: ${session.name} got ${entry.name} (${entry.id}) after ${last.name} (${last.id})`);
            }
            if (entry.cancelledMs !== null && entry.cancelledMs < session.openedMs) {
                this.fault(`undead: ${session.name} got ${entry.name} (${entry.id}), which was cancelled before it opened`);
            }
            last = entry;
        }
    }

    /* Can this number have left in this way by then? */
    canBe(entry, cause, atMs) {
        switch (cause) {
        case 'expired': return entry.expires <= atMs;
        case 'cancelled': return entry.isCancelAsked;
        case 'collapsed': return entry.collapseKey !== undefined
            && this.newest.get(`${entry.collapseKey} of ${entry.userId}`) > entry.seq;
        case 'acknowledged': return entry.arrivals > 0;
        case 'hidden': return ['cancelled', 'collapsed'].some((each) => this.canBe(entry, each, atMs));
        case 'unknown': return ['expired', 'cancelled', 'collapsed', 'acknowledged']
            .some((each) => this.canBe(entry, each, atMs));
        default: return false; /* overflow: no inbox was full; reset: no store has lost anything */
        }
    }

    toldGaps(session) {
        for (const gap of session.gaps) {
            this.gaps[gap.cause] = (this.gaps[gap.cause] ?? 0) + 1;
            for (let seq = gap.from; seq <= gap.to; seq++) {
                const entry = this.entryAt(session.userId, seq);
                if (entry === undefined || entry.id !== `${gap.epoch}-${seq}`) {
                    this.fault(`${session.name} was told that ${gap.epoch}-${seq} is missing, which never was`);
                } else if (!this.canBe(entry, gap.cause, gap.atMs)) {
                    this.fault(`${session.name} was told that ${entry.name} (${entry.id}) is ${gap.cause}, which it cannot be`);
                }
            }
        }
    }

    /* Of a user whose clients all acknowledge by id: no session begins, and no inbox is empty, beyond what one of them
     * has acknowledged. */
    positions(explicitUsers, users) {
        const acked = (userId) => this.ledger.acked.get(userId) ?? 0;
        for (const session of this.ledger.sessions) {
            if (explicitUsers.has(session.userId) && session.start > session.ackedThen) {
                this.fault(`${session.name} begins behind ${session.start}, and nobody had acknowledged more than ${session.ackedThen}`);
            }
        }
        for (const user of users) {
            if (explicitUsers.has(user.userId) && user.acked > acked(user.userId)) {
                this.fault(`${user.userId} stands at ${user.acked}, and nobody acknowledged more than ${acked(user.userId)}`);
            }
        }
    }

    /* The last sessions that know the numbers have heard of all of them. A device hears of each number: whatever its
     * sessions have had, the next one begins no further. */
    ends(clients, users) {
        const heads = new Map(users.map(({ userId, head }) => [userId, head]));
        for (const { session } of clients) {
            if (session.next !== null && session.next !== heads.get(session.userId) + 1) {
                this.fault(`${session.name} heard nothing of ${session.next} to ${heads.get(session.userId)}`);
            }
        }
        const heard = new Map(); /* "USER DEVICE" -> the highest number that it has heard of */
        for (const session of this.ledger.sessions.filter(({ device, hello }) => device !== undefined && hello)) {
            const key = `${session.userId} ${session.device}`;
            if (heard.has(key) && session.start > heard.get(key)) {
                this.fault(`${session.name} begins behind ${session.start}, and its device has heard of ${heard.get(key)}`);
            }
            heard.set(key, Math.max(heard.get(key) ?? 0, session.next - 1));
        }
    }

    /* ---- numbers and epochs ---- */

    /* One producer's pushes to a user one after the other: what it pushed later has the higher number. */
    lanes() {
        const last = new Map(); /* "LANE to USER" -> entry; the entries are in the order of their pushes */
        const epochs = new Map();
        for (const entry of this.accepted) {
            const key = `${entry.lane} to ${entry.userId}`;
            const before = last.get(key);
            if (before !== undefined && before.seq >= entry.seq) {
                this.fault(`renumbered: ${entry.name} is ${entry.id}, and ${before.name} before it was ${before.id}`);
            }
            last.set(key, entry);
            const epoch = entry.id.slice(0, entry.id.indexOf('-'));
            if ((epochs.get(entry.userId) ?? epoch) !== epoch || seqOf(entry.id) !== entry.seq) {
                this.fault(`a new epoch for ${entry.userId}, though the store lost nothing: ${entry.name} is ${entry.id}`);
            }
            epochs.set(entry.userId, epoch);
        }
    }

    /* ---- what arrived nowhere ---- */

    async fateOf(herald, entry) {
        const answer = await herald.message(entry.userId, entry.id);
        const { status, cause } = answer.json ?? {};
        if (answer.status !== 200 || status !== 'gone' || !this.canBe(entry, cause, Date.now())) {
            this.lost += 1;
            this.fault(`lost: ${entry.name} (${entry.id}) arrived nowhere; asked for it, ${answer.status} ${answer.text}`);
            return;
        }
        this.gone[cause] = (this.gone[cause] ?? 0) + 1;
    }

    async run(herald, clients, users, usersBefore, explicitUsers) {
        this.number();
        this.heads(users);
        this.lanes();
        for (const session of this.ledger.sessions) {
            this.order(session);
            this.toldGaps(session);
        }
        this.positions(explicitUsers, usersBefore);
        this.ends(clients, users);
        const missing = this.accepted.filter((entry) => entry.arrivals === 0);
        await parallel(missing.length, 16, (i) => this.fateOf(herald, missing[i]));
        return { ...this.ledger.counts, lost: this.lost, gaps: this.gaps, gone: this.gone };
    }
}

module.exports = { Judge };
