/** The page: loads the engine, and connects buttons, files and the microphone with it. */
import type { Heard, Live, Names, Opened } from "./answer";
import { type Clip, decode } from "./audio/decode";
import { writeWav } from "./audio/wav";
import { connect } from "./client";
import type { Event } from "./engine";
import { PageError } from "./errors";
import { answerView, sentence, turnsView } from "./ui/answer_view";
import { $, button, errorView, make, notice, save, say } from "./ui/dom";
import { audioFiles, dropped, path } from "./ui/files";
import { type Microphone, openMicrophone } from "./ui/microphone";
import { PeopleView } from "./ui/people_view";
import * as store from "./ui/store";
import { stripView } from "./ui/strip";

const LONGEST = 600; // seconds of a recording
const FEW = 3; // files whose bars are all shown at once
const QUIETEST = 60; // dB below full scale, at which the meter is empty

/** How an answer is shown. */
interface Shown {
  folded?: boolean; // bars
  wav?: Blob; // that can be saved
}

const engine = connect(heardOf);
let names: Names = "speakers";
let opened: Opened;
let people: PeopleView;
let microphone: Microphone | null = null;
let recordings = 0;
let loaded = 0; // bytes
let waiting = Promise.resolve(); // clips are answered one after the other

// From the beginning: a newer site may take over while this one is still loading.
if (navigator.serviceWorker?.controller)
  navigator.serviceWorker.addEventListener("controllerchange", newVersion);
void start();

async function start(): Promise<void> {
  try {
    if (!isSecureContext)
      throw new PageError(
        "This address is not secure, and browsers allow neither microphone nor storage there.",
        "Open the page on localhost (voxedge web --serve) or at an https address.",
      );
    const folder = new URL("./", location.href).href;
    const site = await (await fetch(new URL("site.json", folder))).json().catch(() => ({}));
    opened = await engine.open(folder, await store.load(site.digest).catch(() => null));
    await ready();
  } catch (error) {
    $("status").hidden = true;
    notice(error);
  }
}

async function ready(): Promise<void> {
  names = opened.speakers && !opened.ownPeople ? "speakers" : "people";
  people = new PeopleView(engine, opened.digest, showNames);
  await people.show();
  const known = opened.speakers ? `${opened.model} knows ${opened.speakers} speakers.` : `${opened.model} knows voices.`;
  $("about").textContent = `${known} Computed on this device; no sound leaves it.`;
  for (const id of ["hear", "people"]) $(id).hidden = false;
  $("status").hidden = true;
  facts("");
  document.body.dataset.ready = "yes";
  listenToButtons();
  await workOffline();
}

/** What the footer says: how it is computed. */
function facts(offline: string): void {
  const threads = opened.threads === 1 ? "one thread" : `${opened.threads} threads`;
  const strangers =
    opened.speakers && !opened.strangers
      ? " This model file has no threshold for strangers: whoever speaks gets one of its names."
      : "";
  $("facts").textContent =
    `ONNX Runtime in WebAssembly, on ${threads}; loaded in ${(opened.milliseconds / 1000).toFixed(1)} s.` +
    `${strangers}${offline}`;
}

async function workOffline(): Promise<void> {
  if (!("serviceWorker" in navigator)) return;
  try {
    await navigator.serviceWorker.register("sw.js");
    await navigator.serviceWorker.ready;
    facts(" It works without a connection from now on.");
    document.body.dataset.offline = "yes";
  } catch {
    facts(" It needs a connection to be loaded: this browser keeps no copy.");
  }
}

/** The site was replaced: this page is still the earlier one. */
function newVersion(): void {
  if (!microphone && !$("answers-list").children.length) return location.reload();
  notice(new PageError("There is a newer version of this page.", "Load it again to use it."));
}

function showNames(enrolled: number): void {
  $("names").hidden = !opened.speakers;
  $("names-speakers").textContent = `the ${opened.speakers} speakers of the model file`;
  $("names-people").textContent = `the people enrolled here (${enrolled})`;
  for (const input of document.querySelectorAll<HTMLInputElement>("input[name=names]"))
    input.checked = input.value === names;
}

function listenToButtons(): void {
  for (const [id, input] of [["choose-files", "files"], ["choose-folder", "folder"]]) {
    $(id).addEventListener("click", () => $(input).click());
    $<HTMLInputElement>(input).addEventListener("change", ({ target }) => {
      const chosen = target as HTMLInputElement;
      hearFiles([...(chosen.files ?? [])]);
      chosen.value = "";
    });
  }
  $("names").addEventListener("change", ({ target }) => {
    names = (target as HTMLInputElement).value as Names;
  });
  $("record").addEventListener("click", () => void record());
  $("stop").addEventListener("click", () => void stop());
  $("clear").addEventListener("click", () => {
    $("answers-list").replaceChildren();
    $("answers").hidden = true;
  });
  const drop = $("drop");
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) drop.classList.remove("over");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (event.dataTransfer) void dropped(event.dataTransfer).then(hearFiles);
  });
}

