const bytes = (number) => embedded(data.sounds[number]);
const STORE = `auralflow listen ${data.id}`;
const state = { answers: data.cards.map(() => ({ key: null, comment: "" })), revealed: false };
const NONE = "none";

// The browser may keep nothing for files; the page works without.
function keep() {
  try { localStorage.setItem(STORE, JSON.stringify(state)); } catch { /* nothing is kept */ }
}

function recall() {
  try { Object.assign(state, JSON.parse(localStorage.getItem(STORE)) ?? {}); } catch { /* nothing was kept */ }
}

const models = (card) => card.sounds.filter((s) => s.model !== null);
const letter = (card, sound) => String.fromCharCode(65 + models(card).indexOf(sound));
const signed = (value) => `${value < 0 ? "" : "+"}${number(value, 1)} dB`;
const hidden = () => data.blind && !state.revealed; // what could tell the models apart by sight

function label(card, sound) {
  if (sound.model === null) return sound.key === "truth" ? `true ${card.target}` : sound.key;
  if (!data.blind) return sound.model;
  return state.revealed ? `${letter(card, sound)}: ${sound.model}` : letter(card, sound);
}

function notes(sound) {
  if (hidden()) return [];
  const score = sound.score === null ? [] : [`SI-SDR ${number(sound.score, 1)} dB${sound.better === null ? "" : ` (${signed(sound.better)})`}`];
  return [...score, `volume ${signed(sound.change)}`].map((text) => make("small", { class: "quiet" }, text));
}

// The sounds of a card as the player takes them. Others are forgotten, as decoded sound is large.
const moments = data.cards.map((card) => ({ seconds: card.seconds, sounds: Object.fromEntries(card.sounds.map((s) => [s.key, s.sound])) }));

function setVolumes() {
  const matched = by("match").checked;
  moments.forEach((moment, n) => { moment.volumes = Object.fromEntries(data.cards[n].sounds.map((s) => [s.key, matched ? s.gain : 1])); });
  if (!player.card) return;
  player.volumes = moments[Number(player.card.dataset.number)].volumes;
  fade();
}

async function begin(node, place) {
  const moment = moments[Number(node.dataset.number)];
  for (const other of moments) if (other !== moment) delete other.buffers;
  try {
    await play(node, moment, Math.min(place, moment.seconds - 0.01));
  } catch {
    node.querySelector(".fault").textContent = "This browser cannot play the sounds.";
  }
}

function question(card, n) {
  const options = [...models(card).map((s) => [s.key, letter(card, s)]), [NONE, "no difference"]];
  const choice = ([key, text]) => make("label", {}, make("input", { type: "radio", name: `choice ${n}`, value: key, onchange: () => answer(n, { key }) }), ` ${text}`);
  const comment = make("input", { type: "text", class: "comment", placeholder: "comment", "aria-label": `comment on ${card.target} of ${card.song}`, oninput: (event) => answer(n, { comment: event.target.value }) });
  return make("fieldset", {}, make("legend", {}, `Which ${card.target} do you prefer?`), ...options.map(choice), comment);
}

function songCard(card, n) {
  const title = `${card.song}: ${card.target}`;
  const first = models(card)[0].key;
  const node = make("article", { class: "moment", "data-playing": "false", "data-sound": first, "data-number": n, "data-time": "0", "aria-label": title });
  const toggle = () => (player.card === node ? stop() : begin(node, Number(node.dataset.time)));
  const seek = make("input", { type: "range", class: "seek", min: 0, max: card.seconds, step: 0.1, value: 0, "aria-label": `place in ${title}, in seconds` });
  seek.addEventListener("input", () => (player.card === node ? begin(node, Number(seek.value)) : mark(node, Number(seek.value), card.seconds)));
  const loud = card.lufs === null ? "silent" : `${card.lufs.toFixed(1)} LUFS`;
  node.append(
    make("header", {}, make("h3", {}, title), make("span", { class: "quiet" }, `${clock(card.start)} to ${clock(card.start + card.seconds)}, ${loud}`)),
    make("div", { class: "buttons" }),
    make("div", { class: "controls" }, make("button", { type: "button", class: "play", onclick: toggle, "aria-label": `Play or stop ${title}` }, "Play"), seek, make("span", { class: "clock" }, "0:00")),
    make("p", { class: "bad fault", role: "alert" }));
  if (data.blind) node.append(question(card, n));
  return node;
}

