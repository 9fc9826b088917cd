'use strict';
/* CONTRACT 7 and the "Bad input": what Herald says before it serves, and how it stops. */

const assert = require('node:assert/strict');
const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const path = require('node:path');
const { PATIENCE_MS, assertProblem, freePort, range, secret, waitUntil, within } = require('./harness');

/* A port that somebody else listens on. */
async function takenPort(t) {
    const server = net.createServer();
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.cleanup(() => new Promise((resolve) => server.close(resolve)));
    return server.address().port;
}

async function ports() {
    return { listen: await freePort(), admin: await freePort() };
}

/* Runs Herald to its end, by default with flags for free ports and a memory store. */
async function refused(t, flags = {}, more = [], options = {}) {
    const { listen, admin } = await ports();
    const all = {
        '--listen': `127.0.0.1:${listen}`, '--admin-listen': `127.0.0.1:${admin}`, '--store': 'memory:', ...flags,
    };
    const end = await t.runToEnd([...Object.entries(all).flat(), ...more], options);
    assert.notEqual(end.code, 0, 'it must not start');
    assert.equal(end.signal, null, `it must end by itself:\n${end.stderr}`);
    assert.ok(end.stderr.trim().length > 0, 'a message on stderr');
    return end.stderr;
}

async function printed(t, args, options) {
    const end = await t.runToEnd(['--print-config', ...args], options);
    assert.equal(end.code, 0, end.stderr);
    return end;
}

const valueOf = (text, name) => new RegExp(`^\\s*${name}\\s*=\\s*"?([^\\s"]*)`, 'm').exec(text)?.[1];

