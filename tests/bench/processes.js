'use strict';
/* Starts and ends what the benchmark needs: Herald, Redis, the floor, the generator. All that is started here ends with
 * this process. */

const { execFileSync, spawn, spawnSync } = require('node:child_process');
const fs = require('node:fs');
const http = require('node:http');
const https = require('node:https');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { freePort } = require('../support/ports');

const out = path.resolve(__dirname, '../out');
const programs = { load: path.join(out, 'bench_load'), attack: path.join(out, 'bench_attack'), floor: path.join(out, 'bench_floor'),
    storm: path.join(out, 'bench_storm') };
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const children = new Set();
let directory;
process.on('exit', () => {
    children.forEach((child) => child.kill('SIGKILL'));
    if (directory) {
        fs.rmSync(directory, { recursive: true, force: true });
    }
});
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(name, () => process.exit(130));
}

/* A directory of its own for one run of something. */
function makePlace(name) {
    directory = directory || fs.mkdtempSync(path.join(os.tmpdir(), 'herald-bench-'));
    return fs.mkdtempSync(path.join(directory, `${name}-`));
}

/* Herald is stopped between two measurements, and no balancer is in front. (Programs of before warn of the variable.) */
function start(command, args, logPath) {
    const log = fs.openSync(logPath, 'w');
    const env = Object.fromEntries(Object.entries(process.env).filter(([key]) => !key.startsWith('HERALD_')));
    env.HERALD_DRAIN_DELAY = '0s';
    const child = spawn(command, args, { stdio: ['ignore', log, log], env });
    fs.closeSync(log);
    children.add(child);
    child.ended = new Promise((resolve) => {
        child.once('error', resolve);
        child.once('exit', resolve);
    }).then(() => {
        child.isOver = true;
        children.delete(child);
    });
    return child;
}

async function stop(child) {
    if (!child) {
        return;
    }
    child.kill('SIGTERM');
    await Promise.race([child.ended, sleep(10000)]);
    if (!child.isOver) {
        console.log(`${path.basename(child.spawnfile)} did not end within 10 s of SIGTERM`);
        child.kill('SIGKILL');
        await child.ended;
    }
}

/* Runs a program whose last line is JSON; onLine is told of each before it. */
function runForLine(command, args, priority, onLine) {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let stdout = '', stderr = '';
    children.add(child);
    if (priority !== undefined) {
        setPriority(child, priority);
    }
    child.stdout.on('data', (chunk) => {
        stdout += chunk;
        for (let end; onLine && !stdout.startsWith('{') && (end = stdout.indexOf('\n')) >= 0; stdout = stdout.slice(end + 1)) {
            onLine(stdout.slice(0, end));
        }
    });
    child.stderr.on('data', (chunk) => { stderr += chunk; });
    const ended = new Promise((resolve, reject) => {
        child.once('close', (code) => {
            children.delete(child);
            return code === 0 ? resolve(JSON.parse(stdout)) : reject(new Error(stderr.trim() || `${path.basename(command)} ended with ${code}`));
        });
    });
    return { ended, stop: () => child.kill('SIGTERM') };
}

/* Users and servers have cores of their own: where one is flooded, it shall not be the machine's other work that is
 * measured. Only root may go first; without it such figures are too high. */
function setPriority(child, priority) {
    try {
        fs.readdirSync(`/proc/${child.pid}/task`).forEach((thread) => os.setPriority(Number(thread), priority));
    } catch (error) {
        if (!['EACCES', 'EPERM'].includes(error.info?.code)) {
            throw error;
        }
    }
}

async function waitFor(what, child, logPath, ask, seconds = 10) {
    for (const end = Date.now() + seconds * 1000; Date.now() < end; await sleep(20)) {
        if (child.isOver) {
            break;
        }
        if (await ask().catch(() => false)) {
            return;
        }
    }
    throw new Error(`${what} did not start:\n${fs.readFileSync(logPath, 'utf8').slice(-1000)}`);
}

const startSeconds = (under) => (under.length > 0 ? 60 : 10);

