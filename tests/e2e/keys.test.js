'use strict';
/* CONTRACT 3: collapseKey replaces what was not acknowledged, idempotencyKey makes a repeat harmless. */

const assert = require('node:assert/strict');
const { assertProblem, everyStore, range } = require('./harness');

const memory = (t) => t.sharedHerald('memory', { store: 'memory' });
const waiting = async (herald, userId) => (await herald.inbox(userId)).notifications.map(({ data }) => data);

module.exports = (test) => {
    everyStore(test, 'a collapse key replaces what waits under it, and nothing else', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        for (const [data, collapseKey] of [['a1', 'a'], ['b1', 'b'], ['none', undefined], ['a2', 'a'], ['a3', 'a']]) {
            await herald.mustPush('replace', data, { collapseKey });
        }
        await herald.mustPush('replace other', 'theirs', { collapseKey: 'a' });
        assert.deepEqual(await waiting(herald, 'replace'), ['b1', 'none', 'a3']);
        assert.equal((await herald.user('replace')).pending, 3);
        const client = await herald.subscribe('replace');
        await client.waitCount(3);
        assert.deepEqual(client.values(), ['b1', 'none', 'a3']);
        await herald.waitPending('replace', 0);
        assert.deepEqual(await waiting(herald, 'replace other'), ['theirs']);
    });

    everyStore(test, 'a collapse key leaves alone what was acknowledged', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        const client = await herald.subscribeV1('acked', { autoAck: true });
        const first = await herald.mustPush('acked', 1, { collapseKey: 'k' });
        await herald.waitPending('acked', 0);
        await herald.mustPush('acked', 2, { collapseKey: 'k' });
        await herald.waitPending('acked', 0);
        await client.roundTrip();
        assert.deepEqual([client.values(), client.cancels, client.gaps], [[1, 2], [], []]);
        const { json } = await herald.message('acked', first.id);
        assert.equal(json.status, 'delivered');
    });

    test('many pushes under one collapse key leave one', async (t) => {
        const herald = await memory(t);
        await Promise.all(range(50).map((n) => herald.mustPush('many', n, { collapseKey: 'score' })));
        const { notifications, head } = await herald.inbox('many');
        assert.deepEqual([notifications.length, notifications[0].seq, head], [1, 50, 50]);
    });

    everyStore(test, 'a repeat is answered with the first result, and delivers nothing', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        const client = await herald.subscribeV1('repeat');
        const first = await herald.mustPush('repeat', { n: 1 }, { idempotencyKey: 'order-17' });
        assert.ok(!first.duplicate, JSON.stringify(first));
        const field = await herald.mustPush('repeat', { n: 1 }, { idempotencyKey: 'order-17' });
        const body = { userId: 'repeat', data: { n: 1 } };
        const header = await herald.post('/push', body, { 'Idempotency-Key': 'order-17' });
        assert.equal(header.status, 202, header.text);
        for (const again of [field, header.json]) {
            assert.deepEqual([again.id, again.seq, again.duplicate], [first.id, 1, true]);
            assert.equal(again.expires, first.expires);
        }
        const next = await herald.mustPush('repeat', 'next');
        await client.wait('notification', 2);
        assert.deepEqual([next.seq, client.values()], [2, [{ n: 1 }, 'next']]);
    });

    everyStore(test, 'a key that was used for another body is 422', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        await herald.mustPush('other body', 1, { idempotencyKey: 'k' });
        const answer = await herald.push('other body', 2, { idempotencyKey: 'k' });
        assertProblem(answer, 422, { type: 'idempotency-mismatch' });
        assert.equal((await herald.user('other body')).head, 1);
        await herald.mustPush('other body', 1, { idempotencyKey: 'k' });
    });

    everyStore(test, 'repeats at the same time give one number', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        const answers = await Promise.all(
            range(32).map(() => herald.mustPush('at once', 'x', { idempotencyKey: 'same' })));
        assert.deepEqual([...new Set(answers.map(({ seq }) => seq))], [1]);
        assert.equal(answers.filter(({ duplicate }) => !duplicate).length, 1);
        const { head, pending } = await herald.user('at once');
        assert.deepEqual([head, pending], [1, 1]);
    });

    everyStore(test, 'an idempotency key is remembered per user', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        await herald.mustPush('mine', 'a', { idempotencyKey: 'k' });
        const theirs = await herald.mustPush('theirs', 'b', { idempotencyKey: 'k' });
        assert.deepEqual([theirs.seq, Boolean(theirs.duplicate)], [1, false]);
    });

    everyStore(test, 'a repeat after the acknowledgement is still a repeat', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        const client = await herald.subscribeV1('late repeat', { autoAck: true });
        const first = await herald.mustPush('late repeat', 1, { idempotencyKey: 'k' });
        await herald.waitPending('late repeat', 0);
        const again = await herald.mustPush('late repeat', 1, { idempotencyKey: 'k' });
        assert.deepEqual([again.id, again.duplicate], [first.id, true]);
        await client.roundTrip();
        assert.equal(client.notifications.length, 1);
    });

    test('an idempotency key with userIds makes each of them one number', async (t) => {
        const herald = await memory(t);
        const body = { userIds: ['each a', 'each b'], data: 1, idempotencyKey: 'k' };
        const first = await herald.post('/push', body);
        const again = await herald.post('/push', body);
        assert.deepEqual(again.json.results.map(({ id }) => id), first.json.results.map(({ id }) => id));
        assert.deepEqual(again.json.results.map(({ duplicate }) => duplicate), [true, true]);
    });

    for (const store of ['file', 'redis']) {
        test(`an idempotency key is remembered across kill -9 (${store})`, async (t) => {
            const herald = await t.herald({ store });
            const first = await herald.mustPush('u', 1, { idempotencyKey: 'k' });
            await herald.kill();
            await herald.restart();
            const again = await herald.mustPush('u', 1, { idempotencyKey: 'k' });
            assert.deepEqual([again.id, again.duplicate], [first.id, true]);
            assert.equal((await herald.user('u')).head, 1);
        });

        test(`a collapse key is remembered across kill -9 (${store})`, async (t) => {
            const herald = await t.herald({ store });
            await herald.mustPush('u', 1, { collapseKey: 'k' });
            await herald.kill();
            await herald.restart();
            await herald.mustPush('u', 2, { collapseKey: 'k' });
            assert.deepEqual(await waiting(herald, 'u'), [2]);
        });
    }

    test('--idempotency-window ends the memory', async (t) => {
        const herald = await t.herald({ store: 'memory', args: ['--idempotency-window', '1s'] });
        await herald.mustPush('u', 1, { idempotencyKey: 'k' });
        assert.equal((await herald.mustPush('u', 1, { idempotencyKey: 'k' })).seq, 1);
        await new Promise((resolve) => setTimeout(resolve, 1100));
        assert.equal((await herald.mustPush('u', 2, { idempotencyKey: 'k' })).seq, 2);
    });

    for (const field of ['collapseKey', 'idempotencyKey']) {
        test(`${field} is 1 to 64 bytes of text`, async (t) => {
            const herald = await memory(t);
            for (const bad of ['', 'x'.repeat(65), 'é'.repeat(33), 1, null, ['k'], true]) {
                const answer = await herald.push(`bad ${field}`, 1, { [field]: bad });
                assertProblem(answer, 400, { type: 'invalid-field', field });
            }
            for (const good of ['x', 'x'.repeat(64), 'é'.repeat(32), '{a} b:c%"\\']) {
                await herald.mustPush(`good ${field}`, 1, { [field]: good });
            }
            assert.equal((await herald.user(`bad ${field}`)).head, 0);
            assert.equal((await herald.user(`good ${field}`)).head, 4);
        });
    }

    test('the header Idempotency-Key is 1 to 64 bytes too', async (t) => {
        const herald = await memory(t);
        for (const bad of ['', 'x'.repeat(65)]) {
            const answer = await herald.post('/push', { userId: 'header', data: 1 }, { 'Idempotency-Key': bad });
            assertProblem(answer, 400, { type: 'invalid-field' });
        }
        assert.equal((await herald.user('header')).head, 0);
    });

    for (const [field, value] of [['collapseKey', 'k'], ['idempotencyKey', 'k'], ['wait', 1]]) {
        test(`with ttl 0, ${field} is an invalid field`, async (t) => {
            const herald = await memory(t);
            const client = await herald.subscribeV1(`zero ${field}`);
            const answer = await herald.push(`zero ${field}`, 1, { ttl: 0, [field]: value });
            assertProblem(answer, 400, { type: 'invalid-field', field });
            await client.roundTrip();
            assert.deepEqual(client.notifications, []);
        });
    }
};
