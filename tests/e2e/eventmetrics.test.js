'use strict';
/* What operators see of the event log: how full it is, who is behind, what was kept, refused and pushed out. */

const assert = require('node:assert/strict');
const { Consumer, everyStore, range, startReceiver, usersOfPartition, waitUntil } = require('./harness');

const PARTITION = 6;
const MAX = 16;
const THREE_QUARTERS = 12;
const FILE = 'hooks.conf';
const ARGS = ['--events', 'client.message', '--events', 'user.online', '--events', 'user.offline', '--offline-after', '1s',
    '--events-max', String(MAX), '--client-messages', 'all', '--client-messages-per-second', '1000'];

/* Of one partition, each for another test's purpose. */
const [SPEAKER, ...VISITORS] = usersOfPartition(PARTITION, 20);

const post = (herald, id) => herald.post(`/message?userId=${SPEAKER}&id=${id}`, '1', {}, { port: herald.port });

async function say(herald, from, to) {
    for (let n = from; n < to; n++) {
        assert.equal((await post(herald, `m${n}`)).status, 202, `${n}`);
    }
}

const waitMetric = (herald, name, value) => waitUntil(`${name} is ${value}`, async () => {
    const is = await herald.metric(name);
    if (is !== value) {
        throw new Error(`it is ${is}`);
    }
    return true;
});

const FILLED = new RegExp(`level=warn event="a partition of events is filled to three quarters" partition=${PARTITION} events=(\\d+) `, 'g');
const linesOf = (herald) => [...herald.log.matchAll(FILLED)].map(([, events]) => Number(events));

module.exports = (test) => {
    everyStore(test, 'how full the log is and who is behind is shown, told once, and over when all is acknowledged', async (t, store) => {
        const herald = await t.herald({ store, args: ARGS });
        const consumer = new Consumer(herald, 'slow');
        await consumer.peek();
        await waitMetric(herald, 'herald_events_served_partitions', 16);
        await say(herald, 0, THREE_QUARTERS);
        await waitUntil('its oldest event is a second old', async () => await herald.metric('herald_events_lag_seconds{consumer="slow",kind="pull"}') >= 1);
        await waitUntil('the line', () => linesOf(herald).length > 0);
        assert.deepEqual(linesOf(herald), [THREE_QUARTERS]);
        assert.equal(await herald.metric('herald_events_fill_ratio'), 0.75);
        assert.equal(await herald.metric('herald_events_lag{consumer="slow",kind="pull"}'), THREE_QUARTERS);
        assert.equal(await herald.metric('herald_events_written_total'), THREE_QUARTERS);
        assert.equal(await herald.metric('herald_client_messages_kept_total{level="http"}'), THREE_QUARTERS);

        assert.equal((await post(herald, 'one-more')).status, 503);
        assert.equal(await herald.metric('herald_client_messages_unkept_total{cause="full"}'), 1);
        assert.equal(await herald.metric('herald_events_refused_total{cause="full"}'), 1);
        assert.equal(await herald.metric('herald_events_left_total'), 0);

        await Promise.all(VISITORS.slice(0, 6).map((userId) => herald.subscribe(userId)));
        await waitMetric(herald, 'herald_events_written_total', THREE_QUARTERS + 6);
        assert.equal(await herald.metric('herald_events_fill_ratio'), 1);
        assert.equal(await herald.metric('herald_events_left_total{cause="overflow"}'), THREE_QUARTERS + 6 - MAX);
        assert.equal(await herald.metric('herald_presence_changes_total{result="written"}'), 6);
        await consumer.readUntil('all', ({ events }) => events.length === 1 + MAX);
        assert.deepEqual(consumer.record.gaps().map(({ from, to, cause }) => [from, to, cause]), [[1, 2, 'overflow']]);
        await consumer.ack();
        await waitMetric(herald, 'herald_events_fill_ratio', 0);
        assert.equal(await herald.metric('herald_events_lag'), 0);
        assert.equal(await herald.metric('herald_events_lag_seconds'), 0);
        assert.equal(linesOf(herald).length, 1, 'told once while it was so');

        await say(herald, 0, THREE_QUARTERS);
        await waitUntil('it is told again', () => linesOf(herald).length === 2);
        await consumer.forget();
        await waitUntil('who is gone is not shown', async () => !/^herald_events_lag\{/m.test((await herald.request('GET', '/metrics')).text));
    }, { stores: ['memory', 'redis'] });

    test('a webhook endpoint that is behind is shown as such, and each of its requests is timed', async (t) => {
        let status = 503;
        const receiver = await startReceiver(t, { answer: () => status });
        const herald = await t.herald({ store: 'memory', args: [...ARGS, '--webhooks', FILE], files: { [FILE]: receiver.line('batch=2') } });
        await say(herald, 0, 3);
        await waitMetric(herald, 'herald_events_lag{consumer="hook",kind="webhook"}', 3);
        await waitUntil('its oldest event is a second old', async () => await herald.metric('herald_events_lag_seconds{consumer="hook",kind="webhook"}') >= 1);
        status = 200;
        await receiver.waitCount('client.message', 3);
        await waitMetric(herald, 'herald_events_lag', 0);
        await waitMetric(herald, 'herald_webhook_seconds_count', receiver.requests.length);
        assert.equal(await herald.metric('herald_webhook_requests_total'), receiver.requests.length);
        assert.equal(await herald.metric('herald_webhook_requests_total{endpoint="hook",result="failed"}'),
            receiver.requests.filter((request) => request.status === 503).length);
        assert.equal(await herald.metric('herald_webhook_events_passed_over_total'), 0);
        receiver.check();
    });

    test('messages are counted by the level of their connection, and those of an unknown type are ignored', async (t) => {
        const herald = await t.herald({ store: 'memory', args: ARGS });
        const [plain, v1] = [await herald.subscribe(SPEAKER), await herald.subscribeV1(SPEAKER)];
        plain.socket.send('1');
        v1.send({ type: 'message', id: 'a', data: 1 });
        v1.send({ type: 'message', id: 'b', data: 1 });
        v1.send({ type: 'of tomorrow' });
        await say(herald, 0, 3);
        for (const [level, count] of [['plain', 1], ['herald.v1', 2], ['http', 3]]) {
            await waitMetric(herald, `herald_client_messages_kept_total{level="${level}"}`, count);
        }
        await waitMetric(herald, 'herald_client_messages_ignored_total', 1);
    });

    test('a message that the store does not take is counted as such', async (t) => {
        const redis = await (await t.redis()).start();
        const herald = await t.herald({ store: redis.url, args: ARGS });
        const client = await herald.subscribeV1(SPEAKER);
        assert.equal((await client.say('kept', 1)).type, 'accepted');
        redis.pause();
        client.send({ type: 'message', id: 'lost', data: 1 });
        await client.roundTrip(); /* it is on its way to the store */
        await redis.child.stop('SIGKILL');
        const [{ code, id }] = await client.wait('error');
        assert.deepEqual([code, id], ['store-unavailable', 'lost']);
        assert.equal(await herald.metric('herald_client_messages_unkept_total{cause="store"}'), 1);
        assert.equal(await herald.metric('herald_events_refused_total{cause="store"}'), 1);
        assert.equal(await herald.metric('herald_client_messages_kept_total'), 1);
    });
};

module.exports.lanes = 'tests';
