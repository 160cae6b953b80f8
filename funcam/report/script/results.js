// The figures of the whole run: conclusions, table, bars, paired differences, and how it was made.

const MOST_ROWS = 24; // Longer lists begin with so many, and a button shows the rest.
const MOST_CHARTS = 6;
const MOST_OPEN = 3; // conclusions; more are folded away where a headline says what they come to.

const several = (values) => distinct(values).length > 1;
const namesLayers = several(data.results.map((result) => `${result.net}\n${result.layer}`))
  && data.nets.some((net) => several(data.results.filter((each) => each.net === net.label).map((each) => each.layer).filter(Boolean)));
const rowKey = (result) => [result.net, result.layer, result.method].join("\n");
const netTitle = (result) => (namesLayers && result.layer ? `${result.net}, ${result.layer}` : result.net);
const resultsShown = { subset: "all", sort: null, descending: true, everyChart: false };
const better = (metric) => (metrics.get(metric)?.higher_is_better === false ? -1 : 1);

function drawTop() {
  byId("title").textContent = data.title;
  const when = new Date(data.created);
  const time = Number.isNaN(when.getTime()) ? data.created : when.toLocaleString(undefined, { dateStyle: "long", timeStyle: "short" });
  const count = data.images.length;
  const measured = data.config.images; // the figures are of all of them, the gallery may show fewer
  const images = isNumber(measured) && measured > count ? `${count} of ${measured} images shown` : `${count} image${count === 1 ? "" : "s"}`;
  const parts = [time, images, data.nets.map((net) => net.label).join(", ")];
  byId("subtitle").textContent = parts.filter(Boolean).join(" \u00b7 ");
  byId("headline").textContent = data.headline;
  byId("headline").hidden = !data.headline;
  byId("conclusions").hidden = !data.conclusions.length;
  byId("conclusion-fold").open = !data.headline || data.conclusions.length <= MOST_OPEN;
  byId("conclusions-title").textContent = `Conclusions (${data.conclusions.length})`;
  byId("conclusion-list").replaceChildren(...data.conclusions.map((text) => el("li", { textContent: text })));
}

function startResults() {
  byId("results").hidden = !data.results.length;
  const subsets = distinct(data.results.map((result) => result.subset));
  if (!subsets.includes("all")) resultsShown.subset = subsets[0];
  const options = ["all", "single", "multiple", ...subsets].filter((name) => subsets.includes(name));
  segments(byId("results-subset"), distinct(options).map((name) => [name, subsetTitle(name)]), resultsShown.subset, (name) => {
    resultsShown.subset = name;
    drawResults();
  });
  drawResults();
}

function drawResults() {
  const results = data.results.filter((result) => result.subset === resultsShown.subset);
  const names = data.metrics.map((metric) => metric.name).filter((name) => results.some((result) => result.metric === name));
  const cells = new Map(results.map((result) => [`${rowKey(result)}\n${result.metric}`, result]));
  const rows = [...new Map(results.map((result) => [rowKey(result), result])).values()];
  const counts = distinct(results.map((result) => result.n));
  byId("results-note").textContent = results.length
    ? `${Math.max(...counts) > 1 ? "Values with their 95 % intervals, over" : "Values of"} ${Math.min(...counts)}${counts.length > 1 ? ` to ${Math.max(...counts)}` : ""} image${Math.max(...counts) === 1 ? "" : "s"}; the best of a column is marked.` : "";
  const sorted = resultsShown.sort;
  if (sorted) {
    const value = (row) => cells.get(`${rowKey(row)}\n${sorted}`)?.value ?? -Infinity;
    rows.sort((a, b) => (value(b) - value(a)) * (resultsShown.descending ? 1 : -1));
  }
  byId("results-table").replaceChildren(resultsHead(names), resultsBody(rows, names, cells));
  drawCharts(rows, names, cells);
}

