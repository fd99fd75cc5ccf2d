// Shows /_org/status and asks again every two seconds while somebody looks. Text is only ever set as text.
"use strict";

const BASE = document.body.dataset.base;
const EVERY_MS = 2000;
const whole = new Intl.NumberFormat("en");
const find = (id) => document.getElementById(id);
let objects = [];

function make(tag, { text, kind, title } = {}, children = []) {
  const element = document.createElement(tag);
  if (text !== undefined && text !== null) element.textContent = text;
  if (kind) element.className = kind;
  if (title) element.title = title;
  element.append(...children);
  return element;
}

// columns: [heading, class, row => text or node]
function table(rows, columns, empty) {
  if (!rows.length) return make("p", { text: empty, kind: "empty" });
  const head = make("tr", {}, columns.map(([heading, kind]) => make("th", { text: heading, kind })));
  const lines = rows.map((row) =>
    make("tr", {}, columns.map(([, kind, value]) => {
      const shown = value(row);
      return shown instanceof Node ? make("td", { kind }, [shown]) : make("td", { text: shown, kind });
    })));
  return make("table", {}, [make("thead", {}, [head]), make("tbody", {}, lines)]);
}

const show = (id, node) => find(id).replaceChildren(node);
const clockText = (iso) => iso.slice(0, 19).replace("T", " ") + " UTC";
const timeText = (iso) => iso.slice(11, 19);
const number = (key) => [key[0].toUpperCase() + key.slice(1), "number", (row) => whole.format(row[key])];

function bytes(count) {
  const units = ["B", "kB", "MB", "GB"];
  let unit = 0;
  while (count >= 1000 && unit < units.length - 1) { count /= 1000; unit += 1; }
  return `${unit ? count.toFixed(1) : count} ${units[unit]}`;
}

function showOrg(org, clock) {
  document.title = `${org.name}: local org`;
  find("org-name").textContent = org.name;
  find("org-kind").textContent = org.kind;
  find("org-facts").textContent = [org.id, org.domain, org.url].filter(Boolean).join("  ·  ");
  find("clock-now").textContent = clockText(clock.now);
  find("clock-state").hidden = !clock.frozen;
}

function showLimits(limits) {
  find("limits").replaceChildren(...limits.map((limit) => {
    const bar = make("progress", { kind: limit.used >= limit.max ? "full" : "" });
    bar.max = Math.max(limit.max, 1);
    bar.value = Math.min(limit.used, limit.max);
    bar.setAttribute("aria-label", limit.name);
    const line = make("div", {}, [make("span", { text: limit.name }),
      make("span", { kind: "quiet", text: `${whole.format(limit.used)} of ${whole.format(limit.max)}` })]);
    return make("div", { kind: "meter" }, [line, bar]);
  }));
}

function faultState(fault) {
  if (fault.spent) return make("span", { kind: "tag", text: "spent" });
  return fault.waiting ? make("span", { kind: "tag warn", text: "waiting" }) : make("span", { kind: "tag bad", text: "in force" });
}

function faultTarget(fault) {
  if (fault.effect.rows || fault.effect.read_only) return "rows that are saved";
  return [fault.method, fault.path === ".*" ? "every request" : fault.path].filter(Boolean).join(" ");
}

function showFaults(faults) {
  const columns = [
    ["", "nowrap", faultState],
    ["Fault", "", (f) => f.name || "–"],
    ["Meets", "mono", faultTarget],
    ["Effect", "mono", (f) => JSON.stringify(f.effect)],
    ["Struck", "number", (f) => `${f.applied}${f.count === null ? "" : ` of ${f.count}`}${f.rate < 1 ? ` at ${f.rate * 100} %` : ""}`],
    ["", "nowrap", (f) => {
      const button = make("button", { text: "Clear" });
      button.type = "button";
      button.setAttribute("aria-label", `Clear fault ${f.name || f.index + 1}`);
      button.addEventListener("click", () => act("DELETE", `/faults?index=${f.index}`));
      return button;
    }],
  ];
  show("faults", table(faults.map((f, index) => ({ ...f, index })), columns, "None: every request is answered as it should be."));
  find("fault-count").textContent = faults.length || "";
  find("clear-faults").disabled = !faults.length;
}

function showClients(clients) {
  const columns = [
    ["Client", "", (c) => c.client],
    number("calls"),
    ["Errors", "number", (c) => (c.errors ? make("span", { kind: "tag bad", text: whole.format(c.errors) }) : "0")],
    ["Sent", "number", (c) => bytes(c.bytes_sent)],
    ["Last request", "mono", (c) => `${c.last_request} → ${c.last_status}`],
    ["At", "number quiet", (c) => timeText(c.last_at)],
  ];
  show("clients", table([...clients].sort((a, b) => b.calls - a.calls), columns, "Nobody has called yet."));
}

