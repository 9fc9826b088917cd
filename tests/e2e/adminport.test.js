'use strict';
/* The admin port's connections (CONTRACT 1, 3; RFC 9112): what one client does, or leaves undone, does not keep the others
 * from their answers; what two parsers could read differently is refused; what HTTP/1.1 allows works. */

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { assertProblem, exchange, kernelBytes, parallel, range, rawConnect, sleep, waitUntil } = require('./harness');

const memory = (t) => t.sharedHerald('admin port', { store: 'memory' });
const head = (lines) => `${lines.join('\r\n')}\r\n\r\n`;
const json = 'Content-Type: application/json';
const ndjson = 'Content-Type: application/x-ndjson';
const host = 'Host: 127.0.0.1';

const bodyOf = (userId) => JSON.stringify({ userId, data: 1 });

function pushOf(userId, ...more) {
    const body = bodyOf(userId);
    return head(['POST /push HTTP/1.1', host, json, ...more, `Content-Length: ${body.length}`]) + body;
}

const descriptors = (herald) => fs.readdirSync(`/proc/${herald.child.process.pid}/fd`).length;

const MALFORMED = [
    ['a space before a colon', head(['GET /stats HTTP/1.1', host, 'X-A : 1'])],
    ['NUL in the target', head(['GET /stats\0 HTTP/1.1', host])],
    ['NUL in a value', head(['GET /stats HTTP/1.1', host, 'X-A: a\0b'])],
    ['bare line feeds', `GET /stats HTTP/1.1\n${host}\n\n`],
    ['a folded line', head(['GET /stats HTTP/1.1', host, 'X-A: 1', ' 2'])],
    ['HTTP/1.0 with Transfer-Encoding', head(['POST /push HTTP/1.0', host, json, 'Transfer-Encoding: chunked'])],
    ['a chunk without its length', `${head(['POST /push HTTP/1.1', host, json, 'Transfer-Encoding: chunked'])}x\r\n`],
];

