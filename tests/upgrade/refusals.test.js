'use strict';
/* Upgrades that are refused: nothing stands still for them, and the log, POST /upgrade and GET /stats say why. And the
 * variable of the link, set by hand. */

const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');
const { freePort, isAlive, range, waitUntil } = require('../e2e/harness');
const { openCrowd } = require('./crowd');

const upgradeOf = async (herald) => (await herald.request('GET', '/stats')).json.upgrade;

/* Its program is a file that may be replaced. */
async function replaceable(t, options) {
    const program = path.join(t.tempDir(), 'herald');
    fs.symlinkSync(t.binary, program);
    const herald = await t.prepare(options);
    herald.binary = program;
    await herald.start();
    const replaceBy = (script) => {
        fs.writeFileSync(`${program}.new`, `#!/bin/bash\n${script}\n`, { mode: 0o755 });
        fs.renameSync(`${program}.new`, program);
    };
    return { herald, program, replaceBy };
}

async function waitRefused(herald, reason) {
    await waitUntil(`it is refused: ${reason}`, async () => (await upgradeOf(herald)).state === 'refused');
    const upgrade = await upgradeOf(herald);
    assert.match(upgrade.reason, reason);
    const line = `level=error event="upgrade given up: ${upgrade.reason.replace(/["\\]/g, '\\$&')}"`;
    await waitUntil('the line', () => herald.log.includes(line));
    return upgrade;
}

const children = (herald) => {
    const { pid } = herald.child.process;
    return fs.readdirSync(`/proc/${pid}/task`).flatMap((task) =>
        fs.readFileSync(`/proc/${pid}/task/${task}/children`, 'latin1').split(' ').filter(Boolean).map(Number));
};

/* A new program that does not take over: the sessions stay, and no child is left. */
async function assertRefused(t, { reason, script, perKind = 1, ...options }) {
    const { herald, program, replaceBy } = await replaceable(t, options);
    const crowd = await openCrowd(herald, { perKind });
    crowd.publish(t);
    replaceBy(script({ real: t.binary, herald }));
    herald.child.signal('SIGUSR2');
    await waitRefused(herald, reason instanceof RegExp ? reason : reason(program));
    await waitUntil('its child is gone', () => children(herald).length === 0);
    await crowd.waitFlow();
    await crowd.assertUnnoticed();
    assert.match((await herald.request('GET', '/metrics')).text, /^herald_upgrades_total\{result="refused"\} 1$/m);
    return herald;
}

const quote = (words) => words.map((word) => `'${word}'`).join(' ');

/* What bash starts: a Herald as its own child, or in its place with `exec`, with the variable set. */
async function runWithVariable(t, before, value, { replaces = true, send } = {}) {
    const args = ['--store', 'memory:', '--listen', '127.0.0.1:0', '--admin-listen', '127.0.0.1:0'];
    const script = `${before}\nexport HERALD_HANDOVER_FD=${value}\n${replaces ? 'exec ' : ''}${quote([t.binary, ...args])}; exit $?`;
    const child = spawn('bash', ['-c', script], { cwd: t.tempDir(), stdio: ['ignore', 'pipe', 'pipe', 'pipe'] });
    t.cleanup(() => child.kill('SIGKILL'));
    let said = '';
    child.stderr.on('data', (bytes) => { said += bytes; });
    child.stdio[3].on('error', () => {});
    if (send !== undefined) {
        child.stdio[3].write(send);
    }
    const code = await new Promise((resolve) => { child.on('close', resolve); });
    return { code, said };
}

