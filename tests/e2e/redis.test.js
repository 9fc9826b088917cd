'use strict';
/* CONTRACT 5.9 and 5.2 with a Redis that is absent, away, paused, or has forgotten everything. */

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { assertProblem, range, waitUntil } = require('./harness');

async function withRedis(t) {
    const redis = await (await t.redis()).start();
    const herald = await t.herald({ store: redis.url });
    return { redis, herald };
}

async function pushUntilAccepted(herald, userId, data) {
    return waitUntil('a push is accepted again', async () => {
        const answer = await herald.push(userId, data);
        assert.ok([202, 503].includes(answer.status), answer.text);
        return answer.status === 202 && answer.json;
    });
}

/* Subscribes, and again after each close, and keeps all that came. */
function stubborn(herald, userId) {
    const keeper = { values: [], codes: [], isOver: false };
    keeper.done = (async () => {
        while (!keeper.isOver) {
            try {
                const client = await herald.subscribe(userId);
                client.socket.on('message', (bytes) => keeper.values.push(JSON.parse(bytes.toString())));
                client.values().forEach((value) => keeper.values.push(value));
                keeper.client = client;
                keeper.codes.push((await client.closed).code);
            } catch {
                await new Promise((resolve) => setTimeout(resolve, 20));
            }
        }
    })();
    keeper.stop = async () => {
        keeper.isOver = true;
        keeper.client?.terminate();
        await keeper.done;
    };
    return keeper;
}

/* What /readyz, /stats, the metrics and the log say about a store that refuses writes. */
async function waitRefused(herald, status, why) {
    await waitUntil('it says that it cannot store', async () => {
        const answer = await herald.request('GET', '/readyz');
        return answer.status === status && why.test(answer.json.detail);
    });
    const { store } = (await herald.request('GET', '/stats')).json;
    assert.equal(store.up, false);
    assert.match(store.problem, why);
    await herald.waitLog(why);
    assert.match((await herald.request('GET', '/metrics')).text, /^herald_store_up 0$/m);
}

