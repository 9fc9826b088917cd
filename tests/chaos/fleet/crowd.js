'use strict';
/* A process of readers, started by ../fleet.js: a process holds fewer connections than its limit of descriptors. Each
 * reader belongs to a user, comes back after each close, at the next node, and keeps what it was sent; at the end the
 * process compares that with what was accepted.
 *
 * Of ten users one has two devices (herald.v1), four read herald.v1, four are plain, one is an event stream. */

const fs = require('node:fs');
const path = require('node:path');
const WebSocket = require('ws');
const { EventStream, parallel, range, sleep } = require('../tools');

const { ports, first, count, folder, number } = JSON.parse(process.argv[2]);
const BLOCKED_MS = 60000;
const SLOW_MS = 15000; /* an attempt is given up after this; a node may be stopped for 5 s */

/* endedAt: port -> how many sessions there, and attempts of those who are not blocked, have ended */
const state = { isOver: false, faults: [], nFaults: 0, closes: {}, endedAt: {}, opened: 0 };

function fault(sentence) {
    state.nFaults += 1;
    if (state.faults.length < 10) {
        state.faults.push(sentence);
    }
}

/* Reader r of the run: which user, and what it speaks. Eleven readers are ten users. */
function planOf(r) {
    const group = Math.floor(r / 11);
    const place = r % 11;
    const user = `u${group * 10 + Math.max(0, place - 1)}`;
    if (place < 2) {
        return { user, kind: 'v1', device: `d${place}` };
    }
    return { user, kind: place < 6 ? 'v1' : place < 10 ? 'plain' : 'sse' };
}

class Reader {
    constructor(r) {
        Object.assign(this, planOf(r));
        this.at = r;
        this.sessions = []; /* [number of the publisher, id if it has one], in the order in which they came */
        this.gaps = []; /* [epoch, from, to, cause] */
        this.openMs = undefined; /* of the session that is open */
        this.lastPushedMs = 0; /* when the youngest of what came was pushed */
    }

    target() {
        const after = this.kind === 'v1' && this.lastId !== undefined ? `&after=${this.lastId}` : '';
        const device = this.device === undefined ? '' : `&device=${this.device}`;
        return `?userId=${this.user}${device}${after}`;
    }

    take(data, id) {
        if (data?.u !== this.user) {
            fault(`foreign: ${this.user} got what is for ${JSON.stringify(data).slice(0, 80)}`);
            return;
        }
        this.sessions[this.sessions.length - 1].push([data.n, id]);
        this.lastPushedMs = Math.max(this.lastPushedMs, data.t);
        this.lastId = id ?? this.lastId;
    }

    takeGap({ epoch, from, to, cause }) {
        this.gaps.push([epoch, from, to, cause]);
        if (cause === 'reset') {
            this.lastId = undefined;
        }
    }

    takeFrame(frame, socket) {
        if (frame.type === 'notification') {
            this.take(frame.data, frame.id);
            socket.send(JSON.stringify({ type: 'ack', id: frame.id }));
        } else if (frame.type === 'gap') {
            this.takeGap(frame);
        }
    }

    opens() {
        this.openMs = Date.now();
        state.opened += 1;
    }

    ends(code, port) {
        state.closes[code] = (state.closes[code] ?? 0) + 1;
        state.endedAt[port] = (state.endedAt[port] ?? 0) + (this.isBlocked ? 0 : 1);
        this.openMs = undefined;
        this.endedMs = Date.now();
    }

    webSocket(port) {
        return new Promise((resolve) => {
            const socket = new WebSocket(`ws://127.0.0.1:${port}/ws${this.target()}`, this.kind === 'v1' ? ['herald.v1'] : [],
                { perMessageDeflate: false, handshakeTimeout: SLOW_MS });
            this.socket = socket;
            socket.on('open', () => this.opens());
            socket.on('message', (bytes) => {
                const text = JSON.parse(bytes.toString());
                return this.kind === 'v1' ? this.takeFrame(text, socket) : this.take(text);
            });
            socket.on('error', (error) => { this.isBlocked = /403/.test(error.message); });
            socket.on('close', resolve);
        });
    }

    async eventStream(port) {
        const stream = new EventStream(port, `/sse${this.target()}`, { lastEventId: this.lastId });
        const dispatch = stream.dispatch.bind(stream);
        stream.dispatch = () => {
            dispatch();
            stream.events.splice(0).forEach(({ event, id, data }) => {
                if (event === 'message') {
                    this.take(JSON.parse(data), id);
                } else if (event === 'gap') {
                    this.takeGap(JSON.parse(data));
                }
            });
            stream.lines.length = 0; /* nobody looks at them here */
            stream.comments.length = 0;
        };
        stream.request.on('error', () => {});
        this.socket = stream;
        const isOpen = await stream.opened.then(() => stream.status === 200, () => false);
        this.isBlocked = stream.status === 403 || stream.status === 204;
        if (isOpen) {
            this.opens();
            await stream.ended;
        } else {
            stream.terminate();
        }
        return isOpen ? 0 : stream.status ?? 'refused';
    }

