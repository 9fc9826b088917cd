'use strict';
/* CONTRACT 3: a broadcast reaches everyone online now, on every node, and is never stored. */

const assert = require('node:assert/strict');
const { assertProblem, everyStore, parallel, pushNumbers, range, waitUntil } = require('./harness');

module.exports = (test) => {
    everyStore(test, 'everyone online gets a broadcast once, and nobody later', async (t, store) => {
        const herald = await t.herald({ store });
        await herald.mustPush('absent', 'kept');
        const plain = await herald.subscribe('plain');
        const twice = [await herald.subscribe('twice'), await herald.subscribeV1('twice')];
        const stream = await herald.events('sse');
        await twice[1].wait('hello');
        const answer = await herald.post('/broadcast', '{"data":{"n":9007199254740993}}');
        assert.deepEqual([answer.status, answer.json], [200, { online: 4, nodes: 1 }], answer.text);
        await Promise.all([plain.waitCount(1), twice[0].waitCount(1), twice[1].wait('notification'),
            stream.waitCount(1)]);
        const after = await herald.post('/push', { userIds: ['plain', 'twice', 'sse'], data: 'after' });
        assert.deepEqual(after.json.results.map(({ seq }) => seq), [1, 1, 1]);
        await Promise.all([plain.waitCount(2), twice[0].waitCount(2), twice[1].wait('notification', 2),
            stream.waitCount(2)]);
        const exact = '{"n":9007199254740993}';
        assert.deepEqual(plain.messages, [exact, '"after"']);
        assert.deepEqual(twice[0].messages, [exact, '"after"']);
        assert.deepEqual(twice[1].notifications.map(({ seq }) => seq), [undefined, 1]);
        assert.ok(!('id' in twice[1].notifications[0]) && !('expires' in twice[1].notifications[0]));
        assert.deepEqual(stream.messages().map(({ data }) => data), [exact, '"after"']);
        assert.deepEqual(stream.messages().map(({ id }) => id === undefined), [true, false]);

        const absent = await herald.subscribe('absent');
        await absent.waitCount(1);
        await herald.mustPush('absent', 'live');
        await absent.waitCount(2);
        assert.deepEqual(absent.values(), ['kept', 'live']);
        assert.equal((await herald.user('plain')).head, 1);
    });

    test('a broadcast reaches everyone online on every node, once', async (t) => {
        const redis = await (await t.redis()).start();
        const nodes = await Promise.all(range(3).map(() => t.herald({ store: redis.url })));
        const clients = [];
        await parallel(30, 10, async (n) => { clients[n] = await nodes[n % 3].subscribe(`u${n % 20}`); });
        const answers = [];
        for (const n of range(12)) {
            answers.push((await nodes[n % 3].post('/broadcast', { data: n })).json);
        }
        assert.deepEqual(answers, answers.map(() => ({ online: 30, nodes: 3 })));
        const after = await nodes[0].post('/push', { userIds: range(20).map((n) => `u${n}`), data: 'after' });
        assert.deepEqual(after.json.results.map(({ seq }) => seq), range(20).map(() => 1));
        await Promise.all(clients.map((client) => client.waitCount(13)));
        for (const client of clients) {
            const values = client.values();
            assert.deepEqual(values.filter(Number.isInteger).sort((a, b) => a - b), range(12));
            assert.equal(values.length, 13);
            for (const asker of range(3)) {
                const ofOne = values.filter((value) => value % 3 === asker);
                assert.deepEqual(ofOne, [...ofOne].sort((a, b) => a - b), 'of one node in its order');
            }
        }

        await nodes[2].kill();
        await waitUntil('the two others know it', async () => {
            const { json } = await nodes[0].post('/broadcast', { data: 'two' });
            return json.nodes === 2 && json.online === 20;
        });
    });

    test('with Redis away a broadcast is for the node that was asked', async (t) => {
        const redis = await (await t.redis()).start();
        const [asked, other] = await Promise.all(range(2).map(() => t.herald({ store: redis.url })));
        const [near, far] = [await asked.subscribe('u'), await other.subscribe('u')];
        await redis.kill();
        const away = await asked.post('/broadcast', { data: 'away' });
        assert.deepEqual([away.status, away.json], [200, { online: 1, nodes: 1 }]);
        await near.waitCount(1);
        await redis.start();
        await waitUntil('both are heard again', async () => {
            const { json } = await asked.post('/broadcast', { data: 'back' });
            return json.nodes === 2 && json.online === 2;
        });
        await waitUntil('it reaches the other', () => far.values().includes('back'));
        assert.ok(!far.values().includes('away'));
    });

    test('a broadcast to nobody is answered', async (t) => {
        const herald = await t.herald({ store: 'memory' });
        const { status, json } = await herald.post('/broadcast', { data: 1 });
        assert.deepEqual([status, json.online], [200, 0]);
    });

    test('pushes to one user go on, in order, while broadcasts go to many', async (t) => {
        const herald = await t.herald({ store: 'file' });
        const clients = [];
        await parallel(200, 50, async (n) => { clients[n] = await herald.subscribe(`u${n}`); });
        const filler = 'b'.repeat(10000);
        const broadcasts = (async () => {
            for (const n of range(20)) {
                const { status, json } = await herald.post('/broadcast', { data: ['all', n, filler] });
                assert.deepEqual([status, json.online], [200, 200]);
            }
        })();
        await Promise.all([broadcasts, pushNumbers(herald, 'u7', 0, 100)]);
        await Promise.all(clients.map((client, n) => client.waitCount(n === 7 ? 120 : 20)));
        for (const [n, client] of clients.entries()) {
            const values = client.values();
            assert.deepEqual(values.filter(Array.isArray).map(([, b]) => b), range(20), `u${n}`);
            assert.deepEqual(values.filter(Number.isInteger), n === 7 ? range(100) : [], `u${n}`);
        }
    });

    test('a bad broadcast is a problem, and sends nothing', async (t) => {
        const herald = await t.herald({ store: 'memory' });
        const client = await herald.subscribeV1('u');
        const cases = [
            ['{}', 400, { type: 'invalid-field', field: 'data' }],
            ['{"data":1,"userId":"u"}', 400, { type: 'unknown-field', field: 'userId' }],
            ['{"data":1,"data":2}', 400, { type: 'bad-json' }],
            ['{"data":', 400, { type: 'bad-json' }],
            [JSON.stringify({ data: 'x'.repeat(70000) }), 413, { type: 'too-large', field: 'data' }],
        ];
        for (const [body, status, members] of cases) {
            assertProblem(await herald.post('/broadcast', body), status, members);
        }
        await client.roundTrip();
        assert.deepEqual(client.notifications, []);
    });
};
