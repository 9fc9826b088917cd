'use strict';
/* TLS handshakes beside 15 000 connections that have sent a ClientHello and nothing more, from ten addresses
 * (attack/attack.c): how long others take, and whether one gets in whose round trip takes a second. */

const net = require('node:net');
const { Duplex } = require('node:stream');
const tls = require('node:tls');
const { programs, request, runForLine, setPriority, sleep } = require('./processes');

const ATTACKERS = 15000, HANDSHAKES = 300, ROUND_TRIP_MS = 1000, LONGEST_MS = 50000;
const GIVEN_UP_MS = 10000;

/* Milliseconds, from the connect on; Infinity: it failed. */
function handshake(socket, ca) {
    const from = process.hrtime.bigint();
    return new Promise((resolve) => {
        const secured = tls.connect({ socket, ca, host: '127.0.0.1', servername: '' });
        const end = (ms) => {
            clearTimeout(timer);
            secured.destroy();
            socket.destroy();
            resolve(ms);
        };
        const timer = setTimeout(() => end(Infinity), GIVEN_UP_MS);
        secured.once('secureConnect', () => end(Number(process.hrtime.bigint() - from) / 1e6));
        secured.on('error', () => end(Infinity));
        secured.once('close', () => end(Infinity));
    });
}

const near = (port) => net.connect({ host: '127.0.0.1', port });

/* What it says arrives a round trip later. */
function far(port) {
    const socket = near(port);
    const late = new Duplex({
        read() {},
        write(bytes, _, done) { setTimeout(() => socket.write(bytes, done), ROUND_TRIP_MS); },
        destroy(error, done) { socket.destroy(); done(error); },
    });
    socket.on('data', (bytes) => late.push(bytes)).on('end', () => late.push(null)).on('error', (error) => late.destroy(error));
    return late;
}

async function shakeAll(port, ca) {
    const all = [];
    for (let i = 0; i < HANDSHAKES; i++) {
        all.push(await handshake(near(port), ca));
        await sleep(5);
    }
    all.sort((a, b) => a - b);
    return { p50: all[HANDSHAKES / 2], p99: all[Math.ceil(HANDSHAKES * 0.99) - 1], failed: all.filter((ms) => ms === Infinity).length };
}

async function untilAccepted(herald, count) {
    for (const end = Date.now() + 30000; Date.now() < end; await sleep(50)) {
        const text = await request(herald, 'GET', '/metrics');
        if (Number(/^herald_connections_accepted_total (\d+)/m.exec(text)[1]) >= count) {
            return;
        }
    }
    throw new Error('the attackers did not connect');
}

async function withstand(_, herald) {
    const { ca } = herald;
    setPriority(herald.child, -10);
    const quiet = await shakeAll(herald.port, ca);
    const attack = runForLine(programs.attack, ['hellos', `127.0.0.1:${herald.port}`, String(ATTACKERS), String(LONGEST_MS)]);
    try {
        await untilAccepted(herald, HANDSHAKES + ATTACKERS);
        const [under, farMs] = await Promise.all([shakeAll(herald.port, ca), handshake(far(herald.port), ca)]);
        const failed = quiet.failed + under.failed + (farMs === Infinity ? 1 : 0);
        return { quiet, under, farMs, faults: failed === 0 ? [] : [`${failed} handshakes failed: ${JSON.stringify({ quiet, under, farMs })}`] };
    } finally {
        attack.stop();
        await attack.ended;
    }
}

module.exports = [{
    name: 'attack-hellos', store: 'memory', run: withstand, hasTls: true,
    figures: [
        { what: 'TLS handshakes, quiet: p50', unit: 'ms', of: (r) => r.quiet.p50 },
        { what: '    p99', unit: 'ms', of: (r) => r.quiet.p99 },
        { what: '  beside 15 000 hellos from 10 addresses: p50', unit: 'ms', of: (r) => r.under.p50 },
        { what: '    p99', unit: 'ms', of: (r) => r.under.p99, most: 300 },
        { what: '    with a round trip of a second', unit: 'ms', of: (r) => r.farMs },
    ],
}];
