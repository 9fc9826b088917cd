'use strict';
/* A backend that watches users come and go in a fleet. */

const assert = require('node:assert/strict');
const { Consumer, range, waitUntil } = require('../../e2e/harness');

const EVENTS = ['--events', 'user.online', '--events', 'user.offline'];
const PRESENCE_LEASE_MS = 15000; /* of a node; who judges has to have heard of Redis for that long */
const PATIENT_MS = 90000;
const PRESENT = range(12).map((n) => `u${n}`); /* users */

const presenceArgs = (offlineAfter, ...more) => [...EVENTS, '--offline-after', offlineAfter, ...more];

/* "+" came, "-" went, in order. */
const changesOf = (record, userId) => record.ofUser(userId)
    .map(({ type }) => (type === 'user.online' ? '+' : '-')).join('');

class PresenceWatch {
    constructor(node) {
        this.consumer = new Consumer(node, 'backend');
    }

    waitChanges(userIds, changes) {
        return this.consumer.readUntil(`${userIds} are told ${changes}`,
            (record) => userIds.every((userId) => changesOf(record, userId) === changes), PATIENT_MS);
    }

    /* Reads all there is. */
    async assertChanges(userIds, changes) {
        while ((await this.consumer.next({ wait: 1 })).length > 0) {
            /* there may be more */
        }
        for (const userId of userIds) {
            assert.equal(changesOf(this.consumer.record, userId), changes, userId);
        }
        this.consumer.record.check();
    }
}

async function watchPresence(node) {
    const watch = new PresenceWatch(node);
    await watch.consumer.peek();
    return watch;
}

async function waitOnline(node, userIds) {
    const expected = JSON.stringify([...userIds].sort());
    await waitUntil(`online are ${userIds}`, async () => {
        const { status, json } = await node.request('GET', '/online');
        return status === 200 && JSON.stringify([...json.users].sort()) === expected;
    }, PATIENT_MS);
}

const subscribeAll = (node, userIds = PRESENT) => Promise.all(userIds.map((userId) => node.subscribe(userId)));

const servedBy = (nodes) => Promise.all(nodes.map((node) => node.metric('herald_events_served_partitions')));

/* Each node serves its share of the partitions, and all are served. */
async function waitShared(nodes) {
    const share = Math.ceil(16 / nodes.length);
    await waitUntil('each node serves its share', async () => {
        const served = await servedBy(nodes);
        return served.every((n) => n <= share) && served.reduce((sum, n) => sum + n, 0) === 16;
    }, PATIENT_MS);
}

module.exports = { PRESENCE_LEASE_MS, PRESENT, presenceArgs, subscribeAll, waitOnline, waitShared, watchPresence };
