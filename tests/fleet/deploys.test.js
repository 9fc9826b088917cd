'use strict';
/* A deploy, node after node, behind a balancer that gives a connection to the node with the fewest: what the clients and the
 * publishers notice of it. tests/bench/rolling.js is the same with thousands of clients, and with figures. */

const assert = require('node:assert/strict');
const { GUEST_KINDS, Guest, SETTINGS, Skip, askingBalancer, hasOption, range, redisNode, startBalancer, startFleet, startNode,
    startPublisher, waitUntil } = require('./harness');

const GUESTS = 36; /* a third of them at each of three nodes */
const ARGS = ['--drain-delay', '1500ms', '--drain-time', '500ms'];
const LOOK_MS = 300; /* less than a quarter of the delay, so a balancer knows that a node leaves before that takes nobody any more */
const MOST_TOLD_MS = 500;

class Deploy {
    constructor(t, redis) {
        this.t = t;
        this.store = redis.url;
        this.nForgiven = 0; /* pushes that failed at a node that was on its way out */
    }

    async start() {
        this.nodes = await startFleet(this.t, 3, { store: this.store, args: ARGS });
        this.balancer = await startBalancer(this.t, this.nodes, { everyMs: LOOK_MS });
        this.guests = range(GUESTS).map((n) => new Guest(`u${n}`, GUEST_KINDS[n % GUEST_KINDS.length], askingBalancer(this.balancer)));
        this.t.cleanup(() => Promise.all(this.guests.map((guest) => guest.stop())));
        await this.waitAllBack();
        this.publishers = range(3).map((n) => startPublisher(this.t, this.nodes, this.guests.map(({ userId }) => userId),
            { first: n, pauseMs: 20, from: n * 1e6 }));
        return this;
    }

    async waitAllBack() {
        await waitUntil('each client has a session', () => this.guests.every((guest) => guest.sessions.size === 1), 30000);
        await waitUntil('the nodes know each other', async () => {
            const known = await Promise.all(this.nodes.map((node) => node.request('GET', '/nodes')));
            return known.every(({ json }) => json.nodes.filter(({ state }) => state === 'up').length >= this.nodes.length);
        }, 30000);
    }

    /* A push may fail at this node, until each publisher has gone on at another. */
    async stop(node) {
        const before = this.publishers.map(({ failedAt }) => failedAt.length);
        await node.stop(60000);
        const accepted = this.publishers.map((publisher) => publisher.accepted.length);
        await waitUntil('pushes go on', () => this.publishers.every((publisher, n) => publisher.accepted.length > accepted[n] + 1));
        this.publishers.forEach(({ failedAt }, n) => {
            this.nForgiven += failedAt.slice(before[n]).filter((each) => each === node).length;
        });
    }

    async add(number) {
        const node = await startNode(this.t, number, { store: this.store, args: ARGS });
        this.nodes.push(node);
        await this.balancer.set(this.nodes);
    }

    async remove(node) {
        this.nodes.splice(this.nodes.indexOf(node), 1); /* the publishers have the same list */
        await this.balancer.set(this.nodes);
    }

    waitReady(node) {
        return waitUntil(`the balancer knows that ${node.name} is back`, () => this.balancer.ready().length === this.nodes.length, 30000);
    }

    async assertUnnoticed(mostClosed) {
        for (const publisher of this.publishers) {
            await publisher.stop();
            assert.ok(publisher.accepted.length > GUESTS, 'pushes went on');
        }
        for (const guest of this.guests) {
            const due = this.publishers.flatMap((publisher) => publisher.valuesFor(guest.userId));
            await waitUntil(`all arrives at the ${guest.kind} client ${guest.userId}`, () =>
                due.every((value) => guest.arrivals.has(value)), 30000);
            assert.deepEqual(guest.refusals, {}, `${guest.userId}, ${guest.kind}: handshakes were refused`);
            assert.deepEqual(guest.gaps, []);
            assert.ok(guest.told.every((ms) => ms <= MOST_TOLD_MS), `${guest.userId}, ${guest.kind}, was told to wait ${guest.told} ms`);
        }
        const failed = this.publishers.flatMap(({ failedAt }) => failedAt.map(({ name }) => name));
        assert.equal(failed.length, this.nForgiven, `pushes failed at nodes that stay; all failures were at ${failed}`);
        const closed = this.guests.reduce((sum, guest) => sum + guest.nClosed(), 0);
        assert.ok(closed <= mostClosed * GUESTS, `${closed} closes of ${GUESTS} clients`);
        assert.ok(this.guests.some(({ told }) => told.length > 0), 'somebody was told to come back');
    }
}

async function startDeploy(t) {
    if (!await hasOption(t, t.binary, '--drain-delay')) {
        throw new Skip('the program has no --drain-delay');
    }
    return new Deploy(t, await (await redisNode(t, SETTINGS)).start()).start();
}

module.exports = (test) => {
    test('a new node joins before an old one leaves, thrice: each client is closed once, nobody is refused, nothing is lost',
        { timeoutMs: 120000 }, async (t) => {
            const deploy = await startDeploy(t);
            for (const [n, node] of [...deploy.nodes].entries()) {
                await deploy.add(3 + n);
                await deploy.stop(node);
                await deploy.remove(node);
                await deploy.waitAllBack();
            }
            await deploy.assertUnnoticed(1.05);
        });

    test('one node after the other is restarted in its place: 4/3 closes a client, nobody is refused, nothing is lost',
        { timeoutMs: 120000 }, async (t) => {
            const deploy = await startDeploy(t);
            for (const node of deploy.nodes) {
                await deploy.stop(node);
                await node.restart();
                await deploy.waitReady(node);
                await deploy.waitAllBack();
            }
            await deploy.assertUnnoticed(1.4);
        });
};
