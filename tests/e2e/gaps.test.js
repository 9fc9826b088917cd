'use strict';
/* CONTRACT 5.1: what leaves the inbox unread reaches a herald.v1 client as a gap with its cause, and CONTRACT 2:
 * what is withdrawn after it was written is reported by a cancel. */

const assert = require('node:assert/strict');
const { assertAccounted, everyStore, pushNumbers, range } = require('./harness');

/* [from, to, cause] of each gap. */
const gapsOf = (client) => client.gaps.map(({ from, to, cause }) => [from, to, cause]);

module.exports = (test) => {
    everyStore(test, 'what has expired is a gap before the next notification', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        await herald.mustPush('expired', 'short', { ttl: 1 });
        await herald.mustPush('expired', 'short too', { ttl: 1 });
        await herald.mustPush('expired', 'long');
        await herald.waitPending('expired', 1);
        const client = await herald.subscribeV1('expired');
        await client.wait('notification');
        assert.deepEqual(gapsOf(client), [[1, 2, 'expired']]);
        assert.equal(client.gaps[0].epoch, client.hello.epoch);
        assertAccounted(client.frames, 1, 3);
    });

    everyStore(test, 'what a full inbox pushed out is a gap with overflow', async (t, store) => {
        const herald = await t.herald({ store, args: ['--inbox-max', '5'] });
        await pushNumbers(herald, 'u', 0, 12);
        assert.equal((await herald.user('u')).pending, 5);
        const client = await herald.subscribeV1('u');
        await client.wait('notification', 5);
        assert.deepEqual(gapsOf(client), [[1, 7, 'overflow']]);
        assertAccounted(client.frames, 1, 12);
    });

    everyStore(test, 'what was cancelled is a gap in its place', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        const pushed = await pushNumbers(herald, 'cancelled', 0, 5);
        assert.equal((await herald.cancel('cancelled', pushed[1].id)).status, 200);
        assert.equal((await herald.cancel('cancelled', pushed[3].id)).status, 200);
        const client = await herald.subscribeV1('cancelled');
        await client.wait('notification', 3);
        assert.deepEqual(gapsOf(client), [[2, 2, 'cancelled'], [4, 4, 'cancelled']]);
        assertAccounted(client.frames, 1, 5);
        assert.deepEqual(client.cancels, []);
    });

    everyStore(test, 'what was collapsed is a gap in its place', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        await herald.mustPush('collapsed', 'old', { collapseKey: 'score' });
        await herald.mustPush('collapsed', 'between');
        await herald.mustPush('collapsed', 'new', { collapseKey: 'score' });
        const client = await herald.subscribeV1('collapsed');
        await client.wait('notification', 2);
        assert.deepEqual(gapsOf(client), [[1, 1, 'collapsed']]);
        assert.deepEqual(client.values(), ['between', 'new']);
        assertAccounted(client.frames, 1, 3);
    });

    everyStore(test, 'different causes beside each other are told apart', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        const first = await herald.mustPush('causes', 1);
        await herald.mustPush('causes', 2, { collapseKey: 'k' });
        await herald.mustPush('causes', 3, { ttl: 1 });
        await herald.mustPush('causes', 4, { collapseKey: 'k' });
        assert.equal((await herald.cancel('causes', first.id)).status, 200);
        await herald.waitPending('causes', 1);
        const client = await herald.subscribeV1('causes');
        await client.wait('notification');
        assert.deepEqual(gapsOf(client), [[1, 1, 'cancelled'], [2, 2, 'collapsed'], [3, 3, 'expired']]);
        assertAccounted(client.frames, 1, 4);
    });

    everyStore(test, 'more than 64 ranges of causes still account for every number', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        const pushed = await pushNumbers(herald, 'ranges', 0, 200);
        for (const n of range(100)) {
            assert.equal((await herald.cancel('ranges', pushed[2 * n].id)).status, 200);
        }
        const client = await herald.subscribeV1('ranges');
        await client.wait('notification', 100);
        assertAccounted(client.frames, 1, 200);
        const causes = new Set(client.gaps.map(({ cause }) => cause));
        assert.ok([...causes].every((cause) => ['cancelled', 'unknown'].includes(cause)), [...causes].join());
        assert.equal(client.gaps.at(-1).cause, 'cancelled');
    });

    everyStore(test, 'what another session acknowledged meanwhile is a gap with acknowledged', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        const pushed = await pushNumbers(herald, 'overtaken', 0, 4);
        const other = await herald.subscribeV1('overtaken');
        await other.wait('notification', 4);
        other.ack(pushed[2].id);
        await herald.waitPending('overtaken', 1);
        const client = await herald.subscribeV1('overtaken', { query: `&after=${pushed[0].id}` });
        await client.wait('notification');
        assert.equal(client.hello.resumed, true);
        assert.deepEqual(gapsOf(client), [[2, 3, 'acknowledged']]);
        assertAccounted(client.frames, 2, 4);
    });

    everyStore(test, 'a purge of what was never written is a gap with cancelled', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        await pushNumbers(herald, 'purged', 0, 3);
        assert.equal((await herald.purge('purged')).json.purged, 3);
        await herald.mustPush('purged', 'after');
        const client = await herald.subscribeV1('purged');
        await client.wait('notification');
        assert.deepEqual(gapsOf(client), [[1, 3, 'cancelled']]);
        assertAccounted(client.frames, 1, 4);
    });

    everyStore(test, 'what is cancelled after it was written is told with a cancel', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        const client = await herald.subscribeV1('withdrawn');
        const plain = await herald.subscribe('withdrawn', { autoPong: false });
        const pushed = await pushNumbers(herald, 'withdrawn', 0, 3);
        await client.wait('notification', 3);
        await plain.waitCount(3);
        const answer = await herald.cancel('withdrawn', pushed[1].id);
        assert.deepEqual([answer.status, answer.json],
            [200, { id: pushed[1].id, status: 'cancelled', written: true }]);
        const [cancel] = await client.wait('cancel');
        assert.deepEqual(cancel, { type: 'cancel', id: pushed[1].id });
        client.ack(pushed[2].id);
        await client.roundTrip();
        assert.deepEqual([client.gaps, client.errors, client.cancels.length], [[], [], 1]);
        assert.equal(plain.messages.length, 3);
    });

    everyStore(test, 'what is collapsed after it was written is told with a cancel', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        const client = await herald.subscribeV1('replaced');
        const first = await herald.mustPush('replaced', 'old', { collapseKey: 'k' });
        await client.wait('notification');
        await herald.mustPush('replaced', 'new', { collapseKey: 'k' });
        await client.wait('notification', 2);
        const [cancel] = await client.wait('cancel');
        assert.equal(cancel.id, first.id);
        await client.roundTrip();
        assert.deepEqual([client.gaps, client.cancels.length], [[], 1]);
        assert.equal((await herald.user('replaced')).pending, 1);
    });

    everyStore(test, 'what was acknowledged is not told as a gap later', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        const first = await herald.subscribeV1('quiet', { autoAck: true });
        await pushNumbers(herald, 'quiet', 0, 3);
        await herald.waitPending('quiet', 0);
        await first.close();
        const client = await herald.subscribeV1('quiet');
        await client.wait('hello');
        await herald.mustPush('quiet', 'next');
        await client.wait('notification');
        assert.deepEqual([client.gaps, client.seqs()], [[], [4]]);
    });
};
