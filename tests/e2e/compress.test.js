'use strict';
/* CONTRACT 7: `--compress` (off by default) agrees to permessage-deflate, RFC 7692. Frames are made and read
 * here with Node's own zlib. */

const assert = require('node:assert/strict');
const zlib = require('node:zlib');
const { OP, encodeFrame, handshake, waitUntil } = require('./harness');

const RSV1 = 4;
const OFFER = 'permessage-deflate';
const ANSWER = 'permessage-deflate; server_no_context_takeover; client_no_context_takeover';
const SAVED = 'herald_compression_saved_bytes_total';
const big = (length) => `"${'news '.repeat(length / 5).padEnd(length - 2, '.').slice(0, length - 2)}"`;

const deflate = (text) => zlib.deflateRawSync(text, { finishFlush: zlib.constants.Z_SYNC_FLUSH }).subarray(0, -4);
const inflate = (bytes, windowBits = 15) => zlib.inflateRawSync(Buffer.concat([bytes, Buffer.from([0, 0, 0xff, 0xff])]),
    { finishFlush: zlib.constants.Z_SYNC_FLUSH, windowBits }).toString();

const withCompression = (t) => t.sharedHerald('compress', {
    store: 'memory', args: ['--compress', '--max-message', '16MiB', '--max-data', '1MiB'],
});

/* A handshake with these header lines; the socket and its answer. */
async function open(t, herald, userId, offers, headers = {}) {
    const raw = await herald.raw();
    t.cleanup(() => raw.destroy());
    raw.send(handshake(`/ws?userId=${userId}`, {
        headers, lines: offers.map((offer) => `Sec-WebSocket-Extensions: ${offer}`),
    }));
    return { raw, answer: await raw.answer() };
}

async function openV1(t, herald, userId) {
    const { raw, answer } = await open(t, herald, userId, [OFFER], { 'Sec-WebSocket-Protocol': 'herald.v1' });
    assert.equal(answer.headers['sec-websocket-extensions'], ANSWER);
    assert.equal(JSON.parse((await raw.frameButPings()).payload).type, 'hello');
    return raw;
}

const say = (raw, payload, more = {}) => raw.sendFrame({ rsv: RSV1, opcode: OP.TEXT, payload, ...more });

const AGREED = [
    ['a bare offer', [OFFER], ANSWER],
    ['every parameter', [`${OFFER}; client_no_context_takeover; server_no_context_takeover; `
        + 'server_max_window_bits="12"; client_max_window_bits'], `${ANSWER}; server_max_window_bits=12`],
    ['the second of two', [`${OFFER}; server_max_window_bits=16, ${OFFER}`], ANSWER],
    ['one on the third line', ['mux', `${OFFER}; what`, `${OFFER}; server_max_window_bits=9`],
        `${ANSWER}; server_max_window_bits=9`],
    ['an unknown extension: nothing', ['permessage-bzip2'], undefined],
    ['a value where none belongs: nothing', [`${OFFER}; client_no_context_takeover=1`], undefined],
    ['leading zeros: nothing', [`${OFFER}; client_max_window_bits=09`], undefined],
];

const BROKEN = [
    ['a compressed text that is not UTF-8', 1007, deflate(Buffer.from([0x61, 0xff]))],
    ['what does not inflate', 1002, Buffer.from([0x07, 0x00])],
    ['a compressed message that is cut off', 1002, deflate('{"type":"ping"}').subarray(0, -3)],
    ['a bomb of 1 MiB', 1009, deflate('x'.repeat(1 << 20))],
];

