'use strict';
/* Events that are gone before they are read, because their time is over or because the store has lost them: every reader is
 * told, once, and goes on with what comes then. */

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { Consumer, Skip, clockAhead, everyStore, isSanitized, parseEventId, partitionOf, range, startReceiver, waitUntil } = require('./harness');

const ARGS = ['--events', 'client.message', '--client-messages', 'v1', '--client-messages-per-second', '1000'];
const FILE = 'hooks.conf';
const AHEAD_MS = 4 * 86400 * 1000; /* --event-ttl is 3 days */
const USERS = range(6).map((n) => `user-${n}`);

/* The store may be away for a moment after it was lost, and one worker's link comes back later than another's. */
const whenItIsBack = (ask) => waitUntil('the store is back', ask);

const say = (herald, userId, id) => whenItIsBack(async () => {
    const { status } = await herald.post(`/message?userId=${userId}&id=${id}`, '1', {}, { port: herald.port });
    assert.ok(status === 202 || status === 503, String(status));
    return status === 202;
});

/* One message of each user: answers how many went to each partition. */
async function sayOneEach(herald, prefix) {
    const counts = new Map();
    for (const userId of USERS) {
        await say(herald, userId, `${prefix}-${userId}`);
        counts.set(partitionOf(userId), (counts.get(partitionOf(userId)) ?? 0) + 1);
    }
    return counts;
}

const clientIdsOf = (events) => events.filter(({ type }) => type === 'client.message').map(({ clientId }) => clientId).sort();
const idsOf = (prefix) => USERS.map((userId) => `${prefix}-${userId}`);

/* A Herald on a store of the test's own, with what happens to it there. */
async function begin(t, store, extra = {}) {
    if (store !== 'redis') {
        const herald = await t.herald({ ...extra, store });
        return { herald,
            age: async (env) => {
                await herald.stop();
                herald.options.env = env;
                await herald.restart();
            },
            lose: async () => {
                await herald.stop();
                if (store === 'file') {
                    fs.rmSync(herald.options.store.replace(/^file:/, ''), { recursive: true });
                }
                await herald.restart();
            } };
    }
    const redis = await (await t.redis()).start();
    const herald = await t.herald({ ...extra, store: redis.url });
    return { herald,
        age: async (env) => {
            await redis.kill();
            redis.env = env;
            await redis.start();
        },
        lose: () => redis.restartEmpty() };
}

