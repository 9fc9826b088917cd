'use strict';
/* Reading events: GET /events, POST /events/ack and the consumers, on each store. What writes the events here is users
 * who come; who comes and goes when is in presence.test.js. */

const assert = require('node:assert/strict');
const { Consumer, assertProblem, everyStore, parseEventId, range, waitUntil } = require('./harness');

const ARGS = ['--events', 'user.online'];
const BAD_NAMES = ['', 'x'.repeat(65), 'a b', 'a/b', 'a:b', 'ä', '%'];

/* The partition of a user: FNV-1a of 32 bits, folded. */
function partitionOf(userId) {
    const hash = [...Buffer.from(userId)].reduce((sum, byte) => Math.imul(sum ^ byte, 16777619) >>> 0, 2166136261);
    return ((hash ^ (hash >>> 16)) >>> 0) % 16;
}

/* `count` userIds of one partition. */
const usersOf = (partition, count) => range(5000).map((n) => `u${n}`)
    .filter((userId) => partitionOf(userId) === partition).slice(0, count);

/* They stay until the test ends. */
const come = (herald, userIds) => Promise.all(userIds.map((userId) => herald.subscribe(userId)));

const idsOf = (events) => events.map(({ id }) => id);
const usersIn = (events) => events.map(({ userId }) => userId);

