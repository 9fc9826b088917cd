'use strict';
/* A client that behaves as it is asked to: when its session ends it waits for as long as it was told, and comes back to
 * wherever the balancer sends it. It knows how often it was closed and refused, how long it was away, and what it got.
 *
 * Its kinds are plain, v1, sse, and early: a herald.v1 client that opens its next session after it has heard goaway, and
 * leaves the old one when that is open. */

const WebSocket = require('ws');
const { EventStream, sleep } = require('../../e2e/harness');

const GUEST_KINDS = ['plain', 'v1', 'sse', 'early'];
const HANDSHAKE_MS = 15000;
const FIRST_BACKOFF_MS = 250; /* doubled at each refusal that does not say how long to wait */
const LAST_BACKOFF_MS = 5000;

class Guest {
    /* take(): {port, release()} of the node for the next session, or undefined; release is called when it is over. */
    constructor(userId, kind, take) {
        Object.assign(this, { userId, kind, take });
        this.closes = {}; /* close code, or 'end' of an event stream -> how many sessions ended so */
        this.refusals = {}; /* status, close code or error -> how many attempts gave no session */
        this.told = []; /* how many ms to wait, each time that it was told */
        this.awayMs = []; /* from the end of a session to the next one, where no other was open */
        this.arrivals = new Map(); /* data -> how often it came */
        this.gaps = [];
        this.sessions = new Set(); /* that are open */
        this.nOpened = 0;
        this.isOver = false;
        this.done = this.run();
    }

    /* One session after the other. */
    async run() {
        let refused = 0;
        while (!this.isOver) {
            const session = await this.attempt();
            if (session.isOpen) {
                await session.isToFollow;
            }
            refused = session.isOpen && !session.isRefused ? 0 : refused + 1;
            if (!this.isOver && !this.sessions.has(session)) {
                await this.rest(session, refused);
            }
        }
    }

    rest({ retryMs }, refused) {
        this.told.push(...(retryMs === undefined ? [] : [retryMs]));
        const backoffMs = Math.min(FIRST_BACKOFF_MS * 2 ** Math.max(0, refused - 1), LAST_BACKOFF_MS);
        const left = new Promise((resolve) => { this.leave = resolve; });
        return Promise.race([sleep(retryMs ?? backoffMs * (0.5 + Math.random() / 2)), left]);
    }

    /* When this returns, it is open or refused. */
    async attempt() {
        const node = this.take();
        const session = { isOpen: false, isRefused: false };
        if (node === undefined) {
            this.refuse(session, 'no node');
            return session;
        }
        session.isToFollow = new Promise((resolve) => { session.follow = resolve; });
        await new Promise((resolve) => {
            session.decided = resolve;
            session.ended = node.release;
            if (this.kind === 'sse') {
                this.eventStream(session, node.port);
            } else {
                this.webSocket(session, node.port);
            }
        });
        return session;
    }

    /* ---- what happens to a session ---- */

    refuse(session, why) {
        session.isRefused = true;
        this.refusals[why] = (this.refusals[why] ?? 0) + 1;
    }

    opens(session) {
        if (session.isOpen) {
            return;
        }
        if (this.isOver) {
            session.terminate();
            return;
        }
        session.isOpen = true;
        this.nOpened += 1;
        session.awaySinceMs = this.endedMs;
        if (this.endedMs !== undefined) {
            this.awayMs.push(performance.now() - this.endedMs);
            this.endedMs = undefined;
        }
        this.sessions.forEach((other) => other.leave());
        this.sessions.add(session);
        session.decided();
    }

    /* code: how it ended; why: what it is called where it was refused. */
    ends(session, code, why = code) {
        session.ended();
        this.sessions.delete(session);
        if (!session.isOpen || code === 1013) {
            if (session.isOpen && session.awaySinceMs !== undefined) { /* it was let in to be told that there is no room */
                this.awayMs.pop();
                this.endedMs = session.awaySinceMs;
            }
            this.refuse(session, why);
        } else {
            this.closes[code] = (this.closes[code] ?? 0) + 1;
            this.endedMs = this.sessions.size === 0 ? performance.now() : undefined;
        }
        session.decided();
        session.follow();
    }

