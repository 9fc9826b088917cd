'use strict';
/* CONTRACT 2, 7: what one address, and one connection, may take. */

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { OP, assertProblem, exchange, handshake, range, rawWebSocket, sleep, waitUntil } = require('./harness');

const ORIGIN = (herald) => ({ Origin: `http://127.0.0.1:${herald.port}` });

function handshakeOfPage(herald, userId) {
    return handshake(`/ws?userId=${userId}`, {
        host: `127.0.0.1:${herald.port}`, headers: ORIGIN(herald),
    });
}

/* The code with which a page is closed right after its 101. */
async function closeCodeOfPage(t, herald, userId) {
    const raw = await t.raw(herald.port);
    raw.send(handshakeOfPage(herald, userId));
    assert.equal((await raw.answer()).status, 101);
    const frame = await raw.frameButPings();
    assert.equal(frame.opcode, OP.CLOSE);
    assert.match(frame.payload.subarray(2).toString(), /retry_ms=\d+/);
    return frame.payload.readUInt16BE(0);
}

async function assertPutOff(herald) {
    const answer = await exchange(herald.port, 'GET /sse?userId=s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n');
    assert.equal(answer.status, 200);
    assert.match(answer.headers['content-type'], /^text\/event-stream/);
    assert.match(answer.text, /^retry: ?\d+\n/);
}

