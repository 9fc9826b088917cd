'use strict';
/* What tests/bench/run prints: a row per figure, with its ratio to the floor and its aim. */

const os = require('node:os');

const median = (values) => values.sort((a, b) => a - b)[Math.floor((values.length - 1) / 2)];

function shown(value) {
    const digits = Math.abs(value) < 100 ? 1 : 0;
    return value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits }).replaceAll(',', ' ');
}

function aimShown(aim) {
    const least = Math.abs(aim);
    return aim === undefined ? '' : `${aim < 0 ? 'at most' : 'at least'} ${least < 10 ? least : shown(least).replace(/\.0$/, '')}`;
}

function printRow(columns) {
    const [figure, value, unit, ratio, aim, others] = columns;
    console.log(`${figure.padEnd(52)} ${value.padStart(11)} ${unit.padEnd(6)} ${ratio.padStart(9)}  ${aim.padEnd(17)} ${others}`.trimEnd());
}

/* Per cent of a core that neither Herald, its Redis nor the generator used meanwhile. */
function othersShare(r) {
    return (r.busy - r.cpu - r.redisCpu - r.ownCpu + r.steal) / r.window * 100;
}

/* Each result with that of the floor which was measured after it; bytes have none, because the floor keeps nothing. */
function ratioShown(tables, floors, row) {
    const ratios = floors.map((floor, i) => tables[i][row][1] / floor[row][1]).filter(Number.isFinite);
    return ratios.length === 0 || tables[0][row][2] === 'bytes' ? '' : median(ratios).toFixed(2);
}

function printMeasurement(measurement, results, floorResults) {
    const tables = results.map((result) => measurement.figures(result));
    const floors = floorResults.map((result) => measurement.figures(result));
    const others = measurement.run ? '' : `${Math.max(0, Math.round(median(results.map(othersShare))))} %`;
    tables[0].forEach(([figure, , unit, aim], row) => {
        const value = median(tables.map((table) => table[row][1]));
        printRow([figure, shown(value), unit, ratioShown(tables, floors, row), aimShown(aim), row === 0 ? others : '']);
    });
}

function machineLine() {
    const cpu = os.cpus();
    return `${cpu.length} cores (${cpu[0].model.trim()}), ${Math.round(os.totalmem() / 2 ** 30)} GiB, Linux ${os.release()}, `
        + `load before ${os.loadavg()[0].toFixed(2)}`;
}

module.exports = { machineLine, printMeasurement, printRow };
