// Keeps the page true without reloading it: ages every second, sections and charts when the tables have moved.
// Text from the tables reaches the page only as text: escaped by the server, or through textContent here.
"use strict";

const POLL_MS = Number(document.body.dataset.refreshMs);
const MEASURES = [
  { key: "effect", name: "Effect", unit: "sd", note: "Size of the shift in standard deviations of the baseline, less what chance alone gives at this n. 0 is no drift." },
  { key: "psi", name: "PSI", unit: "", note: "Population stability index. Without drift it is about (bins − 1) / n, so small windows stand higher." },
  { key: "jensen_shannon", name: "Jensen-Shannon", unit: "", note: "Jensen-Shannon distance. Without drift it grows as n falls, so compare windows of like n." },
];
const DASHES = ["solid", "dash", "dot", "dashdot"];
const state = { etag: "", overview: null, answered: Date.now(), skew: 0, sections: new Map() };
const query = new URLSearchParams(location.search);
const choice = {
  window: query.get("window") || "",
  model: query.get("model") || "",
  measure: MEASURES.some((m) => m.key === query.get("measure")) ? query.get("measure") : "effect",
};

const byId = (id) => document.getElementById(id);
const serverNow = () => Date.now() + state.skew;
const two = (n) => String(n).padStart(2, "0");
const clock = (ms) => new Date(ms).toISOString().slice(11, 19);

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