module.exports = (test) => {
    everyStore(test, 'what has expired unread is a gap to each reader that had not read it, and counted once', async (t, store) => {
        if (store === 'file' && isSanitized(t.binary)) {
            throw new Skip('a sanitizer takes no library before it, so its clock cannot be moved');
        }
        const receiver = await startReceiver(t, { answer: () => 503 });
        const { herald, age } = await begin(t, store, { args: [...ARGS, '--webhooks', FILE], files: { [FILE]: receiver.line() } });
        const [slow, prompt] = ['slow', 'prompt'].map((name) => new Consumer(herald, name));
        await Promise.all([slow.peek(), prompt.peek()]);
        const counts = await sayOneEach(herald, 'old');
        await prompt.readCount('client.message', USERS.length);
        await prompt.ack();
        await receiver.waitRequests(1);
        await age(clockAhead(t, AHEAD_MS));
        await say(herald, 'first', 'new-first');
        await waitUntil('all have left', async () => /* they may stay for a minute longer */
            (await slow.ask()).json.events.filter(({ type }) => type === 'gap').length === counts.size);
        receiver.answer = () => 200;

        await slow.readUntil('what is left', ({ events }) => clientIdsOf(events).includes('new-first'));
        const gaps = slow.record.gaps();
        assert.deepEqual(new Map(gaps.map(({ partition, from, to }) => [partition, to - from + 1])), counts);
        assert.deepEqual(gaps.filter(({ cause, from }) => cause !== 'expired' || from !== 1), []);
        assert.deepEqual(clientIdsOf(slow.record.events), ['new-first']);
        await slow.ack();
        assert.deepEqual(await slow.next(), [], 'told once');
        assert.deepEqual(clientIdsOf((await prompt.readUntil('the new one', ({ events }) => events.length > USERS.length)).events),
            [...idsOf('old'), 'new-first'].sort());
        assert.deepEqual(prompt.record.gaps(), [], 'it had all of them');
        await receiver.waitFor('the same to an endpoint', ({ record }) => clientIdsOf(record.events).includes('new-first')
            && record.gaps().length === counts.size);
        assert.equal(await herald.metric('herald_events_left_total{cause="expired"}'), USERS.length);
        [slow, prompt, receiver].forEach(({ record }) => record.check());
    }, { stores: ['file', 'redis'] });

    everyStore(test, 'where the store has lost its events a reader is told by its cursor, once, and goes on', async (t, store) => {
        const { herald, lose } = await begin(t, store, { args: ARGS });
        const consumer = new Consumer(herald, 'orders');
        await consumer.peek();
        const counts = await sayOneEach(herald, 'old');
        await consumer.readCount('client.message', USERS.length);
        const before = new Map(consumer.record.events.map(({ id }) => parseEventId(id)).map(({ partition, epoch }) => [partition, epoch]));
        await lose();
        await say(herald, 'first', 'new-first');
        await sayOneEach(herald, 'new');
        const events = await whenItIsBack(() => consumer.ask({ ack: consumer.cursor }).then((answer) => answer.status !== 503 && consumer.keep(answer)));
        const gaps = events.filter(({ type }) => type === 'gap');
        gaps.forEach(({ id, partition, to, cause }) => {
            const { epoch, number } = parseEventId(id);
            assert.deepEqual([cause, number], ['reset', to]);
            assert.notEqual(epoch, before.get(partition), 'its id is in the present epoch');
        });
        [...counts.keys()].forEach((partition) => assert.ok(gaps.some((gap) => gap.partition === partition), `of ${partition}`));
        assert.equal(new Set(gaps.map(({ partition }) => partition)).size, gaps.length, 'one of each');
        assert.ok(gaps.every((gap) => events.indexOf(gap) < events.findIndex((event) =>
            event.type !== 'gap' && parseEventId(event.id).partition === gap.partition) || !counts.has(gap.partition)), 'before what comes');
        assert.deepEqual(clientIdsOf(events), ['new-first', ...idsOf('new')].sort());
        assert.equal((await consumer.listed()).lag, USERS.length + 1);
        assert.deepEqual(await consumer.next(), [], 'told once');
        assert.equal((await consumer.listed()).lag, 0);
    });

    everyStore(test, 'an acknowledgement of events that the store has lost changes nothing, and the reader is told', async (t, store) => {
        const { herald, lose } = await begin(t, store, { args: ARGS });
        const consumer = new Consumer(herald, 'orders');
        await consumer.peek();
        await sayOneEach(herald, 'old');
        await consumer.readCount('client.message', USERS.length);
        const { cursor } = consumer;
        await lose();
        await say(herald, 'first', 'new-first');
        const refused = await whenItIsBack(async () => {
            const answer = await herald.post('/events/ack', { consumer: 'orders', cursor });
            return answer.status !== 503 && answer;
        });
        assert.equal(refused.status, 404, 'it was lost as well');
        await new Consumer(herald, 'orders').peek();
        assert.deepEqual(await consumer.ack(cursor), { consumer: 'orders', lag: 1 });
        const events = await consumer.peek();
        assert.ok(events.some(({ type, cause }) => type === 'gap' && cause === 'reset'), JSON.stringify(events));
        assert.deepEqual(clientIdsOf(events), ['new-first']);
        await consumer.ack();
        assert.deepEqual(await consumer.next(), []);
    });
};
