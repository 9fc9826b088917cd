'use strict';
/* Either process is killed, or stopped for a while, at each message that they send one another: never do both go on, never
 * neither, and nothing that was accepted is lost. The signal comes from a library that is loaded into them. */

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { isAlive, sleep, waitUntil } = require('../e2e/harness');
const { openCrowd } = require('./crowd');

const KINDS = {
    GREETING: 1, BEGIN: 2, LISTEN: 3, PROCESS: 4, SESSIONS: 5, HTTP: 6, END: 7, COMMIT: 8, DONE: 9, READY: 65, TAKEN: 66, ADOPTED: 67,
};
const SIGKILL = 9;
const SIGSTOP = 19;
/* Of those that are killed nobody's time may be over, of those that stand still it has to be. */
const LONG_MS = 60000;
const TIMEOUT_MS = 5000;

/* `more`: a fault of the other side. */
async function start(t, store, side, moment, kind, signal, more = []) {
    const herald = await t.herald({
        store,
        args: ['--upgrade-timeout', `${signal === SIGKILL ? LONG_MS : TIMEOUT_MS}ms`],
        env: {
            LD_PRELOAD: path.join(path.dirname(t.binary), 'tests/libherald-upgrade-fault.so'),
            UPGRADE_FAULT: [[side, moment, KINDS[kind], 1, signal].join(), ...more].join(';'),
        },
    });
    const crowd = await openCrowd(herald, { perKind: 4 });
    crowd.publish(t);
    await crowd.waitFlow();
    return { herald, crowd };
}

const upgradeOf = async (herald) => (await herald.request('GET', '/stats')).json.upgrade;

async function assertStays(herald, crowd, result, states) {
    assert.deepEqual(result, {}, 'it goes on');
    const { state, reason } = await upgradeOf(herald);
    assert.ok(states.includes(state), `${state}: ${reason}`);
    assert.match(herald.log, new RegExp(`event="upgrade given up: ${reason.replace(/[()]/g, '.')}"`));
    await crowd.waitFlow();
    await crowd.assertUnnoticed();
    const metrics = (await herald.request('GET', '/metrics')).text;
    assert.match(metrics, new RegExp(`^herald_upgrades_total\\{result="${state}"\\} 1$`, 'm'));
}

async function assertTakesOver(herald, crowd, result) {
    assert.ok(result.successor, 'the new one goes on');
    assert.equal((await upgradeOf(herald)).state, 'done');
    await crowd.waitFlow();
    await crowd.assertUnnoticed();
}

/* As after a crash: a service manager would start it again. */
async function assertComesBack(herald, crowd, result) {
    assert.ok(result.areBothGone, 'neither goes on');
    herald.options.env = {};
    await herald.restart();
    await crowd.assertNothingLost();
}

async function kill(t, store, side, moment, kind) {
    const { herald, crowd } = await start(t, store, side, moment, kind, SIGKILL);
    herald.wasKilled = side === 'old';
    const result = await herald.tryUpgrade();
    return { herald, crowd, result };
}

/* Is it stopped by a signal? */
const isStopped = (pid) => /\) T /.test(fs.readFileSync(`/proc/${pid}/stat`, 'latin1'));

/* Goes on when `until` says so. */
async function stop(t, side, moment, kind, until, more) {
    const { herald, crowd } = await start(t, 'redis', side, moment, kind, SIGSTOP, more);
    const old = herald.child.process.pid;
    let started;
    const upgraded = herald.tryUpgrade({ onStarted: (pid) => { started = pid; } });
    await waitUntil('one is started', () => started !== undefined);
    const stopped = side === 'old' ? old : started;
    await waitUntil('it stands still', () => isStopped(stopped));
    await until({ herald, old, started, crowd });
    if (isAlive(stopped)) {
        process.kill(stopped, 'SIGCONT');
    }
    return { herald, crowd, result: await upgraded };
}

