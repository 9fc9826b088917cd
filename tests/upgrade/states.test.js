'use strict';
/* Sessions in each of their states, by clients that write and read every byte themselves: what was begun before the one
 * process goes is ended in the other, and no byte is missing or comes twice. Answers that are held back, and tokens that
 * wait for their second, last too short here: tests/unit has these. */

const assert = require('node:assert/strict');
const { OP, encodeFrame, handshake, jwks, makeKey, makeToken, parallel, range, rawWebSocket, waitUntil } = require('../e2e/harness');

const PER_LEVEL = 200;
const AT_ONCE = 20;
const V1 = { 'Sec-WebSocket-Protocol': 'herald.v1' };
const PING = '{"type":"ping"}';

async function openV1(herald, userId, query = '') {
    const raw = await herald.raw();
    raw.send(handshake(`/ws?${userId === null ? '' : `userId=${userId}`}${query}`, { headers: V1 }));
    const answer = await raw.answer();
    assert.equal(answer.status, 101, answer.text);
    return raw;
}

async function messageOf(raw, type) {
    const frame = await raw.frameButPings();
    assert.ok(frame, `the connection ended where ${type} is due`);
    assert.equal(frame.opcode, OP.TEXT, `opcode ${frame.opcode}`);
    const message = JSON.parse(frame.payload.toString());
    assert.equal(message.type, type, frame.payload.toString());
    return message;
}

const OPEN = {
    plain: rawWebSocket,
    v1: async (herald, userId) => {
        const raw = await openV1(herald, userId);
        await messageOf(raw, 'hello');
        return raw;
    },
};

/* Bytes of which a part is sent before the upgrade and the rest after it, and what they are answered. */
const two = (parts) => Buffer.concat(parts.map((part) => encodeFrame(part)));
const UNFINISHED = {
    plain: [
        { name: 'a ping', bytes: encodeFrame({ opcode: OP.PING, payload: 'hi' }), opcode: OP.PONG, answer: 'hi' },
        { name: 'a message, and a ping', bytes: two([{ payload: 'x'.repeat(300) }, { opcode: OP.PING, payload: 'x' }]), opcode: OP.PONG, answer: 'x' },
        { name: 'fragments around a ping', opcode: OP.PONG, answer: 'in',
            bytes: two([{ fin: false, payload: 'Grü' }, { opcode: OP.PING, payload: 'in' }, { opcode: OP.CONTINUATION, payload: 'ße' }]) },
    ],
    v1: [
        { name: 'a message', bytes: encodeFrame({ payload: PING }), opcode: OP.TEXT, answer: '{"type":"pong"}' },
        { name: 'fragments', opcode: OP.TEXT, answer: '{"type":"pong"}',
            bytes: two([{ fin: false, payload: PING.slice(0, 9) }, { opcode: OP.CONTINUATION, payload: PING.slice(9) }]) },
    ],
};

/* The n-th session of a level: after nothing, or after a part of something, cut at each byte in turn. */
async function openUnfinished(herald, level, n) {
    const userId = `${level}-${n}`;
    const raw = await OPEN[level](herald, userId);
    const kinds = UNFINISHED[level];
    if (n % (kinds.length + 1) === kinds.length) {
        return { userId, level, raw, name: 'nothing' };
    }
    const kind = kinds[n % (kinds.length + 1)];
    const cut = 1 + Math.floor(n / (kinds.length + 1)) % (kind.bytes.length - 1);
    raw.send(kind.bytes.subarray(0, cut));
    return { userId, level, raw, ...kind, cut };
}

async function finish({ userId, raw, name, bytes, cut, opcode, answer }) {
    if (bytes === undefined) {
        return;
    }
    const where = `${userId}, ${name} cut at ${cut}`;
    raw.send(bytes.subarray(cut));
    const frame = await raw.frameButPings();
    assert.ok(frame, `${where}: the connection ended`);
    assert.deepEqual([frame.opcode, frame.payload.toString()], [opcode, answer], where);
}

async function assertPushed(herald, { userId, level, raw }) {
    const { online } = await herald.mustPush(userId, `for ${userId}`);
    assert.equal(online, 1);
    const frame = await raw.frameButPings();
    assert.ok(frame, `${userId}: the connection ended`);
    const value = JSON.parse(frame.payload.toString());
    assert.equal(level === 'plain' ? value : value.data, `for ${userId}`);
}

async function assertNoMore({ userId, raw }) {
    raw.sendFrame({ opcode: OP.PING, payload: 'last' });
    const frame = await raw.frameButPings();
    assert.ok(frame, `${userId}: the connection ended`);
    assert.deepEqual([frame.opcode, frame.payload.toString()], [OP.PONG, 'last'], userId);
    assert.equal(raw.bytes.length, 0);
}

/* ---- full queues ---- */

const BIG = 16000;
const N_BIG = 60;

const bigOf = (n) => `${String(n).padStart(6, '0')}${'x'.repeat(BIG)}`;

