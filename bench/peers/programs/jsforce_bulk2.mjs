// jsforce: Bulk 2.0 jobs of four objects at once, streamed to CSV files.
import { createWriteStream, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';

const jsforce = createRequire(process.argv[2] + '/')('jsforce');
const work = JSON.parse(readFileSync(process.argv[3], 'utf8'));
const conn = new jsforce.Connection({ instanceUrl: work.url, accessToken: work.token, version: '62.0' });
const rows = {}, files = {};
const waiting = Object.entries(work.objects);
const started = performance.now();

async function reader() {
  for (let next = waiting.shift(); next; next = waiting.shift()) {
    const [name, fields] = next;
    const where = work.where ? ` WHERE ${work.where}` : '';
    const soql = `SELECT ${fields.join(',')} FROM ${name}${where}`;
    // Its wait between two looks at a job is 1 s; set to ours, so that waiting is not what is measured.
    const records = await conn.bulk2.query(soql, { pollInterval: 50, pollTimeout: 300000, scanAll: true });
    files[name] = [join(work.out, `${name}.csv`)];
    await pipeline(records.stream('csv'), createWriteStream(files[name][0]));
    rows[name] = null;
  }
}

await Promise.all([reader(), reader(), reader(), reader()]);
console.log(JSON.stringify({ seconds: (performance.now() - started) / 1000, rows, files }));
