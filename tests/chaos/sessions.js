'use strict';
/* Subscribers: plain, herald.v1 and event streams. What arrives at one goes into the ledger; what one acknowledges or
 * resumes after, too. */

const http = require('node:http');
const WebSocket = require('ws');
const { EventStream, sleep } = require('./tools');

const GONE_MS = 10000;

function textOf(value) {
    return JSON.stringify(value).slice(0, 200);
}

/* A WebSocket; plain: its pongs acknowledge. */
class Client {
    constructor(world, { userId, name, device, protocols = [], query = '', autoPong = true }) {
        this.world = world;
        this.userId = userId;
        this.session = world.ledger.opens({ userId, name, device });
        const suffix = device === undefined ? query : `${query}&device=${device}`;
        this.socket = new WebSocket(world.herald.url(userId, { query: suffix }), protocols, {
            autoPong, perMessageDeflate: false, handshakeTimeout: 15000,
        });
        this.socket.on('message', (bytes) => {
            if (this.isDead) {
                return; /* its socket is gone: what ws still had was neither read nor acknowledged */
            }
            try {
                this.take(JSON.parse(bytes.toString()));
            } catch (error) {
                world.ledger.fault(`${name} got what nobody pushed: ${error.message}`);
            }
        });
        this.socket.on('error', ({ message }) => { this.error = message; });
        this.opened = new Promise((resolve) => {
            this.socket.once('open', () => {
                this.openedMs = Date.now();
                resolve(true);
            });
            this.socket.once('close', () => resolve(false));
        });
        this.closed = new Promise((resolve) => {
            this.socket.once('close', (code) => {
                world.closes.set(code, (world.closes.get(code) ?? 0) + 1);
                world.seesEnd(this, code);
                resolve(code);
            });
        });
    }

    take(message) {
        this.world.ledger.arrives(this.session, message);
    }

    isOpen() {
        return this.socket.readyState === WebSocket.OPEN;
    }

    pause() {
        this.socket.pause();
    }

    resume() {
        this.socket.resume();
    }

    /* Ends it as `how` says; a socket that is gone already stays gone. */
    end(how) {
        this.hasEnd = true;
        const tcp = this.socket._socket; /* ws keeps the socket to itself, and only the socket can reset */
        this.tcp = tcp;
        if (how === 'close' && this.isOpen()) {
            this.socket.close();
        } else {
            this.isDead = true;
            if (how === 'reset' && tcp && !tcp.destroyed) {
                tcp.resetAndDestroy();
            } else {
                this.socket.terminate();
            }
        }
        this.socket.resume(); /* ws reports a close only when all is read */
    }

    /* Herald ends a connection soon after the close handshake. The TCP socket's end is enough: ws may keep its own
     * 'close' back when it was paused. */
    async gone() {
        const tcp = this.tcp;
        const tcpClosed = new Promise((resolve) => {
            if (tcp && !tcp.closed) {
                tcp.once('close', () => resolve(true));
            } else if (tcp) {
                resolve(true);
            }
        });
        const isClosed = await Promise.race([this.closed.then(() => true), tcpClosed, sleep(GONE_MS).then(() => false)]);
        if (!isClosed && this.tcp && !this.tcp.destroyed) {
            this.world.ledger.fault(`${this.session.name} was not let go ${GONE_MS} ms after its end`);
        }
        this.socket.terminate();
    }
}

/* herald.v1: acknowledges each `every`-th notification (0: none); `after` is the id after which it resumes. */
class V1Client extends Client {
    constructor(world, { after, every, ...options }) {
        super(world, { ...options, protocols: ['herald.v1'], query: after === undefined ? '' : `&after=${after}` });
        this.after = after;
        this.every = every;
        this.unacked = 0;
        if (after !== undefined) {
            world.ledger.acknowledges(this.session, after);
        }
    }

    take(frame) {
        const { ledger } = this.world;
        if (frame.type === 'hello') {
            ledger.begins(this.session, frame, this.after);
        } else if (frame.type === 'notification') {
            ledger.arrives(this.session, frame.data, frame.id);
            this.acknowledge(frame.id);
        } else if (frame.type === 'gap') {
            ledger.misses(this.session, frame);
        } else if (frame.type === 'cancel') {
            ledger.hides(this.session, frame.id);
        } else if (frame.type === 'error') {
            ledger.fault(`${this.session.name} was told ${textOf(frame)}`);
        }
    }