function duration(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${two(s % 60)} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${two(Math.floor((s % 3600) / 60))} min`;
  return `${Math.floor(s / 86400)} d ${two(Math.floor((s % 86400) / 3600))} h`;
}

function windowName(seconds) {
  if (seconds % 3600 === 0) return `${seconds / 3600} h`;
  return seconds % 60 === 0 ? `${seconds / 60} min` : `${seconds} s`;
}

function short(value) {
  if (value === null || value === undefined) return "–";
  return Math.abs(value) >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3)));
}

// Plotly reads a little markup in its texts; names from outside must stay what they are.
function plain(text) {
  const cut = text.length > 40 ? `${text.slice(0, 39)}…` : text;
  return cut.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll("$", "&#36;").replaceAll("%{", "%&#123;");
}

// ---- Ages and the sign of life

function tick() {
  for (const element of document.querySelectorAll("[data-age]")) {
    const words = `${duration((serverNow() - Date.parse(element.dataset.age)) / 1000)} ago`;
    if (element.textContent !== words) element.textContent = words;
  }
  const silent = (Date.now() - state.answered) / 1000;
  const lost = silent > Math.max(15, (5 * POLL_MS) / 1000);
  byId("live").classList.toggle("lost", lost);
  const told = clock(state.answered + state.skew);
  const words = lost
    ? `The dashboard has not answered for ${duration(silent)}. What is shown is from ${told} UTC.`
    : `as of ${told} UTC, looks every ${POLL_MS / 1000} s`;
  if (byId("live-text").textContent !== words) byId("live-text").textContent = words;
}

// ---- Sections, replaced only where something other than an age has changed

const settled = (html) => html.replace(/(data-age="[^"]*">)[^<]*/g, "$1");

function remember() {
  for (const section of document.querySelectorAll("[data-live]")) state.sections.set(section.id, settled(section.outerHTML));
}

function selecting(section) {
  const selection = getSelection();
  return selection && !selection.isCollapsed && section.contains(selection.anchorNode);
}

function replaceSections(html) {
  const page = new DOMParser().parseFromString(html, "text/html");
  for (const fresh of page.querySelectorAll("[data-live]")) {
    const old = byId(fresh.id);
    const content = settled(fresh.outerHTML);
    if (!old || state.sections.get(fresh.id) === content || selecting(old)) continue;
    state.sections.set(fresh.id, content);
    for (const open of old.querySelectorAll("details[open]")) {
      const same = [...fresh.querySelectorAll("details")].find((d) => d.id === open.id);
      if (same) same.open = true;
    }
    old.replaceWith(document.adoptNode(fresh));
  }
  const level = byId("headline").dataset.level;
  document.title = `Pegel: ${level}`;
}

// ---- Charts

function colours() {
  const style = getComputedStyle(document.documentElement);
  const get = (name) => style.getPropertyValue(name).trim();
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  return {
    ink: get("--ink"), quiet: get("--quiet"), line: get("--line"), panel: get("--panel"), broken: get("--broken"), water: get("--water"),
    // Okabe and Ito's palette, lightened on dark ground; each version has its own dash too.
    versions: dark ? ["#56b4e9", "#e69f00", "#2fc39b", "#d98cb8"] : ["#0072b2", "#c77700", "#00836a", "#a8487f"],
  };
}

const LABEL_SPACE = 30; // two lines of labels above the first chart

function layout(c, height, charts, last, labelled) {
  return {
    height: height + (labelled ? LABEL_SPACE : 0), margin: { l: 44, r: 14, t: labelled ? LABEL_SPACE + 4 : 8, b: last ? 26 : 6 },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false,
    font: { family: "system-ui, sans-serif", size: 11, color: c.quiet },
    hovermode: "closest", hoverlabel: { bgcolor: c.panel, bordercolor: c.line, font: { color: c.ink, size: 12 } },
    xaxis: {
      type: "date", range: [charts.start, charts.end], fixedrange: true, showticklabels: last, gridcolor: c.line, zeroline: false,
      tickformat: charts.end - charts.start > 36e5 * 20 ? "%d %b %H:%M" : "%H:%M", nticks: innerWidth < 600 ? 4 : 9,
    },
    yaxis: { fixedrange: true, gridcolor: c.line, zeroline: false, nticks: 4, rangemode: "tozero" },
    shapes: [], annotations: [],
  };
}

function addMarks(target, charts, c, column, labelled) {
  for (const band of charts.bands) {
    if (column !== null && !band.columns.includes(column)) continue;
    target.shapes.push({ type: "rect", xref: "x", yref: "paper", x0: Math.max(band.start, charts.start), x1: band.end ?? charts.end, y0: 0, y1: 1, fillcolor: c.broken, opacity: 0.1, line: { width: 0 }, layer: "below" });
  }
  for (const mark of charts.marks) {
    const onset = mark.kind === "onset";
    target.shapes.push({ type: "line", xref: "x", yref: "paper", x0: mark.t, x1: mark.t, y0: 0, y1: 1, line: { color: onset ? c.broken : c.quiet, width: onset ? 1.5 : 1, dash: { version: "dot", onset: "solid", closed: "dash" }[mark.kind] } });
    if (!labelled) continue;
    const right = mark.t > charts.end - 0.12 * (charts.end - charts.start);
    target.annotations.push({ x: mark.t, xref: "x", y: 1, yref: "paper", text: plain(mark.label), showarrow: false, xanchor: right ? "right" : "left", yanchor: "bottom", xshift: right ? 4 : -4, yshift: onset ? 0 : 13, font: { size: 11, color: onset ? c.broken : c.quiet } });
  }
}

const CONFIG = { displayModeBar: false, responsive: true, showTips: false, scrollZoom: false, doubleClick: false };

function versionsOf(charts) {
  const versions = [];
  const lines = [...charts.drift.flatMap((row) => row.lines), ...charts.quality].sort((a, b) => a.t[0] - b.t[0]);
  for (const line of lines) if (!versions.includes(line.version)) versions.push(line.version);
  return versions;
}

function stroke(versions, version, c) {
  const i = Math.max(0, versions.indexOf(version));
  return { color: c.versions[i % c.versions.length], dash: DASHES[i % DASHES.length], width: 1.8 };
}

function lastOf(line, key) {
  for (let i = line.t.length - 1; i >= 0; i -= 1) {
    const value = line.series[key] ? line.series[key][i] : null;
    if (value !== null && value !== undefined) return { value, n: line.n[i], t: line.t[i] };
  }
  return null;
}

function driftLabel(row, measure, bands, windowMs) {
  const label = make("div", "drift-label");
  const name = make("b", "", row.column);
  name.title = row.column;
  label.append(name);
  const newest = row.lines.map((line) => ({ line, last: lastOf(line, measure.key) })).filter((x) => x.last).sort((a, b) => b.last.t - a.last.t)[0];
  if (newest) {
    label.append(make("span", "now", `${short(newest.last.value)} ${measure.unit}`));
    label.append(make("small", "", `n ${newest.last.n.toLocaleString("en")}, ${clock(newest.last.t)} + ${windowName(windowMs / 1000)}`));
  } else {
    label.append(make("small", "", `no ${measure.name} for this column`));
  }
  if (bands.some((band) => band.end === null && band.columns.includes(row.column))) label.append(make("small", "ringing", "▲ in an open incident"));
  return label;
}

function drawDrift(charts, c, versions) {
  const measure = MEASURES.find((m) => m.key === choice.measure);
  const host = byId("drift-rows");
  const values = charts.drift.flatMap((row) => row.lines.flatMap((line) => line.series[measure.key] || [])).filter((v) => v !== null);
  // One scale for all columns, so that heights compare; a quiet day must not look like a storm.
  const top = Math.max(measure.key === "effect" ? 0.25 : 0.1, ...values.map((v) => v * 1.08));
  while (host.children.length > charts.drift.length) {
    const gone = host.lastChild;
    Plotly.purge(gone.lastChild);
    gone.remove();
  }
  charts.drift.forEach((row, i) => {
    const last = i === charts.drift.length - 1;
    let box = host.children[i];
    if (!box) {
      box = make("div", "drift-row");
      box.append(make("div", "drift-label"), make("div", "plot"));
      host.append(box);
    }
    box.firstChild.replaceWith(driftLabel(row, measure, charts.bands, 1000 * charts.window_s));
    const traces = row.lines.map((line) => ({
      type: "scatter", mode: line.t.length > 1 ? "lines" : "markers", x: line.t, y: line.series[measure.key] || [], customdata: line.n, connectgaps: false,
      line: stroke(versions, line.version, c), marker: { color: stroke(versions, line.version, c).color },
      hovertemplate: `%{x|%H:%M:%S}: %{y:.3g} ${measure.unit}, n %{customdata:,}<extra>version ${plain(line.version)}</extra>`,
    }));
    const shape = layout(c, last ? 96 : 74, charts, last, i === 0);
    shape.yaxis.range = [0, top];
    addMarks(shape, charts, c, row.column, i === 0);
    Plotly.react(box.lastChild, traces, shape, CONFIG);
  });
  const hidden = charts.hidden_columns ? ` ${charts.hidden_columns} quieter columns are not drawn.` : "";
  byId("drift-note").textContent = charts.drift.length
    ? `${measure.note} Final windows of ${windowName(charts.window_s)}, ${charts.model}, all traffic; shaded: an incident.${hidden}`
    : `No final window of ${windowName(charts.window_s)} has been compared with a baseline in this time. It takes a version with a baseline (pegel build-baseline), events of it, and one whole window; longer windows take longer.`;
}

function drawQuality(charts, c, versions) {
  const traces = [];
  for (const line of charts.quality) {
    const look = stroke(versions, line.version, c);
    const band = { type: "scatter", mode: "lines", x: line.t, line: { width: 0, color: look.color }, hoverinfo: "skip", connectgaps: false };
    traces.push({ ...band, y: line.series.lower });
    traces.push({ ...band, y: line.series.upper, fill: "tonexty", fillcolor: `${look.color}2e` });
    traces.push({
      type: "scatter", mode: "lines+markers", x: line.t, y: line.series.value, line: look, marker: { size: 4, color: look.color }, connectgaps: false,
      customdata: line.t.map((_, i) => [line.n[i], line.series.lower[i], line.series.upper[i], line.series.label_completeness[i]]),
      hovertemplate: `%{x|%H:%M:%S}: %{y:.1%} (%{customdata[1]:.1%} to %{customdata[2]:.1%}), n %{customdata[0]:,}, labelled %{customdata[3]:.0%}<extra>version ${plain(line.version)}</extra>`,
    });
  }
  const shape = layout(c, 190, charts, true, true);
  shape.yaxis.tickformat = ".0%";
  shape.yaxis.rangemode = "normal";
  const lows = charts.quality.flatMap((line) => line.series.lower).filter((v) => v !== null && v !== undefined);
  shape.yaxis.range = [Math.max(0, Math.min(0.5, ...lows.map((v) => v - 0.02))), 1.01];
  addMarks(shape, charts, c, null, true);
  if (traces.length) Plotly.react(byId("quality-plot"), traces, shape, CONFIG);
  else Plotly.purge(byId("quality-plot"));
  byId("quality-note").textContent = traces.length
    ? `Accuracy of labelled predictions with its 95 % interval, final windows of ${windowName(charts.quality_window_s)}, ${charts.model}.`
    : "No labelled window yet. Send feedback events of kind label: they find their prediction by event_id and its time.";
  const legend = byId("quality-legend");
  legend.replaceChildren(...versions.map((version) => legendItem(version, stroke(versions, version, c))));
}

function legendItem(version, look) {
  const item = make("span");
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
  const dash = { solid: "", dash: "6 4", dot: "2 3", dashdot: "6 3 2 3" }[look.dash];
  for (const [name, value] of Object.entries({ x1: 0, x2: 26, y1: 4, y2: 4, stroke: look.color, "stroke-width": 2.5, "stroke-dasharray": dash })) line.setAttribute(name, value);
  svg.append(line);
  item.append(svg, document.createTextNode(`version ${version}`));
  return item;
}

function buttons(options, pressed, choose) {
  const group = make("div", "choice");
  for (const option of options) {
    const button = make("button", "", option.name);
    button.type = "button";
    button.title = option.name;
    button.setAttribute("aria-pressed", String(option.value === pressed));
    button.addEventListener("click", () => choose(option.value));
    group.append(button);
  }
  return group;
}

function drawControls(charts) {
  const groups = [
    buttons(MEASURES.map((m) => ({ value: m.key, name: m.name })), choice.measure, (v) => pick("measure", v)),
    buttons(charts.windows.map((s) => ({ value: String(s), name: windowName(s) })), String(charts.window_s), (v) => pick("window", v)),
  ];
  if (charts.models.length > 1) groups.unshift(buttons(charts.models.map((m) => ({ value: m, name: m })), charts.model, (v) => pick("model", v)));
  const host = byId("drift-controls");
  const focused = [...host.querySelectorAll("button")].indexOf(document.activeElement);
  host.replaceChildren(...groups);
  if (focused >= 0) host.querySelectorAll("button")[focused]?.focus();
}

function pick(name, value) {
  choice[name] = value;
  const search = new URLSearchParams(Object.entries(choice).filter(([, v]) => v));
  history.replaceState(null, "", `?${search}`);
  if (name === "measure") draw();
  else poll();
}

function draw() {
  if (!state.overview || typeof Plotly === "undefined") return;
  const { charts } = state.overview;
  const c = colours();
  const versions = versionsOf(charts);
  drawControls(charts);
  drawDrift(charts, c, versions);
  drawQuality(charts, c, versions);
}

// ---- Asking

async function ask(url, headers) {
  const answer = await fetch(url, { headers, cache: "no-store", signal: AbortSignal.timeout(20000) });
  if (!answer.ok && answer.status !== 304) throw new Error(`${url}: ${answer.status}`);
  return answer;
}

async function poll() {
  const search = new URLSearchParams();
  if (choice.window) search.set("window", choice.window);
  if (choice.model) search.set("model", choice.model);
  const answer = await ask(`/api/overview?${search}`, state.etag ? { "If-None-Match": state.etag } : {});
  state.answered = Date.now();
  if (answer.status === 304) return;
  const overview = await answer.json();
  const html = await (await ask("/sections", {})).text();
  state.etag = answer.headers.get("etag") || "";
  state.overview = overview;
  const skew = Date.parse(answer.headers.get("date") || "") - Date.now();
  state.skew = Math.abs(skew) > 2000 ? skew : 0; // the header has whole seconds only
  replaceSections(html);
  draw();
}

async function watch() {
  if (!document.hidden) {
    try {
      await poll();
    } catch (error) {
      console.warn("the dashboard did not answer:", error.message);
    }
    tick();
  }
  setTimeout(watch, POLL_MS);
}

remember();
setInterval(tick, 1000);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
document.addEventListener("visibilitychange", () => { if (!document.hidden) poll().then(tick, () => {}); });
watch();
