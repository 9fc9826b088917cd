'use strict';
/* Failures that other notification servers are known for: each has a test that carries its name. */

const assert = require('node:assert/strict');
const {
    assertAccounted, assertMostlySoon, assertRising, everyStore, handshake, keepPushing, pushNumbers, range, rawWebSocket,
    waitUntil,
} = require('./harness');

const FILLER = 'x'.repeat(60000);

module.exports = (test) => {
    /* Read to its end, then switched to live: what is pushed between the two is in neither. CONTRACT 5.5. */
    everyStore(test, 'failure: the message between flush and go-live', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        await Promise.all(range(4).map(async (lane) => {
            for (const round of range(8)) {
                /* A user each: what one session acknowledges early, a session of the same user does not get any more. */
                const users = ['v1', 'plain', 'stream'].map((kind) => `between ${lane} ${round} ${kind}`);
                const pushAll = (from, to) => Promise.all(users.map((user) => pushNumbers(herald, user, from, to)));
                await pushAll(0, round);
                const pushing = pushAll(round, round + 12);
                const [v1, plain, stream] = await Promise.all([
                    herald.subscribeV1(users[0]), herald.subscribe(users[1]), herald.events(users[2])]);
                await pushing;
                const total = round + 12;
                await Promise.all([v1.wait('notification', total), plain.waitCount(total), stream.waitCount(total)]);
                assertAccounted(v1.frames, 1, total);
                assert.deepEqual([v1.gaps, plain.values(), stream.values()], [[], range(total), range(total)]);
                for (const client of [v1, plain, stream]) {
                    client.terminate();
                }
            }
        }));
    });

    /* Taken out of the list, then written to a socket whose peer is gone. CONTRACT 5.3. */
    everyStore(test, 'failure: LRANGE and DEL, and then a dead socket', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        await pushNumbers(herald, 'dead', 0, 50);
        for (const offer of [null, 'herald.v1', null, 'herald.v1']) {
            const raw = await herald.raw();
            raw.socket.pause();
            raw.send(handshake('/ws?userId=dead', { headers: { 'Sec-WebSocket-Protocol': offer } }));
            await waitUntil('it is connected', async () => (await herald.user('dead')).online);
            raw.destroy();
            await herald.waitOffline('dead');
        }
        const stream = await herald.events('dead', { query: '&ack=explicit' });
        stream.terminate();
        await herald.waitOffline('dead');
        assert.equal((await herald.user('dead')).pending, 50);
        const client = await herald.subscribe('dead');
        await client.waitCount(50);
        assert.deepEqual(client.values(), range(50));
        await herald.waitPending('dead', 0);
    });

    /* Delivered, acknowledged, and yet given again on every connection while its time to live lasts. */
    everyStore(test, 'failure: redelivery for ever, until the time to live ends', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        await pushNumbers(herald, 'for ever', 0, 5);
        const first = await herald.subscribe('for ever');
        await first.waitCount(5);
        await herald.waitPending('for ever', 0);
        await first.close();
        const open = [() => herald.subscribe('for ever'), () => herald.subscribeV1('for ever', { autoAck: true }),
            () => herald.events('for ever')];
        for (const round of range(6)) {
            const client = await open[round % 3]();
            await herald.mustPush('for ever', `marker ${round}`);
            await waitUntil('the marker', () => client.values().includes(`marker ${round}`));
            assert.deepEqual(client.values(), [`marker ${round}`]);
            await herald.waitPending('for ever', 0);
            client.terminate();
            await herald.waitOffline('for ever');
        }
    });

    /* CONTRACT 5.2: a session sees rising numbers only. */
    everyStore(test, 'failure: a live message that overtakes the replay', async (t, store) => {
        const herald = await t.herald({ store, args: ['--inbox-max-bytes', '64MiB'] });
        for (const n of range(40)) {
            await herald.mustPush('u', [n, FILLER]);
        }
        const pusher = keepPushing(herald, 'u', 40);
        const v1 = await herald.subscribeV1('u');
        const plain = await herald.subscribe('u');
        await pusher.race(v1.wait('notification', 60));
        const total = await pusher.stop();
        await Promise.all([v1.wait('notification', total), plain.waitCount(total)]);
        assertRising(v1.seqs(), 'herald.v1');
        const numbers = (values) => values.map((value) => (Array.isArray(value) ? value[0] : value));
        assert.deepEqual([numbers(v1.values()), numbers(plain.values())], [range(total), range(total)]);
    });

    /* What was read from the inbox must acknowledge as what was live does. */
    everyStore(test, 'failure: a replayed message that does not advance the position', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        for (const [name, read] of [
            ['plain', async (userId) => (await herald.subscribe(userId)).waitCount(5)],
            ['v1', async (userId) => {
                const client = await herald.subscribeV1(userId);
                const frames = await client.wait('notification', 5);
                assert.ok(frames.every(({ replay }) => replay));
                client.ack(frames[4].id);
            }],
            ['sse', async (userId) => (await herald.events(userId)).waitCount(5)],
        ]) {
            const userId = `replayed ${name}`;
            await pushNumbers(herald, userId, 0, 5);
            await read(userId);
            await herald.waitPending(userId, 0);
            assert.equal((await herald.user(userId)).acked, 5);
        }
    });

    /* A connection that is never idle must not owe everything it ever got. */
    everyStore(test, 'failure: the position that only moves when everything is acknowledged', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        const plain = await herald.subscribe('never idle');
        const pusher = keepPushing(herald, 'never idle', 0);
        await pusher.race(plain.waitCount(50));
        await pusher.race(waitUntil('the position moves while pushes go on', async () => {
            const { acked, head } = await herald.user('never idle');
            return acked > 20 && head >= acked;
        }));
        await pusher.stop();

        const v1 = await herald.subscribeV1('in part');
        await pushNumbers(herald, 'in part', 0, 5);
        const frames = await v1.wait('notification', 5);
        v1.ack(frames[2].id);
        await herald.waitPending('in part', 2);
        v1.terminate();
        await herald.waitOffline('in part');
        const again = await herald.subscribeV1('in part');
        await again.wait('notification', 2);
        assert.deepEqual([again.hello.acked, again.seqs()], [3, [4, 5]]);
    });

    /* The end of the old connection comes late, and takes the entry of the new one with it. */
    everyStore(test, 'failure: a teardown that removes the newer connection\'s entry', async (t, store) => {
        const herald = await t.herald({ store, args: ['--max-connections-per-user', '1'] });
        let old = await herald.subscribeV1('u', { autoAck: true });
        for (const round of range(15)) {
            const newer = await herald.subscribeV1('u', { autoAck: true });
            if (round % 2 === 0) {
                old.terminate();
            }
            await old.waitClosed();
            const pushed = await herald.mustPush('u', round);
            assert.deepEqual([pushed.status, pushed.online], ['sent', 1], `round ${round}`);
            await waitUntil('it arrives', () => newer.values().includes(round));
            assert.equal((await herald.user('u')).connections.length, 1);
            old = newer;
        }
        const { connections } = (await herald.request('GET', '/stats')).json;
        assert.equal(connections, 1);
    });

    /* CONTRACT 5.7: no publisher waits for it. */
    everyStore(test, 'failure: one stuck client that stalls every publisher', async (t, store) => {
        const herald = await t.herald({ store, args: ['--inbox-max-bytes', '64MiB', '--silence-timeout', '60s'] });
        const stuck = await rawWebSocket(herald, 'stuck');
        t.cleanup(() => stuck.destroy());
        stuck.socket.pause();
        const stuckStream = await herald.events('stuck');
        assert.equal(stuckStream.status, 200);
        stuckStream.response.pause();
        const others = await Promise.all(range(8).map((n) => herald.subscribe(`other ${n}`)));
        const took = [];
        const timed = async (action) => {
            const begin = Date.now();
            await action();
            took.push(Date.now() - begin);
        };
        const flood = (async () => {
            for (const n of range(150)) {
                await timed(() => herald.mustPush('stuck', [n, FILLER]));
            }
        })();
        await Promise.all([flood, ...others.map(async (client, lane) => {
            for (const n of range(40)) {
                await timed(() => herald.mustPush(`other ${lane}`, n));
                await client.waitCount(n + 1);
            }
        })]);
        others.forEach((client) => assert.deepEqual(client.values(), range(40)));
        assertMostlySoon(took, 3000);
        assert.equal((await herald.user('stuck')).head, 150);
    });
};
