'use strict';
/* EVENTS, "Alerts": what a push asked for with alertAfter, and what becomes of it. */

const assert = require('node:assert/strict');
const { Consumer, assertProblem, everyStore, range, waitUntil } = require('./harness');

const TYPE = 'notification.unacknowledged';
const ARGS = ['--events', TYPE];
/* An event may come 3 s after its time; these also run on a machine that is busy. */
const LATEST_MS = 3000;

const alerting = (t, store) => t.sharedHerald(`alerts ${store}`, { store, args: ARGS });

/* A consumer of its own, which is there when this returns. */
async function begin(herald, name) {
    const consumer = new Consumer(herald, name, { from: 'now' });
    await consumer.peek();
    return consumer;
}

const alertsOf = (consumer, userId) => consumer.record.ofUser(userId).filter(({ type }) => type === TYPE);

/* The alert of this user has ended without an event: one that was due later has come. */
async function assertNoEvent(consumer, userId) {
    const after = `after ${userId}`;
    const { id } = await consumer.herald.mustPush(after, 'later', { alertAfter: 1 });
    await waitUntil('alerts are no longer pending', async () => {
        await consumer.next({ wait: 1 });
        return alertsOf(consumer, after).length > 0 && await consumer.herald.metric('herald_alerts_pending') === 0;
    });
    assert.equal(alertsOf(consumer, after)[0].notification, id);
    await consumer.next();
    assert.deepEqual(alertsOf(consumer, userId), []);
}

function assertRefused(answer, detail) {
    assertProblem(answer, 400, { type: 'invalid-field', field: 'alertAfter' });
    assert.match(answer.json.detail, detail);
}

