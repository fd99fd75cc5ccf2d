// Runs jsforce as its users do. argv[2] names the scenario; the addresses come from the environment.
// The last line printed is JSON for the test to compare with the org.
const jsforce = (await import(process.env.PACKAGE)).default;
const { LOGIN_URL, ORG_USERNAME, ORG_PASSWORD, CLIENT_ID, CLIENT_SECRET, ACCESS_TOKEN, INSTANCE_URL, KEY } = process.env;
const VERSION = process.env.API_VERSION ?? '62.0';

const session = (more = {}) =>
  new jsforce.Connection({ instanceUrl: INSTANCE_URL, accessToken: ACCESS_TOKEN, version: VERSION, ...more });

// What a user sees of a refusal.
const refusal = async (work) => {
  try {
    return { answer: await work() };
  } catch (error) {
    return { name: error.name, code: error.errorCode ?? null, message: error.message, fields: error.data?.fields ?? null };
  }
};

const collect = (stream, start = () => {}) =>
  new Promise((resolve, reject) => {
    const records = [];
    stream.on('record', (record) => records.push(record));
    stream.on('end', () => resolve(records));
    stream.on('error', reject);
    start(stream);
  });

const text = async (stream) => {
  const parts = [];
  for await (const part of stream) parts.push(Buffer.from(part));
  return Buffer.concat(parts);
};

