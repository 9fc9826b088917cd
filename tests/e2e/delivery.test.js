'use strict';
/* CONTRACT 5: accepted means kept, order, at least once, acknowledged by pongs, one ordered cut, and a
 * slow client costs itself only. Against each store. */

const assert = require('node:assert/strict');
const {
    OP, PATIENCE_MS, assertMostlySoon, assertRising, everyStore, keepPushing, pushNumbers, range, rawWebSocket, sleep,
    waitUntil, within,
} = require('./harness');

module.exports = (test) => {
    everyStore(test, 'what was pushed to an absent user is there on return, in order', async (t, store) => {
        const herald = await t.herald({ store });
        await pushNumbers(herald, 'u', 0, 200);
        assert.equal((await herald.user('u')).pending, 200);
        const client = await herald.subscribe('u');
        await client.waitCount(200);
        assert.deepEqual(client.values(), range(200));
        await herald.waitPending('u', 0);
    });

    /* CONTRACT 5.5: no hole, no repeat, while a publisher never pauses. */
    everyStore(test, 'flush then live is one ordered cut under a publisher that keeps pushing', async (t, store) => {
        const herald = await t.herald({ store });
        await Promise.all(range(4).map(async (n) => {
            const userId = `cut-${n}`;
            await pushNumbers(herald, userId, 0, 150);
            const pusher = keepPushing(herald, userId, 150);
            const client = await herald.subscribe(userId);
            await pusher.race(client.waitCount(300));
            const total = await pusher.stop();
            await client.waitCount(total);
            assert.deepEqual(client.values(), range(total));
        }));
    });

    /* CONTRACT 5.2 and 5.3: repeats only after a return, and always rising within a session. */
    everyStore(test, 'a client that drops again and again loses nothing', async (t, store) => {
        const herald = await t.herald({ store });
        const pusher = keepPushing(herald, 'u', 0);
        const seen = new Set();
        for (const round of range(12)) {
            const client = await herald.subscribe('u');
            await pusher.race(client.waitCount(1 + round));
            client.terminate();
            await client.waitClosed();
            assertRising(client.values(), `round ${round}`);
            client.values().forEach((n) => seen.add(n));
        }
        const total = await pusher.stop();
        const last = await herald.subscribe('u');
        await herald.waitPending('u', 0);
        await waitUntil('the last one', () => {
            last.values().forEach((n) => seen.add(n));
            return seen.size === total;
        });
    });

    /* CONTRACT 5.4 */
    everyStore(test, 'a pong acknowledges, and what it covered does not come again', async (t, store) => {
        const herald = await t.herald({ store });
        const first = await herald.subscribe('u');
        await pushNumbers(herald, 'u', 0, 20);
        await first.waitCount(20);
        await herald.waitPending('u', 0);
        const { acked, head } = await herald.user('u');
        assert.deepEqual([acked, head], [20, 20]);
        await first.close();
        await herald.mustPush('u', 'marker');
        const second = await herald.subscribe('u');
        await second.waitCount(1);
        assert.equal(second.messages[0], '"marker"');
    });

    everyStore(test, 'what was written but not ponged comes again on return', async (t, store) => {
        const herald = await t.herald({ store });
        const deaf = await herald.subscribe('u', { autoPong: false });
        await pushNumbers(herald, 'u', 0, 5);
        await deaf.waitCount(5);
        assert.equal((await herald.user('u')).pending, 5);
        await deaf.close();
        const second = await herald.subscribe('u');
        await second.waitCount(5);
        assert.deepEqual(second.values(), range(5));
        await herald.waitPending('u', 0);
    });

    everyStore(test, 'a connection that is cut before the pong gets it again', async (t, store) => {
        const herald = await t.herald({ store });
        const cut = await herald.subscribe('u', { autoPong: false });
        await herald.mustPush('u', 'once more');
        await cut.waitCount(1);
        cut.terminate();
        const second = await herald.subscribe('u');
        await second.waitCount(1);
        assert.equal(second.messages[0], '"once more"');
    }, { stores: ['memory', 'file'] });

    /* CONTRACT 5.6: the position is the lowest of the open sessions; when the last has closed, the highest. */
    test('a deaf tab holds the inbox while it is open, and no longer', async (t) => {
        const herald = await t.herald();
        const deaf = await herald.subscribe('u', { autoPong: false });
        const good = await herald.subscribe('u');
        await pushNumbers(herald, 'u', 0, 3);
        await good.waitCount(3);
        await deaf.waitCount(3);
        await waitUntil('the good one is acknowledged', async () => {
            const { connections } = await herald.user('u');
            return connections.some((connection) => connection.acked === 3);
        });
        assert.equal((await herald.user('u')).pending, 3);
        deaf.terminate();
        await herald.waitPending('u', 0);
    });

    test('a ping carries the last number that was written, as decimal text', async (t) => {
        const herald = await t.herald({ store: 'memory', args: ['--ping-interval', '200ms'] });
        const client = await herald.subscribe('u');
        await waitUntil('a first ping', () => client.pings.length > 0);
        await pushNumbers(herald, 'u', 0, 3);
        await waitUntil('a ping with 3', () => client.pings.includes('3'));
        client.pings.forEach((payload) => assert.match(payload, /^[0-9]*$/));
        assertRising([...new Set(client.pings.map(Number))], 'pings');
        const before = client.pings.length;
        await waitUntil('pings go on', () => client.pings.length > before + 2);
        assert.equal(client.pings.at(-1), '3');
    });

    test('the 17th connection closes the oldest with 4508', async (t) => {
        const herald = await t.herald({ store: 'memory' });
        const clients = [];
        for (const _ of range(17)) {
            clients.push(await herald.subscribe('u'));
        }
        assert.equal((await clients[0].waitClosed()).code, 4508);
        assert.equal((await herald.user('u')).connections.length, 16);
        assert.equal((await herald.mustPush('u', 1)).online, 16);
        await Promise.all(clients.slice(1).map((client) => client.waitCount(1)));
    });

    test('--max-connections-per-user is per user', async (t) => {
        const herald = await t.herald({ store: 'memory', args: ['--max-connections-per-user', '1'] });
        const other = await herald.subscribe('v');
        const old = await herald.subscribe('u');
        await herald.subscribe('u');
        assert.equal((await old.waitClosed()).code, 4508);
        assert.equal((await herald.mustPush('v', 1)).online, 1);
        await other.waitCount(1);
    });

    everyStore(test, 'a silent client is closed with 4003 and loses nothing', async (t, store) => {
        const herald = await t.herald({ store, args: ['--ping-interval', '200ms', '--silence-timeout', `${600 * t.scale}ms`] });
        const silent = await herald.subscribe('u', { autoPong: false });
        const alive = await herald.subscribe('v');
        await herald.mustPush('u', 'kept');
        await silent.waitCount(1);
        assert.equal((await silent.waitClosed()).code, 4003);
        assert.equal((await herald.user('u')).pending, 1);
        const back = await herald.subscribe('u');
        await back.waitCount(1);
        assert.equal(back.messages[0], '"kept"');
        assert.equal(alive.socket.readyState, 1, 'who pongs is not closed');
    }, { tries: 3, stores: ['memory', 'file'] });

    /* Expired notifications are never delivered, and nobody has to read them for them to leave. */
    everyStore(test, 'what has expired is not delivered', async (t, store) => {
        const herald = await t.herald({ store });
        for (const [data, ttl] of [['short', 1], ['long', 600], ['short too', 1]]) {
            assert.equal((await herald.mustPush('u', data, { ttl })).status, 'stored');
        }
        await herald.waitPending('u', 1);
        const client = await herald.subscribe('u');
        await client.waitCount(1);
        assert.equal(client.messages[0], '"long"');
        await herald.mustPush('u', 'after');
        await client.waitCount(2);
        assert.deepEqual(client.values(), ['long', 'after']);
    });

    test('the oldest leaves a full inbox', async (t) => {
        const herald = await t.herald({ args: ['--inbox-max', '10'] });
        await pushNumbers(herald, 'u', 0, 25);
        const client = await herald.subscribe('u');
        await client.waitCount(10);
        assert.deepEqual(client.values(), range(10, 15));
    });

    /* CONTRACT 5.7 */
    everyStore(test, 'a reader that stops costs itself only, and gets everything later', async (t, store) => {
        const herald = await t.herald({
            store, args: ['--inbox-max-bytes', '64MiB', '--silence-timeout', '60s', '--drain-time', '0s'],
        });
        const total = 200;
        const filler = 'x'.repeat(50000);
        const slow = await rawWebSocket(herald, 'slow');
        t.cleanup(() => slow.destroy());
        slow.socket.pause();
        const other = await herald.subscribe('other');
        const took = [];
        for (const n of range(total)) {
            await herald.mustPush('slow', [n, filler]);
            if (n % 10 === 0) {
                const begin = Date.now();
                await herald.mustPush('other', n);
                await other.waitCount(n / 10 + 1);
                took.push(Date.now() - begin);
            }
        }
        assertMostlySoon(took, 2000);
        const { connections } = await herald.user('slow');
        assert.ok(connections[0].queuedBytes <= 256 * 1024 + 70000, `${connections[0].queuedBytes} bytes queued`);
        slow.socket.resume();
        const got = [];
        while (got.length < total) {
            const frame = await slow.frame();
            assert.ok(frame, `ended after ${got.length}`);
            if (frame.opcode === OP.PING) {
                slow.sendFrame({ opcode: OP.PONG, payload: frame.payload });
            } else {
                assert.equal(frame.opcode, OP.TEXT);
                got.push(JSON.parse(frame.payload.toString())[0]);
            }
        }
        assert.deepEqual(got, range(total));
    });

    test('a reader that stops for --slow-timeout is closed, and its notifications wait for it', async (t) => {
        const herald = await t.herald({
            args: ['--inbox-max-bytes', '64MiB', '--slow-timeout', '500ms', '--silence-timeout', '60s'],
        });
        const slow = await rawWebSocket(herald, 'slow');
        t.cleanup(() => slow.destroy());
        slow.socket.pause();
        const filler = 'x'.repeat(60000);
        for (const n of range(200)) {
            await herald.mustPush('slow', [n, filler]);
        }
        await waitUntil('it is not connected any more', async () => !(await herald.user('slow')).online);
        const back = await herald.subscribe('slow');
        await back.waitCount(200);
        assert.deepEqual(back.values().map(([n]) => n), range(200));
    });

    for (const store of ['file', 'redis']) {
        test(`SIGTERM closes everybody with 1012, and a restart keeps everything (${store})`, async (t) => {
            const herald = await t.herald({ store, args: ['--drain-time', '200ms'] });
            const deaf = await herald.subscribe('deaf', { autoPong: false });
            const clients = [];
            for (const n of range(8)) {
                clients.push(await herald.subscribe(`c${n}`));
            }
            await pushNumbers(herald, 'absent', 0, 50);
            await pushNumbers(herald, 'deaf', 0, 10);
            await deaf.waitCount(10);
            const before = await herald.user('absent');
            herald.child.signal('SIGTERM');
            for (const client of [deaf, ...clients]) {
                assert.equal((await client.waitClosed()).code, 1012);
            }
            assert.deepEqual(await within(herald.child.exited, PATIENCE_MS, 'the end'), { code: 0, signal: null });
            await herald.restart();
            const after = await herald.user('absent');
            assert.deepEqual([after.epoch, after.head, after.pending], [before.epoch, 50, 50]);
            for (const [userId, count] of [['absent', 50], ['deaf', 10]]) {
                const client = await herald.subscribe(userId);
                await client.waitCount(count);
                assert.deepEqual(client.values(), range(count));
            }
            assert.equal((await herald.mustPush('absent', 'next')).seq, 51);
        });

        test(`SIGKILL loses nothing that was accepted (${store})`, async (t) => {
            const herald = await t.herald({ store });
            await pushNumbers(herald, 'u', 0, 100);
            await herald.kill();
            await herald.restart();
            const client = await herald.subscribe('u');
            await client.waitCount(100);
            assert.deepEqual(client.values(), range(100));
        });

        test(`an acknowledged notification stays away after a clean restart (${store})`, async (t) => {
            const herald = await t.herald({ store });
            const client = await herald.subscribe('u');
            await pushNumbers(herald, 'u', 0, 10);
            await herald.waitPending('u', 0);
            await client.close();
            await herald.stop();
            await herald.restart();
            const { pending, head } = await herald.user('u');
            assert.deepEqual([pending, head], [0, 10]);
        });
    }

    test('everyone who returns at once is flushed', async (t) => {
        const herald = await t.herald();
        const users = range(200).map((n) => `crowd-${n}`);
        for (const n of range(20)) {
            const answer = await herald.post('/push', { userIds: users, data: n });
            assert.equal(answer.status, 200);
        }
        const clients = await Promise.all(users.map((userId) => herald.subscribe(userId)));
        await Promise.all(clients.map((client) => client.waitCount(20)));
        clients.forEach((client) => assert.deepEqual(client.values(), range(20)));
        await sleep(0);
    });

    /* The first page may have been read just before the first push, and the push be heard of before it. */
    everyStore(test, 'a first push that meets the first connection is acknowledged', async (t, store) => {
        const herald = await t.herald({ store, args: ['--ping-interval', '300ms'] });
        for (let round = 0; round < 100; round += 20) {
            await Promise.all(range(20).map(async (n) => {
                const user = `u${round + n}`;
                const [client] = await Promise.all([
                    herald.subscribe(user),
                    sleep((n % 5) * 0.4).then(() => herald.mustPush(user, n)),
                ]);
                await client.waitCount(1);
            }));
        }
        for (const n of range(100)) {
            await herald.waitPending(`u${n}`, 0);
        }
    });

    /* CONTRACT 5.6: what one session acknowledges is still owed to another that has just been accepted. */
    test('a new session gets what an older one acknowledges before its first page', async (t) => {
        const herald = await t.herald({ store: 'file', args: ['--workers', '4'] });
        const others = range(2000).map((n) => `other-${n}`);
        const older = await herald.subscribe('u');
        const load = { isOver: false };
        load.done = (async () => {
            while (!load.isOver) {
                await herald.post('/push', { userIds: others.slice(0, 1000), data: 'busy' });
            }
        })();
        for (const round of range(10)) {
            const newer = await herald.subscribe('u');
            await herald.post('/push', { userIds: ['u', ...others], data: round });
            await waitUntil('the newer session has it', () => newer.values().includes(round));
            newer.terminate();
        }
        load.isOver = true;
        await load.done;
        assertRising(older.values(), 'the older session');
    });

    /* The clock alone proves nobody dead: it may be Herald that stood still. */
    test('a stall of the server closes nobody', { tries: 3 }, async (t) => {
        const herald = await t.herald({
            store: 'memory', args: ['--ping-interval', `${500 * t.scale}ms`, '--silence-timeout', `${t.scale}s`] });
        const clients = await Promise.all(range(20).map((n) => herald.subscribe(`u${n}`)));
        await sleep(700 * t.scale);
        herald.child.signal('SIGSTOP');
        await sleep(1500 * t.scale);
        herald.child.signal('SIGCONT');
        await sleep(1500 * t.scale);
        for (const client of clients) {
            assert.equal(client.socket.readyState, 1, 'still open');
        }
    });
};
