'use strict';
/* Whether the judge of events can find anything: a history that is as it should be, and one with each fault planted. */

const { EventJudge } = require('./judge');
const { EventLedger } = require('./ledger');

/* Two users' messages and presence in two partitions, one alert, and two readers who have had all of it. */
function history() {
    const faults = [];
    const ledger = new EventLedger((sentence) => faults.push(sentence));
    const streams = new Map([['amy', []], ['ben', []]]);
    const add = (userId, partition, more) => {
        const stream = streams.get(userId);
        stream.push({ id: `${partition}.ep-${stream.length + 1}`, time: 1000 + stream.length, userId, ...more });
    };
    [['amy', 3], ['ben', 9]].forEach(([userId, partition]) => {
        add(userId, partition, { type: 'user.online' });
        for (let n = 0; n < 4; n++) {
            const data = { n };
            const message = ledger.says(userId, `c-${n}`, data);
            ledger.sends(message, `${userId}/1`);
            add(userId, partition, { type: 'client.message', clientId: `c-${n}`, data });
            ledger.accepts(message, `${userId}/1`);
        }
        add(userId, partition, { type: 'user.offline' });
        add(userId, partition, { type: 'user.online' });
    });
    ledger.awaits('ben', 'n-1');
    add('ben', 9, { type: 'notification.unacknowledged', notification: 'n-1', cause: 'waiting', online: false });
    return { faults, ledger, streams, online: new Set(['amy', 'ben']), offline: new Set(['cat']) };
}

function judge(mutate) {
    const past = history();
    const views = ['pull', 'hook'].map((name) => ({ name, events: structuredClone([...past.streams.values()].flat()) }));
    mutate({ ...past, views });
    for (const { name, events } of views) {
        const reader = past.ledger.reader(name);
        events.forEach((event) => past.ledger.reads(reader, event));
    }
    new EventJudge(past.ledger, past).run();
    return past.faults;
}

const at = (events, userId, type, n = 0) => events.indexOf(events.filter((event) => event.userId === userId && event.type === type)[n]);
const drop = (events, userId, type, n) => events.splice(at(events, userId, type, n), 1)[0];
const both = (views, change) => views.forEach(({ events }) => change(events));
const renumber = (events) => {
    const next = {};
    events.forEach((event) => {
        next[event.userId] = (next[event.userId] ?? 0) + 1;
        event.id = event.id.replace(/\d+$/, next[event.userId]);
    });
};
const gapOf = ({ id }, more = {}) => ({ id, type: 'gap', time: 2000, partition: Number(id.split('.')[0]), from: Number(id.split('-')[1]),
    to: Number(id.split('-')[1]), cause: 'overflow', ...more });

/* What is as it should be, though it looks odd. */
const HARMLESS = {
    'all that there is': () => {},
    'an event that is delivered twice': ({ views }) => views[0].events.splice(4, 0, { ...views[0].events[2] }),
    'a message that was told as a gap': ({ views: [{ events }] }) => {
        const place = at(events, 'amy', 'client.message', 2);
        events[place] = gapOf(events[place]);
    },
    'a message that was sent twice and is there twice': ({ ledger, views }) => {
        ledger.sends(ledger.messages.get('amy c-1'), 'amy/2');
        both(views, (events) => {
            const { id, ...copy } = events[at(events, 'amy', 'client.message', 1)];
            events.push({ id: '3.ep-8', ...copy });
        });
    },
    'a message that was never answered as accepted, and is there': ({ ledger }) => {
        ledger.messages.get('ben c-3').accepted = null;
        ledger.messages.get('ben c-3').isRefused = true;
    },
};

