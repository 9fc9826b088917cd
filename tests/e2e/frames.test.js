'use strict';
/* RFC 6455 on the wire, with bytes of our own: what a client may send (CONTRACT 2: it is counted and
 * dropped), and the close code for what it may not. */

const assert = require('node:assert/strict');
const { OP, encodeFrame, handshake, rawWebSocket, sleep, waitUntil } = require('./harness');

const DROPPED = 'herald_client_messages_dropped_total';
const close = (code, reason = '') => {
    const head = Buffer.alloc(2);
    head.writeUInt16BE(code);
    return { opcode: OP.CLOSE, payload: Buffer.concat([head, Buffer.from(reason)]) };
};

const VIOLATIONS = [
    ['a frame without a mask', 1002, [{ payload: 'hi', mask: false }]],
    ['an unmasked ping', 1002, [{ opcode: OP.PING, mask: false }]],
    ['RSV1', 1002, [{ rsv: 4, payload: 'hi' }]],
    ['RSV2', 1002, [{ rsv: 2, payload: 'hi' }]],
    ['RSV3', 1002, [{ rsv: 1, payload: 'hi' }]],
    ['reserved opcode 3', 1002, [{ opcode: 3, payload: 'hi' }]],
    ['reserved opcode 11', 1002, [{ opcode: 11 }]],
    ['a fragmented ping', 1002, [{ opcode: OP.PING, fin: false }]],
    ['a ping of 126 bytes', 1002, [{ opcode: OP.PING, payload: 'x'.repeat(126) }]],
    ['a continuation of nothing', 1002, [{ opcode: OP.CONTINUATION, payload: 'hi' }]],
    ['a text inside a fragmented text', 1002, [{ fin: false, payload: 'a' }, { payload: 'b' }]],
    ['a length of 5 in 16 bits', 1002, [{ payload: 'hello', lengthBits: 16 }]],
    ['a length of 5 in 64 bits', 1002, [{ payload: 'hello', lengthBits: 64 }]],
    ['a close of one byte', 1002, [{ opcode: OP.CLOSE, payload: 'x' }]],
    ['close code 0', 1002, [close(0)]],
    ['close code 999', 1002, [close(999)]],
    ['close code 1004', 1002, [close(1004)]],
    ['close code 1005', 1002, [close(1005)]],
    ['close code 1006', 1002, [close(1006)]],
    ['close code 1015', 1002, [close(1015)]],
    ['close code 2999', 1002, [close(2999)]],
    ['close code 5000', 1002, [close(5000)]],
    ['a binary message', 1003, [{ opcode: OP.BINARY, payload: 'hi' }]],
    ['a text that is not UTF-8', 1007, [{ payload: Buffer.from([0x61, 0xff]) }]],
    ['a text that ends inside a character', 1007, [{ payload: Buffer.from([0xe2, 0x82]) }]],
    ['bad UTF-8 in a fragment, told before the end', 1007, [{ fin: false, payload: Buffer.from([0xc0, 0xaf]) }]],
    ['a close reason that is not UTF-8', 1007, [{
        opcode: OP.CLOSE, payload: Buffer.from([0x03, 0xe8, 0xff, 0xfe]),
    }]],
    ['a message over 64 KiB, by its length alone', 1009, [{ payload: 'x', length: 65537 }]],
    ['a message over 64 KiB in fragments', 1009, [
        { fin: false, payload: 'x'.repeat(40000) }, { opcode: OP.CONTINUATION, payload: 'x'.repeat(40000) },
    ]],
];

async function sharedSocket(t, userId) {
    const herald = await t.sharedHerald('frames', { store: 'memory' });
    const raw = await rawWebSocket(herald, userId);
    t.cleanup(() => raw.destroy());
    return { herald, raw };
}

async function dropsOf(herald, act, count) {
    const before = await herald.metric(DROPPED);
    await act();
    await waitUntil(`${count} more dropped messages`, async () => (await herald.metric(DROPPED)) === before + count);
}