module.exports = (test) => {
    everyStore(test, 'events are shown again until their cursor is given back, and then no more', async (t, store) => {
        const herald = await t.herald({ store, args: ARGS });
        const consumer = new Consumer(herald, 'orders');
        assert.deepEqual(await consumer.peek(), []);
        await come(herald, ['ada', 'bob', 'cy']);
        await waitUntil('three events', async () => (await consumer.peek()).length === 3);
        const events = await consumer.peek();
        assert.deepEqual(usersIn(events).sort(), ['ada', 'bob', 'cy']);
        events.forEach((event) => {
            assert.equal(parseEventId(event.id).partition, partitionOf(event.userId));
            assert.deepEqual(Object.keys(event).slice(0, 4), ['id', 'type', 'time', 'userId']);
        });
        assert.deepEqual(idsOf(events), idsOf([...events].sort((a, b) => a.time - b.time)), 'by time');
        assert.deepEqual(idsOf(await consumer.peek()), idsOf(events));
        const { cursor } = consumer;
        assert.equal((await consumer.listed()).lag, 3);
        assert.deepEqual(await consumer.next(), []);
        assert.deepEqual(await consumer.peek(), []);
        assert.equal((await consumer.listed()).lag, 0);
        assert.deepEqual(await consumer.peek({ ack: cursor }), [], 'an older cursor changes nothing');
        assert.deepEqual(await consumer.ack(), { consumer: 'orders', lag: 0 });
        consumer.record.check();
    });

    everyStore(test, 'a limit cuts an answer, and what is acknowledged alone is what it had', async (t, store) => {
        const herald = await t.herald({ store, args: ARGS });
        const consumer = new Consumer(herald, 'orders', { limit: 2 });
        await consumer.peek();
        await come(herald, range(5).map((n) => `c${n}`));
        await waitUntil('all are kept', async () => (await consumer.listed()).lag === 5);
        const first = await consumer.peek();
        assert.equal(first.length, 2);
        assert.deepEqual(await consumer.ack(), { consumer: 'orders', lag: 3 });
        const second = await consumer.peek();
        const third = await consumer.next();
        assert.deepEqual([second.length, third.length], [2, 1]);
        assert.equal(new Set(idsOf([...first, ...second, ...third])).size, 5);
        consumer.record.check();
    });

    everyStore(test, 'types pass the others over, and the cursor covers them', async (t, store) => {
        const herald = await t.herald({ store, args: ARGS });
        const consumer = new Consumer(herald, 'orders', { types: 'client.message,user.offline' });
        const all = new Consumer(herald, 'all');
        assert.deepEqual([await consumer.peek(), await all.peek()], [[], []]);
        await come(herald, ['ada', 'bob']);
        await all.readCount('user.online', 2);
        assert.deepEqual(await consumer.peek(), []);
        assert.equal((await consumer.ack()).lag, 0);
    });

    everyStore(test, 'from=now begins behind what there is, and counts at the first call alone', async (t, store) => {
        const herald = await t.herald({ store, args: ARGS });
        const early = new Consumer(herald, 'early');
        await come(herald, ['ada']);
        await early.readCount('user.online', 1);
        const late = new Consumer(herald, 'late', { from: 'now' });
        const whole = new Consumer(herald, 'whole', { from: 'earliest' });
        assert.deepEqual(await late.peek(), []);
        assert.equal((await early.peek({ from: 'now' })).length, 1, 'it exists already');
        await come(herald, ['bob']);
        assert.deepEqual(usersIn(await late.readCount('user.online', 1)), ['bob']);
        assert.equal((await whole.readCount('user.online', 1)).length, 1);
    });

    everyStore(test, 'positions and cursors outlive a restart', async (t, store) => {
        const herald = await t.herald({ store, args: ARGS });
        const consumer = new Consumer(herald, 'orders');
        await consumer.peek();
        await come(herald, ['ada']);
        await consumer.readCount('user.online', 1);
        await consumer.ack();
        await come(herald, ['bob']);
        await waitUntil('one is left', async () => (await consumer.listed()).lag === 1);
        await consumer.peek();
        await herald.stop();
        await herald.restart();
        assert.deepEqual(usersIn(await consumer.peek()), ['bob']);
        assert.deepEqual(await consumer.next(), []);
        consumer.record.check();
    }, { stores: ['file', 'redis'] });

    everyStore(test, 'what a full partition pushes out unread is told as a gap', async (t, store) => {
        const herald = await t.herald({ store, args: [...ARGS, '--events-max', '16'] });
        const consumer = new Consumer(herald, 'orders');
        await consumer.peek();
        await come(herald, usersOf(3, 24));
        await waitUntil('24 were written', async () => {
            const [last] = (await consumer.peek()).slice(-1);
            return last !== undefined && parseEventId(last.id).number === 24;
        });
        const [gap, ...events] = await consumer.peek();
        assert.deepEqual({ ...gap, id: undefined, time: undefined },
            { id: undefined, type: 'gap', time: undefined, partition: 3, from: 1, to: 8, cause: 'overflow' });
        assert.equal(parseEventId(gap.id).number, 8);
        assert.deepEqual(events.map(({ id }) => parseEventId(id).number), range(16, 9));
        assert.deepEqual(await consumer.next(), []);
    });

    everyStore(test, 'a call waits for the next event, and for no longer than it says', async (t, store) => {
        const herald = await t.herald({ store, args: ARGS });
        const consumer = new Consumer(herald, 'orders');
        await consumer.peek();
        const began = Date.now();
        const waiting = consumer.peek({ wait: 20 });
        await waitUntil('it waits', async () => /^herald_event_waits 1$/m.test((await herald.request('GET', '/metrics')).text));
        await come(herald, ['ada']);
        assert.deepEqual(usersIn(await waiting), ['ada']);
        assert.ok(Date.now() - began < 15000, 'it did not wait for its time to end');
        const again = Date.now();
        assert.deepEqual(await consumer.next({ wait: 1.5 }), []);
        assert.ok(Date.now() - again >= 1400, `${Date.now() - again} ms`);
    }, { tries: 3 });

    test('a second call of a consumer has the first one answered; a stop answers both', async (t) => {
        const herald = await t.herald({ store: 'memory', args: ARGS });
        const consumer = new Consumer(herald, 'orders');
        const other = new Consumer(herald, 'others');
        await Promise.all([consumer.peek(), other.peek()]);
        const waits = async (n) => waitUntil(`${n} wait`, async () => (
            new RegExp(`^herald_event_waits ${n}$`, 'm').test((await herald.request('GET', '/metrics')).text)));
        const first = consumer.peek({ wait: 30 });
        await waits(1);
        const second = consumer.peek({ wait: 30 });
        assert.deepEqual(await first, []);
        const third = other.peek({ wait: 30 });
        await waits(2);
        const stopped = herald.stop();
        assert.deepEqual(await Promise.all([second, third]), [[], []]);
        await stopped;
    });

    test('a loss is told to a call without a cursor at each node that has read before it', async (t) => {
        const redis = await t.redis();
        await redis.start();
        const nodes = [await t.herald({ store: redis.url, args: ARGS }), await t.herald({ store: redis.url, args: ARGS })];
        const read = async (node) => (await node.request('GET', '/events?consumer=orders')).json;
        await nodes[0].subscribe('ada');
        let before;
        for (const node of nodes) {
            await waitUntil('ada is seen', async () => {
                before = await read(node);
                return before.events.length === 1;
            });
        }
        const waiting = nodes[0].request('GET', `/events?consumer=orders&wait=30&ack=${before.cursor}`);
        const began = Date.now();
        await waitUntil('it waits', async () => /^herald_event_waits 1$/m.test((await nodes[0].request('GET', '/metrics')).text));
        await redis.command('FLUSHALL');
        const answer = await nodes[1].post('/events/ack', { consumer: 'orders', cursor: before.cursor });
        assert.ok([200, 404].includes(answer.status), answer.text);
        await nodes[0].subscribe('bob');
        assert.equal((await waiting).status, 200);
        assert.ok(Date.now() - began < 25000, 'a call that waits does not wait for what it is not told of');
        for (const node of nodes) {
            let events;
            await waitUntil('bob is seen', async () => {
                ({ events } = await read(node));
                return usersIn(events).includes('bob');
            });
            const gap = events.find(({ type, partition }) => type === 'gap' && partition === partitionOf('ada'));
            assert.equal(gap?.cause, 'reset', JSON.stringify(events));
        }
    });

    everyStore(test, 'fifteen consumers are the most, and one that is deleted makes room', async (t, store) => {
        const herald = await t.herald({ store, args: ARGS });
        const names = range(15).map((n) => `consumer-${n}`);
        for (const name of names) {
            await new Consumer(herald, name).peek();
        }
        const refused = await new Consumer(herald, 'one-more').ask();
        assertProblem(refused, 409, { type: 'conflict' });
        names.forEach((name) => assert.ok(refused.json.detail.includes(name), refused.text));
        const { json } = await herald.request('GET', '/events/consumers');
        assert.deepEqual(json.consumers.map(({ name }) => name), [...names].sort());
        const gone = await new Consumer(herald, 'consumer-3').forget();
        assert.deepEqual([gone.status, gone.json], [200, { consumer: 'consumer-3', unread: 0 }]);
        assertProblem(await new Consumer(herald, 'consumer-3').forget(), 404);
        await new Consumer(herald, 'one-more').peek();
    });

    test('bad fields are refused with their name', async (t) => {
        const herald = await t.herald({ store: 'memory', args: ARGS });
        const good = { consumer: 'orders' };
        const refused = async (query, field, detail = /./) => {
            const target = `/events?${new URLSearchParams({ ...good, ...query })}`;
            const answer = await herald.request('GET', target);
            assertProblem(answer, 400, { type: 'invalid-field', field });
            assert.match(answer.json.detail, detail);
        };
        for (const limit of ['0', '1001', '-1', 'x', '']) {
            await refused({ limit }, 'limit');
        }
        for (const wait of ['31', '30.1', '-1', 'x', '', '0x1', 'inf', '1e9']) {
            await refused({ wait }, 'wait');
        }
        for (const consumer of BAD_NAMES) {
            await refused({ consumer }, 'consumer');
        }
        assertProblem(await herald.request('GET', '/events'), 400, { field: 'consumer' });
        await refused({ types: 'user.onlin' }, 'types', /did you mean user\.online\?/);
        await refused({ types: '' }, 'types');
        await refused({ types: 'user.online,' }, 'types');
        await refused({ from: 'then' }, 'from');
        for (const ack of ['', 'zzz', 'A'.repeat(600), 'A'.repeat(700), 'a b']) {
            await refused({ ack }, 'ack');
        }
        assertProblem(await herald.request('DELETE', '/events/consumers/a%20b'), 400, { field: 'consumer' });
        assertProblem(await herald.request('DELETE', '/events/consumers/'), 400, { field: 'consumer' });
        assert.deepEqual((await herald.request('GET', '/events/consumers')).json, { consumers: [], webhooks: [] });
    });

    test('a cursor belongs to its consumer, and both have to be there', async (t) => {
        const herald = await t.herald({ store: 'memory', args: ARGS });
        const consumer = new Consumer(herald, 'orders');
        const other = new Consumer(herald, 'others');
        await Promise.all([consumer.peek(), other.peek()]);
        assertProblem(await consumer.ask({ ack: other.cursor }), 409, { type: 'conflict', field: 'ack' });
        const ack = (body) => herald.post('/events/ack', body);
        assertProblem(await ack({ consumer: 'orders', cursor: other.cursor }), 409, { type: 'conflict', field: 'cursor' });
        assertProblem(await ack({ consumer: 'orders' }), 400, { field: 'cursor' });
        assertProblem(await ack({ cursor: consumer.cursor }), 400, { field: 'consumer' });
        assertProblem(await ack({ consumer: 'orders', cursor: 7 }), 400, { field: 'cursor' });
        assertProblem(await ack({ consumer: 'a b', cursor: consumer.cursor }), 400, { field: 'consumer' });
        assertProblem(await ack({ consumer: 'orders', cursor: `${consumer.cursor}A` }), 400, { field: 'cursor' });
        assertProblem(await ack({ consumer: 'orders', cursor: consumer.cursor, more: 1 }), 400, { type: 'unknown-field' });
        await consumer.forget();
        assertProblem(await ack({ consumer: 'orders', cursor: consumer.cursor }), 404, { type: 'not-found' });
    });

    test('without --events there is nothing to read, and an unknown type does not start', async (t) => {
        const herald = await t.herald({ store: 'memory' });
        const consumer = new Consumer(herald, 'orders');
        assertProblem(await consumer.ask(), 409, { type: 'conflict' });
        assertProblem(await consumer.forget(), 409, { type: 'conflict' });
        assertProblem(await herald.request('GET', '/events/consumers'), 409, { type: 'conflict' });
        for (const more of [[], ['--check-config']]) {
            const end = await t.runToEnd(['--store', 'memory:', '--events', 'user.onlin', ...more]);
            assert.equal(end.code, 2, end.stderr);
            assert.match(end.stderr, /--events: user\.onlin .*did you mean user\.online\?/);
        }
    });
};

module.exports.lanes = 'stores';
