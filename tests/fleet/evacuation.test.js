'use strict';
/* POST /drain in a fleet, behind a balancer that gives a connection to the node with the fewest: clients move to where there
 * is room, one reconnect each, while pushes go on. */

const assert = require('node:assert/strict');
const { GUEST_KINDS, Guest, SETTINGS, askingBalancer, range, redisNode, sleep, startBalancer, startFleet, startNode,
    startPublisher, waitUntil } = require('./harness');

const GUESTS = 24;
const LOOK_MS = 100;

const connections = async (node) => (await node.request('GET', '/stats')).json.connections;
const closes = (guests) => guests.reduce((sum, guest) => sum + guest.nClosed(), 0);

/* One node with all the guests, and pushes to them. */
async function startCrowd(t) {
    const store = (await (await redisNode(t, SETTINGS)).start()).url;
    const nodes = await startFleet(t, 1, { store });
    const balancer = await startBalancer(t, nodes, { everyMs: LOOK_MS });
    const guests = range(GUESTS).map((n) => new Guest(`u${n}`, GUEST_KINDS[n % GUEST_KINDS.length], askingBalancer(balancer)));
    t.cleanup(() => Promise.all(guests.map((guest) => guest.stop())));
    await waitUntil('each client has a session', () => guests.every((guest) => guest.sessions.size === 1), 30000);
    const publisher = startPublisher(t, nodes, guests.map(({ userId }) => userId), { first: 0, pauseMs: 10, from: 0 });
    return { store, nodes, balancer, guests, publisher };
}

/* A second node, which both nodes and the balancer know when this returns. */
async function join(t, { store, nodes, balancer }) {
    nodes.push(await startNode(t, 1, { store }));
    await balancer.set(nodes);
    await waitUntil('the nodes know each other', async () => {
        const known = await Promise.all(nodes.map((node) => node.request('GET', '/nodes')));
        return known.every(({ json }) => json.nodes.filter(({ state }) => state === 'up').length === 2);
    }, 30000);
}

async function assertNothingLost({ guests, publisher }) {
    await waitUntil('pushes go on', () => publisher.accepted.length > GUESTS, 30000);
    await publisher.stop();
    assert.deepEqual(publisher.failedAt.map(({ name }) => name), []);
    for (const guest of guests) {
        await waitUntil(`all arrives at the ${guest.kind} client ${guest.userId}`, () =>
            publisher.valuesFor(guest.userId).every((value) => guest.arrivals.has(value)), 30000);
        assert.deepEqual(guest.gaps, []);
        assert.ok(guest.told.every((ms) => ms <= 500), `${guest.userId} was told to wait ${guest.told} ms`);
    }
}

module.exports = (test) => {
    test('a node that joins is given half of the clients by POST /drain: each of them is closed once, and nobody is refused',
        { timeoutMs: 90000 }, async (t) => {
            const crowd = await startCrowd(t);
            await join(t, crowd);
            const [full, empty] = crowd.nodes;
            const answer = await full.post('/drain', { connections: GUESTS / 2, rate: 20 });
            assert.deepEqual([answer.status, answer.json], [202, { closing: GUESTS / 2, seconds: GUESTS / 40 }]);
            await waitUntil('half of them have moved', async () =>
                await connections(empty) === GUESTS / 2 && await connections(full) === GUESTS / 2, 30000);
            await waitUntil('each client has a session', () => crowd.guests.every((guest) => guest.sessions.size === 1));
            await assertNothingLost(crowd);
            crowd.guests.forEach(({ refusals }) => assert.deepEqual(refusals, {}));
            assert.ok(closes(crowd.guests) <= GUESTS / 2, `${closes(crowd.guests)} closes`);
            assert.equal(await full.metric('herald_sessions_closed_total{cause="client"}')
                + await full.metric('herald_sessions_closed_total{cause="restart"}'), GUESTS / 2);
        });

    /* Until the balancer has noticed, it sends clients to the node that empties: they are refused, and come again. */
    test('an evacuation that is taken back: whoever has not gone stays, and the node is given clients again',
        { timeoutMs: 90000 }, async (t) => {
            const crowd = await startCrowd(t);
            await join(t, crowd);
            const [leaving, other] = crowd.nodes;
            const { closing, seconds } = (await leaving.post('/drain', { rate: 6 })).json;
            assert.deepEqual([closing, seconds], [GUESTS, GUESTS / 6]);
            await waitUntil('the others see it', async () =>
                (await other.request('GET', '/nodes')).json.nodes.some(({ self, state }) => !self && state === 'draining'));
            await waitUntil('some have gone', async () => await connections(other) >= 4);
            assert.equal((await leaving.post('/drain', { cancel: true })).status, 202);
            await waitUntil('none is to go', async () => (await leaving.request('GET', '/stats')).json.closing === 0);
            const nClosed = await leaving.metric('herald_sessions_closed_total{cause="restart"}');
            assert.ok(nClosed < GUESTS, `${nClosed} were closed`);
            await sleep(1500); /* nine more would have been closed by now */
            assert.equal(await leaving.metric('herald_sessions_closed_total{cause="restart"}'), nClosed);
            await waitUntil('the balancer sends clients there', () => crowd.balancer.ready().length === 2);
            await waitUntil('each client has a session', () => crowd.guests.every((guest) => guest.sessions.size === 1), 30000);
            assert.equal((await other.request('GET', '/nodes')).json.nodes.filter(({ state }) => state === 'up').length, 2);
            await assertNothingLost({ ...crowd, guests: crowd.guests.filter(({ refusals }) => Object.keys(refusals).length === 0) });
        });
};
