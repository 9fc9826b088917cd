'use strict';
/* What was pushed, what was answered, what arrived, what was said to be missing (CONTRACT 5.1 to 5.3, 5.6).
 * judge.js says at the end whether that can be.
 *
 * A push goes to one or more users; each of them is an entry. An entry is "accepted" once it was answered with an id,
 * "never" when its ttl was 0, and "maybe" until then: producers repeat a push with its idempotency key until it is
 * answered, so at the end nothing is "maybe", and every number of every user has its entry. */

function seqOf(id) {
    return Number(id.slice(id.indexOf('-') + 1));
}

class Session {
    constructor({ userId, name, device }) {
        this.userId = userId;
        this.name = name;
        this.device = device;
        this.openedMs = Date.now();
        this.order = []; /* {entry, id} as they came */
        this.gaps = [];
        this.start = null; /* it begins after this number, if that is known */
        this.next = null; /* the number that must come next; null: not known yet */
    }
}

class Ledger {
    constructor() {
        this.entries = new Map(); /* "LANE.N to USER" -> entry */
        this.sessions = [];
        this.acked = new Map(); /* user -> the highest number that one of its clients acknowledged by its id */
        this.counts = { pushed: 0, accepted: 0, delivered: 0, repeated: 0, duplicates: 0, cancelled: 0, misrouted: 0 };
        this.faults = []; /* sentences: what must never happen */
        this.nFaults = 0;
    }

    fault(sentence) {
        this.nFaults += 1;
        if (this.faults.length < 20) {
            this.faults.push(sentence);
        }
    }

    /* ---- producers ---- */

    /* Before it is sent, because it may arrive before it is answered. */
    pushes({ lane, n, to, ttl, size, collapseKey }) {
        for (const userId of to) {
            const name = `${lane}.${n} to ${userId}`;
            this.entries.set(name, {
                name, lane, n, userId, ttl, size, collapseKey, state: ttl === 0 ? 'never' : 'maybe', expires: 0, seq: 0,
                arrivals: 0, isCancelAsked: false, cancelledMs: null,
            });
        }
        this.counts.pushed += to.length;
    }

    entryOf({ lane, n }, userId) {
        return this.entries.get(`${lane}.${n} to ${userId}`);
    }

    /* answer: what Herald said of this user's notification; a repeat must be answered the same. */
    accepts(push, userId, answer, isFirstTry) {
        const entry = this.entryOf(push, userId);
        if (answer.duplicate === true) {
            this.counts.duplicates += 1;
            if (isFirstTry) {
                this.fault(`${entry.name} was answered as a duplicate, and it was the first`);
            }
        }
        if (entry.state === 'accepted') {
            if (entry.id !== answer.id || entry.expires !== answer.expires) {
                this.fault(`${entry.name} was ${entry.id}, and its repeat is ${answer.id}`);
            }
            return;
        }
        entry.state = 'accepted';
        entry.expires = answer.expires;
        entry.seq = answer.seq;
        entry.id = answer.id;
        this.counts.accepted += 1;
    }

    asksCancel(entry) {
        entry.isCancelAsked = true;
    }

    cancels(entry) {
        entry.cancelledMs = Date.now();
        this.counts.cancelled += 1;
    }

    /* ---- clients ---- */

    opens(options) {
        const session = new Session(options);
        this.sessions.push(session);
        return session;
    }

    acknowledges(session, id) {
        this.acked.set(session.userId, Math.max(seqOf(id), this.acked.get(session.userId) ?? 0));
    }

    resumes(session, after) {
        session.start = seqOf(after);
        session.next = session.start + 1;
        session.ackedThen = this.acked.get(session.userId) ?? 0;
    }

    /* A hello. */
    begins(session, hello, after) {
        if (after !== undefined && (!hello.resumed || hello.acked !== seqOf(after))) {
            this.fault(`${session.name} resumes behind ${after}, and was told ${JSON.stringify(hello)}`);
        }
        session.hello = hello;
        session.start = hello.acked;
        session.next = hello.acked + 1;
        session.ackedThen = this.acked.get(session.userId) ?? 0;
    }

    /* The next thing that a session hears of covers `from` to `to`: whatever is between was passed over in silence. */
    covers(session, from, to, what) {
        if (session.next !== null && from !== session.next) {
            this.fault(`hole: ${session.name} got ${what} where ${session.next} comes next`);
        }
        session.next = to + 1;
    }

    misses(session, { epoch, from, to, cause }) {
        this.covers(session, from, to, `a gap from ${from}`);
        session.gaps.push({ epoch, from, to, cause, atMs: Date.now() });
    }

    /* A cancel: what it names was withdrawn or replaced; judged as a gap is. */
    hides(session, id) {
        const seq = seqOf(id);
        session.gaps.push({ epoch: id.slice(0, id.indexOf('-')), from: seq, to: seq, cause: 'hidden', atMs: Date.now() });
    }

    /* message: the pushed data {to, lane, n, fill}, as it came to this session; id: if the session gets ids. */
    arrives(session, message, id) {
        if (!Array.isArray(message.to) || !message.to.includes(session.userId)) {
            this.counts.misrouted += 1;
            this.fault(`misrouted: ${session.name} got ${message.lane}.${message.n}, which is for ${message.to}`);
            return;
        }
        const entry = this.entryOf(message, session.userId);
        if (entry === undefined) {
            this.fault(`invented: ${session.name} got ${message.lane}.${message.n}, which nobody pushed`);
            return;
        }
        if (message.fill.length !== entry.size) {
            this.fault(`changed: ${session.name} got ${entry.name} with ${message.fill.length} bytes for ${entry.size}`);
        }
        if (id !== undefined) {
            this.covers(session, seqOf(id), seqOf(id), id);
        }
        entry.arrivals += 1;
        session.order.push({ entry, id, atMs: Date.now() });
        this.counts[entry.arrivals === 1 ? 'delivered' : 'repeated'] += 1;
    }

    /* Accepted, arrived nowhere, and nothing is known that may have taken it away. */
    missing() {
        const now = Date.now();
        return [...this.entries.values()].filter((entry) => entry.state === 'accepted' && entry.arrivals === 0
            && entry.expires > now && !entry.isCancelAsked && entry.collapseKey === undefined);
    }
}

module.exports = { Ledger, seqOf };
