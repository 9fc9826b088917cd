'use strict';
/* A process of herald.v1 sessions, each of a user of its own. It has them say something at fixed times, one after the other,
 * even if answers are late; or drop all of them and come back. Started by ../events.js. */

const net = require('node:net');
const { answerAll, optionsOfPart } = require('../rolling/talk');
const { decodeFrame, encodeFrame, handshake, nowMs, parallel, quantile, sleep } = require('./tools');

const { first, count } = optionsOfPart();
const AT_ONCE = 64;
const FILL = '~'.repeat(180);

const state = { sent: 0, accepted: 0, errors: {}, closes: 0, answers: [] };
let sessions = [];

class Session {
    constructor(userId) {
        this.userId = userId;
        this.bytes = Buffer.alloc(0);
        this.sentMs = []; /* of messages that were not answered */
    }

    open(port) {
        this.socket = net.connect(port, '127.0.0.1').setNoDelay(true);
        const head = handshake(`/ws?userId=${this.userId}`, { headers: { 'Sec-WebSocket-Protocol': 'herald.v1' } });
        this.socket.write(head);
        this.bytes = Buffer.alloc(0);
        return new Promise((resolve, reject) => {
            this.onOpen = resolve;
            this.socket.on('error', reject);
            this.socket.on('data', (chunk) => {
                this.bytes = this.bytes.length === 0 ? chunk : Buffer.concat([this.bytes, chunk]);
                this.read(reject);
            });
            this.socket.on('close', () => { state.closes += this.isLeaving ? 0 : 1; });
        });
    }

    read(reject) {
        if (this.onOpen !== undefined) {
            const end = this.bytes.indexOf('\r\n\r\n');
            if (end < 0) {
                return;
            }
            if (!this.bytes.subarray(0, 20).toString('latin1').startsWith('HTTP/1.1 101 ')) {
                reject(new Error(this.bytes.subarray(0, 60).toString('latin1')));
                return;
            }
            this.bytes = this.bytes.subarray(end + 4);
            this.onOpen();
            this.onOpen = undefined;
        }
        for (let frame = decodeFrame(this.bytes); frame; frame = decodeFrame(this.bytes)) {
            this.bytes = this.bytes.subarray(frame.size);
            this.take(frame);
        }
    }

    take({ opcode, payload }) {
        if (opcode === 9) {
            this.socket.write(encodeFrame({ opcode: 10, payload }));
        } else if (opcode === 1) {
            const message = JSON.parse(payload.toString());
            if (message.type === 'accepted') {
                state.accepted += 1;
                state.answers.push(nowMs() - this.sentMs.shift());
            } else if (message.type === 'error') {
                state.errors[message.code] = (state.errors[message.code] ?? 0) + 1;
                this.sentMs.shift();
            }
        }
    }

    say(n) {
        const t = nowMs();
        this.sentMs.push(t);
        state.sent += 1;
        this.socket.write(encodeFrame({ payload: `{"type":"message","id":"${n}","data":{"t":${t},"fill":"${FILL}"}}` }));
    }

    leave() {
        this.isLeaving = true;
        this.socket.resetAndDestroy();
    }
}

async function connect({ ports }) {
    sessions = Array.from({ length: count }, (_, n) => new Session(`t${first + n}`));
    await parallel(count, AT_ONCE, (n) => sessions[n].open(ports[(first + n) % ports.length]));
}

/* All of them are cut, and come back, each at the next node; how long that took. */
async function comeBack({ ports }) {
    const begin = nowMs();
    sessions.forEach((session) => session.leave());
    sessions = sessions.map(({ userId }) => new Session(userId));
    await parallel(count, AT_ONCE, (n) => sessions[n].open(ports[(first + n + 1) % ports.length]));
    return { ms: nowMs() - begin, closes: state.closes };
}

/* rate a second for `ms`; what was said and answered from `skipMs` on. */
async function talk({ rate, ms, skipMs }) {
    const begin = nowMs();
    let n = 0;
    let before;
    for (; nowMs() - begin < ms; await sleep(2)) {
        for (; n < (nowMs() - begin) * rate / 1000; n++) {
            sessions[n % count].say(n);
        }
        if (before === undefined && nowMs() - begin >= skipMs) {
            before = { sent: state.sent, accepted: state.accepted, fromMs: nowMs() };
            state.answers.length = 0;
        }
    }
    return { sent: state.sent - before.sent, accepted: state.accepted - before.accepted, fromMs: before.fromMs, all: state.sent,
        errors: state.errors, closes: state.closes, p50: quantile(state.answers, 0.5), p99: quantile(state.answers, 0.99) };
}

answerAll({ connect, comeBack, talk, accepted: () => state.accepted, open: () => sessions.filter(({ socket }) => socket.readyState === 'open').length });