function showObjects() {
  const wanted = find("object-filter").value.trim().toLowerCase();
  const shown = objects.filter((o) => o.name.toLowerCase().includes(wanted));
  const deleted = ["In the bin", "number quiet", (o) => (o.deleted ? whole.format(o.deleted) : "")];
  show("objects", table(shown, [["Object", "", (o) => o.name], number("rows"), deleted], "No rows."));
  find("object-count").textContent = objects.length || "";
}

const STATES = { JobComplete: "good", Completed: "good", Closed: "good", Failed: "bad", Aborted: "bad" };

function showJobs(jobs) {
  const columns = [
    ["Job", "mono", (j) => j.id],
    ["API", "nowrap", (j) => `Bulk ${j.api}`],
    ["Operation", "", (j) => `${j.operation} ${j.object}`],
    ["State", "nowrap", (j) => make("span", { kind: `tag ${STATES[j.state] || ""}`, text: j.state })],
    number("processed"),
    number("failed"),
  ];
  show("jobs", table(jobs, columns, "No Bulk jobs."));
}

function showSessions(sessions) {
  const columns = [["User", "", (s) => s.user], ["Sessions", "number", (s) => s.count], ["Until", "number quiet", (s) => timeText(s.expires)]];
  show("sessions", table(sessions, columns, "Nobody is signed in."));
  find("expire-sessions").disabled = !sessions.length;
}

function entryText(entry) {
  if (entry.op === "loaded") return `${whole.format(entry.rows)} rows`;
  return [entry.changed.join(", "), entry.note].filter(Boolean).join(" · ");
}

function showLedger(ledger) {
  const columns = [
    ["No.", "number quiet", (e) => whole.format(e.seq)],
    ["At", "number", (e) => timeText(e.at)],
    ["", "nowrap", (e) => make("span", { kind: `tag ${/delete/.test(e.op) ? "bad" : e.op === "insert" ? "good" : ""}`, text: e.op })],
    ["Object", "", (e) => e.object],
    ["Record", "mono", (e) => e.id || ""],
    ["Through", "quiet", (e) => e.api || ""],
    ["What", "quiet", entryText],
  ];
  show("ledger", table(ledger.entries, columns, "Nothing has changed yet."));
  find("ledger-count").textContent = ledger.sequence ? whole.format(ledger.sequence) : "";
}

async function ask(method, path, body) {
  const answer = await fetch(BASE + path, { method, body: body === undefined ? undefined : JSON.stringify(body) });
  const value = await answer.json();
  if (!answer.ok) throw new Error(Array.isArray(value) ? value[0].message : answer.statusText);
  return value;
}

async function refresh() {
  try {
    const status = await ask("GET", "/status");
    showOrg(status.org, status.clock);
    showLimits(status.limits);
    showFaults(status.faults);
    showClients(status.clients);
    objects = status.objects;
    showObjects();
    showJobs(status.jobs);
    showSessions(status.sessions);
    showLedger(status.ledger);
    linked(true);
  } catch {
    linked(false);
  }
}

function linked(alive) {
  const mark = find("link");
  mark.textContent = alive ? "live" : "no answer";
  mark.className = `tag ${alive ? "good" : "bad"}`;
  document.body.classList.toggle("stale", !alive);
}

async function act(method, path, body) {
  const answer = find("fault-answer");
  answer.textContent = "";
  try {
    await ask(method, path, body);
  } catch (error) {
    answer.textContent = error.message;
  }
  await refresh();
}

async function showOrgs() {
  const orgs = await ask("GET", "/orgs").catch(() => []);
  if (orgs.length < 2) return;
  const here = BASE.replace(/\/_org$/, "");
  find("orgs").replaceChildren(...orgs.map((org, index) => {
    const link = make("a", { text: `${org.name} (${org.kind})` });
    link.href = `${org.path}/_org/`;
    if (here === org.path || (here === "" && index === 0)) link.setAttribute("aria-current", "page");
    return link;
  }));
  find("orgs").hidden = false;
}

async function showScenarios() {
  const scenarios = await ask("GET", "/faults?scenarios").catch(() => ({}));
  find("scenario").replaceChildren(...Object.entries(scenarios).map(([name, comment]) => {
    const option = make("option", { text: `${name}: ${comment}` });
    option.value = name;
    return option;
  }));
}

for (const button of document.querySelectorAll("[data-advance]")) {
  button.addEventListener("click", () => act("POST", "/clock", { advance_s: Number(button.dataset.advance) }));
}
find("clear-faults").addEventListener("click", () => act("DELETE", "/faults"));
find("expire-sessions").addEventListener("click", () => act("POST", "/sessions/expire"));
find("object-filter").addEventListener("input", showObjects);
find("scenario-form").addEventListener("submit", (event) => {
  event.preventDefault();
  act("POST", "/faults", { scenario: find("scenario").value });
});

async function watch() {
  if (!document.hidden) await refresh();
  setTimeout(watch, EVERY_MS);
}
showOrgs();
showScenarios();
watch();