    arrives(data, id) {
        this.arrivals.set(data, (this.arrivals.get(data) ?? 0) + 1);
        this.lastId = id ?? this.lastId;
    }

    /* The node closes this session after that time, unless it says something else until then. */
    hearsGoaway(session, { reconnectAfterMs }) {
        clearTimeout(session.timer);
        if (this.kind === 'early' && reconnectAfterMs !== undefined) {
            session.timer = setTimeout(session.follow, reconnectAfterMs / 2);
        }
    }

    takeFrame(session, frame) {
        if (frame.type === 'notification') {
            this.arrives(frame.data, frame.id);
            session.socket.send(JSON.stringify({ type: 'ack', id: frame.id }));
        } else if (frame.type === 'gap') {
            this.gaps.push(frame);
        } else if (frame.type === 'goaway' || frame.type === 'stay') {
            this.hearsGoaway(session, frame);
        }
    }

    /* ---- connections ---- */

    webSocket(session, port) {
        const isPlain = this.kind === 'plain';
        const after = isPlain || this.lastId === undefined ? '' : `&after=${this.lastId}`;
        const socket = new WebSocket(`ws://127.0.0.1:${port}/ws?userId=${this.userId}${after}`, isPlain ? [] : ['herald.v1'],
            { perMessageDeflate: false, handshakeTimeout: HANDSHAKE_MS });
        session.socket = socket;
        session.leave = () => socket.close(1000);
        session.terminate = () => socket.terminate();
        socket.on('open', () => this.opens(session));
        socket.on('message', (bytes) => {
            const message = JSON.parse(bytes.toString());
            return isPlain ? this.arrives(message) : this.takeFrame(session, message);
        });
        let why;
        socket.on('unexpected-response', (request, { statusCode, headers }) => {
            why = statusCode;
            session.retryMs = headers['retry-after'] === undefined ? undefined : headers['retry-after'] * 1000;
            socket.terminate();
        });
        socket.on('error', (error) => { why ??= error.code ?? error.message; });
        socket.once('close', (code, reason) => {
            clearTimeout(session.timer);
            const told = /retry_ms=(\d+)/.exec(reason.toString());
            session.retryMs ??= told === null ? undefined : Number(told[1]);
            this.ends(session, code, why);
        });
    }

    eventStream(session, port) {
        const stream = new EventStream(port, `/sse?userId=${this.userId}`, { lastEventId: this.lastId });
        const dispatch = stream.dispatch.bind(stream);
        stream.dispatch = () => {
            dispatch();
            stream.events.splice(0).forEach(({ event, id, data }) => {
                if (event === 'message') {
                    this.arrives(JSON.parse(data), id);
                } else if (event === 'gap') {
                    this.gaps.push(JSON.parse(data));
                }
            });
            stream.lines.length = 0;
            stream.comments.length = 0;
            this.lastId = stream.lastEventId;
            if (stream.hello !== undefined) {
                this.opens(session);
            }
        };
        let why;
        stream.request.on('error', (error) => { why = error.code ?? error.message; });
        session.leave = () => stream.terminate();
        session.terminate = () => stream.terminate();
        stream.opened.then(() => {
            if (stream.status !== 200) {
                session.retryMs = stream.headers['retry-after'] === undefined ? undefined : stream.headers['retry-after'] * 1000;
                stream.terminate();
            }
        }, () => {});
        stream.ended.then(() => {
            session.retryMs ??= stream.retry;
            this.ends(session, 'end', why ?? stream.status);
        });
    }

    /* ---- what one asks it ---- */

    isOpen() {
        return this.sessions.size > 0;
    }

    nClosed() {
        return Object.values(this.closes).reduce((sum, count) => sum + count, 0);
    }

    async stop() {
        this.isOver = true;
        this.sessions.forEach((session) => session.terminate());
        this.leave?.();
        await this.done;
    }
}

/* What `take` of a guest is where the guest itself asks the balancer for a node. */
const askingBalancer = (balancer) => () => {
    const node = balancer.take();
    return node === undefined ? undefined : { port: node.port, release: () => balancer.release(node) };
};

module.exports = { GUEST_KINDS, Guest, askingBalancer };
