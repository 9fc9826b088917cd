'use strict';
/* A process of clients, started by ../rolling.js. Each belongs to a user of its own, and its kind is that of its number. */

const fs = require('node:fs');
const { answerAll, optionsOfPart } = require('./talk');
const { Balancer, GUEST_KINDS, Guest, askingBalancer, parallel, sleep } = require('./tools');

const AT_ONCE = 100;

/* port: of the proxy; undefined: they ask a balancer. */
const { count, port } = optionsOfPart();
const balancer = new Balancer();
const take = port === undefined ? askingBalancer(balancer) : () => ({ port, release: () => {} });
const guests = [];

/* Awaited before the balancer is asked, so a node that has just come is known to be there. */
async function connectAll() {
    await parallel(count, AT_ONCE, async (n) => {
        guests[n] = new Guest(`u${n}`, GUEST_KINDS[n % GUEST_KINDS.length], take);
        while (!guests[n].isOpen()) {
            await sleep(20);
        }
    });
}

function sumUp(of, name) {
    const sum = {};
    of.forEach((guest) => Object.entries(guest[name]).forEach(([key, n]) => { sum[key] = (sum[key] ?? 0) + n; }));
    return sum;
}

function quantile(sorted, part) {
    return sorted.length === 0 ? null : Math.round(sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))]);
}

/* accepted: [user's number, push's number] of each push. */
function judge(accepted) {
    const found = { due: accepted.length, lost: 0, told: 0, missing: [] };
    for (const [user, push] of accepted) {
        if (!guests[user].arrivals.has(push)) {
            found.lost += 1;
            found.missing.push(`${push} to u${user} (${guests[user].kind})`);
        }
    }
    found.missing.length = Math.min(found.missing.length, 10);
    return found;
}

/* Of numbers of ms. */
function spread(list) {
    const sorted = list.sort((a, b) => a - b);
    return { n: sorted.length, p50: quantile(sorted, 0.5), p99: quantile(sorted, 0.99), most: quantile(sorted, 1) };
}

function figuresOf(of) {
    const arrivals = of.flatMap((guest) => [...guest.arrivals.values()]);
    return {
        guests: of.length, closes: sumUp(of, 'closes'), nClosed: of.reduce((sum, guest) => sum + guest.nClosed(), 0),
        most: Math.max(...of.map((guest) => guest.nClosed())), refusals: sumUp(of, 'refusals'),
        away: spread(of.flatMap(({ awayMs }) => awayMs)), told: spread(of.flatMap(({ told }) => told)),
        arrived: arrivals.length, repeated: arrivals.reduce((sum, n) => sum + n - 1, 0),
        gaps: of.reduce((sum, { gaps }) => sum + gaps.length, 0),
    };
}

const readAccepted = (file) => fs.readFileSync(file, 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line));

answerAll({
    nodes: ({ nodes }) => balancer.set(nodes),
    connect: connectAll,
    open: () => guests.filter((guest) => guest.isOpen()).length,
    counts: () => Object.fromEntries([...balancer.backends.values()].map((node) => [node.name, node.count])),
    judge: ({ file }) => judge(readAccepted(file)),
    figures: () => ({
        all: figuresOf(guests),
        kinds: Object.fromEntries(GUEST_KINDS.map((kind) => [kind, figuresOf(guests.filter((guest) => guest.kind === kind))])),
    }),
});
