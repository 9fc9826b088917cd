'use strict';
/* CONTRACT 5.7: a slow client costs itself only; what it did not take in memory it reads from the inbox. */

const assert = require('node:assert/strict');
const fs = require('node:fs');
const {
    OP, assertMostlySoon, encodeFrame, everyStore, handshake, isSanitized, pushNumbers, range, rawWebSocket, sleep, waitUntil,
} = require('./harness');

const MB = 1024 * 1024;
const ROOM = ['--inbox-max-bytes', '64MiB', '--silence-timeout', '60s'];
const FILLER = 'x'.repeat(60000);

/* More than the kernel's buffers of a loopback connection take, so that the rest waits in Herald. */
const MANY = 200;

async function pushMuch(herald, userId, from, to, each = async () => {}) {
    for (const n of range(to - from, from)) {
        await herald.mustPush(userId, [n, FILLER]);
        await each(n);
    }
}

const numbersOf = (client) => client.values().map(([n]) => n);

module.exports = (test) => {
    everyStore(test, 'a herald.v1 client that stops reading gets everything in order, once', async (t, store) => {
        const herald = await t.herald({ store, args: ROOM });
        const slow = await herald.subscribeV1('slow');
        const other = await herald.subscribe('other');
        await slow.wait('hello');
        await pushNumbers(herald, 'other', 0, 1);
        slow.socket.pause();
        const before = herald.residentBytes();
        const took = [];
        await pushMuch(herald, 'slow', 0, MANY, async (n) => {
            if (n % 10 === 0) {
                const begin = Date.now();
                await herald.mustPush('other', n);
                await other.waitCount(n / 10 + 2);
                took.push(Date.now() - begin);
            }
        });
        const grown = herald.residentBytes() - before;
        const { connections } = await herald.user('slow');
        assert.ok(connections[0].queuedBytes <= 256 * 1024 + 70000, `${connections[0].queuedBytes} bytes queued`);
        slow.socket.resume();
        await slow.wait('notification', MANY);
        assert.deepEqual(numbersOf(slow), range(MANY));
        assert.deepEqual(slow.gaps, []);
        slow.ack(slow.notifications.at(-1).id);
        await herald.waitPending('slow', 0);
        await herald.mustPush('slow', ['live']);
        await slow.wait('notification', MANY + 1);
        if (!isSanitized(t.binary)) {
            assertMostlySoon(took, 1000);
            /* The memory store keeps the inbox itself. */
            const limit = (store === 'memory' ? 24 : 6) * MB;
            assert.ok(grown < limit, `grew by ${grown} bytes`);
        }
    });

    test('what a client says counts though it does not read: an ack, and a token', async (t) => {
        const herald = await t.herald({ store: 'memory', args: ['--max-data', '8MiB', '--max-body', '16MiB', '--inbox-max-bytes', '16MiB'] });
        const client = await herald.subscribeV1('u');
        const first = await herald.mustPush('u', 'small');
        await client.wait('notification');
        client.socket.pause();
        await herald.mustPush('u', 'x'.repeat(8e6));
        await sleep(300);
        for (let i = 0; i < 100; i++) {
            client.send({ type: 'ping' });
        }
        client.ack(first.id);
        await waitUntil('the ack is taken', async () => (await herald.user('u')).acked === 1);
        assert.equal(await herald.metric('herald_answers_skipped_total'), 100);
    });

    test('who sends much at once is made to wait, is counted, and loses nothing of it', async (t) => {
        const herald = await t.herald({ store: 'memory', args: ['--workers', '1'] });
        const other = await herald.subscribeV1('other');
        const raw = await rawWebSocket(herald, 'eager');
        t.cleanup(() => raw.destroy());
        const frames = range(20000).map((n) => encodeFrame({ opcode: OP.PING, payload: `${n}`.padEnd(125) }));
        raw.send(Buffer.concat(frames));
        for (let n = 0; n < 20; n++) {
            await herald.mustPush('other', n);
        }
        await other.wait('notification', 20);
        raw.sendFrame({ opcode: OP.PING, payload: 'the last one' });
        let frame;
        do {
            frame = await raw.frame();
            assert.ok(frame, 'the connection is open');
        } while (frame.opcode !== OP.PONG || frame.payload.toString() !== 'the last one');
        assert.ok(await herald.metric('herald_reads_throttled_total') >= 1);
        assert.equal(raw.isEnded, false);
    });

    test('a ttl-0 push to a client that does not read is dropped', async (t) => {
        const herald = await t.herald({ store: 'memory', args: ROOM });
        const slow = await herald.subscribeV1('slow');
        await slow.wait('hello');
        slow.socket.pause();
        await pushMuch(herald, 'slow', 0, MANY);
        const fleeting = await herald.mustPush('slow', ['fleeting', FILLER], { ttl: 0 });
        assert.ok(['sent', 'dropped'].includes(fleeting.status), fleeting.status);
        slow.socket.resume();
        await slow.wait('notification', MANY);
        assert.deepEqual(numbersOf(slow), range(MANY));
    });

    /* What it did not read in time is dropped silently, and what comes after it must not wait for a ping. */
    test('what expired unread does not hold up what comes behind it', async (t) => {
        const herald = await t.herald({ store: 'memory', args: [...ROOM, '--ping-interval', '50s'] });
        const userIds = range(8).map((n) => `slow ${n}`);
        const clients = await Promise.all(userIds.map((userId) => herald.subscribe(userId)));
        const pushAll = async (body) => assert.equal((await herald.post('/push', { userIds, ...body })).status, 200);
        clients.forEach(({ socket }) => socket.pause());
        for (const n of range(MANY)) {
            await pushAll({ data: [n, FILLER], ttl: 2 });
        }
        await sleep(2100);
        await pushAll({ data: 'last' });
        clients.forEach(({ socket }) => socket.resume());
        await waitUntil('the last one', () => clients.every((client) => client.values().at(-1) === 'last'));
    });

    /* Two seconds for the answer to its close frame, whatever the pings and the silence are set to. */
    test('a client that says goodbye and reads nothing holds no socket', async (t) => {
        const herald = await t.herald({ store: 'memory', args: [...ROOM, '--ping-interval', '50s'] });
        const sockets = () => fs.readdirSync(`/proc/${herald.child.process.pid}/fd`).length;
        const raw = await herald.raw();
        raw.send(handshake('/ws?userId=stuck'));
        await raw.answer();
        raw.socket.pause();
        await pushMuch(herald, 'stuck', 0, MANY);
        const before = sockets();
        raw.sendFrame({ opcode: 8, payload: Buffer.from([3, 232]) });
        await herald.waitOffline('stuck');
        await waitUntil('its socket is closed', () => sockets() < before);
    });

    /* Closed with 4000; but the close frame comes after what was not read, so the client may see only the cut. */
    test('a client that does not read for --slow-timeout loses nothing', { tries: 3 }, async (t) => {
        const herald = await t.herald({
            store: 'file', args: [...ROOM, '--slow-timeout', `${t.scale}s`, '--ping-interval', '300ms'] });
        const slow = await herald.subscribeV1('slow');
        await slow.wait('hello');
        slow.socket.pause();
        await pushMuch(herald, 'slow', 0, MANY);
        await herald.waitOffline('slow');
        slow.socket.resume();
        const { code } = await slow.waitClosed();
        assert.ok([4000, 1006].includes(code), `closed with ${code}`);
        const seen = numbersOf(slow);
        assert.deepEqual(seen, range(seen.length));
        const back = await herald.subscribeV1('slow', { autoAck: true });
        await back.wait('notification', MANY);
        assert.deepEqual(numbersOf(back), range(MANY));
        await herald.waitPending('slow', 0);
    });

    test('a slow line that moves stays, beyond both timeouts', { tries: 3 }, async (t) => {
        const herald = await t.herald({
            store: 'memory', args: ['--inbox-max-bytes', '64MiB', '--slow-timeout', `${700 * t.scale}ms`,
                '--ping-interval', '200ms', '--silence-timeout', `${600 * t.scale}ms`],
        });
        const slow = await herald.subscribeV1('slow');
        await slow.wait('hello');
        slow.socket.pause();
        const tcp = slow.socket._socket;
        await pushMuch(herald, 'slow', 0, 60);
        const pushing = pushMuch(herald, 'slow', 60, 400);
        pushing.catch(() => {}); /* it is waited for below, if all goes well until then */
        for (const end = Date.now() + 2000 * t.scale; Date.now() < end;) {
            const before = tcp.bytesRead;
            slow.socket.resume();
            await waitUntil('some bytes', () => tcp.bytesRead > before || slow.notifications.length === 400);
            slow.socket.pause();
            await sleep(30);
            assert.equal(slow.socket.readyState, 1, 'still open');
        }
        await pushing;
        slow.socket.resume();
        await slow.wait('notification', 400);
        assert.deepEqual(numbersOf(slow), range(400));
        assert.equal(slow.socket.readyState, 1, 'still open');
    });
};
