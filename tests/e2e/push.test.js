'use strict';
/* CONTRACT 3: what a push answers, and that its data arrives byte for byte. */

const assert = require('node:assert/strict');
const { range } = require('./harness');

const WEEK_MS = 604800000;

/* Texts that a program which parses and prints JSON would change. */
const EXACT = [
    '9007199254740993', '-0', '1e400', '0.10000000000000000000001', '1E+2', '123456789012345678901234567890',
    'null', 'true', '""', '[]', '{}', '[ ]', '{ }',
    '"\\u0041\\/\\b\\f\\n\\r\\t\\"\\\\"', '"\\ud83d\\ude00 😀 \\u0000"', '"\u2028\u2029\u00a0\u007f\ufeff"',
    '{"b":1,"a":2,"b":3}',
    '{"a":{"b":[[[{"c":[1,2,{"d":null}]}]]]}}',
    '{ "a" :\t1 ,\r\n "b" : [ 1 ,\n\n2\t] ,"c":"  two  spaces  " }',
    '"\\t\\n\\r a  b\u3000c"',
    '"<script>&amp;\'"',
    `"${'x'.repeat(125)}"`, `"${'x'.repeat(126)}"`, `"${'x'.repeat(65000)}"`,
];

const SPECIAL_IDS = ['a/b', 'a b', 'a+b', '😀', 'ü/ö ?#&=%41', '..', '{tag}', '"quoted"\\', `${'z'.repeat(128)}`];

