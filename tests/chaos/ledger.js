'use strict';
/* What was pushed, what was answered, what arrived, and the judgement at the end (CONTRACT 5.1 to 5.3, 5.6).
 *
 * A push goes to one or more users; each of them is an entry. An entry is "accepted" when it was answered 202 (in a
 * push to several: with an id of its own), "never" when its ttl was 0, and "maybe" otherwise: a 503 or a broken
 * connection can hide a push that was kept, so it may arrive, and need not. */

class Session {
    constructor(userId, name) {
        this.userId = userId;
        this.name = name;
        this.order = []; /* entries, as they came */
    }
}

class Ledger {
    constructor() {
        this.entries = new Map(); /* "LANE.N to USER" -> entry */
        this.sessions = [];
        this.counts = { pushed: 0, accepted: 0, maybe: 0, delivered: 0, repeated: 0, expired: 0 };
        this.faults = []; /* sentences: what must never happen */
        this.nFaults = 0;
    }

    fault(sentence) {
        this.nFaults += 1;
        if (this.faults.length < 20) {
            this.faults.push(sentence);
        }
    }

    /* Before it is sent, because it may arrive before it is answered. */
    pushes({ lane, n, to, ttl, size }) {
        for (const userId of to) {
            this.entries.set(`${lane}.${n} to ${userId}`, {
                name: `${lane}.${n} to ${userId}`, lane, n, userId, ttl, size, state: ttl === 0 ? 'never' : 'maybe', expires: 0, seq: 0, arrivals: 0,
            });
        }
        this.counts.pushed += to.length;
    }

    /* answer: what Herald said of this user's notification. */
    accepts({ lane, n }, userId, answer) {
        const entry = this.entries.get(`${lane}.${n} to ${userId}`);
        entry.state = 'accepted';
        entry.expires = answer.expires;
        entry.seq = answer.seq;
        entry.id = answer.id;
        this.counts.accepted += 1;
    }

    opens(userId, name) {
        const session = new Session(userId, name);
        this.sessions.push(session);
        return session;
    }

    /* message: the pushed data {to, lane, n, fill}, as it came to this session. */
    arrives(session, message) {
        if (!Array.isArray(message.to) || !message.to.includes(session.userId)) {
            this.misrouted = (this.misrouted ?? 0) + 1;
            this.fault(`misrouted: ${session.name} got ${message.lane}.${message.n}, which is for ${message.to}`);
            return;
        }
        const entry = this.entries.get(`${message.lane}.${message.n} to ${session.userId}`);
        if (entry === undefined) {
            this.fault(`invented: ${session.name} got ${message.lane}.${message.n}, which nobody pushed`);
            return;
        }
        if (message.fill.length !== entry.size) {
            this.fault(`changed: ${session.name} got ${entry.name} with ${message.fill.length} bytes for ${entry.size}`);
        }
        entry.arrivals += 1;
        session.order.push(entry);
        this.counts[entry.arrivals === 1 ? 'delivered' : 'repeated'] += 1;
    }

    /* Within a session numbers rise, so nothing comes twice. The number is known of what was accepted. */
    judgeOrder(session) {
        const seen = new Set();
        let last = null;
        for (const entry of session.order) {
            if (seen.has(entry)) {
                this.fault(`twice: ${session.name} got ${entry.name} again`);
            }
            seen.add(entry);
            if (entry.state !== 'accepted') {
                continue;
            }
            if (last !== null && entry.seq <= last.seq) {
                this.fault(`disorder: ${session.name} got ${entry.name} (${entry.id}) after ${last.name} (${last.id})`);
            }
            last = entry;
        }
    }

    /* One producer's pushes to a user one after the other: what it pushed later has the higher number. */
    judgeNumbers() {
        const last = new Map(); /* "LANE to USER" -> entry; the entries stand in the order of their pushes */
        for (const entry of this.entries.values()) {
            if (entry.state !== 'accepted') {
                continue;
            }
            const key = `${entry.lane} to ${entry.userId}`;
            const before = last.get(key);
            if (before !== undefined && before.seq >= entry.seq) {
                this.fault(`renumbered: ${entry.name} is ${entry.id}, and ${before.name} before it was ${before.id}`);
            }
            last.set(key, entry);
        }
    }

    judgeEpochs() {
        const epochs = new Map();
        for (const entry of this.entries.values()) {
            if (entry.state !== 'accepted') {
                continue;
            }
            const epoch = entry.id.slice(0, entry.id.indexOf('-'));
            if ((epochs.get(entry.userId) ?? epoch) !== epoch) {
                this.fault(`a new epoch for ${entry.userId}, though the store lost nothing: ${entry.name} is ${entry.id}`);
            }
            epochs.set(entry.userId, epoch);
        }
    }

    /* Accepted, and there was time: whoever expired before everything was up again need not have arrived. */
    missing(readyMs) {
        return [...this.entries.values()].filter((entry) => entry.state === 'accepted' && entry.arrivals === 0
            && entry.expires > readyMs);
    }

    judge(readyMs) {
        const missing = this.missing(readyMs);
        missing.forEach((entry) => this.fault(`lost: ${entry.name} (${entry.id})`));
        this.sessions.forEach((session) => this.judgeOrder(session));
        this.judgeNumbers();
        this.judgeEpochs();
        const states = [...this.entries.values()];
        this.counts.maybe = states.filter((entry) => entry.state === 'maybe').length;
        this.counts.expired = states.filter((entry) => entry.state === 'accepted' && entry.arrivals === 0
            && entry.expires <= readyMs).length;
        return { ...this.counts, lost: missing.length, misrouted: this.misrouted ?? 0 };
    }
}

module.exports = { Ledger };
