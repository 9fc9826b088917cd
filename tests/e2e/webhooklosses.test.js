'use strict';
/* --webhooks: what an endpoint is told of events that are lost or have left unread, and that a kill, an upgrade or a lost
 * consumer costs it none. */

const assert = require('node:assert/strict');
const { hasCommand, range, startReceiver, usersOfPartition, waitUntil, webhooks } = require('./harness');

const { TYPES, start, come, shown, waitShown } = webhooks;

module.exports = (test) => {
    test('what has left unread is told as a gap, whatever types the endpoint asks for', async (t) => {
        const receiver = await startReceiver(t, { types: 'user.offline' });
        const all = await startReceiver(t, { name: 'all' });
        await receiver.stop();
        await all.stop();
        const herald = await start(t, [receiver, all], { store: 'memory', args: ['--events-max', '16'] });
        await come(herald, usersOfPartition(4, 40));
        await waitUntil('the last is written', async () =>
            await herald.metric('herald_events_left_total{cause="overflow"}') === 24);
        await all.start();
        await all.waitCount('user.online', 16);
        const [gap] = all.events;
        assert.deepEqual([gap.type, gap.partition, gap.from, gap.to, gap.cause], ['gap', 4, 1, 24, 'overflow']);
        assert.deepEqual(all.events.slice(1).map(({ userId }) => userId), usersOfPartition(4, 40).slice(24));
        all.check();
        await receiver.start();
        await receiver.waitCount('gap', 1);
        assert.equal(receiver.events.length, 1);
    });

    for (const how of ['FLUSHALL', 'a Redis that comes back empty']) {
        test(`a partition that has lost its events is told as a gap before the next ones: ${how}`, async (t) => {
            const redis = await t.redis();
            await redis.start();
            const receiver = await startReceiver(t, { types: 'user.online,user.offline' });
            const herald = await start(t, [receiver.line('batch=2')], { store: redis.url });
            const users = usersOfPartition(6, 8);
            await come(herald, users.slice(0, 3));
            await receiver.waitCount('user.online', 3);
            await (how === 'FLUSHALL' ? redis.command('FLUSHALL') : redis.restartEmpty());
            receiver.answer = ({ events }) => (events[0].type === 'gap' ? 503 : 200);
            await herald.waitReady();
            await come(herald, users.slice(3, 5));
            const isGap = ({ events: [first] }) => first.type === 'gap' && first.partition === 6;
            await receiver.waitFor('the gap', ({ requests }) => requests.some(isGap));
            receiver.answer = () => 200;
            await come(herald, users.slice(5));
            const of = (userId) => receiver.record.ofUser(userId).length;
            await receiver.waitFor('all who have come since', () => users.slice(3).every((user) => of(user) === 1));
            const events = receiver.record.events.filter(({ id }) => id.startsWith('6.'));
            const [, , , gap, next] = events;
            const [epoch, old] = [next, events[0]].map(({ id }) => /\.(.*)-/.exec(id)[1]);
            assert.notEqual(epoch, old);
            assert.deepEqual([gap.type, gap.cause, gap.partition, gap.id], ['gap', 'reset', 6, `6.${epoch}-${gap.to}`]);
            assert.equal(receiver.record.gaps().length, new Set(receiver.record.gaps().map(({ partition }) => partition)).size);
            const repeats = receiver.requests.filter(({ events: [first] }) => first.id === gap.id);
            assert.ok(repeats.length >= 2 && repeats.every(({ text }) => text === repeats[0].text), 'a repeat has the same bytes');
            receiver.check();
        });
    }

    test('a loss is told also where a request is under way while the consumer is added again', async (t) => {
        const redis = await t.redis();
        await redis.start();
        let answerLate;
        const late = new Promise((resolve) => { answerLate = resolve; });
        const receiver = await startReceiver(t, { types: TYPES, answer: async () => { await late; return 200; } });
        const herald = await start(t, [receiver.line('timeout=2m')], { store: redis.url });
        const users = usersOfPartition(0, 2); /* the partition in which nodes show life each 10 s */
        await come(herald, users.slice(0, 1));
        await receiver.waitRequests(1);
        await redis.command('FLUSHALL');
        await waitUntil('it is added again', async () =>
            await redis.command('HEXISTS herald:{%events.0}:meta d!whook') === ':1', 30000);
        answerLate();
        await come(herald, users.slice(1));
        await receiver.waitCount('user.online', 1, users[1]);
        const told = receiver.record.events.filter(({ id }) => id.startsWith('0.')).map(({ type, userId }) => userId ?? type);
        assert.equal(told[1], 'gap', told.join(' '));
        receiver.check();
    });

    test('an endpoint whose consumer was removed goes on where it was', async (t) => {
        const redis = await t.redis();
        await redis.start();
        const receiver = await startReceiver(t);
        const slow = await startReceiver(t, { name: 'slow', answer: () => 503 }); /* so that nothing leaves */
        const herald = await start(t, [receiver, slow], { store: redis.url });
        const users = usersOfPartition(6, 4);
        await come(herald, users.slice(0, 3));
        await receiver.waitCount('user.online', 3);
        const lagOf = async () => (await shown(herald)).lag;
        await waitUntil('all is acknowledged', async () => await lagOf() === 0);
        assert.equal(await redis.command('HDEL herald:{%events.6}:meta d!whook'), ':1');
        await come(herald, users.slice(3));
        await receiver.waitCount('user.online', 4);
        await waitUntil('the position is written again', async () => await lagOf() === 0);
        const { webhooks } = (await herald.request('GET', '/events/consumers')).json;
        assert.deepEqual(webhooks.map(({ name, lag }) => [name, lag]), [['hook', 0], ['slow', 4]]);
        assert.equal(receiver.record.repeats, 0);
        receiver.check();
    });

    for (const kind of ['file', 'redis']) {
        test(`an upgrade goes on where the process before was (${kind})`, async (t) => {
            const receiver = await startReceiver(t);
            const herald = await start(t, [receiver], { store: kind });
            await come(herald, range(10).map((n) => `early${n}`));
            await receiver.waitCount('user.online', 10);
            await herald.upgrade();
            await come(herald, range(10).map((n) => `late${n}`));
            await receiver.waitCount('user.online', 20);
            receiver.check();
        });
    }

    for (const kind of ['file', 'redis']) {
        test(`what was not acknowledged comes again after kill -9, nothing is missing (${kind})`, async (t) => {
            if (kind === 'redis' && !hasCommand('redis-server')) {
                t.skip('redis-server is not installed');
            }
            const receiver = await startReceiver(t);
            const herald = await start(t, [receiver], { store: kind });
            await come(herald, range(20).map((n) => `early${n}`));
            await receiver.waitCount('user.online', 20);
            await waitShown(herald, 'they are acknowledged', ({ lag }) => lag === 0);
            receiver.answer = () => 503;
            await come(herald, range(20).map((n) => `late${n}`));
            await waitShown(herald, 'they wait', ({ lag, failures }) => lag === 20 && failures > 0);
            await herald.kill();
            receiver.answer = () => 200;
            await herald.restart();
            await receiver.waitFor('all 40', ({ record }) =>
                new Set(record.ofType('user.online').map(({ userId }) => userId)).size === 40, 60000);
            assert.equal(receiver.record.repeats, 0, 'what was acknowledged does not come again');
            receiver.check();
        });
    }
};
