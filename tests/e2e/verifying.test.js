'use strict';
/* What costs Herald more than the client that requests it: signatures, tickets, resumes and acknowledgements by POST. A session
 * has one verification a second, all of them have a share of a worker's time, and nobody is refused for that. */

const assert = require('node:assert/strict');
const {
    OP, encodeFrame, exchange, handshake, jwks, makeKey, makeToken, parallel, range, waitUntil,
} = require('./harness');

const SECOND = 'herald_credentials_waited_total{cause="second"}';
const SHARE = 'herald_credentials_waited_total{cause="share"}';
const key = makeKey('ES512', 'k'); /* a millisecond or so each */
const frameOf = (message) => encodeFrame({ payload: JSON.stringify(message) });
const authOf = (sub) => frameOf({ type: 'auth', token: makeToken(key, { sub }) });
const optionsFor = (args = []) => ({
    store: 'memory', files: { keys: jwks(key) },
    args: ['--auth', 'jwt', '--jwt-keys', 'keys', '--workers', '1', ...args],
});
const bearer = (sub) => ({ Authorization: `Bearer ${makeToken(key, { sub })}` });
const ackOf = (sub) => 'POST /ack?id=abcdefgh-1 HTTP/1.1\r\nHost: x\r\n'
    + `Authorization: ${bearer(sub).Authorization}\r\n\r\n`;
const V1 = { 'Sec-WebSocket-Protocol': 'herald.v1' };

async function openV1(herald, sub) {
    const raw = await herald.raw();
    raw.send(handshake('/ws', { headers: { ...V1, ...bearer(sub) } }));
    assert.equal((await raw.answer()).status, 101);
    assert.equal(JSON.parse((await raw.frameButPings()).payload).type, 'hello');
    return raw;
}

/* What comes, with the time at which it did; pings are answered. */
async function nextMessage(raw) {
    for (;;) {
        const frame = await raw.frame();
        assert.ok(frame, 'the connection is open');
        assert.equal(frame.opcode === OP.CLOSE, false, `it is closed: ${frame.payload.subarray(2)}`);
        if (frame.opcode === OP.PING) {
            raw.sendFrame({ opcode: OP.PONG, payload: frame.payload });
        } else {
            return { type: JSON.parse(frame.payload).type, at: Date.now() };
        }
    }
}

