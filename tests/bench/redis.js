'use strict';
/* Asks the Redis of a measurement, and counts what others ask it. */

const net = require('node:net');

/* The value that begins at `at` and where it ends; undefined: it is not all there. */
function readValue(bytes, at) {
    const lineEnd = bytes.indexOf('\r\n', at);
    if (lineEnd < 0) {
        return undefined;
    }
    const kind = String.fromCharCode(bytes[at]), line = bytes.toString('latin1', at + 1, lineEnd);
    let end = lineEnd + 2;
    if (kind === '$') {
        const length = Math.max(0, Number(line));
        return bytes.length < end + length + 2 ? undefined : { value: bytes.toString('latin1', end, end + length), end: end + length + 2 };
    }
    if (kind !== '*') {
        return { value: kind === ':' ? Number(line) : kind === '-' ? new Error(line) : line, end };
    }
    const value = [];
    for (let i = 0; i < Number(line); i++) {
        const one = readValue(bytes, end);
        if (!one) {
            return undefined;
        }
        value.push(one.value);
        end = one.end;
    }
    return { value, end };
}

const commandOf = (words) => [`*${words.length}`, ...words.flatMap((word) => [`$${Buffer.byteLength(String(word))}`, word]), ''].join('\r\n');

/* The answer to one command, over a connection of its own. */
function ask(redis, ...words) {
    return new Promise((resolve, reject) => {
        const socket = net.connect(redis.socket);
        let bytes = Buffer.alloc(0);
        socket.on('error', reject).on('close', () => reject(new Error('Redis has closed the connection')));
        socket.on('data', (piece) => {
            bytes = Buffer.concat([bytes, piece]);
            const answer = readValue(bytes, 0);
            if (answer) {
                socket.destroy();
                (answer.value instanceof Error ? reject : resolve)(answer.value);
            }
        });
        socket.write(commandOf(words));
    });
}

async function infoOf(redis, section) {
    return Object.fromEntries((await ask(redis, 'INFO', section)).split('\r\n').filter((line) => line.includes(':')).map((line) => {
        const colon = line.indexOf(':');
        return [line.slice(0, colon), line.slice(colon + 1)];
    }));
}

/* User and system time in seconds. */
async function redisCpu(redis) {
    const cpu = await infoOf(redis, 'cpu');
    return Number(cpu.used_cpu_user) + Number(cpu.used_cpu_sys);
}

/* What clients ask of Redis about users of the generator (u000042), and what they publish to reply channels, counted by the
 * names of the commands; what scripts call is not counted, but for what they publish: { counts, stop }. */
function monitorUsers(redis) {
    const socket = net.connect(redis.socket), counts = {};
    let rest = '';
    const count = (line) => {
        const found = /^\+[\d.]+ \[\d+ ([^\]]*)\] "([^"]+)"/.exec(line);
        if (!found || !(line.includes('{u') || line.includes(':reply:'))) {
            return;
        }
        const name = found[1] === 'lua' ? `lua ${found[2].toLowerCase()}` : found[2].toLowerCase();
        counts[name] = (counts[name] || 0) + 1;
    };
    socket.on('error', () => {});
    socket.on('data', (piece) => {
        const lines = (rest + piece.toString('latin1')).split('\r\n');
        rest = lines.pop();
        lines.forEach(count);
    });
    socket.write(commandOf(['MONITOR']));
    return { counts, stop: () => socket.destroy() };
}

module.exports = { ask, infoOf, monitorUsers, redisCpu };
