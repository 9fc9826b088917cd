'use strict';
/* A stop with clients of the admin port that send, read or do nothing more: who is waited for, and how long (CONTRACT 3;
 * admin/README.md, "The stop"). */

const assert = require('node:assert/strict');
const { PATIENCE_MS, assertProblem, kernelBytes, range, sleep, waitUntil, within } = require('./harness');

const head = (lines) => `${lines.join('\r\n')}\r\n\r\n`;
const host = 'Host: 127.0.0.1';
const json = 'Content-Type: application/json';
const ndjson = 'Content-Type: application/x-ndjson';
const large = 'x'.repeat(60000);

const line = (userId, more = {}) => `${JSON.stringify({ userId, data: 1, ...more })}\n`;

async function withLargeInbox(t) {
    const herald = await t.herald({ store: 'memory', args: ['--inbox-max-bytes', '8MiB'] });
    for (const _ of range(60)) {
        await herald.mustPush('large', large);
    }
    return herald;
}

/* A client whose answer has begun, and who reads nothing of it. */
async function unreading(t, herald, request) {
    const raw = await t.raw(herald.adminPort);
    raw.socket.pause();
    raw.send(request);
    await waitUntil('the answer has begun', () => kernelBytes(herald.adminPort, raw.socket.localPort) > 100000);
    return raw;
}

/* Sends SIGTERM, and answers how long the stop took. */
async function stop(herald) {
    const begin = Date.now();
    herald.child.signal('SIGTERM');
    assert.deepEqual(await within(herald.child.exited, PATIENCE_MS, 'the end'), { code: 0, signal: null });
    return Date.now() - begin;
}

/* The lines of a body that never ends, one every 50 ms. */
function dribble(raw, userId) {
    raw.send(head(['POST /push HTTP/1.1', host, ndjson, 'Transfer-Encoding: chunked']));
    const timer = setInterval(() => {
        const text = line(userId);
        raw.send(`${text.length.toString(16)}\r\n${text}\r\n`);
    }, 50);
    raw.socket.once('close', () => clearInterval(timer));
    return () => clearInterval(timer);
}

module.exports = (test) => {
    test('a client that does not read a page of an inbox does not hold up the stop', { tries: 3 }, async (t) => {
        const herald = await withLargeInbox(t);
        const raw = await unreading(t, herald, head(['GET /users/large/inbox?limit=1000 HTTP/1.1', host]));
        const took = await stop(herald);
        assert.ok(took < 5000, `${took} ms`);
        raw.destroy();
    });

    test('a client that does not read the results of its lines does not hold up the stop', { tries: 3 }, async (t) => {
        const herald = await t.herald({ store: 'memory' });
        const lines = line('nobody', { ttl: 0 }).repeat(99999);
        const raw = await unreading(t, herald, head(['POST /push HTTP/1.1', host, ndjson, `Content-Length: ${lines.length}`]) + lines);
        const took = await stop(herald);
        assert.ok(took < 5000, `${took} ms`);
        raw.destroy();
    });

    test('a client that reads on slowly during the stop gets its answer whole', { tries: 6 }, async (t) => {
        const herald = await withLargeInbox(t);
        const raw = await unreading(t, herald, head(['GET /users/large/inbox?limit=1000 HTTP/1.1', host]));
        let pauses = 0;
        raw.socket.on('data', () => {
            if (pauses < 25) { /* and then at once: it is waited for 5 s in all */
                pauses += 1;
                raw.socket.pause();
                setTimeout(() => raw.socket.resume(), 100);
            }
        });
        const ended = stop(herald);
        raw.socket.resume();
        const { status, json: page } = await raw.answer();
        assert.equal(status, 200);
        assert.equal(page.notifications.length, 60);
        assert.ok(page.notifications.every((note) => note.data === large));
        await ended;
    });

    for (const [name, lines, body] of [
        ['a push', ['POST /push HTTP/1.1', host, json, 'Content-Length: 200'], '{"userId":"late"'],
        ['a push in chunks', ['POST /push HTTP/1.1', host, json, 'Transfer-Encoding: chunked'], '4\r\n{"us\r\n'],
        ['a request of another route', ['POST /online HTTP/1.1', host, json, 'Content-Length: 200'], '{"userIds":["a"'],
        ['a push of which nothing has come but its head', ['POST /push HTTP/1.1', host, json, 'Content-Length: 200'], ''],
    ]) {
        test(`${name} whose body a stop cuts off is refused`, { tries: 3 }, async (t) => {
            const herald = await t.herald({ store: 'memory' });
            const raw = await t.raw(herald.adminPort);
            raw.send(head(lines) + body);
            await sleep(100);
            const ended = stop(herald);
            const answer = await raw.answer();
            assertProblem(answer, 503, { type: 'draining' });
            assert.equal(answer.headers.connection, 'close');
            await raw.waitEnd();
            const took = await ended;
            assert.ok(took < 5000, `${took} ms`);
        });
    }

    test('a body that a stop cuts off in the middle of its bytes is refused before its connection ends', async (t) => {
        const herald = await t.herald({ store: 'memory' });
        const raw = await t.raw(herald.adminPort);
        raw.send(head(['POST /push HTTP/1.1', host, json, 'Content-Length: 1000000']));
        const timer = setInterval(() => raw.send(' '.repeat(100)), 20);
        const ended = stop(herald);
        const answer = await raw.answer();
        assertProblem(answer, 503, { type: 'draining' });
        clearInterval(timer);
        await ended;
    });

    /* CONTRACT 5: what was accepted is kept, also by a stop that waits for nobody. */
    test('a second signal during the stop of the admin port ends it at once, and loses nothing', { tries: 3 }, async (t) => {
        const herald = await t.herald({ store: 'file' });
        const raw = await t.raw(herald.adminPort);
        const rest = dribble(raw, 'lines');
        await waitUntil('some lines are kept', async () => (await herald.user('lines')).pending >= 3);
        for (const n of range(20)) {
            await herald.mustPush('kept', n);
        }
        const { pending } = await herald.user('lines');
        herald.child.signal('SIGTERM');
        await herald.waitLog(/event=draining/);
        await sleep(500);
        assert.ok(herald.child.isRunning(), 'it waits for the lines');
        const begin = Date.now();
        herald.child.signal('SIGTERM');
        assert.deepEqual(await within(herald.child.exited, PATIENCE_MS, 'the end'), { code: 0, signal: null });
        const took = Date.now() - begin;
        rest();
        assert.ok(took < 4000, `${took} ms`);
        assert.match(herald.log, /a second signal: stopping at once/);
        await herald.restart();
        assert.equal((await herald.user('kept')).pending, 20);
        assert.ok((await herald.user('lines')).pending >= pending);
    });

    test('a second signal does not wait for a client that reads slowly', { tries: 3 }, async (t) => {
        const herald = await withLargeInbox(t);
        const raw = await unreading(t, herald, head(['GET /users/large/inbox?limit=1000 HTTP/1.1', host]));
        raw.socket.on('data', () => {
            raw.socket.pause();
            setTimeout(() => raw.socket.resume(), 400);
        });
        raw.socket.resume();
        herald.child.signal('SIGTERM');
        await sleep(300);
        const begin = Date.now();
        herald.child.signal('SIGINT');
        assert.deepEqual(await within(herald.child.exited, PATIENCE_MS, 'the end'), { code: 0, signal: null });
        assert.ok(Date.now() - begin < 4000, `${Date.now() - begin} ms`);
        raw.destroy();
    });
};
