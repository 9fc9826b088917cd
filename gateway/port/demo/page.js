'use strict';
/* The demo page: connects as the user that its form names, shows what comes, pushes to that user, and says things to
 * the backends, which Herald answers itself here. It speaks herald.v1, or the plain level where the reader chooses it: then there are no ids, no marks and no
 * gaps, because a plain client is sent nothing but the data, and nothing is said. A connection that breaks is made again after a
 * growing pause, from the last notification that was acknowledged; some close codes end that (STAYS_AWAY). */

const $ = (id) => document.getElementById(id);
const SHOWN_MAX = 200;
const SAMPLES = {
    Message: { title: 'A message from Ada', text: 'The build is green. Shall we ship it?', unread: 3 },
    Order: { title: 'Your order is on its way', order: 9007199254740991, items: ['Tea', 'Kettle'], eta: '16:40' },
    Score: { title: 'Goal!', text: 'Rovers 2 : 1 United', minute: 87, live: true },
};
const CLOSE_CODES = {
    1000: 'closed', 1001: 'going away', 1002: 'protocol error', 1003: 'binary is not taken', 1005: 'closed',
    1006: 'the line broke, or nobody answered', 1007: 'bad UTF-8', 1009: 'the message was too large', 1011: 'an error inside',
    1012: 'Herald restarts', 1013: 'Herald is full', 4000: 'this page did not read', 4003: 'no sign of life',
    4004: 'the epoch changed', 4005: 'sent too much', 4100: 'the credentials expired', 4101: 'refused',
    4102: 'no credentials in time', 4503: 'kicked by an operator', 4508: 'replaced by a newer connection',
};
const STAYS_AWAY = [4503, 4508];

let socket = null;      // the present connection; events of older ones are ignored
let retryTimer = null;
let attempts = 0;
let count = 0;
let position = '';      // herald.v1: the id of the last notification that this page has acknowledged
let facts = {};         // what Herald says of its options
const unanswered = new Map(); // herald.v1: what was said and has no answer yet, by its id
const sayer = Math.random().toString(36).slice(2, 6); // begins the ids of what this page says
let saidCount = 0;

const userId = () => $('user-id').value;
const isPlain = () => $('level').value === 'plain';

function remember(value) {
    try {
        localStorage.setItem('herald-user', value);
    } catch { /* a page without storage works all the same */ }
}

function remembered() {
    try {
        return localStorage.getItem('herald-user');
    } catch {
        return null;
    }
}

/* --- the connection ------------------------------------------------------------------------- */

function showState(name, detail) {
    $('state').dataset.state = name;
    $('state-name').textContent = name[0].toUpperCase() + name.slice(1);
    $('state-detail').textContent = detail;
    const isOff = name === 'offline';
    $('connect').hidden = !isOff;
    $('disconnect').hidden = isOff;
    $('user-id').readOnly = !isOff;
    $('level').disabled = !isOff;
    showSayForm();
    $('empty-hint').textContent = isOff ? 'Connect, and what was pushed to you meanwhile arrives first.'
        : 'Push something to yourself, or use the line below.';
}

/* A plain client has no word for it here. */
function showSayForm() {
    $('say-form').hidden = $('state').dataset.state !== 'online' || isPlain() || facts.clientMessages === 'off';
}

function address() {
    const query = new URLSearchParams({ userId: userId() });
    if (!isPlain() && position) {
        query.set('after', position);
    }
    return `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/ws?${query}`;
}

function connect() {
    leave();
    remember(userId());
    showState('connecting', attempts === 0 ? `as ${userId()}` : `as ${userId()}, attempt ${attempts + 1}`);
    const opened = isPlain() ? new WebSocket(address()) : new WebSocket(address(), 'herald.v1');
    socket = opened;
    opened.onopen = () => {
        if (socket === opened) {
            attempts = 0;
            showState('online', `as ${userId()}, ${isPlain() ? 'plain' : 'herald.v1'}`);
        }
    };
    opened.onmessage = (event) => socket === opened && (isPlain() ? addNotification(event.data) : onMessage(event.data));
    opened.onclose = (event) => socket === opened && onClose(event);
}