module.exports = (test) => {
    test('a second auth message waits for its second with all that comes behind it, and none is refused', async (t) => {
        const herald = await t.sharedHerald('patient', optionsFor());
        const raw = await openV1(herald, 'renews');
        const waited = await herald.metric(SECOND);
        const pings = Array(5000).fill(frameOf({ type: 'ping' }));
        const begin = Date.now();
        raw.send(Buffer.concat([authOf('renews'), frameOf({ type: 'ping' }), authOf('renews'), ...pings]));
        const said = [];
        while (said.length < 3 + pings.length) {
            said.push(await nextMessage(raw));
        }
        assert.deepEqual(said.map(({ type }) => type), ['auth', 'pong', 'auth', ...pings.map(() => 'pong')]);
        assert.ok(said[2].at - begin >= 950, `after ${said[2].at - begin} ms`);
        assert.equal(await herald.metric(SECOND), waited + 1);
        raw.destroy();
    });

    const BRIEF = ['--ping-interval', '100ms', '--silence-timeout', '500ms'];

    /* All is sent at once, and more than is read before the wait: nothing depends on how soon this process goes on. */
    test('who waits for its second does not pass for silent', async (t) => {
        const herald = await t.sharedHerald('brief', optionsFor(BRIEF));
        const raw = await t.raw(herald.port);
        raw.send(Buffer.concat([Buffer.from(handshake('/ws', { headers: { ...V1, ...bearer('alive') } })),
            authOf('alive'), authOf('alive'), ...Array(5000).fill(frameOf({ type: 'ping' }))]));
        assert.equal((await raw.answer()).status, 101);
        const types = [];
        while (types.length < 4) {
            types.push((await nextMessage(raw)).type);
        }
        assert.deepEqual(types.filter((type) => type !== 'hello'), ['auth', 'auth', 'pong']);
    });

    test('nor does who has gone silent pass for alive by what it sent before', async (t) => {
        const herald = await t.sharedHerald('brief', optionsFor(BRIEF));
        const raw = await openV1(herald, 'gone');
        raw.send(Buffer.concat(range(8).map(() => authOf('gone'))));
        const frames = [];
        do {
            frames.push(await raw.frameButPings());
        } while (frames.at(-1).opcode !== OP.CLOSE);
        assert.equal(frames.at(-1).payload.readUInt16BE(0), 4003);
        assert.ok(frames.length < 4, `it lived for ${frames.length} s`);
        raw.destroy();
    });

    test('who is closed while it waits is closed at once, and properly', { tries: 3 }, async (t) => {
        const herald = await t.sharedHerald('patient', optionsFor());
        const raw = await openV1(herald, 'kicked');
        raw.send(Buffer.concat(range(30).map(() => authOf('kicked'))));
        assert.equal((await nextMessage(raw)).type, 'auth');
        await waitUntil('the second one waits', async () => await herald.metric(SECOND) > 0);
        assert.equal((await herald.post('/deleteClient', { userId: 'kicked' })).json.closed, 1);
        let frame;
        let answered = 0;
        while ((frame = await raw.frameButPings()).opcode !== OP.CLOSE) {
            answered += 1;
        }
        assert.equal(frame.payload.readUInt16BE(0), 4503);
        assert.ok(answered < 20, `${answered} more were answered`);
        raw.sendFrame({ opcode: OP.CLOSE, payload: Buffer.from([0x11, 0x97]) });
        await raw.waitEnd(1500); /* and not after the two seconds for clients that do not answer */
    });

    test('signatures of many at once have their share, and everybody is answered', async (t) => {
        const herald = await t.sharedHerald('patient', optionsFor());
        const before = await herald.metric(SHARE);
        const asks = [
            () => handshake('/ws', { headers: bearer('many') }),
            () => ackOf('many'),
            () => handshake('/ws', { headers: { Authorization: `${bearer('x').Authorization.slice(0, -4)}AAAA` } }),
        ];
        const bytes = range(60).map((n) => asks[n % 3]());
        const statuses = [];
        await parallel(bytes.length, bytes.length, async (n) => {
            statuses[n] = (await exchange(herald.port, bytes[n])).status;
        });
        assert.deepEqual(statuses, range(60).map((n) => [101, 409, 401][n % 3]));
        assert.ok(await herald.metric(SHARE) > before);
    });

    test('acknowledgements that come one behind the other on a connection are all answered', async (t) => {
        const herald = await t.sharedHerald('patient', optionsFor());
        const raw = await herald.raw();
        t.cleanup(() => raw.destroy());
        raw.send(ackOf('rows').repeat(20));
        for (let n = 0; n < 20; n++) {
            const { status, headers } = await raw.answer();
            assert.equal(status, 409, `${n}: ${JSON.stringify(headers)}`);
        }
    });

    test('a first message that brings a token waits for its turn as well', async (t) => {
        const herald = await t.sharedHerald('patient', optionsFor());
        const before = await herald.metric(SHARE);
        const bytes = range(30).map((n) => Buffer.concat([
            Buffer.from(handshake('/ws', { headers: V1 })), authOf(`first ${n}`), frameOf({ type: 'ping' }),
        ]));
        const raws = await Promise.all(bytes.map(() => herald.raw()));
        await parallel(bytes.length, bytes.length, async (n) => {
            const raw = raws[n].send(bytes[n]);
            assert.equal((await raw.answer()).status, 101);
            const said = [];
            while (said.length < 3) {
                said.push((await nextMessage(raw)).type);
            }
            assert.deepEqual([said[0], said.slice(1).sort()], ['auth', ['hello', 'pong']]);
            raw.destroy();
        });
        assert.ok(await herald.metric(SHARE) > before);
    });
};