const scenarios = {
  async login_soap() {
    const conn = new jsforce.Connection({ loginUrl: LOGIN_URL }); // its own default version
    const user = await conn.login(ORG_USERNAME, ORG_PASSWORD);
    const identity = await conn.identity();
    const counted = await conn.query('SELECT COUNT() FROM Contact');
    const refused = await refusal(() => new jsforce.Connection({ loginUrl: LOGIN_URL }).login(ORG_USERNAME, 'wrong'));
    return { user, identity: identity.user_id, instanceUrl: conn.instanceUrl, counted: counted.totalSize, refused };
  },

  async login_password() {
    const oauth2 = { loginUrl: LOGIN_URL, clientId: CLIENT_ID, clientSecret: CLIENT_SECRET };
    const conn = new jsforce.Connection({ oauth2, version: VERSION });
    const user = await conn.login(ORG_USERNAME, ORG_PASSWORD);
    const identity = await conn.identity();
    const bad = new jsforce.Connection({ oauth2: { ...oauth2, clientSecret: 'wrong' } });
    const refused = await refusal(() => bad.login(ORG_USERNAME, ORG_PASSWORD));
    await conn.logout(true);
    return { user, identity, refused };
  },

  // Prints where the browser has to go, then waits for the code on standard input.
  async login_web() {
    const oauth2 = new jsforce.OAuth2({
      loginUrl: LOGIN_URL, clientId: CLIENT_ID, clientSecret: CLIENT_SECRET,
      redirectUri: process.env.REDIRECT_URI, useVerifier: true,
    });
    const address = oauth2.getAuthorizationUrl({ scope: 'api refresh_token', state: 'st' });
    process.stdout.write(JSON.stringify({ address }) + '\n');
    const code = (await text(process.stdin)).toString().trim();
    const conn = new jsforce.Connection({ oauth2, version: VERSION });
    const user = await conn.authorize(code);
    const again = await refusal(() => new jsforce.Connection({ oauth2 }).authorize(code));
    const token = conn.accessToken;
    await conn.oauth2.revokeToken(token); // the session dies; the refresh token opens another
    const refreshed = [];
    conn.on('refresh', (fresh) => refreshed.push(fresh !== token));
    const counted = await conn.query('SELECT COUNT() FROM Contact');
    return { user, again, refreshed, counted: counted.totalSize, refreshToken: Boolean(conn.refreshToken) };
  },

  async read() {
    const conn = session();
    const headers = { 'Sforce-Query-Options': 'batchSize=200' };
    const soql = 'SELECT Id, LastName, Account.Name FROM Contact ORDER BY Id';
    const all = await conn.query(soql, { autoFetch: true, maxFetch: 100000, headers });
    const streamed = await collect(conn.query(soql), (query) => query.run({ autoFetch: true, maxFetch: 100000 }));
    const first = await conn.query(soql, { headers });
    const second = await conn.queryMore(first.nextRecordsUrl, { headers });
    const found = await conn.sobject('Contact')
      .find({ LastName: { $like: 'S%' } }, ['Id', 'LastName']).sort({ LastName: -1 }).limit(5).execute();
    const children = await conn.query(
      'SELECT Id, (SELECT Id FROM Contacts) FROM Account WHERE Id IN (SELECT AccountId FROM Contact) ORDER BY Id LIMIT 3');
    const grouped = await conn.query('SELECT AccountId, COUNT(Id) n FROM Contact GROUP BY AccountId LIMIT 2');
    const ids = streamed.slice(0, 3).map((record) => record.Id);
    const several = await conn.sobject('Contact').retrieve(ids);
    const more = await conn.queryAll?.('SELECT Id FROM Contact');
    return {
      all: all.records.map((r) => r.Id), streamed: streamed.map((r) => r.Id), total: first.totalSize, done: first.done,
      pages: [first.records.length, second.records.length], found: found.map((r) => r.LastName), children: children.records,
      grouped: grouped.records, several: several.map((r) => r.Id), parent: all.records[0].Account, more: more?.totalSize ?? null,
      usage: conn.limitInfo,
    };
  },

  async describe() {
    const conn = session();
    const global = await conn.describeGlobal();
    const contact = await conn.sobject('Contact').describe();
    const cached = await conn.sobject('Contact').describe$();
    const limits = await conn.limits();
    const [recent, versions] = [await conn.recent(), await conn.request('/services/data')];
    const start = new Date(Date.now() - 3600e3), end = new Date(Date.now() + 120e3);
    const updated = await conn.sobject('Account').updated(start, end);
    const deleted = await conn.sobject('Account').deleted(start, end);
    const tabs = await refusal(() => conn.tabs());
    const theme = await refusal(() => conn.theme());
    const layouts = await refusal(() => conn.sobject('Account').layouts());
    const compact = await refusal(() => conn.sobject('Account').compactLayouts());
    const actions = await refusal(() => conn.quickActions());
    const searched = await refusal(() => conn.search('FIND {Smith} IN ALL FIELDS RETURNING Contact(Id, LastName)'));
    return {
      objects: global.sobjects.map((o) => o.name), fields: contact.fields.map((f) => f.name), same: cached.name === contact.name,
      limits: Object.keys(limits), recent, versions, updated, deleted, tabs, theme, layouts, compact, actions, searched,
    };
  },

  async write() {
    const conn = session();
    const account = conn.sobject('Account');
    const created = await account.create({ Name: 'One & only <Ltd>', Description: 'ünïcode — "quoted"' });
    const many = await account.create(Array.from({ length: 450 }, (_, i) => ({ Name: `Many ${i}` })), { allowRecursive: true });
    const updated = await account.update({ Id: created.id, Phone: '0123' });
    const updatedMany = await account.update(many.slice(0, 3).map((r, i) => ({ Id: r.id, Phone: `${i}` })));
    const upserted = [];
    for (const name of ['first', 'second']) {
      upserted.push(await conn.sobject('Thing__c').upsert({ Key__c: KEY + '1', Name: name }, 'Key__c'));
    }
    const upsertedMany = await conn.sobject('Thing__c')
      .upsert([{ Key__c: KEY + '1', Name: 'third' }, { Key__c: KEY + '2', Name: 'new' }], 'Key__c');
    const gone = await account.destroy(many[0].id);
    const goneMany = await account.destroy(many.slice(1, 4).map((r) => r.id));
    const read = await account.retrieve(created.id);
    const mixed = await account.create([{ Name: 'fine' }, { Phone: '1' }]);
    const allOrNone = await refusal(() => account.create([{ Name: 'not saved' }, { Phone: '1' }], { allOrNone: true }));
    return {
      created, many: many.map((r) => r.id), updated, updatedMany, upserted, upsertedMany, gone, goneMany, read, mixed, allOrNone,
      missing: await refusal(() => account.create({ Phone: '1' })),
      unknown: await refusal(() => account.retrieve('001000000000000AAA')),
      deleted: await refusal(() => account.update({ Id: many[0].id, Phone: '2' })),
    };
  },

  async errors() {
    const conn = session();
    const stale = session({ accessToken: ACCESS_TOKEN.slice(0, 16) + 'AQ' + 'x'.repeat(90) });
    return {
      field: await refusal(() => conn.query('SELECT Nope__c FROM Contact')),
      type: await refusal(() => conn.query('SELECT Id FROM Nope__c')),
      syntax: await refusal(() => conn.query('SELECT FROM WHERE')),
      path: await refusal(() => conn.request('/services/data/v62.0/nope')),
      locator: await refusal(() => conn.queryMore('/services/data/v62.0/query/0r8000000000000AAA-2000')),
      session: await refusal(() => stale.query('SELECT Id FROM Contact')),
      session_bulk: await refusal(() => stale.bulk.load('Contact', 'insert', [{ LastName: 'x' }])),
      session_soap: await refusal(() => stale.soap.getUserInfo()),
    };
  },

  async bulk1() {
    const conn = session();
    conn.bulk.pollInterval = 50;
    const loaded = await conn.bulk.load('Contact', 'insert', [
      { LastName: 'Bulk "one", with comma' }, { LastName: null, FirstName: 'nameless' }, { LastName: 'Bulk two' },
    ]);
    const [kept] = loaded.filter((r) => r.success);
    const updated = await conn.bulk.load('Contact', 'update', [{ Id: kept.id, FirstName: 'Changed' }]);
    const deleted = await conn.bulk.load('Contact', 'delete', [{ Id: loaded[2].id }]);
    const records = await collect(await conn.bulk.query('SELECT Id, LastName, Account.Name FROM Contact'));
    const none = await collect(await conn.bulk.query("SELECT Id FROM Contact WHERE LastName = 'nobody at all'"));
    const malformed = await refusal(async () => collect(await conn.bulk.query('SELECT Nope__c FROM Contact')));
    const job = conn.bulk.createJob('Contact', 'insert');
    const opened = await job.open();
    const state = (await job.check()).state;
    const aborted = await job.abort();
    return {
      loaded, updated, deleted, records: records.map((r) => r.Id), sample: records[0], none, malformed, opened, state,
      aborted: aborted.state, object: await refusal(() => conn.bulk.load('Nope__c', 'insert', [{ Name: 'x' }])),
    };
  },

  async bulk2() {
    const conn = session();
    const quick = { pollInterval: 50, pollTimeout: 30000 };
    conn.bulk2.pollInterval = 50;
    const records = await collect(await conn.bulk2.query('SELECT Id, LastName, Account.Name FROM Contact', quick));
    const input = [{ LastName: 'Two "one", with comma', FirstName: null }, { FirstName: 'nameless' }, { LastName: 'Two' }];
    const loaded = await conn.bulk2.loadAndWaitForResults({ object: 'Contact', operation: 'insert', input, ...quick });
    const ids = loaded.successfulResults.map((r) => r.sf__Id);
    const updated = await conn.bulk2.loadAndWaitForResults(
      { object: 'Contact', operation: 'update', input: ids.map((Id) => ({ Id, FirstName: 'Changed' })), ...quick });
    const deleted = await conn.bulk2.loadAndWaitForResults(
      { object: 'Contact', operation: 'delete', input: [{ Id: ids[1] }], ...quick });
    const job = conn.bulk2.createJob({ operation: 'insert', object: 'Contact' });
    const opened = await job.open();
    await job.uploadData([{ LastName: 'never' }]);
    await job.abort();
    const aborted = (await job.check()).state;
    await job.delete();
    return {
      records: records.map((r) => r.Id), sample: records[0], loaded, updated, deleted, opened, aborted,
      malformed: await refusal(async () => collect(await conn.bulk2.query('SELECT Nope__c FROM Contact', quick))),
      after: await refusal(() => job.check()),
    };
  },

  async blobs() {
    const conn = session();
    const bytes = Buffer.from(Array.from({ length: 70000 }, (_, i) => (i * 7) % 256));
    const file = { Title: 'binary', PathOnClient: 'binary.bin', VersionData: bytes.toString('base64') };
    const plain = await conn.sobject('ContentVersion').create(file);
    const parts = { multipartFileFields: { VersionData: { filename: 'binary.bin', contentType: 'application/octet-stream' } } };
    const multipart = await conn.sobject('ContentVersion').create({ ...file, Title: 'parts' }, parts);
    const back = [];
    for (const { id } of [plain, multipart]) {
      back.push((await text(conn.sobject('ContentVersion').record(id).blob('VersionData'))).equals(bytes));
    }
    const rows = await conn.query(
      `SELECT Id, Title, ContentDocumentId, ContentSize, Checksum, IsLatest FROM ContentVersion WHERE Id IN ('${plain.id}', '${multipart.id}')`);
    const account = await conn.sobject('Account').create({ Name: 'With file' });
    const link = await conn.sobject('ContentDocumentLink')
      .create({ ContentDocumentId: rows.records[0].ContentDocumentId, LinkedEntityId: account.id, ShareType: 'V' });
    const attachment = await conn.sobject('Attachment')
      .create({ ParentId: account.id, Name: 'a.txt', Body: Buffer.from('hällo').toString('base64') });
    const body = (await text(conn.sobject('Attachment').record(attachment.id).blob('Body'))).toString();
    return { plain, multipart, back, rows: rows.records, link, body };
  },

  async soap() {
    const conn = session();
    const info = await conn.soap.getUserInfo();
    const time = await conn.soap.getServerTimestamp();
    const created = await conn.soap.create([{ type: 'Account', Name: 'Soap & co' }, { type: 'Account', Phone: '1' }]);
    const id = created[0].id;
    const updated = await conn.soap.update([{ type: 'Account', Id: id, Phone: '77' }]);
    const upserted = await conn.soap.upsert('Key__c', [{ type: 'Thing__c', Key__c: KEY + 'soap', Name: 'x' }]);
    const loser = (await conn.soap.create([{ type: 'Account', Name: 'Loser' }]))[0].id;
    const merged = await conn.soap.merge([{ masterRecord: { type: 'Account', Id: id }, recordToMergeIds: [loser] }]);
    const deleted = await conn.soap.delete([id]);
    const undeleted = await conn.soap.undelete([id]);
    await conn.soap.delete([id]);
    const emptied = await conn.soap.emptyRecycleBin([id]);
    return { info, time, created, updated, upserted, merged, deleted, undeleted, emptied };
  },

  async composite() {
    const conn = session();
    const base = `/services/data/v${VERSION}`;
    const composite = await conn.requestPost(`${base}/composite`, {
      allOrNone: true,
      compositeRequest: [
        { method: 'POST', url: `${base}/sobjects/Account`, referenceId: 'parent', body: { Name: 'Composite' } },
        { method: 'POST', url: `${base}/sobjects/Contact`, referenceId: 'child', body: { LastName: 'C', AccountId: '@{parent.id}' } },
      ],
    });
    const tree = await conn.requestPost(`${base}/composite/tree/Account`, {
      records: [{
        attributes: { type: 'Account', referenceId: 'a' }, Name: 'Tree',
        Contacts: { records: [{ attributes: { type: 'Contact', referenceId: 'c' }, LastName: 'Leaf' }] },
      }],
    });
    const graph = await conn.requestPost(`${base}/composite/graph`, {
      graphs: [{ graphId: 'g', compositeRequest: [
        { method: 'POST', url: `${base}/sobjects/Account`, referenceId: 'x', body: { Name: 'Graph' } }] }],
    });
    const batch = await conn.requestPost(`${base}/composite/batch`, {
      batchRequests: [{ method: 'GET', url: `v${VERSION}/limits` }, { method: 'GET', url: `v${VERSION}/query?q=SELECT+Nope+FROM+Account` }],
    });
    return { composite, tree, graph, batch: batch.results.map((r) => r.statusCode), hasErrors: batch.hasErrors };
  },
};

const answer = JSON.stringify(await scenarios[process.argv[2]]());
process.stdout.write(answer + '\n', () => process.exit(0)); // pooled connections would keep it waiting