    acknowledge(id) {
        if (id === undefined) {
            return; /* ttl 0 */
        }
        this.lastId = id;
        this.unacked += 1;
        if (this.every > 0 && this.unacked >= this.every && this.isOpen()) {
            this.unacked = 0;
            this.world.ledger.acknowledges(this.session, id);
            this.socket.send(JSON.stringify({ type: 'ack', id }));
        }
    }
}

class Stream extends EventStream {
    dispatch() {
        const before = this.events.length;
        super.dispatch();
        this.lines.length = 0;
        if (this.events.length > before) {
            this.onEvent(this.events.pop());
        }
    }
}

/* An event stream. Without `every` its TCP acknowledges: what the kernel has is had, so it always reads to the end and
 * closes its own half first. With `every` it acknowledges every N-th notification by POST /ack. */
class SseClient {
    constructor(world, { userId, name, after, every }) {
        this.world = world;
        this.userId = userId;
        this.every = every;
        this.unacked = 0;
        this.session = world.ledger.opens({ userId, name });
        if (after !== undefined) {
            world.ledger.acknowledges(this.session, after);
            world.ledger.resumes(this.session, after);
        }
        this.child = world.herald.child;
        const explicit = every === undefined ? '' : '&ack=explicit';
        this.stream = new Stream(world.herald.port, `/sse?userId=${userId}${explicit}`, { lastEventId: after });
        this.stream.onEvent = (event) => this.take(event);
        this.stream.request.setTimeout(15000, () => this.stream.terminate());
        this.stream.request.on('error', ({ message }) => { this.error = message; });
        this.stream.opened.then(() => { this.openedMs = Date.now(); }, () => {});
        this.opened = Promise.race([
            this.stream.opened.then(({ status }) => status === 200, () => false),
            this.stream.ended.then(() => false),
        ]);
        this.stream.ended.then(() => {
            this.isEnded = true;
            world.seesEnd(this, 'end');
        });
    }

    take({ event, id, data }) {
        if (this.isDead) {
            return;
        }
        const { ledger } = this.world;
        try {
            if (event === 'gap') {
                ledger.misses(this.session, JSON.parse(data));
            } else if (event === 'message') {
                ledger.arrives(this.session, JSON.parse(data), id);
                this.acknowledge(id);
            }
        } catch (error) {
            ledger.fault(`${this.session.name} got what nobody pushed: ${error.message}`);
        }
    }

    acknowledge(id) {
        if (id === undefined) {
            return;
        }
        this.lastId = id;
        this.unacked += 1;
        if (this.every > 0 && this.unacked >= this.every) {
            this.unacked = 0;
            this.world.ledger.acknowledges(this.session, id);
            this.postAck(id);
        }
    }

    /* 409: no stream that is open was sent it. So it may be that this one is over already, and another session open. */
    postAck(id) {
        const { herald, ledger } = this.world;
        const refuse = async (status) => {
            await sleep(1000);
            if (status !== 409 || !(this.isEnded || this.hasEnd || herald.child !== this.child)) {
                ledger.fault(`POST /ack of ${id} for ${this.session.name} was answered ${status}`);
            }
        };
        const request = http.request({
            host: '127.0.0.1', port: herald.port, method: 'POST', path: `/ack?userId=${this.userId}&id=${id}`, agent: false,
        }, (response) => {
            response.resume();
            if (![204, 503].includes(response.statusCode)) {
                refuse(response.statusCode);
            }
        });
        request.setTimeout(10000, () => request.destroy());
        request.on('error', () => {});
        request.end();
    }

    isOpen() {
        return !this.isEnded;
    }

    pause() {
        this.stream.response?.pause();
    }

    resume() {
        this.stream.response?.resume();
    }

    end(how) {
        const { socket } = this.stream.request;
        this.hasEnd = true;
        if (this.every !== undefined && how === 'reset') {
            this.isDead = true;
            socket?.resetAndDestroy();
        } else if (this.every !== undefined && how === 'fin') {
            this.isDead = true;
            this.stream.terminate();
        } else {
            socket?.end();
        }
        this.resume();
    }

    async gone() {
        if (!await Promise.race([this.stream.ended.then(() => true), sleep(GONE_MS).then(() => false)])) {
            this.world.ledger.fault(`${this.session.name} was not let go ${GONE_MS} ms after its end`);
        }
        this.stream.terminate();
    }
}

module.exports = { Client, SseClient, V1Client };
