const signed = (v) => (v === null ? "–" : (v > 0 ? "+" : "") + v.toFixed(v !== 0 && Math.abs(v) < 0.01 ? 4 : 2));

const groups = data.comparisons.some((c) => c.seeds.some((n) => n > 1));

function verdicts() {
  by("verdicts").replaceChildren(...data.comparisons.map((c) => {
    const tone = c.outcome === "better" ? "good" : c.outcome === "worse" ? "bad" : "quiet";
    return make("p", { class: `verdict ${tone}`, "data-outcome": c.outcome }, c.verdict);
  }));
  table(by("table"), [
    { label: "run", text: true, show: (c) => c.run },
    { label: "against", text: true, show: (c) => c.against },
    { label: "target", text: true, show: (c) => c.target },
    { label: "metric", text: true, show: (c) => titled(c.heading) },
    { label: "mean before", show: (c) => number(mean(c.before)) },
    { label: "mean after", show: (c) => number(mean(c.after)) },
    { label: "difference", show: (c) => signed(mean(c.differences)) },
    { label: `${Math.round(100 * data.confidence)} % interval`, show: (c) => (c.interval ? `${signed(c.interval.low)} to ${signed(c.interval.high)}` : "–") },
    { label: "better in", show: (c) => `${c.wins} of ${c.tracks.length}` },
    ...(groups ? [{ label: "seeds", title: "runs of different seeds, before and after", show: (c) => c.seeds.join(" and ") }] : []),
    { label: "only before", title: "tracks that only the run before scores", show: (c) => String(c.only_before.length) },
    { label: "only after", title: "tracks that only the run after scores", show: (c) => String(c.only_after.length) },
  ], data.comparisons);
  by("notes").replaceChildren(...data.notes.map((note) => make("p", { class: "quiet" }, note)));
  by("seeds").textContent = groups
    ? "Groups are compared by the mean over their seeds. Tracks are paired, seeds are not; the interval holds for other tracks and other seeds. A single run beside a group is taken to vary with its seed as the group does."
    : "Each side is one training: the interval holds for other tracks, not for other seeds.";
  by("dropped").replaceChildren(...data.comparisons.flatMap(dropped));
}

const mean = (values) => (values.length ? values.reduce((a, b) => a + b, 0) / values.length : null);

function dropped(c) {
  return [[c.against, c.only_before], [c.run, c.only_after]].filter(([, tracks]) => tracks.length).map(([name, tracks]) =>
    make("details", {}, make("summary", {}, `${c.target}, ${c.heading.label}: ${tracks.length} tracks only in ${name}`), make("p", {}, tracks.join(", "))));
}

function plot(c) {
  const order = c.differences.map((d, n) => [d, c.tracks[n], c.before[n], c.after[n]]).sort((a, b) => a[0] - b[0]);
  const width = 420, height = 190, left = 44, bottom = 12;
  const low = Math.min(0, ...c.differences), high = Math.max(0, ...c.differences), span = high - low || 1;
  const y = (v) => 8 + ((high - v) / span) * (height - bottom - 16), step = (width - left) / order.length;
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${c.heading.label} of ${c.target}, ${c.run} minus ${c.against}` });
  for (const t of ticks(low, high, 4)) svg.append(draw("line", { x1: left, x2: width, y1: y(t), y2: y(t), class: "grid" }), draw("text", { x: left - 6, y: y(t) + 4, "text-anchor": "end" }, t));
  if (c.interval) svg.append(draw("rect", { x: left, width: width - left, y: y(c.interval.high), height: Math.max(1, y(c.interval.low) - y(c.interval.high)), fill: "var(--accent)", opacity: 0.18 }));
  order.forEach(([d, track, before, after], n) => {
    const better = d > 0 === c.heading.higher_is_better;
    const bar = draw("rect", { x: left + n * step + 0.1 * step, width: Math.min(28, 0.8 * step), y: Math.min(y(d), y(0)), height: Math.max(1, Math.abs(y(d) - y(0))), fill: d === 0 ? "var(--quiet)" : better ? "var(--good)" : "var(--bad)" });
    bar.append(draw("title", {}, `${track}: ${number(before)} to ${number(after)} (${signed(d)})`));
    svg.append(bar);
  });
  svg.append(draw("line", { x1: left, x2: width, y1: y(0), y2: y(0), class: "zero" }));
  return make("figure", {}, make("h3", {}, `${c.target}, ${titled(c.heading)}`), make("figcaption", {}, `${c.run} minus ${c.against}, ${c.heading.higher_is_better ? "higher" : "lower"} is better`), svg);
}

verdicts();
by("plots").replaceChildren(...data.comparisons.filter((c) => c.tracks.length).map(plot));