module.exports = (test) => {
    for (const [moment, kind, states] of [
        ['before', 'READY', ['refused']], ['after', 'READY', ['refused', 'thawed']],
        ['before', 'TAKEN', ['thawed']], ['after', 'TAKEN', ['thawed']], ['before', 'ADOPTED', ['thawed']],
    ]) {
        test(`the new one is killed ${moment} ${kind}: the old one goes on`, async (t) => {
            const { herald, crowd, result } = await kill(t, kind === 'READY' ? 'file' : 'redis', 'new', moment, kind);
            await assertStays(herald, crowd, result, states);
        });
    }

    test('the new one is killed after ADOPTED: the old one goes on, or it is as after a crash', async (t) => {
        const { herald, crowd, result } = await kill(t, 'file', 'new', 'after', 'ADOPTED');
        if (result.areBothGone === undefined && result.successor === undefined) {
            await assertStays(herald, crowd, result, ['thawed']);
        } else {
            await assertComesBack(herald, crowd, { areBothGone: !herald.child.isRunning() });
        }
    });

    for (const [moment, kind] of [['before', 'GREETING'], ['after', 'GREETING'], ['after', 'BEGIN'], ['after', 'LISTEN'],
        ['after', 'PROCESS'], ['after', 'SESSIONS'], ['before', 'END']]) {
        test(`the old one is killed ${moment} ${kind}: as after a crash, the new one ends as well`, async (t) => {
            const { herald, crowd, result } = await kill(t, kind === 'SESSIONS' ? 'redis' : 'file', 'old', moment, kind);
            await assertComesBack(herald, crowd, result);
        });
    }

    for (const [moment, kind, store] of [['after', 'END', 'redis'], ['before', 'COMMIT', 'file'], ['before', 'COMMIT', 'redis'],
        ['after', 'COMMIT', 'file'], ['before', 'DONE', 'file'], ['after', 'DONE', 'redis']]) {
        test(`the old one is killed ${moment} ${kind}: the new one goes on (${store})`, async (t) => {
            const { herald, crowd, result } = await kill(t, store, 'old', moment, kind);
            await assertTakesOver(herald, crowd, result);
        });
    }

    test('the new one stands still before ADOPTED: the old one goes on after --upgrade-timeout', async (t) => {
        const { herald, crowd, result } = await stop(t, 'new', 'before', 'ADOPTED',
            ({ started }) => waitUntil('the new one is ended', () => !isAlive(started)));
        await assertStays(herald, crowd, result, ['thawed']);
    });

    test('the new one stands still after ADOPTED: it goes on when it can', async (t) => {
        const { herald, crowd, result } = await stop(t, 'new', 'after', 'ADOPTED', async ({ old }) => {
            await waitUntil('the old one has ended', () => !isAlive(old));
            await sleep(TIMEOUT_MS + 500); /* nobody's time is over */
        });
        await assertTakesOver(herald, crowd, result);
    });

    test('the old one stands still before COMMIT for longer than its time: nobody goes on meanwhile', async (t) => {
        const { herald, crowd, result } = await stop(t, 'old', 'before', 'COMMIT', async ({ crowd: { publisher } }) => {
            const before = publisher.accepted.length;
            await sleep(TIMEOUT_MS + 500);
            assert.equal(publisher.accepted.length, before, 'no push is answered');
        });
        await assertTakesOver(herald, crowd, result);
    });

    test('the old one stands still after COMMIT: the new one serves', async (t) => {
        const { herald, crowd, result } = await stop(t, 'old', 'after', 'COMMIT', ({ crowd: waiting }) => waiting.waitFlow());
        await assertTakesOver(herald, crowd, result);
    });

    test('the old one is killed after END, and hears of nothing any more: the new one goes on', async (t) => {
        const { herald, crowd, result } = await stop(t, 'new', 'before', 'TAKEN', async ({ herald: both, old }) => {
            both.wasKilled = true;
            await waitUntil('the old one is killed', () => !isAlive(old));
        }, [['old', 'after', KINDS.END, 1, SIGKILL].join()]);
        await assertTakesOver(herald, crowd, result);
    });

    test('an upgrade is refused until the process before has let go', async (t) => {
        const { herald, crowd, result } = await stop(t, 'old', 'after', 'COMMIT', async ({ herald: both, started }) => {
            await waitUntil('the new one serves', async () => (await upgradeOf(both)).state === 'done');
            process.kill(started, 'SIGUSR2');
            await waitUntil('it is refused', async () => (await upgradeOf(both)).reason === 'the process before this one has not let go yet');
        });
        assert.ok(result.successor);
        herald.options.env = {};
        await herald.upgrade();
        await crowd.waitFlow();
        await crowd.assertUnnoticed();
    });

    test('the old one stands still before END for longer than its time: it goes on', async (t) => {
        const { herald, crowd, result } = await stop(t, 'old', 'before', 'END', () => sleep(TIMEOUT_MS + 500));
        await assertStays(herald, crowd, result, ['thawed']);
    });
};
