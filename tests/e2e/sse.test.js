'use strict';
/* CONTRACT 2, /sse: the same notifications as an event stream, from the same inbox. */

const assert = require('node:assert/strict');
const http = require('node:http');
const { assertProblem, assertRising, everyStore, exchange, pushNumbers, range, waitUntil } = require('./harness');

const memory = (t, args = []) => t.sharedHerald(`memory ${args.join(' ')}`, { store: 'memory', args });
const ORIGIN = 'https://app.example';
const EXPLICIT = { query: '&ack=explicit' };

/* A request to the port of the subscribers: {status, headers, text}. */
function ask(herald, method, target, headers = {}) {
    return new Promise((resolve, reject) => {
        const request = http.request({
            host: '127.0.0.1', port: herald.port, method, path: target, headers, agent: false,
        }, (response) => {
            let text = '';
            response.on('data', (bytes) => { text += bytes; });
            response.on('end', () => {
                let json;
                try {
                    json = JSON.parse(text);
                } catch {
                    /* not every answer is JSON */
                }
                resolve({ status: response.statusCode, headers: response.headers, text, json });
            });
        });
        request.setTimeout(45000, () => request.destroy(new Error(`no answer to ${method} ${target}`)));
        request.on('error', reject);
        request.end();
    });
}

const ack = (herald, userId, id) => ask(herald, 'POST', `/ack?userId=${encodeURIComponent(userId)}&id=${id}`);

async function assertRetryAndEnd(stream) {
    assert.equal(stream.status, 200);
    assert.match(stream.headers['content-type'], /^text\/event-stream/);
    await stream.waitEnd();
    assert.ok(stream.retry > 0, `retry ${stream.retry}`);
    assert.deepEqual(stream.events, []);
}

