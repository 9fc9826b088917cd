'use strict';
/* The process among others: a log that nobody reads, signals it does not use, descriptors it was not given. */

const { execFileSync } = require('node:child_process');
const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { PATIENCE_MS, makeKey, range, waitUntil, within } = require('./harness');

/* A named pipe that is open at both ends and that nobody reads. */
function fullPipe(t) {
    const file = path.join(t.tempDir(), 'log');
    execFileSync('mkfifo', [file]);
    const fd = fs.openSync(file, fs.constants.O_RDWR | fs.constants.O_NONBLOCK);
    t.cleanup(() => fs.closeSync(fd));
    try {
        for (;;) {
            fs.writeSync(fd, 'x'.repeat(512));
        }
    } catch (error) {
        assert.equal(error.code, 'EAGAIN');
    }
    return { file, fd };
}

/* Started by a shell, which sets up the descriptors: `redirections` are appended to the command. */
async function prepareInShell(t, redirections, options = {}) {
    const herald = await t.prepare({ store: 'memory', ...options });
    const { binary } = herald;
    const args = herald.arguments();
    herald.binary = '/bin/sh';
    herald.arguments = () => ['-c', `exec "$0" "$@" ${redirections}`, binary, ...args];
    return herald;
}

async function startInShell(...args) {
    return (await prepareInShell(...args)).start();
}

/* Whole lines of standard error, as the reader of the pipe gets them. */
function readLines(fd) {
    const bytes = Buffer.alloc(1 << 16);
    let text = '';
    try {
        for (;;) {
            text += bytes.toString('utf8', 0, fs.readSync(fd, bytes));
        }
    } catch (error) {
        assert.equal(error.code, 'EAGAIN');
    }
    return text;
}

/* Puts a named pipe in the place of a file; nobody writes into it. */
function putPipe(file) {
    execFileSync('mkfifo', [`${file}.pipe`]);
    fs.renameSync(`${file}.pipe`, file);
}

module.exports = (test) => {
    test('a pipe in the place of a file is refused, and holds up neither service nor stop', async (t) => {
        const herald = await t.herald({ store: 'memory', files: { keys: makeKey('ES256').pem, ini: 'ping-interval = 5s\n' },
            args: ['--auth', 'jwt', '--jwt-keys', 'keys', '--config', 'ini'] });
        for (const name of ['keys', 'ini']) {
            putPipe(path.join(herald.options.cwd, name));
        }
        herald.child.signal('SIGHUP');
        const refused = /cannot be read: it is not a regular file, but a pipe or a device"$/;
        const said = (event) => herald.log.split('\n').filter((line) => line.includes(`event="${event}"`) && refused.test(line)).length;
        await waitUntil('both are refused', () => said('the keys for tokens stay as they were') > 0 && said('the options stay as they were') === 1);
        fs.rmSync(path.join(herald.options.cwd, 'ini'));
        fs.symlinkSync('/dev/zero', path.join(herald.options.cwd, 'ini'));
        herald.child.signal('SIGHUP');
        await waitUntil('it is refused', () => said('the options stay as they were') === 2);
        assert.equal((await herald.request('GET', '/livez')).status, 200);
        await herald.stop();
    });

    test('a log that nobody reads stops nothing, and what was dropped is told when it is read again', async (t) => {
        const { file, fd } = fullPipe(t);
        const herald = await startInShell(t, `2>'${file}'`, { args: ['--log-level', 'debug'] });
        const client = await herald.subscribe('u');
        const reason = 'r'.repeat(100);
        const dropped = () => herald.metric('herald_log_lines_dropped_total');
        while (await dropped() === 0) {
            await Promise.all(range(200).map(() => herald.request('POST', '/nowhere', {
                headers: { 'Content-Type': 'application/json', 'X-Padding': reason },
            })));
        }
        await herald.mustPush('u', 'still served');
        await client.waitCount(1);
        let log = '';
        await waitUntil('the line', () => {
            log += readLines(fd);
            return /lines of the log were dropped.* lines=\d+/.test(log);
        });
        assert.match(log, /^x*time=/);
    });

    test('SIGTERM ends it although nobody reads its log', async (t) => {
        const { file } = fullPipe(t);
        const herald = await startInShell(t, `2>'${file}'`);
        herald.child.signal('SIGTERM');
        assert.deepEqual(await within(herald.child.exited, PATIENCE_MS, 'the end'), { code: 0, signal: null });
    });

    test('an error at the start ends it although nobody reads it', async (t) => {
        const { file } = fullPipe(t);
        const herald = await prepareInShell(t, `2>'${file}'`, { args: ['--auth', 'jwt'] });
        herald.launch();
        assert.deepEqual(await within(herald.child.exited, PATIENCE_MS, 'the end'), { code: 2, signal: null });
        herald.wasKilled = true;
    });

    test('malformed admin requests write one line a second for each cause', async (t) => {
        const herald = await t.herald({ store: 'memory' });
        for (const _ of range(50)) {
            const raw = await t.raw(herald.adminPort);
            raw.send('GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n');
            await raw.waitEnd();
        }
        const lines = () => herald.log.split('\n').filter((line) => line.includes('event="admin port"'));
        await waitUntil('a line', () => lines().length > 0);
        await herald.stop();
        const seconds = lines().map((line) => `${line.slice(0, 24)} ${/detail=.*/.exec(line)[0]}`);
        assert.equal(new Set(seconds).size, seconds.length, seconds.join('\n'));
        assert.ok(lines().length < 50, lines().join('\n'));
    });

    test('SIGUSR1 is ignored with a line', async (t) => {
        const herald = await t.herald({ store: 'memory' });
        herald.child.signal('SIGUSR1');
        await waitUntil('the line', () => herald.log.includes('SIGUSR1 is ignored') || !herald.child.isRunning());
        assert.equal((await herald.request('GET', '/livez')).status, 200);
    });

    test('SIGHUP during a drain is ignored with a line', async (t) => {
        const herald = await t.herald({ store: 'memory', args: ['--drain-time', '20s'] });
        await herald.subscribe('u');
        herald.child.signal('SIGTERM');
        await waitUntil('the drain', () => herald.log.includes('event=draining'));
        herald.child.signal('SIGHUP');
        await waitUntil('the line', () => herald.log.includes('SIGHUP is ignored: Herald is draining'));
        assert.doesNotMatch(herald.log, /options read again/);
        herald.child.signal('SIGTERM');
    });

    test('a descriptor below 3 that it was not given is /dev/null, and no file of the store', async (t) => {
        const directory = path.join(t.tempDir(), 'store');
        const herald = await startInShell(t, '<&- >&- 2>&-', { store: `file:${directory}` });
        for (const fd of [0, 1, 2]) {
            assert.equal(fs.readlinkSync(`/proc/${herald.child.process.pid}/fd/${fd}`), '/dev/null');
        }
        await herald.mustPush('u', 'kept');
    });
};