module.exports = (test) => {
    test('over --max-connections-per-address it is 429, for a page 1013, for a stream an end', async (t) => {
        const herald = await t.herald({ store: 'memory', args: ['--max-connections-per-address', '2'] });
        const first = await rawWebSocket(herald, '1');
        t.cleanup(() => first.destroy());
        const stream = await herald.events('2');
        const answer = await exchange(herald.port, handshake('/ws?userId=3'));
        assertProblem(answer, 429, { type: 'rate-limited' });
        assert.match(answer.headers['retry-after'], /^\d+$/);
        assert.equal(await closeCodeOfPage(t, herald, '3'), 1013);
        await assertPutOff(herald);
        const ack = await exchange(herald.port,
            'POST /ack?userId=2&id=aaaaaaaa-1 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n');
        assert.notEqual(ack.status, 429, 'who listens may acknowledge');
        assert.ok(await herald.metric('herald_limited_total') >= 3);
        first.destroy();
        await waitUntil('the place is free again', async () => {
            const raw = await t.raw(herald.port);
            return (await raw.send(handshake('/ws?userId=3')).answer()).status === 101;
        });
        assert.equal(stream.isEnded ?? false, false);
    });

    test('heads that never end take places, and a crowd of them is refused at once', async (t) => {
        const herald = await t.herald({ store: 'memory', args: ['--max-connections-per-address', '2'] });
        const crowd = [];
        for (let i = 0; i < 2 + 64 + 1; i++) {
            crowd.push(await t.raw(herald.port));
        }
        /* Two workers that accept at the same moment may count the last one before the one before it. */
        await waitUntil('one too many is refused', () => crowd.some((raw) => raw.isEnded));
        const refused = crowd.filter((raw) => raw.isEnded);
        assert.equal(refused.length, 1, `${refused.length} of ${crowd.length} refused`);
        assert.equal((await refused[0].answer()).status, 429);
        crowd.forEach((raw) => raw.destroy());
        await waitUntil('the places are free again', async () =>
            (await exchange(herald.port, handshake('/ws?userId=1'))).status === 101);
    });

    test('a limit per address is kept over all workers, and given back by whoever ends', async (t) => {
        const herald = await t.herald({ store: 'memory', args: ['--max-connections-per-address', '8', '--workers', '3'] });
        for (let round = 0; round < 5; round++) {
            const opened = [];
            for (let i = 0; i < 8; i++) {
                opened.push(await rawWebSocket(herald, `${round}-${i}`));
            }
            assert.equal((await exchange(herald.port, handshake('/ws?userId=x'))).status, 429);
            opened.forEach((raw) => raw.destroy());
            await waitUntil('all have gone', async () => (await herald.metric('herald_connections')) === 0);
            await sleep(50);
        }
    });

    test('over --max-handshakes-per-address it is 429, for a page 4005, and it passes', { tries: 3 }, async (t) => {
        const herald = await t.herald({ store: 'memory', args: ['--max-handshakes-per-address', '3'] });
        const statuses = [];
        for (let i = 0; i < 6; i++) {
            statuses.push((await exchange(herald.port, handshake(`/ws?userId=${i}`))).status);
        }
        assert.deepEqual(statuses.slice(0, 3), [101, 101, 101]);
        assert.ok(statuses.includes(429), String(statuses));
        /* On a slow machine a place may come free between two of them. */
        let frame;
        for (let i = 0; i < 30 && frame?.opcode !== OP.CLOSE; i++) {
            await exchange(herald.port, handshake('/ws?userId=1'));
            const raw = await t.raw(herald.port);
            raw.send(handshakeOfPage(herald, '3'));
            assert.equal((await raw.answer()).status, 101);
            frame = await raw.frameButPings(300).catch(() => undefined);
        }
        assert.equal(frame?.payload.readUInt16BE(0), 4005);
        await assertPutOff(herald);
        await sleep(1100);
        assert.equal((await exchange(herald.port, handshake('/ws?userId=1'))).status, 101);
        assert.ok(await herald.metric('herald_limited_total') >= 1);
    });

    test('over --max-handshakes-per-second it is 503, for a page 1013, for a stream an end, on all workers alike', async (t) => {
        const herald = await t.herald({
            store: 'memory', args: ['--max-handshakes-per-second', '5', '--workers', '3'],
        });
        const began = Date.now();
        const answers = await Promise.all(Array.from({ length: 40 }, (_, i) =>
            exchange(herald.port, handshake(`/ws?userId=${i}`))));
        const seconds = Math.floor((Date.now() - began) / 1000) + 1;
        const let_in = answers.filter(({ status }) => status === 101);
        const refused = answers.filter(({ status }) => status !== 101);
        assert.ok(let_in.length >= 5 && let_in.length <= 5 * (seconds + 1), `${let_in.length} in ${seconds} s`);
        for (const answer of refused) {
            assertProblem(answer, 503, { type: 'full' });
            assert.ok(answer.headers['retry-after'] >= 1 && answer.headers['retry-after'] <= 11);
        }
        assert.ok(new Set(refused.map(({ headers }) => headers['retry-after'])).size > 1, 'each at a moment of its own');
        assert.equal(await herald.metric('herald_limited_total{limit="handshakes-per-second"}'), refused.length);
    });

    test('--max-handshakes-per-second is read again on SIGHUP', async (t) => {
        const file = path.join(t.tempDir(), 'herald.ini');
        fs.writeFileSync(file, 'max-handshakes-per-second = 1\n');
        const herald = await t.herald({ store: 'memory', args: ['--config', file] });
        const statuses = () => Promise.all(Array.from({ length: 10 }, async (_, i) =>
            (await exchange(herald.port, handshake(`/ws?userId=${i}`))).status));
        await waitUntil('some are refused', async () => (await statuses()).includes(503));
        fs.writeFileSync(file, 'max-handshakes-per-second = 0\n');
        herald.child.signal('SIGHUP');
        await waitUntil('all come in', async () => !(await statuses()).includes(503));
    });

    for (const [name, opcode] of [['text messages', OP.TEXT], ['pings', OP.PING], ['pongs', OP.PONG]]) {
        test(`more ${name} than --max-messages-per-second close with 4005`, async (t) => {
            const herald = await t.sharedHerald('messages', {
                store: 'memory', args: ['--max-messages-per-second', '10'],
            });
            const before = await herald.metric('herald_limited_total');
            const raw = await rawWebSocket(herald, `many ${name}`);
            t.cleanup(() => raw.destroy());
            for (let i = 0; i < 10; i++) {
                raw.sendFrame({ opcode, payload: 'x' });
            }
            await sleep(1000);
            assert.equal(raw.isEnded, false, 'within the limit');
            for (let i = 0; i < 30; i++) {
                raw.sendFrame({ opcode, payload: 'x' });
            }
            let frame;
            do {
                frame = await raw.frameButPings();
            } while (frame && frame.opcode === OP.PONG);
            assert.equal(frame.opcode, OP.CLOSE);
            assert.equal(frame.payload.readUInt16BE(0), 4005);
            assert.match(frame.payload.subarray(2).toString(), /^rate retry_ms=\d+$/);
            await raw.waitEnd();
            assert.equal(await herald.metric('herald_limited_total'), before + 1);
        });
    }

    test('empty pieces of a message count, the pieces of a long one do not', async (t) => {
        const herald = await t.sharedHerald('messages', {
            store: 'memory', args: ['--max-messages-per-second', '10'],
        });
        const long = await rawWebSocket(herald, 'long');
        t.cleanup(() => long.destroy());
        long.sendFrame({ fin: false, payload: 'x' });
        for (let i = 0; i < 100; i++) {
            long.sendFrame({ fin: i === 99, opcode: OP.CONTINUATION, payload: 'x' });
        }
        long.sendFrame({ opcode: OP.PING, payload: 'still here' });
        assert.equal((await long.frameButPings()).opcode, OP.PONG);
        const empty = await rawWebSocket(herald, 'empty');
        t.cleanup(() => empty.destroy());
        empty.sendFrame({ fin: false, payload: 'x' });
        for (let i = 0; i < 100; i++) {
            empty.sendFrame({ fin: false, opcode: OP.CONTINUATION, payload: '' });
        }
        assert.equal(await empty.closeCode(), 4005);
    });

    test('more bytes than --max-bytes-per-second close with 4005, and quiet clients stay', { tries: 3 }, async (t) => {
        const herald = await t.herald({
            store: 'memory', args: ['--max-bytes-per-second', '4KiB', '--ping-interval', '100ms', '--silence-timeout', `${t.scale}s`],
        });
        const quiet = await herald.subscribe('quiet');
        const loud = await rawWebSocket(herald, 'loud');
        t.cleanup(() => loud.destroy());
        loud.sendFrame({ payload: 'x'.repeat(7000) });
        await sleep(200);
        assert.equal(loud.isEnded, false, 'a burst of two seconds is taken');
        loud.sendFrame({ payload: 'x'.repeat(5000) });
        assert.equal(await loud.closeCode(), 4005);
        const stream = await t.raw(herald.port);
        stream.send('GET /sse?userId=s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n');
        await waitUntil('the stream is open', async () => (await herald.user('s')).online);
        stream.send('x'.repeat(20000));
        await stream.waitEnd();
        await sleep(1500 * t.scale);
        await herald.mustPush('quiet', 1);
        await quiet.waitCount(1);
        assert.equal(await herald.metric('herald_limited_total'), 2);
    });

    test('a key over --max-admin-requests-per-key is 429, and another key is not', async (t) => {
        const file = path.join(t.tempDir(), 'keys');
        fs.writeFileSync(file, 'one admin first-key-of-the-test\ntwo read second-key-of-the-test\n', { mode: 0o600 });
        const herald = await t.herald({
            store: 'memory', args: ['--admin-keys', file, '--max-admin-requests-per-key', '5'],
        });
        const get = (key) => herald.request('GET', '/stats', { headers: { Authorization: `Bearer ${key}` } });
        for (let i = 0; i < 5; i++) {
            assert.equal((await get('first-key-of-the-test')).status, 200);
        }
        const refused = await waitUntil('one too many in a second', async () =>
            (await Promise.all(range(50).map(() => get('first-key-of-the-test')))).find(({ status }) => status !== 200));
        assertProblem(refused, 429, { type: 'rate-limited' });
        assert.match(refused.headers['retry-after'], /^\d+$/);
        assert.equal((await get('second-key-of-the-test')).status, 200);
        assert.equal((await get('no-key-of-anybody')).status, 401);
        assert.equal((await herald.request('GET', '/livez')).status, 200);
        await sleep(1000);
        assert.equal((await get('first-key-of-the-test')).status, 200);
    });
};
