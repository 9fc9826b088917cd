'use strict';
/* Six upgrades in a row while everything is in motion: readers that stop reading now and then, so that their queues fill,
 * that acknowledge in pieces, and others that come and go. Each reads every byte itself: what was pushed comes once and in
 * order, and nobody is closed. The draws differ from run to run; what must hold does not. */

const assert = require('node:assert/strict');
const { OP, encodeFrame, handshake, range, sleep, waitUntil } = require('../e2e/harness');

const UPGRADES = 6;
const READERS = 9;
const SIZES = [10, 10, 100, 3000, 20000];

const draw = (n) => Math.floor(Math.random() * n);
const valueOf = (n) => `${String(n).padStart(6, '0')}${'x'.repeat(SIZES[draw(SIZES.length)])}`;

class Reader {
    constructor(kind, userId, raw) {
        Object.assign(this, { kind, userId, raw, pushed: 0, next: 0, isLast: false });
    }

    take(value) {
        assert.equal(Number(value.slice(0, 6)), this.next, `${this.userId}: the next one`);
        this.next += 1;
    }

    isDone() {
        return this.isLast && this.next === this.pushed;
    }

    async rest() {
        if (draw(200) === 0) {
            this.raw.socket.pause();
            await sleep(draw(1000));
            this.raw.socket.resume();
        }
    }

    /* In two pieces, which may come to two processes. */
    async acknowledge(id) {
        const bytes = encodeFrame({ payload: JSON.stringify({ type: 'ack', id }) });
        const cut = draw(bytes.length);
        this.raw.send(bytes.subarray(0, cut));
        await sleep(draw(20));
        this.raw.send(bytes.subarray(cut));
    }

    async takeFrame({ opcode, payload }) {
        if (opcode === OP.PING) {
            this.raw.sendFrame({ opcode: OP.PONG, payload });
            return;
        }
        assert.equal(opcode, OP.TEXT, `${this.userId}: opcode ${opcode} ${payload.subarray(0, 60)}`);
        const message = JSON.parse(payload.toString());
        if (this.kind === 'plain') {
            this.take(message);
        } else if (message.type !== 'hello') {
            assert.equal(message.type, 'notification', payload.toString().slice(0, 200));
            this.take(message.data);
            await this.acknowledge(message.id);
        }
    }

    takeBlocks() {
        for (let end; (end = this.raw.bytes.indexOf('\n\n')) >= 0;) {
            const block = this.raw.bytes.subarray(0, end).toString();
            this.raw.bytes = this.raw.bytes.subarray(end + 2);
            assert.doesNotMatch(block, /event: (gap|cancel)/);
            const data = block.split('\n').find((line) => line.startsWith('data: "'));
            if (data !== undefined) {
                this.take(JSON.parse(data.slice('data: '.length)));
            }
        }
    }

    async read() {
        while (!this.isDone()) {
            await this.rest();
            assert.ok(!this.raw.isEnded, `${this.userId} was closed at ${this.next}`);
            if (this.kind === 'sse') {
                this.takeBlocks();
                await sleep(5);
            } else {
                const frame = await this.raw.frame(200).catch(() => undefined); /* none has come */
                await (frame ? this.takeFrame(frame) : undefined);
            }
        }
    }
}

async function openReader(herald, n) {
    const kind = ['plain', 'v1', 'sse'][n % 3];
    const userId = `${kind}-${n}`;
    const raw = await herald.raw();
    const headers = kind === 'v1' ? { 'Sec-WebSocket-Protocol': 'herald.v1' } : {};
    raw.send(kind === 'sse' ? `GET /sse?userId=${userId} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n` : handshake(`/ws?userId=${userId}`, { headers }));
    await waitUntil(`${userId} is answered`, () => raw.bytes.includes('\r\n\r\n'));
    raw.bytes = raw.bytes.subarray(raw.bytes.indexOf('\r\n\r\n') + 4);
    return new Reader(kind, userId, raw);
}

module.exports = (test) => {
    for (const store of ['redis', 'file']) {
        test(`${UPGRADES} upgrades in a row while all is in motion (${store})`, { timeoutMs: 120000 }, async (t) => {
            const herald = await t.herald({ store, args: ['--workers', '3', '--slow-timeout', '5m', '--ping-interval', '200ms',
                '--session-max-bytes', '64KiB', '--inbox-max', '10000', '--inbox-max-bytes', '64MiB'] });
            const readers = await Promise.all(range(READERS).map((n) => openReader(herald, n)));
            let isOver = false;
            const publish = async (reader) => {
                while (!isOver) {
                    await herald.mustPush(reader.userId, valueOf(reader.pushed));
                    reader.pushed += 1;
                    await sleep(draw(30));
                }
                reader.isLast = true;
            };
            const comeAndGo = async () => {
                while (!isOver) {
                    await (await herald.subscribe(`guest-${draw(20)}`)).close();
                }
            };
            const upgrade = async () => {
                for (let n = 0; n < UPGRADES; n++) {
                    const before = readers.map(({ pushed }) => pushed);
                    await waitUntil('pushes flow', () => readers.every(({ pushed }, i) => pushed > before[i] + 4));
                    await herald.upgrade();
                }
                isOver = true;
            };
            const all = [...readers.map(publish), ...readers.map((reader) => reader.read()), comeAndGo(), upgrade()];
            await Promise.all(all).catch((error) => {
                isOver = true;
                throw error;
            });
            t.note(`${readers.reduce((sum, { pushed }) => sum + pushed, 0)} pushes`);
            readers.forEach(({ raw }) => raw.destroy());
        });
    }
};
