const state = { heading: data.headings[0].name, sort: "track", down: false, text: "", target: "", track: null };
const targets = [...new Set(data.rows.map((row) => row.target))];
const heading = () => data.headings.find((h) => h.name === state.heading);
const headingOf = (average) => data.headings.find((h) => h.name === average.heading);
const cell = (row, name) => (row.values[state.heading] || {})[name];
const NARROWEST = 1; // gap of which a share means anything, as in tables.py
const names = { estimate: "estimate", mixture: "mixture", ibm: "binary mask", oracle: "ratio mask", phase: "mixture phase" };

const meaning = (h) => `${h.definition}; ${h.higher_is_better ? "higher" : "lower"} is better`;

function gap(row) {
  if (!heading().bounded) return null;
  const [e, low, high] = ["estimate", "mixture", "oracle"].map((n) => cell(row, n));
  return [e, low, high].some((v) => v === null || v === undefined) || (high - low) * (heading().higher_is_better ? 1 : -1) < NARROWEST ? null : (e - low) / (high - low);
}

function columns() {
  return [
    { key: "track", label: "track", text: true, value: (r) => r.track },
    { key: "target", label: "target", text: true, value: (r) => r.target },
    ...data.candidates.map((n) => ({ key: n, label: names[n], value: (r) => cell(r, n) ?? null })),
    { key: "gap", label: "gap closed", value: gap },
  ];
}

function compare(a, b, down) {
  if (a === null || b === null) return (a === null) - (b === null);
  const order = typeof a === "string" ? a.localeCompare(b) : a - b;
  return down ? -order : order;
}

function showTracks() {
  const found = columns(), key = found.find((c) => c.key === state.sort) || found[0];
  const rows = data.rows
    .filter((r) => (!state.target || r.target === state.target) && r.track.toLowerCase().includes(state.text))
    .sort((a, b) => compare(key.value(a), key.value(b), state.down));
  const head = found.map((c) => {
    const sorted = c.key === state.sort ? (state.down ? "descending" : "ascending") : "none";
    const press = () => {
      state.down = c.key === state.sort ? !state.down : !c.text;
      state.sort = c.key;
      showTracks();
      document.querySelector(`#tracks th[data-key="${c.key}"] button`).focus();
    };
    return make("th", { class: c.text ? "text" : "", "aria-sort": sorted, "data-key": c.key, scope: "col" },
      make("button", { type: "button", onclick: press }, c.label));
  });
  const body = rows.map((r) => make("tr", { "aria-selected": r.track === state.track }, ...found.map((c) => {
    const value = c.value(r);
    if (c.key === "track") return make("td", { class: "text" }, make("button", { type: "button", onclick: () => showTrack(r.track) }, value));
    return make("td", { class: c.text ? "text" : "" }, c.text ? value : c.key === "gap" ? percent(value) : number(value));
  })));
  by("tracks").replaceChildren(make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...body));
  by("meaning").textContent = `${titled(heading())}: ${meaning(heading())}`;
  by("count").textContent = `${rows.length} of ${data.rows.length} rows`;
}

