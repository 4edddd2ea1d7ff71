// One player for all cards: the sounds of a card run together, and one of them is heard.
// A page says with `bytes(sound)` how the file of a sound is had.
const player = { context: null, card: null, sources: [], gains: {}, volumes: {}, start: 0, seconds: 0 };

// Factor of a sound of the playing card: its own volume, if it has one, while it is heard.
const factor = (card, name) => (name === card.dataset.sound ? player.volumes[name] ?? 1 : 0);

// The bytes of a sound in base64.
const embedded = async (sound) => Uint8Array.from(atob(sound), (c) => c.charCodeAt(0)).buffer;

async function decode(moment) {
  player.context ??= new AudioContext();
  moment.buffers ??= Object.fromEntries(await Promise.all(Object.entries(moment.sounds).map(
    async ([name, sound]) => [name, await player.context.decodeAudioData(await bytes(sound))])));
  await player.context.resume();
}

function stop() {
  for (const source of player.sources) { source.onended = null; source.stop(); }
  player.sources = [];
  if (player.card) {
    player.card.dataset.playing = "false";
    player.card.querySelector(".play").textContent = "Play";
  }
  player.card = null;
}

// Play from a place in seconds. A moment that is `whole` ends with its sounds, others go round.
async function play(card, moment, place = 0) {
  stop();
  await decode(moment);
  stop(); // what was begun while this one was decoded
  player.card = card;
  player.gains = {};
  player.volumes = moment.volumes ?? {};
  const at = player.context.currentTime + 0.03;
  for (const [name, buffer] of Object.entries(moment.buffers)) {
    const source = new AudioBufferSourceNode(player.context, { buffer, loop: !moment.whole, loopEnd: moment.seconds });
    const gain = new GainNode(player.context, { gain: factor(card, name) });
    source.connect(gain).connect(player.context.destination);
    source.start(at, place);
    player.sources.push(source);
    player.gains[name] = gain;
  }
  player.start = at - place;
  player.seconds = moment.seconds;
  player.sources[0].onended = () => { stop(); mark(card, 0, moment.seconds); };
  card.dataset.playing = "true";
  card.querySelector(".play").textContent = moment.whole ? "Pause" : "Stop";
  requestAnimationFrame(follow);
}

function follow() {
  if (!player.card) return;
  const passed = Math.max(0, player.context.currentTime - player.start); // it starts a little later
  mark(player.card, passed % player.seconds, player.seconds);
  requestAnimationFrame(follow);
}

// Show the place of a card.
function mark(card, place, seconds) {
  card.dataset.time = place.toFixed(2);
  card.querySelectorAll(".head").forEach((h) => { h.style.left = `${(100 * place) / seconds}%`; });
  card.querySelectorAll(".clock").forEach((c) => { c.textContent = clock(place); });
  card.querySelectorAll(".seek").forEach((s) => { s.value = place; });
}

const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

function choose(card, name) {
  card.dataset.sound = name;
  card.querySelectorAll("button[data-name]").forEach((b) => b.setAttribute("aria-pressed", b.dataset.name === name));
  if (player.card === card) fade();
}

// Move the playing sounds to their factors.
function fade() {
  for (const [name, gain] of Object.entries(player.gains)) gain.gain.setTargetAtTime(factor(player.card, name), player.context.currentTime, 0.01);
}

// Buttons with pictures that choose what is heard, also with the keys 1 to 9 in the card.
// A sound has a name and a label, and perhaps a picture, what the picture is, and notes.
function pictureButtons(card, sounds) {
  card.addEventListener("keydown", (event) => {
    const sound = event.target.matches("input[type=text]") ? null : sounds[Number(event.key) - 1];
    if (sound) choose(card, sound.name);
  });
  return make("div", { class: "sounds" }, ...sounds.map((sound, n) => make("button", { type: "button", "data-name": sound.name, "aria-pressed": sound.name === card.dataset.sound, onclick: () => choose(card, sound.name), title: `key ${n + 1}` },
    ...(sound.picture ? [make("img", { src: `data:image/png;base64,${sound.picture}`, alt: sound.about }), make("i", { class: "head" })] : []), make("span", {}, `${n + 1} ${sound.label}`), ...(sound.notes ?? []))));
}
