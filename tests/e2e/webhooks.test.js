'use strict';
/* --webhooks: what an endpoint is sent, how it is signed, and what each of its answers means. */

const assert = require('node:assert/strict');
const net = require('node:net');
const { Webhook } = require('standardwebhooks');
const { Authority, freePort, makeWebhookSecret, partitionOf, range, sleep, startReceiver, usersOfPartition, waitUntil,
    webhooks } = require('./harness');

const { start, come, shown, waitShown, requestsOf, inTurn } = webhooks;

/* A TCP server that answers a request with these bytes, and says how many of them it could send. */
async function rawServer(t, answer) {
    const server = net.createServer((socket) => {
        let head = '';
        socket.on('error', () => {});
        socket.on('data', (chunk) => {
            head += chunk.toString('latin1');
            const end = head.indexOf('\r\n\r\n');
            const length = Number(/content-length: (\d+)/i.exec(head)?.[1]);
            if (end >= 0 && head.length >= end + 4 + length) {
                head = '';
                answer(socket);
            }
        });
    });
    await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
    t.cleanup(() => server.close());
    return server.address().port;
}

module.exports = (test) => {
    test('an event is sent, signed as the specification says, and acknowledged by 200', async (t) => {
        const receiver = await startReceiver(t);
        const herald = await start(t, [receiver]);
        await come(herald, ['ada']);
        const [event] = await receiver.waitCount('user.online', 1);
        assert.equal(event.userId, 'ada');
        const [request] = receiver.requests;
        assert.equal(request.method, 'POST');
        assert.equal(request.httpVersion, '1.1');
        assert.match(request.headers['user-agent'], /^Herald\/\d+\.\d+\.\d+/);
        assert.equal(request.headers['content-type'], 'application/json');
        const [partition, epoch, number] = event.id.split(/[.-]/);
        assert.equal(request.id, `evt_${partition}_${epoch}_${number}_${number}`);
        assert.deepEqual(new Webhook(receiver.key).verify(request.text, request.headers), { events: [event] });
        assert.throws(() => new Webhook(makeWebhookSecret()).verify(request.text, request.headers));
        await waitShown(herald, 'it is acknowledged', ({ state, lag, lastStatus, failures }) =>
            state === 'ok' && lag === 0 && lastStatus === 200 && failures === 0);
        assert.equal(await requestsOf(herald, 'ok'), 1);
        assert.equal(await herald.metric('herald_webhook_seconds_count'), 1);
        receiver.check();
    });

    test('a connection is used again, and a batch has at most as many events as its line says', async (t) => {
        const receiver = await startReceiver(t, { answer: inTurn(503, 200) });
        const herald = await start(t, [receiver.line('batch=3')]);
        await come(herald, usersOfPartition(5, 10));
        await receiver.waitCount('user.online', 10);
        const sizes = receiver.requests.map(({ events }) => events.length);
        assert.ok(sizes.every((size) => size <= 3), sizes.join(' '));
        assert.ok(sizes.includes(3), sizes.join(' '));
        assert.equal(new Set(receiver.requests.map(({ socket }) => socket)).size, 1);
        receiver.check();
    });

    test('what fails is repeated after a second and later, with the same id and the same bytes', async (t) => {
        const failures = [500, 408, 425, 429, 'reset', 'half', { status: 307, headers: { location: '/elsewhere' } }];
        await Promise.all(failures.map(async (answer) => {
            const receiver = await startReceiver(t, { answer: inTurn(answer, 200) });
            const herald = await start(t, [receiver], { store: 'memory' });
            await come(herald, usersOfPartition(3, 1));
            await receiver.waitRequests(1);
            await come(herald, usersOfPartition(3, 2).slice(1));
            await receiver.waitCount('user.online', 2);
            const [first, second] = receiver.requests;
            assert.equal(second.id, first.id, JSON.stringify(answer));
            assert.equal(second.text, first.text);
            assert.ok(second.atMs - first.atMs >= 700, `${second.atMs - first.atMs} ms`);
            assert.ok(receiver.requests.every(({ url }) => url === receiver.path));
            receiver.check();
        }));
    });

    test('GET /webhooks names what went wrong', async (t) => {
        const receiver = await startReceiver(t, { answer: () => ({ status: 302, headers: { location: 'http://a.example/' } }) });
        const herald = await start(t, [receiver], { store: 'memory' });
        await come(herald, ['ada']);
        await waitShown(herald, 'the redirect is named', (webhook) => webhook.state === 'failing'
            && webhook.lastStatus === 302 && /redirect/.test(webhook.lastError) && webhook.failures >= 1
            && webhook.lag === 1 && webhook.nextAttempt > Date.now() - 1000 && webhook.lastAttempt > 0);
        receiver.answer = () => 'half';
        await waitShown(herald, 'the broken head is named', ({ lastStatus, lastError }) =>
            lastStatus === null && /ended within its head/.test(lastError ?? ''));
        receiver.answer = () => ({ status: 503, headers: { 'retry-after': '600' } });
        await waitShown(herald, 'Retry-After counts', ({ lastStatus, nextAttempt }) =>
            lastStatus === 503 && nextAttempt > Date.now() + 500000);
        assert.ok(await requestsOf(herald, 'redirect') >= 1);
        assert.ok(await requestsOf(herald, 'error') >= 1);
        assert.ok(await requestsOf(herald, 'failed') >= 1);
        assert.equal(await requestsOf(herald, 'ok'), 0);
    });

    test('Retry-After is waited for, in seconds and as a date', { tries: 3 }, async (t) => {
        const later = () => new Date(Date.now() + 4000).toUTCString();
        await Promise.all([() => '3', later].map(async (value) => {
            const answers = [() => ({ status: 429, headers: { 'retry-after': value() } }), () => 200];
            const receiver = await startReceiver(t, { answer: () => (answers.length > 1 ? answers.shift() : answers[0])() });
            const herald = await start(t, [receiver], { store: 'memory' });
            await come(herald, ['ada']);
            await receiver.waitCount('user.online', 1);
            const [first, second] = receiver.requests;
            assert.ok(second.atMs - first.atMs >= 2500, `${second.atMs - first.atMs} ms`);
            assert.ok(second.atMs - first.atMs < 10000, `${second.atMs - first.atMs} ms`);
        }));
    });

    test('an endpoint that does not answer in its time is asked again', async (t) => {
        const receiver = await startReceiver(t, { answer: inTurn('hang', 200) });
        const herald = await start(t, [receiver.line('timeout=500ms')], { store: 'memory' });
        await come(herald, ['ada']);
        await receiver.waitCount('user.online', 1);
        assert.equal(receiver.requests[0].id, receiver.requests[1].id);
        assert.equal(await requestsOf(herald, 'error'), 1);
    });

    test('an endpoint that is away gets everything when it is there, in the order of its users', async (t) => {
        const receiver = await startReceiver(t);
        await receiver.stop();
        const herald = await start(t, [receiver]);
        const users = range(40).map((n) => `user${n}`);
        await come(herald, users);
        await waitShown(herald, 'it is refused', ({ failures, lag }) => failures > 0 && lag === 40);
        await receiver.start();
        await receiver.waitCount('user.online', 40);
        for (const partition of range(16)) {
            const of = (list) => list.filter((user) => partitionOf(user) === partition);
            assert.deepEqual(of(receiver.events.map(({ userId }) => userId)), of(users));
        }
        receiver.check();
    });

    test('a refused batch is halved until the refused event is alone, and all others arrive', async (t) => {
        const users = usersOfPartition(9, 30);
        const bad = users[17];
        const receiver = await startReceiver(t, {
            answer: ({ events }) => (events.some(({ userId }) => userId === bad) ? 422 : 200),
        });
        await receiver.stop();
        const herald = await start(t, [receiver], { store: 'memory' });
        await come(herald, users);
        await receiver.start();
        await receiver.waitCount('user.online', 17);
        await receiver.waitFor('the refused event is alone', ({ requests }) =>
            requests.some(({ events }) => events.length === 1 && events[0].userId === bad));
        assert.deepEqual(receiver.events.map(({ userId }) => userId), users.slice(0, 17));
        assert.ok(receiver.requests.length <= 14, `${receiver.requests.length} requests`);
        await waitShown(herald, 'the refusal is shown', ({ state, lastStatus, lag }) =>
            state === 'failing' && lastStatus === 422 && lag === 13);
        receiver.check();
    });

    test('GET /webhooks shows what fails while the store is away, without a lag', async (t) => {
        const redis = await t.redis();
        await redis.start();
        const receiver = await startReceiver(t, { answer: () => 503 });
        const herald = await start(t, [receiver], { store: redis.url });
        await come(herald, ['ada']);
        await waitShown(herald, 'it fails', ({ state, lag }) => state === 'failing' && lag === 1);
        await redis.kill();
        await waitShown(herald, 'the lag is not known', (webhook) => webhook.state === 'failing'
            && webhook.lag === null && webhook.lagSeconds === null && webhook.lastStatus === 503
            && webhook.failures > 0);
        await redis.start();
        await waitShown(herald, 'the lag is known again', ({ lag }) => lag === 1);
    });

    test('410 switches an endpoint off until the file is read again', async (t) => {
        const receiver = await startReceiver(t, { answer: inTurn(410, 200) });
        const herald = await start(t, [receiver], { store: 'memory' });
        await come(herald, ['ada']);
        await waitShown(herald, 'it is off', ({ state, lastStatus }) => state === 'off' && lastStatus === 410);
        assert.equal(await herald.metric('herald_webhook_off{endpoint="hook"}'), 1);
        assert.match(herald.log, /webhook switched off until the file is read again/);
        await come(herald, ['bob', 'cleo']);
        await sleep(1500);
        assert.equal(receiver.requests.length, 1);
        herald.child.signal('SIGHUP');
        await receiver.waitCount('user.online', 3);
        assert.equal(await herald.metric('herald_webhook_off{endpoint="hook"}'), 0);
        receiver.check();
    });

    test('a body of 10 MiB is not read, and its status counts', async (t) => {
        let written = 0;
        const port = await rawServer(t, (socket) => {
            const bytes = 10 * 1024 * 1024;
            socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${bytes}\r\n\r\n`);
            socket.write(Buffer.alloc(bytes, 120), (error) => { written += error ? 0 : bytes; });
        });
        const herald = await start(t, [`hook http://127.0.0.1:${port}/ ${makeWebhookSecret()}\n`], { store: 'memory' });
        await come(herald, ['ada']);
        await waitShown(herald, 'it is acknowledged', ({ lag, lastStatus }) => lag === 0 && lastStatus === 200);
        assert.equal(written, 0);
        const answer = await herald.post('/webhooks/hook/test', {});
        assert.equal(answer.json.status, 200);
        assert.equal(answer.json.body.length, 4096);
    });

    test('an endless head, and what is not HTTP, are failures', async (t) => {
        const port = await rawServer(t, (socket) => {
            socket.write('HTTP/1.1 200 OK\r\n');
            const more = () => socket.writable && socket.write(`X-Line: ${'x'.repeat(1000)}\r\n`, () => setImmediate(more));
            more();
        });
        const old = await rawServer(t, (socket) => socket.end('hello\r\n'));
        const herald = await start(t, [`head http://127.0.0.1:${port}/ ${makeWebhookSecret()}\n`,
            `old http://127.0.0.1:${old}/ ${makeWebhookSecret()}\n`], { store: 'memory' });
        await come(herald, ['ada']);
        await waitShown(herald, 'the head is too long', ({ lastError }) => /head of the answer/.test(lastError ?? ''), 'head');
        await waitShown(herald, 'HTTP/0.9 is refused', ({ lastError, lastStatus }) =>
            lastStatus === null && lastError !== null, 'old');
    });

    test('certificates are verified, and what is wrong with one is named', async (t) => {
        const authority = new Authority(t.tempDir());
        const read = ({ cert, key }) => ({ cert: require('node:fs').readFileSync(cert), key: require('node:fs').readFileSync(key) });
        const good = await startReceiver(t, { name: 'good', tls: read(authority.issue('good')) });
        const expired = await startReceiver(t, { name: 'expired', tls: read(authority.issue('expired', { days: '-1' })) });
        const other = await startReceiver(t, { name: 'other', tls: read(authority.issue('other', { names: 'DNS:a.example' })) });
        const herald = await start(t, [good, expired, other], { store: 'memory', env: { SSL_CERT_FILE: authority.file } });
        await come(herald, ['ada']);
        await good.waitCount('user.online', 1);
        await waitShown(herald, 'the expiry is named', ({ lastError }) => /expired/.test(lastError ?? ''), 'expired');
        await waitShown(herald, 'the name is named', ({ lastError, lastStatus }) =>
            lastStatus === null && lastError !== null, 'other');
        assert.equal(expired.requests.length + other.requests.length, 0);
        await herald.stop();
        const alone = await start(t, [good], { store: 'memory' });
        await come(alone, ['ada']);
        await waitShown(alone, 'an unknown authority is named', ({ lastError }) => /certificate/.test(lastError ?? ''), 'good');
    });

    test('http: reaches loopback alone, by the address that is connected to', async (t) => {
        const interfaces = Object.values(require('node:os').networkInterfaces()).flat();
        const outside = interfaces.find(({ internal, family }) => !internal && family === 'IPv4')?.address;
        const local = await startReceiver(t, { name: 'local' });
        const lines = [local.line(), local.line().replace('local ', 'named ').replace('127.0.0.1', 'localhost')];
        let connections = 0;
        if (outside !== undefined) {
            const server = net.createServer((socket) => { connections += 1; socket.destroy(); });
            await new Promise((resolve) => { server.listen(0, outside, resolve); });
            t.cleanup(() => server.close());
            lines.push(`far http://${outside}:${server.address().port}/ ${makeWebhookSecret()}\n`);
        }
        const herald = await start(t, lines, { store: 'memory' });
        await come(herald, ['ada']);
        await local.waitFor('both are sent', ({ requests }) => requests.length >= 2);
        if (outside !== undefined) {
            await waitShown(herald, 'it is refused', ({ lastError }) => /loopback/.test(lastError ?? ''), 'far');
            assert.equal(connections, 0);
        }
    });

    test('no proxy of the environment is used', async (t) => {
        const receiver = await startReceiver(t);
        const nowhere = `http://127.0.0.1:${await freePort()}`;
        const env = { http_proxy: nowhere, https_proxy: nowhere, all_proxy: nowhere, ALL_PROXY: nowhere, HTTPS_PROXY: nowhere };
        const herald = await start(t, [receiver], { store: 'memory', env });
        await come(herald, ['ada']);
        await receiver.waitCount('user.online', 1);
    });

    test('--webhook-proxy carries https, and loopback is reached without it', async (t) => {
        const authority = new Authority(t.tempDir());
        const { cert, key } = authority.issue('far', { names: 'DNS:far.example' });
        const read = require('node:fs').readFileSync;
        const far = await startReceiver(t, { name: 'far', tls: { cert: read(cert), key: read(key) } });
        const near = await startReceiver(t, { name: 'near' });
        const asked = [];
        const proxy = require('node:http').createServer();
        proxy.on('connect', (request, socket) => {
            asked.push(request.url);
            const upstream = net.connect(far.port, '127.0.0.1', () => {
                socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
                upstream.pipe(socket).pipe(upstream);
            });
            upstream.on('error', () => socket.destroy());
            socket.on('error', () => upstream.destroy());
        });
        await new Promise((resolve) => { proxy.listen(0, '127.0.0.1', resolve); });
        t.cleanup(() => { proxy.close(); proxy.closeAllConnections(); });
        const herald = await start(t, [far.line().replace('127.0.0.1', 'far.example'), near], {
            store: 'memory', env: { SSL_CERT_FILE: authority.file },
            args: ['--webhook-proxy', `http://127.0.0.1:${proxy.address().port}`],
        });
        await come(herald, ['ada']);
        await far.waitCount('user.online', 1);
        await near.waitCount('user.online', 1);
        assert.deepEqual(asked, [`far.example:${far.port}`]);
        far.check();
        await herald.stop();
        proxy.on('request', (request, response) => { asked.push(request.url); response.end(); });
        const plain = `plain http://plain.example/ ${makeWebhookSecret()}\n`;
        const open = await start(t, [near, near.line().replace('near http://127.0.0.1', 'named HTTP://localhost'), plain], {
            store: 'memory', args: ['--insecure', '--webhook-proxy', `http://127.0.0.1:${proxy.address().port}`],
        });
        await come(open, ['bob']);
        await near.waitFor('both names of this machine', ({ requests }) => requests.length >= 3);
        await waitShown(open, 'what is elsewhere goes by the proxy', ({ lastStatus }) => lastStatus === 200, 'plain');
        assert.deepEqual(asked.slice(1), ['http://plain.example/']);
    });

    test('a test event is sent at once, and what came back is shown', async (t) => {
        const receiver = await startReceiver(t, { answer: () => ({ status: 418, body: 'short and stout' }) });
        const herald = await start(t, [receiver], { store: 'memory' });
        const answer = await herald.post('/webhooks/hook/test', {});
        assert.equal(answer.status, 200);
        assert.equal(answer.json.webhook, 'hook');
        assert.equal(answer.json.status, 418);
        assert.equal(answer.json.body, 'short and stout');
        const [request] = receiver.requests;
        const { events: [event] } = new Webhook(receiver.key).verify(request.text, request.headers);
        assert.equal(event.type, 'test');
        assert.equal((await herald.post('/webhooks/other/test', {})).status, 404);
        await receiver.stop();
        const failed = await herald.post('/webhooks/hook/test', {});
        assert.equal(failed.status, 200);
        assert.equal(failed.json.status, null);
        assert.match(failed.json.error, /connect/i);
    });

    test('a test that an endpoint does not answer is cut at a stop, and says so', async (t) => {
        const receiver = await startReceiver(t, { answer: () => 'hang' });
        const herald = await start(t, [receiver.line('timeout=60s')], { store: 'memory' });
        const answer = herald.post('/webhooks/hook/test', {});
        await waitUntil('it is sent', () => receiver.requests.length === 1);
        const end = herald.stop();
        const { status, json } = await answer;
        assert.deepEqual([status, json.status], [200, null]);
        assert.match(json.error, /Herald stops/);
        await end;
    });
};