function resultsHead(names) {
  const heads = names.map((name) => {
    const down = better(name) < 0 ? " (lower is better)" : "";
    const sorted = resultsShown.sort === name;
    const choose = () => {
      resultsShown.descending = sorted ? !resultsShown.descending : better(name) > 0;
      resultsShown.sort = name;
      drawResults();
      byId("results-table").querySelector(`button[value="${CSS.escape(name)}"]`)?.focus();
    };
    const button = el("button", { type: "button", value: name, title: `Sort by ${metricTitle(name)}${down}`, onclick: choose },
      metricTitle(name), sorted ? (resultsShown.descending ? " \u2193" : " \u2191") : "");
    return el("th", { scope: "col", "aria-sort": sorted ? (resultsShown.descending ? "descending" : "ascending") : undefined },
      button, down ? el("span", { className: "interval", textContent: "lower is better" }) : null);
  });
  return el("thead", {}, el("tr", {},
    el("th", { scope: "col", className: "text", textContent: "Network" }), el("th", { scope: "col", className: "text", textContent: "Method" }), ...heads));
}

function resultsBody(rows, names, cells) {
  const best = new Map(names.map((name) => {
    const values = rows.map((row) => cells.get(`${rowKey(row)}\n${name}`)?.value).filter(isNumber);
    return [name, values.length > 1 ? better(name) * Math.max(...values.map((value) => better(name) * value)) : null];
  }));
  return el("tbody", {}, ...rows.map((row) => el("tr", {},
    el("th", { scope: "row" }, row.net, namesLayers ? el("span", { className: "interval", textContent: row.layer }) : null),
    el("td", { className: "text", textContent: methodTitle(row.method) }),
    ...names.map((name) => resultCell(cells.get(`${rowKey(row)}\n${name}`), best.get(name))))));
}

function resultCell(result, best) {
  if (!result) return el("td", {}, "");
  const marked = isNumber(best) && result.value === best;
  const interval = isNumber(result.low) && isNumber(result.high) ? `${inUnit(result.metric, result.low)} to ${inUnit(result.metric, result.high)}` : "";
  return el("td", { title: `${result.n} image${result.n === 1 ? "" : "s"}` },
    el("span", { className: marked ? "best" : "" }, inUnit(result.metric, result.value), marked ? el("span", { className: "unseen", textContent: " best" }) : null),
    el("span", { className: "interval", textContent: interval }));
}

function drawCharts(rows, names, cells) {
  const used = distinct(rows.map((row) => row.method));
  byId("legend").hidden = used.length < 2;
  byId("legend").replaceChildren(...used.map((name) => {
    const key = el("i");
    key.style.setProperty("--colour", methodColour(name));
    return el("span", {}, key, methodTitle(name));
  }));
  const draw = (some) => byId("charts").replaceChildren(...some.map((name) =>
    chart(name, rows.map((row) => cells.get(`${rowKey(row)}\n${name}`)).filter((result) => isNumber(result?.value)))));
  const some = resultsShown.everyChart ? names : names.slice(0, MOST_CHARTS);
  draw(some);
  byId("more-charts").replaceChildren();
  if (some.length < names.length) {
    byId("more-charts").append(moreButton(names.length, () => { resultsShown.everyChart = true; draw(names); }));
  }
}

/** Bars of one metric, grouped by network; of many, the best first and the rest behind a button. */
function chart(name, results) {
  const ends = results.flatMap((result) => [result.value, result.low, result.high]).filter(isNumber);
  const span = [Math.min(0, ...ends), Math.max(0, ...ends)];
  const bars = el("div", { className: "bars" });
  const draw = (some) => {
    bars.replaceChildren();
    for (const net of distinct(some.map(netTitle))) {
      bars.append(el("div", { className: "group", textContent: net }));
      for (const result of some.filter((each) => netTitle(each) === net)) bars.append(...barRow(result, span));
    }
  };
  const ranked = [...results].sort((a, b) => better(name) * (b.value - a.value));
  draw(results.length > MOST_ROWS ? ranked.slice(0, MOST_ROWS) : results);
  const figureElement = el("figure", { className: "chart" }, el("figcaption", {}, metricTitle(name),
    el("span", { textContent: better(name) > 0 ? "higher is better" : "lower is better" })), bars);
  if (results.length > MOST_ROWS) figureElement.append(moreButton(results.length, () => draw(results)));
  return figureElement;
}

