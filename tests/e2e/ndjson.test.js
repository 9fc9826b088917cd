'use strict';
/* CONTRACT 3: a push a line, taken as they arrive, a result a line. */

const assert = require('node:assert/strict');
const http = require('node:http');
const { assertProblem, isSanitized, parallel, range, sleep, waitUntil } = require('./harness');

const memory = (t) => t.sharedHerald('memory', { store: 'memory' });
const MB = 1024 * 1024;

function resultsOf(answer) {
    assert.equal(answer.status, 200, answer.text.slice(0, 300));
    assert.match(answer.headers['content-type'], /^application\/x-ndjson/);
    assert.ok(answer.text.endsWith('\n') || answer.text === '', 'the last line ends');
    return answer.text.split('\n').slice(0, -1).map((line) => JSON.parse(line));
}

/* A request whose body the test sends bit by bit. */
function openBody(herald) {
    const request = http.request({
        host: '127.0.0.1', port: herald.adminPort, method: 'POST', path: '/push', agent: false,
        headers: { 'Content-Type': 'application/x-ndjson', 'Transfer-Encoding': 'chunked' },
    });
    request.on('error', () => {});
    const answer = new Promise((resolve) => {
        request.once('response', (response) => {
            let text = '';
            response.on('data', (bytes) => { text += bytes; });
            response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, text }));
        });
    });
    return { request, answer };
}