/* What has to be found, and the word with which it is told. */
const FAULTS = {
    'a message that one reader has not had': ['hole', ({ views: [{ events }] }) => drop(events, 'amy', 'client.message', 1)],
    'the last message, which one reader has not had': ['lost', ({ views: [{ events }] }) => {
        const place = at(events, 'ben', 'client.message', 3);
        events.splice(place, events.length - place);
    }],
    'a message that nobody has had': ['lost', ({ views }) => both(views, (events) => {
        drop(events, 'amy', 'client.message', 3);
        renumber(events);
    })],
    'a gap of another number': ['lost', ({ views: [{ events }] }) => {
        const gone = drop(events, 'amy', 'client.message', 2);
        events.splice(at(events, 'amy', 'client.message', 1), 1, gapOf({ id: gone.id.replace(/\d+$/, '3') }));
    }],
    'a message of another user': ['astray', ({ views: [{ events }] }) => { events[at(events, 'amy', 'client.message')].userId = 'ben'; }],
    'a message that nobody said': ['invented', ({ views: [{ events }] }) => { events[at(events, 'amy', 'client.message')].clientId = 'c-9'; }],
    'a message that is not what was said': ['altered', ({ views }) => both(views, (events) => {
        events[at(events, 'ben', 'client.message')].data = { n: 7 };
    })],
    'a message that is there twice, and was sent once': ['multiplied', ({ views }) => both(views, (events) => {
        events.push({ ...events[at(events, 'amy', 'client.message')], id: '3.ep-8' });
    })],
    'messages that changed places': ['disorder', ({ views }) => both(views, (events) => {
        const [a, b] = [0, 1].map((n) => events[at(events, 'amy', 'client.message', n)]);
        [a.clientId, b.clientId, a.data, b.data] = [b.clientId, a.clientId, b.data, a.data];
    })],
    'an accepted that overtakes another': ['order', ({ ledger }) => {
        const [first, second] = ['x-1', 'x-2'].map((id) => ledger.says('amy', id, {}));
        [first, second].forEach((message) => ledger.sends(message, 'amy/2'));
        [second, first].forEach((message) => ledger.accepts(message, 'amy/2'));
    }],
    'an accepted that comes twice': ['order', ({ ledger }) => ledger.accepts(ledger.messages.get('amy c-3'), 'amy/1')],
    'a message that was never answered': ['never answered', ({ ledger }) => { ledger.messages.get('ben c-3').accepted = null; }],
    'an event that differs for one reader': ['disagreement', ({ views: [{ events }] }) => { events[0].time += 1; }],
    'an event that differs the second time': ['changed', ({ views: [{ events }] }) => { events.push({ ...events[0], time: 1 }); }],
    'a user in two partitions': ['astray', ({ views: [{ events }] }) => { events[at(events, 'ben', 'user.offline')].id = '4.ep-1'; }],
    'a user who comes twice': ['presence', ({ views }) => both(views, (events) => {
        drop(events, 'amy', 'user.offline');
        renumber(events);
    })],
    'a user who goes and never came': ['presence', ({ views }) => both(views, (events) => {
        drop(events, 'amy', 'user.online');
        renumber(events);
    })],
    'a user who is there, and whose last event says otherwise': ['untrue', ({ views }) => both(views, (events) => {
        drop(events, 'amy', 'user.online', 1);
    })],
    'a user who is there, and of whom nothing was told': ['untrue', ({ online }) => online.add('dan')],
    'a user who is gone, and whose last event says otherwise': ['untrue', ({ online, offline }) => {
        online.delete('ben');
        offline.add('ben');
    }],
    'an alert that did not come': ['lost', ({ views }) => both(views, (events) => drop(events, 'ben', 'notification.unacknowledged'))],
    'an alert that came twice': ['twice', ({ views }) => both(views, (events) => {
        events.push({ ...events[at(events, 'ben', 'notification.unacknowledged')], id: '9.ep-9' });
    })],
    'an alert that nobody asked for': ['unasked', ({ ledger }) => ledger.alerts.clear()],
    'an alert with a cause that cannot be': ['untrue', ({ views }) => both(views, (events) => {
        events[at(events, 'ben', 'notification.unacknowledged')].cause = 'overflow';
    })],
};

/* Sentences: what the judge did not find, or found where nothing is. */
function blindSpots() {
    const spots = [];
    for (const [what, mutate] of Object.entries(HARMLESS)) {
        judge(mutate).forEach((sentence) => spots.push(`${what} is no fault, and was told as: ${sentence}`));
    }
    for (const [what, [word, mutate]] of Object.entries(FAULTS)) {
        const found = judge(mutate);
        if (!found.some((sentence) => sentence.includes(word))) {
            spots.push(`${what} was not found as "${word}": ${found.join('; ') || 'nothing was'}`);
        }
    }
    return { spots, count: Object.keys(HARMLESS).length + Object.keys(FAULTS).length };
}

module.exports = { blindSpots };