function barRow(result, span) {
  const interval = isNumber(result.low) ? `, interval ${inUnit(result.metric, result.low)} to ${inUnit(result.metric, result.high)}` : "";
  const title = `${metricTitle(result.metric)}, ${netTitle(result)}, ${methodTitle(result.method)}: ${inUnit(result.metric, result.value)}${interval}, ${result.n} image${result.n === 1 ? "" : "s"}`;
  return [
    el("div", { className: "name", textContent: methodTitle(result.method), title }),
    barTrack(result, span, methodColour(result.method)),
    el("div", { className: "value", textContent: inUnit(result.metric, result.value), title }),
  ];
}

function moreButton(count, show) {
  const button = el("button", { type: "button", className: "more", textContent: `Show all ${count}` });
  button.onclick = () => { button.remove(); show(); };
  return button;
}

function startPairs() {
  byId("pairs").hidden = !data.pairs.length;
  const names = distinct(data.pairs.map((pair) => pair.metric));
  fill(byId("pairs-metric"), names.map((name) => [name, metricTitle(name)]), names[0], byId("pairs-metric").parentElement);
  if (names.length === 1) byId("pairs-note").prepend(`${metricTitle(names[0])}. `);
  byId("pairs-metric").onchange = () => drawPairs(MOST_ROWS);
  drawPairs(MOST_ROWS);
}

function drawPairs(most) {
  const pairs = data.pairs.filter((pair) => pair.metric === byId("pairs-metric").value);
  const reach = Math.max(...pairs.flatMap((pair) => [pair.low, pair.high, pair.difference]).filter(isNumber).map(Math.abs), 0);
  const heads = ["Compared", "Of", "Images", "Difference", "", "95 % interval", "p"].map((text, i) =>
    el("th", { scope: "col", className: i < 3 ? "text" : "", textContent: text }));
  const rows = pairs.slice(0, most).map((pair) => pairRow(pair, reach));
  byId("pairs-table").replaceChildren(el("thead", {}, el("tr", {}, ...heads)), el("tbody", {}, ...rows));
  byId("pairs-table").parentElement.parentElement.querySelector(".more")?.remove();
  if (pairs.length > most) byId("pairs").append(moreButton(pairs.length, () => drawPairs(Infinity)));
}

function pairRow(pair, reach) {
  const title = pair.kind === "method" ? methodTitle : (name) => name;
  const of = [pair.net, pair.method && methodTitle(pair.method)].filter(Boolean).join(", ");
  const clear = pair.low > 0 || pair.high < 0;
  const number = (value) => (value > 0 ? "+" : "") + inUnit(pair.metric, value);
  return el("tr", {},
    el("th", { scope: "row", textContent: `${title(pair.a)} \u2212 ${title(pair.b)}` }),
    el("td", { className: "text", textContent: of }),
    el("td", { className: "text", textContent: `${subsetTitle(pair.subset)}, ${pair.n}` }),
    el("td", { className: clear ? "clear" : "", textContent: number(pair.difference) }),
    el("td", {}, differenceTrack(pair, reach)),
    el("td", { textContent: isNumber(pair.low) ? `${number(pair.low)} to ${number(pair.high)}` : "" }),
    el("td", { textContent: isNumber(pair.p) ? (pair.p < 0.001 ? "< 0.001" : pair.p.toFixed(3)) : "n/a" }));
}

function drawMade() {
  const list = (title, entries) => el("div", {}, el("h3", { textContent: title }), el("dl", {}, ...entries.flatMap(([name, value]) =>
    [el("dt", { textContent: name }), el("dd", { textContent: typeof value === "object" ? JSON.stringify(value) : String(value) })])));
  const ofNets = data.nets.map((net) => [net.label, `${net.name}, ${net.weights}, layer ${net.layer}`]);
  const lists = [["Networks", ofNets], ["Configuration", Object.entries(data.config)], ["Versions", Object.entries(data.versions)]];
  byId("made-lists").replaceChildren(...lists.filter(([, entries]) => entries.length).map(([title, entries]) => list(title, entries)));
}