module.exports = (test) => {
    for (const store of ['memory', 'file', 'redis']) {
        test(`1000 lines have 1000 results, in order (${store})`, async (t) => {
            const herald = await t.herald({ store });
            const here = await herald.subscribe('u3');
            const lines = range(1000).map((n) => ({ userId: `u${n % 10}`, data: n }));
            const results = resultsOf(await herald.ndjson(lines));
            assert.equal(results.length, 1000);
            results.forEach((result, n) => {
                assert.equal(result.seq, 1 + Math.floor(n / 10));
                assert.equal(result.status, n % 10 === 3 ? 'sent' : 'stored');
                assert.match(result.id, /^[a-z0-9]+-[0-9]+$/);
            });
            await here.waitCount(100);
            assert.deepEqual(here.values(), range(100).map((n) => n * 10 + 3));
            assert.equal((await herald.user('u7')).pending, 100);
        });
    }

    test('every form of a push may stand in a line', async (t) => {
        const herald = await memory(t);
        const results = resultsOf(await herald.ndjson([
            { userId: 'form', data: 1, ttl: 0 }, { userId: 'form', data: 2, collapseKey: 'k' },
            { userId: 'form', data: 3, collapseKey: 'k' }, { userId: 'form', data: 4, idempotencyKey: 'i' },
            { userId: 'form', data: 4, idempotencyKey: 'i' },
        ]));
        assert.deepEqual(results.map(({ status }) => status), ['dropped', 'stored', 'stored', 'stored', 'stored']);
        assert.deepEqual(results.map(({ seq }) => seq ?? null), [null, 1, 2, 3, 3]);
        assert.equal(results[4].duplicate, true);
        assert.equal((await herald.user('form')).pending, 2);
    });

    test('a bad line answers its own problem with its line, and the rest go on', async (t) => {
        const herald = await memory(t);
        const results = resultsOf(await herald.ndjson([
            { userId: 'mixed', data: 1 },
            '{"userId":"mixed",', { userId: 'mixed' }, { userId: 'mixed', data: 2, nope: 1 }, { userId: '', data: 1 },
            { userId: 'mixed', data: 'x'.repeat(70000) }, { userId: 'mixed', data: 3, ttl: -1 },
            { userId: 'mixed', data: 4 },
        ]));
        assert.equal(results.length, 8);
        assert.deepEqual(results.slice(1, 7).map(({ type, line, field }) => [type, line, field]), [
            ['bad-json', 2, undefined], ['invalid-field', 3, 'data'], ['unknown-field', 4, 'nope'],
            ['invalid-field', 5, 'userId'], ['too-large', 6, 'data'], ['invalid-field', 7, 'ttl'],
        ]);
        results.slice(1, 7).forEach((problem) => assert.ok(problem.status >= 400, JSON.stringify(problem)));
        assert.deepEqual([results[0].seq, results[7].seq, results[7].status], [1, 2, 'stored']);
        assert.deepEqual((await herald.inbox('mixed')).notifications.map(({ data }) => data), [1, 4]);
    });

    test('a line over --max-body answers too-large, and the rest go on', async (t) => {
        const herald = await t.herald({ store: 'memory', args: ['--max-body', '2KiB'] });
        const results = resultsOf(await herald.ndjson([
            ...range(100).map((n) => ({ userId: 'u', data: n })),
            { userId: 'u', data: 'x'.repeat(5000) }, { userId: 'u', data: 'last' },
        ]));
        assert.equal(results.length, 102);
        assert.deepEqual([results[100].type, results[100].status, results[100].line], ['too-large', 413, 101]);
        assert.equal(results[101].seq, 101);
    });

    test('a last line without its line feed counts', async (t) => {
        const herald = await memory(t);
        const answer = await herald.post('/push', '{"userId":"last","data":1}\n{"userId":"last","data":2}',
            { 'Content-Type': 'application/x-ndjson' });
        assert.equal(resultsOf(answer).length, 2);
        assert.equal((await herald.user('last')).head, 2);
    });

    test('lines are taken as they arrive', async (t) => {
        const herald = await memory(t);
        const client = await herald.subscribe('arriving');
        const { request, answer } = openBody(herald);
        for (const n of range(3)) {
            request.write(`{"userId":"arriving",`);
            request.write(`"data":${n}}\n`);
            await client.waitCount(n + 1);
        }
        request.end();
        assert.equal(resultsOf(await answer).length, 3);
        assert.deepEqual(client.values(), [0, 1, 2]);
    });

    for (const [form, headers, bodyOf] of [
        ['with a length', (text) => `Content-Length: ${text.length + 500}`, (text) => text],
        ['in chunks', () => 'Transfer-Encoding: chunked', (text) => `${text.length.toString(16)}\r\n${text}\r\n`],
    ]) {
        test(`a body that is cut off applies its whole lines only (${form})`, async (t) => {
            const herald = await memory(t);
            const userId = `cut ${form}`;
            const whole = range(10).map((n) => `{"userId":"${userId}","data":${n}}\n`).join('');
            /* Complete as JSON, but not known to be a whole line. */
            const text = `${whole}{"userId":"${userId}","data":10}`;
            const raw = await t.raw(herald.adminPort);
            raw.send(`POST /push HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-ndjson\r\n`
                + `${headers(text)}\r\n\r\n${bodyOf(text)}`);
            await waitUntil('the whole lines are there', async () => (await herald.user(userId)).head === 10);
            raw.destroy();
            await sleep(150);
            const { head, pending } = await herald.user(userId);
            assert.deepEqual([head, pending], [10, 10]);
        });
    }

    test('an empty body has no results', async (t) => {
        const herald = await memory(t);
        const answer = await herald.post('/push', '', { 'Content-Type': 'application/x-ndjson' });
        assert.deepEqual([answer.status, answer.text], [200, '']);
    });

    test('several bodies of lines at once, and single pushes between', async (t) => {
        const herald = await t.herald({ store: 'file' });
        const bodies = range(8).map((b) => herald.ndjson(range(500).map((n) => ({ userId: `b${b}`, data: n }))));
        await parallel(50, 4, (n) => herald.mustPush('single', n));
        (await Promise.all(bodies)).forEach((answer) => assert.equal(resultsOf(answer).length, 500));
        for (const b of range(8)) {
            const { notifications } = await herald.inbox(`b${b}`, '?limit=500');
            assert.deepEqual(notifications.map(({ data }) => data), range(notifications.length));
            assert.equal((await herald.user(`b${b}`)).head, 500);
        }
    });

    test('100 000 lines in one request, in bounded memory and time', async (t) => {
        const herald = await t.herald({ store: 'file' });
        const lines = range(100000).map((n) => `{"userId":"u${n % 1000}","data":${n},"ttl":600}`);
        const before = herald.residentBytes();
        let most = before;
        const watch = setInterval(() => { most = Math.max(most, herald.residentBytes()); }, 20);
        t.cleanup(() => clearInterval(watch));
        const begin = Date.now();
        const answer = await herald.ndjson(lines, { timeoutMs: 100000 });
        const took = Date.now() - begin;
        clearInterval(watch);
        const results = resultsOf(answer);
        assert.equal(results.length, 100000);
        assert.ok(results.every((result, n) => result.seq === 1 + Math.floor(n / 1000)), 'numbers in order');
        t.note(`${took} ms, ${((most - before) / MB).toFixed(1)} MiB more`);
        if (!isSanitized(t.binary)) {
            assert.ok(most - before < 64 * MB, `${most - before} bytes more`);
            assert.ok(took < 60000, `${took} ms`);
        }
    });

    test('line 100 001 is refused', async (t) => {
        const herald = await t.herald({ store: 'memory' });
        const lines = range(100001).map((n) => `{"userId":"u${n}","data":1,"ttl":0}`);
        const answer = await herald.ndjson(lines, { timeoutMs: 100000 });
        if (answer.status === 200) {
            const last = resultsOf(answer).at(-1);
            assert.deepEqual([last.type, last.line], ['too-large', 100001]);
        } else {
            assertProblem(answer, 413, { type: 'too-large' });
        }
    });

    /* A line has one result: many users are many lines. */
    test('a line may name many users, and answers a result for each', async (t) => {
        const herald = await memory(t);
        const results = resultsOf(await herald.ndjson([
            { userIds: ['line a', 'line b'], data: 1 }, { userId: 'line a', data: 2 },
            { userIds: [], data: 3 }]));
        assert.deepEqual(results[0].results.map(({ userId, seq }) => [userId, seq]),
            [['line a', 1], ['line b', 1]]);
        assert.equal(results[1].seq, 2);
        assert.deepEqual([results[2].type, results[2].field, results[2].line], ['invalid-field', 'userIds', 3]);
    });

    test('10 000 userIds in a push, in bounded memory and time, and not one more', async (t) => {
        const herald = await t.herald({ store: 'file' });
        const here = await herald.subscribe('many-5000');
        const userIds = range(10000).map((n) => `many-${n}`);
        const before = herald.residentBytes();
        const begin = Date.now();
        const { status, json } = await herald.post('/push', { userIds, data: 1 });
        const took = Date.now() - begin;
        assert.deepEqual([status, json.results.length], [200, 10000]);
        assert.deepEqual([json.results[9999].userId, json.results[5000].status], ['many-9999', 'sent']);
        await here.waitCount(1);
        if (!isSanitized(t.binary)) {
            const grown = herald.residentBytes() - before;
            assert.ok(grown < 32 * MB, `${grown} bytes more`);
            assert.ok(took < 20000, `${took} ms`);
        }
        const over = await herald.post('/push', { userIds: [...userIds, 'one more'], data: 1 });
        assertProblem(over, 400, { type: 'invalid-field', field: 'userIds' });
    });
};
