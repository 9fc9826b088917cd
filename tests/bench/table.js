'use strict';
/* What tests/bench/run prints: a row per figure, with its ratio to the floor and its aim, and in a pair with the figure of
 * the other Herald and the quotient of the two. Every ratio is one within a repetition, and the median of them is printed. */

const os = require('node:os');

const MUCH = 0.15; /* a miss that is said */

function median(values) {
    const sorted = values.filter((value) => !Number.isNaN(value)).sort((a, b) => a - b);
    return sorted.length === 0 ? NaN : sorted[Math.floor((sorted.length - 1) / 2)];
}

function shown(value, digits = Math.abs(value) < 100 ? 1 : 0) {
    return value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits }).replaceAll(',', ' ');
}

const ratioShown = (value) => (Number.isFinite(value) ? value.toFixed(2) : '');

function aimShown({ aim, least, most }) {
    const number = least ?? most;
    if (aim !== undefined || number === undefined) {
        return aim || '';
    }
    return `at ${least === undefined ? 'most' : 'least'} ${number < 10 ? Number(number.toPrecision(3)) : shown(number).replace(/\.0$/, '')}`;
}

/* 1: the aim is just met; more: it is missed. */
function excessOf(figure, value, ratio) {
    const counts = figure.floor && !figure.aimOfValue ? ratio : value;
    if (figure.least !== undefined) {
        return figure.least / counts;
    }
    return figure.most !== undefined ? counts / figure.most : NaN;
}

function missShown(excess) {
    return Number.isFinite(excess) && excess > 1 + MUCH ? `missed by ${Math.round((excess - 1) * 100)} %` : '';
}

function printRow({ figure, value, other, quotient, unit, ratio, aim, miss, others }, isPair) {
    const pair = isPair ? `${other.padStart(11)} ${quotient.padStart(8)} ` : '';
    console.log(`${figure.padEnd(52)} ${value.padStart(11)} ${pair}${unit.padEnd(5)} ${ratio.padStart(8)}  ${aim.padEnd(20)} ${miss.padEnd(17)} ${others}`.trimEnd());
}

function printHead(isPair) {
    printRow({ figure: 'figure', value: 'value', other: 'other', quotient: 'quotient', unit: 'unit', ratio: 'to floor', aim: 'aim', miss: '',
        others: 'others on the cores' }, isPair);
}

/* Per cent of a core that neither the server, its Redis nor the generator used meanwhile. */
function othersShare(r) {
    return (r.busy - r.cpu - r.redisCpu - r.ownCpu + r.steal) / r.window * 100;
}

function printFigure(figure, results, isPair, others) {
    const ofFloor = figure.floor === true ? figure.of : figure.floor;
    const value = median(results.map(({ herald }) => figure.of(herald)));
    const ratio = figure.floor ? median(results.map(({ herald, floor }) => figure.of(herald) / ofFloor(floor))) : NaN;
    const excess = figure.excess ? median(results.map(({ herald }) => figure.excess(herald))) : excessOf(figure, value, ratio);
    printRow({
        figure: figure.what, value: shown(value, figure.digits), unit: figure.unit, ratio: ratioShown(ratio), aim: aimShown(figure), miss: missShown(excess), others,
        other: isPair ? shown(median(results.map(({ against }) => figure.of(against))), figure.digits) : '',
        quotient: isPair ? ratioShown(median(results.map(({ herald, against }) => figure.of(herald) / figure.of(against)))) : '',
    }, isPair);
}

/* results: of each repetition, with herald, and floor and against where they were measured. */
function printMeasurement(measurement, results, isPair) {
    const others = measurement.run ? '' : `${Math.max(0, Math.round(median(results.map(({ herald }) => othersShare(herald)))))} %`;
    measurement.figures.forEach((figure, row) => printFigure(figure, results, isPair, row === 0 ? others : ''));
}

function machineLine() {
    const cpu = os.cpus();
    return `${cpu.length} cores (${cpu[0].model.trim()}), ${Math.round(os.totalmem() / 2 ** 30)} GiB, Linux ${os.release()}, `
        + `load before ${os.loadavg()[0].toFixed(2)}`;
}

module.exports = { machineLine, printHead, printMeasurement };
