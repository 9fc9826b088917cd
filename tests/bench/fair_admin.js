'use strict';
/* Fair shares between the two ports, which the same workers serve. 1 000 sessions of herald.v1 ask for pongs while 64
 * publishers push to others as fast as they can; and publishers push while 1 000 sessions ask as fast as they can. Each is
 * measured quiet first, on the same Herald. Whoever makes the load has the lowest priority: it is not to take the cores of
 * the server. */

const { faultsOfLoad, load, startLoad } = require('./measure');
const { setPriority, sleep } = require('./processes');

const FIRST = -15, LAST = 19;
const ENOUGH_US = 5000; /* a p99 below it is fair, whatever it was before */
const asking = { mode: 'ping', level: 'v1', subscribers: 1000, rate: 1000, priority: FIRST };
const asksAlways = { ...asking, rate: 0, firstUser: 100000, priority: LAST, isEndless: true };
const pushing = { mode: 'push', subscribers: 1000, ttl: 0, rate: 1000, publishers: 16, priority: FIRST };
const pushesAlways = { mode: 'push', subscribers: 1000, firstUser: 100000, publishers: 64, ttl: 0, priority: LAST, isEndless: true };

/* The flood has begun before the second half of the work connects, and ends after it. */
async function workBeside({ work, flood }, herald) {
    setPriority(herald.child, -10);
    const quiet = await load(work, herald);
    const flooding = startLoad(flood, herald);
    flooding.ended.catch(() => {}); /* awaited below */
    await sleep(3000);
    const under = await load(work, herald).finally(flooding.stop);
    const flooded = await flooding.ended;
    const faults = [[work, quiet, 'quiet'], [work, under, 'beside'], [flood, flooded, 'the flood']]
        .flatMap(([of, r, when]) => faultsOfLoad(of, r).map((fault) => `${when}: ${fault}`));
    return { quiet, under, flooded, faults };
}

function figuresOf(name, what, besideWhat, floodWhat) {
    const at = (run, quantile) => (r) => r[run][name][quantile];
    const times = (r) => r.under[name].p99 / r.quiet[name].p99;
    return [
        { what: `${what}, quiet: p50`, unit: 'us', of: at('quiet', 'p50') },
        { what: '    p99', unit: 'us', of: at('quiet', 'p99') },
        { what: `  beside ${besideWhat}: p50`, unit: 'us', of: at('under', 'p50') },
        { what: '    p99', unit: 'us', of: at('under', 'p99') },
        { what: '    p99 in times of quiet', unit: '', of: times, aim: 'at most 3, or 5 ms', excess: (r) => Math.min(times(r) / 3, at('under', 'p99')(r) / ENOUGH_US) },
        { what: `    ${floodWhat} meanwhile`, unit: '/s', of: (r) => r.flooded.windowReceived / r.flooded.window },
    ];
}

module.exports = [
    {
        name: 'fair-admin', store: 'memory', run: workBeside, work: asking, flood: pushesAlways,
        figures: figuresOf('latency', 'ping to pong of 1 000 sessions', '64 publishers', 'their pushes'),
    }, {
        name: 'fair-publisher', store: 'memory', run: workBeside, work: pushing, flood: asksAlways,
        figures: figuresOf('answer', '1 000 pushes/s until answered', '1 000 that always ping', 'their pings'),
    },
];
