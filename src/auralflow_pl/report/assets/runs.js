const groupNames = [...new Set(data.runs.map((r) => r.group))];
const tone = (run) => (groupNames.length > 1 ? groupNames.indexOf(run.group) : data.runs.indexOf(run));
const signs = { finished: "good", "no end recorded": "quiet" };

function duration(seconds) {
  if (seconds === null) return "–";
  if (seconds < 90) return `${seconds.toFixed(0)} s`;
  return seconds < 5400 ? `${(seconds / 60).toFixed(0)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

function links(run) {
  const nodes = run.links.map((l) => make("a", { href: l.href }, l.label));
  return make("span", { class: "links" }, ...nodes.flatMap((node, n) => (n ? [", ", node] : [node])));
}

function showTables() {
  by("notes").replaceChildren(...data.notes.map((note) => make("p", { class: "verdict" }, note)));
  by("scored").hidden = by("meaning").hidden = !data.groups.length;
  table(by("scores"), [
    { label: "runs", text: true, show: (g) => g.group },
    { label: "target", text: true, show: (g) => g.target },
    { label: "metric", text: true, show: (g) => titled(g.heading), title: (g) => g.heading.definition },
    { label: "mean", show: (g) => number(g.mean) },
    { label: "spread", title: "standard deviation of the seeds", show: (g) => number(g.spread) },
    { label: `${Math.round(100 * data.confidence)} % interval`, show: (g) => (g.interval ? g.interval.map((v) => number(v)).join(" to ") : "–") },
    { label: "tracks", show: (g) => String(g.tracks) },
    { label: "seeds", show: (g) => String(g.seeds) },
  ], data.groups);
  table(by("runs"), [
    { label: "run", text: true, show: (r) => r.name },
    { label: "state", text: true, show: (r) => make("span", { class: signs[r.state] || "bad" }, r.state) },
    ...data.keys.map((key) => ({ label: key, text: true, show: (r) => r.keys[key] })),
    { label: "score", show: (r) => r.score || "–", title: (r) => r.metric },
    { label: "steps", show: (r) => (r.steps === null ? "–" : r.steps.toLocaleString("en")) },
    { label: "parameters [M]", show: (r) => (r.parameters === null ? "–" : number(r.parameters / 1e6, r.parameters < 1e5 ? 4 : 2)) },
    { label: "time", show: (r) => duration(r.seconds) },
    { label: "pages and tables", text: true, show: links },
  ], data.runs);
}

function plot(metric) {
  const shown = data.runs.filter((r) => (r.curves[metric] || []).length), all = shown.flatMap((r) => r.curves[metric]);
  const width = 420, height = 220, left = 52, bottom = 24;
  const [steps, values] = [0, 1].map((n) => all.map((point) => point[n]));
  const [first, last] = [Math.min(...steps), Math.max(...steps)], [low, high] = [Math.min(...values), Math.max(...values)];
  const x = (s) => left + ((s - first) / (last - first || 1)) * (width - left - 10), y = (v) => 8 + ((high - v) / (high - low || 1)) * (height - bottom - 16);
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${metric} over steps` });
  for (const t of ticks(low, high, 6)) svg.append(draw("line", { x1: left, x2: width, y1: y(t), y2: y(t), class: "grid" }), draw("text", { x: left - 6, y: y(t) + 4, "text-anchor": "end" }, t));
  for (const t of ticks(first, last, 4)) svg.append(draw("text", { x: x(t), y: height - 6, "text-anchor": "middle" }, t));
  for (const run of shown) {
    const points = run.curves[metric], stroke = colour(tone(run));
    const path = points.map(([s, v], n) => `${n ? "L" : "M"}${x(s).toFixed(1)} ${y(v).toFixed(1)}`).join("");
    const line = points.length > 1 ? draw("path", { d: path, fill: "none", stroke, "stroke-width": 1.8, "stroke-linejoin": "round" }) : draw("circle", { cx: x(points[0][0]), cy: y(points[0][1]), r: 3, fill: stroke });
    line.append(draw("title", {}, `${run.name} ${run.group}`));
    svg.append(line);
  }
  return make("figure", {}, make("h3", {}, metric), make("figcaption", {}, "over optimizer steps"), svg);
}

function showCurves() {
  const metrics = [...new Set(data.runs.flatMap((r) => Object.keys(r.curves).filter((name) => r.curves[name].length)))].sort((a, b) => b.localeCompare(a));
  const named = groupNames.length > 1 ? groupNames : data.runs.map((r) => r.name);
  by("legend").replaceChildren(...(metrics.length ? named : []).map((name, n) => make("span", {}, make("i", { style: `background:${colour(n)}` }), name)));
  const none = make("p", { class: "quiet" }, "No curves here: they are read from the files of logger=tensorboard or logger=csv.");
  by("plots").replaceChildren(...(metrics.length ? metrics.map(plot) : [none]));
}

showTables();
showCurves();