module.exports = (test) => {
    everyStore(test, 'what nobody acknowledges becomes an event, with its data byte for byte', async (t, store) => {
        const herald = await alerting(t, store);
        const consumer = await begin(herald, 'whole');
        const answer = await herald.post('/push', '{"userId":"whole","data":{ "n":9007199254740993 },"alertAfter":1}');
        assert.equal(answer.status, 202, answer.text);
        const [{ time: pushed }] = (await herald.inbox('whole')).notifications;
        const { text } = await waitUntil('the event', async () => {
            const read = await consumer.ask({ wait: 5 });
            return consumer.keep(read).length > 0 && read;
        });
        const [event] = await consumer.readCount(TYPE, 1, 'whole');
        assert.deepEqual(Object.keys(event),
            ['id', 'type', 'time', 'userId', 'notification', 'pushed', 'online', 'cause', 'data']);
        assert.deepEqual([event.notification, event.pushed, event.online, event.cause],
            [answer.json.id, pushed, false, 'waiting']);
        assert.ok(text.includes('"data":{ "n":9007199254740993 }}'), text);
        assert.ok(event.time >= pushed + 1000, `${event.time} is before ${pushed + 1000}`);
        assert.equal((await herald.user('whole')).pending, 1, 'the notification still waits');
        consumer.record.check();
    });

    everyStore(test, 'it comes 3 s after its time at the latest', async (t, store) => {
        const herald = await alerting(t, store);
        const consumer = await begin(herald, 'prompt');
        await herald.mustPush('prompt', 1, { alertAfter: 2 });
        const [{ time, pushed }] = await consumer.readCount(TYPE, 1, 'prompt');
        assert.ok(time - pushed >= 2000 && time - pushed <= 2000 + LATEST_MS, `${time - pushed} ms after the push`);
    }, { tries: 3 });

    everyStore(test, 'what expires before it is looked up is told as waiting', async (t, store) => {
        const herald = await alerting(t, store);
        const consumer = await begin(herald, 'short');
        await herald.mustPush('short', 1, { alertAfter: 1, ttl: 2 });
        const [event] = await consumer.readCount(TYPE, 1, 'short');
        assert.equal(event.cause, 'waiting');
    });

    everyStore(test, 'what is acknowledged in time becomes none', async (t, store) => {
        const herald = await alerting(t, store);
        const consumer = await begin(herald, 'acked');
        await herald.subscribe('acked');
        await herald.mustPush('acked', 1, { alertAfter: 1 });
        await assertNoEvent(consumer, 'acked');
        assert.ok(await herald.metric('herald_alerts_dropped_total') > 0);
    });

    /* The position is written later than it is told. */
    everyStore(test, 'nor does what is acknowledged just before its time', async (t, store) => {
        const herald = await alerting(t, store);
        const consumer = await begin(herald, 'justintime');
        const client = await herald.subscribeV1('justintime');
        const since = Date.now();
        const { id } = await herald.mustPush('justintime', 1, { alertAfter: 1 });
        await waitUntil('it is nearly due', () => Date.now() - since > 850);
        client.ack(id);
        await client.roundTrip();
        await assertNoEvent(consumer, 'justintime');
    }, { tries: 3 });

    everyStore(test, 'a user who is online and acknowledges nothing is told as online', async (t, store) => {
        const herald = await alerting(t, store);
        const consumer = await begin(herald, 'mute');
        const client = await herald.subscribeV1('mute');
        await herald.mustPush('mute', 'x', { alertAfter: 1 });
        await client.wait('notification');
        const [event] = await consumer.readCount(TYPE, 1, 'mute');
        assert.deepEqual([event.online, event.cause, event.data], [true, 'waiting', 'x']);
    });

    everyStore(test, 'what a full inbox has pushed out is told without its data', async (t, store) => {
        const herald = await t.herald({ store, args: [...ARGS, '--inbox-max', '2'] });
        const consumer = await begin(herald, 'full');
        const { id } = await herald.mustPush('full', 1, { alertAfter: 1 });
        await herald.mustPush('full', 2);
        await herald.mustPush('full', 3);
        const [event] = await consumer.readCount(TYPE, 1, 'full');
        assert.deepEqual([event.notification, event.cause, 'data' in event], [id, 'overflow', false]);
    });

    test('what Redis has lost is told as unknown', async (t) => {
        const redis = await t.redis();
        await redis.start();
        const herald = await t.herald({ store: redis.url, args: ARGS });
        const consumer = await begin(herald, 'lost');
        const { id } = await herald.mustPush('lost', 1, { alertAfter: 2 });
        await redis.command('DEL herald:{lost}:inbox herald:{lost}:meta');
        const [event] = await consumer.readCount(TYPE, 1, 'lost');
        assert.deepEqual([event.notification, event.cause, 'data' in event], [id, 'unknown', false]);
    });

    everyStore(test, 'what was withdrawn, replaced or purged becomes none', async (t, store) => {
        const herald = await alerting(t, store);
        const consumer = await begin(herald, 'gone');
        const { id } = await herald.mustPush('withdrawn', 1, { alertAfter: 1 });
        assert.equal((await herald.request('DELETE', `/users/withdrawn/messages/${id}`)).status, 200);
        await herald.mustPush('purged', 1, { alertAfter: 1 });
        assert.equal((await herald.purge('purged')).status, 200);
        await herald.mustPush('replaced', 'old', { alertAfter: 1, collapseKey: 'k' });
        const newer = await herald.mustPush('replaced', 'new', { alertAfter: 1, collapseKey: 'k' });
        const [event] = await consumer.readCount(TYPE, 1, 'replaced');
        assert.deepEqual([event.notification, event.data], [newer.id, 'new']);
        await assertNoEvent(consumer, 'withdrawn');
        assert.deepEqual(alertsOf(consumer, 'purged'), []);
        assert.equal(alertsOf(consumer, 'replaced').length, 1);
    });

    everyStore(test, 'with userIds, and in each line of NDJSON, every target has its own', async (t, store) => {
        const herald = await alerting(t, store);
        const consumer = await begin(herald, 'many');
        const users = range(40).map((n) => `many ${n}`);
        const listed = await herald.post('/push', { userIds: users, data: 'listed', alertAfter: 1 });
        assert.equal(listed.status, 200, listed.text);
        const lines = await herald.ndjson(users.map((userId, n) => ({ userId, data: n, alertAfter: 2 })));
        assert.equal(lines.status, 200, lines.text);
        const ids = [...listed.json.results, ...lines.text.trim().split('\n').map((line) => JSON.parse(line))]
            .map(({ id }) => id);
        assert.equal(new Set(ids).size, 80);
        await consumer.readUntil('all alerts', ({ events }) => events
            .filter(({ type, userId }) => type === TYPE && userId.startsWith('many ')).length >= 80);
        const told = consumer.record.ofType(TYPE).filter(({ userId }) => userId.startsWith('many '));
        assert.deepEqual(told.map(({ notification }) => notification).sort(), ids.sort());
        consumer.record.check();
    });

    everyStore(test, 'data of 64 KiB is told as a whole', async (t, store) => {
        const herald = await alerting(t, store);
        const consumer = await begin(herald, 'large');
        const data = 'x'.repeat(65534);
        await herald.mustPush('large', data, { alertAfter: 1 });
        const [event] = await consumer.readCount(TYPE, 1, 'large');
        assert.equal(event.data, data);
    });

    everyStore(test, 'a repeat with the same idempotencyKey is one alert', async (t, store) => {
        const herald = await alerting(t, store);
        const consumer = await begin(herald, 'repeat');
        const push = (alertAfter) => herald.push('repeat', 1, { alertAfter, idempotencyKey: 'order-17' });
        const first = await push(1);
        const second = await push(1);
        assert.deepEqual([second.json.id, second.json.duplicate], [first.json.id, true]);
        assertProblem(await push(2), 422, { type: 'idempotency-mismatch' });
        assertProblem(await herald.push('repeat', 1, { idempotencyKey: 'order-17' }), 422);
        await consumer.readCount(TYPE, 1, 'repeat');
        assert.equal((await push(1)).json.duplicate, true);
        await assertNoEvent(consumer, 'nobody');
        assert.equal(alertsOf(consumer, 'repeat').length, 1);
    });

    everyStore(test, 'beyond --alerts-max a push is refused, and its repeat is taken when there is room', async (t, store) => {
        const herald = await t.herald({ store, args: [...ARGS, '--alerts-max', '2'] });
        const consumer = await begin(herald, 'bound');
        const push = (key) => herald.push('bound', key, { alertAfter: 1, idempotencyKey: key });
        assert.deepEqual([(await push('a')).status, (await push('b')).status], [202, 202]);
        const refused = await push('c');
        assertProblem(refused, 503, { type: 'store-unavailable' });
        assert.match(refused.json.detail, /--alerts-max/);
        assert.ok(refused.headers['retry-after'] !== undefined, 'Retry-After');
        const listed = await herald.post('/push', { userIds: ['bound'], data: 1, alertAfter: 1 });
        assert.match(listed.json.results[0].error.detail, /--alerts-max/, listed.text);
        assert.equal(await herald.metric('herald_alerts_refused_total'), 2);
        assert.equal((await herald.push('bound', 'd')).status, 202, 'one without an alert');
        await consumer.readCount(TYPE, 2, 'bound');
        const { id } = await waitUntil('the repeat is taken', async () => {
            const answer = await push('c');
            return answer.status === 202 && answer.json;
        });
        const events = await consumer.readCount(TYPE, 3, 'bound');
        assert.deepEqual(events.map(({ data }) => data).sort(), ['a', 'b', 'c']);
        assert.ok(events.some(({ notification }) => notification === id));
    });

    /* So that what comes next does not push out at once what was accepted. */
    everyStore(test, 'from three quarters of the event log on a push with an alert is refused', async (t, store) => {
        const herald = await t.herald({ store, args: [...ARGS, '--events-max', '16'] });
        const consumer = await begin(herald, 'slow');
        for (let n = 0; n < 12; n++) {
            await herald.mustPush('u', n, { alertAfter: 1 });
        }
        await consumer.readUntil('all alerts', ({ events }) => events.length >= 12);
        await consumer.ack();
        for (let n = 0; n < 12; n++) {
            await herald.mustPush('u', n, { alertAfter: 1 });
        }
        await waitUntil('the event log is filled', async () => (await herald.push('u', 1, { alertAfter: 2591000, ttl: 2592000 })).status === 503);
        assertProblem(await herald.push('u', 1, { alertAfter: 1 }), 503, { type: 'store-unavailable' });
        await herald.mustPush('u', 'without');
        await consumer.readUntil('the others', ({ events }) => events.length >= 24);
        await consumer.ack();
        await herald.mustPush('u', 'there is room again', { alertAfter: 1 });
        consumer.record.check();
    });

    everyStore(test, 'a stop and a kill -9 before its time lose none', async (t, store) => {
        const herald = await t.herald({ store, args: ARGS });
        const consumer = await begin(herald, 'outlives');
        const { id: first } = await herald.mustPush('stopped', 'a', { alertAfter: 2 });
        await herald.stop();
        await herald.restart();
        const { id: second } = await herald.mustPush('killed', 'b', { alertAfter: 2 });
        await herald.kill();
        await herald.restart();
        const [stopped] = await consumer.readCount(TYPE, 1, 'stopped');
        const [killed] = await consumer.readCount(TYPE, 1, 'killed');
        assert.deepEqual([stopped.notification, stopped.data], [first, 'a']);
        assert.deepEqual([killed.notification, killed.data], [second, 'b']);
        await assertNoEvent(consumer, 'nobody');
        assert.deepEqual([alertsOf(consumer, 'stopped').length, alertsOf(consumer, 'killed').length], [1, 1]);
        consumer.record.check();
    }, { stores: ['file', 'redis'] });

    everyStore(test, 'one that became due while nobody ran comes after the start', async (t, store) => {
        const herald = await t.herald({ store, args: ARGS });
        const consumer = await begin(herald, 'late');
        await herald.mustPush('late', 1, { alertAfter: 1 });
        const since = Date.now();
        await herald.kill();
        await waitUntil('it is due', () => Date.now() - since > 1200);
        await herald.restart();
        await consumer.readCount(TYPE, 1, 'late');
    }, { stores: ['file', 'redis'] });

    test('when its node is killed, another one tells it, and whether the user is online there', { timeoutMs: 90000 }, async (t) => {
        const redis = await t.redis();
        await redis.start();
        const first = await t.herald({ store: redis.url, args: ARGS });
        const second = await t.herald({ store: redis.url, args: ARGS });
        const consumer = await begin(second, 'survivor');
        await second.subscribeV1('here');
        const users = range(16).map((n) => `u${n}`);
        await first.post('/push', { userIds: ['here', ...users], data: 1, alertAfter: 2 });
        await first.kill();
        await consumer.readUntil('all alerts', ({ events }) => events.filter(({ type }) => type === TYPE).length >= 17, 60000);
        const events = consumer.record.ofType(TYPE);
        assert.deepEqual(events.map(({ userId }) => userId).sort(), ['here', ...users].sort());
        assert.deepEqual(events.filter(({ online }) => online).map(({ userId }) => userId), ['here']);
    });

    test('while Redis is away a push with an alert is refused, and one that is due waits', async (t) => {
        const redis = await t.redis();
        await redis.start();
        const herald = await t.herald({ store: redis.url, args: ARGS });
        const consumer = await begin(herald, 'away');
        await herald.mustPush('away', 'a', { alertAfter: 2 });
        await redis.child.stop('SIGKILL');
        await waitUntil('Herald knows', async () => (await herald.push('away', 'b', { alertAfter: 2 })).status === 503);
        await redis.start();
        const [event] = await consumer.readCount(TYPE, 1, 'away');
        assert.equal(event.data, 'a');
    });

    test('bad input is refused by name, in every form', async (t) => {
        const herald = await t.herald({ store: 'memory', args: ARGS });
        for (const alertAfter of [0, -1, 1.5, '30', null, true, [30], 2592001, 1e30]) {
            assertRefused(await herald.push('bad', 1, { alertAfter }), /whole number of seconds, 1\.\.2592000/);
        }
        assertRefused(await herald.post('/push', '{"userId":"bad","data":1,"alertAfter":3e1}'), /whole number/);
        assertRefused(await herald.push('bad', 1, { ttl: 0, alertAfter: 5 }), /ttl above 0/);
        assertRefused(await herald.push('bad', 1, { ttl: 5, alertAfter: 5 }), /less than ttl, which is 5/);
        assertRefused(await herald.push('bad', 1, { alertAfter: 604800 }), /less than ttl, which is 604800/);
        assertRefused(await herald.post('/push', { userIds: ['bad'], data: 1, ttl: 5, alertAfter: 6 }), /less than ttl/);
        const lines = await herald.ndjson([{ userId: 'bad', data: 1, ttl: 0, alertAfter: 1 }, { userId: 'good', data: 1 }]);
        const [bad, good] = lines.text.trim().split('\n').map((line) => JSON.parse(line));
        assert.deepEqual([bad.type, bad.field, bad.line, good.status], ['invalid-field', 'alertAfter', 1, 'stored']);
        assertProblem(await herald.post('/push', '{"userId":"bad","data":1,"alertAfter":1,"alertAfter":1}'), 400, { type: 'bad-json' });
        assert.equal((await herald.user('bad')).head, 0);
        const longest = await herald.push('good', 1, { ttl: 2592000, alertAfter: 2591999 });
        assert.equal(longest.status, 202, longest.text);
    });

    test('without the event among those that are kept it is refused', async (t) => {
        const without = await t.sharedHerald('plain', { store: 'memory' });
        assertRefused(await without.push('u', 1, { alertAfter: 5 }), /notification\.unacknowledged in --events/);
        const others = await t.herald({ store: 'memory', args: ['--events', 'user.online'] });
        assertRefused(await others.push('u', 1, { alertAfter: 5 }), /notification\.unacknowledged in --events/);
        assert.equal((await others.push('u', 1)).status, 202);
    });

    test('a consumer that takes other types is not told', async (t) => {
        const herald = await t.herald({ store: 'memory', args: ['--events', 'user.online,notification.unacknowledged'] });
        const consumer = new Consumer(herald, 'other', { types: 'user.online', from: 'now' });
        await consumer.peek();
        const all = await begin(herald, 'all');
        await herald.mustPush('u', 1, { alertAfter: 1 });
        await all.readCount(TYPE, 1, 'u');
        await consumer.next();
        assert.deepEqual(consumer.record.ofType(TYPE), []);
    });
};

module.exports.lanes = 'stores';
