'use strict';
/* A user's client that comes back after each close, at the next node, until it is stopped; it keeps all that it had. */

const assert = require('node:assert/strict');
const { EventStream, PATIENCE_MS, Subscriber, V1, sleep, waitUntil } = require('../../e2e/harness');

const PAUSE_MS = 50;
const RESET = 4004;

class Reader {
    /* kind: plain, v1 or sse; `nodes` are tried in turn from `first` on. */
    constructor(nodes, userId, { kind = 'plain', first = 0, pauseMs = PAUSE_MS } = {}) {
        this.nodes = nodes;
        this.userId = userId;
        this.kind = kind;
        this.at = first;
        this.pauseMs = pauseMs;
        this.arrivals = []; /* {session, value, id, seq} in the order in which they came */
        this.gaps = [];
        this.closes = []; /* close codes; 0: an event stream's end that no reset explains, or a refused attempt */
        this.sessions = 0;
        this.isOver = false;
        this.done = this.run();
    }

    async run() {
        while (!this.isOver) {
            const node = this.nodes[this.at % this.nodes.length];
            try {
                await this[`${this.kind}Session`](node);
            } catch {
                this.closes.push(0);
            }
            this.isOpen = false;
            if (!this.isOver) {
                this.at += 1;
                await sleep(this.pauseMs);
            }
        }
    }

    async open(client) {
        this.client = client;
        await client.opened;
        this.sessions += 1;
        this.isOpen = true;
        if (this.isOver) {
            client.terminate();
        }
    }

    async plainSession(node) {
        const client = new Subscriber(node.url(this.userId), {});
        const session = this.sessions;
        client.socket.on('message', (bytes) => this.arrivals.push({ session, value: JSON.parse(bytes.toString()) }));
        await this.open(client);
        this.closes.push((await client.closed).code);
    }

    async v1Session(node) {
        const query = this.lastId === undefined ? '' : `&after=${this.lastId}`;
        const client = new V1(node.url(this.userId, { query }), { autoAck: true });
        const session = this.sessions;
        client.socket.on('message', (bytes) => this.takeFrame(session, JSON.parse(bytes.toString())));
        await this.open(client);
        this.closes.push((await client.closed).code);
    }

    takeFrame(session, frame) {
        if (frame.type === 'notification') {
            this.lastId = frame.id ?? this.lastId;
            this.arrivals.push({ session, value: frame.data, id: frame.id, seq: frame.seq });
        } else if (frame.type === 'gap') {
            this.gaps.push(frame);
        } else if (frame.type === 'hello' && this.lastId !== undefined && !frame.resumed) {
            this.lastId = undefined; /* another epoch: what it knew counts for nothing */
        }
    }

    async sseSession(node) {
        const stream = new EventStream(node.port, node.target('/sse', this.userId), { lastEventId: this.lastId });
        const session = this.sessions;
        const gaps = this.gaps.length;
        const dispatch = stream.dispatch.bind(stream);
        stream.dispatch = () => {
            const before = stream.events.length;
            dispatch();
            stream.events.slice(before).forEach(({ event, id, data }) => {
                if (event === 'message') {
                    this.arrivals.push({ session, value: JSON.parse(data), id });
                } else if (event === 'gap') {
                    this.gaps.push(JSON.parse(data));
                }
                this.lastId = id ?? this.lastId;
            });
        };
        stream.request.on('error', () => {});
        await this.open(stream);
        await stream.ended;
        const hasReset = this.gaps.slice(gaps).some(({ cause }) => cause === 'reset');
        this.closes.push(hasReset ? RESET : stream.status === 200 ? 0 : stream.status);
    }

    /* mayReset: a primary that is killed may have published what its replica did not get, and what nobody was told was
     * accepted; the session is then closed because Redis has lost a number that the client has seen. */
    assertStayed({ mayReset = false } = {}) {
        const hasReset = mayReset && this.closes.length > 0 && this.closes.every((code) => code === RESET);
        assert.ok(this.sessions === 1 || hasReset, `the session of ${this.userId} stayed: ${this.closes}`);
    }

    values() {
        return this.arrivals.map(({ value }) => value);
    }

    waitOpen(timeoutMs = PATIENCE_MS) {
        return waitUntil(`${this.userId} has a session`, () => this.isOpen, timeoutMs);
    }

    /* Each of these came, in some session. */
    waitValues(values, timeoutMs = PATIENCE_MS) {
        const missing = () => {
            const had = new Set(this.values().map((value) => JSON.stringify(value)));
            return values.filter((value) => !had.has(JSON.stringify(value)));
        };
        return waitUntil(`all arrives at the ${this.kind} reader of ${this.userId}`, () => missing().length === 0, timeoutMs)
            .catch((error) => {
                throw new Error(`${error.message}; missing: ${JSON.stringify(missing()).slice(0, 200)}`);
            });
    }

    async stop() {
        this.isOver = true;
        this.client?.terminate();
        await this.done;
    }
}

/* Open when this returns; it ends with the test. */
async function startReader(t, nodes, userId, options) {
    const reader = new Reader(nodes, userId, options);
    t.cleanup(() => reader.stop());
    await reader.waitOpen();
    return reader;
}

module.exports = { Reader, startReader };
