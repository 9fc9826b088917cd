'use strict';
/* Beside attackers (tests/bench/attack) live sessions go on, memory stays within the limits, and afterwards
 * everything is as before. How late the live ones are is for tests/bench/run --only attack to say. */

const assert = require('node:assert/strict');
const { spawn, spawnSync } = require('node:child_process');
const path = require('node:path');
const { isSanitized, pushNumbers, range, sleep, waitUntil } = require('./harness');

const KIB = 1024, MIB = 1024 * KIB;
const LASTS_MS = 2000;

/* memory: what the limits allow a connection of theirs, as in tests/bench/attacks.js, here with 64 KiB a session. */
const attacks = [
    { kind: 'heads', connections: 1000, memory: 24 * KIB },
    { kind: 'stuck', connections: 100, memory: 100 * KIB, isPushedTo: true },
    { kind: 'pings', connections: 8, memory: 120 * KIB },
    { kind: 'deaf', connections: 100, memory: 120 * KIB },
    { kind: 'fragments', connections: 8, memory: 136 * KIB },
    { kind: 'drop', connections: 64, memory: 24 * KIB },
];
/* Buffers and arenas of the threads, which the first that is busy brings about. */
const ROOM = 12 * MIB;

function build(t, directory) {
    const program = path.join(directory, 'attack');
    const source = path.join(__dirname, '../bench/attack/attack.c');
    const built = spawnSync('cc', ['-std=c17', '-D_GNU_SOURCE', '-O2', '-o', program, source], { encoding: 'utf8' });
    if (built.error) {
        t.skip('there is no cc');
    }
    assert.equal(built.status, 0, built.stderr);
    return program;
}

/* Answers what it did, when it is over. */
function start(t, program, { kind, connections }, port) {
    const child = spawn(program, [kind, `127.0.0.1:${port}`, String(connections), String(LASTS_MS * t.scale)],
        { stdio: ['ignore', 'pipe', 'pipe'] });
    let stdout = '', stderr = '';
    t.cleanup(() => child.kill('SIGKILL'));
    child.stdout.on('data', (chunk) => { stdout += chunk; });
    child.stderr.on('data', (chunk) => { stderr += chunk; });
    return new Promise((resolve, reject) => {
        child.once('close', (code) => (code === 0 ? resolve(JSON.parse(stdout)) : reject(new Error(stderr))));
    });
}

const connectionsOf = async (herald) => (await herald.request('GET', '/stats')).json.connections;

module.exports = (test) => {
    attacks.forEach((attack) => test(`live sessions go on beside: ${attack.kind}`, { tries: 3 }, async (t) => {
        const program = build(t, t.tempDir());
        const herald = await t.herald({ store: 'memory', args: ['--session-max-bytes', '64KiB'] });
        const live = await Promise.all(range(10).map((n) => herald.subscribe(`live ${n}`)));
        await Promise.all(range(10).map((n) => pushNumbers(herald, `live ${n}`, 0, 1)));
        const before = herald.residentBytes();
        let most = before, isOver = false;
        const attacked = start(t, program, attack, herald.port).finally(() => { isOver = true; });
        let next = 1;
        for (; !isOver; next++) {
            await Promise.all(range(10).map((n) => pushNumbers(herald, `live ${n}`, next, next + 1)));
            if (attack.isPushedTo) {
                const userIds = range(attack.connections).map((n) => `s${String(n).padStart(6, '0')}`);
                await herald.post('/push', { userIds, ttl: 0, data: `${next} ${'x'.repeat(8000)}` });
            }
            most = Math.max(most, herald.residentBytes());
            await sleep(20);
        }
        const done = await attacked;
        assert.ok(done.connected >= attack.connections, `the attack was none: ${JSON.stringify(done)}`);
        await Promise.all(live.map((client) => client.waitCount(next)));
        live.forEach((client) => assert.deepEqual(client.values(), range(next)));
        await waitUntil('only the live ones are there', async () => await connectionsOf(herald) === 10);
        if (!isSanitized(t.binary)) {
            const limit = attack.connections * attack.memory + ROOM;
            assert.ok(most - before <= limit, `grew by ${most - before} of ${limit} bytes`);
        }
    }));
};

/* The attackers take all that the cores have. */
module.exports.isAlone = true;
