'use strict';
/* Upgrades in place, as a fault: another process takes a Herald's connections over, and now and then one of the two dies
 * meanwhile. */

const { execFileSync } = require('node:child_process');
const { isAlive, sleep, waitUntil } = require('./tools');

const canUpgrade = (binary) => execFileSync(binary, ['--help'], { encoding: 'utf8' }).includes('--upgrade-timeout');

/* It is ready, and has its store: without one an upgrade is given up. */
function waitWhole(herald) {
    return waitUntil('it is ready, and has its store', async () => {
        const { json } = await herald.request('GET', '/readyz', { timeoutMs: 2000 });
        if (json?.status !== 'ready' || json.degraded !== undefined) {
            throw new Error(JSON.stringify(json));
        }
        return true;
    }, 60000);
}

async function killAfter(ms, pid) {
    await sleep(ms);
    try {
        process.kill(pid, 'SIGKILL');
    } catch (error) {
        if (error.code !== 'ESRCH') { /* it had ended */
            throw error;
        }
    }
    await waitUntil(`${pid} is dead`, () => !isAlive(pid));
}

/* One of the two is killed, that long after the new one has begun; choose(old, started) says which. Answers what came of
 * it in words. `child` is the one that goes on; it runs unless both are gone, as after any crash. */
async function upgradeAndKill(herald, afterMs, choose) {
    const old = herald.child.process.pid;
    let killed;
    const { successor, areBothGone } = await herald.tryUpgrade({
        onStarted: (started) => { killed = killAfter(afterMs, choose(old, started)); },
    });
    await killed;
    if (areBothGone || !herald.child.isRunning()) {
        herald.agent.destroy();
        return 'neither went on';
    }
    return successor === undefined ? 'the old one went on' : 'the new one went on';
}

const UPGRADE_DEATHS = {
    'upgrade, and kill -9 of the old process': (old) => old,
    'upgrade, and kill -9 of the new process': (old, started) => started,
};

module.exports = { UPGRADE_DEATHS, canUpgrade, upgradeAndKill, waitWhole };