function distribution(h) {
  const width = 420, left = 96, row = 40, height = row * targets.length + 26;
  const values = targets.map((t) => data.rows.filter((r) => r.target === t).map((r) => (r.values[h.name] || {})));
  const all = values.flat().flatMap((v) => data.candidates.map((c) => v[c])).filter((v) => v !== null && v !== undefined);
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${h.label} over tracks` });
  if (!all.length) return make("figure", {}, make("h3", {}, titled(h)), make("p", { class: "quiet" }, "undefined in every track"));
  const low = Math.min(...all), high = Math.max(...all), x = (v) => left + 8 + ((v - low) / (high - low || 1)) * (width - left - 24);
  for (const t of ticks(low, high)) {
    svg.append(draw("line", { x1: x(t), x2: x(t), y1: 0, y2: height - 20, class: "grid" }));
    svg.append(draw("text", { x: x(t), y: height - 6, "text-anchor": "middle" }, t));
  }
  targets.forEach((t, k) => {
    const y = row * k + row / 2, own = values[k].map((v) => v.estimate).filter((v) => v !== null && v !== undefined).sort((a, b) => a - b);
    svg.append(draw("text", { x: 0, y: y + 4, class: "name" }, t));
    for (const [name, glyph] of [["mixture", "M"], ["oracle", "O"]]) {
      const sorted = values[k].map((v) => v[name]).filter((v) => v !== null && v !== undefined).sort((a, b) => a - b);
      if (sorted.length) svg.append(draw("text", { x: x(quantile(sorted, 0.5)), y: y - 11, "text-anchor": "middle" }, glyph));
    }
    if (!own.length) return;
    const [a, m, b] = [0.25, 0.5, 0.75].map((s) => x(quantile(own, s)));
    svg.append(draw("rect", { x: a, y: y - 8, width: Math.max(1, b - a), height: 16, rx: 3, fill: colour(k), opacity: 0.22 }));
    svg.append(draw("line", { x1: m, x2: m, y1: y - 9, y2: y + 9, stroke: colour(k), "stroke-width": 3 }));
    own.forEach((v, n) => {
      const dot = draw("circle", { cx: x(v), cy: y + ((n * 7) % 11) - 5, r: 3, fill: colour(k), opacity: 0.75 });
      dot.append(draw("title", {}, number(v)));
      svg.append(dot);
    });
  });
  return make("figure", {}, make("h3", {}, titled(h)), svg);
}

function showTrack(track) {
  state.track = track;
  const rows = data.rows.filter((r) => r.track === track && (r.frames[state.heading] || []).length);
  const width = Math.max(280, by("curve").clientWidth - 34), height = 230, left = 44, bottom = 26;
  const all = rows.flatMap((r) => r.frames[state.heading]).filter((v) => v !== null);
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${heading().label} of ${track} over time` });
  const hop = data.hops[state.heading], length = Math.max(1, ...rows.map((r) => r.frames[state.heading].length));
  const low = Math.min(...all), high = Math.max(...all);
  const x = (n) => left + (n / Math.max(1, length - 1)) * (width - left - 8), y = (v) => 8 + ((high - v) / (high - low || 1)) * (height - bottom - 16);
  if (all.length) for (const t of ticks(low, high, 4)) {
    svg.append(draw("line", { x1: left, x2: width, y1: y(t), y2: y(t), class: "grid" }), draw("text", { x: left - 6, y: y(t) + 4, "text-anchor": "end" }, t));
  }
  for (const t of ticks(0, (length - 1) * hop, Math.max(2, Math.min(10, width / 90)))) svg.append(draw("text", { x: x(t / hop), y: height - 6, "text-anchor": "middle" }, `${t} s`));
  for (const r of rows) {
    const stroke = colour(targets.indexOf(r.target));
    let path = "", pen = false;
    r.frames[state.heading].forEach((v, n, list) => {
      if (v === null) { pen = false; return; }
      path += `${pen ? "L" : "M"}${x(n).toFixed(1)} ${y(v).toFixed(1)}`;
      pen = true;
      if ((list[n - 1] ?? null) === null && (list[n + 1] ?? null) === null) svg.append(draw("circle", { cx: x(n), cy: y(v), r: 2.5, fill: stroke }));
    });
    svg.append(draw("path", { d: path, fill: "none", stroke, "stroke-width": 2, "stroke-linejoin": "round" }));
  }
  const legend = make("div", { class: "legend" }, ...rows.map((r) => make("span", {}, make("i", { style: `background:${colour(targets.indexOf(r.target))}` }), r.target)));
  const note = all.length ? "windows in which it is undefined are gaps" : "undefined in every window";
  by("curve").replaceChildren(make("h3", {}, `${track}: ${titled(heading())} over time`), legend, svg, make("figcaption", {}, note));
  document.querySelectorAll("#tracks tbody tr").forEach((tr) => tr.setAttribute("aria-selected", tr.cells[0].textContent === track));
}

const bytes = embedded;

function card(moment) {
  const node = make("article", { class: "moment", "data-playing": "false", "data-sound": "estimate", "aria-label": `${moment.kind} moment, ${moment.target} of ${moment.track}` });
  const sounds = Object.keys(moment.sounds).map((name) => ({ name, label: name, picture: moment.pictures[name], about: `spectrogram of the ${name}` }));
  const toggle = () => (player.card === node ? stop() : play(node, moment));
  node.append(
    make("header", {}, make("h3", {}, `${moment.target}, ${moment.track}`), make("span", { class: moment.kind === "best" ? "good" : "bad" }, `${moment.kind}: ${number(moment.value)} ${moment.unit}`)),
    make("div", { class: "quiet" }, `${moment.start.toFixed(1)} s to ${(moment.start + moment.seconds).toFixed(1)} s`),
    pictureButtons(node, sounds),
    make("button", { type: "button", class: "play", onclick: toggle }, "Play"));
  return node;
}

function showAll() {
  const shown = data.candidates;
  table(by("averages"), [
    { label: "target", text: true, show: (a) => a.target },
    { label: "metric", text: true, show: (a) => titled(headingOf(a)), title: (a) => meaning(headingOf(a)) },
    { label: "average", text: true, show: (a) => a.name },
    ...shown.map((n) => ({ label: names[n], show: (a) => number(a.values[n]) })),
    { label: "gap closed", title: "share of the way from the mixture to the ideal ratio mask", show: (a) => percent(a.gap) },
    { label: "tracks", show: (a) => String(a.tracks) },
    { label: "undefined", title: "tracks without a value, left out of the average", show: (a) => String(a.undefined) },
  ], data.aggregates.filter((a) => a.tracks));
  by("distributions").replaceChildren(...data.headings.map(distribution));
  by("definitions").replaceChildren(...data.headings.flatMap((h) => [make("dt", {}, titled(h)), make("dd", {}, meaning(h))]));
  by("settings").replaceChildren(...data.settings.flatMap(([name, text]) => [make("dt", {}, name), make("dd", {}, text)]));
  by("metric").replaceChildren(...data.headings.map((h) => make("option", { value: h.name }, titled(h))));
  by("target").append(...targets.map((t) => make("option", { value: t }, t)));
  by("metric").addEventListener("change", (e) => { state.heading = e.target.value; showTracks(); if (state.track) showTrack(state.track); });
  by("target").addEventListener("change", (e) => { state.target = e.target.value; showTracks(); });
  by("filter").addEventListener("input", (e) => { state.text = e.target.value.toLowerCase(); showTracks(); });
  showTracks();
  showTrack(data.rows[0].track);
  for (const kind of ["worst", "best"]) {
    const found = data.moments.filter((m) => m.kind === kind);
    by(kind).replaceChildren(...found.map(card));
  }
}

showAll();