/* under: what it runs under, as words. */
async function startRedis(place, under = []) {
    const socket = path.join(place, 'redis.sock'), logPath = path.join(place, 'redis.log');
    const [command, ...words] = [...under, 'redis-server'];
    const child = start(command, [...words, '--port', '0', '--unixsocket', socket, '--dir', place, '--save', '',
        '--appendonly', 'yes', '--appendfsync', 'everysec'], logPath);
    await waitFor('redis-server', child, logPath, async () => fs.existsSync(socket), startSeconds(under));
    return { child, socket, place, url: `redis+unix://${socket}` };
}

/* ECDSA with P-256, as most certificates of today. */
function makeCertificate(place) {
    const cert = path.join(place, 'cert.pem'), key = path.join(place, 'key.pem');
    execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30',
        '-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', cert], { stdio: 'ignore' });
    return { cert, key };
}

/* files: of a certificate, for both ports; under: as above. */
async function startHerald(program, place, store, args = [], files = null, under = []) {
    const port = await freePort(), adminPort = await freePort(), logPath = path.join(place, 'herald.log');
    const tls = files ? ['--tls-cert', files.cert, '--tls-key', files.key, '--admin-tls-cert', files.cert, '--admin-tls-key', files.key] : [];
    const [command, ...words] = [...under, program];
    const child = start(command, [...words, '--listen', `127.0.0.1:${port}`, '--admin-listen', `127.0.0.1:${adminPort}`,
        '--store', store, '--drain-time', '0s', ...tls, ...args], logPath);
    const herald = { child, program, port, adminPort, ca: files && fs.readFileSync(files.cert) };
    await waitFor('herald', child, logPath, () => request(herald, 'GET', '/readyz').then(() => true), startSeconds(under));
    return herald;
}

/* What a node that shares a store is started with: a program of before the fleet has no name. */
function nameArgs(program, name) {
    return spawnSync(program, ['--help'], { encoding: 'utf8' }).stdout.includes('--node-name') ? ['--node-name', name] : [];
}

async function startFloor(place, files) {
    const port = await freePort(), adminPort = await freePort(), logPath = path.join(place, 'floor.log');
    const child = start(programs.floor, [String(port), String(adminPort), ...(files ? [files.cert, files.key] : [])], logPath);
    await waitFor('the floor', child, logPath, () => new Promise((resolve) => {
        const socket = net.connect(port, '127.0.0.1').on('error', () => resolve(false)).on('connect', () => {
            socket.destroy();
            resolve(true);
        });
    }));
    return { child, port, adminPort };
}

/* The answer's body, over a connection of its own; a refusal is an error. */
function request(herald, method, where, body = '', type = 'application/json', timeout = 0) {
    return new Promise((resolve, reject) => {
        const sent = (herald.ca ? https : http).request({
            host: '127.0.0.1', port: herald.adminPort, path: where, method, agent: false, ca: herald.ca, timeout,
            headers: body ? { 'Content-Type': type, 'Content-Length': Buffer.byteLength(body) } : {},
        }, (answer) => {
            const pieces = [];
            answer.on('data', (piece) => pieces.push(piece));
            answer.on('error', reject);
            answer.on('end', () => {
                const text = Buffer.concat(pieces).toString();
                return answer.statusCode < 300 ? resolve(text) : reject(new Error(`${where}: ${answer.statusCode} ${text.slice(0, 300)}`));
            });
        });
        sent.on('timeout', () => sent.destroy(new Error(`${where}: no answer within ${timeout} ms`)));
        sent.on('error', reject);
        sent.end(body);
    });
}

const post = (herald, where, body, type) => request(herald, 'POST', where, body, type);

async function connectionsOf(herald) {
    return JSON.parse(await request(herald, 'GET', '/stats')).connections;
}

/* Linux shows ticks of 10 ms, whatever the kernel's own clock is. */
function cpuSeconds(pid) {
    const fields = fs.readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ').pop().split(' ');
    return (Number(fields[11]) + Number(fields[12])) / 100;
}

module.exports = { connectionsOf, cpuSeconds, makeCertificate, makePlace, nameArgs, out, post, programs, request, runForLine, setPriority,
    sleep, startFloor, startHerald, startRedis, stop };