function hearFiles(files: File[]): void {
  notice(null);
  const chosen = audioFiles(files);
  if (!chosen.length)
    return notice(new PageError("There is no audio among these files.", "Choose WAV, FLAC, MP3, Ogg or M4A."));
  const folded = chosen.length > FEW;
  for (const file of chosen) hearLater(path(file), () => decode(file), { folded });
}

/** Put a clip at the end of those that wait, and its card at the top. */
function hearLater(name: string, get: () => Promise<Clip>, show: Shown): void {
  const body = make("p", "meta", "Waiting …");
  const card = make("li", "", make("p", "source", name), body);
  card.dataset.name = name;
  $("answers-list").prepend(card);
  $("answers").hidden = false;
  waiting = waiting.then(async () => {
    body.textContent = "Listening …";
    working = body;
    try {
      const { samples, rate } = await get();
      const heard = await engine.hear(name, samples, rate, names);
      body.replaceWith(...heardViews(name, heard, show));
      card.dataset.answer = JSON.stringify(heard.answer);
      say(`${name}: ${sentence(heard.answer)}`);
    } catch (error) {
      body.replaceWith(errorView(error));
    } finally {
      working = null;
    }
  });
}

let working: HTMLElement | null = null; // where the progress of a long clip is shown

function heardViews(name: string, heard: Heard, { folded, wav }: Shown): HTMLElement[] {
  const { answer, parts, clip, milliseconds } = heard;
  const windows = `${answer.windows} window${answer.windows === 1 ? "" : "s"}`;
  const facts =
    `${answer.seconds.toFixed(1)} s, ${answer.speechSeconds.toFixed(1)} s of speech, ${windows}; ` +
    `answered in ${(milliseconds / 1000).toFixed(2)} s`;
  const buttons = make("div", "buttons");
  const enroll = button("Use for enrolment", "small", () => void people.choose(clip, name));
  enroll.setAttribute("aria-label", `Use ${name} for enrolment`);
  buttons.append(enroll);
  if (wav) buttons.append(button("Save as WAV", "small", () => save(`${name}.wav`, wav)));
  const strip = parts?.length ? [stripView(parts, answer.seconds)] : [];
  const view = turnsView(parts ?? [], answer) ?? answerView(answer, folded);
  return [view, ...strip, make("p", "meta", facts), buttons];
}

async function record(): Promise<void> {
  notice(null);
  try {
    const begin = (rate: number) => engine.listen(rate, names);
    microphone = await openMicrophone((block) => void engine.feed(block), begin);
    $("drop").hidden = true;
    $("live").hidden = false;
    $("live-answer").replaceChildren(make("p", "why", "Speak: a name comes after a second of speech."));
    $("stop").focus();
  } catch (error) {
    notice(error);
  }
}

async function stop(): Promise<void> {
  if (!microphone) return;
  microphone.stop();
  microphone = null;
  $("live").hidden = true;
  $("drop").hidden = false;
  $("record").focus();
  const samples = await engine.finish();
  if (!samples.length)
    return notice(new PageError("The microphone delivered nothing.", "Choose another one in the browser's settings."));
  const wav = writeWav(samples, opened.rate);
  hearLater(`Recording ${++recordings}`, async () => ({ samples, rate: opened.rate }), { wav });
}

function heardOf(event: Event): void {
  if (event.kind === "loading") {
    loaded += event.bytes;
    $("status-text").textContent = `Loading … ${(loaded / 1e6).toFixed(1)} MB`;
  } else if (event.kind === "windows") {
    if (working && event.of > 8) working.textContent = `Listening … ${event.done} of ${event.of} windows`;
  } else if (microphone) {
    showLive(event.live);
    if (event.live.seconds >= LONGEST) void stop();
  }
}

function showLive({ seconds, level, answer, late }: Live): void {
  $("live-time").textContent = `${seconds.toFixed(1)} s`;
  $("live-level").style.setProperty("--value", String(Math.max(0, Math.min(1, 1 + level / QUIETEST))));
  if (!answer) {
    $("live-answer").replaceChildren(make("p", "why", "Listening: too little speech so far."));
    return;
  }
  const view = answerView(answer);
  if (late) view.append(make("p", "why", "This device is slow: names come late."));
  $("live-answer").replaceChildren(view);
  $("live-answer").dataset.answer = JSON.stringify(answer);
  say(sentence({ ...answer, guesses: answer.guesses.slice(0, 1) }).replace(/,.*/, ""));
}
