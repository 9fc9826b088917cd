'use strict';
/* Backends that read events while one process takes the place of another: a reader that waits is answered, not cut, and
 * nobody misses a message that a client was told to be accepted. */

const assert = require('node:assert/strict');
const path = require('node:path');
const { Consumer, Skip, Talker, isSanitized, range, sleep, startReceiver, waitUntil } = require('../e2e/harness');

const UPGRADES = 3;
const TALKERS = 8;
const WAIT_S = 30; /* longer than any upgrade may take: who is answered with it was not answered before */
const FILE = 'hooks.conf';
const ARGS = ['--events', 'client.message', '--client-messages', 'v1', '--client-messages-per-second', '100000'];
const ADOPTED = 67; /* what the fault library calls messages and signals by */
const SIGKILL = 9;

const withHooks = (receivers, extra = {}) => ({
    args: [...ARGS, '--webhooks', FILE], files: { [FILE]: receivers.map((receiver) => receiver.line()).join('') }, ...extra,
});

/* Asks on at once, and insists on each answer. */
function startReading(consumer) {
    const reading = { answers: 0, isOver: false };
    reading.done = (async () => {
        while (!reading.isOver) {
            await consumer.next({ wait: 1 });
            reading.answers += 1;
        }
    })();
    reading.done.catch((error) => { reading.error ??= error; });
    return reading;
}

/* Each says one message after the other, and is told of each; `said` are the ids that were accepted. */
function startTalking(herald) {
    const talking = { said: [], isOver: false };
    talking.talkers = range(TALKERS).map((n) => new Talker(() => herald.subscribeV1(`talker-${n}`)));
    talking.done = Promise.all(talking.talkers.map(async (talker, n) => {
        for (let i = 0; !talking.isOver; i++) {
            const id = `t${n}-${i}`;
            const { type } = await talker.say(id, i);
            assert.equal(type, 'accepted');
            talking.said.push(id);
        }
    }));
    talking.done.catch((error) => { talking.error ??= error; });
    talking.stop = async () => {
        talking.isOver = true;
        await talking.done;
        await Promise.all(talking.talkers.map((talker) => talker.stop()));
        return talking.said;
    };
    return talking;
}

const idsIn = (record) => record.ofType('client.message').map(({ clientId }) => clientId);

const hasAll = (record, said) => {
    const ids = new Set(idsIn(record));
    return said.every((id) => ids.has(id));
};

const waitWaiting = (herald, count) => waitUntil(`${count} wait`, async () => await herald.metric('herald_event_waits') === count);

async function say(herald, userId, id) {
    const answer = await herald.post(`/message?userId=${userId}&id=${id}`, '1', {}, { port: herald.port });
    assert.equal(answer.status, 202, answer.text);
}