module.exports = (test) => {
    test('the memory store cannot be handed over', async (t) => {
        const herald = await t.herald({ store: 'memory' });
        const crowd = await openCrowd(herald, { perKind: 1 });
        crowd.publish(t);
        const answer = await herald.post('/upgrade', {});
        assert.equal(answer.status, 409);
        assert.match(answer.json.detail, /the memory store cannot be handed over/);
        assert.equal(answer.json.title, 'it cannot be done as things are', 'it never could');
        herald.child.signal('SIGUSR2');
        await waitRefused(herald, /^the memory store cannot be handed over$/);
        await crowd.waitFlow();
        await crowd.assertUnnoticed();
    });

    test('another file store is refused', (t) => assertRefused(t, {
        store: 'file',
        reason: /^--store differs: sessions cannot be handed over$/,
        script: ({ real, herald }) => `exec ${quote([real, ...herald.arguments().map((arg) => arg.replace(/^file:.*/, `file:${t.tempDir()}/other`))])}`,
    }));

    test('another prefix in Redis is refused', (t) => assertRefused(t, {
        store: 'redis',
        reason: /^--store differs: sessions cannot be handed over$/,
        script: ({ real }) => `exec ${real} "$@" --redis-prefix other`,
    }));

    test('a lower limit of open files than there are sessions is refused', (t) => assertRefused(t, {
        store: 'file',
        perKind: 12,
        reason: /^the limit of open files leaves room for 32 connections, and 36 sessions are to be handed over: raise it/,
        script: ({ real }) => `ulimit -n 64\nexec ${real} "$@"`,
    }));

    test('a wrong option is refused in its own words', (t) => assertRefused(t, {
        reason: /^--ping-interval/,
        script: ({ real }) => `exec ${real} "$@" --ping-interval nonsense`,
    }));

    test('a program that cannot start a thread is refused in its own words', (t) => assertRefused(t, {
        reason: /^no thread can be started: raise the limit of processes, or of memory \(ulimit -u, ulimit -v\)$/,
        script: ({ real }) => `ulimit -s ${2 ** 40}\nexec ${real} "$@"`, /* KiB: no stack has room in the address space */
    }));

    test('a program that ends is refused', (t) => assertRefused(t, {
        reason: /^the new process ended with status 3$/,
        script: () => 'exit 3',
    }));

    test('a program that is killed is refused', (t) => assertRefused(t, {
        reason: /^the new process was ended by signal 9$/,
        script: () => 'kill -9 $$',
    }));

    test('a program that says nothing is ended', (t) => assertRefused(t, {
        args: ['--upgrade-timeout', '1s'],
        reason: /^the new process was not ready within 1000 ms$/,
        script: () => 'exec sleep 60',
    }));

    test('requests of admin clients that take longer than --upgrade-timeout are named as the reason', async (t) => {
        const herald = await t.herald({ args: ['--upgrade-timeout', '1s'] });
        const body = JSON.stringify({ userId: 'u', data: 1 });
        const socket = net.connect(herald.adminPort, '127.0.0.1');
        t.cleanup(() => socket.destroy());
        let answer = '';
        socket.on('data', (bytes) => { answer += bytes; });
        const key = herald.adminKey === undefined ? '' : `Authorization: Bearer ${herald.adminKey}\r\n`;
        socket.write(`POST /push HTTP/1.1\r\nHost: 127.0.0.1\r\n${key}Content-Type: application/json\r\n` +
            `Expect: 100-continue\r\nContent-Length: ${body.length}\r\n\r\n`);
        await waitUntil('its body is awaited', () => answer.endsWith(' 100 Continue\r\n\r\n'));
        answer = '';
        herald.child.signal('SIGUSR2');
        await waitRefused(herald, /^requests of admin clients had not ended within 1000 ms$/);
        socket.write(body);
        await waitUntil('it is answered', () => answer !== '');
        assert.match(answer, /^HTTP\/1\.1 202 /);
        const next = await herald.request('GET', '/livez'); /* no answer ends its connection any more */
        assert.notEqual(next.headers.connection, 'close');
    });

    test('a program that is no Herald is ended', (t) => assertRefused(t, {
        reason: /^the new process has sent what cannot be read$/,
        script: () => 'printf "GET / HTTP/1.1\\r\\n\\r\\n" >&$HERALD_HANDOVER_FD\nexec sleep 60',
    }));

    test('a wrapper that is still there is no successor', (t) => assertRefused(t, {
        reason: /^the new process ended with status 2$/,
        script: ({ real }) => `${real} "$@"\nexit $?`,
    }));

    test('a program that is not there is refused', async (t) => {
        const { herald, program } = await replaceable(t, {});
        fs.unlinkSync(program);
        herald.child.signal('SIGUSR2');
        await waitRefused(herald, new RegExp(`^${program} cannot be started: No such file or directory$`));
    });

    test('a new process that its store does not let in is refused', { timeoutMs: 60000 }, async (t) => {
        const redis = await (await t.redis()).start();
        const herald = await t.herald({ store: redis.url });
        const crowd = await openCrowd(herald, { perKind: 1 });
        crowd.publish(t);
        await crowd.waitFlow();
        await redis.command('CONFIG SET maxclients 1'); /* whoever is in stays */
        herald.child.signal('SIGUSR2');
        await waitRefused(herald, /^the store has not answered within 10 s$/);
        await crowd.assertUnnoticed();
    });

    test('a second SIGUSR2 while one runs is refused, and POST is 409', async (t) => {
        const { herald, replaceBy } = await replaceable(t, { args: ['--upgrade-timeout', '3s'] });
        replaceBy('exec sleep 60');
        herald.child.signal('SIGUSR2');
        await waitUntil('it starts', async () => (await upgradeOf(herald)).state === 'starting' && children(herald).length === 1);
        herald.child.signal('SIGUSR2');
        await waitUntil('the line', () => herald.log.includes('upgrade refused: another one is under way'));
        const answer = await herald.post('/upgrade', {});
        assert.deepEqual([answer.status, answer.json.detail], [409, 'another upgrade is under way']);
        assert.equal(children(herald).length, 1);
        await waitRefused(herald, /^the new process was not ready within 3000 ms$/);
        fs.unlinkSync(herald.binary);
        fs.symlinkSync(t.binary, herald.binary);
        await herald.upgrade(); /* the next one may */
    });

    test('SIGTERM while one runs ends the new process, and then this one as always', async (t) => {
        const { herald, replaceBy } = await replaceable(t, {});
        replaceBy('exec sleep 60');
        herald.child.signal('SIGUSR2');
        const child = await waitUntil('it starts', () => children(herald)[0]);
        await herald.stop();
        assert.ok(!isAlive(child));
        assert.match(herald.log, /upgrade given up: a signal to stop has come/);
    });

    test('as PID 1 it is refused', async (t) => {
        const ports = [await freePort(), await freePort()];
        const child = spawn('unshare', ['--pid', '--fork', '--kill-child', t.binary, '--listen', `127.0.0.1:${ports[0]}`,
            '--admin-listen', `127.0.0.1:${ports[1]}`], { cwd: t.tempDir(), stdio: ['ignore', 'ignore', 'pipe'] });
        let said = '';
        child.stderr.on('data', (bytes) => { said += bytes; });
        child.on('error', () => {});
        t.cleanup(() => child.kill('SIGKILL'));
        await waitUntil('it serves', () => said.includes('the admin API is served') || child.exitCode !== null || child.pid === undefined);
        if (!said.includes('the admin API is served')) {
            t.skip(`unshare cannot make a namespace of processes here: ${said}`);
        }
        const answer = await fetch(`http://127.0.0.1:${ports[1]}/upgrade`, { method: 'POST', headers: { 'content-type': 'application/json' } });
        const why = 'upgrade given up: as PID 1 of a container it takes its children with it; roll containers instead';
        assert.deepEqual([answer.status, (await answer.json()).detail], [409, why]);
        process.kill(Number(fs.readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'latin1').trim()), 'SIGUSR2');
        await waitUntil('the line', () => said.includes(`event="${why}"`));
    });

    test('POST /upgrade needs a key of the role admin', async (t) => {
        const herald = await t.herald({ files: { keys: `ops read ${'r'.repeat(32)}\n` }, args: ['--admin-keys', 'keys'], adminKey: 'r'.repeat(32) });
        assert.equal((await herald.post('/upgrade', {})).status, 403);
        assert.equal((await upgradeOf(herald)).state, 'none');
    });

    const variable = async (t, before, value, what, options) => {
        const { code, said } = await runWithVariable(t, before, value, options);
        assert.deepEqual([code, said.trim()], [2, `herald: HERALD_HANDOVER_FD=${value}: this descriptor ${what}. `
            + 'A running Herald sets the variable for its successor; unset it']);
    };

    test('HERALD_HANDOVER_FD set by hand is refused, with a sentence that says what it is', async (t) => {
        const server = net.createServer().listen(path.join(t.tempDir(), 'socket'));
        const tcp = net.createServer().listen(0, '127.0.0.1');
        t.cleanup(() => { server.close(); tcp.close(); });
        await Promise.all([server, tcp].map((each) => once(each, 'listening')));
        await Promise.all([
            variable(t, 'exec 9>&-', '9', 'is not open'),
            variable(t, '', 'link', 'is no number above 2'),
            variable(t, '', '1', 'is no number above 2'),
            variable(t, '', '99999999999', 'is no number above 2'),
            variable(t, 'exec 9</dev/null', '9', 'is no socket'),
            variable(t, 'exec 9< <(:)', '9', 'is no socket'),
            variable(t, `exec 9<>/dev/tcp/127.0.0.1/${tcp.address().port}`, '9', 'is no unix stream socket'),
            variable(t, '', '3', 'is not a socket of the process that started this one', { replaces: false }),
            variable(t, '', '3', 'brings no greeting'),
            variable(t, '', '3', 'brings something else than a greeting', { send: 'GET / HTTP/1.1\r\n\r\n' }),
            variable(t, '', '3', 'brings something else than a greeting', { send: Buffer.from([0, 0, 0, 0, 8, 0, 0, 0]) }),
            variable(t, '', '3', 'brings something else than a greeting', { send: Buffer.from([1, 0, 0, 0, 1, 0, 0, 0, 7]) }),
        ]);
    });

    test('a new process has its end of the link, and no other descriptor of the old one', async (t) => {
        for (const store of ['file', 'redis']) {
            const { herald, replaceBy } = await replaceable(t, { store });
            await openCrowd(herald, { perKind: 2 });
            const list = path.join(t.tempDir(), 'descriptors');
            replaceBy(`ls /proc/$$/fd >${list}.new; mv ${list}.new ${list}; echo "$HERALD_HANDOVER_FD" >>${list}`);
            herald.child.signal('SIGUSR2');
            await waitRefused(herald, /^the new process ended with status 0$/);
            const [...open] = fs.readFileSync(list, 'utf8').trim().split('\n');
            const variable = open.pop();
            assert.deepEqual(open.filter((fd) => fd !== '255').sort(), ['0', '1', '2', variable]); /* 255: the script */
        }
    });

    test('upgrades in a row keep no descriptor', async (t) => {
        const herald = await t.herald({ store: 'redis' });
        await openCrowd(herald, { perKind: 2 });
        const counts = [];
        for (const _ of range(3)) {
            await herald.upgrade();
            counts.push(await waitUntil('the other one is gone', async () => {
                const { pid } = herald.child.process;
                const open = fs.readdirSync(`/proc/${pid}/fd`).map((fd) => {
                    try {
                        return fs.readlinkSync(`/proc/${pid}/fd/${fd}`);
                    } catch {
                        return 'gone'; /* it was closed meanwhile */
                    }
                });
                return open.filter((what) => !what.startsWith('socket:')).length;
            }));
        }
        assert.equal(counts[2], counts[1], `${counts}`);
    });
};
