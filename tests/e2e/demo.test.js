'use strict';
/* The demo page and its push stand on the subscriber port, and only with --demo. */

const assert = require('node:assert/strict');
const { assertProblem, secret } = require('./harness');

const onPort = (herald, extra = {}) => ({ port: herald.port, ...extra });
const demo = (t) => t.sharedHerald('demo', { store: 'memory', args: ['--demo'] });
const push = (herald, body, headers = {}) => herald.post('/demo/push', body, headers, onPort(herald));

module.exports = (test) => {
    test('without --demo there is neither the page nor its push', async (t) => {
        const herald = await t.sharedHerald('plain', { store: 'memory' });
        assertProblem(await herald.request('GET', '/', onPort(herald)), 404, { type: 'not-found' });
        assertProblem(await push(herald, { userId: 'u', data: 1 }), 404, { type: 'not-found' });
        assert.equal((await herald.user('u')).head, 0);
    });

    test('with --demo the page comes from Herald alone, runs nothing else, and stands in no frame', async (t) => {
        const herald = await demo(t);
        for (const [target, type] of [['/', /^text\/html/], ['/demo/page.css', /^text\/css/], ['/demo/page.js', /^text\/javascript/]]) {
            const { status, headers, text } = await herald.request('GET', target, onPort(herald));
            assert.equal(status, 200, target);
            assert.match(headers['content-type'], type);
            assert.match(headers['content-security-policy'], /default-src 'none'.*frame-ancestors 'none'/);
            assert.equal(headers['x-content-type-options'], 'nosniff');
            assert.doesNotMatch(text, /(src|href)\s*=\s*["']?(https?:)?\/\/|<script>|<style>| on[a-z]+="/i);
            assertProblem(await herald.request('DELETE', target, onPort(herald)), 405);
        }
        assert.match((await herald.request('GET', '/', onPort(herald))).text, /^<!doctype html>/i);
    });

    test('no answer has a field twice', async (t) => {
        const herald = await demo(t);
        for (const target of ['/', '/demo/page.css', '/demo/facts', '/demo/nothing', '/livez']) {
            const raw = await t.raw(herald.port);
            raw.send(`GET ${target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
            await raw.waitEnd();
            const [, ...lines] = raw.bytes.toString().split('\r\n\r\n')[0].split('\r\n');
            const names = lines.map((line) => line.split(':')[0].toLowerCase());
            assert.ok(names.includes('cache-control'), target);
            assert.deepEqual(names, [...new Set(names)], target);
        }
    });

    test('the page is told where backends push', async (t) => {
        const facts = async (herald) => (await herald.request('GET', '/demo/facts', onPort(herald))).json;
        const herald = await demo(t);
        assert.deepEqual(await facts(herald),
            { adminListen: `127.0.0.1:${herald.adminPort}`, adminTls: false, adminKeys: false, events: true, clientMessages: 'v1' });
        const keyed = await t.herald({ store: 'memory', args: ['--demo', '--admin-keys', 'keys'],
            adminKey: secret('0123456789abcdef-demo'), files: { keys: 'ops admin 0123456789abcdef-demo\n' } });
        assert.equal((await facts(keyed)).adminKeys, true);
    });

    test('POST /demo/push answers as /push does, and the page gets it', async (t) => {
        const herald = await demo(t);
        const client = await herald.subscribe('me');
        const sent = await push(herald, '{"userId":"me","data":{"n":9007199254740993},"ttl":60}');
        assert.equal(sent.status, 202, sent.text);
        assert.deepEqual([sent.json.status, sent.json.online, sent.json.seq], ['sent', 1, 1]);
        await client.waitCount(1);
        assert.equal(client.messages[0], '{"n":9007199254740993}');
        const stored = await push(herald, { userId: 'away', data: 1 });
        assert.deepEqual([stored.status, stored.json.status], [202, 'stored']);
        const dropped = await push(herald, { userId: 'nobody', data: 1, ttl: 0 });
        assert.deepEqual([dropped.status, dropped.json.status], [200, 'dropped']);
    });

    test('without --events it keeps all types and takes messages of herald.v1; what is said goes before', async (t) => {
        const asked = async (...args) => {
            const { code, stdout } = await t.runToEnd([...args, '--print-config']);
            assert.equal(code, 0);
            return stdout.split('\n').filter((line) => /^(events|client-messages) /.test(line)).join(', ');
        };
        assert.equal(await asked('--demo'), 'events = user.online ; demo, events = user.offline ; demo, '
            + 'events = notification.unacknowledged ; demo, events = client.message ; demo, client-messages = v1 ; demo');
        assert.equal(await asked('--demo', '--events', 'client.message', '--client-messages', 'all'),
            'events = client.message ; flag, client-messages = all ; flag');
        assert.match(await asked('--demo', '--client-messages', 'off'), /client-messages = off ; flag$/);
        assert.match(await asked('--demo', '--events', 'user.online'), /client-messages = off ; default$/);
        const herald = await demo(t);
        assert.match(herald.log, /the demo answers what clients say with an echo" client_messages=v1/);
    });

    test('what a client says comes back to its connection alone', async (t) => {
        const herald = await demo(t);
        const [speaks, listens] = [await herald.subscribeV1('full duplex'), await herald.subscribeV1('full duplex')];
        assert.deepEqual(await speaks.say('c-"1', { n: 1 }), { type: 'accepted', id: 'c-"1' });
        const [{ data, id }] = await speaks.wait('notification');
        assert.deepEqual([data.data, data.clientId, data.connection, id], [{ n: 1 }, 'c-"1', speaks.hello.connection, undefined]);
        await listens.roundTrip();
        assert.deepEqual(listens.values(), []);
    });

    test('without --demo nobody answers what clients say', async (t) => {
        const herald = await t.herald({ store: 'memory', args: ['--events', 'client.message', '--client-messages', 'v1'] });
        const client = await herald.subscribeV1('u');
        assert.equal((await client.say('1', 1)).type, 'accepted');
        await client.roundTrip();
        assert.deepEqual(client.values(), []);
    });

    test('bad input to /demo/push is a problem', async (t) => {
        const herald = await demo(t);
        assertProblem(await push(herald, '{"userId":"bad"}'), 400, { type: 'invalid-field', field: 'data' });
        assertProblem(await push(herald, '{"userId":"bad","data":?}'), 400, { type: 'bad-json' });
        assertProblem(await push(herald, '{"userId":"bad","data":1}', { 'Content-Type': 'text/plain' }), 415);
        assertProblem(await herald.request('GET', '/demo/push', onPort(herald)), 405);
        assert.equal((await herald.user('bad')).head, 0);
    });

    test('another site cannot drive it', async (t) => {
        const herald = await demo(t);
        for (const headers of [{ Origin: 'https://evil.example' }, { Host: 'evil.example' }, { 'X-Forwarded-For': '10.0.0.1' }]) {
            assert.equal((await push(herald, { userId: 'driven', data: 1 }, headers)).status, 403, JSON.stringify(headers));
        }
        assert.equal((await herald.user('driven')).head, 0);
    });

    test('with --demo the subscriber port still has no admin API', async (t) => {
        const herald = await demo(t);
        for (const target of ['/metrics', '/users/me', '/stats', '/clients']) {
            assert.equal((await herald.request('GET', target, onPort(herald))).status, 404, target);
        }
        assert.equal((await herald.post('/push', { userId: 'me', data: 1 }, {}, onPort(herald))).status, 404);
    });

    test('with identity, too, it is for this machine alone: no proxies, no rebinding pages', async (t) => {
        const herald = await t.herald({ store: 'memory', args: ['--demo', '--auth', 'ticket'] });
        const from = async (headers) => (await push(herald, { userId: 'me', data: 1 }, headers)).status;
        assert.equal(await from({ Host: `localhost:${herald.port}` }), 202);
        for (const foreign of [{ 'X-Forwarded-For': '8.8.8.8' }, { Host: `evil.example:${herald.port}` },
            { Host: `evil.example:${herald.port}`, Origin: `http://evil.example:${herald.port}` }]) {
            assert.equal(await from(foreign), 403, JSON.stringify(foreign));
        }
        assert.equal((await herald.user('me')).pending, 1);
    });

    test('what a problem quotes is escaped', async (t) => {
        const herald = await demo(t);
        const answer = await push(herald, { userId: 'me', data: 1, 'a"b\\c': 2 });
        assertProblem(answer, 400, { field: 'a"b\\c' });
    });
};