module.exports = (test) => {
    test('a Redis that takes no writes: degraded without a push, unready where it never could, and healthy by itself', async (t) => {
        const { redis, herald } = await withRedis(t);
        await herald.mustPush('u', 'kept');
        await redis.command('CONFIG SET min-replicas-to-write 1');
        await waitRefused(herald, 200, /NOREPLICAS Not enough good replicas to write/);
        assert.deepEqual((await herald.request('GET', '/readyz')).json.degraded, ['store']);
        const refused = await herald.push('u', 'refused');
        assertProblem(refused, 503, { type: 'store-unavailable' });
        assert.match(refused.json.detail, /NOREPLICAS/);
        const late = await t.prepare({ store: redis.url });
        late.launch();
        await late.waitStatus('/livez', 200);
        await waitRefused(late, 503, /NOREPLICAS/);
        for (const node of [herald, late]) {
            const client = await node.subscribe('u');
            await client.waitCount(1);
            assert.deepEqual(client.values(), ['kept']);
        }
        await redis.command('CONFIG SET min-replicas-to-write 0');
        for (const node of [herald, late]) {
            await waitUntil('it is ready', async () => (await node.request('GET', '/readyz')).json.status === 'ready');
            assert.equal((await node.request('GET', '/stats')).json.store.problem, null);
        }
        await late.mustPush('u', 'and on');
    });

    test('what Redis keeps and may not publish is accepted once, and sessions read it when it may', async (t) => {
        const redis = await (await t.redis()).start();
        assert.equal(await redis.command('ACL SETUSER herald on >swordfish ~herald:* &herald:* +@all'), '+OK');
        const herald = await t.herald({ store: `redis://herald:swordfish@127.0.0.1:${redis.port}` });
        const userIds = range(6).map((n) => `u${n}`); /* on both workers */
        const clients = await Promise.all(userIds.map((userId) => herald.subscribe(userId)));
        await redis.command('ACL SETUSER herald -spublish');
        for (const userId of userIds) {
            for (const n of range(3)) {
                assert.equal((await herald.mustPush(userId, n)).seq, n + 1);
            }
        }
        await waitRefused(herald, 200, /the Redis user lacks \+spublish/);
        assert.deepEqual(clients.flatMap((client) => client.values()), []);
        await redis.command('ACL SETUSER herald +spublish');
        for (const [n, client] of clients.entries()) {
            await client.waitCount(3);
            assert.deepEqual(client.values(), [0, 1, 2]);
            await herald.waitPending(userIds[n], 0);
        }
        await waitUntil('it is ready', async () => (await herald.request('GET', '/readyz')).json.status === 'ready');
    });

    test('the ACL of deploy/README is enough for all that Herald does', async (t) => {
        const redis = await (await t.redis()).start();
        const page = fs.readFileSync(path.join(__dirname, '../../deploy/README.md'), 'utf8');
        const rules = /^ACL SETUSER herald .*$/m.exec(page)[0].replace('>SECRET', '>swordfish');
        assert.equal(await redis.command(rules), '+OK');
        assert.equal(await redis.command('ACL SETUSER default off'), '+OK');
        const store = `redis://herald:swordfish@127.0.0.1:${redis.port}/1`;
        const herald = await t.herald({ store });
        const client = await herald.subscribe('u');
        for (const duplicate of [undefined, true]) {
            const answer = await herald.mustPush('u', 'x'.repeat(20000), { collapseKey: 'score', idempotencyKey: 'order-17' });
            assert.deepEqual([answer.seq, answer.duplicate], [1, duplicate]);
        }
        await client.waitCount(1);
        assert.equal((await herald.push('u', 'waited for', { wait: 5 })).json.status, 'delivered');
        await herald.subscribeV1('away', { query: '&device=phone' }).then((phone) => phone.terminate());
        const { id } = await herald.mustPush('away', 1);
        for (const n of range(3)) {
            await herald.mustPush('away', n, { ttl: n === 1 ? 1 : 100 });
        }
        assert.equal((await herald.request('DELETE', `/users/away/messages/${id}`)).status, 200);
        assert.equal((await herald.request('GET', '/users/away/inbox')).status, 200);
        assert.equal((await herald.request('DELETE', '/users/away/inbox')).status, 200);
        assert.deepEqual((await herald.post('/broadcast', { data: 1 })).json.nodes, 1);
        for (const blockFor of [60, 1]) {
            assert.equal((await herald.post('/deleteClient', { userId: 'u', purge: true, blockFor })).status, 200);
        }
        const other = await t.herald({ store, args: ['--auth', 'ticket'] });
        const { ticket } = (await other.post('/tickets', { userId: 'u2' })).json;
        await other.subscribe(null, { query: `&ticket=${ticket}` });
        for (const node of [herald, other]) {
            assert.deepEqual((await node.request('GET', '/readyz')).json, { status: 'ready' });
            assert.doesNotMatch(node.log, /NOPERM|lacks|refused a command|can't run/);
        }
    });

    test('fleets in different databases of one Redis hear nothing of each other', async (t) => {
        const redis = await (await t.redis()).start();
        const nodes = await Promise.all(['', '/1', '/2', '/1'].map((db) => t.herald({ store: redis.url + db })));
        const clients = await Promise.all(nodes.map((node) => node.subscribe('alice')));
        for (const text of ['first', 'last']) {
            for (const [n, node] of nodes.slice(0, 3).entries()) {
                const { seq, nodes: heard } = await node.mustPush('alice', `${text} in ${n}`);
                assert.deepEqual([seq, heard], [text === 'first' ? 1 : 2, n === 1 ? 2 : 1]);
            }
        }
        for (const [n, node] of nodes.slice(0, 3).entries()) {
            const { status, json } = await node.post('/broadcast', { data: `to all in ${n}` });
            assert.deepEqual([status, json], [200, { online: n === 1 ? 2 : 1, nodes: n === 1 ? 2 : 1 }]);
        }
        for (const [n, client] of clients.entries()) {
            const db = n % 2 === 1 ? 1 : n;
            await client.waitCount(3);
            assert.deepEqual(client.values(), [`first in ${db}`, `last in ${db}`, `to all in ${db}`]);
        }
        const channels = await redis.command('PUBSUB SHARDCHANNELS herald*{alice}');
        assert.equal(channels, '*3');
    });

    test('a Redis that is absent at start: it starts, is not ready, keeps trying, and becomes ready', async (t) => {
        const redis = await t.redis();
        const herald = await t.prepare({ store: redis.url });
        herald.launch();
        await herald.waitStatus('/livez', 200);
        assert.equal((await herald.request('GET', '/readyz')).status, 503);
        await waitUntil('it says so', () => /redis/i.test(herald.log));
        const answer = await herald.push('u', 1);
        assertProblem(answer, 503, { type: 'store-unavailable' });
        assert.match(answer.headers['retry-after'], /^\d+$/);
        const early = await herald.subscribe('early');
        assert.equal((await herald.mustPush('early', 'no store needed', { ttl: 0 })).online, 1);
        await early.waitCount(1);
        await redis.start();
        await herald.waitReady(20000);
        await herald.mustPush('early', 'stored');
        await early.waitCount(2);
        assert.deepEqual(early.values(), ['no store needed', 'stored']);
    });

    test('it says at most a few lines about a Redis that stays away', async (t) => {
        const redis = await t.redis();
        const herald = await t.prepare({ store: redis.url });
        herald.launch();
        await herald.waitStatus('/livez', 200);
        await waitUntil('it says so', () => /redis/i.test(herald.log));
        await new Promise((resolve) => setTimeout(resolve, 1500));
        const lines = herald.log.split('\n').filter((line) => /redis/i.test(line) && /warn|error/i.test(line));
        assert.ok(lines.length <= 3, lines.join('\n'));
    });

    test('Redis killed and started again on its log: sessions stay, everything accepted is delivered', async (t) => {
        const { redis, herald } = await withRedis(t);
        const online = await herald.subscribe('online');
        for (const n of range(20)) {
            await herald.mustPush('absent', n);
        }
        await herald.mustPush('online', 'before');
        await online.waitCount(1);
        await redis.kill();
        await waitUntil('it is degraded, not unready', async () => {
            const { status, json } = await herald.request('GET', '/readyz');
            return status === 200 && json?.degraded?.includes('store');
        });
        assertProblem(await herald.push('absent', 'refused'), 503, { type: 'store-unavailable' });
        assert.equal((await herald.mustPush('online', 'ttl 0 goes on', { ttl: 0 })).online, 1);
        await online.waitCount(2);
        const waiting = await herald.subscribe('absent');
        await redis.start();
        await pushUntilAccepted(herald, 'absent', 20);
        await waiting.waitCount(21);
        assert.deepEqual(waiting.values().filter((n) => n !== 'refused'), range(21));
        await herald.mustPush('online', 'after');
        await waitUntil('live again', () => online.values().includes('after'));
        assert.equal(online.socket.readyState, 1, 'the session stayed');
    });

    /* CONTRACT 5.2: a store that has lost what it had begins a new epoch. */
    test('Redis comes back empty: a new epoch, and what is pushed then is delivered', async (t) => {
        const { redis, herald } = await withRedis(t);
        const keeper = stubborn(herald, 'u');
        t.cleanup(() => keeper.stop());
        await waitUntil('online', async () => (await herald.user('u')).online);
        for (const n of range(5)) {
            await herald.mustPush('u', n);
        }
        await waitUntil('five', () => keeper.values.length === 5);
        const before = await herald.user('u');
        await redis.restartEmpty();
        const pushed = await pushUntilAccepted(herald, 'u', 'new world');
        assert.equal(pushed.seq, 1);
        assert.notEqual(pushed.id.split('-')[0], before.epoch);
        await waitUntil('it arrives', () => keeper.values.includes('new world'));
        await herald.mustPush('u', 'and on');
        await waitUntil('so does the next', () => keeper.values.includes('and on'));
        assert.notEqual((await herald.user('u')).epoch, before.epoch);
        keeper.codes.forEach((code) => assert.ok([4004, 1012].includes(code), `closed with ${code}`));
    });

    test('Redis comes back empty for a user who is away', async (t) => {
        const { redis, herald } = await withRedis(t);
        await herald.mustPush('away', 'lost');
        await redis.restartEmpty();
        await pushUntilAccepted(herald, 'away', 'kept');
        const client = await herald.subscribe('away');
        await client.waitCount(1);
        assert.deepEqual(client.values(), ['kept']);
    });

    test('a paused Redis: a push is answered 503 within its deadline, sessions stay, and all goes on', async (t) => {
        const { redis, herald } = await withRedis(t);
        const client = await herald.subscribe('u');
        await herald.mustPush('u', 'before');
        await client.waitCount(1);
        redis.pause();
        const begin = Date.now();
        const answer = await herald.push('u', 'maybe');
        assertProblem(answer, 503, { type: 'store-unavailable' });
        assert.ok(Date.now() - begin < 15000, `answered after ${Date.now() - begin} ms`);
        assert.equal((await herald.mustPush('u', 'now', { ttl: 0 })).online, 1);
        await waitUntil('ttl 0 arrives', () => client.values().includes('now'));
        redis.resume();
        await pushUntilAccepted(herald, 'u', 'after');
        await waitUntil('live again', () => client.values().includes('after'));
        assert.equal(client.socket.readyState, 1);
    });

    test('the keys are those of the contract', async (t) => {
        const { redis, herald } = await withRedis(t);
        await herald.mustPush('a{b}%', 1);
        await herald.mustPush('plain', 1);
        assert.equal(await redis.command('EXISTS herald:{plain}:inbox herald:{plain}:meta'), ':2');
        assert.equal(await redis.command('EXISTS herald:{a%7Bb%7D%25}:inbox herald:{a%7Bb%7D%25}:meta'), ':2');
        assert.equal(await redis.command('TYPE herald:{plain}:inbox'), '+hash');
        const ttl = Number((await redis.command('PTTL herald:{plain}:inbox')).slice(1));
        assert.ok(ttl > 0, `the inbox key expires by itself (${ttl})`);
    });

    test('--redis-prefix changes the first part, and a database is chosen by the URL', async (t) => {
        const redis = await (await t.redis()).start();
        const herald = await t.herald({ store: `${redis.url}/3`, args: ['--redis-prefix', 'pigeon'] });
        await herald.mustPush('u', 1);
        assert.equal(await redis.command('EXISTS pigeon:{u}:meta'), ':0');
        const client = await herald.subscribe('u');
        await client.waitCount(1);
        const raw = await t.raw(redis.port);
        raw.send('SELECT 3\r\nEXISTS pigeon:{u}:meta\r\n');
        await waitUntil('both answers', () => raw.bytes.toString().split('\r\n').length >= 3);
        assert.equal(raw.bytes.toString(), '+OK\r\n:1\r\n');
    });

    /* Many nodes are a later promise, but the push already numbers, stores and publishes for them. */
    test('a push through a second Herald on the same Redis is stored and numbered on', async (t) => {
        const { redis, herald } = await withRedis(t);
        const second = await t.herald({ store: redis.url });
        await herald.mustPush('u', 0);
        assert.equal((await second.mustPush('u', 1)).seq, 2);
        const client = await second.subscribe('u');
        await client.waitCount(2);
        assert.deepEqual(client.values(), [0, 1]);
        await herald.mustPush('u', 2);
        await client.waitCount(3);
    });

    /* CONTRACT 5.2: it lost its last second (appendfsync everysec), and gives the same numbers again. */
    test('a Redis that comes back a little older begins a new epoch, and nothing accepted is lost', async (t) => {
        const { redis, herald } = await withRedis(t);
        const early = await herald.subscribe('u');
        for (const n of [1, 2]) {
            await herald.mustPush('u', n);
        }
        await herald.waitPending('u', 0);
        await early.close();
        await waitUntil('the position is written', async () => await redis.command('EXISTS herald:{u}:inbox') === ':0');
        assert.equal(await redis.command('COPY herald:{u}:meta older'), ':1');

        const client = await herald.subscribe('u');
        for (const n of [3, 4, 5]) {
            await herald.mustPush('u', n);
        }
        await client.waitCount(3);
        await herald.waitPending('u', 0);
        await redis.command('DEL herald:{u}:inbox');
        assert.equal(await redis.command('COPY older herald:{u}:meta REPLACE'), ':1');
        for (const n of [6, 7, 8, 9]) {
            await herald.mustPush('u', n);
        }
        assert.equal((await client.waitClosed()).code, 4004);
        const again = await herald.subscribe('u');
        await again.waitCount(4);
        assert.deepEqual(again.values(), [6, 7, 8, 9]);
    });
};
