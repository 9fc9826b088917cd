'use strict';
/* CONTRACT 3: GET and DELETE of a notification and of an inbox, in every state. */

const assert = require('node:assert/strict');
const { assertProblem, everyStore, pushNumbers, range } = require('./harness');

const statusOf = async (herald, userId, id) => {
    const answer = await herald.message(userId, id);
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.json.id, id);
    return answer.json.status;
};

module.exports = (test) => {
    everyStore(test, 'a notification is pending, then delivered', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        const [first, second] = await pushNumbers(herald, 'delivered', 0, 2);
        assert.equal(await statusOf(herald, 'delivered', first.id), 'pending');
        const client = await herald.subscribeV1('delivered');
        await client.wait('notification', 2);
        assert.equal(await statusOf(herald, 'delivered', first.id), 'pending');
        client.ack(first.id);
        await herald.waitPending('delivered', 1);
        assert.equal(await statusOf(herald, 'delivered', first.id), 'delivered');
        assert.equal(await statusOf(herald, 'delivered', second.id), 'pending');
    });

    everyStore(test, 'a notification that left otherwise is gone', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        const expired = await herald.mustPush('gone', 1, { ttl: 1 });
        const collapsed = await herald.mustPush('gone', 2, { collapseKey: 'k' });
        await herald.mustPush('gone', 3, { collapseKey: 'k' });
        const cancelled = await herald.mustPush('gone', 4);
        assert.equal((await herald.cancel('gone', cancelled.id)).status, 200);
        await herald.waitPending('gone', 1);
        for (const { id } of [expired, collapsed, cancelled]) {
            assert.equal(await statusOf(herald, 'gone', id), 'gone');
            assertProblem(await herald.cancel('gone', id), 404, { type: 'not-found' });
        }
    });

    everyStore(test, 'a gone one below an acknowledged one stays gone', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        const [first, second, third] = await pushNumbers(herald, 'below', 0, 3);
        await herald.cancel('below', second.id);
        const client = await herald.subscribeV1('below', { autoAck: true });
        await client.wait('notification', 2);
        await herald.waitPending('below', 0);
        assert.equal(await statusOf(herald, 'below', first.id), 'delivered');
        assert.equal(await statusOf(herald, 'below', second.id), 'gone');
        assert.equal(await statusOf(herald, 'below', third.id), 'delivered');
    });

    everyStore(test, 'cancel before it was written: written false, and it is not delivered', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        const [first, second] = await pushNumbers(herald, 'unwritten', 0, 2);
        const answer = await herald.cancel('unwritten', first.id);
        assert.deepEqual([answer.status, answer.json], [200, { id: first.id, status: 'cancelled', written: false }]);
        const client = await herald.subscribe('unwritten');
        await client.waitCount(1);
        await herald.waitPending('unwritten', 0);
        assert.deepEqual(client.values(), [1]);
        assertProblem(await herald.cancel('unwritten', second.id), 409, { type: 'conflict' });
    });

    everyStore(test, 'cancel after it was written: written true, and it does not come again', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        const client = await herald.subscribeV1('written');
        const [first, second] = await pushNumbers(herald, 'written', 0, 2);
        await client.wait('notification', 2);
        assert.equal((await herald.cancel('written', first.id)).json.written, true);
        await client.wait('cancel');
        await client.close();
        const again = await herald.subscribeV1('written');
        await again.wait('notification');
        assert.deepEqual(again.seqs(), [2]);
        again.ack(second.id);
        await herald.waitPending('written', 0);
    });

    everyStore(test, 'cancel of a delivered one is 409', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        await herald.subscribe('done');
        const { id } = await herald.mustPush('done', 1);
        await herald.waitPending('done', 0);
        assertProblem(await herald.cancel('done', id), 409, { type: 'conflict' });
        assert.equal(await statusOf(herald, 'done', id), 'delivered');
    });

    test('cancel of what never was is 404', async (t) => {
        const herald = await t.sharedHerald('memory', { store: 'memory' });
        const { id } = await herald.mustPush('never', 1);
        const epoch = id.split('-')[0];
        for (const [userId, other] of [['never', `${epoch}-2`], ['never', 'zzzzzzzz-1'], ['nobody', id]]) {
            assertProblem(await herald.cancel(userId, other), 404, { type: 'not-found' });
        }
        assert.equal((await herald.user('never')).pending, 1);
    });

    test('a malformed id is 400, and another method 405', async (t) => {
        const herald = await t.sharedHerald('memory', { store: 'memory' });
        for (const id of ['nonsense', 'a-', 'a-x', '-1', 'a-99999999999999999999999']) {
            for (const method of ['GET', 'DELETE']) {
                assertProblem(await herald.message('u', id, method), 400, { type: 'invalid-field' });
            }
        }
        const post = await herald.post('/users/u/messages/abcdefgh-1', {});
        assertProblem(post, 405, { type: 'method-not-allowed' });
        assert.match(post.headers.allow, /GET/);
        assert.match(post.headers.allow, /DELETE/);
    });

    everyStore(test, 'the inbox shows what waits, with every field', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        const before = Date.now();
        const first = await herald.mustPush('shown', { a: 1 }, { ttl: 60, collapseKey: 'k' });
        const exact = await herald.post('/push', '{"userId":"shown","data":9007199254740993}');
        const { text } = await herald.request('GET', '/users/shown/inbox');
        const inbox = JSON.parse(text);
        assert.deepEqual([inbox.userId, inbox.head, inbox.acked], ['shown', 2, 0]);
        assert.equal(first.id, `${inbox.epoch}-1`);
        const [note, second] = inbox.notifications;
        assert.deepEqual([note.id, note.seq, note.expires, note.collapseKey, note.data],
            [first.id, 1, first.expires, 'k', { a: 1 }]);
        assert.ok(note.time >= before - 1000 && note.time <= Date.now() + 1000, `time ${note.time}`);
        assert.equal(second.id, exact.json.id);
        assert.equal(second.collapseKey ?? null, null);
        assert.match(text, /"data":\s*9007199254740993\b/);
        assert.equal(inbox.next ?? null, null);
    });

    everyStore(test, 'the inbox is read in pages, each notification once', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        const pushed = await pushNumbers(herald, 'pages', 0, 23);
        await herald.cancel('pages', pushed[7].id);
        const seqs = [];
        let query = '?limit=5';
        for (const page of range(10)) {
            const { notifications, next } = await herald.inbox('pages', query);
            assert.ok(notifications.length <= 5, `page ${page} has ${notifications.length}`);
            seqs.push(...notifications.map(({ seq }) => seq));
            if ((next ?? null) === null || next === '') {
                break;
            }
            query = `?limit=5&after=${encodeURIComponent(next)}`;
        }
        assert.deepEqual(seqs, range(23, 1).filter((seq) => seq !== 8));
    });

    test('the inbox of somebody never heard of is empty', async (t) => {
        const herald = await t.sharedHerald('memory', { store: 'memory' });
        const inbox = await herald.inbox('never heard of');
        assert.deepEqual([inbox.userId, inbox.head, inbox.acked, inbox.notifications], ['never heard of', 0, 0, []]);
    });

    test('a bad limit or cursor of an inbox is 400', async (t) => {
        const herald = await t.sharedHerald('memory', { store: 'memory' });
        for (const query of ['limit=0', 'limit=x', 'limit=-1', 'after=!!!']) {
            assertProblem(await herald.request('GET', `/users/u/inbox?${query}`), 400, { type: 'invalid-field' });
        }
    });

    test('to look at an inbox acknowledges nothing', async (t) => {
        const herald = await t.sharedHerald('memory', { store: 'memory' });
        await pushNumbers(herald, 'looked', 0, 3);
        await herald.inbox('looked');
        const client = await herald.subscribe('looked');
        await client.waitCount(3);
    });

    everyStore(test, 'DELETE inbox purges, and herald.v1 sessions hear of it', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        const client = await herald.subscribeV1('purged');
        const plain = await herald.subscribe('purged', { autoPong: false });
        const pushed = await pushNumbers(herald, 'purged', 0, 3);
        await client.wait('notification', 3);
        await plain.waitCount(3);
        client.ack(pushed[0].id);
        await client.roundTrip();
        await plain.close();
        await herald.waitPending('purged', 2);
        const answer = await herald.purge('purged');
        assert.deepEqual([answer.status, answer.json.purged], [200, 2], answer.text);
        const cancels = await client.wait('cancel', 2);
        assert.deepEqual(cancels.map(({ id }) => id).sort(), pushed.slice(1).map(({ id }) => id).sort());
        assert.deepEqual((await herald.inbox('purged')).notifications, []);
        assert.equal((await herald.user('purged')).pending, 0);
        const again = await herald.purge('purged');
        assert.deepEqual([again.status, again.json.purged], [200, 0]);
        const next = await herald.mustPush('purged', 'next');
        await client.wait('notification', 4);
        assert.equal(next.seq, 4);
        assert.deepEqual(client.gaps, []);
    });

    everyStore(test, 'a kick with purge takes the inbox too', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        await pushNumbers(herald, 'kicked', 0, 3);
        const { status, json, text } = await herald.post('/deleteClient', { userId: 'kicked', purge: true });
        assert.deepEqual([status, json.closed, json.purged], [200, 0, 3], text);
        assert.equal((await herald.user('kicked')).pending, 0);
    });
};