    async run() {
        while (!state.isOver) {
            const port = ports[this.at % ports.length];
            this.sessions.push([]);
            this.ends(await (this.kind === 'sse' ? this.eventStream(port) : this.webSocket(port)), port);
            if (this.sessions.at(-1).length === 0) {
                this.sessions.pop();
            }
            this.at += 1;
            await sleep(this.isBlocked ? 5000 : 100 + Math.random() * 900);
        }
    }
}

const readers = range(count).map((n) => new Reader(first + n));

function readId(id) {
    const dash = id.indexOf('-');
    return [id.slice(0, dash), Number(id.slice(dash + 1))];
}

/* user -> Map of the publisher's number -> {epoch, seq, isRepeated}, from the lines [user, n, id, tries] of the publishers. */
function readAccepted() {
    const mine = new Map(readers.map(({ user }) => [user, new Map()]));
    for (const name of fs.readdirSync(folder).filter((each) => each.startsWith('accepted'))) {
        for (const line of fs.readFileSync(path.join(folder, name), 'utf8').split('\n').filter(Boolean)) {
            const [user, n, id, tries] = JSON.parse(line);
            const [epoch, seq] = readId(id);
            mine.get(user)?.set(n, { epoch, seq, isRepeated: tries > 0 });
        }
    }
    return mine;
}

/* The number with which it came. A plain reader is not told; a push that was refused and repeated may have come with the
 * number that it had at a primary which lost it. */
function numberOf(id, told) {
    if (id !== undefined) {
        return readId(id);
    }
    return told.isRepeated ? null : [told.epoch, told.seq];
}

function judgeSession(reader, session, accepted, counts) {
    let last = null;
    for (const [n, id] of session) {
        const told = accepted.get(n);
        counts.arrived += 1;
        if (told === undefined) {
            fault(`${reader.user} got ${n}, which was never accepted`);
            continue;
        }
        const at = numberOf(id, told);
        if (at !== null && last !== null && last[0] === at[0] && at[1] <= last[1]) {
            fault(`disorder: ${reader.user} (${reader.kind}) got number ${at[1]} behind ${last[1]} in one session`);
        }
        last = at ?? last;
    }
}

/* What was accepted, and neither came nor was told as missing; and who was blocked and got what was pushed more than a
 * minute later. */
function judge({ blocked, blockedMs }) {
    const accepted = readAccepted();
    const counts = { accepted: 0, arrived: 0, gaps: 0, missing: [] };
    counts.nLate = readers.filter(({ user, lastPushedMs }) => blocked.includes(user) && lastPushedMs > blockedMs + BLOCKED_MS).length;
    for (const reader of readers.filter(({ user }) => !blocked.includes(user))) {
        const had = new Set(reader.sessions.flat().map(([n]) => n));
        const mine = accepted.get(reader.user);
        reader.sessions.forEach((session) => judgeSession(reader, session, mine, counts));
        for (const [n, { epoch, seq }] of mine) {
            counts.accepted += 1;
            if (had.has(n)) {
                continue;
            }
            if (reader.gaps.some(([e, from, to]) => e === epoch && from <= seq && seq <= to)) {
                counts.gaps += 1;
            } else {
                counts.missing.push(`${reader.user} (${reader.kind}) ${epoch}-${seq}`);
            }
        }
    }
    return { ...counts, nMissing: counts.missing.length, missing: counts.missing.slice(0, 10) };
}

const nOpen = () => readers.filter(({ openMs }) => openMs !== undefined).length;

process.on('message', (message) => {
    const answer = { asked: message.asked, number };
    if (message.what === 'status') {
        Object.assign(answer, { open: nOpen(), opened: state.opened, users: new Set(readers.filter(({ openMs }) =>
            openMs !== undefined).map(({ user }) => user)).size, endedAt: state.endedAt });
    } else if (message.what === 'blocked') {
        answer.open = readers.filter(({ user, openMs }) => openMs !== undefined && message.users.includes(user)).length;
    } else if (message.what === 'judge') {
        const before = { faults: [...state.faults], nFaults: state.nFaults };
        Object.assign(answer, judge(message), state);
        Object.assign(state, before); /* it may be asked again */
    }
    process.send(answer);
});
process.on('disconnect', () => process.exit(1)); /* nobody asks any more */

/* A few hundred attempts at once are enough of a storm for the start. */
parallel(count, 200, async (n) => {
    readers[n].run();
    const end = Date.now() + SLOW_MS;
    while (readers[n].openMs === undefined && Date.now() < end) {
        await sleep(20);
    }
});