module.exports = (test) => {
    everyStore(test, 'an event stream: its head, retry, ids and data', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        const stored = await herald.mustPush('stream', { n: 0 });
        const stream = await herald.events('stream');
        assert.equal(stream.status, 200);
        assert.match(stream.headers['content-type'], /^text\/event-stream/);
        assert.match(stream.headers['cache-control'], /no-cache|no-store/);
        await stream.waitCount(1);
        assert.ok(stream.retry > 0, `retry ${stream.retry}`);
        assert.match(stream.lines[0], /^retry: ?[0-9]+$/);
        const sent = await herald.mustPush('stream', { n: 1 });
        assert.deepEqual([sent.status, sent.online], ['sent', 1]);
        await stream.waitCount(2);
        assert.deepEqual(stream.events, [
            { event: 'message', id: stored.id, data: '{"n":0}' }, { event: 'message', id: sent.id, data: '{"n":1}' }]);
        const { connections } = await herald.user('stream');
        assert.deepEqual(connections.map(({ level }) => level), ['sse']);
    });

    test('retry is spread', async (t) => {
        const herald = await memory(t);
        const streams = await Promise.all(range(12).map((n) => herald.events(`spread ${n}`)));
        await waitUntil('all have heard', () => streams.every(({ retry }) => retry > 0));
        assert.ok(new Set(streams.map(({ retry }) => retry)).size > 3, streams.map(({ retry }) => retry).join());
    });

    test('a line break inside data becomes one between data lines', async (t) => {
        const herald = await memory(t);
        const stream = await herald.events('breaks');
        const texts = ['{ "a" :\n1 }', '[\r\n1,\r2\n\n]', '"\\n\\r"', '[1\n]', '{\n\n\n}'];
        for (const text of texts) {
            const answer = await herald.post('/push', `{"userId":"breaks","data":${text}}`);
            assert.equal(answer.status, 202, answer.text);
        }
        await stream.waitCount(texts.length);
        assert.deepEqual(stream.messages().map(({ data }) => data), texts.map((text) => text.replace(/\r\n?/g, '\n')));
    });

    test('a ttl-0 event has no id', async (t) => {
        const herald = await memory(t);
        const stream = await herald.events('fleeting');
        assert.equal((await herald.mustPush('fleeting', 'now', { ttl: 0 })).online, 1);
        await stream.waitCount(1);
        assert.deepEqual(stream.events, [{ event: 'message', id: undefined, data: '"now"' }]);
    });

    everyStore(test, 'what the TCP of the client has acknowledged is acknowledged', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        await pushNumbers(herald, 'tcp', 0, 3);
        const stream = await herald.events('tcp');
        await stream.waitCount(3);
        await herald.waitPending('tcp', 0);
        await pushNumbers(herald, 'tcp', 3, 5);
        await herald.waitPending('tcp', 0);
        stream.terminate();
        await herald.waitOffline('tcp');
        await herald.mustPush('tcp', 'next');
        const again = await herald.events('tcp');
        await again.waitCount(1);
        assert.deepEqual(again.values(), ['next']);
    });

    test('a push that waits is delivered by an event stream', async (t) => {
        const herald = await memory(t);
        await herald.events('waited');
        const { status, json } = await herald.push('waited', 1, { wait: 10 });
        assert.deepEqual([status, json.status], [200, 'delivered']);
    });

    everyStore(test, 'Last-Event-ID resumes behind it, and acknowledges up to it', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        const pushed = await pushNumbers(herald, 'last', 0, 5);
        const first = await herald.events('last', EXPLICIT);
        await first.waitCount(5);
        assert.equal((await herald.user('last')).pending, 5);
        first.terminate();
        await herald.waitOffline('last');
        const again = await herald.events('last', { ...EXPLICIT, lastEventId: pushed[2].id });
        await again.waitCount(2);
        await herald.waitPending('last', 2);
        assert.deepEqual([again.values(), again.gaps()], [[3, 4], []]);
    });

    test('after in the query resumes too', async (t) => {
        const herald = await memory(t);
        const pushed = await pushNumbers(herald, 'query', 0, 3);
        const stream = await herald.events('query', { query: `&ack=explicit&after=${pushed[1].id}` });
        await stream.waitCount(1);
        await herald.waitPending('query', 1);
        assert.deepEqual(stream.values(), [2]);
    });

    test('two Last-Event-ID headers are refused, as doubled parameters are', async (t) => {
        const herald = await t.sharedHerald('plain', { store: 'memory' });
        for (const second of ['k3f9a2qd-2', 'k3f9a2qd-1', '']) {
            const answer = await exchange(herald.port, 'GET /sse?userId=u HTTP/1.1\r\nHost: localhost\r\n' +
                `Last-Event-ID: k3f9a2qd-1\r\nlast-event-id: ${second}\r\n\r\n`);
            assertProblem(answer, 400, { type: 'invalid-field', field: 'Last-Event-ID' });
            assert.equal(answer.json.detail, 'Last-Event-ID is given twice');
        }
    });

    test('a Last-Event-ID of another epoch is a gap with reset, and what there is', async (t) => {
        const herald = await memory(t);
        await pushNumbers(herald, 'reset', 0, 2);
        const stream = await herald.events('reset', { lastEventId: 'zzzzzzzz-7' });
        await stream.waitCount(2);
        assert.deepEqual(stream.gaps().map(({ cause }) => cause), ['reset']);
        assert.deepEqual(stream.values(), [0, 1]);
    });

    everyStore(test, 'ack=explicit is acknowledged by POST /ack alone', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        const stream = await herald.events('explicit', EXPLICIT);
        const pushed = await pushNumbers(herald, 'explicit', 0, 4);
        await stream.waitCount(4);
        assert.equal((await herald.user('explicit')).pending, 4);
        const answer = await ack(herald, 'explicit', pushed[2].id);
        assert.ok([200, 202, 204].includes(answer.status), `${answer.status} ${answer.text}`);
        await herald.waitPending('explicit', 1);
        stream.terminate();
        await herald.waitOffline('explicit');
        assert.equal((await herald.user('explicit')).pending, 1);
        const again = await herald.events('explicit', EXPLICIT);
        await again.waitCount(1);
        assert.deepEqual(again.values(), [3]);
    });

    /* CONTRACT 5.10: --head-timeout is for the head; a client that has sent it gets an answer. */
    test('POST /ack is answered though the store takes longer than --head-timeout', async (t) => {
        const redis = await (await t.redis()).start();
        const herald = await t.herald({ store: redis.url, args: ['--head-timeout', '300ms'] });
        const { id } = await herald.mustPush('late', 1);
        redis.pause();
        assertProblem(await ack(herald, 'late', id), 503, { type: 'store-unavailable' });
        redis.resume();
    });

    test('a bad POST /ack is a problem, and acknowledges nothing', async (t) => {
        const herald = await memory(t);
        const { id } = await herald.mustPush('bad ack', 1);
        for (const [target, field] of [
            ['/ack?userId=bad%20ack&id=nonsense', 'id'], ['/ack?userId=bad%20ack', 'id'], [`/ack?id=${id}`, 'userId'],
            [`/ack?userId=bad%20ack&id=${id}&id=${id}`, 'id'],
        ]) {
            assertProblem(await ask(herald, 'POST', target), 400, { type: 'invalid-field', field });
        }
        const get = await ask(herald, 'GET', `/ack?userId=bad%20ack&id=${id}`);
        assertProblem(get, 405, { type: 'method-not-allowed' });
        assert.match(get.headers.allow, /\bPOST\b/);
        const foreign = await ask(herald, 'POST', `/ack?userId=bad%20ack&id=${id}`, { Origin: 'https://evil.example' });
        assertProblem(foreign, 403, { type: 'forbidden' });
        assert.equal((await herald.user('bad ack')).pending, 1);
    });

    everyStore(test, 'a gap is an event of its own', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        const pushed = await pushNumbers(herald, 'gap', 0, 3);
        await herald.cancel('gap', pushed[1].id);
        const stream = await herald.events('gap');
        await stream.waitCount(2);
        assert.deepEqual(stream.events.map(({ event }) => event), ['message', 'gap', 'message']);
        const [gap] = stream.gaps();
        assert.deepEqual([gap.from, gap.to, gap.cause, gap.epoch], [2, 2, 'cancelled', pushed[0].id.split('-')[0]]);
    });

    everyStore(test, 'the same inbox as a WebSocket', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        const stream = await herald.events('same');
        const socket = await herald.subscribe('same');
        for (const n of range(30)) {
            assert.equal((await herald.mustPush('same', n)).online, 2);
        }
        await Promise.all([stream.waitCount(30), socket.waitCount(30)]);
        assert.deepEqual([stream.values(), socket.values()], [range(30), range(30)]);
        await herald.waitPending('same', 0);
        stream.terminate();
        await socket.close();
        await herald.mustPush('same', 'later');
        const again = await herald.events('same');
        await again.waitCount(1);
        assert.deepEqual(again.values(), ['later']);
    });

    everyStore(test, 'flush then live is one ordered cut in an event stream', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        await pushNumbers(herald, 'cut', 0, 100);
        const pushing = pushNumbers(herald, 'cut', 100, 300);
        const stream = await herald.events('cut');
        await pushing;
        await stream.waitCount(300);
        assert.deepEqual(stream.values(), range(300));
    });

    test('an event stream that stops reading gets everything in order, once', async (t) => {
        const herald = await t.herald({ store: 'memory', args: ['--inbox-max-bytes', '64MiB'] });
        const stream = await herald.events('slow');
        const filler = 'x'.repeat(60000);
        await herald.mustPush('slow', [0, filler]);
        await stream.waitCount(1);
        stream.response.pause();
        for (const n of range(199, 1)) {
            await herald.mustPush('slow', [n, filler]);
        }
        stream.response.resume();
        await stream.waitCount(200);
        assert.deepEqual(stream.values().map(([n]) => n), range(200));
        await herald.waitPending('slow', 0);
    });

    test('full answers 200 with retry and an end', async (t) => {
        const herald = await t.herald({ store: 'memory', args: ['--max-connections', '2'] });
        await herald.subscribe('a');
        await herald.subscribe('b');
        await assertRetryAndEnd(await herald.events('c'));
    });

    test('a full node tells a storm of streams when to come again, whatever is still open', async (t) => {
        const herald = await t.herald({ store: 'memory', args: ['--max-connections', '1'] });
        await herald.subscribe('a');
        const request = 'GET /sse?userId=s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n';
        const raws = await Promise.all(range(700).map(async () => (await t.raw(herald.port)).send(request)));
        const answers = await Promise.all(raws.map((raw) => raw.answer()));
        assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
        raws.forEach((raw) => raw.destroy());
    });

    test('draining answers 200 with retry and an end', async (t) => {
        const herald = await t.herald({ store: 'memory', args: ['--drain-time', '1s'] });
        const open = await herald.events('open');
        await herald.post('/drain', {});
        await assertRetryAndEnd(await herald.events('late'));
        await open.waitEnd();
    });

    test('a kicked stream that comes back by itself is answered 204 once, so that it gives up', async (t) => {
        const herald = await memory(t);
        const stream = await herald.events('kicked for good');
        await waitUntil('it has an id', () => stream.lastEventId !== undefined);
        await herald.post('/deleteClient', { userId: 'kicked for good' });
        await stream.waitEnd();
        const resumed = await herald.events('kicked for good', { lastEventId: stream.lastEventId });
        assert.equal(resumed.status, 204);
        const later = await herald.events('kicked for good', { lastEventId: stream.lastEventId });
        assert.equal(later.status, 200);
    });

    test('a polyfill that resumes by lastEventId in the query is stopped by a kick, too, and goes on where it was', async (t) => {
        const herald = await memory(t);
        const [first] = [await herald.mustPush('polyfill', 1), await herald.mustPush('polyfill', 2)];
        const stream = await herald.events('polyfill', { query: `&ack=explicit&lastEventId=${first.id}` });
        await stream.waitCount(1);
        assert.deepEqual(stream.values(), [2]);
        await herald.post('/deleteClient', { userId: 'polyfill' });
        await stream.waitEnd();
        const query = `&lastEventId=${stream.lastEventId}`;
        assert.equal((await herald.events('polyfill', { query })).status, 204);
        assert.equal((await herald.events('polyfill', { query: '&lastEventId=' })).status, 200, 'empty is none');
    });

    test('its first event is a hello that has the position, and no block is without data', async (t) => {
        const herald = await memory(t);
        const stream = await herald.events('greeted');
        await waitUntil('hello', () => stream.hello);
        assert.equal(stream.hello.data, '{}');
        assert.match(stream.hello.id, /^[a-z0-9]{8}-0$/);
        await herald.mustPush('greeted', 1);
        await stream.waitCount(1);
        await herald.post('/deleteClient', { userId: 'greeted' });
        await stream.waitEnd();
        stream.lines.forEach((line, i) => line === '' && assert.match(stream.lines[i - 1], /^data: /));
    });

    test('who is kicked or replaced is told to wait for a day', async (t) => {
        const herald = await t.herald({ store: 'memory', args: ['--max-connections-per-user', '1'] });
        const first = await herald.events('one');
        const second = await herald.events('one');
        await first.waitEnd();
        assert.equal(first.retry, 86400000);
        await herald.post('/deleteClient', { userId: 'one' });
        await second.waitEnd();
        assert.equal(second.retry, 86400000);
    });

    test('a kick ends the stream, and the user may come back', async (t) => {
        const herald = await memory(t);
        const stream = await herald.events('kicked');
        const { json } = await herald.post('/deleteClient', { userId: 'kicked' });
        assert.equal(json.closed, 1);
        await stream.waitEnd();
        const again = await herald.events('kicked');
        await herald.mustPush('kicked', 1);
        await again.waitCount(1);
    });

    test('a bad userId, after or device is 400', async (t) => {
        const herald = await memory(t);
        for (const [target, field] of [
            ['/sse', 'userId'], ['/sse?userId=', 'userId'], ['/sse?userId=u&userId=u', 'userId'],
            ['/sse?userId=u&after=nonsense', 'after'], ['/sse?userId=u&lastEventId=nonsense', 'lastEventId'], ['/sse?userId=u&device=a%20b', 'device'],
        ]) {
            assertProblem(await ask(herald, 'GET', target), 400, { type: 'invalid-field', field });
        }
    });

    test('an allowed origin gets CORS headers, a foreign one 403', async (t) => {
        const herald = await memory(t, ['--allowed-origin', ORIGIN]);
        const stream = await herald.events('cors', { headers: { Origin: ORIGIN } });
        assert.equal(stream.status, 200);
        assert.equal(stream.headers['access-control-allow-origin'], ORIGIN);
        assert.match(stream.headers.vary ?? '', /\bOrigin\b/i);
        const foreign = await ask(herald, 'GET', '/sse?userId=cors', { Origin: 'https://evil.example' });
        assertProblem(foreign, 403, { type: 'forbidden' });
        assert.equal(foreign.headers['access-control-allow-origin'], undefined);
        const bare = await herald.events('cors');
        assert.equal(bare.headers['access-control-allow-origin'], undefined);
        const { id } = await herald.mustPush('cors', 1);
        const acked = await ask(herald, 'POST', `/ack?userId=cors&id=${id}`, { Origin: ORIGIN });
        assert.ok(acked.status < 300, acked.text);
        assert.equal(acked.headers['access-control-allow-origin'], ORIGIN);
    });

    test('a page of another site that asks without an Origin is 403, and acknowledges nothing', async (t) => {
        const herald = await t.herald({ store: 'memory' });
        await herald.mustPush('u', 1);
        const ask = async (headers) => exchange(herald.port, `GET /sse?userId=u HTTP/1.1\r\nHost: 127.0.0.1:${herald.port}\r\n${headers}\r\n`);
        for (const site of ['cross-site', 'same-site']) {
            for (const mode of ['no-cors', 'navigate']) {
                assertProblem(await ask(`Sec-Fetch-Site: ${site}\r\nSec-Fetch-Mode: ${mode}\r\n`), 403);
            }
        }
        assert.equal((await herald.user('u')).acked, 0);
        const Origin = `http://127.0.0.1:${herald.port}`;
        for (const headers of [{ 'Sec-Fetch-Site': 'same-origin' }, { 'Sec-Fetch-Site': 'none' }, { Origin, 'Sec-Fetch-Site': 'cross-site' }]) {
            assert.equal((await herald.events('u', { headers })).status, 200);
        }
    });

    test('OPTIONS is answered for an allowed origin', async (t) => {
        const herald = await memory(t, ['--allowed-origin', ORIGIN]);
        for (const [target, method] of [['/sse?userId=u', 'GET'], ['/ack?userId=u&id=k3f9a2qd-1', 'POST']]) {
            const answer = await ask(herald, 'OPTIONS', target, {
                Origin: ORIGIN, 'Access-Control-Request-Method': method,
                'Access-Control-Request-Headers': 'authorization',
            });
            assert.ok([200, 204].includes(answer.status), `${target}: ${answer.status}`);
            assert.equal(answer.headers['access-control-allow-origin'], ORIGIN);
            assert.match(answer.headers['access-control-allow-methods'], new RegExp(`\\b${method}\\b`));
            assert.match(answer.headers['access-control-allow-headers'], /\bauthorization\b/i);
        }
    });

    test('another method than GET is 405 with Allow', async (t) => {
        const herald = await memory(t);
        for (const method of ['HEAD', 'POST', 'PUT', 'DELETE']) {
            const answer = await ask(herald, method, '/sse?userId=u');
            assert.equal(answer.status, 405, method);
            assert.match(answer.headers.allow, /\bGET\b/);
        }
    });

    test('a request for a stream has no body', async (t) => {
        const herald = await memory(t);
        const answer = await exchange(herald.port,
            'GET /sse?userId=u HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 3\r\n\r\nabc');
        assertProblem(answer, 400);
    });

    test('each stream hears of its own user only', async (t) => {
        const herald = await memory(t);
        const streams = await Promise.all(range(10).map((n) => herald.events(`own ${n}`)));
        for (const n of range(50)) {
            await herald.mustPush(`own ${n % 10}`, n);
        }
        await Promise.all(streams.map((stream) => stream.waitCount(5)));
        streams.forEach((stream, n) => {
            assert.deepEqual(stream.values(), range(5).map((round) => round * 10 + n));
            assertRising(stream.messages().map(({ id }) => Number(id.split('-')[1])), 'ids');
        });
    });
};
