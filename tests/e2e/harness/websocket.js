'use strict';
/* WebSocket subscribers of the ws package: plain ones, and those of herald.v1. */

const WebSocket = require('ws');
const { PATIENCE_MS, waitUntil, within } = require('./waiting');

/* A client that is independent of Herald's own framing code. Keeps all that arrives. */
class Subscriber {
    /* perMessageDeflate: as the ws package has it; tls: options of node:tls. */
    constructor(url, { autoPong = true, protocols = [], headers = {}, perMessageDeflate = false, tls = {} } = {}) {
        this.messages = [];
        this.pings = [];
        this.socket = new WebSocket(url, protocols, {
            ...tls, autoPong, headers, perMessageDeflate, handshakeTimeout: PATIENCE_MS,
        });
        this.socket.on('message', (bytes, isBinary) => {
            this.messages.push(isBinary ? bytes : bytes.toString());
        });
        this.socket.on('ping', (payload) => this.pings.push(payload.toString()));
        this.socket.on('error', (error) => { this.error = error; });
        this.closed = new Promise((resolve) => {
            this.socket.once('close', (code, reason) => resolve({ code, reason: reason.toString() }));
        });
        this.opened = new Promise((resolve, reject) => {
            this.socket.once('open', resolve);
            this.socket.on('error', reject);
        });
        this.opened.catch(() => {});
    }

    values() {
        return this.messages.map((text) => JSON.parse(text));
    }

    waitCount(count, timeoutMs = PATIENCE_MS) {
        return waitUntil(`${count} messages`, () => {
            this.progress = this.messages.length;
            return this.messages.length >= count;
        }, timeoutMs).catch((error) => {
            throw new Error(`${error.message}; there are ${this.messages.length}`);
        });
    }

    waitClosed(timeoutMs = PATIENCE_MS) {
        return within(this.closed, timeoutMs, 'the close');
    }

    async close() {
        this.socket.close();
        return this.waitClosed();
    }

    terminate() {
        this.socket.terminate();
    }
}

const LISTS = {
    hello: 'hellos', notification: 'notifications', gap: 'gaps', cancel: 'cancels',
    goaway: 'goaways', error: 'errors', pong: 'pongs', auth: 'auths', accepted: 'accepteds',
};

/* A subscriber of herald.v1. `frames` has all that arrived, in order; each type has a list of its own. */
class V1 extends Subscriber {
    /* autoAck: acknowledges each notification as it arrives. */
    constructor(url, { autoAck = false, protocols = ['herald.v1'], ...options } = {}) {
        super(url, { ...options, protocols });
        this.frames = [];
        Object.values(LISTS).forEach((list) => { this[list] = []; });
        this.socket.on('message', (bytes) => {
            const frame = JSON.parse(bytes.toString());
            this.frames.push(frame);
            this[LISTS[frame.type]]?.push(frame);
            this.onFrame?.(frame);
            if (autoAck && frame.type === 'notification' && frame.id !== undefined) {
                this.ack(frame.id);
            }
        });
    }

    send(frame) {
        this.socket.send(typeof frame === 'string' || Buffer.isBuffer(frame) ? frame : JSON.stringify(frame));
    }

    ack(id) {
        this.send({ type: 'ack', id });
    }

    /* Says something to the backends, and waits for the answer to this id: {type: 'accepted' | 'error', id, ...}. */
    async say(id, data) {
        const answers = () => this.frames.filter((frame) => ['accepted', 'error'].includes(frame.type) && frame.id === id);
        const before = answers().length;
        this.send({ type: 'message', id, data });
        await waitUntil(`an answer to message ${id}`, () => answers().length > before || this.socket.readyState !== 1);
        return answers()[before];
    }

    get hello() {
        return this.hellos[0];
    }

    values() {
        return this.notifications.map((frame) => frame.data);
    }

    seqs() {
        return this.notifications.map((frame) => frame.seq);
    }

    /* The first `count` frames of a type. */
    async wait(type, count = 1, timeoutMs = PATIENCE_MS) {
        const list = this[LISTS[type]];
        await waitUntil(`${count} of ${type}`, () => list.length >= count, timeoutMs).catch((error) => {
            const seen = this.frames.slice(-5).map((frame) => JSON.stringify(frame).slice(0, 200));
            throw new Error(`${error.message}; there are ${list.length}; the last frames: ${seen.join(' ')}`);
        });
        return list.slice(0, count);
    }

    /* Everything that was on its way when this was called has arrived: the server answers in order. */
    async roundTrip() {
        const before = this.pongs.length;
        this.send({ type: 'ping' });
        await this.wait('pong', before + 1);
    }
}

module.exports = { Subscriber, V1 };
