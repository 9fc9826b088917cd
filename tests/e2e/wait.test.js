'use strict';
/* CONTRACT 3: with `wait`, a push is answered when it is acknowledged, when it is gone, or when the time is over. */

const assert = require('node:assert/strict');
const { PATIENCE_MS, assertProblem, everyStore, parallel, range, rawConnect, waitUntil, within } = require('./harness');

const memory = (t) => t.sharedHerald('memory', { store: 'memory' });

/* A push with `wait` whose notification is in the store when this returns: {answer, id}. */
async function startWaiting(herald, userId, data, extra = {}) {
    const answer = herald.push(userId, data, { wait: 20, ...extra });
    answer.catch(() => {});
    const id = await waitUntil('the notification is in the inbox', async () => {
        const { notifications } = await herald.inbox(userId);
        return notifications.find((note) => note.data === data)?.id;
    });
    return { answer: within(answer, PATIENCE_MS, 'the answer to a push that waits'), id };
}

function assertDelivered(answer) {
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.json.status, 'delivered', answer.text);
    assert.match(answer.json.id, /^[a-z0-9]+-[0-9]+$/);
    assert.ok(answer.json.latencyMs >= 0 && answer.json.latencyMs < 20000, answer.text);
}

async function assertGone({ answer, id }, cause) {
    const { status, json, text } = await answer;
    assert.deepEqual([status, json.status, json.cause, json.id], [200, 'gone', cause, id], text);
}

/* The bytes of a push that waits, on a connection of its own. */
function waitingBytes(userId, seconds) {
    const body = JSON.stringify({ userId, data: 1, wait: seconds });
    return `POST /push HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n`
        + `Content-Length: ${body.length}\r\n\r\n${body}`;
}

