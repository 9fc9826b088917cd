'use strict';
/* FLEET 5 and 6: SIGTERM step by step, and POST /drain: who is refused, who is closed when and with which words, and what
 * is taken back. */

const assert = require('node:assert/strict');
const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');
const { PATIENCE_MS, Subscriber, assertProblem, exchange, handshake, range, sleep, waitUntil, within } = require('./harness');

const ORIGIN = 'https://a.example';
const READYZ = 'GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
const EXITED = { code: 0, signal: null };

const readyz = async (herald) => (await herald.request('GET', '/readyz')).status;
const readyzOfPort = async (herald) => (await exchange(herald.port, READYZ)).status;
const stats = async (herald) => (await herald.request('GET', '/stats')).json;

/* {code, word, ms} of a close whose reason ends with the time to wait. */
async function closeOf(client) {
    const { code, reason } = await client.waitClosed();
    const [, word, ms] = /^(.*) retry_ms=(\d+)$/.exec(reason) ?? [];
    return { code, word, ms: Number(ms) };
}

/* 'refused', or what went wrong; the socket is closed again. */
const connectError = (where) => new Promise((resolve) => {
    const socket = net.connect(where);
    socket.once('error', ({ code }) => resolve(code));
    socket.once('connect', () => socket.destroy(resolve('connected')));
});

async function waitRefused(herald) {
    await waitUntil('connects are refused', async () =>
        await connectError({ host: '127.0.0.1', port: herald.port }) === 'ECONNREFUSED');
}

/* How the clients come to their ends, by their index: when, each in ms since the first look. */
function watchCloses(clients) {
    const begin = Date.now();
    const ends = [];
    clients.forEach((client, i) => client.closed.then(({ code }) => ends.push({ i, code, ms: Date.now() - begin })));
    return ends;
}

/* One after the other, so that their connections are as old as their order says. */
async function subscribeInOrder(herald, n) {
    const clients = [];
    for (const i of range(n)) {
        clients.push(await herald.subscribe(`u${i}`));
    }
    return clients;
}