module.exports = (test) => {
    for (const [name, code, frames] of VIOLATIONS) {
        test(`${name} is closed with ${code}`, async (t) => {
            const { raw } = await sharedSocket(t, 'violator');
            for (const frame of frames) {
                raw.sendFrame(frame);
            }
            assert.equal(await raw.closeCode(), code);
            await raw.waitEnd();
        });
    }

    test('a ping is ponged with its payload, the empty one too', async (t) => {
        const { raw } = await sharedSocket(t, 'pinger');
        for (const payload of ['', 'are you there?', 'x'.repeat(125)]) {
            raw.sendFrame({ opcode: OP.PING, payload });
            const pong = await raw.frameButPings();
            assert.equal(pong.opcode, OP.PONG);
            assert.equal(pong.payload.toString(), payload);
            assert.equal(pong.isMasked, false);
            assert.equal(pong.rsv, 0);
        }
    });

    test('a close is echoed with its code and the connection ends', async (t) => {
        for (const code of [1000, 1001, 3000, 4999]) {
            const { raw } = await sharedSocket(t, 'closer');
            raw.sendFrame(close(code, 'bye'));
            assert.equal(await raw.closeCode(), code);
            await raw.waitEnd();
        }
    });

    test('a close without a code is answered, and ends the connection', async (t) => {
        const { raw } = await sharedSocket(t, 'closer');
        raw.sendFrame({ opcode: OP.CLOSE });
        assert.ok([1000, 1005].includes(await raw.closeCode()));
        await raw.waitEnd();
    });

    test('a text is counted and dropped', async (t) => {
        const { herald, raw } = await sharedSocket(t, 'talker');
        await dropsOf(herald, () => raw.sendFrame({ payload: 'Grüße 😀' }), 1);
        await herald.mustPush('talker', 'still here', { ttl: 0 });
        assert.equal((await raw.frameButPings()).payload.toString(), '"still here"');
    });

    test('a message of exactly 64 KiB is taken, in one frame and in many', async (t) => {
        const { herald, raw } = await sharedSocket(t, 'talker');
        await dropsOf(herald, () => raw.sendFrame({ payload: 'x'.repeat(65536) }), 1);
        await dropsOf(herald, () => {
            raw.sendFrame({ fin: false, payload: 'x'.repeat(65535) });
            raw.sendFrame({ opcode: OP.CONTINUATION, payload: 'x' });
        }, 1);
    });

    test('a fragmented text with a ping inside is one message, and the ping is answered first', async (t) => {
        const { herald, raw } = await sharedSocket(t, 'fragmenter');
        const euro = Buffer.from('€');
        await dropsOf(herald, async () => {
            raw.sendFrame({ fin: false, payload: euro.subarray(0, 1) });
            raw.sendFrame({ opcode: OP.PING, payload: 'between' });
            const pong = await raw.frameButPings();
            assert.equal(pong.opcode, OP.PONG);
            assert.equal(pong.payload.toString(), 'between');
            raw.sendFrame({ fin: false, opcode: OP.CONTINUATION, payload: '' });
            raw.sendFrame({ opcode: OP.CONTINUATION, payload: euro.subarray(1) });
        }, 1);
    });

    test('frames that come byte by byte, and many in one segment, are read', async (t) => {
        const { raw } = await sharedSocket(t, 'bytewise');
        for (const byte of encodeFrame({ opcode: OP.PING, payload: 'slowly' })) {
            raw.send(Buffer.from([byte]));
            await new Promise(setImmediate);
        }
        assert.equal((await raw.frameButPings()).payload.toString(), 'slowly');
        const names = ['a', 'b', 'c', 'd'];
        raw.send(Buffer.concat(names.map((payload) => encodeFrame({ opcode: OP.PING, payload }))));
        for (const name of names) {
            assert.equal((await raw.frameButPings()).payload.toString(), name);
        }
    });

    test('a pong that nobody asked for is allowed and acknowledges nothing', async (t) => {
        const { herald, raw } = await sharedSocket(t, 'unasked');
        for (const payload of ['', '999999', 'nonsense', '-1', '18446744073709551616']) {
            raw.sendFrame({ opcode: OP.PONG, payload });
        }
        await herald.mustPush('unasked', 1);
        assert.equal((await raw.frameButPings()).payload.toString(), '1');
        assert.equal((await herald.user('unasked')).pending, 1);
    });

    test('whoever answers pings with pongs of its own is pinged again and stays', { tries: 3 }, async (t) => {
        const herald = await t.herald({
            store: 'memory', args: ['--ping-interval', '100ms', '--silence-timeout', `${400 * t.scale}ms`],
        });
        const raw = await rawWebSocket(herald, 'odd');
        for (let n = 0; n < 8 * t.scale; n++) {
            const ping = await raw.frame();
            assert.equal(ping?.opcode, OP.PING, `${n} pings, and then ${ping?.payload}`);
            raw.sendFrame({ opcode: OP.PONG });
        }
        const { connections } = await herald.user('odd');
        assert.equal(connections[0].roundTripMs, null);
        assert.equal(await herald.metric('herald_pongs_total'), 0);
        raw.destroy();
    });

    /* The next frame, which must be this ping. */
    const expectPing = async (raw, payload) => {
        const frame = await raw.frame();
        assert.deepEqual([frame.opcode, frame.payload.toString()], [OP.PING, payload]);
    };
    const pong = (raw, payload) => raw.sendFrame({ opcode: OP.PONG, payload });

    test('a matching pong behind others still acknowledges, also that of the ping before', async (t) => {
        const herald = await t.herald({ store: 'memory', args: ['--ping-interval', '1h', '--silence-timeout', '2h'] });
        const raw = await rawWebSocket(herald, 'mixed');
        for (const n of [1, 2]) { /* the pong ends the wait for the first ping, so the second push is pinged too */
            await herald.mustPush('mixed', n);
            assert.equal((await raw.frame()).payload.toString(), String(n));
            await expectPing(raw, String(n));
            pong(raw, 'a heartbeat');
        }
        const unmatched = async () => herald.metric('herald_pongs_unmatched_total');
        await waitUntil('both pongs are read', async () => await unmatched() === 2);
        const { pending, connections } = await herald.user('mixed');
        assert.deepEqual([pending, connections[0].roundTripMs], [2, null]);
        pong(raw, '1');
        await herald.waitPending('mixed', 1);
        assert.equal((await herald.user('mixed')).connections[0].roundTripMs, null);
        pong(raw, '2');
        await herald.waitPending('mixed', 0);
        assert.equal(typeof (await herald.user('mixed')).connections[0].roundTripMs, 'number');
        pong(raw, '2');
        await waitUntil('its second answer counts for nothing', async () => await unmatched() === 3);
        raw.destroy();
    });

    const LATE = 'herald_limited_total{limit="message-time"}';
    const whole = encodeFrame({ payload: 'x'.repeat(50) });
    /* What begins a message, and what is sent again and again so that the client is not silent. */
    const NEVER_ENDS = [
        ['a message in fragments', encodeFrame({ fin: false, payload: 'a' }), () => encodeFrame({ opcode: OP.PING })],
        ['a message in empty fragments', encodeFrame({ fin: false, payload: 'a' }),
            () => encodeFrame({ opcode: OP.CONTINUATION, fin: false })],
        ['a frame of which a byte comes now and then', whole.subarray(0, 10), (n) => whole.subarray(10 + n, 11 + n)],
        ['the header of a frame', whole.subarray(0, 3), () => ''],
        ['half a ping', encodeFrame({ opcode: OP.PING, payload: 'x'.repeat(100) }).subarray(0, 50), () => ''],
    ];
    for (const [name, begin, more] of NEVER_ENDS) {
        test(`what does not end within --slow-timeout is closed with 4000: ${name}`, async (t) => {
            const herald = await t.sharedHerald('brief', { store: 'memory', args: ['--slow-timeout', '500ms'] });
            const [plain, v1] = [await herald.raw(), await herald.raw()];
            const before = await herald.metric(LATE);
            await Promise.all([[plain, 'herald.plain'], [v1, 'herald.v1']].map(async ([raw, level]) => {
                t.cleanup(() => raw.destroy());
                raw.send(handshake('/ws?userId=begins', { headers: { 'Sec-WebSocket-Protocol': level } }));
                assert.equal((await raw.answer()).status, 101);
                raw.send(begin);
                const began = Date.now();
                let n = 0;
                const timer = setInterval(() => raw.send(more(n++)), 50);
                t.cleanup(() => clearInterval(timer));
                let frame;
                do {
                    frame = await raw.frame();
                } while (frame.opcode !== OP.CLOSE);
                clearInterval(timer);
                assert.deepEqual([frame.payload.readUInt16BE(0), frame.payload.subarray(2).toString()],
                    [4000, 'slow message']);
                assert.ok(Date.now() - began >= 450, `after ${Date.now() - began} ms`);
            }));
            assert.equal(await herald.metric(LATE), before + 2);
        });
    }

    test('who ends each message in time is not closed, though one has always begun', { tries: 3 }, async (t) => {
        const herald = await t.herald({ store: 'memory', args: ['--slow-timeout', `${t.scale}s`] });
        const raw = await rawWebSocket(herald, 'goes on');
        t.cleanup(() => raw.destroy());
        const [head, tail] = [whole.subarray(0, 20), whole.subarray(20)];
        const begin = Date.now();
        raw.send(head);
        while (Date.now() < begin + 1200 * t.scale) {
            raw.send(Buffer.concat([tail, head]));
            await sleep(50);
        }
        raw.send(Buffer.concat([tail, encodeFrame({ opcode: OP.PING, payload: 'alive' })]));
        assert.equal((await raw.frameButPings()).payload.toString(), 'alive');
    });

    test('the server never masks and sends data in single text frames', async (t) => {
        const { herald, raw } = await sharedSocket(t, 'plain');
        const data = 'x'.repeat(60000);
        await herald.mustPush('plain', data, { ttl: 0 });
        const frame = await raw.frameButPings();
        assert.deepEqual([frame.fin, frame.rsv, frame.opcode, frame.isMasked], [true, 0, OP.TEXT, false]);
        assert.equal(frame.payload.length, 60002);
    });
};