module.exports = (test) => {
    test('compression is off by default', async (t) => {
        const herald = await t.herald({ store: 'memory' });
        const { raw, answer } = await open(t, herald, 'off', [OFFER]);
        assert.deepEqual([answer.status, answer.headers['sec-websocket-extensions']], [101, undefined]);
        await herald.mustPush('off', 'news '.repeat(1000));
        assert.equal((await raw.frameButPings()).rsv, 0);
        say(raw, deflate('hello'));
        assert.equal(await raw.closeCode(), 1002);
    });

    for (const [name, offers, expected] of AGREED) {
        test(`offers of ${name}`, async (t) => {
            const { answer } = await open(t, await withCompression(t), 'offers', offers);
            assert.deepEqual([answer.status, answer.headers['sec-websocket-extensions']], [101, expected]);
        });
    }

    test('a malformed offer fails the handshake', async (t) => {
        const { answer } = await open(t, await withCompression(t), 'malformed', [`${OFFER}; server_max_window_bits=`]);
        assert.deepEqual([answer.status, answer.json.type], [400, 'bad-handshake']);
    });

    test('notifications of 1 KiB or more are compressed, and arrive byte for byte', async (t) => {
        const herald = await withCompression(t);
        const { raw } = await open(t, herald, 'sizes', [OFFER]);
        for (const [length, rsv] of [[10, 0], [1023, 0], [1024, RSV1], [65536, RSV1], [300000, RSV1]]) {
            const data = big(length);
            await herald.post('/push', `{"userId":"sizes","data":${data}}`);
            const frame = await raw.frameButPings();
            assert.deepEqual([length, frame.rsv, frame.opcode, frame.fin], [length, rsv, OP.TEXT, true]);
            const text = rsv ? inflate(frame.payload) : frame.payload.toString();
            assert.ok(text === data, `${length} bytes`);
            assert.ok(!rsv || frame.payload.length < length / 10);
        }
    });

    test('what does not shrink is sent as it is', async (t) => {
        const herald = await withCompression(t);
        const { raw } = await open(t, herald, 'noise', [OFFER]);
        /* Characters drawn from all of a plane: no 3 bytes repeat. */
        const noise = Array.from({ length: 400 }, (_, i) => String.fromCodePoint(0x4e00 + (i * 7919) % 20000)).join('');
        const before = await herald.metric(SAVED);
        await herald.mustPush('noise', noise);
        const frame = await raw.frameButPings();
        const text = frame.rsv ? inflate(frame.payload) : frame.payload.toString();
        assert.equal(JSON.parse(text), noise);
        assert.ok(frame.payload.length <= Buffer.byteLength(JSON.stringify(noise)));
        assert.ok((await herald.metric(SAVED)) >= before);
    });

    test('saved bytes are counted, and sessions without compression stay as they are', async (t) => {
        const herald = await withCompression(t);
        const data = big(4096);
        const small = await open(t, herald, 'mixed', [OFFER]);
        const whole = await open(t, herald, 'mixed', []);
        const stream = await herald.events('mixed');
        const before = await herald.metric(SAVED);
        await herald.post('/push', `{"userId":"mixed","data":${data}}`);
        const frames = [await small.raw.frameButPings(), await whole.raw.frameButPings()];
        await stream.waitCount(1);
        assert.deepEqual(frames.map(({ rsv }) => rsv), [RSV1, 0]);
        assert.equal(inflate(frames[0].payload), data);
        assert.equal(frames[1].payload.toString(), data);
        assert.equal(stream.messages()[0].data, data);
        const sizes = frames.map(({ size }) => size);
        assert.equal((await herald.metric(SAVED)) - before, sizes[1] - sizes[0]);
    });

    test('a client that takes its context over is told so when it is closed with 1002', async (t) => {
        const raw = await openV1(t, await withCompression(t), 'keeps');
        const deflater = zlib.createDeflateRaw();
        const compress = (text) => new Promise((resolve) => {
            deflater.write(text);
            deflater.flush(zlib.constants.Z_SYNC_FLUSH, () => resolve(deflater.read().subarray(0, -4)));
        });
        say(raw, await compress('{"type":"ping"}'));
        assert.equal((await raw.frameButPings()).payload.toString(), '{"type":"pong"}');
        say(raw, await compress('{"type":"ping"}'));
        const { opcode, payload } = await raw.frameButPings();
        assert.deepEqual([opcode, payload.readUInt16BE(0), payload.subarray(2).toString()],
            [OP.CLOSE, 1002, 'not compressed by itself: client_no_context_takeover was agreed']);
    });

    test('a small window gets what is longer than it uncompressed', async (t) => {
        const herald = await withCompression(t);
        const { raw, answer } = await open(t, herald, 'window', [`${OFFER}; server_max_window_bits=11`]);
        assert.equal(answer.headers['sec-websocket-extensions'], `${ANSWER}; server_max_window_bits=11`);
        for (const [length, rsv] of [[1024, RSV1], [2048, RSV1], [2049, 0]]) {
            await herald.post('/push', `{"userId":"window","data":${big(length)}}`);
            const frame = await raw.frameButPings();
            assert.deepEqual([length, frame.rsv], [length, rsv]);
            assert.equal(rsv ? inflate(frame.payload, 11) : frame.payload.toString(), big(length));
        }
    });

    test('replay, broadcast and herald.v1 are compressed', async (t) => {
        const herald = await withCompression(t);
        await herald.post('/push', `{"userId":"kinds","data":${big(3000)}}`);
        const raw = await openV1(t, herald, 'kinds');
        const replayed = await raw.frameButPings();
        await herald.post('/broadcast', `{"data":${big(5000)}}`);
        const broadcast = await raw.frameButPings();
        assert.deepEqual([replayed.rsv, broadcast.rsv], [RSV1, RSV1]);
        assert.deepEqual([JSON.parse(inflate(replayed.payload)).seq, JSON.parse(inflate(replayed.payload)).replay], [1, true]);
        assert.equal(JSON.parse(inflate(broadcast.payload)).data, JSON.parse(big(5000)));
    });

    test('a herald.v1 client may compress what it says, in pieces too', async (t) => {
        const herald = await withCompression(t);
        const raw = await openV1(t, herald, 'said');
        const ping = deflate('{"type":"ping"}');
        say(raw, ping);
        assert.equal((await raw.frameButPings()).payload.toString(), '{"type":"pong"}');
        say(raw, ping.subarray(0, 3), { fin: false });
        raw.sendFrame({ opcode: OP.PING, payload: 'between' });
        raw.sendFrame({ opcode: OP.CONTINUATION, payload: ping.subarray(3) });
        assert.equal((await raw.frameButPings()).opcode, OP.PONG);
        assert.equal((await raw.frameButPings()).payload.toString(), '{"type":"pong"}');
        raw.sendFrame({ payload: '{"type":"ping"}' });
        assert.equal((await raw.frameButPings()).payload.toString(), '{"type":"pong"}');
        await herald.mustPush('said', 1);
        const { id } = JSON.parse((await raw.frameButPings()).payload);
        say(raw, deflate(JSON.stringify({ type: 'ack', id })));
        await waitUntil('the acknowledgement', async () => (await herald.user('said')).acked === 1);
    });

    for (const [name, code, payload] of BROKEN) {
        test(`${name} is closed with ${code}`, async (t) => {
            const raw = await openV1(t, await withCompression(t), 'broken');
            say(raw, payload);
            assert.equal(await raw.closeCode(), code);
        });
    }

    test('the ceiling of a message counts what it inflates to', async (t) => {
        const herald = await t.herald({ store: 'memory', args: ['--compress', '--max-message', '1KiB'] });
        const fits = await openV1(t, herald, 'ceiling');
        say(fits, deflate(`{"type":"ping"}${' '.repeat(1024 - 15)}`));
        assert.equal((await fits.frameButPings()).payload.toString(), '{"type":"pong"}');
        say(fits, deflate(`{"type":"ping"}${' '.repeat(1025 - 15)}`));
        assert.equal(await fits.closeCode(), 1009);
    });

    test('one read of compressed messages may not become more than a megabyte', async (t) => {
        const herald = await withCompression(t);
        const limited = () => herald.metric('herald_limited_total');
        const before = await limited();
        const frame = (payload) => encodeFrame({ rsv: RSV1, opcode: OP.TEXT, payload });
        const idle = deflate(`{"type":"idle","pad":"${'x'.repeat(60000)}"}`);
        const calm = await openV1(t, herald, 'calm');
        for (let i = 0; i < 5; i++) {
            calm.send(Buffer.concat(Array(10).fill(frame(idle))));
            say(calm, deflate('{"type":"ping"}'));
            assert.equal(JSON.parse((await calm.frameButPings()).payload).type, 'pong');
        }
        assert.equal(await limited(), before);
        const flood = await openV1(t, herald, 'flood');
        flood.send(Buffer.concat(Array(60).fill(frame(idle))));
        assert.equal(await flood.closeCode(), 4005);
        assert.equal(await limited(), before + 1);
    });

    test('a message of ten times its compressed size is no bomb', async (t) => {
        const raw = await openV1(t, await withCompression(t), 'large');
        const member = Array.from({ length: 20000 }, (_, i) => (i * 7919) % 1000003).join(' ');
        say(raw, deflate(JSON.stringify({ type: 'ping', member })));
        assert.equal((await raw.frameButPings()).payload.toString(), '{"type":"pong"}');
    });

    test('what a plain client sends compressed is counted and dropped', async (t) => {
        const herald = await withCompression(t);
        const { raw } = await open(t, herald, 'plain', [OFFER]);
        const before = await herald.metric('herald_client_messages_dropped_total');
        say(raw, deflate('hello'));
        await waitUntil('the count', async () => (await herald.metric('herald_client_messages_dropped_total')) === before + 1);
        raw.send(encodeFrame({ rsv: RSV1, opcode: OP.PING }));
        assert.equal(await raw.closeCode(), 1002);
    });

    test('the ws package and Herald understand each other', async (t) => {
        const herald = await withCompression(t);
        for (const perMessageDeflate of [true, { threshold: 0 }, { serverMaxWindowBits: 10, threshold: 0 },
            { clientMaxWindowBits: 9, threshold: 0 }]) {
            const client = await herald.subscribeV1('package', { perMessageDeflate });
            assert.match(client.socket.extensions, /^permessage-deflate/);
            await client.roundTrip();
            const data = 'news '.repeat(2000) + Math.random();
            await herald.mustPush('package', data);
            await client.wait('notification');
            assert.equal(client.values().at(-1), data);
            client.ack(client.notifications.at(-1).id);
            await client.roundTrip();
            await client.close();
        }
    });
};