module.exports = (test) => {
    for (const store of ['file', 'redis']) {
        test(`readers and an endpoint get each message over ${UPGRADES} upgrades in a row (${store})`, async (t) => {
            const receiver = await startReceiver(t);
            const herald = await t.herald(withHooks([receiver], { store }));
            const consumers = ['one', 'two'].map((name) => new Consumer(herald, name));
            await Promise.all(consumers.map((consumer) => consumer.peek()));
            const readings = consumers.map(startReading);
            const talking = startTalking(herald);
            const failed = () => [talking, ...readings].find(({ error }) => error !== undefined)?.error;
            for (let n = 0; n < UPGRADES; n++) {
                await herald.upgrade();
                const answers = readings.map((reading) => reading.answers);
                const before = [receiver.events.length, talking.said.length];
                await waitUntil('all go on', () => failed() !== undefined || (readings.every((reading, i) => reading.answers > answers[i] + 2)
                    && receiver.events.length > before[0] + 50 && talking.said.length > before[1] + 50));
                assert.equal(failed(), undefined);
            }
            const said = await talking.stop();
            await waitUntil('the readers have all', () => failed() !== undefined || consumers.every(({ record }) => hasAll(record, said)));
            readings.forEach((reading) => { reading.isOver = true; });
            await Promise.all(readings.map(({ done }) => done));
            await receiver.waitFor('the endpoint has all', ({ record }) => hasAll(record, said));
            for (const { record } of [...consumers, receiver]) {
                record.check();
                assert.deepEqual(record.gaps(), []);
                assert.equal(new Set(idsIn(record)).size, idsIn(record).length, 'each is kept once');
            }
            receiver.check();
            assert.equal(talking.talkers.reduce((sum, { connections }) => sum + connections, 0), TALKERS, 'nobody was closed');
            t.note(`${said.length} messages, ${readings.map(({ answers }) => answers).join(' and ')} answers, `
                + `${consumers.map(({ record }) => record.repeats).join(' and ')} repeats, ${receiver.record.repeats} at the endpoint`);
        });

        test(`a reader that waits is answered with nothing, and finds at the other process what comes then (${store})`, async (t) => {
            const herald = await t.herald({ store, args: ARGS });
            const consumers = ['one', 'two', 'three'].map((name) => new Consumer(herald, name));
            await Promise.all(consumers.map((consumer) => consumer.peek()));
            const waiting = consumers.map((consumer) => consumer.next({ wait: WAIT_S }));
            await waitWaiting(herald, consumers.length);
            const began = Date.now();
            const upgraded = herald.upgrade();
            assert.deepEqual(await Promise.all(waiting), consumers.map(() => []));
            const again = consumers.map((consumer) => consumer.next({ wait: WAIT_S }));
            await upgraded;
            assert.ok(Date.now() - began < WAIT_S * 1000, 'nobody was waited for');
            await Promise.all(again.map((each) => Promise.race([each, sleep(0)]))); /* an empty answer is as good as one that waits */
            await say(herald, 'ada', 'm1');
            for (const [n, consumer] of consumers.entries()) {
                await again[n];
                await consumer.readCount('client.message', 1);
                consumer.record.check();
                assert.deepEqual(await consumer.next(), []);
                assert.equal((await consumer.listed()).lag, 0);
            }
        });

        test(`what was read and not acknowledged is read again after it, and a cursor of before counts (${store})`, async (t) => {
            const herald = await t.herald({ store, args: ARGS });
            const consumer = new Consumer(herald, 'one');
            await consumer.peek();
            for (const id of range(6).map((n) => `m${n}`)) {
                await say(herald, `u${id}`, id);
            }
            await waitUntil('all are there', async () => (await consumer.peek()).length === 6);
            const first = await consumer.peek({ limit: 3 });
            const { cursor } = consumer;
            await herald.upgrade();
            assert.deepEqual(await consumer.peek({ limit: 3 }), first);
            assert.deepEqual(await consumer.ack(cursor), { consumer: 'one', lag: 3 });
            await herald.upgrade();
            const rest = await consumer.peek();
            assert.deepEqual([...first, ...rest].map(({ clientId }) => clientId).sort(), range(6).map((n) => `m${n}`));
        });

        test(`a request to an endpoint that takes its time holds nobody up, and is not lost (${store})`, async (t) => {
            let isHeld = true;
            const receiver = await startReceiver(t, { answer: async () => {
                await waitUntil('it may answer', () => !isHeld);
                return 200;
            } });
            const herald = await t.herald(withHooks([receiver], { store }));
            await say(herald, 'ada', 'm1');
            await receiver.waitRequests(1);
            await herald.upgrade();
            await say(herald, 'ada', 'm2');
            isHeld = false;
            await receiver.waitFor('both have come', ({ record }) => hasAll(record, ['m1', 'm2']));
            assert.deepEqual(idsIn(receiver.record), ['m1', 'm2'], 'in their order');
            receiver.check();
            await waitUntil('both are acknowledged', async () =>
                (await herald.request('GET', '/webhooks')).json.webhooks[0].lag === 0);
        });

        test(`an upgrade that comes to nothing answers the readers, who wait again (${store})`, async (t) => {
            if (isSanitized(t.binary)) {
                throw new Skip('a sanitizer takes no library before it, so no process can be killed at a message');
            }
            const receiver = await startReceiver(t);
            const herald = await t.herald(withHooks([receiver], {
                store,
                env: {
                    LD_PRELOAD: path.join(path.dirname(t.binary), 'tests/libherald-upgrade-fault.so'),
                    UPGRADE_FAULT: ['new', 'before', ADOPTED, 1, SIGKILL].join(),
                },
            }));
            const consumer = new Consumer(herald, 'one');
            await consumer.peek();
            const waiting = consumer.next({ wait: WAIT_S });
            await waitWaiting(herald, 1);
            assert.deepEqual(await herald.tryUpgrade(), {}, 'it goes on');
            assert.deepEqual(await waiting, []);
            const again = consumer.next({ wait: WAIT_S });
            await waitWaiting(herald, 1);
            await say(herald, 'ada', 'm1');
            assert.deepEqual((await again).map(({ clientId }) => clientId), ['m1']);
            await receiver.waitFor('the endpoint has it', ({ record }) => hasAll(record, ['m1']));
        });
    }

    test('the file of the endpoints is read by the new process: one that came with it has all that is kept', async (t) => {
        const [stays, leaves, comes] = await Promise.all(['stays', 'leaves', 'comes'].map((name) => startReceiver(t, { name })));
        const herald = await t.herald(withHooks([stays, leaves], { store: 'redis' }));
        leaves.answer = () => 503; /* so that nothing leaves before the other one comes */
        await say(herald, 'ada', 'm1');
        await stays.waitCount('client.message', 1);
        await leaves.waitRequests(1);
        await herald.upgrade({
            ask: () => {
                herald.child.signal('SIGSTOP'); /* or it may read the file again before it is replaced */
                herald.writeFile(FILE, stays.line() + comes.line());
                herald.child.signal('SIGUSR2');
                herald.child.signal('SIGCONT');
            },
        });
        await say(herald, 'ada', 'm2');
        for (const receiver of [stays, comes]) {
            await receiver.waitFor('both', ({ record }) => hasAll(record, ['m1', 'm2']));
            receiver.check();
        }
        assert.deepEqual(idsIn(stays.record), ['m1', 'm2']);
        await waitUntil('two are shown', async () => {
            const { webhooks } = (await herald.request('GET', '/webhooks')).json;
            return webhooks.map(({ name }) => name).sort().join() === 'comes,stays' && webhooks.every(({ lag }) => lag === 0);
        });
    });
};
