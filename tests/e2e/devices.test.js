'use strict';
/* CONTRACT 5.6: with device= each device has a position of its own, and the inbox waits for all of them. */

const assert = require('node:assert/strict');
const { assertProblem, everyStore, exchange, handshake, pushNumbers, range } = require('./harness');

const BAD_NAMES = ['', 'x'.repeat(65), 'a%20b', 'a+b', 'a%2Fb', '%C3%A4', 'a%00', 'a:b'];

const on = (device) => ({ query: `&device=${device}` });

/* What a device is given when it comes back, in `count` notifications; it is closed again. */
async function seqsOf(herald, userId, device, count) {
    const client = await herald.subscribeV1(userId, on(device));
    await client.wait('notification', count);
    await client.roundTrip();
    await client.close();
    return client.seqs();
}

module.exports = (test) => {
    everyStore(test, 'each device has a position of its own, and the inbox waits for each', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        const phone = await herald.subscribeV1('own', on('phone'));
        const tablet = await herald.subscribeV1('own', on('tablet-2.b_C'));
        await pushNumbers(herald, 'own', 0, 3);
        await phone.wait('notification', 3);
        await tablet.wait('notification', 3);
        phone.ack(phone.notifications[2].id);
        tablet.ack(tablet.notifications[0].id);
        await herald.waitPending('own', 2);
        await phone.close();
        await tablet.close();
        await herald.waitOffline('own');
        assert.equal((await herald.user('own')).pending, 2);

        const phoneAgain = await herald.subscribeV1('own', on('phone'));
        await phoneAgain.wait('hello');
        assert.equal(phoneAgain.hello.acked, 3);
        const tabletAgain = await herald.subscribeV1('own', on('tablet-2.b_C'));
        await tabletAgain.wait('notification', 2);
        assert.deepEqual([tabletAgain.hello.acked, tabletAgain.seqs()], [1, [2, 3]]);
        tabletAgain.ack(tabletAgain.notifications[1].id);
        await herald.waitPending('own', 0);
        await phoneAgain.roundTrip();
        assert.deepEqual(phoneAgain.notifications, []);
    });

    everyStore(test, 'a device that is away keeps its place', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        for (const device of ['a', 'b']) {
            await (await herald.subscribeV1('away', on(device))).close();
        }
        await herald.waitOffline('away');
        const reader = await herald.subscribeV1('away', { ...on('a'), autoAck: true });
        await pushNumbers(herald, 'away', 0, 4);
        await reader.wait('notification', 4);
        await reader.roundTrip();
        assert.equal((await herald.user('away')).pending, 4);
        assert.deepEqual(await seqsOf(herald, 'away', 'b', 4), [1, 2, 3, 4]);
    });

    everyStore(test, 'a new device starts at the position of the user', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        const pushed = await pushNumbers(herald, 'new', 0, 4);
        const first = await herald.subscribeV1('new', on('first'));
        await first.wait('notification', 4);
        first.ack(pushed[1].id);
        await herald.waitPending('new', 2);
        const second = await herald.subscribeV1('new', on('second'));
        await second.wait('notification', 2);
        assert.deepEqual([second.hello.acked, second.seqs()], [2, [3, 4]]);
    });

    everyStore(test, 'a ninth device takes the place of the longest unseen', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        for (const n of range(8)) {
            await (await herald.subscribeV1('nine', on(`d${n}`))).close();
            await herald.waitOffline('nine');
        }
        await herald.mustPush('nine', 1);
        for (const n of range(8, 1)) {
            const client = await herald.subscribeV1('nine', { ...on(`d${n}`), autoAck: true });
            await client.wait('notification');
            await client.roundTrip();
            await client.close();
        }
        await herald.waitPending('nine', 0);
    });

    test('eight devices hold their places', async (t) => {
        const herald = await t.sharedHerald('memory', { store: 'memory' });
        for (const n of range(8)) {
            await (await herald.subscribeV1('eight', on(`d${n}`))).close();
            await herald.waitOffline('eight');
        }
        await herald.mustPush('eight', 1);
        for (const n of range(8)) {
            assert.equal((await herald.user('eight')).pending, 1, `before device ${n}`);
            const client = await herald.subscribeV1('eight', { ...on(`d${n}`), autoAck: true });
            await client.wait('notification');
            await client.roundTrip();
            await client.close();
        }
        await herald.waitPending('eight', 0);
    });

    test('a bad name of a device is 400 and named', async (t) => {
        const herald = await t.sharedHerald('memory', { store: 'memory' });
        for (const name of BAD_NAMES) {
            const answer = await exchange(herald.port, handshake(`/ws?userId=u&device=${name}`));
            assertProblem(answer, 400, { type: 'invalid-field', field: 'device' });
        }
        const twice = await exchange(herald.port, handshake('/ws?userId=u&device=a&device=a'));
        assertProblem(twice, 400, { field: 'device' });
        for (const name of ['x'.repeat(64), 'A.b_c-9']) {
            assert.equal((await exchange(herald.port, handshake(`/ws?userId=u&device=${name}`))).status, 101, name);
        }
    });

    everyStore(test, 'beside devices, a session without one holds the inbox while it is open', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        const phone = await herald.subscribeV1('beside', { ...on('phone'), autoAck: true });
        const bare = await herald.subscribeV1('beside');
        await pushNumbers(herald, 'beside', 0, 2);
        await phone.wait('notification', 2);
        await bare.wait('notification', 2);
        await phone.roundTrip();
        assert.equal((await herald.user('beside')).pending, 2);
        await bare.close();
        await herald.waitPending('beside', 0);
    });

    test('the inbox waits for a device whatever sessions without one acknowledge', async (t) => {
        const herald = await t.sharedHerald('memory', { store: 'memory' });
        await (await herald.subscribeV1('waits', on('phone'))).close();
        const bare = await herald.subscribeV1('waits', { autoAck: true });
        await pushNumbers(herald, 'waits', 0, 3);
        await bare.wait('notification', 3);
        await bare.close();
        await herald.waitOffline('waits');
        assert.equal((await herald.user('waits')).pending, 3);
        assert.deepEqual(await seqsOf(herald, 'waits', 'phone', 3), [1, 2, 3]);
    });

    test('a plain client may be a device: its pongs move that device', async (t) => {
        const herald = await t.sharedHerald('memory', { store: 'memory' });
        await (await herald.subscribeV1('plain', on('other'))).close();
        const plain = await herald.subscribe('plain', on('browser'));
        await pushNumbers(herald, 'plain', 0, 3);
        await plain.waitCount(3);
        const { connections } = await herald.user('plain');
        assert.deepEqual(connections.map(({ device }) => device), ['browser']);
        const other = await herald.subscribeV1('plain', { ...on('other'), autoAck: true });
        await other.wait('notification', 3);
        await herald.waitPending('plain', 0);
        await plain.close();
        const back = await herald.subscribe('plain', on('browser'));
        await herald.mustPush('plain', 'next');
        await back.waitCount(1);
        assert.deepEqual(back.values(), ['next']);
    });

    for (const store of ['file', 'redis']) {
        test(`the positions of devices survive a restart (${store})`, async (t) => {
            const herald = await t.herald({ store });
            const phone = await herald.subscribeV1('u', on('phone'));
            await (await herald.subscribeV1('u', on('tablet'))).close();
            await pushNumbers(herald, 'u', 0, 3);
            await phone.wait('notification', 3);
            phone.ack(phone.notifications[1].id);
            await phone.roundTrip();
            await phone.close();
            await herald.stop();
            await herald.restart();
            assert.deepEqual(await seqsOf(herald, 'u', 'phone', 1), [3]);
            assert.deepEqual(await seqsOf(herald, 'u', 'tablet', 3), [1, 2, 3]);
        });
    }
};