module.exports = (test) => {
    for (const store of ['memory', 'file', 'redis']) {
        test(`data arrives byte for byte, live and from the ${store} store`, async (t) => {
            const herald = await t.herald({ store });
            const live = await herald.subscribe('live');
            for (const text of EXACT) {
                for (const userId of ['live', 'away']) {
                    const answer = await herald.post('/push', `{"userId":"${userId}","data":${text}}`);
                    assert.equal(answer.status, 202, `${text.slice(0, 60)}: ${answer.text}`);
                }
            }
            await live.waitCount(EXACT.length);
            assert.deepEqual(live.messages, EXACT);
            const back = await herald.subscribe('away');
            await back.waitCount(EXACT.length);
            assert.deepEqual(back.messages, EXACT);
        });

        test(`202 sent and 202 stored with every field (${store})`, async (t) => {
            const herald = await t.herald({ store });
            const before = Date.now();
            const stored = await herald.mustPush('absent', { n: 1 });
            assert.equal(stored.status, 'stored');
            assert.deepEqual([stored.online, stored.nodes, stored.seq], [0, 0, 1]);
            assert.match(stored.id, /^[a-z0-9]+-1$/);
            assert.ok(stored.expires >= before + WEEK_MS - 1000 && stored.expires <= Date.now() + WEEK_MS + 1000,
                `expires ${stored.expires} in a week`);

            await herald.subscribe('present');
            await herald.subscribe('present');
            const sent = await herald.mustPush('present', { n: 1 }, { ttl: 60 });
            assert.equal(sent.status, 'sent');
            assert.deepEqual([sent.online, sent.nodes, sent.seq], [2, 1, 1]);
            assert.ok(Math.abs(sent.expires - Date.now() - 60000) < 10000, `expires ${sent.expires} in a minute`);
            assert.equal((await herald.mustPush('present', { n: 2 })).seq, 2);
        });
    }

    test('ttl 0 is sent to whoever is online, dropped otherwise, and never stored', async (t) => {
        const herald = await t.herald();
        const client = await herald.subscribe('online');
        const sent = await herald.mustPush('online', 1, { ttl: 0 });
        assert.deepEqual(sent, { status: 'sent', online: 1, nodes: 1 });
        await client.waitCount(1);
        const dropped = await herald.mustPush('offline', 1, { ttl: 0 });
        assert.deepEqual(dropped, { status: 'dropped', online: 0, nodes: 0 });
        const { pending, head } = await herald.user('offline');
        assert.deepEqual([pending, head], [0, 0]);
    });

    test('ttl 0 keeps its place between stored ones', async (t) => {
        const herald = await t.herald();
        const client = await herald.subscribe('mixed');
        for (const n of range(60)) {
            await herald.mustPush('mixed', n, n % 2 ? { ttl: 0 } : {});
        }
        await client.waitCount(60);
        assert.deepEqual(client.values(), range(60));
    });

    test('userIds answers a result for each, in order', async (t) => {
        const herald = await t.herald();
        const here = await herald.subscribe('b');
        const answer = await herald.post('/push', { userIds: ['a', 'b', 'ü/x', 'a1'], data: { all: true } });
        assert.equal(answer.status, 200, answer.text);
        const { results } = answer.json;
        assert.deepEqual(results.map((result) => result.userId), ['a', 'b', 'ü/x', 'a1']);
        assert.deepEqual(results.map((result) => result.status), ['stored', 'sent', 'stored', 'stored']);
        for (const result of results) {
            assert.equal(result.seq, 1);
            assert.match(result.id, /-1$/);
        }
        await here.waitCount(1);
        const later = await herald.subscribe('ü/x');
        await later.waitCount(1);
        assert.equal(later.messages[0], '{"all":true}');
    });

    test('userIds with ttl 0 says sent and dropped', async (t) => {
        const herald = await t.herald();
        await herald.subscribe('b');
        const { status, json } = await herald.post('/push', { userIds: ['a', 'b'], data: 1, ttl: 0 });
        assert.equal(status, 200);
        assert.deepEqual(json.results.map((result) => result.status), ['dropped', 'sent']);
    });

    test('10 000 userIds in one push', async (t) => {
        const herald = await t.herald();
        const userIds = range(10000).map((n) => `many-${n}`);
        const { status, json, text } = await herald.post('/push', { userIds, data: 1 });
        assert.equal(status, 200, text.slice(0, 300));
        assert.equal(json.results.length, 10000);
        assert.deepEqual([json.results[0].userId, json.results[9999].userId], ['many-0', 'many-9999']);
        assert.ok(json.results.every((result) => result.status === 'stored'));
    });

    /* CONTRACT 5.6 */
    test('every session of a user gets every notification', async (t) => {
        const herald = await t.herald();
        const clients = [];
        for (const _ of range(5)) {
            clients.push(await herald.subscribe('many'));
        }
        const other = await herald.subscribe('other');
        for (const n of range(50)) {
            assert.equal((await herald.mustPush('many', n)).online, 5);
        }
        for (const client of clients) {
            await client.waitCount(50);
            assert.deepEqual(client.values(), range(50));
        }
        assert.equal(other.messages.length, 0);
    });

    test('a userId with slashes, spaces and emoji, through push, query and path', async (t) => {
        const herald = await t.sharedHerald('push', { store: 'memory' });
        for (const userId of SPECIAL_IDS) {
            const client = await herald.subscribe(userId);
            assert.equal((await herald.mustPush(userId, userId)).online, 1, userId);
            await client.waitCount(1);
            assert.equal(client.values()[0], userId);
            const user = await herald.user(userId);
            assert.deepEqual([user.userId, user.online], [userId, true]);
        }
    });

    test('the request may come with a charset, in chunks, and with escapes in userId', async (t) => {
        const herald = await t.sharedHerald('push', { store: 'memory' });
        const client = await herald.subscribe('Ä/1');
        const body = '{"userId":"\\u00c4\\/1","data":1,"ttl":0}';
        const answers = [
            await herald.post('/push', body, { 'Content-Type': 'application/json; charset=utf-8' }),
            await herald.request('POST', '/push', {
                body, headers: { 'Content-Type': 'Application/JSON', 'Transfer-Encoding': 'chunked' },
            }),
        ];
        for (const answer of answers) {
            assert.deepEqual([answer.status, answer.json.online], [200, 1], answer.text);
        }
        await client.waitCount(2);
    });

    test('64 publishers at once: nothing is lost, each keeps its order', async (t) => {
        const herald = await t.herald();
        const client = await herald.subscribe('busy');
        await Promise.all(range(64).map(async (publisher) => {
            for (const n of range(20)) {
                await herald.mustPush('busy', [publisher, n]);
            }
        }));
        await client.waitCount(1280);
        const next = new Array(64).fill(0);
        for (const [publisher, n] of client.values()) {
            assert.equal(n, next[publisher], `publisher ${publisher}`);
            next[publisher] += 1;
        }
        assert.deepEqual(next, new Array(64).fill(20));
    });
};