module.exports = (test) => {
    /* ---- SIGTERM ---- */

    test('SIGTERM: readiness fails, and until --drain-delay is over all are served; then connects are refused', { tries: 3 }, async (t) => {
        const socket = path.join(t.tempDir(), 'subscribers.sock');
        const herald = await t.herald({ store: 'memory',
            args: ['--listen', `unix:${socket}`, '--insecure', '--drain-delay', `${1500 * t.scale}ms`, '--drain-time', '600ms'] });
        const early = await herald.subscribe('early');
        const begin = Date.now();
        herald.child.signal('SIGTERM');
        await waitUntil('readiness fails', async () => await readyz(herald) === 503);
        assert.equal(await readyzOfPort(herald), 503);
        assert.ok((await stats(herald)).draining);
        assert.equal(await herald.metric('herald_draining'), 1);
        const late = await herald.subscribe('late');
        const stream = await herald.events('late stream');
        assert.equal(stream.status, 200);
        assert.equal((await herald.push('late', 1)).status, 202);
        await late.waitCount(1);
        await sleep(1000 * t.scale - (Date.now() - begin));
        assert.deepEqual([early, late].map((client) => client.socket.readyState), [1, 1], 'nobody is closed yet');
        await waitRefused(herald);
        assert.ok(Date.now() - begin >= 1500 * t.scale, `${Date.now() - begin} ms`);
        assert.ok(!fs.existsSync(socket), 'the file of the unix socket is gone');
        assert.ok([503, 'ended'].includes(await readyz(herald).catch(() => 'ended')), 'the admin port is served to the end');
        for (const client of [early, late]) {
            const { code, word, ms } = await closeOf(client);
            assert.deepEqual([code, word], [1012, 'restart']);
            assert.ok(ms >= 500 && ms <= 5500, `no other node is up: ${ms}`);
        }
        await stream.waitEnd();
        assert.ok(stream.retry >= 500 && stream.retry <= 5500, `retry ${stream.retry}`);
        assert.deepEqual(await within(herald.child.exited, PATIENCE_MS, 'the end'), EXITED);
    });

    test('without other nodes SIGTERM delays nothing', async (t) => {
        const herald = await t.herald({ store: 'memory', env: { HERALD_DRAIN_DELAY: undefined }, args: ['--drain-time', '60s'] });
        await herald.subscribe('u');
        herald.child.signal('SIGTERM');
        await herald.waitLog(/event=draining delay_ms=0 drain_ms=60000/);
        await waitRefused(herald);
        herald.child.signal('SIGTERM');
        assert.deepEqual(await within(herald.child.exited, 20000, 'the end'), EXITED);
    });

    test('with Redis SIGTERM delays 5 s by itself, and a second one in that time stops at once', { tries: 3 }, async (t) => {
        const herald = await t.herald({ store: 'redis', env: { HERALD_DRAIN_DELAY: undefined } });
        const client = await herald.subscribe('u');
        herald.child.signal('SIGTERM');
        await herald.waitLog(/event=draining delay_ms=5000/);
        assert.equal(await readyz(herald), 503);
        await herald.subscribe('v');
        const begin = Date.now();
        herald.child.signal('SIGTERM');
        assert.deepEqual(await within(herald.child.exited, 4000, 'the end'), EXITED);
        assert.ok(Date.now() - begin < 4000);
        assert.equal((await client.waitClosed()).code, 1012);
    });

    test('SIGHUP takes another --drain-delay', async (t) => {
        const herald = await t.herald({ store: 'memory', env: { HERALD_DRAIN_DELAY: undefined },
            args: ['--config', 'herald.ini'], files: { 'herald.ini': 'drain-delay = 10ms\n' } });
        herald.writeFile('herald.ini', 'drain-delay = 40s\n');
        herald.child.signal('SIGHUP');
        await herald.waitLog(/event="options read again" changed=drain-delay/);
        herald.child.signal('SIGTERM');
        await herald.waitLog(/event=draining delay_ms=40000/);
        herald.child.signal('SIGTERM');
        await within(herald.child.exited, 20000, 'the end');
    });

    /* Each connection that was made is answered, and ends with a close frame. */
    for (const where of ['tcp', 'unix']) {
        test(`clients that connect while SIGTERM closes the port are answered, or refused, and never reset (${where})`, { tries: 3 }, async (t) => {
            const socket = path.join(t.tempDir(), 's');
            const herald = await t.herald({ store: 'memory', args: ['--listen', `unix:${socket}`, '--insecure', '--drain-time', '1s',
                '--drain-delay', where === 'tcp' ? '2500ms' : '0s'] }); /* the kernel has held some back until then */
            const target = where === 'unix' ? { path: socket } : { host: '127.0.0.1', port: herald.port };
            const results = { answered: 0, refused: 0, other: [] };
            let isOver = false;
            const connectOn = async (n) => {
                for (let i = 0; !isOver; i++) {
                    const url = where === 'unix' ? `ws+unix://${socket}:/ws?userId=c${n}-${i}` : herald.url(`c${n}-${i}`);
                    const client = new Subscriber(url);
                    try {
                        await client.opened;
                        results.answered += 1;
                        client.closed.then(({ code }) => {
                            if (code !== 1012) {
                                results.other.push(`close ${code}`);
                            }
                        });
                    } catch (error) {
                        if (!['ECONNREFUSED', 'ENOENT'].includes(error.code)) {
                            results.other.push(error.code ?? error.message);
                        }
                        results.refused += 1;
                        return;
                    }
                    if (i % 10 === 9) {
                        client.terminate();
                    }
                    await sleep(5);
                }
            };
            const connecting = range(8).map(connectOn);
            await waitUntil('many are open', () => results.answered > 50);
            herald.child.signal('SIGTERM');
            await within(Promise.all(connecting), PATIENCE_MS, 'the last connect');
            isOver = true;
            assert.ok(['ECONNREFUSED', 'ENOENT'].includes(await connectError(target)));
            assert.deepEqual(await within(herald.child.exited, PATIENCE_MS, 'the end'), EXITED);
            await sleep(50);
            /* Between the last look at a TCP socket and its end there is an instant. */
            const lost = results.other.filter((what) => what !== 'close 1006');
            assert.ok(lost.length <= (where === 'tcp' ? 1 : 0), lost.join());
            assert.equal(results.refused, 8);
        });
    }

    /* The kernel holds them back until their first bytes come, and tries again after a second. */
    test('a client that has connected and said nothing yet is answered when the port is closed', { tries: 3 }, async (t) => {
        const herald = await t.herald({ store: 'memory', args: ['--drain-delay', `${2500 * t.scale}ms`, '--drain-time', `${t.scale}s`] });
        await herald.subscribe('stays for the drain');
        const raws = await Promise.all(range(4).map(() => t.raw(herald.port)));
        herald.child.signal('SIGTERM');
        await waitRefused(herald);
        for (const [i, raw] of raws.entries()) {
            assert.equal((await raw.send(handshake(`/ws?userId=${i}`)).answer()).status, 101);
        }
        for (const raw of raws) {
            assert.equal(await raw.closeCode(), 1012);
        }
    });

    /* ---- POST /drain of all ---- */

    test('POST /drain refuses new clients with a time, closes the others, and does not end the program', async (t) => {
        const herald = await t.herald({ store: 'memory', args: ['--drain-time', '300ms', '--allowed-origin', ORIGIN] });
        const client = await herald.subscribe('u');
        const answer = await herald.post('/drain', {});
        assert.deepEqual([answer.status, answer.json], [202, { closing: 1, seconds: 0.3 }]);
        assert.deepEqual([await readyz(herald), await readyzOfPort(herald)], [503, 503]);
        const refused = await exchange(herald.port, handshake('/ws?userId=late'));
        assertProblem(refused, 503, { type: 'draining' });
        assert.ok(refused.headers['retry-after'] >= 1 && refused.headers['retry-after'] <= 11);
        const page = new Subscriber(herald.url('late'), { headers: { Origin: ORIGIN } });
        const { code, word, ms } = await closeOf(page);
        assert.deepEqual([code, word], [1013, 'draining']);
        assert.ok(ms >= 1000 && ms <= 11000, `${ms}`);
        const stream = await herald.events('late');
        assert.equal(stream.status, 200);
        await stream.waitEnd();
        assert.ok(stream.retry >= 1000 && stream.retry <= 11000, `retry ${stream.retry}`);
        assert.equal((await closeOf(client)).code, 1012);
        const { draining, closing } = await stats(herald);
        assert.deepEqual({ draining, closing }, { draining: true, closing: 0 });
        assert.equal((await herald.push('u', 1)).status, 202, 'pushes are kept');
        assert.equal((await herald.push('u', 1, { wait: 0.1 })).json.waited, undefined);
        assert.deepEqual((await herald.post('/drain', '')).json, { closing: 0, seconds: 0 });
        assert.ok(herald.child.isRunning());
    });

    test('cancel takes a drain back: readiness, new clients, and whoever is not closed yet', async (t) => {
        const herald = await t.herald({ store: 'memory', args: ['--drain-time', '60s', '--allowed-origin', ORIGIN] });
        const clients = await Promise.all(range(6).map((n) => herald.subscribeV1(`u${n}`)));
        const stream = await herald.events('s');
        await Promise.all(clients.map((client) => client.wait('hello')));
        assert.deepEqual((await herald.post('/drain', {})).json, { closing: 7, seconds: 60 });
        for (const client of clients) {
            const [{ reason, reconnectAfterMs }] = await client.wait('goaway');
            assert.equal(reason, 'drain');
            assert.ok(reconnectAfterMs >= 0 && reconnectAfterMs < 60000, `${reconnectAfterMs}`);
        }
        assert.equal((await stats(herald)).closing, 7);
        assert.equal(await herald.metric('herald_sessions_leaving'), 7);
        const answer = await herald.post('/drain', { cancel: true });
        assert.deepEqual([answer.status, answer.json], [202, { closing: 0, seconds: 0 }]);
        assert.deepEqual([await readyz(herald), await readyzOfPort(herald)], [200, 200]);
        for (const client of clients) {
            await waitUntil('it is told', () => client.frames.at(-1).type === 'stay');
            assert.deepEqual(client.frames.at(-1), { type: 'stay' });
        }
        await waitUntil('none is to be closed', async () => (await stats(herald)).closing === 0);
        await herald.subscribe('new', { headers: { Origin: ORIGIN } });
        await herald.mustPush('u0', 'goes on');
        await clients[0].wait('notification');
        assert.ok(stream.response.complete === false);
        assert.equal((await herald.post('/drain', { cancel: true })).status, 202, 'there is nothing to take back');
    });

    test('a drain is said to be one by GET /nodes, and one of some sessions is not', async (t) => {
        const herald = await t.herald({ store: 'memory', args: ['--drain-time', '60s'] });
        await herald.subscribe('u');
        const state = async () => (await herald.request('GET', '/nodes')).json.nodes[0].state;
        await herald.post('/drain', { connections: 1 });
        assert.equal(await state(), 'up');
        assert.deepEqual([await readyz(herald), (await stats(herald)).draining], [200, false]);
        await herald.post('/drain', {});
        assert.equal(await state(), 'draining');
        await herald.post('/drain', { cancel: true });
        assert.equal(await state(), 'up');
    });

    /* ---- some, and the rate ---- */

    test('POST /drain {connections, rate} closes the longest connected, one after the other, and stays ready', async (t) => {
        const herald = await t.herald({ store: 'memory', args: ['--workers', '1', '--log-level', 'debug'] });
        const clients = await subscribeInOrder(herald, 20);
        const ends = watchCloses(clients);
        const answer = await herald.post('/drain', { connections: 12, rate: 10 });
        assert.deepEqual([answer.status, answer.json], [202, { closing: 12, seconds: 1.2 }]);
        assert.equal(await readyz(herald), 200);
        await herald.subscribe('new');
        await waitUntil('they are closed', () => ends.length === 12);
        assert.deepEqual(ends.map(({ code }) => code), Array(12).fill(1012));
        /* What is read at the same moment is seen in any order here. */
        const ended = await waitUntil('the log says who was closed', () => {
            const users = [...herald.log.matchAll(/event="session ended".* user=u(\d+)/g)].map(([, i]) => Number(i));
            return users.length === 12 && users;
        });
        assert.deepEqual(ended, range(12), 'in the order in which they came');
        assert.ok(ends[11].ms >= 1000, `one in each tenth of a second: ${ends.map(({ ms }) => ms)}`);
        await sleep(300);
        assert.equal(ends.length, 12, 'the others stay');
        assert.equal((await stats(herald)).connections, 9);
    });

    test('the longest connected are those of all workers', async (t) => {
        const herald = await t.herald({ store: 'memory', args: ['--workers', '3'] });
        const clients = await subscribeInOrder(herald, 30);
        const ends = watchCloses(clients);
        assert.deepEqual((await herald.post('/drain', { connections: 10, rate: 1000 })).json, { closing: 10, seconds: 0.01 });
        await waitUntil('they are closed', () => ends.length >= 10);
        await sleep(200);
        assert.deepEqual(ends.map(({ i }) => i).sort((a, b) => a - b), range(10));
    });

    test('a rate slows a drain of all down, and a second one speeds it up', { tries: 3 }, async (t) => {
        const herald = await t.herald({ store: 'memory', args: ['--drain-time', '100ms'] });
        const clients = await Promise.all(range(4).map((n) => herald.subscribeV1(`u${n}`)));
        assert.deepEqual((await herald.post('/drain', { rate: 1 })).json, { closing: 4, seconds: 4 });
        for (const client of clients) {
            await client.wait('goaway');
        }
        const { closing, seconds } = (await herald.post('/drain', { rate: 100 })).json;
        assert.ok(closing >= 2 && seconds === closing / 100, `${closing} in ${seconds}`);
        await Promise.all(clients.map((client) => client.waitClosed()));
    });

    /* ---- what is refused ---- */

    test('a field of POST /drain that is wrong is named, and nothing happens', async (t) => {
        const herald = await t.herald({ store: 'memory' });
        const client = await herald.subscribe('u');
        for (const [field, body] of [
            ['connections', { connections: 0 }], ['connections', { connections: -1 }], ['connections', { connections: 1.5 }],
            ['connections', { connections: '5' }], ['connections', { connections: null }], ['connections', { connections: 1e9 }],
            ['rate', { rate: 0 }], ['rate', { rate: 0.5 }], ['rate', { rate: 1000001 }], ['rate', { connections: 1, rate: [] }],
            ['cancel', { cancel: 'yes' }], ['cancel', { cancel: 1 }],
            ['connections', { cancel: true, connections: 1 }], ['rate', { cancel: true, rate: 5 }],
        ]) {
            assertProblem(await herald.post('/drain', body), 400, { type: 'invalid-field', field });
        }
        assertProblem(await herald.post('/drain', { now: true }), 400, { type: 'unknown-field', field: 'now' });
        assertProblem(await herald.post('/drain', '{'), 400, { type: 'bad-json' });
        assertProblem(await herald.post('/drain', '{"rate":1,"rate":2}'), 400, { type: 'bad-json' });
        assert.equal(await readyz(herald), 200);
        assert.equal((await stats(herald)).closing, 0);
        client.terminate();
    });

    test('some cannot be closed while all are, and nothing can be asked after SIGTERM', async (t) => {
        const herald = await t.herald({ store: 'memory', args: ['--drain-delay', '30s', '--drain-time', '60s'] });
        const client = await herald.subscribe('u');
        await herald.post('/drain', {});
        assertProblem(await herald.post('/drain', { connections: 1 }), 409, { type: 'conflict' });
        await herald.post('/drain', { cancel: true });
        herald.child.signal('SIGTERM');
        await herald.waitLog(/event=draining delay_ms=30000/);
        for (const body of [{}, { cancel: true }, { connections: 1 }]) {
            assertProblem(await herald.post('/drain', body), 409, { type: 'conflict' });
        }
        assert.equal(await readyz(herald), 503);
        await herald.subscribe('v');
        assert.equal(client.socket.readyState, 1);
        herald.child.signal('SIGTERM');
        await within(herald.child.exited, 20000, 'the end');
    });

    /* An operator takes the node out of the balancer first, so SIGTERM has nothing to wait for. */
    test('SIGTERM after POST /drain goes on refusing, and counts the delay from there', { tries: 3 }, async (t) => {
        const herald = await t.herald({ store: 'memory', args: ['--drain-delay', `${2 * t.scale}s`, '--drain-time', '1h'] });
        await herald.subscribe('u');
        const begin = Date.now();
        await herald.post('/drain', {});
        await sleep(1000 * t.scale);
        herald.child.signal('SIGTERM');
        await herald.waitLog(/event=draining delay_ms=\d+/);
        const [, delayMs] = /event=draining delay_ms=(\d+)/.exec(herald.log);
        assert.ok(delayMs <= 1000 * t.scale, delayMs);
        assertProblem(await exchange(herald.port, handshake('/ws?userId=late')), 503, { type: 'draining' });
        await waitRefused(herald);
        assert.ok(Date.now() - begin >= 2000 * t.scale);
        herald.child.signal('SIGTERM');
        await within(herald.child.exited, 20000, 'the end');
    });

    /* ---- with another node ---- */

    test('clients of a drain come again at once where another node is up, and later where it drains as well', async (t) => {
        const store = await t.store('redis');
        const [a, b] = await Promise.all(['a', 'b'].map((name) =>
            t.herald({ store, args: ['--node-name', name, '--drain-time', '300ms'] })));
        await waitUntil('they know each other', async () =>
            (await a.request('GET', '/nodes')).json.nodes.length === 2 && (await b.request('GET', '/nodes')).json.nodes.length === 2);
        const clients = await Promise.all(range(10).map((n) => a.subscribe(`u${n}`)));
        const stream = await a.events('s');
        await a.post('/drain', {});
        for (const client of clients) {
            const { code, word, ms } = await closeOf(client);
            assert.deepEqual([code, word], [1012, 'restart']);
            assert.ok(ms >= 0 && ms <= 500, `${ms}`);
        }
        await stream.waitEnd();
        assert.ok(stream.retry <= 500, `retry ${stream.retry}`);
        await waitUntil('b sees that a drains', async () =>
            (await b.request('GET', '/nodes')).json.nodes.some(({ self, state }) => !self && state === 'draining'));
        const last = await Promise.all(range(10).map((n) => b.subscribe(`v${n}`)));
        await b.post('/drain', {});
        for (const client of last) {
            const { ms } = await closeOf(client);
            assert.ok(ms >= 500 && ms <= 5500, `${ms}`);
        }
    });
};
