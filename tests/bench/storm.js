'use strict';
/* What happens when a node of a fleet is killed: 9 000 users come back on another one, which goes on pushing to them
 * (storm/storm.c). */

const { cpuSeconds, makePlace, nameArgs, programs, runForLine, startHerald, stop } = require('./processes');
const { isQuick } = require('./measure');

const USERS = isQuick ? 1000 : 9000, RATE = 500;

/* The Herald that the measurement has started is the one that stays; the one that is killed has the same store. */
async function kill(measurement, herald, redis) {
    const killed = await startHerald(herald.program, makePlace('killed'), redis.url, nameArgs(herald.program, 'killed'));
    const used = () => ({ herald: cpuSeconds(herald.child.pid), redis: cpuSeconds(redis.child.pid) });
    let before, after;
    try {
        const args = [killed.port, herald.port, herald.adminPort, 0, USERS, RATE, measurement.jitterMs].map(String);
        const storm = runForLine(programs.storm, args, undefined, (line) => {
            if (line === 'ready') {
                before = used();
                killed.child.kill('SIGKILL');
            } else if (line === 'back') {
                after = used();
            }
        });
        const r = await storm.ended;
        const faults = ['lost', 'misrouted'].filter((name) => r[name] !== 0).map((name) => `${r[name]} ${name}`);
        const perUser = (name) => (after[name] - before[name]) / USERS * 1e6;
        return { ...r, heraldCpu: perUser('herald'), redisCpu: perUser('redis'), faults };
    } finally {
        await stop(killed.child);
    }
}

const measurementOf = (name, jitterMs, aimMs) => ({
    name, store: 'redis', run: kill, jitterMs,
    figures: [
        { what: `${USERS} users of a killed node, jitter ${jitterMs} ms: back, p50`, unit: 'ms', of: (r) => r.backP50 },
        { what: '    p99', unit: 'ms', of: (r) => r.backP99 },
        { what: '    the last', unit: 'ms', of: (r) => r.backLast, most: aimMs },
        { what: '  CPU of Herald per user, with the pushes meanwhile', unit: 'us', of: (r) => r.heraldCpu },
        { what: '  CPU of Redis', unit: 'us', of: (r) => r.redisCpu },
        { what: '  pushes that came twice', unit: '', of: (r) => r.duplicated },
    ],
});

module.exports = [measurementOf('storm', 0, 3000), measurementOf('storm-jitter', 5000, 6000)];