/* herald.v1: `data` is the last member of a notification, and stands there as it was pushed. It is cut out and not
 * printed again, because JavaScript's numbers would change integers above 2^53. */
function onMessage(text) {
    const message = JSON.parse(text);
    if (message.type === 'notification') {
        const card = addNotification(text.slice(text.indexOf('"data":') + 7, -1), message);
        if (message.id) {
            acknowledge(message.id);
            card.append(element('footer', `id ${message.id} · acknowledged ${duration(Date.now() - message.time)} after the push`));
        }
    } else if (message.type === 'gap') {
        addGap(message);
        position = message.cause === 'reset' ? '' : `${message.epoch}-${message.to}`;
    } else if (message.type === 'cancel') {
        withdraw(message.id);
    } else if (message.type === 'hello') {
        unanswered.forEach(({ frame }) => socket.send(frame));
    } else if (message.type === 'accepted' || message.type === 'error') {
        onAnswer(message);
    }
}

function acknowledge(id) {
    position = id;
    socket.send(JSON.stringify({ type: 'ack', id }));
}

function onClose({ code, reason }) {
    socket = null;
    const meaning = `${code}: ${CLOSE_CODES[code] ?? 'closed'}${reason ? ` (${reason})` : ''}`;
    if (STAYS_AWAY.includes(code)) {
        attempts = 0;
        showState('offline', meaning);
        return;
    }
    const told = Number(/retry_ms=(\d+)/.exec(reason)?.[1] ?? 0);
    const ceiling = Math.min(30000, 500 * 2 ** attempts);
    const wait = told + ceiling * (0.5 + Math.random() / 2);
    attempts += 1;
    showState('connecting', `${meaning}. Trying again in ${(wait / 1000).toFixed(1)} s`);
    retryTimer = setTimeout(connect, wait);
}

function leave() {
    clearTimeout(retryTimer);
    const left = socket;
    socket = null;
    left?.close(1000);
}

function goOffline() {
    leave();
    attempts = 0;
    showState('offline', 'What is pushed now waits for you.');
}

/* --- what is said to the backends -------------------------------------------------------------- */

/* What has no answer when the connection breaks is sent again with the same id, so that the backends can tell. */
function say() {
    const text = $('say').value.trim();
    const data = parsed(text) === undefined ? JSON.stringify(text) : text;
    saidCount += 1;
    const id = `${sayer}-${saidCount}`;
    const frame = `{"type":"message","id":"${id}","data":${data}}`;
    unanswered.set(id, { frame, since: performance.now() });
    if (socket?.readyState === WebSocket.OPEN) {
        socket.send(frame);
    }
    $('say').value = '';
}

function onAnswer({ type, id, code, detail }) {
    const said = unanswered.get(id);
    if (!said) {
        return;
    }
    unanswered.delete(id);
    const took = duration(performance.now() - said.since);
    if (type === 'accepted') {
        show($('said'), true, 'accepted.', 'It is kept for the backends.', `id ${id} · after ${took}`);
    } else {
        show($('said'), false, `${code}.`, detail, `id ${id}`);
    }
}

/* --- what arrives ---------------------------------------------------------------------------- */

function element(tag, text, className) {
    const made = document.createElement(tag);
    made.textContent = text;
    if (className) {
        made.className = className;
    }
    return made;
}

