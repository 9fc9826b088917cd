'use strict';
/* user.online, user.offline and GET /online on one node: who is told, when, and why, over restarts and kills. */

const assert = require('node:assert/strict');
const { Consumer, assertProblem, everyStore, range, sleep, waitUntil } = require('./harness');

const TYPES = ['--events', 'user.online', '--events', 'user.offline'];
const GRACE_MS = 1000;
const argsWith = (offlineAfterMs, ...more) => [...TYPES, '--offline-after', `${offlineAfterMs}ms`, ...more];

/* A shared store withholds judgement for 15 s after a link came up. */
const PATIENT_MS = 60000;

/* The partition of a user, as proto and store have it: FNV-1a, folded. */
function partitionOf(userId) {
    let hash = 0x811c9dc5;
    for (const byte of Buffer.from(userId)) {
        hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
    }
    return ((hash >>> 16) ^ (hash & 0xffff)) % 16;
}

/* The kinds of change of a user, in order: "+" came, "-" went. */
const changesOf = (record, userId) => record.ofUser(userId)
    .map(({ type }) => (type === 'user.online' ? '+' : '-')).join('');

async function startListening(t, options) {
    const herald = await t.herald(options);
    const consumer = new Consumer(herald, 'backend');
    await consumer.peek();
    return { herald, consumer };
}

/* What several tests on one store share: there somebody judges already, which takes a shared store 15 s. */
async function listenTogether(t, store, name) {
    const herald = await t.sharedHerald(`presence ${store}`, { store, args: argsWith(GRACE_MS, '--node-name', 'n-1') });
    const consumer = new Consumer(herald, name, { from: 'now' });
    await consumer.peek();
    return { herald, consumer };
}

const waitChanges = (consumer, userId, changes) => consumer.readUntil(`${userId} is told ${changes}`,
    (record) => changesOf(record, userId) === changes, PATIENT_MS);

async function assertOnline(herald, userIds) {
    await waitUntil(`online are ${userIds}`, async () => {
        const { status, json } = await herald.request('GET', '/online');
        return status === 200 && JSON.stringify([...json.users].sort()) === JSON.stringify([...userIds].sort());
    }, PATIENT_MS);
}

