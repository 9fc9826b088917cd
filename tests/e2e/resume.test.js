'use strict';
/* CONTRACT 2: `after` resumes, which acknowledges up to it; and what a position that is not known answers. */

const assert = require('node:assert/strict');
const { assertAccounted, assertProblem, everyStore, exchange, handshake, pushNumbers } = require('./harness');

const BAD_IDS = ['nonsense', 'k3f9a2qd-', '-1', 'k3f9a2qd-x', 'k3f9a2qd-1x', 'k3f9a2qd--1', 'k3f9a2qd%201',
    'k3f9a2qd-99999999999999999999999', `${'a'.repeat(300)}-1`];

const after = (id) => ({ query: `&after=${encodeURIComponent(id)}` });

module.exports = (test) => {
    everyStore(test, 'after a known position: resumed, only what is behind it, and acknowledged up to it',
        async (t, store) => {
            const herald = await t.sharedHerald(store, { store });
            const pushed = await pushNumbers(herald, 'known', 0, 5);
            const client = await herald.subscribeV1('known', after(pushed[2].id));
            await client.wait('notification', 2);
            assert.deepEqual([client.hello.resumed, client.hello.acked, client.hello.head], [true, 3, 5]);
            assert.deepEqual(client.seqs(), [4, 5]);
            await herald.waitPending('known', 2);
            await herald.mustPush('known', 'live');
            await client.wait('notification', 3);
            assert.deepEqual([client.seqs(), client.gaps], [[4, 5, 6], []]);
        });

    everyStore(test, 'after the head: resumed, nothing to read, and nothing waits any more', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        const pushed = await pushNumbers(herald, 'head', 0, 3);
        const client = await herald.subscribeV1('head', after(pushed[2].id));
        await client.wait('hello');
        assert.equal(client.hello.resumed, true);
        await herald.waitPending('head', 0);
        await client.roundTrip();
        assert.deepEqual([client.notifications, client.gaps], [[], []]);
    });

    for (const [name, idOf] of [
        ['of another epoch', () => 'zzzzzzzz-2'],
        ['beyond the head', (epoch) => `${epoch}-99`],
    ]) {
        everyStore(test, `a position ${name}: not resumed, a gap with reset, and what there is`, async (t, store) => {
            const herald = await t.sharedHerald(store, { store });
            const userId = `reset ${name}`;
            const pushed = await pushNumbers(herald, userId, 0, 4);
            const first = await herald.subscribeV1(userId);
            await first.wait('notification', 4);
            first.ack(pushed[1].id);
            await herald.waitPending(userId, 2);
            await first.close();
            const client = await herald.subscribeV1(userId, after(idOf(first.hello.epoch)));
            await client.wait('notification', 2);
            assert.deepEqual([client.hello.resumed, client.hello.acked, client.hello.head], [false, 2, 4]);
            assert.deepEqual(client.frames.slice(0, 2).map(({ type }) => type), ['hello', 'gap']);
            assert.deepEqual([client.gaps[0].cause, client.gaps[0].epoch], ['reset', first.hello.epoch]);
            assertAccounted(client.frames, 3, 4);
            assert.equal((await herald.user(userId)).pending, 2);
        });
    }

    everyStore(test, 'a position of another epoch, for a user never pushed to, is reset too', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        const client = await herald.subscribeV1('reset fresh', after('zzzzzzzz-2'));
        const [gap] = await client.wait('gap');
        assert.deepEqual([client.hello.resumed, gap.cause], [false, 'reset']);
        await herald.mustPush('reset fresh', 1);
        const [first] = await client.wait('notification');
        assert.equal(first.id, `${client.hello.epoch}-1`);
    });

    for (const id of BAD_IDS) {
        test(`after=${id.slice(0, 40)} is 400 and named`, async (t) => {
            const herald = await t.sharedHerald('memory', { store: 'memory' });
            const answer = await exchange(herald.port, handshake(`/ws?userId=u&after=${id}`));
            assertProblem(answer, 400, { type: 'invalid-field', field: 'after' });
        });
    }

    test('after given twice is 400', async (t) => {
        const herald = await t.sharedHerald('memory', { store: 'memory' });
        const { id } = await herald.mustPush('twice', 1);
        const answer = await exchange(herald.port, handshake(`/ws?userId=twice&after=${id}&after=${id}`));
        assertProblem(answer, 400, { field: 'after' });
        assert.equal((await herald.user('twice')).pending, 1);
    });

    everyStore(test, 'a plain client may say after, and gets only what is behind it', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        const pushed = await pushNumbers(herald, 'plain', 0, 5);
        const client = await herald.subscribe('plain', { autoPong: false, ...after(pushed[3].id) });
        await client.waitCount(1);
        await herald.waitPending('plain', 1);
        await herald.mustPush('plain', 'live');
        await client.waitCount(2);
        assert.deepEqual(client.values(), [4, 'live']);
    });

    test('a plain client whose position is not known gets what there is, and no frame that is not data', async (t) => {
        const herald = await t.sharedHerald('memory', { store: 'memory' });
        await pushNumbers(herald, 'plain reset', 0, 2);
        const client = await herald.subscribe('plain reset', after('zzzzzzzz-9'));
        await client.waitCount(2);
        await herald.mustPush('plain reset', 'live');
        await client.waitCount(3);
        assert.deepEqual(client.values(), [0, 1, 'live']);
    });

    test('after survives a restart', async (t) => {
        const herald = await t.herald({ store: 'file' });
        const pushed = await pushNumbers(herald, 'u', 0, 5);
        await herald.stop();
        await herald.restart();
        const client = await herald.subscribeV1('u', after(pushed[3].id));
        await client.wait('notification');
        assert.deepEqual([client.hello.resumed, client.seqs()], [true, [5]]);
    });
};