/* Indents JSON text without parsing its numbers: what was pushed is what is shown. */
function prettyInto(pre, text) {
    const tokens = text.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g) ?? [];
    let depth = 0;
    const newLine = () => pre.append(`\n${'  '.repeat(depth)}`);
    tokens.forEach((token, i) => {
        const isEmpty = /[\]}]/.test(token) && /[[{]/.test(tokens[i - 1] ?? '') && tokens[i - 1].length === 1;
        if (/^[[{]$/.test(token)) {
            pre.append(token);
            depth += 1;
            if (!/^[\]}]$/.test(tokens[i + 1] ?? '')) {
                newLine();
            }
        } else if (/^[\]}]$/.test(token)) {
            depth -= 1;
            if (!isEmpty) {
                newLine();
            }
            pre.append(token);
        } else if (token === ',') {
            pre.append(token);
            newLine();
        } else if (token === ':') {
            pre.append(': ');
        } else {
            pre.append(element('span', token, tokens[i + 1] === ':' ? 'key' : token[0] === '"' ? 'string' : 'number'));
        }
    });
}

function parsed(text) {
    try {
        return JSON.parse(text);
    } catch {
        return undefined;
    }
}

function duration(ms) {
    return ms < 1000 ? `${Math.max(0, Math.round(ms))} ms` : ms < 60000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 60000)} min`;
}

/* The newest card is the first. `mark` is a short word beside the title, or nothing. */
function addCard(title, mark, className) {
    const card = element('li', '', className);
    const head = document.createElement('header');
    const heading = element('h3', title);
    if (mark) {
        const badge = element('span', mark, 'mark');
        badge.dataset.testid = 'mark';
        heading.append(badge);
    }
    const now = new Date();
    const time = element('time', now.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', second: '2-digit' }));
    time.dateTime = now.toISOString();
    head.append(heading, time);
    card.append(head);
    $('feed').prepend(card);
    while ($('feed').children.length > SHOWN_MAX) {
        $('feed').lastChild.remove();
    }
    $('empty').hidden = true;
    return card;
}

/* `about` is the herald.v1 message around the data; a plain client has none. */
function addNotification(text, about = {}) {
    const value = parsed(text);
    const title = typeof value?.title === 'string' ? value.title : `Notification ${count + 1}`;
    const card = addCard(title, about.replay ? `waited ${duration(Date.now() - about.time)}` : '', 'card');
    card.dataset.testid = 'notification';
    card.dataset.raw = text;
    card.dataset.id = about.id ?? '';
    card.dataset.replay = about.replay ?? false;
    if (typeof value?.text === 'string') {
        card.append(element('p', value.text));
    }
    const pre = document.createElement('pre');
    prettyInto(pre, text);
    card.append(pre);
    count += 1;
    $('counter').textContent = count;
    $('counter-word').textContent = count === 1 ? 'notification' : 'notifications';
    return card;
}

function addGap({ from, to, cause }) {
    const numbers = from === to ? `Number ${from}` : `Numbers ${from} to ${to}`;
    addCard(`${numbers} will not come`, cause, 'card gap').dataset.testid = 'gap';
}

/* It was taken back, or a newer one has replaced it. */
function withdraw(id) {
    const card = [...$('feed').children].find(({ dataset }) => dataset.id === id);
    card?.classList.add('withdrawn');
}

/* --- pushing to oneself ------------------------------------------------------------------------ */

function show(box, isGood, headline, sentence, code) {
    box.className = isGood ? 'answer' : 'answer bad';
    box.replaceChildren(element('b', headline), ` ${sentence}`);
    if (code) {
        box.append(element('code', code));
    }
    box.hidden = false;
}

function showAnswer(...words) {
    show($('answer'), ...words);
}

function explain(answer) {
    const sessions = `${answer.online} open ${answer.online === 1 ? 'session' : 'sessions'}`;
    return { sent: `On its way to ${sessions}.`, stored: 'Nobody is online: it waits for your return.',
        dropped: 'Nobody is online, and ttl 0 is never kept.' }[answer.status] ?? '';
}

async function push() {
    if (!userId()) {
        showAnswer(false, 'Who?', 'Type a userId first.');
        return;
    }
    if (parsed($('data').value) === undefined) {
        showAnswer(false, 'Not JSON.', 'A text needs quotes: "like this".');
        return;
    }
    const ttl = $('ttl').value === '' ? '' : `,"ttl":${$('ttl').value}`;
    const body = `{"userId":${JSON.stringify(userId())},"data":${$('data').value}${ttl}}`;
    $('send').disabled = true;
    try {
        const response = await fetch('/demo/push', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body });
        const answer = parsed(await response.text()) ?? {};
        if (response.ok) {
            const id = answer.id ? `id ${answer.id} · ` : '';
            showAnswer(true, `${response.status} ${answer.status}.`, explain(answer), `${id}online ${answer.online}`);
        } else {
            showAnswer(false, `${response.status} ${answer.type ?? ''}.`, answer.detail ?? answer.title ?? '');
        }
    } catch {
        showAnswer(false, 'No answer.', 'Herald cannot be reached.');
    }
    $('send').disabled = false;
}

/* --- the line to copy ---------------------------------------------------------------------------- */

/* A question mark means something to a shell. */
const quoted = (url) => (url.includes('?') ? `'${url}'` : url);

/* Where backends push or read, as curl takes it. */
function adminTarget({ adminListen = '127.0.0.1:8081', adminTls = false }, target) {
    if (adminListen.startsWith('unix:')) {
        return `--unix-socket ${adminListen.slice(5)} ${quoted(`http://localhost${target}`)}`;
    }
    const [, host, port] = /^(.*):(\d+)$/.exec(adminListen) ?? [];
    const isAny = host === '0.0.0.0' || host === '[::]';
    const url = `${adminTls ? 'https' : 'http'}://${isAny ? '127.0.0.1' : host}:${port}${target}`;
    return `${adminTls ? '-k ' : ''}${quoted(url)}`;
}

