'use strict';
/* Seats: places in which one client after the other comes, lives for a moment, and goes or dies. Each belongs to one
 * user; a user may have two. A third of the seats speaks herald.v1, some of these as a device; a few are event streams. */

const { Client, SseClient, V1Client } = require('./sessions');
const { sleep } = require('./tools');

const KINDS = ['steady', 'steady', 'steady', 'slow', 'silent', 'brief'];
const ENDS = ['reset', 'reset', 'close', 'fin']; /* half of them end by RST */
const LIFE_MS = { steady: 3000, slow: 3000, silent: 4000, brief: 60 };
const ACK_EVERY = [1, 1, 1, 7, 30, 0]; /* half of them at once, the others lazily or never */

/* What the seat of this number speaks; the same in every run. */
function levelOf(number) {
    if (number % 3 === 0) {
        return number % 9 === 0 ? 'device' : 'v1';
    }
    return { 1: 'sse', 7: 'sse explicit' }[number % 12] ?? 'plain';
}

class Seat {
    constructor(number, userId, world) {
        this.name = `seat ${number}`;
        this.level = levelOf(number);
        this.device = this.level === 'device' ? `d${number}` : undefined;
        this.userId = userId;
        this.world = world;
        this.random = world.random.branch(this.name);
        this.lives = 0;
        this.lastId = undefined; /* the last that any of its clients has had */
    }

    open(kind) {
        const { random, world, userId, device } = this;
        const options = { userId, device, name: `${this.name}.${this.lives} (${this.level}) of ${userId}` };
        const autoPong = kind !== 'silent';
        const every = random.pick(ACK_EVERY);
        const after = random.isTrue(0.5) ? this.lastId : undefined;
        world.count(this.level, world.lives);
        if (this.level === 'plain') {
            return new Client(world, { ...options, autoPong });
        }
        if (this.level.startsWith('sse')) {
            return new SseClient(world, { ...options, after, every: this.level === 'sse' ? undefined : every });
        }
        return new V1Client(world, { ...options, autoPong, after, every });
    }

    /* A slow one stops reading for a while, again and again. */
    async live(client, kind) {
        const end = Date.now() + this.random.around(LIFE_MS[kind]);
        while (Date.now() < end && !this.world.isOver && client.isOpen()) {
            if (kind === 'slow') {
                client.pause();
                await sleep(this.random.around(200));
                if (this.random.isTrue(0.2)) {
                    return; /* it dies with bytes unread */
                }
                client.resume();
            }
            await sleep(Math.max(1, Math.min(end - Date.now(), 50)));
        }
    }

    async run() {
        const { random, world } = this;
        await sleep(random.between(0, 500));
        while (!world.isOver) {
            const kind = random.pick(KINDS);
            this.lives += 1;
            const client = this.open(kind);
            if (await client.opened) {
                await this.live(client, kind);
            }
            client.end(random.pick(ENDS));
            await client.gone();
            this.lastId = client.lastId ?? this.lastId;
            await sleep(random.around(300));
        }
    }
}

/* The sessions that read what is left: of each device, and one without. Of a user whose clients know the numbers it is
 * a herald.v1 session, so that the numbers are followed to the end. */
function lastClients(world, seats) {
    return world.userIds.flatMap((userId) => {
        const ofUser = seats.filter((seat) => seat.userId === userId);
        const name = `the last session of ${userId}`;
        const devices = ofUser.filter(({ device }) => device !== undefined).map(({ device }) =>
            new V1Client(world, { userId, device, every: 1, name: `${name}, ${device}` }));
        const shared = ofUser.some(({ level }) => level === 'plain')
            ? new Client(world, { userId, name }) : new V1Client(world, { userId, every: 1, name });
        return [...devices, shared];
    });
}

module.exports = { Seat, lastClients };