module.exports = (test) => {
    everyStore(test, 'delivered: by the pong of a plain client', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        const client = await herald.subscribe('pong');
        const answer = await herald.push('pong', 1, { wait: 10 });
        assertDelivered(answer);
        assert.deepEqual([client.values(), answer.json.seq], [[1], 1]);
        assert.equal((await herald.user('pong')).pending, 0);
    });

    everyStore(test, 'delivered: by the ack of a herald.v1 client, and not before', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        const client = await herald.subscribeV1('ack');
        const { answer, id } = await startWaiting(herald, 'ack', 'x');
        await client.wait('notification');
        await client.roundTrip();
        let isAnswered = false;
        answer.then(() => { isAnswered = true; });
        assert.equal((await herald.user('ack')).pending, 1);
        assert.equal(isAnswered, false);
        client.ack(id);
        assertDelivered(await answer);
    });

    everyStore(test, 'delivered: to a user who comes online during the wait', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        const { answer } = await startWaiting(herald, 'comes', 'x');
        await herald.subscribe('comes');
        assertDelivered(await answer);
    });

    test('delivered: by a session that closes right after its ack', async (t) => {
        const herald = await memory(t);
        const client = await herald.subscribeV1('closes');
        const { answer, id } = await startWaiting(herald, 'closes', 'x');
        await client.wait('notification');
        client.ack(id);
        await client.close();
        assertDelivered(await answer);
    });

    test('every waiter of one ack is answered', async (t) => {
        const herald = await memory(t);
        const client = await herald.subscribeV1('several');
        const answers = range(20).map((n) => herald.push('several', n, { wait: 10 }));
        await client.wait('notification', 20);
        client.ack(client.notifications[19].id);
        (await Promise.all(answers)).forEach(assertDelivered);
    });

    everyStore(test, 'the time is over: 202 with what is known', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        await herald.subscribeV1('deaf');
        const begin = Date.now();
        const [deaf, absent] = await Promise.all([
            herald.push('deaf', 1, { wait: 0.3 }), herald.push('absent', 1, { wait: 0.3 })]);
        const took = Date.now() - begin;
        assert.deepEqual([deaf.status, deaf.json.status, deaf.json.online, deaf.json.nodes], [202, 'sent', 1, 1]);
        assert.deepEqual([absent.status, absent.json.status, absent.json.online], [202, 'stored', 0]);
        assert.ok(took >= 290 && took < 15000, `${took} ms`);
        assert.equal((await herald.user('deaf')).pending, 1);
    });

    test('wait 0 does not wait', async (t) => {
        const herald = await memory(t);
        const begin = Date.now();
        assert.equal((await herald.push('zero', 1, { wait: 0 })).status, 202);
        assert.ok(Date.now() - begin < 15000);
    });

    everyStore(test, 'gone: cancelled meanwhile', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        const waiter = await startWaiting(herald, 'cancelled', 'x');
        assert.equal((await herald.cancel('cancelled', waiter.id)).status, 200);
        await assertGone(waiter, 'cancelled');
    });

    everyStore(test, 'gone: collapsed meanwhile', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        const waiter = await startWaiting(herald, 'collapsed', 'x', { collapseKey: 'k' });
        await herald.mustPush('collapsed', 'newer', { collapseKey: 'k' });
        await assertGone(waiter, 'collapsed');
    });

    everyStore(test, 'gone: expired meanwhile', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        await assertGone(await startWaiting(herald, 'expired', 'x', { ttl: 1 }), 'expired');
    });

    everyStore(test, 'gone: purged meanwhile', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        const waiter = await startWaiting(herald, 'purged', 'x');
        assert.equal((await herald.purge('purged')).json.purged, 1);
        await assertGone(waiter, 'cancelled');
    });

    test('gone: pushed out by a full inbox meanwhile', async (t) => {
        const herald = await t.herald({ store: 'memory', args: ['--inbox-max', '1'] });
        const waiter = await startWaiting(herald, 'u', 'x');
        await herald.mustPush('u', 'newer');
        await assertGone(waiter, 'overflow');
    });

    test('a repeat under an idempotency key waits for the same notification', async (t) => {
        const herald = await memory(t);
        const { answer, id } = await startWaiting(herald, 'both wait', 'x', { idempotencyKey: 'k' });
        const again = herald.push('both wait', 'x', { idempotencyKey: 'k', wait: 10 });
        await herald.subscribe('both wait');
        assertDelivered(await answer);
        const { json } = await again;
        assert.deepEqual([json.id, json.duplicate], [id, true]);
    });

    for (const [name, extra, field] of [
        ['a negative wait', { wait: -1 }, 'wait'], ['a wait over 30 s', { wait: 30.5 }, 'wait'],
        ['a wait that is a string', { wait: '1' }, 'wait'], ['a wait that is null', { wait: null }, 'wait'],
    ]) {
        test(`${name} is 400`, async (t) => {
            const herald = await memory(t);
            assertProblem(await herald.push('bad wait', 1, extra), 400, { type: 'invalid-field', field });
            assert.equal((await herald.user('bad wait')).head, 0);
        });
    }

    test('wait with userIds is 400, and in a line of NDJSON the problem of that line', async (t) => {
        const herald = await memory(t);
        const many = await herald.post('/push', { userIds: ['w1', 'w2'], data: 1, wait: 1 });
        assertProblem(many, 400, { type: 'invalid-field', field: 'wait' });
        const lines = await herald.ndjson([{ userId: 'w1', data: 1, wait: 1 }, { userId: 'w2', data: 1 }]);
        const results = lines.text.trim().split('\n').map((line) => JSON.parse(line));
        assert.deepEqual([results[0].type, results[0].field, results[0].line], ['invalid-field', 'wait', 1]);
        assert.equal(results[1].status, 'stored');
        assert.equal((await herald.user('w1')).head, 0);
    });

    /* Who went away is known at the end of its time at the latest. */
    test('a waiter that goes away leaves the notification, and its place to another', { tries: 3 }, async (t) => {
        const herald = await t.herald({ store: 'memory' });
        const begin = Date.now();
        const leave = async (count) => {
            const raws = [];
            await parallel(count, 50, async (n) => {
                const raw = await rawConnect(herald.adminPort);
                raws.push(raw.send(waitingBytes(`w${n}`, 25)));
            });
            return raws;
        };
        const raws = await leave(1000);
        await waitUntil('all of them are stored', async () => (await herald.user('w999')).head === 1
            && (await herald.user('w0')).head === 1);
        let extra;
        await waitUntil('one more is answered at once', async () => {
            extra = await herald.push('one more', 1, { wait: 0.2 });
            return extra.json.waited === false;
        });
        assert.equal(extra.status, 202);
        raws.forEach((raw) => raw.destroy());
        await waitUntil('there is room to wait again', async () => {
            const answer = await herald.push('one more', 1, { wait: 0.05 });
            return answer.status === 202 && answer.json.waited !== false;
        });
        assert.ok(Date.now() - begin < 25000, 'not because their time is over');
        assert.equal((await herald.user('w0')).pending, 1);
    });

    test('a stop answers those who wait', async (t) => {
        const herald = await t.herald({ store: 'file' });
        const { answer } = await startWaiting(herald, 'u', 'x');
        herald.child.signal('SIGTERM');
        const { status, json, text } = await answer;
        assert.deepEqual([status, json.status], [202, 'stored'], text);
        assert.deepEqual(await herald.child.exited, { code: 0, signal: null });
    });
};