function showCurl() {
    const body = `{"userId":${JSON.stringify(userId() || 'ada')},"data":{"title":"Hello"}}`;
    const key = facts.adminKeys ? ' -H "Authorization: Bearer $KEY"' : '';
    $('curl').textContent = `curl ${adminTarget(facts, '/push')}${key} -H 'Content-Type: application/json' -d '${body.replaceAll("'", "'\\''")}'`;
    $('curl-events').textContent = `curl ${adminTarget(facts, '/events?consumer=me&wait=20')}${key}`;
    $('events-line').hidden = facts.events === false;
    $('curl-note').textContent = facts.adminKeys ? ', with a key of --admin-keys' : '';
}

async function askFacts() {
    try {
        facts = await (await fetch('/demo/facts')).json();
        showCurl();
        showSayForm();
    } catch { /* the lines show the defaults */ }
}

async function copyLine(button) {
    const line = button.previousElementSibling;
    try {
        await navigator.clipboard.writeText(line.textContent);
        button.textContent = 'Copied';
    } catch {
        getSelection().selectAllChildren(line);
        button.textContent = 'Selected';
    }
    setTimeout(() => { button.textContent = 'Copy'; }, 1500);
}

function useSample(name) {
    $('data').value = JSON.stringify(SAMPLES[name], null, 2);
}

function start() {
    for (const name of Object.keys(SAMPLES)) {
        const chip = element('button', name);
        chip.type = 'button';
        chip.onclick = () => useSample(name);
        $('samples').append(chip);
    }
    useSample('Message');
    $('connect-form').onsubmit = (event) => { event.preventDefault(); attempts = 0; connect(); };
    $('push-form').onsubmit = (event) => { event.preventDefault(); push(); };
    $('disconnect').onclick = goOffline;
    $('say-form').onsubmit = (event) => { event.preventDefault(); say(); };
    document.querySelectorAll('.copy').forEach((button) => { button.onclick = () => copyLine(button); });
    $('user-id').oninput = () => { position = ''; showCurl(); };
    const preset = new URLSearchParams(location.search).get('user');
    $('user-id').value = preset || remembered() || 'ada';
    showCurl();
    askFacts();
    showState('offline', 'Be anybody, and connect.');
    if (preset) {
        connect();
    }
}

start();