function answer(n, change) {
  Object.assign(state.answers[n], change);
  keep();
  showAnswers();
}

// What the saved file holds of the songs that have an answer, or a comment at least.
function saved() {
  return data.cards.map((card, n) => ({ card, ...state.answers[n] })).filter((a) => a.key !== null || a.comment).map(({ card, key, comment }) => {
    const sound = card.sounds.find((s) => s.key === key);
    return { open: key === null, song: card.song, target: card.target, model: sound?.model ?? null, letter: sound ? letter(card, sound) : null, order: models(card).map((s) => s.model), comment };
  });
}

const answered = () => saved().filter((a) => !a.open);

function save() {
  const file = { format: data.format, page: data.id, seed: data.seed, models: data.models, saved: new Date().toISOString(), revealed: state.revealed, answers: saved() };
  const address = URL.createObjectURL(new Blob([JSON.stringify(file, null, 1)], { type: "application/json" }));
  make("a", { href: address, download: "choices.json" }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

function reveal() {
  const open = data.cards.length - answered().length;
  if (open && !confirm(`${open} ${open === 1 ? "song is" : "songs are"} not answered yet. Show the names? The choices can then not be changed.`)) return;
  state.revealed = true;
  keep();
  showNames();
  showAnswers();
}

function showAnswers() {
  const found = answered();
  by("progress").textContent = `${found.length} of ${data.cards.length} answered.`;
  by("save").disabled = !saved().length;
  by("reveal").disabled = state.revealed;
  by("tally").hidden = !state.revealed;
  const count = (model) => found.filter((a) => a.model === model).length;
  table(by("wins"), [
    { label: "model", text: true, show: (r) => r.model ?? "no difference" },
    { label: "preferred", show: (r) => String(count(r.model)) },
  ], [...data.models, null].map((model) => ({ model })));
}

function showNames() {
  document.querySelectorAll("#cards article").forEach((node, n) => {
    const card = data.cards[n];
    const sounds = card.sounds.map((s) => ({ name: s.key, label: label(card, s), picture: hidden() ? null : s.picture, about: `spectrogram of ${label(card, s)}`, notes: notes(s) }));
    node.querySelector(".buttons").replaceChildren(pictureButtons(node, sounds));
    node.querySelectorAll("fieldset input").forEach((input) => { input.disabled = state.revealed; });
  });
  showScores();
}

function showScores() {
  const rows = data.cards.filter((card) => models(card).some((s) => s.better !== null));
  by("scores").hidden = !rows.length || hidden();
  const of = (card, model) => models(card).find((s) => s.model === model);
  const value = (card, model) => of(card, model).better;
  const mean = (values) => { const known = values.filter((v) => v !== null); return known.length ? known.reduce((a, b) => a + b, 0) / known.length : null; };
  const totals = [...new Set(rows.map((r) => r.target))].map((target) => {
    const here = rows.filter((r) => r.target === target);
    return { song: "mean", target, mixture: mean(here.map((r) => r.mixture)), mean: (model) => mean(here.map((r) => value(r, model))) };
  });
  table(by("table"), [
    { label: "song", text: true, show: (r) => r.song },
    { label: "target", text: true, show: (r) => r.target },
    { label: "mixture", show: (r) => number(r.mixture, 1) },
    ...data.models.map((model) => ({ label: model, show: (r) => { const v = r.mean ? r.mean(model) : value(r, model); return v === null ? "–" : signed(v); } })),
  ], rows.length > totals.length ? [...rows, ...totals] : rows);
}

recall();
by("cards").replaceChildren(...data.cards.map(songCard));
showNames();
setVolumes();
by("match").addEventListener("change", setVolumes);
by("match").parentElement.hidden = data.blind;
if (data.blind) {
  by("ballot").hidden = false;
  state.answers.forEach((a, n) => {
    const node = by("cards").children[n];
    node.querySelectorAll("input[type=radio]").forEach((input) => { input.checked = input.value === a.key; });
    node.querySelector(".comment").value = a.comment;
  });
  by("save").addEventListener("click", save);
  by("reveal").addEventListener("click", reveal);
  showAnswers();
}