async function openStream(herald, userId) {
    const raw = await herald.raw();
    raw.send(`GET /sse?userId=${userId} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n`);
    await waitUntil('the head of the stream', () => raw.bytes.includes('\r\n\r\n'));
    return raw;
}

/* Nobody reads while more is pushed than the kernel and the session's memory take. */
async function fillQueues(herald, sessions) {
    sessions.forEach(({ raw }) => raw.socket.pause());
    for (const n of range(N_BIG)) {
        await parallel(sessions.length, AT_ONCE, (i) => herald.mustPush(sessions[i].userId, bigOf(n)));
    }
}

/* Short, so that a failure can be read. */
const brief = (value) => (value === bigOf(Number(value.slice(0, 6))) ? Number(value.slice(0, 6)) : `${value.length} bytes, not as pushed`);

async function readBig({ userId, level, raw }) {
    raw.socket.resume();
    for (const n of range(N_BIG)) {
        const frame = await raw.frameButPings();
        assert.ok(frame, `${userId}: the connection ended before ${n}`);
        const value = JSON.parse(frame.payload.toString());
        assert.equal(brief(level === 'plain' ? value : value.data), n, userId);
    }
}

async function readBigStream({ userId, raw }) {
    raw.socket.resume();
    await waitUntil(`${userId}: the last one`, () => raw.bytes.includes(`data: ${JSON.stringify(bigOf(N_BIG - 1))}\n\n`));
    const values = raw.bytes.toString().split('\n').filter((line) => line.startsWith('data: "')).map((line) => JSON.parse(line.slice(6)));
    assert.deepEqual(values.map(brief), range(N_BIG), userId);
}

/* ---- strangers ---- */

const key = makeKey('HS256', 'k');
const tokenFor = (sub) => makeToken(key, { sub, exp: Math.floor(Date.now() / 1000) + 300 });

module.exports = (test) => {
    for (const store of ['redis', 'file']) {
        test(`${PER_LEVEL} sessions of each level end what they have begun (${store})`, { timeoutMs: 120000 }, async (t) => {
            const herald = await t.herald({ store, args: ['--ping-interval', '1h', '--silence-timeout', '2h'] });
            const sessions = [];
            for (const level of Object.keys(OPEN)) {
                await parallel(PER_LEVEL, AT_ONCE, async (n) => { sessions.push(await openUnfinished(herald, level, n)); });
            }
            await herald.upgrade();
            await parallel(sessions.length, AT_ONCE, async (i) => {
                await finish(sessions[i]);
                await assertPushed(herald, sessions[i]);
                await assertNoMore(sessions[i]);
            });
            assert.equal((await herald.request('GET', '/stats')).json.connections, sessions.length);
            sessions.forEach(({ raw }) => raw.destroy());
        });

        test(`sessions whose queues are full go on within the frame (${store})`, { timeoutMs: 120000 }, async (t) => {
            const herald = await t.herald({ store, args: ['--slow-timeout', '2m'] });
            const sessions = await Promise.all(range(24).map(async (n) => {
                const level = ['plain', 'v1', 'sse'][n % 3];
                const userId = `${level}-${n}`;
                return { userId, level, raw: level === 'sse' ? await openStream(herald, userId) : await OPEN[level](herald, userId) };
            }));
            await fillQueues(herald, sessions);
            const fellBack = await herald.metric('herald_sessions_fell_back_total');
            assert.ok(fellBack >= sessions.length, `${fellBack} queues are full`);
            await herald.upgrade();
            await Promise.all(sessions.map((each) => (each.level === 'sse' ? readBigStream(each) : readBig(each))));
            sessions.forEach(({ raw }) => raw.destroy());
        });

        test(`${PER_LEVEL} sessions say who they are to the other process (${store})`, { timeoutMs: 120000 }, async (t) => {
            const herald = await t.herald({ store, files: { keys: jwks(key) },
                args: ['--auth', 'jwt', '--jwt-keys', 'keys', '--workers', '3', '--auth-timeout', '5m'] });
            const sessions = await Promise.all(range(PER_LEVEL).map(async (n) => {
                const raw = await openV1(herald, n % 2 === 0 ? null : `u${n}`);
                const bytes = encodeFrame({ payload: JSON.stringify({ type: 'auth', token: tokenFor(`u${n}`) }) });
                const cut = n % 4 < 2 ? 0 : 1 + n % (bytes.length - 1);
                raw.send(bytes.subarray(0, cut));
                return { userId: `u${n}`, level: 'v1', raw, rest: bytes.subarray(cut) };
            }));
            await herald.upgrade();
            await parallel(sessions.length, AT_ONCE, async (i) => {
                const { userId, raw, rest } = sessions[i];
                raw.send(rest);
                await messageOf(raw, 'auth');
                assert.equal((await messageOf(raw, 'hello')).user, userId);
                await assertPushed(herald, sessions[i]);
            });
            sessions.forEach(({ raw }) => raw.destroy());
        });
    }
};