module.exports = (test) => {
    everyStore(test, 'a user who comes is told of, and again who has gone for --offline-after', async (t, store) => {
        const { herald, consumer } = await listenTogether(t, store, 'comes');
        const client = await herald.subscribeV1('ada', { query: '&device=phone' });
        const second = await herald.subscribe('ada');
        await waitChanges(consumer, 'ada', '+');
        const [online] = consumer.record.ofUser('ada');
        const { connections } = await herald.user('ada');
        const first = connections.find(({ level }) => level === 'herald.v1');
        assert.deepEqual({ ...online, id: undefined, time: undefined }, {
            id: undefined, type: 'user.online', time: undefined, userId: 'ada', node: 'n-1',
            connection: first.connection, level: 'herald.v1', device: 'phone',
        });
        await assertOnline(herald, ['ada']);
        await client.close();
        await sleep(2 * GRACE_MS);
        await consumer.next();
        assert.equal(changesOf(consumer.record, 'ada'), '+', 'one session is left');
        const left = Date.now();
        await second.close();
        await waitChanges(consumer, 'ada', '+-');
        const offline = consumer.record.ofUser('ada')[1];
        assert.equal(offline.cause, 'closed');
        assert.ok(Math.abs(offline.lastSeen - left) < 5000, `lastSeen ${offline.lastSeen}, left at ${left}`);
        assert.ok(offline.time - offline.lastSeen >= GRACE_MS - 100, `${offline.time - offline.lastSeen} ms later`);
        await assertOnline(herald, []);
        consumer.record.check();
    }, { timeoutMs: 120000 });

    everyStore(test, 'a user who is back within --offline-after is not told of', async (t, store) => {
        const { herald, consumer } = await startListening(t, { store, args: argsWith(3000 * t.scale) });
        const count = () => herald.metric('herald_presence_changes_total{result="written"}');
        const written = async (changes, change) => {
            const before = await count();
            const changed = await change();
            await waitUntil(`${changes} changes are written`, async () => await count() >= before + changes);
            return changed;
        };
        const come = (...userIds) => Promise.all(userIds.map((userId) => herald.subscribe(userId)));
        const [client, ...others] = await written(4, () => come('ada', 'first', 'second', 'third'));
        others[0].terminate();
        await waitChanges(consumer, 'first', '+-'); /* from here on somebody judges */
        await written(2, () => [client, others[1]].forEach((each) => each.terminate()));
        await written(1, () => come('ada'));
        others[2].terminate();
        await waitChanges(consumer, 'second', '+-');
        await waitChanges(consumer, 'third', '+-'); /* whose time began when she was back */
        assert.equal(changesOf(consumer.record, 'ada'), '+');
        await assertOnline(herald, ['ada']);
    }, { tries: 3, timeoutMs: 120000 });

    /* Each cause by what really brings it about. */
    test('user.offline says why the last session ended', { timeoutMs: 120000 }, async (t) => {
        const { herald, consumer } = await startListening(t, {
            store: 'memory', args: argsWith(GRACE_MS, '--ping-interval', '200ms', '--silence-timeout', `${600 * t.scale}ms`,
                '--max-connections-per-user', '1'),
        });
        const closed = await herald.subscribe('closed');
        await closed.close();
        (await herald.subscribe('dropped')).terminate();
        await herald.subscribe('silent', { autoPong: false });
        await herald.subscribe('kicked');
        await herald.post('/deleteClient', { userId: 'kicked' });
        const broken = await herald.subscribe('broken');
        broken.socket.send(Buffer.from([1, 2, 3])); /* binary */
        const expected = { closed: 'closed', dropped: 'closed', silent: 'silent', kicked: 'kicked', broken: 'error' };
        for (const [userId, cause] of Object.entries(expected)) {
            await waitChanges(consumer, userId, '+-');
            assert.equal(consumer.record.ofUser(userId)[1].cause, cause, userId);
        }
    });

    test('an address is told of with --events-address alone', async (t) => {
        const { herald, consumer } = await startListening(t, { store: 'memory', args: argsWith(GRACE_MS, '--events-address') });
        await herald.events('ada');
        await waitChanges(consumer, 'ada', '+');
        const [online] = consumer.record.ofUser('ada');
        assert.deepEqual([online.level, online.device, online.address], ['sse', null, '127.0.0.1']);
    });

    /* The first process has given its users a due time, which the second one ends. */
    for (const how of ['stop', 'kill']) {
        test(`after a ${how === 'stop' ? 'restart' : 'kill -9'}, users who are not back in time are offline`, { timeoutMs: 120000 }, async (t) => {
            const { herald, consumer } = await startListening(t, { store: 'file', args: argsWith(4000 * t.scale) });
            const clients = await Promise.all(['back', 'gone'].map((userId) => herald.subscribe(userId)));
            await waitChanges(consumer, 'back', '+');
            await waitChanges(consumer, 'gone', '+');
            await herald[how]();
            clients.forEach((client) => client.terminate());
            await herald.restart();
            await herald.subscribe('back');
            await waitChanges(consumer, 'gone', '+-');
            assert.equal(consumer.record.ofUser('gone')[1].cause, how === 'stop' ? 'drained' : 'node-lost');
            await consumer.next({ wait: 2 });
            assert.equal(changesOf(consumer.record, 'back'), '+');
            await assertOnline(herald, ['back']);
            consumer.record.check();
        });
    }

    /* More than one request to the store takes: 512 changes. */
    everyStore(test, 'of 600 users of one partition who come and go at once, each is told of', async (t, store) => {
        const { herald, consumer } = await listenTogether(t, store, 'crowd');
        const userIds = range(60000).map((n) => `u${n}`).filter((userId) => partitionOf(userId) === 5).slice(0, 600);
        const clients = await Promise.all(userIds.map((userId) => herald.subscribe(userId)));
        await assertOnline(herald, userIds);
        clients.forEach((client) => client.terminate());
        const isTold = (record) => userIds.every((userId) => changesOf(record, userId) === '+-');
        await consumer.readUntil('all are offline', (record) => record.events.length === 2 * userIds.length, PATIENT_MS);
        assert.ok(isTold(consumer.record));
        assert.ok(consumer.record.events.every(({ id }) => id.startsWith('5.')));
        consumer.record.check();
    }, { timeoutMs: 120000 });

    everyStore(test, 'GET /online lists all who are online, in pages', async (t, store) => {
        const herald = await t.herald({ store, args: argsWith(GRACE_MS) });
        const userIds = range(60).map((n) => `u${n}`);
        await Promise.all(userIds.map((userId) => herald.subscribe(userId)));
        await assertOnline(herald, userIds);
        for (const limit of [1, 7, 59, 60]) {
            const seen = [];
            for (let after = ''; after !== null;) {
                const { status, json } = await herald.request('GET', `/online?limit=${limit}${after && `&after=${after}`}`);
                assert.equal(status, 200);
                assert.ok(json.users.length <= limit);
                seen.push(...json.users);
                after = json.next;
            }
            assert.deepEqual([...seen].sort(), [...userIds].sort(), `pages of ${limit}`);
        }
    }, { timeoutMs: 120000 });

    test('GET /online is refused where nobody keeps who is online, and for a page that there cannot be', async (t) => {
        const herald = await t.herald({ store: 'memory' });
        assertProblem(await herald.request('GET', '/online'), 409, { type: 'conflict' });
        const other = await t.herald({ store: 'memory', args: ['--events', 'client.message'] });
        assertProblem(await other.request('GET', '/online'), 409, { type: 'conflict' });
        for (const query of ['limit=0', 'limit=1001', 'limit=x']) {
            assertProblem(await other.request('GET', `/online?${query}`), 400, { type: 'invalid-field', field: 'limit' });
        }
    });
};

module.exports.lanes = 'stores';
