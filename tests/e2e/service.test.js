'use strict';
/* FLEET 4.1: what a service manager such as systemd is told at NOTIFY_SOCKET, and what it costs when nobody hears it. */

const assert = require('node:assert/strict');
const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');
const { Child, exchange, freePort, range, serviceManager, sleep, stopThreads, waitUntil, within } = require('./harness');

const SERVING = 'STATUS=serving; 0 connections, 0 users';
const isWarned = (herald) => herald.log.split('\n').filter((line) => line.includes('service manager'));

/* A Herald, launched, and its service manager; options.change(herald) comes before the launch. */
async function launch(t, options = {}, address = undefined) {
    const manager = await serviceManager(t, address);
    const herald = await t.prepare({ store: 'memory', ...options, env: { NOTIFY_SOCKET: manager.address, ...options.env } });
    options.change?.(herald);
    herald.launch();
    return { manager, herald };
}

async function serve(t, options, address) {
    const { manager, herald } = await launch(t, options, address);
    await manager.waitLine('READY=1');
    return { manager, herald };
}

/* Started as systemd does it: WATCHDOG_PID is the process that it has started. */
function nameItself(herald) {
    const { binary } = herald;
    const args = herald.arguments();
    herald.binary = '/bin/sh';
    herald.arguments = () => ['-c', 'WATCHDOG_PID=$$ exec "$0" "$@"', binary, ...args];
}

const signsOfLife = (manager) => manager.heard.filter(({ lines }) => lines.includes('WATCHDOG=1')).length;
const number = (manager) => manager.heard.length;

/* The settings of deploy/herald.service: their values, by their names. */
function readUnit() {
    const text = fs.readFileSync(path.join(__dirname, '../../deploy/herald.service'), 'utf8');
    const unit = {};
    for (const [, name, value] of text.matchAll(/^([A-Za-z]+)=(.*)$/gm)) {
        (unit[name] ??= []).push(value);
    }
    return unit;
}

/* Runs the commands of a setting as systemd does it: one after the other. */
async function execute(t, commands, pid) {
    for (const command of commands) {
        const [program, ...args] = command.replace(/^-/, '').replace(/\$MAINPID|\$\{MAINPID\}/, String(pid)).split(' ');
        const child = new Child(program, args);
        t.cleanup(() => child.stop('SIGKILL', 5000));
        assert.deepEqual(await child.exited, { code: 0, signal: null }, `${command}: ${child.stderr}`);
    }
}

/* With the command line of the unit; its configuration and its store are in the directory of the test. */
async function launchUnit(t, unit, configuration) {
    return launch(t, {
        env: { WATCHDOG_USEC: String(Number(unit.WatchdogSec) * 1000000) },
        change: (one) => {
            one.writeFile('herald.conf', `listen = 127.0.0.1:${one.port}\nadmin-listen = 127.0.0.1:${one.adminPort}\n${configuration}`);
            const [, args] = /^\S+ (.*)$/.exec(unit.ExecStart[0]);
            one.arguments = () => args.replace('/etc/herald', one.options.cwd)
                .replace('${STATE_DIRECTORY}', path.join(one.options.cwd, 'store')).split(' ');
        },
    });
}