module.exports = (test) => {
    test('a subscriber port in use is an error that names it', async (t) => {
        const port = await takenPort(t);
        const message = await refused(t, { '--listen': `127.0.0.1:${port}` });
        assert.match(message, new RegExp(`${port}`));
        assert.match(message, /in use/i);
        assert.match(message, /--listen/);
    });

    test('an admin port in use is an error that names it', async (t) => {
        const port = await takenPort(t);
        const message = await refused(t, { '--admin-listen': `127.0.0.1:${port}` });
        assert.match(message, new RegExp(`${port}`));
        assert.match(message, /in use/i);
        assert.match(message, /--admin-listen/);
    });

    test('two Heralds never share a port unnoticed', async (t) => {
        const first = await t.herald({ store: 'memory' });
        const message = await refused(t, { '--listen': `127.0.0.1:${first.port}` });
        assert.match(message, /in use/i);
        assert.match(await refused(t, { '--admin-listen': `127.0.0.1:${first.adminPort}` }), /in use/i);
    });

    test('two Heralds never share a store directory, and the first goes on', async (t) => {
        const first = await t.herald({ store: 'file' });
        const directory = first.options.store.slice('file:'.length);
        const message = await refused(t, { '--store': first.options.store });
        assert.ok(message.includes(directory), message);
        await first.mustPush('u', 1);
        const client = await first.subscribe('u');
        await client.waitCount(1);
    });

    test('a directory whose Herald was killed can be opened again', async (t) => {
        const herald = await t.herald({ store: 'file' });
        await herald.mustPush('u', 1);
        await herald.kill();
        await herald.restart();
        assert.equal((await herald.user('u')).pending, 1);
    });

    test('a store path that cannot be written is an error that names it', async (t) => {
        const file = path.join(t.tempDir(), 'a-file');
        fs.writeFileSync(file, 'not a directory');
        for (const where of [file, path.join(file, 'below'), '/proc/herald']) {
            const message = await refused(t, { '--store': `file:${where}` });
            assert.ok(message.includes(where), message);
        }
    });

    test('a store that is no store is an error that names the option', async (t) => {
        for (const store of ['sqlite:x', 'file:', 'nonsense', 'redis://']) {
            assert.match(await refused(t, { '--store': store }), /store/);
        }
    });

    test('an unknown flag suggests the nearest', async (t) => {
        for (const [wrong, right] of [['--lisen', '--listen'], ['--ping-intervall', '--ping-interval'], ['--inboxmax', '--inbox-max']]) {
            const message = await refused(t, {}, [wrong, '1']);
            assert.ok(message.includes(wrong), message);
            assert.ok(message.includes(right), message);
        }
    });

    test('a bad value names the option', async (t) => {
        const cases = [
            ['--ping-interval', 'fast'], ['--ping-interval', '10'], ['--ping-interval', '-1s'], ['--ping-interval', '1ms'],
            ['--workers', 'many'], ['--workers', '-1'], ['--workers', '1.5'], ['--inbox-max', '0'],
            ['--max-data', '64 potatoes'], ['--max-data', '99999999999999999999999KiB'], ['--auth', 'magic'],
            ['--log-level', 'loud'], ['--listen', '127.0.0.1:99999'], ['--listen', 'nonsense'],
            ['--admin-listen', '127.0.0.1:'], ['--node-name', 'a b'], ['--max-handshakes-per-second', '-1'],
        ];
        for (const [flag, value] of cases) {
            const message = await refused(t, { [flag]: value });
            assert.ok(message.includes(flag.slice(2)), `${flag} ${value}: ${message}`);
        }
    });

    test('a flag without its value, and a word that is no flag, are errors', async (t) => {
        assert.match(await refused(t, {}, ['--ping-interval']), /ping-interval/);
        assert.match(await refused(t, {}, ['stray']), /stray/);
    });

    /* CONTRACT 1: nothing is open by accident. */
    test('beyond loopback it refuses to start, unless --insecure', async (t) => {
        const listen = `0.0.0.0:${await freePort()}`;
        for (const flag of ['--listen', '--admin-listen']) {
            const message = await refused(t, { [flag]: listen });
            assert.match(message, /insecure/);
            assert.ok(message.includes(flag.slice(2)), message);
        }
        const herald = await t.herald({ store: 'memory', args: ['--listen', listen, '--insecure'] });
        assert.ok(herald.child.isRunning());
    });

    test('the subscriber port may be beyond loopback when subscribers are identified', async (t) => {
        const listen = `0.0.0.0:${await freePort()}`;
        const herald = await t.herald({ store: 'memory', args: ['--listen', listen, '--auth', 'ticket'] });
        assert.ok(herald.child.isRunning());
        assert.match(await refused(t, { '--listen': listen, '--admin-listen': `0.0.0.0:${await freePort()}` }, ['--auth', 'ticket']),
            /admin-listen.*insecure/);
    });

    test('keys of the admin API do not open the subscriber port', async (t) => {
        const file = path.join(t.tempDir(), 'admin.keys');
        fs.writeFileSync(file, `ops admin ${secret('a-key-that-is-long-enough')}\n`, { mode: 0o600 });
        assert.match(await refused(t, { '--listen': `0.0.0.0:${await freePort()}`, '--admin-keys': file }), /--listen.*insecure/);
    });

    test('every address of loopback is loopback, and no other is', async (t) => {
        const check = (flag, value) => t.runToEnd(['--check-config', flag, value]);
        for (const flag of ['--listen', '--admin-listen']) {
            for (const host of ['127.0.0.1', '127.9.8.7', 'localhost', '[::1]']) {
                assert.equal((await check(flag, `${host}:1`)).code, 0, `${flag} ${host}`);
            }
            for (const host of ['0.0.0.0', '[::]', '10.0.0.1', '192.168.1.1', '[::2]', 'example.com']) {
                assert.equal((await check(flag, `${host}:1`)).code, 2, `${flag} ${host}`);
            }
        }
    });

    test('unprotected, a unix socket is for the admin port alone: subscribers at one come through a proxy', async (t) => {
        const listen = `unix:${path.join(t.tempDir(), 'ws.sock')}`;
        assert.match(await refused(t, { '--listen': listen }), /--listen.*insecure/);
        assert.equal((await t.runToEnd(['--check-config', '--admin-listen', listen])).code, 0);
        assert.equal((await t.runToEnd(['--check-config', '--listen', listen, '--auth', 'ticket'])).code, 0);
    });

    /* CONTRACT 1: the admin port while it has no keys. */
    test('the admin port refuses a Host that is not loopback, proxies, foreign origins and forms', async (t) => {
        const herald = await t.herald({ store: 'memory' });
        const cases = [
            { Host: 'evil.example' }, { Host: '127.0.0.1.evil.example' }, { Host: '10.0.0.1' }, { Forwarded: 'for=10.0.0.1' },
            { 'X-Forwarded-For': '10.0.0.1' }, { 'X-Forwarded-Host': 'localhost' }, { 'x-forwarded-port': '1' },
            { Origin: 'https://evil.example' }, { Origin: 'null' }, { Origin: `http://127.0.0.1:${herald.port}` },
        ];
        for (const headers of cases) {
            for (const [method, target] of [['GET', '/stats'], ['GET', '/metrics'], ['DELETE', '/users/u/inbox'], ['GET', '/nowhere']]) {
                assertProblem(await herald.request(method, target, { headers }), 403, { type: 'forbidden' });
            }
            assertProblem(await herald.post('/push', { userId: 'u', data: 1 }, headers), 403, { type: 'forbidden' });
            /* Every client gets the health, but not a page of another site. */
            assert.equal((await herald.request('GET', '/livez', { headers })).status, 'Origin' in headers ? 403 : 200);
        }
        for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'application/jsonx', '']) {
            assertProblem(await herald.post('/push', { userId: 'u', data: 1 }, { 'Content-Type': type }), 415);
        }
        assertProblem(await herald.request('POST', '/drain', { body: '{}' }), 415);
        const own = { Origin: `http://127.0.0.1:${herald.adminPort}` };
        assert.equal((await herald.post('/push', { userId: 'u', data: 1 }, own)).status, 202);
    });

    test('an admin port at a unix socket asks for no Host, and takes no proxy', async (t) => {
        const listen = path.join(t.tempDir(), 'admin.sock');
        const herald = await t.prepare({ store: 'memory', args: ['--admin-listen', `unix:${listen}`] });
        herald.launch();
        const ask = (headers) => new Promise((resolve, reject) => {
            http.get({ socketPath: listen, path: '/stats', headers, agent: false }, (answer) => {
                answer.resume();
                resolve(answer.statusCode);
            }).on('error', reject);
        });
        await waitUntil('it listens', async () => await ask({ Host: 'anything.example' }) === 200);
        assert.equal(await ask({ Host: 'localhost', 'X-Forwarded-For': '10.0.0.1' }), 403);
        assert.equal(await ask({ Host: 'localhost', Origin: 'https://evil.example' }), 403);
    });

    test('a file that is no socket is never replaced by one', async (t) => {
        const file = path.join(t.tempDir(), 'herald.ini');
        fs.writeFileSync(file, 'precious');
        for (const port of ['--listen', '--admin-listen']) {
            assert.match(await refused(t, { [port]: `unix:${file}` }, ['--insecure']), /herald\.ini: Address already in use/);
            assert.equal(fs.readFileSync(file, 'utf8'), 'precious');
        }
    });

    test('--demo refuses to start beyond loopback, --insecure or not', async (t) => {
        const listen = `0.0.0.0:${await freePort()}`;
        assert.match(await refused(t, { '--listen': listen }, ['--demo', '--insecure']), /demo/);
        assert.match(await refused(t, { '--listen': `unix:${path.join(t.tempDir(), 'demo')}` }, ['--demo', '--auth', 'ticket']), /demo/);
    });

    test('--help names every option and ends with 0', async (t) => {
        const end = await t.runToEnd(['--help']);
        assert.equal(end.code, 0, end.stderr);
        for (const name of ['--listen', '--admin-listen', '--store', '--workers', '--ping-interval', '--insecure',
            '--inbox-max', '--max-connections-per-user', '--demo', '--config', '--check-config', '--print-config']) {
            assert.ok(end.stdout.includes(name), `${name} in --help`);
        }
    });

    test('--version says herald and a number', async (t) => {
        const end = await t.runToEnd(['--version']);
        assert.equal(end.code, 0);
        assert.match(end.stdout, /^herald \d+\.\d+/);
    });

    test('--print-config prints what it would run with, in the form of the file', async (t) => {
        const directory = t.tempDir();
        const { stdout } = await printed(t, ['--ping-interval', '3s', '--redis-prefix', 'pigeon']);
        assert.equal(valueOf(stdout, 'redis-prefix'), 'pigeon');
        assert.equal(valueOf(stdout, 'ping-interval'), '3s');
        assert.equal(valueOf(stdout, 'admin-listen'), '127.0.0.1:8081');
        const file = path.join(directory, 'printed.ini');
        fs.writeFileSync(file, stdout);
        const again = await printed(t, ['--config', file]);
        const settings = (text) => text.split('\n').map((line) => line.replace(/\s;.*$/, ''))
            .filter((line) => line && !/^\s*[#;]|^\s*config\s*=/.test(line));
        assert.deepEqual(settings(again.stdout), settings(stdout));
    });

    test('--check-config says whether it would start', async (t) => {
        assert.equal((await t.runToEnd(['--check-config', '--store', 'memory:'])).code, 0);
        const bad = await t.runToEnd(['--check-config', '--ping-interval', 'fast']);
        assert.notEqual(bad.code, 0);
        assert.match(bad.stderr, /ping-interval/);
        for (const args of [['--auth', 'jwt'], ['--auth', 'jwt', '--jwt-keys', '/nowhere/keys'], ['--admin-keys', '/nowhere/keys'],
            ['--store', 'redis://u:p@h:bad'], ['--store', 'file:'], ['--store', 'postgres://h']]) {
            const checked = await t.runToEnd(['--check-config', ...args]);
            const started = await t.runToEnd(args);
            assert.deepEqual([checked.code, started.code], [2, 2], args.join(' '));
            assert.ok(started.stderr.endsWith(checked.stderr), started.stderr);
        }
    });

    test('flags come before HERALD_ variables, those before the file, that before the default', async (t) => {
        const file = path.join(t.tempDir(), 'herald.ini');
        fs.writeFileSync(file, '# a comment\nredis-prefix = of-file\nlog-format = json\nping-interval = 7s\n');
        const env = { HERALD_REDIS_PREFIX: 'of-environment', HERALD_LOG_FORMAT: 'json' };
        const all = await printed(t, ['--config', file, '--redis-prefix', 'of-flag'], { env });
        assert.equal(valueOf(all.stdout, 'redis-prefix'), 'of-flag');
        const two = await printed(t, ['--config', file], { env });
        assert.equal(valueOf(two.stdout, 'redis-prefix'), 'of-environment');
        const one = await printed(t, ['--config', file]);
        assert.equal(valueOf(one.stdout, 'redis-prefix'), 'of-file');
        assert.equal(valueOf(one.stdout, 'ping-interval'), '7s');
        assert.equal(valueOf((await printed(t, [])).stdout, 'redis-prefix'), 'herald');
    });

    test('the file may be named by HERALD_CONFIG, and a switch set in either', async (t) => {
        const file = path.join(t.tempDir(), 'herald.ini');
        fs.writeFileSync(file, 'demo = on\n');
        const fromFile = await printed(t, [], { env: { HERALD_CONFIG: file } });
        assert.equal(valueOf(fromFile.stdout, 'demo'), 'on');
        assert.equal(valueOf((await printed(t, [], { env: { HERALD_DEMO: 'on' } })).stdout, 'demo'), 'on');
        const off = await printed(t, ['--demo=off'], { env: { HERALD_DEMO: 'on' } });
        assert.equal(valueOf(off.stdout, 'demo'), 'off');
    });

    test('an unknown key, a bad value or a missing file is an error that says where', async (t) => {
        const file = path.join(t.tempDir(), 'herald.ini');
        fs.writeFileSync(file, '# first\nlisen = 127.0.0.1:1\n');
        const unknown = await refused(t, { '--config': file });
        assert.match(unknown, /lisen/);
        assert.match(unknown, /\blisten\b/);
        assert.ok(unknown.includes(file), unknown);
        fs.writeFileSync(file, 'ping-interval = fast\n');
        assert.match(await refused(t, { '--config': file }), /ping-interval/);
        assert.match(await refused(t, { '--config': '/nowhere/herald.ini' }), /\/nowhere\/herald\.ini/);
    });

    test('an unknown HERALD_ variable is a warning, a bad value of a known one an error', async (t) => {
        const herald = await t.herald({ store: 'memory', env: { HERALD_PORT: '99', HERALD_PING_INTERVALL: '3s' } });
        await waitUntil('the warning', () => /HERALD_PORT/.test(herald.log));
        await herald.waitLog(/HERALD_PING_INTERVALL/);
        assert.match(await refused(t, {}, [], { env: { HERALD_PING_INTERVAL: 'fast' } }), /ping.interval/i);
    });

    test('logs are logfmt or JSON, one event a line, without payloads', async (t) => {
        for (const format of ['logfmt', 'json']) {
            const herald = await t.herald({ store: 'memory', args: ['--log-format', format, '--log-level', 'debug'] });
            const client = await herald.subscribe('somebody');
            await herald.mustPush('somebody', 'the-secret-payload');
            await client.waitCount(1);
            await client.close();
            await herald.stop();
            const lines = herald.log.trim().split('\n');
            assert.ok(lines.length > 0);
            for (const line of lines) {
                if (format === 'json') {
                    assert.equal(typeof JSON.parse(line), 'object', line);
                } else {
                    assert.match(line, /^[a-z_]+=\S/, line);
                }
            }
            assert.doesNotMatch(herald.log, /the-secret-payload/);
        }
    });

    test('SIGINT and SIGTERM end it with 0', async (t) => {
        for (const signal of ['SIGINT', 'SIGTERM']) {
            const herald = await t.herald();
            await herald.subscribe('u');
            herald.child.signal(signal);
            assert.deepEqual(await within(herald.child.exited, PATIENCE_MS, 'the end'), { code: 0, signal: null });
        }
    });

    test('a second SIGTERM stops at once', async (t) => {
        const herald = await t.herald({ store: 'memory', args: ['--drain-time', '10m'] });
        const clients = [];
        for (const n of range(10)) {
            clients.push(await herald.subscribe(`u${n}`));
        }
        herald.child.signal('SIGTERM');
        await waitUntil('it drains', async () => (await herald.request('GET', '/readyz')).status === 503);
        assert.ok(herald.child.isRunning(), 'the drain takes its time');
        herald.child.signal('SIGTERM');
        const end = await within(herald.child.exited, PATIENCE_MS, 'the end after the second SIGTERM');
        assert.equal(end.signal === null || end.signal === 'SIGTERM', true);
        herald.wasKilled = true;
        await Promise.all(clients.map((client) => client.waitClosed()));
    });

    test('the drain is spread: not all are closed at once, and it ends within its time', { tries: 3 }, async (t) => {
        const herald = await t.herald({ store: 'memory', args: ['--drain-time', '1500ms'] });
        const times = [];
        for (const n of range(30)) {
            const client = await herald.subscribe(`u${n}`);
            client.closed.then(({ code }) => times.push([Date.now(), code]));
        }
        herald.child.signal('SIGTERM');
        assert.deepEqual(await within(herald.child.exited, PATIENCE_MS, 'the end'), { code: 0, signal: null });
        await waitUntil('all are closed', () => times.length === 30);
        assert.ok(times.every(([, code]) => code === 1012), JSON.stringify(times));
        assert.ok(times.at(-1)[0] - times[0][0] > 300, `closed within ${times.at(-1)[0] - times[0][0]} ms`);
    });

    const startWithFewDescriptors = async (t, options, more = []) => {
        const herald = await t.prepare(options);
        const binary = herald.binary;
        const args = herald.arguments();
        herald.binary = '/bin/sh';
        herald.arguments = () => ['-c', 'ulimit -n 64; exec "$0" "$@"', binary, ...args, ...more];
        await herald.start();
        return herald;
    };

    test('it survives running out of descriptors', async (t) => {
        const herald = await startWithFewDescriptors(t, { store: 'memory' }, ['--max-connections', '1000']);
        const raws = [];
        for (const _ of range(100)) {
            raws.push(await t.raw(herald.port));
        }
        raws.forEach((raw) => raw.destroy());
        await waitUntil('it serves again', async () => {
            const client = await herald.subscribe('u');
            await herald.mustPush('u', 1, { ttl: 0 });
            await client.waitCount(1, 1000);
            return true;
        });
    });

    test('an admin request that finds no descriptor is refused, and its connection goes on', { tries: 3 }, async (t) => {
        const herald = await startWithFewDescriptors(t, { store: 'memory', args: ['--workers', '1', '--inbox-max-bytes', '8MiB'] });
        for (const _ of range(60)) {
            await herald.mustPush('large', 'x'.repeat(60000));
        }
        const raws = await Promise.all(range(20).map(() => t.raw(herald.adminPort)));
        const ask = (raw) => raw.send('GET /users/large/inbox?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n');
        let refused;
        for (const raw of raws) { /* what they have asked for is not read, but for its beginning */
            raw.socket.once('data', () => raw.socket.pause());
            ask(raw);
            await waitUntil('an answer begins', () => raw.bytes.length > 0);
            refused = raw;
            if (/^HTTP\/1\.1 503 /.test(raw.bytes.toString('latin1'))) {
                break;
            }
        }
        assertProblem(await refused.answer(), 503, { detail: 'out of memory or descriptors' });
        refused.socket.resume();
        raws.filter((raw) => raw !== refused).forEach((raw) => raw.destroy());
        await waitUntil('it is served again', async () => (await ask(refused).answer()).status === 200);
    });

    test('--listen and --admin-listen may be unix sockets', async (t) => {
        const directory = t.tempDir();
        const listen = path.join(directory, 'ws.sock');
        const herald = await t.herald({ store: 'memory', args: ['--listen', `unix:${listen}`, '--insecure'] });
        const socket = net.connect(listen);
        await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
        socket.write('GET /ws?userId=1 HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
            + 'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n');
        const first = await new Promise((resolve) => socket.once('data', resolve));
        assert.match(first.toString(), /^HTTP\/1\.1 101 /);
        socket.destroy();
        assert.ok(herald.child.isRunning());
    });
};
