'use strict';
/* Backends that hear back, beside what else goes on: speakers, watchers, two that pull, one endpoint of a webhook, and what
 * is asked of them at the end. The world has `random`, `note` and target(), which answers a Herald to ask. */

const fs = require('node:fs');
const { range, waitUntil } = require('../tools');
const { EventJudge } = require('./judge');
const { EventLedger } = require('./ledger');
const { Hook, Puller, waitHeard } = require('./readers');
const { Speaker, Watcher } = require('./speakers');

const SPEAKERS = 12, WATCHERS = 2;
const HEARD_MS = 40000; /* an endpoint that was away is asked again after some seconds */
const EVENT_ARGS = ['--events', 'user.online,user.offline,notification.unacknowledged,client.message', '--client-messages', 'v1',
    '--webhooks', 'hooks'];

/* By what it serves and counts: a program of before has neither. */
function hasEvents(binary) {
    const bytes = fs.readFileSync(binary);
    return ['/events/consumers', '/webhooks', 'herald_alerts_total'].every((text) => bytes.includes(text));
}

class Hearing {
    constructor(world, onFault) {
        this.world = world;
        world.events = new EventLedger(onFault);
        world.isHeard = false;
    }

    /* Before the Heralds: {args, files} of each of them. */
    async prepare(scope) {
        this.hook = await new Hook('hook', this.world, scope.tempDir()).start();
        scope.cleanup(() => this.hook.kill());
        return { args: EVENT_ARGS, files: { hooks: this.hook.line() } };
    }

    /* Readers first, so that nobody misses the first event. */
    start() {
        const { world } = this;
        this.pullers = [new Puller('puller', world), new Puller('lazy', world, { isLazy: true })];
        this.reading = [...this.pullers, this.hook].map((reader) => world.follow(reader.name, reader.run()));
        this.speakers = range(SPEAKERS).map((n) => new Speaker(`speaker-${n}`, world));
        const watchers = range(WATCHERS).map((n) => new Watcher(`watcher-${n}`, world));
        this.speaking = [...this.speakers.map((each) => world.follow(each.userId, each.talk())),
            ...watchers.map((each) => world.follow(each.name, each.run()))];
    }

    get userIds() {
        return this.speakers.map(({ userId }) => userId);
    }

    /* Every message is answered; the speakers stay. */
    async finishSpeaking() {
        await Promise.all(this.speaking);
    }

    /* Until the last that every reader has heard of each user is this, and GET /online says the same. */
    async waitPresence(what, online, offline) {
        const isSo = ({ record }) => {
            const last = new Map(record.events.filter(({ type }) => type.startsWith('user.')).map((event) => [event.userId, event.type]));
            return [...online].every((userId) => last.get(userId) === 'user.online')
                && [...offline].every((userId) => (last.get(userId) ?? 'user.offline') === 'user.offline');
        };
        await waitUntil(`every backend knows: ${what}`, async () => {
            const late = this.world.events.readers.filter((reader) => !isSo(reader));
            if (late.length > 0) {
                throw new Error(`not ${late.map(({ name }) => name).join(', ')}`);
            }
            const listed = await this.online();
            return listed.size === online.size && [...online].every((userId) => listed.has(userId));
        }, HEARD_MS).catch(async (error) => {
            const listed = await this.online();
            const odd = [...[...online].filter((userId) => !listed.has(userId)).map((userId) => `without ${userId}`),
                ...[...listed].filter((userId) => !online.has(userId)).map((userId) => `with ${userId}`)].slice(0, 5);
            this.world.events.fault(`${error.message}; GET /online has ${listed.size} of ${online.size}: ${odd.join(', ')}`);
        });
    }

    /* All pages of GET /online. */
    async online() {
        const users = new Set();
        for (let after; ;) {
            const { status, json, text } = await this.world.target().request('GET',
                `/online?limit=50${after === undefined ? '' : `&after=${encodeURIComponent(after)}`}`);
            if (status !== 200) {
                throw new Error(`GET /online: ${status} ${text}`);
            }
            json.users.forEach((userId) => users.add(userId));
            after = json.next;
            if (after === undefined || after === null || after === '') {
                return users;
            }
        }
    }

    /* The speakers leave. Then `online` are there, and `offline` not, nor the speakers. Answers what was counted. */
    async judge(online, offline) {
        const { world } = this;
        await Promise.all(this.speakers.map((speaker) => speaker.stop()));
        const gone = new Set([...offline, ...this.userIds]);
        await this.waitPresence(`${online.size} are there, and ${gone.size} are not`, online, gone);
        await waitHeard(world, HEARD_MS);
        world.isHeard = true;
        await Promise.all(this.reading);
        const { events } = world;
        const judged = new EventJudge(events, { online, offline: gone }).run();
        const { refused, ...counts } = events.counts;
        const presence = events.readers[0].record.events.filter(({ type }) => type.startsWith('user.')).length;
        return { ...judged, ...counts,
            refused: Object.entries(refused).map(([code, count]) => `${code} ${count}`).join(' ') || 'none',
            read: events.readers.map(({ name, record }) => `${name} ${record.events.length} (${record.repeats} again)`).join(', '),
            presence };
    }
}

module.exports = { Hearing, hasEvents };