module.exports = (test) => {
    /* ---- one client and the others ---- */

    test('bodies that were announced and do not come keep nobody from pushing', async (t) => {
        const herald = await t.herald({ store: 'memory' });
        const raws = [];
        await parallel(140, 20, async () => {
            const raw = await rawConnect(herald.adminPort);
            raws.push(raw.send(`${head(['POST /push HTTP/1.1', host, json, 'Content-Length: 2097152'])}{"userId":"a"`));
        });
        for (const n of range(20)) {
            await herald.mustPush('ada', n);
        }
        raws.forEach((raw) => raw.destroy());
    });

    test('a client that goes while its body is due is gone at once', async (t) => {
        const herald = await t.herald({ store: 'memory' });
        await herald.mustPush('ada', 1);
        const before = descriptors(herald);
        const raws = await Promise.all(range(40).map(() => rawConnect(herald.adminPort)));
        raws.forEach((raw, n) => raw.send(`${head(['POST /push HTTP/1.1', host, n % 2 === 0 ? json : ndjson,
            'Content-Length: 2097152'])}{"userId":"a"`));
        await waitUntil('they are there', () => descriptors(herald) >= before + 40);
        raws.forEach((raw) => raw.socket.end()); /* a FIN, and the descriptor stays open here */
        await waitUntil('their descriptors are closed', () => descriptors(herald) <= before);
        raws.forEach((raw) => raw.destroy());
    });

    test('more silent connections than there is room for do not keep a probe waiting', { tries: 3 }, async (t) => {
        const herald = await t.herald({ store: 'memory' });
        const raws = [];
        await parallel(1300, 50, async () => raws.push(await rawConnect(herald.adminPort)));
        for (const _ of range(10)) {
            const begin = Date.now();
            const live = await exchange(herald.adminPort, head(['GET /livez HTTP/1.1', host, 'Connection: close']));
            assert.equal(live.status, 200);
            assert.ok(Date.now() - begin < 5000, `after ${Date.now() - begin} ms`);
        }
        raws.forEach((raw) => raw.destroy());
    });

    test('half of the pushes that wait are other keys\'', async (t) => {
        const file = path.join(t.tempDir(), 'keys');
        fs.writeFileSync(file, 'one push first-key-of-the-test\ntwo push second-key-of-the-test\n', { mode: 0o600 });
        const herald = await t.herald({ store: 'memory', args: ['--admin-keys', file] });
        const waiting = (key, userId, wait) => {
            const body = JSON.stringify({ userId, data: 1, wait });
            return head(['POST /push HTTP/1.1', host, json, `Authorization: Bearer ${key}`,
                `Content-Length: ${body.length}`]) + body;
        };
        const ask = async (key, userId, wait) => {
            const raw = await rawConnect(herald.adminPort);
            const { json: answer } = await raw.send(waiting(key, userId, wait)).answer();
            raw.destroy();
            return answer;
        };
        const raws = [];
        const isRefused = (raw) => raw.bytes.includes('"waited":false');
        const wait = async (n) => {
            const raw = await rawConnect(herald.adminPort);
            raws.push(raw.send(waiting('first-key-of-the-test', `w${n}`, 25)));
        };
        await parallel(500, 50, wait);
        await waitUntil('one more of this key does not wait', async () => {
            await wait(raws.length);
            return raws.some(isRefused);
        });
        await waitUntil('500 of this key wait', () => raws.filter((raw) => !isRefused(raw)).length === 500);
        assert.equal((await ask('second-key-of-the-test', 'two', 0.2)).waited, undefined, 'the other key waits');
        raws.forEach((raw) => raw.destroy());
        await waitUntil('it waits again when they have gone',
            async () => (await ask('first-key-of-the-test', 'one', 0.05)).waited === undefined);
    });

    test('a stop does not wait for a body of lines that does not end', { tries: 3 }, async (t) => {
        const herald = await t.herald({ store: 'memory' });
        const raw = await t.raw(herald.adminPort);
        raw.send(`${head(['POST /push HTTP/1.1', host, ndjson, 'Content-Length: 10000'])}${bodyOf('a')}\n{"userId":`);
        await herald.waitPending('a', 1);
        const begin = Date.now();
        herald.child.signal('SIGTERM');
        const { status, text } = await raw.answer();
        assert.equal(status, 200);
        assert.deepEqual(text.trimEnd().split('\n').filter((line) => line.startsWith('{')).map((line) => JSON.parse(line).status),
            ['stored'], text);
        assert.deepEqual(await herald.child.exited, { code: 0, signal: null });
        assert.ok(Date.now() - begin < 5000, `after ${Date.now() - begin} ms`);
    });

    test('an idle connection is closed after --admin-idle-timeout, which its answers tell', async (t) => {
        const herald = await t.herald({ store: 'memory', args: ['--admin-idle-timeout', '2s'] });
        for (const request of [pushOf('a'), head(['GET /stats HTTP/1.1', host])]) {
            const raw = await t.raw(herald.adminPort);
            const { headers } = await raw.send(request).answer();
            assert.deepEqual([headers.connection, headers['keep-alive']], ['keep-alive', 'timeout=2']);
            await raw.waitEnd();
        }
    });

    /* ---- what is refused ---- */

    for (const [name, bytes] of MALFORMED) {
        test(`${name}: 400, and the connection ends`, async (t) => {
            const herald = await memory(t);
            const raw = await t.raw(herald.adminPort);
            const answer = await raw.send(bytes).answer();
            assertProblem(answer, 400);
            assert.equal(answer.headers.connection, 'close');
            await raw.waitEnd();
        });
    }

    test('a body with a content coding is 415, and told which are taken', async (t) => {
        const herald = await memory(t);
        const answer = await herald.post('/push', bodyOf('coded'), { 'Content-Encoding': 'gzip' });
        assertProblem(answer, 415, { type: 'unsupported-media-type' });
        assert.equal(answer.headers['accept-encoding'], 'identity');
        assert.equal((await herald.post('/push', bodyOf('coded'), { 'Content-Encoding': 'identity' })).status, 202);
        const other = await herald.post('/push', bodyOf('coded'), { 'Content-Type': 'text/plain' });
        assertProblem(other, 415);
        assert.equal(other.headers['accept-encoding'], undefined, 'it is not for its coding');
    });

    /* ---- what works ---- */

    test('every answer says that its type is not to be guessed', async (t) => {
        const herald = await memory(t);
        for (const request of [pushOf('a'), head(['GET /stats HTTP/1.1', host]), head(['GET /nowhere HTTP/1.1', host]),
            head(['BAD']), `${head(['POST /push HTTP/1.1', host, ndjson, 'Content-Length: 1'])}\n`]) {
            const raw = await t.raw(herald.adminPort);
            raw.send(request);
            await waitUntil('a head', () => raw.bytes.includes('\r\n\r\n'));
            assert.match(raw.bytes.toString(), /\r\nX-Content-Type-Options: nosniff\r\n/i, request);
            raw.destroy();
        }
    });

    test('a target in absolute-form is taken, and its authority is the host', async (t) => {
        const herald = await memory(t);
        const ask = (target) => exchange(herald.adminPort, head([`GET ${target} HTTP/1.1`, host, 'Connection: close']));
        assert.equal((await ask('http://127.0.0.1/users/a%2Fb?x=1')).json.userId, 'a/b');
        assertProblem(await ask('http://evil.example/stats'), 403, { type: 'forbidden' });
    });

    test('requests sent ahead are answered in their order, whoever answers them', async (t) => {
        const herald = await memory(t);
        const raw = await t.raw(herald.adminPort);
        const rounds = range(20);
        raw.send(rounds.map((n) => pushOf(`ahead/${n}`) + head([`GET /users/ahead%2F${n} HTTP/1.1`, host])
            + head([`GET /users/ahead%2F${n}/inbox HTTP/1.1`, host])).join(''));
        for (const n of rounds) {
            assert.equal((await raw.answer()).json.seq, 1);
            assert.equal((await raw.answer()).json.userId, `ahead/${n}`);
            assert.equal((await raw.answer()).json.notifications.length, 1);
        }
    });

    test('a body in chunks with extensions and trailers, sent after 100 Continue', async (t) => {
        const herald = await memory(t);
        for (const [target, body, expected] of [['/push', bodyOf('chunks'), 202], ['/online', '{"userIds":["chunks"]}', 200]]) {
            const raw = await t.raw(herald.adminPort);
            raw.send(head([`POST ${target} HTTP/1.1`, host, json, 'Transfer-Encoding: chunked', 'Expect: 100-continue']));
            await waitUntil('the word', () => raw.bytes.toString() === 'HTTP/1.1 100 Continue\r\n\r\n');
            raw.bytes = Buffer.alloc(0);
            const at = 5;
            raw.send(`${at.toString(16)};a=b\r\n${body.slice(0, at)}\r\n`);
            raw.send(`${(body.length - at).toString(16)}\r\n${body.slice(at)}\r\n0\r\nX-Trailer: 1\r\n\r\n`);
            const answer = await raw.answer();
            assert.equal(answer.status, expected, answer.text);
            assert.equal((await raw.send(pushOf('after')).answer()).status, 202, 'the connection goes on');
        }
    });

    /* More than is discarded: many chunks are still in what was read when the connection is given up. */
    test('a body without end to a path that does not exist loses its connection, and nobody else does', async (t) => {
        const herald = await t.herald({ store: 'memory' });
        const other = await t.raw(herald.adminPort);
        assert.equal((await other.send(pushOf('other')).answer()).status, 202);
        const raw = await t.raw(herald.adminPort);
        const chunks = Buffer.from(`400\r\n${'x'.repeat(1024)}\r\n`.repeat(1024));
        raw.send(head(['POST /nowhere HTTP/1.1', host, json, 'Transfer-Encoding: chunked']));
        for (const _ of range(18)) {
            raw.send(chunks);
        }
        await raw.waitEnd();
        assert.equal((await other.send(pushOf('other')).answer()).status, 202);
    });

    test('HEAD is GET without its body, and the connection goes on', async (t) => {
        const herald = await memory(t);
        const raw = await t.raw(herald.adminPort);
        for (const target of ['/users/a', '/livez', '/nowhere']) {
            raw.send(head([`HEAD ${target} HTTP/1.1`, host]) + pushOf('behind'));
            await waitUntil('both answers', () => raw.bytes.toString().split('\r\n\r\n').length >= 3
                && raw.bytes.toString().endsWith('}'));
            const [first, second] = raw.bytes.toString().split('\r\n\r\n');
            assert.match(first, /\r\nContent-Length: [1-9]/i);
            assert.match(second, /^HTTP\/1.1 202 /, 'nothing stands between the two heads');
            raw.bytes = Buffer.alloc(0);
        }
    });

    /* A page of an inbox goes through the library; its client reads nothing for a while, and others are served. */
    test('a large answer that its client does not read fills no kernel, and arrives whole', async (t) => {
        const herald = await t.herald({ store: 'memory', args: ['--inbox-max-bytes', '8MiB'] });
        const data = 'x'.repeat(60000);
        for (const _ of range(60)) {
            await herald.mustPush('large', data);
        }
        const raw = await t.raw(herald.adminPort);
        raw.socket.pause();
        raw.send(head(['GET /users/large/inbox?limit=1000 HTTP/1.1', host]));
        const clientPort = raw.socket.localPort;
        let unsent = await waitUntil('the kernel has some of it', () => kernelBytes(herald.adminPort, clientPort) || null);
        await waitUntil('and gets no more', async () => {
            await herald.mustPush('other', 1);
            await sleep(200);
            const before = unsent;
            unsent = kernelBytes(herald.adminPort, clientPort);
            return unsent === before;
        });
        assert.ok(unsent <= 256 * 1024, `${unsent} bytes`);
        raw.socket.resume();
        const { json: page } = await raw.answer();
        assert.equal(page.notifications.length, 60);
        assert.ok(page.notifications.every((note) => note.data === data));
        assert.equal((await raw.send(pushOf('after')).answer()).status, 202);
    });

    test('the bytes of backends are not counted as those of subscribers', async (t) => {
        const herald = await t.herald({ store: 'memory' });
        const counted = async () => await herald.metric('herald_bytes_sent_total') + await herald.metric('herald_bytes_received_total');
        const before = await counted();
        await herald.mustPush('nobody', 'x'.repeat(10000));
        await herald.request('GET', '/users/nobody/inbox');
        assert.equal(await counted(), before);
    });

    test('answers that are not read keep what their requests were charged with', async (t) => {
        const herald = await t.herald({ store: 'memory', args: ['--max-body', '16MiB'] });
        const userIds = Array.from({ length: 10000 }, (_, i) => `${i}`.padEnd(120, 'u'));
        const body = JSON.stringify({ userIds, ttl: 0, data: 1 }) + ' '.repeat(10 << 20);
        const request = head(['POST /push HTTP/1.1', host, json, `Content-Length: ${body.length}`]) + body;
        const begin = async () => {
            const raw = await t.raw(herald.adminPort);
            raw.socket.once('data', () => raw.socket.pause());
            raw.send(request);
            const text = await waitUntil('an answer begins', () => raw.bytes.toString('latin1') || null);
            return { raw, status: Number(text.split(' ')[1]) };
        };
        const begun = [];
        do {
            begun.push(await begin());
        } while (begun.at(-1).status === 200 && begun.length < 30);
        assert.equal(begun.at(-1).status, 503, `after ${begun.length} answers`);
        await herald.mustPush('small', 1);
        const [{ raw }] = begun;
        raw.socket.resume();
        assert.equal((await raw.answer()).json.results.length, 10000);
        const again = await begin();
        assert.equal(again.status, 200, 'there is room for one more');
        assert.equal((await raw.send(pushOf('after')).answer()).status, 202);
    });
};