module.exports = (test) => {
    test('the unit runs: its command line is READY, its reload reloads, its watchdog is fed', async (t) => {
        const unit = readUnit();
        assert.deepEqual([unit.Type, unit.NotifyAccess], [['notify'], ['all']]);
        const { manager, herald } = await launchUnit(t, unit, '');
        await manager.waitLine('READY=1');
        await manager.waitLine('WATCHDOG=1');
        await execute(t, unit.ExecReload, herald.child.process.pid);
        await manager.waitLine('RELOADING=1');
        await herald.waitLog(/event="options read again"/);
        await herald.mustPush('ada', 'kept');
    });

    test('the stop of the unit ends with the drain of its main process, also of one that has taken over', async (t) => {
        const unit = readUnit();
        const { manager, herald } = await launchUnit(t, unit, 'drain-time = 2s\n');
        await manager.waitLine('READY=1');
        const clients = await Promise.all(range(4).map((i) => herald.subscribe(`user-${i}`)));
        await herald.upgrade();
        const { pid } = herald.child.process;
        await manager.waitLine(`MAINPID=${pid}`);
        herald.child.stopFrom = herald.log.length;
        await within(execute(t, unit.ExecStop, pid), Number(unit.TimeoutStopSec) * 1000, 'the stop');
        assert.deepEqual((await Promise.all(clients.map((client) => client.waitClosed()))).map(({ code }) => code), [1012, 1012, 1012, 1012]);
        assert.equal((await within(herald.child.exited, 10000, 'the end')).code, 0);
    });

    test('READY comes when both ports are served, and from the process itself', async (t) => {
        const { manager, herald } = await serve(t);
        assert.equal((await exchange(herald.port, 'GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n')).status, 200);
        assert.equal((await herald.request('GET', '/livez')).status, 200);
        assert.deepEqual(manager.heard.map(({ lines }) => lines), [['STATUS=opening the store'], ['READY=1', SERVING]]);
        assert.ok(manager.heard.every(({ pid }) => pid === herald.child.process.pid));
        assert.deepEqual(isWarned(herald), []);
    });

    test('it is heard at an abstract socket', async (t) => {
        const { manager, herald } = await serve(t, {}, `@herald-e2e-${process.pid}-${await freePort()}`);
        assert.deepEqual(isWarned(herald), []);
        await herald.stop();
        await manager.waitLine('STOPPING=1');
    });

    test('a Herald that cannot start is never READY', async (t) => {
        const taken = net.createServer().listen(0, '127.0.0.1');
        t.cleanup(() => taken.close());
        await waitUntil('it listens', () => taken.listening);
        const { manager, herald } = await launch(t, { adminPort: taken.address().port });
        herald.wasKilled = true;
        assert.equal((await within(herald.child.exited, 10000, 'the end')).code, 1);
        await manager.waitLine('STATUS=opening the store');
        assert.ok(!manager.heard.some(({ lines }) => lines.some((line) => /READY|STOPPING/.test(line))));
    });

    test('the status counts connections and users', async (t) => {
        const { manager, herald } = await serve(t);
        await Promise.all(['ada', 'ada', 'bob'].map((user) => herald.subscribe(user)));
        await manager.waitLine('STATUS=serving; 3 connections, 2 users');
    });

    test('SIGTERM is STOPPING, which counts the connections down and asks for time until the end', async (t) => {
        const { manager, herald } = await serve(t, { args: ['--drain-time', '4s'] });
        await Promise.all(range(8).map((i) => herald.subscribe(`user-${i}`)));
        const before = number(manager);
        await herald.stop();
        const { lines } = await manager.waitLine('STOPPING=1', before);
        assert.deepEqual(lines, ['STOPPING=1', 'STATUS=draining, 8 connections left']);
        const left = manager.statuses.map((status) => /^draining, (\d) connections? left$/.exec(status)?.[1]).filter(Boolean);
        assert.ok(left.length > 1, manager.statuses.join('\n'));
        assert.deepEqual(left, [...left].sort().reverse());
        assert.ok(manager.heard.filter((one) => one.lines.includes('EXTEND_TIMEOUT_USEC=10000000')).length > 1);
        assert.ok(!manager.heard.slice(before).some((one) => one.lines.includes('READY=1')));
    });

    test('a second SIGTERM is told, and ends it at once', async (t) => {
        const { manager, herald } = await serve(t, { args: ['--drain-time', '10m'] });
        await herald.subscribe('ada');
        herald.child.signal('SIGTERM');
        await manager.waitLine('STOPPING=1');
        herald.child.signal('SIGTERM');
        await manager.waitLine('STATUS=a second signal: stopping at once');
        assert.deepEqual(await within(herald.child.exited, 10000, 'the end'), { code: 0, signal: null });
    });

    test('STOPPING comes at the signal, also while --drain-delay goes on serving', async (t) => {
        const { manager, herald } = await serve(t, { args: ['--drain-delay', '10m'] });
        herald.child.signal('SIGTERM');
        await manager.waitLine('STOPPING=1');
        await herald.subscribe('ada');
        await manager.waitLine('STATUS=draining, 1 connection left');
        const before = number(manager);
        await manager.waitLine('EXTEND_TIMEOUT_USEC=10000000', before);
        herald.child.signal('SIGTERM');
        assert.deepEqual(await within(herald.child.exited, 10000, 'the end'), { code: 0, signal: null });
    });

    test('SIGHUP is RELOADING with the time, and then READY again', async (t) => {
        const { manager, herald } = await serve(t, { args: ['--config', 'ini'], files: { ini: 'ping-interval = 5s\n' } });
        const uptimeUs = () => Number(process.hrtime.bigint() / 1000n); /* CLOCK_MONOTONIC, as Herald's */
        const before = uptimeUs();
        herald.writeFile('ini', 'ping-interval = 6s\n');
        herald.child.signal('SIGHUP');
        const { lines } = await manager.waitLine('RELOADING=1');
        const at = Number(/^MONOTONIC_USEC=(\d+)$/.exec(lines[1])[1]);
        assert.ok(at >= before && at <= uptimeUs(), `${before} ${at}`);
        assert.deepEqual(lines.slice(2), ['STATUS=reading the options and files again']);
        const last = await manager.waitLine('READY=1', manager.heard.findIndex((one) => one.lines.includes('RELOADING=1')));
        assert.deepEqual(last.lines, ['READY=1', SERVING]);
        await herald.waitLog(/event="options read again" changed=ping-interval/);
    });

    test('SIGHUP with wrong options is READY again, and the status says so until they are right', async (t) => {
        const { manager, herald } = await serve(t, { args: ['--config', 'ini'], files: { ini: 'ping-interval = 5s\n' } });
        herald.writeFile('ini', 'ping-interval = soon\n');
        herald.child.signal('SIGHUP');
        const { lines } = await manager.waitLine(/no option/);
        assert.equal(lines[0], 'READY=1');
        assert.match(lines[1], /^STATUS=serving; 0 connections, 0 users; the last SIGHUP changed no option: .*ini:1: ping-interval must be/);
        const ada = await herald.subscribe('ada');
        await manager.waitLine(/^STATUS=serving; 1 connection, 1 user; the last SIGHUP changed no option/);
        ada.terminate();
        herald.writeFile('ini', 'ping-interval = 6s\n');
        const before = number(manager);
        herald.child.signal('SIGHUP');
        await manager.waitLine('READY=1', before);
        assert.doesNotMatch(manager.statuses.at(-1), /SIGHUP/);
    });

    test('READY does not wait for a Redis that is away, and the status says that it is, and is no more', async (t) => {
        const redis = await t.redis();
        const { manager, herald } = await serve(t, { store: redis.url });
        await manager.waitLine(/^STATUS=serving; 0 connections, 0 users; the store is away: .*refused/);
        assert.equal((await herald.request('GET', '/readyz')).status, 503);
        await redis.start();
        await herald.waitReady();
        let before = number(manager);
        await waitUntil('it serves', () => manager.statuses.at(-1) === SERVING.slice('STATUS='.length));
        before = number(manager);
        await redis.kill();
        await manager.waitLine(/^STATUS=serving; 0 connections, 0 users; the store is away: /, before);
        before = number(manager);
        await redis.start();
        await manager.waitLine(SERVING, before);
    });

    test('POST /drain shows in the status, and is no stop', async (t) => {
        const { manager, herald } = await serve(t, { args: ['--drain-time', '10m'] });
        await herald.subscribe('ada');
        await herald.post('/drain', {});
        await manager.waitLine('STATUS=draining, 1 connection left');
        assert.ok(!manager.heard.some(({ lines }) => lines.some((line) => /STOPPING|EXTEND/.test(line))));
        herald.child.signal('SIGTERM');
        await manager.waitLine('STOPPING=1');
        herald.child.signal('SIGTERM');
    });

    test('signs of life come each half of WATCHDOG_USEC, also in a drain', async (t) => {
        const usec = 1000000;
        const begin = Date.now();
        const { manager, herald } = await serve(t, { args: ['--drain-time', '10m'], env: { WATCHDOG_USEC: String(usec) } });
        await herald.subscribe('ada');
        await waitUntil('six of them', () => signsOfLife(manager) >= 6);
        assert.ok(Date.now() - begin >= 5 * usec / 2 / 1000, 'they do not come faster');
        herald.child.signal('SIGTERM');
        await manager.waitLine('STOPPING=1');
        const before = number(manager);
        await manager.waitLine('WATCHDOG=1', before);
        herald.child.signal('SIGTERM');
    });

    test('a Herald whose threads hang gives no sign of life, though its main thread runs', async (t) => {
        const { manager, herald } = await serve(t, { env: { WATCHDOG_USEC: '1000000' } });
        await manager.waitLine('WATCHDOG=1');
        const resume = await stopThreads(t, herald.child.process.pid);
        await sleep(6500); /* LIVENESS_MS of a worker, and then more than the patience of the manager */
        const before = signsOfLife(manager);
        await sleep(3000);
        assert.equal(signsOfLife(manager), before);
        await resume();
        await waitUntil('it lives', () => signsOfLife(manager) > before);
    });

    test('no sign of life comes for a watchdog of another process, and none that is no number', async (t) => {
        for (const env of [{ WATCHDOG_USEC: '100000', WATCHDOG_PID: '1' }, { WATCHDOG_USEC: 'soon' }]) {
            const { manager, herald } = await serve(t, { env });
            herald.child.signal('SIGHUP'); /* it is seen after the first sign would have been given */
            await manager.waitLine('RELOADING=1');
            assert.equal(signsOfLife(manager), 0);
            assert.equal(isWarned(herald).length, env.WATCHDOG_PID ? 0 : 1, herald.log);
            await herald.stop();
        }
    });

    test('a process that takes over is the main one, and the signs of life are its own', async (t) => {
        const { manager, herald } = await serve(t, { store: 'file', env: { WATCHDOG_USEC: '400000' }, change: nameItself });
        const old = herald.child.process.pid;
        await manager.waitLine('WATCHDOG=1');
        const ada = await herald.subscribe('ada');
        await herald.upgrade();
        const { pid } = herald.child.process;
        const { lines, pid: sender } = await manager.waitLine(`MAINPID=${pid}`);
        assert.deepEqual([sender, lines[1]], [pid, 'READY=1']);
        await manager.waitLine('STATUS=serving; 1 connection, 1 user');
        const heard = manager.heard.filter((one) => one.pid === old).flatMap((one) => one.lines);
        assert.ok(!heard.some((line) => /^(STOPPING|EXTEND)/.test(line)), heard.join('\n'));
        const before = number(manager);
        await waitUntil('three signs of life', () => manager.heard.slice(before)
            .filter((one) => one.pid === pid && one.lines.includes('WATCHDOG=1')).length >= 3);
        assert.ok(manager.heard.slice(before).every((one) => one.pid === pid));
        herald.child.signal('SIGHUP');
        await manager.waitLine('RELOADING=1');
        ada.terminate();
        await herald.stop();
        assert.equal((await manager.waitLine('STOPPING=1')).pid, pid);
    });

    test('a process that cannot take over says nothing, and the old one stays the main one', async (t) => {
        const { manager, herald } = await serve(t, {
            store: 'file', args: ['--config', 'ini'], files: { ini: 'ping-interval = 5s\n' },
            env: { WATCHDOG_USEC: '400000' }, change: nameItself,
        });
        const { pid } = herald.child.process;
        herald.writeFile('ini', 'ping-interval = soon\n');
        assert.deepEqual(await herald.tryUpgrade(), {});
        await herald.waitLog(/upgrade given up/);
        const before = number(manager);
        await manager.waitLine('WATCHDOG=1', before);
        await herald.subscribe('ada');
        await manager.waitLine('STATUS=serving; 1 connection, 1 user');
        assert.ok(manager.heard.every((one) => one.pid === pid));
        herald.dropClients();
    });

    test('a NOTIFY_SOCKET that is wrong or dead is one warning, which does not show it, and Herald serves and stops', async (t) => {
        for (const wrong of ['hunter2', 'vsock:2:4711', path.join(t.tempDir(), 'hunter2'), '@hunter2', `/${'hunter2'.repeat(40)}`]) {
            const herald = await t.herald({ store: 'memory', env: { NOTIFY_SOCKET: wrong, WATCHDOG_USEC: '20000' } });
            await sleep(300); /* some thirty signs of life */
            await herald.mustPush('ada', 'served');
            await herald.stop();
            const warnings = isWarned(herald);
            assert.equal(warnings.length, 1, herald.log);
            assert.match(warnings[0], /level=warn event="the service manager at NOTIFY_SOCKET hears nothing" why=/);
            assert.doesNotMatch(herald.log, /hunter2/);
        }
    });

    test('a service manager that reads nothing holds nothing up, and hears the state when it reads again', async (t) => {
        const { manager, herald } = await serve(t, { env: { WATCHDOG_USEC: '20000' }, args: ['--drain-time', '10m'] });
        manager.pause();
        await herald.waitLog(/hears nothing" why="it does not read, and its queue is full"/);
        await herald.subscribe('ada');
        await herald.mustPush('ada', 'served');
        herald.child.signal('SIGTERM');
        await herald.waitLog(/event=draining/);
        manager.resume();
        await manager.waitLine('STOPPING=1');
        manager.pause();
        herald.child.signal('SIGTERM');
        assert.deepEqual(await within(herald.child.exited, 10000, 'the end'), { code: 0, signal: null });
    });
};
